//! The time zone that a budget's days turn in, as a policy names it. Pure: the rules of all zones are in the binary.

use std::fmt;

use jiff::tz::{Offset, TimeZone, TimeZoneDatabase};

/// The farthest from UTC that a fixed offset can be, in hours: no clock on earth is farther.
const MAX_HOURS: i32 = 14;

/// A time zone.
#[derive(Clone, Debug, PartialEq)]
pub struct Zone(pub TimeZone);

/// Why text names no time zone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoZone {
    /// No zone has this name.
    Unknown,
    /// It is an offset that is no whole number of quarters of an hour.
    Quarters,
}

impl Zone {
    /// UTC, which is meant where nothing is said.
    pub fn utc() -> Self {
        Self(TimeZone::UTC)
    }

    /// Devin's own billing day turns at 08:00 UTC all year: midnight at eight hours behind UTC.
    pub fn devin() -> Self {
        Self(TimeZone::fixed(jiff::tz::offset(-8)))
    }

    /// Reads `devin`, `+09:00`, or a name such as `Asia/Tokyo`.
    ///
    /// A zone that has had odd offsets is taken, since they lie in the past; a fixed offset is what it is for ever.
    ///
    /// # Errors
    /// Why it is none.
    pub fn parse(text: &str) -> Result<Self, NoZone> {
        if text == "devin" {
            return Ok(Self::devin());
        }
        if text.starts_with(['+', '-']) {
            return fixed(text);
        }
        let found = TimeZoneDatabase::bundled().get(text);
        let zone = found.map_err(|_| NoZone::Unknown)?;
        // In one writing only, so that it reads the same everywhere.
        match zone.iana_name() {
            Some(name) if name == text => Ok(Self(zone)),
            None if text == "UTC" => Ok(Self::utc()),
            Some(_) | None => Err(NoZone::Unknown),
        }
    }

    /// The names that there are.
    pub fn names() -> Vec<String> {
        let all = TimeZoneDatabase::bundled();
        all.available().map(|name| name.to_string()).collect()
    }
}

/// `+09:00`, in this one form.
fn fixed(text: &str) -> Result<Zone, NoZone> {
    let digits = |part: Option<&str>| {
        let part = part.filter(|it| it.len() == 2 && it.bytes().all(|it| it.is_ascii_digit()));
        part.and_then(|it| it.parse::<i32>().ok())
    };
    let (sign, rest) = match text.strip_prefix('-') {
        Some(rest) => (-1, rest),
        None => (1, text.strip_prefix('+').unwrap_or(text)),
    };
    let mut parts = rest.split(':');
    let (hours, minutes) = (digits(parts.next()), digits(parts.next()));
    let (Some(hours), Some(minutes), None) = (hours, minutes, parts.next()) else {
        return Err(NoZone::Unknown);
    };
    if minutes > 59 || hours * 60 + minutes > MAX_HOURS * 60 {
        return Err(NoZone::Unknown);
    }
    if minutes % 15 != 0 {
        return Err(NoZone::Quarters);
    }
    let offset = Offset::from_seconds(sign * (hours * 60 + minutes) * 60);
    let offset = offset.map_err(|_| NoZone::Unknown)?;
    Ok(Zone(TimeZone::fixed(offset)))
}

impl fmt::Display for Zone {
    /// As a policy could name it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 == TimeZone::UTC {
            return f.write_str("UTC");
        }
        if let Some(name) = self.0.iana_name() {
            return f.write_str(name);
        }
        let minutes = self.0.to_fixed_offset().map_or(0, |it| it.seconds() / 60);
        let sign = if minutes < 0 { '-' } else { '+' };
        let minutes = minutes.abs();
        write!(f, "{sign}{:02}:{:02}", minutes / 60, minutes % 60)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_zone_has_one_writing() {
        for text in [
            "UTC",
            "Asia/Tokyo",
            "Europe/Berlin",
            "America/Argentina/Buenos_Aires",
            "+00:00",
            "+09:00",
            "-03:30",
            "+12:45",
            "+14:00",
        ] {
            let zone = Zone::parse(text).unwrap_or_else(|why| panic!("{text}: {why:?}"));
            let wanted = if text == "+00:00" { "UTC" } else { text };
            assert_eq!(zone.to_string(), wanted);
        }
        assert_eq!(Zone::parse("devin").unwrap().to_string(), "-08:00");
        for text in [
            "",
            "utc",
            "asia/tokyo",
            "Asia/Tokio",
            "+9",
            "+9:00",
            "+0900",
            "+09:00:00",
            "+15:00",
            "-14:15",
            "+09:60",
            "+-9:00",
            "EST5EDT,M3.2.0,M11.1.0",
            "../etc/passwd",
            "Z",
        ] {
            assert_eq!(Zone::parse(text), Err(NoZone::Unknown), "{text}");
        }
        assert_eq!(Zone::parse("+05:37"), Err(NoZone::Quarters));
    }

    #[test]
    fn the_names_can_be_read() {
        let names = Zone::names();
        assert!(names.len() > 400, "{}", names.len());
        for name in names {
            assert!(Zone::parse(&name).is_ok(), "{name}");
        }
    }
}

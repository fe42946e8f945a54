//! Calendar windows: from when until when entries count together. Pure.

use jiff::civil::{Date, Time};
use jiff::tz::TimeZone;
use jiff::{Span, Timestamp};

/// A time zone, as a policy names it.
#[derive(Clone, Debug, PartialEq)]
pub struct Zone(pub TimeZone);

impl Zone {
    /// Devin's own billing day turns at 08:00 UTC all year: midnight at eight hours behind UTC.
    pub fn devin() -> Self {
        Self(TimeZone::fixed(jiff::tz::offset(-8)))
    }
}

/// How long a window is.
#[derive(Clone, Debug, PartialEq)]
pub enum Every {
    /// From midnight to midnight.
    Day(Zone),
    /// From Monday's midnight on.
    Week(Zone),
    /// From the first's midnight on.
    Month(Zone),
}

/// From `start` until just before `end`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Window {
    /// The first instant.
    pub start: Timestamp,
    /// The first instant of the next one.
    pub end: Timestamp,
}

impl Window {
    /// Whether this instant is in it.
    pub fn holds(&self, at: Timestamp) -> bool {
        self.start <= at && at < self.end
    }
}

impl Every {
    /// The one window that holds this instant.
    pub fn window(&self, at: Timestamp) -> Window {
        let (zone, step) = match self {
            Self::Day(zone) => (zone, Span::new().days(1)),
            Self::Week(zone) => (zone, Span::new().days(7)),
            Self::Month(zone) => (zone, Span::new().months(1)),
        };
        let today = zone.0.to_datetime(at).date();
        let first = match self {
            Self::Day(_) => today,
            Self::Week(_) => today
                .checked_sub(Span::new().days(today.weekday().to_monday_zero_offset()))
                .unwrap_or(today),
            Self::Month(_) => today.first_of_month(),
        };
        let next = first.checked_add(step).unwrap_or(Date::MAX);
        Window {
            start: midnight(&zone.0, first).unwrap_or(Timestamp::MIN),
            end: midnight(&zone.0, next).unwrap_or(Timestamp::MAX),
        }
    }
}

/// A day's first instant; where midnight is skipped, the first one after it.
fn midnight(zone: &TimeZone, day: Date) -> Option<Timestamp> {
    let ambiguous = zone.to_ambiguous_timestamp(day.to_datetime(Time::midnight()));
    ambiguous.compatible().ok()
}

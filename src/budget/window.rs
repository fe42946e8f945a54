//! Calendar windows: from when until when entries count together. Pure.
//!
//! The ledger sums in slots of a quarter of an hour, so windows begin and end
//! where slots do. All zones of today keep to that; what some clocks showed a
//! century ago is rounded down to the slot.

use std::fmt;
use std::num::NonZeroU16;

use jiff::civil::{Date, Time};
use jiff::{Span, Timestamp};

use super::Zone;

/// The seconds of a slot, counted from 1970-01-01T00:00:00Z: every window begins and ends with one.
pub const SLOT: i64 = 15 * 60;

/// The furthest that clocks have been set, in windows: days have been skipped and lived through twice.
const MAX_STEPS: usize = 4;

/// How long a window is.
#[derive(Clone, Debug, PartialEq)]
pub enum Every {
    /// From midnight to midnight.
    Day(Zone),
    /// From Monday's midnight on.
    Week(Zone),
    /// From the first's midnight on.
    Month(Zone),
    /// As long as the policy says, one behind the other without end in both directions.
    Cycle(Cycle),
}

/// A cycle that a policy gives the bounds of: Devin's own billing cycle is not read.
#[derive(Clone, Debug, PartialEq)]
pub struct Cycle {
    /// Where its days turn.
    pub zone: Zone,
    /// A day on which one begins; where it is counted in months, none later than [`Cycle::LAST_DAY`].
    pub starts: Date,
    /// How long it is.
    pub length: Length,
}

/// How long a cycle is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Length {
    /// So many days.
    Days(NonZeroU16),
    /// So many months.
    Months(NonZeroU16),
}

impl Cycle {
    /// The last day that every month has.
    pub const LAST_DAY: i8 = 28;
    /// The most days of a cycle: a leap year's.
    pub const MAX_DAYS: u16 = 366;
    /// The most months of a cycle.
    pub const MAX_MONTHS: u16 = 12;

    /// The first day of the cycle that holds this day.
    fn first(&self, today: Date) -> Option<Date> {
        match self.length {
            Length::Days(days) => {
                let gone = today.duration_since(self.starts).as_hours() / 24;
                let since = gone.rem_euclid(i64::from(days.get()));
                today.checked_sub(Span::new().try_days(since).ok()?).ok()
            }
            Length::Months(months) => {
                let number = |date: Date| i64::from(date.year()) * 12 + i64::from(date.month());
                let is_behind = i64::from(today.day() < self.starts.day());
                let gone = number(today) - number(self.starts) - is_behind;
                let since = gone.rem_euclid(i64::from(months.get()));
                let span = Span::new().try_months(gone - since).ok()?;
                self.starts.checked_add(span).ok()
            }
        }
    }
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
    /// The one window that holds this instant. (The last one that can be told, in the year 9999, holds the last
    /// instant too.)
    pub fn window(&self, at: Timestamp) -> Window {
        let mut first = self.first(self.zone().0.to_datetime(at).date());
        let mut window = self.starting(first);
        // Where clocks are set over midnight, they show yesterday again or skip a part of today.
        for _ in 0..MAX_STEPS {
            let step = if at >= window.end {
                self.step()
            } else if at < window.start {
                -self.step()
            } else {
                break;
            };
            let Ok(other) = first.checked_add(step) else {
                break;
            };
            first = other;
            window = self.starting(first);
        }
        window
    }

    /// Where its days turn.
    pub fn zone(&self) -> &Zone {
        match self {
            Self::Day(zone) | Self::Week(zone) | Self::Month(zone) => zone,
            Self::Cycle(cycle) => &cycle.zone,
        }
    }

    /// From one first day to the next.
    fn step(&self) -> Span {
        let span = Span::new();
        match self {
            Self::Day(_) => span.days(1),
            Self::Week(_) => span.days(7),
            Self::Month(_) => span.months(1),
            Self::Cycle(cycle) => match cycle.length {
                Length::Days(days) => span.days(i32::from(days.get())),
                Length::Months(months) => span.months(i32::from(months.get())),
            },
        }
    }

    /// The first day of the window that has this day.
    fn first(&self, today: Date) -> Date {
        match self {
            Self::Day(_) => today,
            Self::Week(_) => {
                let since = Span::new().days(today.weekday().to_monday_zero_offset());
                today.checked_sub(since).unwrap_or(Date::MIN)
            }
            Self::Month(_) => today.first_of_month(),
            Self::Cycle(cycle) => cycle.first(today).unwrap_or(Date::MIN),
        }
    }

    fn starting(&self, first: Date) -> Window {
        let next = first.checked_add(self.step()).ok();
        Window {
            start: self.midnight(first).unwrap_or(Timestamp::MIN),
            end: next
                .and_then(|next| self.midnight(next))
                .unwrap_or(Timestamp::MAX),
        }
    }

    /// A day's midnight: the earlier of two; where clocks skip it, the instant at which they do. Rounded down to
    /// the slot.
    fn midnight(&self, day: Date) -> Option<Timestamp> {
        let midnight = day.to_datetime(Time::midnight());
        let found = self.zone().0.to_ambiguous_timestamp(midnight);
        let second = found.compatible().ok()?.as_second();
        Timestamp::from_second(second - second.rem_euclid(SLOT)).ok()
    }
}

impl fmt::Display for Every {
    /// `month`, `day in Asia/Tokyo`, `30 days from 2026-11-05`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Day(_) => f.write_str("day")?,
            Self::Week(_) => f.write_str("week")?,
            Self::Month(_) => f.write_str("month")?,
            Self::Cycle(Cycle { starts, length, .. }) => {
                let (count, unit) = match length {
                    Length::Days(days) => (days, "day"),
                    Length::Months(months) => (months, "month"),
                };
                let s = if count.get() == 1 { "" } else { "s" };
                write!(f, "{count} {unit}{s} from {starts}")?;
            }
        }
        match self.zone() {
            zone if *zone == Zone::utc() => Ok(()),
            zone => write!(f, " in {zone}"),
        }
    }
}

#[cfg(test)]
mod tests;

//! Amounts of ACUs (the unit that Devin bills by): thousandths, in integers, never floats.
//!
//! Everything that is held, spent or left is an [`Acu`]; what goes to Devin as
//! `max_acu_limit` is a [`Cap`], since Devin takes whole numbers. Arithmetic is
//! checked: a sum that does not fit is an error of the caller's to handle, and
//! what Devin reports is rounded up, against ourselves.

use std::fmt;
use std::num::NonZeroU32;
use std::str::FromStr;

use serde::{Serialize, Serializer};

/// Thousandths in one ACU.
const MILLI: i64 = 1_000;

/// The most ACUs that any one amount in a policy or a reading may be: far above any bill, and a million of them add up
/// without overflow.
pub const MAX_ACUS: u32 = 1_000_000_000;

/// An amount of ACUs. It can be negative: what is left of a budget that is overdrawn.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Acu(i64);

impl Acu {
    /// Nothing.
    pub const ZERO: Self = Self(0);

    /// Of so many thousandths.
    pub const fn from_milli(milli: i64) -> Self {
        Self(milli)
    }

    /// Of so many whole ACUs.
    pub const fn whole(acus: u32) -> Self {
        // u32::MAX times a thousand is far below i64::MAX.
        Self(acus as i64 * MILLI)
    }

    /// What Devin reports, rounded up to a thousandth. `None` for what is no amount: negative, not finite, or beyond
    /// [`MAX_ACUS`].
    pub fn from_reported(acus: f64) -> Option<Self> {
        // A float is a little off its decimal: 1.1 is 1100.0000000000002 thousandths, and means 1100.
        let milli = (acus * 1e3 - 1e-6).ceil().max(0.0);
        let fits = acus.is_finite() && (0.0..=f64::from(MAX_ACUS)).contains(&acus);
        #[expect(
            clippy::cast_possible_truncation,
            reason = "a whole number up to 10^12, as was just checked"
        )]
        fits.then_some(Self(milli as i64))
    }

    /// The thousandths.
    pub const fn milli(self) -> i64 {
        self.0
    }

    /// The sum, if it fits.
    pub const fn checked_add(self, other: Self) -> Option<Self> {
        match self.0.checked_add(other.0) {
            Some(sum) => Some(Self(sum)),
            None => None,
        }
    }

    /// The difference, if it fits.
    pub const fn checked_sub(self, other: Self) -> Option<Self> {
        match self.0.checked_sub(other.0) {
            Some(difference) => Some(Self(difference)),
            None => None,
        }
    }

    /// The sum, or the nearest amount that fits: for what is only shown.
    pub const fn saturating_add(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }

    /// The difference, or the nearest amount that fits: for what is only shown.
    pub const fn saturating_sub(self, other: Self) -> Self {
        Self(self.0.saturating_sub(other.0))
    }

    /// The whole ACUs in it, rounded down; nothing of a negative amount.
    pub fn whole_acus(self) -> u32 {
        u32::try_from(self.0.max(0) / MILLI).unwrap_or(u32::MAX)
    }

    /// Whether it is below nothing.
    pub const fn is_negative(self) -> bool {
        self.0 < 0
    }

    /// The nearest float: for metrics and ratios, never for decisions.
    pub fn as_f64(self) -> f64 {
        #[expect(
            clippy::cast_precision_loss,
            reason = "shown only; exact up to 9 * 10^12 ACUs"
        )]
        let milli = self.0 as f64;
        milli / 1e3
    }
}

impl fmt::Display for Acu {
    /// `5`, `1.5`, `-0.001`: no more decimals than it takes.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.0 < 0 { "-" } else { "" };
        let (whole, rest) = (
            self.0.unsigned_abs() / MILLI.unsigned_abs(),
            self.0.unsigned_abs() % MILLI.unsigned_abs(),
        );
        let text = if rest == 0 {
            format!("{sign}{whole}")
        } else {
            format!("{sign}{whole}.{rest:03}")
                .trim_end_matches('0')
                .to_owned()
        };
        f.pad(&text)
    }
}

/// Text that is no amount of ACUs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an amount of ACUs is a number with at most three decimals, up to {MAX_ACUS}")]
pub struct ParseAcuError;

impl FromStr for Acu {
    type Err = ParseAcuError;

    fn from_str(text: &str) -> Result<Self, ParseAcuError> {
        let (negative, digits) = match text.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, text),
        };
        let (whole, decimals) = digits.split_once('.').unwrap_or((digits, "0"));
        let is_plain = |part: &str, most: usize| {
            (1..=most).contains(&part.len()) && part.bytes().all(|it| it.is_ascii_digit())
        };
        if !is_plain(whole, 10) || !is_plain(decimals, 3) {
            return Err(ParseAcuError);
        }
        let whole: i64 = whole.parse().map_err(|_| ParseAcuError)?;
        let decimals: i64 = format!("{decimals:0<3}")
            .parse()
            .map_err(|_| ParseAcuError)?;
        if whole > i64::from(MAX_ACUS) {
            return Err(ParseAcuError);
        }
        let milli = whole * MILLI + decimals;
        Ok(Self(if negative { -milli } else { milli }))
    }
}

impl Serialize for Acu {
    /// As a JSON number of ACUs, exact up to a thousandth.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if self.0 % MILLI == 0 {
            serializer.serialize_i64(self.0 / MILLI)
        } else {
            serializer.serialize_f64(self.as_f64())
        }
    }
}

/// What Devin is told as `max_acu_limit`: whole ACUs, at least one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Cap(NonZeroU32);

impl Cap {
    /// Of so many ACUs: none where that is zero, negative, or beyond [`MAX_ACUS`].
    pub fn new(acus: i64) -> Option<Self> {
        let acus = u32::try_from(acus).ok().filter(|it| *it <= MAX_ACUS)?;
        NonZeroU32::new(acus).map(Self)
    }

    /// The number.
    pub const fn get(self) -> u32 {
        self.0.get()
    }

    /// The amount that has to be held for it.
    pub const fn acu(self) -> Acu {
        Acu::whole(self.0.get())
    }
}

impl fmt::Display for Cap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn m13_what_devin_reports_is_checked_and_rounded_up() {
        for (reported, milli) in [
            (0.0, 0),
            (1.5, 1_500),
            (1.1, 1_100),
            (0.0001, 1),
            (2.000_4, 2_001),
            (1e9, 1_000_000_000_000),
        ] {
            assert_eq!(Acu::from_reported(reported), Some(Acu(milli)), "{reported}");
        }
        for bad in [
            -0.1,
            f64::NAN,
            f64::INFINITY,
            f64::NEG_INFINITY,
            1.1e9,
            1e300,
        ] {
            assert_eq!(Acu::from_reported(bad), None, "{bad}");
        }
    }

    #[test]
    fn m18_sums_that_do_not_fit_are_none() {
        let most = Acu::from_milli(i64::MAX);
        assert_eq!(most.checked_add(Acu::from_milli(1)), None);
        assert_eq!(Acu::from_milli(i64::MIN).checked_sub(Acu::whole(1)), None);
        assert_eq!(most.saturating_add(most), most);
        let all =
            (0..1_000_000).try_fold(Acu::ZERO, |sum, _| sum.checked_add(Acu::whole(MAX_ACUS)));
        assert!(all.is_some(), "a million of the largest amounts add up");
    }

    #[test]
    fn amounts_read_as_they_are_written() {
        for (text, milli) in [
            ("0", 0),
            ("5", 5_000),
            ("1.5", 1_500),
            ("-0.001", -1),
            ("1000000000", 1_000_000_000_000),
        ] {
            assert_eq!(text.parse(), Ok(Acu(milli)));
            assert_eq!(Acu(milli).to_string(), text);
        }
        for bad in [
            "",
            "-",
            ".",
            "1.",
            ".5",
            "1.2345",
            "1e3",
            "+1",
            " 1",
            "1,5",
            "1000000001",
            "99999999999",
        ] {
            assert_eq!(bad.parse::<Acu>(), Err(ParseAcuError), "{bad}");
        }
        assert_eq!(
            serde_json::to_string(&[Acu(1_500), Acu(2_000)]).unwrap(),
            "[1.5,2]"
        );
        assert_eq!(format!("{:>6}|", Acu(1_500)), "   1.5|");
    }

    #[test]
    fn b3_a_cap_is_a_positive_whole_number() {
        assert_eq!(Cap::new(5).map(Cap::acu), Some(Acu::whole(5)));
        for bad in [0, -1, i64::MIN, i64::MAX, i64::from(MAX_ACUS) + 1] {
            assert_eq!(Cap::new(bad), None, "{bad}");
        }
    }

    proptest! {
        #[test]
        fn every_amount_survives_its_own_text(milli in -1_000_000_000_000_i64..=1_000_000_000_000) {
            prop_assert_eq!(Acu(milli).to_string().parse(), Ok(Acu(milli)));
        }

        #[test]
        fn a_reported_amount_is_never_charged_below_itself(acus in 0.0..1e6) {
            let charged = Acu::from_reported(acus).unwrap().as_f64();
            prop_assert!(charged >= acus - 1e-8 && charged < acus + 0.001 + 1e-8);
        }
    }
}

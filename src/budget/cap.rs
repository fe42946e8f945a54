//! The cap that fits: from what was asked for and what there is room for. Pure.

use crate::acu::{Acu, Cap};
use crate::policy::bounds::{CapTerms, NoRoom};

/// There is no room for the cap.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoFit {
    /// What there is room for.
    pub room: Acu,
    /// The least that would do.
    pub least: Acu,
}

/// The cap that is held and sent (L3): the one that is wanted where it fits, else what fits where that may be lowered,
/// but never less than the terms' least.
///
/// # Errors
/// It does not fit.
pub fn fit(wanted: Cap, terms: CapTerms, room: Acu) -> Result<Cap, NoFit> {
    if wanted.acu() <= room {
        return Ok(wanted);
    }
    let least = Cap::new(terms.min.max(1)).unwrap_or(wanted);
    match terms.no_room {
        NoRoom::Refuse => Err(NoFit {
            room,
            least: wanted.acu(),
        }),
        NoRoom::Clamp => Cap::new(i64::from(room.whole_acus()))
            .filter(|it| *it >= least)
            .ok_or(NoFit {
                room,
                least: least.acu(),
            }),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn terms(min: i64, no_room: NoRoom) -> CapTerms {
        CapTerms { min, no_room }
    }

    #[test]
    fn l3_no_room_refuses_or_clamps_to_whole_acus() {
        use NoRoom::{Clamp, Refuse};
        // wanted, min, no_room, room in thousandths, cap
        for (wanted, min, no_room, room, cap) in [
            (5, 1, Refuse, 5_000, Some(5)),
            (5, 1, Refuse, 4_999, None),
            (5, 1, Refuse, 0, None),
            (5, 1, Refuse, -1, None),
            (5, 1, Clamp, 5_000, Some(5)),
            (5, 1, Clamp, 4_999, Some(4)),
            (5, 1, Clamp, 1_000, Some(1)),
            (5, 1, Clamp, 999, None),
            (5, 1, Clamp, 0, None),
            (5, 1, Clamp, -3_000, None),
            (5, 3, Clamp, 3_999, Some(3)),
            (5, 3, Clamp, 2_999, None),
            (5, 0, Clamp, 900, None),
            (1, 1, Refuse, i64::MAX, Some(1)),
        ] {
            let fitted = fit(
                Cap::new(wanted).unwrap(),
                terms(min, no_room),
                Acu::from_milli(room),
            );
            assert_eq!(
                fitted.ok().map(Cap::get),
                cap,
                "{wanted} {min} {no_room:?} {room}"
            );
        }
    }

    proptest! {
        #[test]
        fn l3_no_cap_is_above_the_room_or_what_was_wanted(
            wanted in 1_i64..1_000, min in 0_i64..50, clamps in any::<bool>(), room in -10_000_i64..2_000_000,
        ) {
            let no_room = if clamps { NoRoom::Clamp } else { NoRoom::Refuse };
            let (wanted, room) = (Cap::new(wanted).unwrap(), Acu::from_milli(room));
            match fit(wanted, terms(min, no_room), room) {
                Ok(cap) => {
                    prop_assert!(cap.acu() <= room && cap <= wanted);
                    prop_assert!(cap == wanted || i64::from(cap.get()) >= min);
                }
                Err(no_fit) => prop_assert!(no_fit.least > room),
            }
        }
    }
}

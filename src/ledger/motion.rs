//! What a session's status says about its spending. Pure; the table stands in Devin's API reference
//! (`SessionResponse`: `status`, `status_detail`).

/// Whether a session can still spend by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Motion {
    /// It works, or will soon: nothing is closed. Whatever is not known counts as this.
    Active,
    /// It rests until a message wakes it: closed when it is seen so twice, some time apart.
    Resting,
    /// It is over for good.
    Ended,
}

impl Motion {
    /// Of Devin's words.
    pub fn of(status: &str, detail: Option<&str>) -> Self {
        match (status, detail) {
            ("exit" | "error", _) => Self::Ended,
            ("suspended", _) | ("running", Some("finished")) => Self::Resting,
            // new, claimed, resuming; running with another detail, or with none; and what Devin says tomorrow.
            _ => Self::Active,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn l6_every_state_that_can_be_met_has_its_motion() {
        use Motion::{Active, Ended, Resting};
        for (status, detail, wanted) in [
            ("new", None, Active),
            ("creating", None, Active),
            ("claimed", None, Active),
            ("resuming", None, Active),
            ("running", None, Active),
            ("running", Some("working"), Active),
            ("running", Some("waiting_for_user"), Active),
            ("running", Some("waiting_for_approval"), Active),
            ("running", Some("finished"), Resting),
            ("running", Some("Finished"), Active),
            ("running", Some("dreaming"), Active),
            ("suspended", None, Resting),
            ("suspended", Some("inactivity"), Resting),
            ("suspended", Some("user_request"), Resting),
            ("suspended", Some("error"), Resting),
            ("suspended", Some("usage_limit_exceeded"), Resting),
            ("suspended", Some("out_of_credits"), Resting),
            ("suspended", Some("out_of_quota"), Resting),
            ("suspended", Some("no_quota_allocation"), Resting),
            ("suspended", Some("payment_declined"), Resting),
            ("suspended", Some("org_usage_limit_exceeded"), Resting),
            ("suspended", Some("user_usage_limit_exceeded"), Resting),
            ("suspended", Some("total_session_limit_exceeded"), Resting),
            ("suspended", Some("contract_expired"), Resting),
            ("suspended", Some("a_reason_of_tomorrow"), Resting),
            ("exit", None, Ended),
            ("exit", Some("finished"), Ended),
            ("error", None, Ended),
            ("error", Some("working"), Ended),
            ("finished", None, Active),
            ("EXIT", None, Active),
            ("", None, Active),
            ("paused", Some("finished"), Active),
        ] {
            assert_eq!(Motion::of(status, detail), wanted, "{status} {detail:?}");
        }
    }
}

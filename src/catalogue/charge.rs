//! How an operation that spends is charged.

use super::Operation;

/// How an operation that spends is charged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Charge {
    /// It begins a session, and Devin is told its cap.
    Capped,
    /// It wakes a session, which may use its cap again.
    Wake,
    /// Devin knows no cap for it: it is charged as its grant says, or refused.
    Uncapped,
}

impl Operation {
    /// How it is charged; none of an operation that spends nothing.
    pub fn charge(&self) -> Option<Charge> {
        self.spends?;
        Some(if self.body_field("max_acu_limit").is_some() {
            Charge::Capped
        } else if self.path.ends_with("/{devin_id}/messages") {
            Charge::Wake
        } else {
            Charge::Uncapped
        })
    }

    /// Whether it answers with the record of the one session that its path names.
    pub fn answers_session(&self) -> bool {
        let of_session = |rest: &str| {
            matches!(
                rest,
                "" | "/archive" | "/unarchive" | "/messages" | "/insights"
            )
        };
        self.pages.is_none()
            && self
                .path
                .split_once("/sessions/{devin_id}")
                .is_some_and(|(_, rest)| of_session(rest))
    }
}

#[cfg(test)]
mod tests {
    use super::super::OperationIx;
    use super::*;

    #[test]
    fn l1_every_operation_that_spends_is_held_or_charged() {
        let charged: Vec<(&str, Charge)> = OperationIx::served()
            .filter_map(|ix| Some((ix.row().id, ix.row().charge()?)))
            .collect();
        let spending = OperationIx::served().filter(|ix| ix.row().spends.is_some());
        assert_eq!(charged.len(), spending.count());
        assert_eq!(charged.len(), 13);
        let of = |wanted| {
            let all = charged.iter().filter(move |(_, charge)| *charge == wanted);
            all.map(|(id, _)| *id).collect::<Vec<_>>()
        };
        assert_eq!(of(Charge::Capped), ["sessions.create"]);
        assert_eq!(
            of(Charge::Wake),
            [
                "sessions.messages.send",
                "enterprise.sessions.messages.send"
            ]
        );
        assert_eq!(of(Charge::Uncapped).len(), 10);
    }

    #[test]
    fn l6_the_answers_that_hold_a_sessions_record_are_known() {
        let all: Vec<&str> = OperationIx::served()
            .map(OperationIx::row)
            .filter(|row| row.answers_session())
            .map(|row| row.id)
            .collect();
        assert_eq!(
            all,
            [
                "sessions.get",
                "sessions.terminate",
                "sessions.archive",
                "sessions.unarchive",
                "sessions.messages.send",
                "sessions.insights.get",
                "enterprise.sessions.get",
                "enterprise.sessions.messages.send",
                "enterprise.sessions.insights.get",
            ]
        );
    }
}

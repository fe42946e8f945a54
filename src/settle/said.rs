//! Looking for messages that were sent and never answered, among what was said in their sessions (L5).
//!
//! Which clock dates a message is not asked: ours and Devin's differ. Messages of one text are counted instead, on both
//! sides.

use serde_json::Value;

use super::devin::{AskError, ToDevin, is_withheld, target};
use super::reconciler::{Reconciler, RoundError};
use crate::ledger::moment::Moment;
use crate::ledger::{Alike, Resolution, SessionId, Sought, Unsure, UnsureKind};
use crate::pipeline::fund::text_digest;

/// The most pages of one conversation: 20,000 messages.
const MAX_PAGES: usize = 100;
/// How long messages are looked for in one round: the other parts of it have their turn too.
const SEEKING: std::time::Duration = std::time::Duration::from_secs(60);

/// How often a text was said in a session by its users.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Said {
    count: usize,
    /// Whether the first message is one of them: then it can be the prompt.
    is_first: bool,
}

/// What is known of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Finding {
    /// There is one more of its text than all others have made.
    Found,
    /// There is none left for it.
    Absent,
    /// Another one of its text was under way meanwhile.
    Unclear,
}

/// Whether one of the messages is that of a wake without an answer, by what the ledger had of that text before they were
/// read, and behind it. Pure.
fn judge(said: Said, before: Alike, behind: Alike) -> Finding {
    let prompt = usize::from(before.is_prompt && said.is_first);
    let most = behind.carried_out.saturating_add(prompt);
    let least = before.carried_out.saturating_add(prompt);
    if said.count <= least {
        Finding::Absent
    } else if said.count > most && behind.on_their_way == 0 {
        Finding::Found
    } else {
        Finding::Unclear
    }
}

impl<U> Reconciler<U>
where
    U: ToDevin,
{
    /// Looks for each message whose outcome is unknown, beginning where the last round stopped.
    pub(super) async fn seek_messages(&self) -> Result<(), RoundError> {
        let mut place = self.sought_messages.lock().await;
        let (unsure, are_more) = self.ledger.sought(Sought::Messages, *place).await?;
        let begun = self.clock.up();
        let mut failed = None;
        for it in &unsure {
            if self.clock.up().saturating_sub(begun) >= SEEKING {
                return failed.map_or(Ok(()), Err);
            }
            if let UnsureKind::Message { session, text } = &it.kind {
                let found = self.seek_message(it, session, text).await;
                failed = found.err().or(failed);
            }
            *place = Some(it.hold);
        }
        if !are_more {
            *place = None;
        }
        failed.map_or(Ok(()), Err)
    }

    async fn seek_message(
        &self,
        it: &Unsure,
        session: &SessionId,
        text: &[u8; 32],
    ) -> Result<(), RoundError> {
        let before = self.ledger.alike(session.clone(), *text).await?;
        let begun = self.begun();
        let said = match self.said(&it.organization, session, text).await {
            Ok(said) => said,
            // The session's messages cannot be had at all: it is taken for carried out.
            Err(AskError::Status(status)) if is_withheld(status) => None,
            Err(error) => return Err(error.into()),
        };
        let Some(said) = said else {
            if self.is_late(it, begun) {
                let hold = it.hold;
                tracing::warn!(%hold, %session, "what was said in a session cannot be read: a message without an answer is taken for carried out");
                self.ledger
                    .presumed(Moment::now(&*self.clock), it.hold)
                    .await?;
                self.tell_accepted(it, session).await;
            }
            return Ok(());
        };
        let behind = self.ledger.alike(session.clone(), *text).await?;
        match judge(said, before, behind) {
            Finding::Found => {
                self.ledger
                    .answered(Moment::now(&*self.clock), it.hold)
                    .await?;
                self.tell_accepted(it, session).await;
                Ok(())
            }
            Finding::Absent => self.absent(it, begun).await,
            // The next round sees it.
            Finding::Unclear => Ok(()),
        }
    }

    async fn tell_accepted(&self, it: &Unsure, session: &SessionId) {
        let path = [
            "v3",
            "organizations",
            &it.organization,
            "sessions",
            &session.to_string(),
        ];
        let resolution = match self.devin.get("sessions.get", &target(&path, &[])).await {
            Ok(body) => Resolution::Accepted(body),
            Err(_) => Resolution::Unresolvable,
        };
        self.ledger.resolve(it.hold, resolution);
    }

    /// How often users have said this in a session; nothing of a conversation that is too long.
    async fn said(
        &self,
        organization: &str,
        session: &SessionId,
        text: &[u8; 32],
    ) -> Result<Option<Said>, AskError> {
        let session = session.to_string();
        let path = [
            "v3",
            "organizations",
            organization,
            "sessions",
            &session,
            "messages",
        ];
        let mut after: Option<String> = None;
        let mut said = Said::default();
        let mut first = i64::MAX;
        for _ in 0..MAX_PAGES {
            let mut query = vec![("first", "200")];
            if let Some(after) = &after {
                query.push(("after", after));
            }
            let body = self
                .devin
                .get("sessions.messages.list", &target(&path, &query))
                .await?;
            let unusable = || AskError::Unusable("a list of messages that is none".into());
            let page: Value = serde_json::from_slice(&body).map_err(|_| unusable())?;
            let items = page.get("items").and_then(Value::as_array);
            for item in items.ok_or_else(unusable)? {
                if item.get("source").and_then(Value::as_str) != Some("user") {
                    continue;
                }
                let message = item.get("message").and_then(Value::as_str);
                let is_it = message.is_some_and(|it| text_digest(it) == *text);
                said.count += usize::from(is_it);
                // Whichever way the list is sorted, and of several in one second, any.
                let at = item.get("created_at").and_then(Value::as_i64);
                match at.unwrap_or(i64::MAX).cmp(&first) {
                    std::cmp::Ordering::Less => {
                        first = at.unwrap_or(i64::MAX);
                        said.is_first = is_it;
                    }
                    std::cmp::Ordering::Equal => said.is_first |= is_it,
                    std::cmp::Ordering::Greater => {}
                }
            }
            let more = page.get("has_next_page").and_then(Value::as_bool) == Some(true);
            let cursor = page.get("end_cursor").and_then(Value::as_str);
            match (more, cursor) {
                (false, _) => return Ok(Some(said)),
                (true, Some(cursor)) if after.as_deref() != Some(cursor) => {
                    after = Some(cursor.to_owned());
                }
                (true, _) => return Err(unusable()),
            }
        }
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn alike(carried_out: usize, on_their_way: usize, is_prompt: bool) -> Alike {
        Alike {
            carried_out,
            on_their_way,
            is_prompt,
        }
    }

    #[test]
    fn l5_a_message_is_found_by_counting_its_likes_on_both_sides() {
        use Finding::{Absent, Found, Unclear};
        let none = alike(0, 0, false);
        for (count, is_first, before, behind, wanted) in [
            (0, false, none, none, Absent),
            (1, false, none, none, Found),
            (1, false, alike(1, 0, false), alike(1, 0, false), Absent),
            (2, false, alike(1, 0, false), alike(1, 0, false), Found),
            // The prompt is one of them, where Devin shows it as the first.
            (1, true, alike(0, 0, true), alike(0, 0, true), Absent),
            (2, true, alike(0, 0, true), alike(0, 0, true), Found),
            (1, false, alike(0, 0, true), alike(0, 0, true), Found),
            (1, true, none, none, Found),
            // Another one that is under way can have said it.
            (1, false, alike(0, 1, false), alike(0, 1, false), Unclear),
            (1, false, none, alike(0, 1, false), Unclear),
            (1, false, none, alike(1, 0, false), Unclear),
            (0, false, none, alike(1, 0, false), Absent),
            (1, false, alike(1, 1, false), alike(2, 0, false), Absent),
            (2, false, alike(0, 1, false), alike(1, 0, false), Found),
        ] {
            let said = Said { count, is_first };
            assert_eq!(
                judge(said, before, behind),
                wanted,
                "{said:?} {before:?} {behind:?}"
            );
        }
    }
}

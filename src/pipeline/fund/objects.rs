//! What a request sets up that goes on spending: its present window is paid for, and the ledger told of it (L3).

use std::sync::Arc;

use http::Response;
use serde_json::Value;
use tower::Service;

use super::super::Permitted;
use super::super::attempts::Intended;
use super::{Funded, Purse};
use crate::body::Body;
use crate::budget::{Budget, shortest};
use crate::catalogue::{Object, Operation};
use crate::exchange::Exchange;
use crate::ledger::moment::Moment;
use crate::ledger::{Costs, HoldId, ObjectKey, What};
use crate::policy::bounds::{Uncapped, UncappedPer};
use crate::rejection::Rejection;

/// The longest id that is written down.
const MAX_ID: usize = 128;

/// What will be written down once the request is carried out.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    kind: Object,
    organization: Arc<str>,
    /// Which, if the path names it.
    named: Option<Box<str>>,
    costs: Costs,
}

impl Plan {
    /// Of a request that sets something up whose grant charges each window.
    pub(super) fn of(
        permitted: &Permitted,
        organization: &Arc<str>,
        uncapped: Uncapped,
        budgets: &[Arc<Budget>],
        moment: Moment,
    ) -> Option<Self> {
        let operation = permitted.operation().row();
        let kind = operation.sets_up()?;
        match uncapped.per {
            UncappedPer::Run => return None,
            UncappedPer::Window => {}
        }
        let every = shortest(budgets, moment.at);
        Some(Self {
            kind,
            organization: Arc::clone(organization),
            named: named(permitted, operation, kind),
            costs: Costs {
                acus: uncapped.acus,
                disables: uncapped.disables,
                // Without a budget there are no windows, until there is one.
                until: every.map_or(moment.at, |it| it.window(moment.at).end),
            },
        })
    }

    fn key(&self, object: &str) -> ObjectKey {
        ObjectKey {
            kind: self.kind,
            organization: Arc::clone(&self.organization),
            object: object.into(),
        }
    }

    /// What it is held for.
    pub(super) fn what(&self) -> What {
        What::Standing {
            acus: self.costs.acus,
            object: self.named.as_deref().map(|it| self.key(it)),
        }
    }

    /// Writes it down. `answer` is Devin's, if it came.
    pub(super) async fn carried_out(self, purse: &Purse, hold: HoldId, answer: Option<&[u8]>) {
        let told = answer.and_then(|answer| told(answer, self.kind));
        let Some(object) = self.named.clone().or(told) else {
            tracing::error!(
                %hold,
                kind = self.kind.as_str(),
                "something was set up that goes on spending, and nobody knows its id: it is charged for this window alone"
            );
            return;
        };
        let key = self.key(&object);
        if let Err(error) = purse.ledger.stands_up(hold, key, self.costs).await {
            let kind = self.kind.as_str();
            tracing::error!(%error, %object, kind, "what goes on spending is not written down");
        }
    }
}

/// The id that the path names.
fn named(permitted: &Permitted, operation: &Operation, kind: Object) -> Option<Box<str>> {
    let parameter = format!("{{{}}}", kind.id());
    let at = operation.path.split('/').position(|it| it == parameter)?;
    // The template has nothing before its first slash, and the target a version there.
    let segment = permitted.target().segments().nth(at)?;
    let id = segment.decoded();
    (id.len() <= MAX_ID).then(|| id.into())
}

/// The id that an answer tells.
fn told(answer: &[u8], kind: Object) -> Option<Box<str>> {
    let value: Value = serde_json::from_slice(answer).ok()?;
    let mut members = [kind.id(), "id"].into_iter();
    let id = members.find_map(|it| value.get(it).and_then(Value::as_str))?;
    (id.len() <= MAX_ID).then(|| id.into())
}

/// Passes a request on that takes something away, and notes that it is gone.
pub(super) async fn take_away<S>(
    purse: Arc<Purse>,
    mut ready: S,
    exchange: Exchange<Intended>,
    kind: Object,
) -> Result<Response<Body>, Rejection>
where
    S: Service<Exchange<Funded>, Response = Response<Body>, Error = Rejection>,
{
    let permitted = exchange.proof.owned().permitted();
    let object = named(permitted, permitted.operation().row(), kind);
    let organization = permitted.organization().map(Arc::from);
    let answer = ready
        .call(exchange.prove(|intended| Funded { intended }))
        .await?;
    if answer.status().is_success()
        && let Some((object, organization)) = object.zip(organization)
    {
        let key = ObjectKey {
            kind,
            organization,
            object,
        };
        let moment = Moment::now(&*purse.clock);
        if let Err(error) = purse.ledger.taken_away(moment, key).await {
            // It is looked at before it is charged again.
            tracing::debug!(%error, "what was taken away is still written down");
        }
    }
    Ok(answer)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn l3_an_answer_tells_the_id_of_what_was_set_up() {
        for (answer, wanted) in [
            (r#"{"schedule_id":"s1","id":"x"}"#, Some("s1")),
            (r#"{"id":"x"}"#, Some("x")),
            (r#"{"automation_id":"a"}"#, None),
            (r#"{"schedule_id":7}"#, None),
            ("no JSON", None),
        ] {
            let told = told(answer.as_bytes(), Object::Schedule);
            assert_eq!(told.as_deref(), wanted, "{answer}");
        }
        let long = format!(r#"{{"id":"{}"}}"#, "x".repeat(MAX_ID + 1));
        assert_eq!(told(long.as_bytes(), Object::Schedule), None);
    }
}

//! A request that spends: hold, send, and what becomes of the hold.

use std::panic::{AssertUnwindSafe, resume_unwind};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use aws_lc_rs::digest::{SHA256, digest};
use bytes::Bytes;
use futures_util::FutureExt;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use http::{HeaderValue, Response};
use http_body_util::BodyExt;
use tower::Service;

use super::super::attempts::{Attempt, Intended, MAX_ANSWER, is_definite};
use super::objects::Plan;
use super::{Funded, Permitted, Purse, outbound};
use crate::acu::Cap;
use crate::body::{Body, full, read_whole};
use crate::budget::{Budget, Payer, Slots};
use crate::catalogue::{Charge, Operation};
use crate::clock::Clock;
use crate::exchange::Exchange;
use crate::failpoint::{Point, reach};
use crate::json::Document;
use crate::ledger::moment::{Begun, Moment};
use crate::ledger::tag::Tag;
use crate::ledger::{
    Held, HoldId, Holding, Ledger, NotHeld, OnTrial, Resolution, SessionId, StoreError, What,
};
use crate::policy::bounds::Uncapped;
use crate::policy::{Policy, Shadowed};
use crate::pressure::Class;
use crate::problem::Code;
use crate::rejection::{NoRoom, Rejection, SpendUncapped};
use crate::settle::Record;
use crate::trail::Trail;

/// In place of an organization, for what names none.
const NOWHERE: &str = "(enterprise)";
/// How long a create waits for another's outcome where they go one by one.
const ALONE: Duration = Duration::from_secs(10);
/// How often it looks.
const LOOK: Duration = Duration::from_millis(250);
/// How long after a store that did not take something it is tried again.
const AGAIN: Duration = Duration::from_secs(1);

/// Holds, sends, and settles what is known by then.
pub(super) async fn spend<S>(
    purse: Arc<Purse>,
    mut ready: S,
    mut exchange: Exchange<Intended>,
    charge: Charge,
    attempt: Attempt,
) -> Result<Response<Body>, Rejection>
where
    S: Service<Exchange<Funded>, Response = Response<Body>, Error = Rejection>,
{
    purse.pressure.foresee(&exchange.trail, Class::Spends)?;
    let body = match charge {
        Charge::Capped | Charge::Wake => {
            let body = std::mem::replace(exchange.request.body_mut(), crate::body::empty());
            Some(collect(body).await?)
        }
        Charge::Uncapped => None,
    };
    let asked = asked(&purse, &exchange, charge, attempt, body.as_deref())?;
    let organization = Arc::clone(&asked.holding.payer.organization);
    let caller = Arc::clone(&asked.holding.payer.caller);
    let permitted = exchange.proof.owned().permitted().clone();
    let plan = asked.plan.clone();
    let trail = Arc::clone(&exchange.trail);
    let held = hold(Arc::clone(&purse), permitted, asked, &trail).await?;
    if let Some(on_trial) = &held.on_trial {
        note_trial(&trail, on_trial);
    }
    let _ = trail.held.set(held.clone());
    let hold = attempt.hold;
    // A message to a session without a cap is charged, and not held for.
    let charge = held.cap.map_or(Charge::Uncapped, |_| charge);
    if let Some(body) = body {
        let body = match held.cap.filter(|_| charge == Charge::Capped) {
            Some(cap) => {
                let tag = (!purse.untagged.contains(&*organization)).then(|| {
                    let caller = (*caller).into();
                    let tag = Tag { hold, caller, cap };
                    purse.ledger.tag_key().tag(&tag, &organization)
                });
                let text = outbound::with_cap(&body, cap, tag.as_deref());
                let Some(text) = text else {
                    settle(Arc::clone(&purse), hold, Outcome::Refused).await;
                    return Err(Rejection::Internal);
                };
                Bytes::from(text)
            }
            None => body,
        };
        let headers = exchange.request.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.remove(CONTENT_LENGTH);
        *exchange.request.body_mut() = full(body);
    }
    let operation = exchange.proof.owned().permitted().operation();
    let begun = purse.ledger.begin_reading(&*purse.clock);
    let sent = exchange.prove(|intended| Funded { intended });
    let sending = async move {
        let answer = ready.call(sent).await?;
        reach(Point::SentBeforeAnswer);
        whole(answer).await
    };
    let answer = match AssertUnwindSafe(sending).catch_unwind().await {
        Ok(answer) => answer,
        Err(panic) => {
            // A bug of ours, before or after it left. Whoever catches this knows nothing of the hold.
            settle(Arc::clone(&purse), hold, unknown(charge)).await;
            resume_unwind(panic)
        }
    };
    reach(Point::AnswerBeforeSettle);
    let told = answer.as_ref().ok().map(|it| it.body().clone());
    let (outcome, answer) = judge(operation.row(), charge, answer);
    settle(Arc::clone(&purse), hold, outcome.clone()).await;
    if let Some(plan) = plan
        && matches!(outcome, Outcome::Charged | Outcome::Unseen)
    {
        plan.carried_out(&purse, hold, told.as_deref()).await;
    }
    if let Outcome::Done {
        record: Some(record),
    } = &outcome
    {
        read(Arc::clone(&purse), record.clone(), begun, hold).await;
    }
    let mut answer = answer?;
    trail.upstream_answered.store(true, Ordering::Relaxed);
    if matches!(outcome, Outcome::Done { .. } | Outcome::Charged) {
        outbound::tell(answer.headers_mut(), &held);
    }
    Ok(answer)
}

/// What a spend will be held for, and what it is if it has no cap.
struct Asked {
    holding: Holding,
    uncapped: Option<Uncapped>,
    /// What goes on spending, if it does.
    plan: Option<Plan>,
}

/// The body, which was judged and is at hand.
async fn collect(body: Body) -> Result<Bytes, Rejection> {
    let read = body.collect().await;
    Ok(read.map_err(|_| Rejection::BodyBroken)?.to_bytes())
}

fn asked(
    purse: &Purse,
    exchange: &Exchange<Intended>,
    charge: Charge,
    attempt: Attempt,
    body: Option<&[u8]>,
) -> Result<Asked, Rejection> {
    let owned = exchange.proof.owned();
    let permitted = owned.permitted();
    let (policy, operation) = (permitted.policy(), permitted.operation().row());
    let applied = policy.applied(permitted.grant());
    let uncapped = applied.uncapped();
    let caller = policy.caller(permitted.caller());
    let organization = exchange.trail.organization.get();
    let mut payer = Payer {
        organization: organization.map_or(NOWHERE, String::as_str).into(),
        team: Arc::clone(caller.team()),
        caller: Arc::clone(caller.name()),
    };
    let asker = payer.clone();
    let document = body.and_then(|body| Document::parse(body).ok());
    let member = |name: &str| document.as_ref().and_then(|it| it.root().member(name));
    let session = exchange.trail.session.get();
    let session = session.and_then(|it| SessionId::parse(it));
    let what = match charge {
        Charge::Capped => {
            let wanted = member("max_acu_limit").and_then(|it| it.as_whole());
            let Some(wanted) = wanted.and_then(Cap::new) else {
                return Err(uncapped_refusal(permitted));
            };
            Some(What::Session {
                wanted,
                terms: applied.cap_terms(),
                alone: purse.untagged.contains(&*payer.organization),
                text: member("prompt")
                    .and_then(|it| it.as_text())
                    .map(|it| text_digest(&it)),
            })
        }
        Charge::Wake => session.zip(owned.session()).map(|(session, known)| {
            payer = known.payer.clone();
            let text = member("message").and_then(|it| it.as_text());
            let text = text.unwrap_or_default();
            What::Message {
                session,
                text: text_digest(&text),
            }
        }),
        Charge::Uncapped => None,
    };
    let moment = Moment::now(&*purse.clock);
    let budgets = budgets(policy, &payer);
    let mut plan = None;
    let what = match (what, uncapped) {
        (Some(what), _) => what,
        (None, Some(uncapped)) => {
            plan = Plan::of(permitted, &payer.organization, uncapped, &budgets, moment);
            let whole = What::Uncapped(uncapped.acus);
            plan.as_ref().map_or(whole, Plan::what)
        }
        (None, None) => return Err(uncapped_refusal(permitted)),
    };
    Ok(Asked {
        holding: Holding {
            hold: attempt.hold,
            moment,
            budgets,
            slots: slots(policy, &payer),
            payer,
            asker,
            operation: operation.id,
            what,
            deadline: moment.up.saturating_add(purse.total),
            fingerprint: attempt.fingerprint,
        },
        uncapped,
        plan,
    })
}

/// The digest by which a message is found again among its session's.
pub(crate) fn text_digest(text: &str) -> [u8; 32] {
    let mut out = [0; 32];
    out.copy_from_slice(digest(&SHA256, text.trim().as_bytes()).as_ref());
    out
}

/// The budgets that this payer's spending counts in: its team's, and the guard rails'.
pub(crate) fn budgets(policy: &Policy, payer: &Payer) -> Vec<Arc<Budget>> {
    let counts = |it: &&Arc<Budget>| it.team.is_none() || it.team.as_ref() == Some(&payer.team);
    policy.budgets().iter().filter(counts).cloned().collect()
}

/// How many sessions may run at once, where one of this payer's counts.
fn slots(policy: &Policy, payer: &Payer) -> Vec<Slots> {
    let limits = policy.limits();
    limits.filter_map(|(_, limit)| limit.slots(payer)).collect()
}

fn uncapped_refusal(permitted: &Permitted) -> Rejection {
    let policy = permitted.policy();
    Rejection::SpendUncapped(Box::new(SpendUncapped {
        operation: permitted.operation(),
        rule: Arc::clone(policy.grant_name(permitted.grant())),
        owner: policy.caller(permitted.caller()).owner().map(str::to_owned),
    }))
}

async fn hold(
    purse: Arc<Purse>,
    permitted: Permitted,
    asked: Asked,
    trail: &Trail,
) -> Result<Held, Rejection> {
    let Asked {
        mut holding,
        uncapped,
        plan: _,
    } = asked;
    let until = tokio::time::Instant::now() + ALONE;
    loop {
        let hold = holding.hold;
        match purse.ledger.hold(holding.clone()).await {
            Ok(held) => return Ok(held),
            Err(NotHeld::NoRoom(no_room)) => {
                let caller = permitted.policy().caller(permitted.caller());
                return Err(Rejection::NoRoom(Box::new(NoRoom {
                    no_room: *no_room,
                    owner: caller.owner().map(str::to_owned),
                })));
            }
            Err(NotHeld::NoSlot(limit)) => {
                let _ = trail.limit.set(Arc::clone(&limit));
                let caller = permitted.policy().caller(permitted.caller());
                return Err(Rejection::SessionsAtLimit {
                    limit,
                    owner: caller.owner().map(str::to_owned),
                });
            }
            Err(NotHeld::NoCap) => match (&holding.what, uncapped) {
                (What::Message { .. }, Some(uncapped)) => {
                    holding.what = What::Uncapped(uncapped.acus);
                }
                (
                    What::Session { .. }
                    | What::Message { .. }
                    | What::Uncapped(_)
                    | What::Standing { .. },
                    _,
                ) => {
                    return Err(uncapped_refusal(&permitted));
                }
            },
            Err(NotHeld::Busy) if tokio::time::Instant::now() < until => {
                tokio::time::sleep(LOOK).await;
            }
            Err(NotHeld::Busy) => {
                return Err(Rejection::Overloaded(
                    "In this organization sessions are created one at a time, and an earlier create has no outcome yet",
                ));
            }
            Err(NotHeld::Store(error)) => return Err(Rejection::Store(error)),
            Err(NotHeld::Late) => {
                give_back(&purse, hold);
                return Err(Rejection::Store(StoreError::late()));
            }
        }
    }
}

/// Notes what would have refused the hold if it were enforced.
fn note_trial(trail: &Trail, on_trial: &OnTrial) {
    let (rule, code) = match on_trial {
        OnTrial::Budget(name) => (name, Code::BudgetExhausted),
        OnTrial::Slots(name) => (name, Code::SessionsAtLimit),
    };
    let _ = trail.shadow.set(Shadowed {
        allow: false,
        rule: Some(Arc::clone(rule)),
        code: Some(code),
    });
}

/// Gives back a hold that may have been taken, as soon as the store lets it.
fn give_back(purse: &Purse, hold: HoldId) {
    let (ledger, clock) = (purse.ledger.clone(), Arc::clone(&purse.clock));
    tokio::spawn(async move {
        while ledger.released(Moment::now(&*clock), hold).await.is_err() {
            tokio::time::sleep(AGAIN).await;
        }
    });
}

/// How a request that spends has ended.
#[derive(Clone, Debug)]
enum Outcome {
    /// It was carried out; Devin's record of the session, where it is one.
    Done { record: Option<Box<Record>> },
    /// It was carried out, and has no cap.
    Charged,
    /// It was definitely not carried out (L4).
    Refused,
    /// Nobody knows (L5).
    Unknown,
    /// Nobody knows, and of a spend without a cap nobody will: it stays charged.
    Unseen,
}

fn unknown(charge: Charge) -> Outcome {
    match charge {
        Charge::Uncapped => Outcome::Unseen,
        Charge::Capped | Charge::Wake => Outcome::Unknown,
    }
}

/// Reads an answer whole.
async fn whole(answer: Response<Body>) -> Result<Response<Bytes>, Rejection> {
    let (head, body) = answer.into_parts();
    let read = read_whole(body, MAX_ANSWER).await;
    let body = read.map_err(|source| Rejection::UpstreamInvalid {
        source,
        may_have_acted: true,
    })?;
    Ok(Response::from_parts(head, body))
}

fn judge(
    operation: &Operation,
    charge: Charge,
    answer: Result<Response<Bytes>, Rejection>,
) -> (Outcome, Result<Response<Body>, Rejection>) {
    let answer = match answer {
        Ok(answer) => answer,
        Err(rejection) if rejection.may_have_acted() => {
            return (unknown(charge), Err(rejection));
        }
        Err(rejection) => return (Outcome::Refused, Err(rejection)),
    };
    let status = answer.status();
    let outcome = match charge {
        _ if is_definite(operation, status) => Outcome::Refused,
        _ if !status.is_success() => unknown(charge),
        Charge::Uncapped => Outcome::Charged,
        Charge::Wake => Outcome::Done {
            record: Record::parse(answer.body()).map(Box::new),
        },
        Charge::Capped => match Record::parse(answer.body()) {
            Some(record) => Outcome::Done {
                record: Some(Box::new(record)),
            },
            None => {
                let rejection = Rejection::UpstreamInvalid {
                    source: "an answer to a create that names no session".into(),
                    may_have_acted: true,
                };
                return (Outcome::Unknown, Err(rejection));
            }
        },
    };
    (outcome, Ok(answer.map(full)))
}

/// Writes down how it ended; again and again beside the request if the store does not take it.
async fn settle(purse: Arc<Purse>, hold: HoldId, outcome: Outcome) {
    let (ledger, clock) = (purse.ledger.clone(), Arc::clone(&purse.clock));
    let Err(error) = record(&ledger, &*clock, hold, &outcome).await else {
        return;
    };
    tracing::error!(%error, %hold, "the outcome of a spend is not written down yet");
    tokio::spawn(async move {
        while record(&ledger, &*clock, hold, &outcome).await.is_err() {
            tokio::time::sleep(AGAIN).await;
        }
    });
}

async fn record(
    ledger: &Ledger,
    clock: &dyn Clock,
    hold: HoldId,
    outcome: &Outcome,
) -> Result<(), StoreError> {
    let moment = Moment::now(clock);
    match outcome {
        // Of a message, the record is of a session that is known already.
        Outcome::Done {
            record: Some(record),
        } => ledger.created(moment, hold, record.session.clone()).await,
        Outcome::Done { record: None } => ledger.answered(moment, hold).await,
        Outcome::Charged => ledger.charged(moment, hold).await,
        Outcome::Refused => ledger.released(moment, hold).await.map(|_| ()),
        Outcome::Unknown => ledger.unknown(moment, hold).await,
        Outcome::Unseen => {
            ledger.charged(moment, hold).await?;
            ledger.resolve(hold, Resolution::Unresolvable);
            Ok(())
        }
    }
}

/// The answer's own record is the first reading, begun before the answer.
async fn read(purse: Arc<Purse>, record: Box<Record>, begun: Begun, hold: HoldId) {
    let reading = record.reading(begun, Moment::now(&*purse.clock));
    let known = purse.ledger.read(record.session.clone(), reading).await;
    if let Err(error) = known {
        tracing::debug!(%error, "a reading was not recorded");
    }
    purse.ledger.resolve(hold, Resolution::Accepted(record.raw));
}

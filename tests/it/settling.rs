//! What tests of money ask of a [`World`]: rounds of the reconciler, what the ledger holds, and what the fake has spent.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tollgate::alerts::Kind;
use tollgate::budget::Payer;
use tollgate::ledger::moment::Moment;
use tollgate::pipeline::upstream::{Timeouts, Upstream};
use tollgate::settle::{Reconciler, Times};

use crate::world::World;

/// No waiting: what is absent is absent at once (but twice).
pub(crate) const AT_ONCE: Times = Times {
    every: Duration::from_secs(3_600),
    unknown_after: Duration::ZERO,
    pace: Duration::ZERO,
};

impl World {
    /// One round of the reconciler. Whether all of it went well.
    pub(crate) async fn settle(&self, times: Times) -> bool {
        let upstream = Upstream::new(&[], Timeouts::default()).unwrap();
        Reconciler::new(&self.parts, upstream, times).round().await
    }

    /// What a budget has spent and holds for a caller in `org-ds`, in thousandths.
    pub(crate) async fn stands(&self, budget: &str, caller: &str) -> (i64, i64) {
        let rules = self.policies.load();
        let policy = rules.policy();
        let budget = policy.budgets().iter().find(|it| &*it.name == budget);
        let payer = Payer {
            organization: "org-ds".into(),
            team: Arc::clone(policy.caller_named(caller).unwrap().team()),
            caller: caller.into(),
        };
        let asked = vec![(Arc::clone(budget.unwrap()), payer)];
        let moment = Moment::now(&*self.parts.clock);
        let stands = self.ledger.budgeted(moment, asked).await.unwrap();
        let balance = stands[0].balance;
        (balance.spent.milli(), balance.held.milli())
    }

    /// How many alerts of this kind there were.
    pub(crate) fn rung(&self, kind: Kind) -> u64 {
        let mut all = self.ledger.bell().rung();
        all.find(|(it, _)| *it == kind).unwrap().1
    }

    /// The ledger's sums agree with its history, and (G6) what sessions that it knows have spent at the fake is spent or
    /// held here. A fake that lies of its sessions is not asked.
    pub(crate) async fn check_money(&self) {
        let verdict = self.ledger.verify().await.unwrap();
        assert!(verdict.is_sound(), "G6: {:?}", verdict.differences);
    }

    /// What each session has spent at the fake, in thousandths, by bare id.
    pub(crate) fn truth(&self) -> HashMap<String, i64> {
        let all = self.fake.truth().into_iter();
        all.map(|it| (it.id, it.spent_milli)).collect()
    }
}

/// A create's body as Devin got it, without the tag that the gateway puts on each session.
#[track_caller]
pub(crate) fn without_our_tag(body: &[u8]) -> String {
    let text = String::from_utf8(body.to_vec()).unwrap();
    let at = text.find("\"tollgate.").expect("each create has our tag");
    let end = at + 1 + text[at + 1..].find('"').unwrap() + 1;
    let (before, after) = (&text[..at], &text[end..]);
    match before.strip_suffix(',') {
        Some(before) => format!("{before}{after}"),
        // It is the only one: the list is ours as well.
        None => {
            let before = before.strip_suffix(",\"tags\":[").unwrap();
            format!("{before}{}", after.strip_prefix(']').unwrap())
        }
    }
}

//! The ledger's contract, over its real file: what a later store has to hold to as well.

mod failing;
mod files;
mod hand_over;
mod older;
mod operating;
mod plans;
mod rules;
mod slots;
mod sums;
mod unknown;

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use super::book::Reading;
use super::moment::Moment;
use super::*;
use crate::acu::{Acu, Cap};
use crate::budget::{Budget, Every, Payer, Per, Zone};
use crate::policy::bounds::{CapTerms, NoRoom};

const QUIET: Duration = Duration::from_secs(60);

fn budget(name: &str, team: Option<&str>, per: Per, acus: u32) -> Arc<Budget> {
    Arc::new(Budget {
        name: name.into(),
        id: name.into(),
        team: team.map(Into::into),
        per,
        limit: Acu::whole(acus),
        every: Every::Month(Zone::devin()),
        alert_at: Vec::new(),
        shadow: false,
    })
}

fn payer(caller: &str) -> Payer {
    Payer {
        organization: "org-a".into(),
        team: "t".into(),
        caller: caller.into(),
    }
}

fn at(second: i64) -> Moment {
    Moment {
        at: Timestamp::from_second(1_790_000_000 + second).unwrap(),
        up: Duration::from_secs(second.unsigned_abs()),
    }
}

fn session(n: u32) -> SessionId {
    SessionId::parse(&format!("{n:032x}")).unwrap()
}

fn create(caller: &str, cap: i64, budgets: &[&Arc<Budget>]) -> Holding {
    Holding {
        hold: HoldId::new(),
        moment: at(0),
        payer: payer(caller),
        asker: payer(caller),
        operation: "sessions.create",
        what: What::Session {
            wanted: Cap::new(cap).unwrap(),
            terms: CapTerms::default(),
            alone: false,
            text: None,
        },
        budgets: budgets.iter().map(|it| Arc::clone(it)).collect(),
        slots: Vec::new(),
        deadline: Duration::from_secs(300),
        fingerprint: [0; 32],
    }
}

fn message(to: &SessionId, budgets: &[&Arc<Budget>]) -> Holding {
    Holding {
        operation: "sessions.messages.send",
        what: What::Message {
            session: to.clone(),
            text: [1; 32],
        },
        ..create("somebody else", 1, budgets)
    }
}

fn reading(ledger: &Ledger, second: i64, acus: f64, status: &str) -> Reading {
    Reading {
        begun: moment::Begun {
            tick: ledger.tick(),
            up: at(second).up,
        },
        moment: at(second),
        usage: Acu::from_reported(acus),
        status: status.into(),
        detail: None,
        organization: None,
    }
}

/// Spent and held of a budget for a caller, in thousandths.
async fn stands(ledger: &Ledger, budget: &Arc<Budget>, caller: &str) -> (i64, i64) {
    let asked = vec![(Arc::clone(budget), payer(caller))];
    let all = ledger.budgeted(at(0), asked).await.unwrap();
    (all[0].balance.spent.milli(), all[0].balance.held.milli())
}

async fn sound(ledger: &Ledger) {
    let verdict = ledger.verify().await.unwrap();
    assert!(verdict.is_sound(), "{verdict:?}");
}

fn options_in(folder: &tempfile::TempDir) -> Options {
    Options {
        path: folder.path().join("l.db"),
        tag_key: tag::TagKey::new(&[1; 32]).unwrap(),
        quiet: QUIET,
        hand_over: Duration::from_millis(200),
    }
}

async fn opened(options: Options) -> Ledger {
    let ledger = Ledger::open(options).await.unwrap();
    ledger.admit();
    ledger
}

async fn ledger() -> Ledger {
    Ledger::temporary(QUIET).await.unwrap()
}

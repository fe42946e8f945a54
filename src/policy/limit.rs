//! Limits of a policy set: how often requests may come, and how many sessions may run at once. Pure.
//!
//! A policy's `limits:` become [`Limit`]s. What has been used of a rate is kept by
//! [`crate::limits`], by the account that [`LimitPer`] makes of a request; sessions that run are counted
//! in the ledger, where they are held ([`crate::ledger`]).

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use crate::budget::{Account, Payer, Per, Slots};
use crate::catalogue::{OperationIx, OperationSet};

/// How a limit is split inside its scope.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum LimitPer {
    /// One account for all; only in guard rails.
    Everyone,
    /// One account for each organization that a request's path names, and one for what names none.
    Organization,
    /// One account for each team; in a team's file, the team's.
    Team,
    /// One account for each caller.
    Caller,
    /// One account for each operation of each caller.
    CallerAndOperation,
}

impl LimitPer {
    /// All of them.
    pub const ALL: [Self; 5] = [
        Self::Everyone,
        Self::Organization,
        Self::Team,
        Self::Caller,
        Self::CallerAndOperation,
    ];

    /// The words for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Everyone => "everyone",
            Self::Organization => "organization",
            Self::Team => "team",
            Self::Caller => "caller",
            Self::CallerAndOperation => "caller+operation",
        }
    }
}

/// A limit of a policy set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limit {
    /// `team/name`; for guard rails, `file/name`. Shown.
    pub name: Arc<str>,
    /// The team whose callers it is for; none for guard rails.
    pub team: Option<Arc<str>>,
    /// The callers that it is for; none for all in its scope.
    pub callers: Option<Arc<[Arc<str>]>>,
    /// How it is split.
    pub per: LimitPer,
    /// The operations that count; none for all of them.
    pub operations: Option<OperationSet>,
    /// What is limited.
    pub what: Limited,
    /// Evaluated and logged, never enforced.
    pub shadow: bool,
}

/// What a limit limits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Limited {
    /// How often requests come.
    Rate(Rate),
    /// How many sessions run at once.
    Sessions(NonZeroU32),
}

/// `burst` requests at once, then one per `period`: GCRA.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Rate {
    /// The time in which one request is earned back. Never zero.
    pub period: Duration,
    /// How many requests fit at once.
    pub burst: NonZeroU32,
    /// How long a request may wait for its turn; zero where it is refused at once.
    pub wait: Duration,
}

impl Limit {
    /// Whether it counts requests for this operation.
    pub fn covers(&self, operation: OperationIx) -> bool {
        self.operations
            .as_ref()
            .is_none_or(|it| it.contains(operation))
    }

    /// The account of sessions that one of this payer's runs in, if it is of those and this payer's sessions count.
    pub fn slots(&self, payer: &Payer) -> Option<Slots> {
        let most = self.sessions()?;
        let is_for = (self.team.as_ref()).is_none_or(|team| *team == payer.team)
            && (self.callers.as_ref()).is_none_or(|it| it.contains(&payer.caller));
        let per = match self.per {
            LimitPer::Everyone => Per::Everyone,
            LimitPer::Organization => Per::Organization,
            LimitPer::Team => Per::Team,
            // What is split by operation counts no sessions.
            LimitPer::Caller | LimitPer::CallerAndOperation => Per::Caller,
        };
        is_for.then(|| Slots {
            limit: Arc::clone(&self.name),
            account: Account::of(per, self.team.as_ref(), payer),
            callers: self.callers.clone(),
            most,
            shadow: self.shadow,
        })
    }

    /// Its rate, if it is of one.
    pub fn rate(&self) -> Option<Rate> {
        match self.what {
            Limited::Rate(rate) => Some(rate),
            Limited::Sessions(_) => None,
        }
    }

    /// The most sessions at once, if it is of those.
    pub fn sessions(&self) -> Option<NonZeroU32> {
        match self.what {
            Limited::Sessions(most) => Some(most),
            Limited::Rate(_) => None,
        }
    }
}

impl std::fmt::Display for Limit {
    /// `web/requests: 20 at once, then one every 1s, per caller`.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (name, per) = (&self.name, self.per.as_str());
        match self.what {
            Limited::Rate(Rate {
                period,
                burst,
                wait,
            }) => {
                write!(
                    f,
                    "{name}: {burst} at once, then one every {period:?}, per {per}"
                )?;
                if !wait.is_zero() {
                    write!(f, ", waiting up to {wait:?}")?;
                }
            }
            Limited::Sessions(most) => write!(f, "{name}: {most} sessions at once, per {per}")?,
        }
        match &self.operations {
            Some(_) => f.write_str(", for some operations"),
            None => Ok(()),
        }
    }
}

//! Budgets: what a scope may spend in a calendar window. Pure.
//!
//! A policy's `budgets:` become [`Budget`]s. What has been spent and held is the
//! ledger's ([`crate::ledger`]); a budget only says which entries count (its
//! [`Account`]), from when until when ([`Every::window`]), and how much they may be.
//! So an edit of a budget moves no money: under its new definition, the same
//! entries count (L9).

mod cap;
mod due;
mod forecast;
mod window;
mod zone;

use std::fmt;
use std::num::NonZeroU32;
use std::sync::Arc;

use crate::acu::Acu;

pub use cap::{NoFit, fit};
pub use due::{MOST_DUE, due, shortest};
pub use forecast::Forecast;
pub use window::{Cycle, Every, Length, SLOT, Window};
pub use zone::{NoZone, Zone};

/// How a budget is split inside its scope.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Per {
    /// One account for all; only in guard rails.
    Everyone,
    /// One account for each organization.
    Organization,
    /// One account for each team; in a team's file, the team's.
    Team,
    /// One account for each caller.
    Caller,
}

impl Per {
    /// The word for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Everyone => "everyone",
            Self::Organization => "organization",
            Self::Team => "team",
            Self::Caller => "caller",
        }
    }
}

/// A budget of a policy set.
#[derive(Clone, Debug, PartialEq)]
pub struct Budget {
    /// `team/name`; for guard rails, `file/name`. Shown.
    pub name: Arc<str>,
    /// What adjustments and raises are kept under: `id:`, or the name. No two budgets of a set have the same.
    pub id: Arc<str>,
    /// The team whose entries alone count; none for guard rails.
    pub team: Option<Arc<str>>,
    /// How it is split.
    pub per: Per,
    /// How much may be spent and held in one window.
    pub limit: Acu,
    /// The window.
    pub every: Every,
    /// The percentages of the limit at which somebody is told, ascending.
    pub alert_at: Vec<u8>,
    /// Evaluated and logged, never held.
    pub shadow: bool,
}

/// Whose spending an entry of the ledger is. Names as they were when it was made.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Payer {
    /// The organization.
    pub organization: Arc<str>,
    /// The team.
    pub team: Arc<str>,
    /// The caller.
    pub caller: Arc<str>,
}

/// Which entries a budget counts for a request: those whose payer agrees with every name that is given.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Account {
    /// Only of this organization.
    pub organization: Option<Arc<str>>,
    /// Only of this team.
    pub team: Option<Arc<str>>,
    /// Only of this caller.
    pub caller: Option<Arc<str>>,
}

/// How many sessions may run at once in an account, and how those are counted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Slots {
    /// The limit that says so: `team/name`.
    pub limit: Arc<str>,
    /// Whose sessions count.
    pub account: Account,
    /// Of these, only those of these callers; none for all.
    pub callers: Option<Arc<[Arc<str>]>>,
    /// How many may run.
    pub most: NonZeroU32,
    /// Evaluated and logged, never enforced.
    pub shadow: bool,
}

impl Slots {
    /// Whether this payer's sessions count.
    pub fn counts(&self, payer: &Payer) -> bool {
        self.account.counts(payer)
            && (self.callers.as_ref()).is_none_or(|it| it.contains(&payer.caller))
    }
}

impl Account {
    /// That of this payer in what is split like this, inside the scope of a team or of everyone.
    pub fn of(per: Per, team: Option<&Arc<str>>, payer: &Payer) -> Self {
        let mut account = Self {
            team: team.cloned(),
            ..Self::default()
        };
        match per {
            Per::Everyone => {}
            Per::Organization => account.organization = Some(Arc::clone(&payer.organization)),
            Per::Team => account.team = Some(Arc::clone(&payer.team)),
            Per::Caller => account.caller = Some(Arc::clone(&payer.caller)),
        }
        account
    }

    /// Whether this payer's entries count.
    pub fn counts(&self, payer: &Payer) -> bool {
        let agrees = |wanted: &Option<Arc<str>>, has: &Arc<str>| {
            wanted.as_ref().is_none_or(|wanted| wanted == has)
        };
        agrees(&self.organization, &payer.organization)
            && agrees(&self.team, &payer.team)
            && agrees(&self.caller, &payer.caller)
    }
}

impl Budget {
    /// Whether it is the caller's or its team's alone: then its numbers are theirs to see (M24).
    pub fn is_own(&self) -> bool {
        match self.per {
            Per::Caller | Per::Team => true,
            Per::Organization => self.team.is_some(),
            Per::Everyone => false,
        }
    }

    /// The name of the account that this payer's entries count in, as adjustments know it; none where there is one
    /// account for all.
    pub fn scope<'p>(&self, payer: &'p Payer) -> Option<&'p Arc<str>> {
        match self.per {
            Per::Everyone => None,
            Per::Organization => Some(&payer.organization),
            Per::Team => Some(&payer.team),
            Per::Caller => Some(&payer.caller),
        }
    }

    /// Which entries count beside those of this payer.
    pub fn account(&self, payer: &Payer) -> Account {
        Account::of(self.per, self.team.as_ref(), payer)
    }
}

impl fmt::Display for Budget {
    /// `web/month: 500 ACUs per team, each month in Asia/Tokyo`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (name, limit, per, every) = (&self.name, self.limit, self.per.as_str(), &self.every);
        let of = match self.per {
            Per::Everyone => "for",
            Per::Organization | Per::Team | Per::Caller => "per",
        };
        write!(f, "{name}: {limit} ACUs {of} {per}, each {every}")
    }
}

//! Payers by number, and the names that they have by now.

use std::collections::HashMap;
use std::sync::Arc;

use rusqlite::Connection;

use super::StoreError;
use crate::budget::{Account, Payer, Per, Slots};
use crate::policy::Policy;

/// A payer's number in the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct PayerIx(pub(crate) i64);

/// What callers and teams were called before (`renamed_from:`): old names and what they are now.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Aliases {
    /// Of callers.
    pub callers: HashMap<Box<str>, Arc<str>>,
    /// Of teams.
    pub teams: HashMap<Box<str>, Arc<str>>,
}

impl Aliases {
    /// Those that a policy tells.
    pub fn of(policy: &Policy) -> Self {
        let own = |(old, new): (&str, &Arc<str>)| (Box::from(old), Arc::clone(new));
        Self {
            callers: policy.caller_aliases().map(own).collect(),
            teams: policy.team_aliases().map(own).collect(),
        }
    }

    /// The same payer under the names of today.
    pub fn today(&self, payer: &Payer) -> Payer {
        let now = |names: &HashMap<Box<str>, Arc<str>>, name: &Arc<str>| {
            Arc::clone(names.get(&**name).unwrap_or(name))
        };
        Payer {
            organization: Arc::clone(&payer.organization),
            team: now(&self.teams, &payer.team),
            caller: now(&self.callers, &payer.caller),
        }
    }

    /// The same account under the names of today.
    fn account_today(&self, account: &Account) -> Account {
        let now = |names: &HashMap<Box<str>, Arc<str>>, name: &Option<Arc<str>>| {
            let name = name.as_ref()?;
            Some(Arc::clone(names.get(&**name).unwrap_or(name)))
        };
        Account {
            organization: account.organization.clone(),
            team: now(&self.teams, &account.team),
            caller: now(&self.callers, &account.caller),
        }
    }

    /// The name of today of an account of a budget that is split like this.
    fn scope_today<'n>(&'n self, per: Per, name: &'n str) -> &'n str {
        let known = match per {
            Per::Everyone | Per::Organization => None,
            Per::Team => self.teams.get(name),
            Per::Caller => self.callers.get(name),
        };
        known.map_or(name, |it| it)
    }
}

/// All payers of the file: as many as there are callers times organizations that they have held something for.
#[derive(Debug, Default)]
pub(crate) struct Payers {
    by_name: HashMap<Payer, PayerIx>,
    by_number: HashMap<PayerIx, Payer>,
    aliases: Arc<Aliases>,
}

impl Payers {
    pub(super) fn load(connection: &Connection) -> Result<Self, StoreError> {
        let mut payers = Self::default();
        payers.reload(connection)?;
        Ok(payers)
    }

    pub(crate) fn reload(&mut self, connection: &Connection) -> Result<(), StoreError> {
        self.by_name.clear();
        self.by_number.clear();
        let mut all = connection.prepare("SELECT id, organization, team, caller FROM payers")?;
        let mut rows = all.query([])?;
        while let Some(row) = rows.next()? {
            let text = |column| row.get::<_, String>(column).map(Into::into);
            let payer = Payer {
                organization: text(1)?,
                team: text(2)?,
                caller: text(3)?,
            };
            self.add(PayerIx(row.get(0)?), payer);
        }
        Ok(())
    }

    fn add(&mut self, ix: PayerIx, payer: Payer) {
        self.by_name.insert(payer.clone(), ix);
        self.by_number.insert(ix, payer);
    }

    /// The names of today.
    pub(crate) fn rename(&mut self, aliases: Arc<Aliases>) {
        self.aliases = aliases;
    }

    /// The number of a payer, who is written down if need be.
    pub(crate) fn number(
        &mut self,
        connection: &Connection,
        payer: &Payer,
    ) -> Result<PayerIx, StoreError> {
        if let Some(ix) = self.by_name.get(payer) {
            return Ok(*ix);
        }
        let sql = "INSERT INTO payers (organization, team, caller) VALUES (?1, ?2, ?3)";
        let mut insert = connection.prepare_cached(sql)?;
        let id = insert.insert((&*payer.organization, &*payer.team, &*payer.caller))?;
        self.add(PayerIx(id), payer.clone());
        Ok(PayerIx(id))
    }

    /// Who has this number, under the names of then.
    pub(crate) fn payer(&self, ix: PayerIx) -> Option<&Payer> {
        self.by_number.get(&ix)
    }

    /// The same under the names of today.
    pub(crate) fn today(&self, ix: PayerIx) -> Option<Payer> {
        self.payer(ix).map(|payer| self.aliases.today(payer))
    }

    /// A payer under the names of today, whether it is written down or not.
    pub(crate) fn now(&self, payer: &Payer) -> Payer {
        self.aliases.today(payer)
    }

    /// An account under the names of today.
    pub(crate) fn account_today(&self, account: &Account) -> Account {
        self.aliases.account_today(account)
    }

    /// The name of today of an account of a budget that is split like this.
    pub(crate) fn scope_today<'n>(&'n self, per: Per, name: &'n str) -> &'n str {
        self.aliases.scope_today(per, name)
    }

    /// Everybody whose sessions count there.
    pub(crate) fn running_in(&self, slots: &Slots) -> impl Iterator<Item = PayerIx> {
        let counts = |payer: &Payer| slots.counts(&self.aliases.today(payer));
        let all = self
            .by_number
            .iter()
            .filter(move |(_, payer)| counts(payer));
        all.map(|(ix, _)| *ix)
    }

    /// Everybody whose entries count in this account.
    pub(crate) fn of(&self, account: &Account) -> Vec<PayerIx> {
        let counts = |payer: &Payer| account.counts(&self.aliases.today(payer));
        let all = self.by_number.iter().filter(|(_, payer)| counts(payer));
        all.map(|(ix, _)| *ix).collect()
    }
}

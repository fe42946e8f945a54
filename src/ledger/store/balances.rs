//! What accounts have spent and hold in their windows.
//!
//! The file has sums by payer and slot of 15 minutes (`tallies`); an account's balance in a window is the sum of those
//! that fall into both. It is added up once, and kept in step with every entry that is written from then on.

use std::collections::{HashMap, HashSet};

use jiff::Timestamp;
use rusqlite::{Connection, Row};

use super::super::book::{Cause, Entry};
use super::payers::{PayerIx, Payers};
use super::{StoreError, micros};
use crate::acu::Acu;
use crate::budget::{Account, Window};

/// The length of a slot, in microseconds: every time zone of today is a multiple of it away from UTC.
const SLOT: i64 = 15 * 60 * 1_000_000;

/// An account of more payers than this is added up over all that was posted in its window.
const FEW: usize = 16;

/// How many balances are kept in step; beyond that they are added up anew.
const MOST: usize = 100_000;

/// The slot that an instant is in.
pub(super) fn slot(at: Timestamp) -> i64 {
    micros(at).div_euclid(SLOT)
}

/// The first slot that begins at this instant or later.
pub(crate) fn slot_from(at: Timestamp) -> i64 {
    // The ends of time are no multiples, and nothing is near them.
    micros(at).saturating_add(SLOT - 1).div_euclid(SLOT)
}

/// What an account has in a window.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Balance {
    /// What is spent, with what is charged as unheld or overrun.
    pub spent: Acu,
    /// What is held.
    pub held: Acu,
    /// Of what is spent: what was used beyond holds.
    pub overrun: Acu,
    /// Of what is spent: what never had a hold.
    pub unheld: Acu,
}

impl Balance {
    /// Adds another one to it. `None` if a sum does not fit.
    pub fn add(&mut self, other: &Self) -> Option<()> {
        self.spent = self.spent.checked_add(other.spent)?;
        self.held = self.held.checked_add(other.held)?;
        self.overrun = self.overrun.checked_add(other.overrun)?;
        self.unheld = self.unheld.checked_add(other.unheld)?;
        Some(())
    }

    /// What is taken: spent and held.
    pub fn taken(&self) -> Acu {
        self.spent.saturating_add(self.held)
    }
}

/// A change of a payer's sums.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Posted {
    pub(super) payer: PayerIx,
    pub(super) slot: i64,
    pub(super) change: Balance,
}

/// The balances that are kept in step.
#[derive(Debug, Default)]
pub(crate) struct Balances {
    kept: HashMap<Account, Vec<(Window, Balance)>>,
    count: usize,
}

impl Balances {
    pub(crate) fn clear(&mut self) {
        self.kept.clear();
        self.count = 0;
    }

    /// An account's balance in a window.
    pub(crate) fn balance(
        &mut self,
        connection: &Connection,
        payers: &Payers,
        account: &Account,
        window: Window,
    ) -> Result<Balance, StoreError> {
        let kept = self.kept.get(account).into_iter().flatten();
        if let Some((_, balance)) = kept.into_iter().find(|(it, _)| *it == window) {
            return Ok(*balance);
        }
        let balance = add_up(connection, &payers.of(account), window)?;
        if self.count >= MOST {
            self.clear();
        }
        self.count += 1;
        let windows = self.kept.entry(account.clone()).or_default();
        windows.push((window, balance));
        Ok(balance)
    }

    /// Takes note of what was written.
    pub(crate) fn note(&mut self, payers: &Payers, posted: &[Posted]) -> Result<(), StoreError> {
        if self.kept.is_empty() {
            return Ok(());
        }
        for it in posted {
            let Some(payer) = payers.today(it.payer) else {
                continue;
            };
            for account in accounts_of(&payer) {
                let windows = self.kept.get_mut(&account).into_iter().flatten();
                for (window, balance) in windows {
                    if (slot_from(window.start)..slot_from(window.end)).contains(&it.slot) {
                        balance.add(&it.change).ok_or_else(overflow)?;
                    }
                }
            }
        }
        Ok(())
    }
}

/// Every account that this payer's entries count in.
fn accounts_of(payer: &crate::budget::Payer) -> Vec<Account> {
    let mut all = Vec::with_capacity(8);
    for organization in [None, Some(&payer.organization)] {
        for team in [None, Some(&payer.team)] {
            for caller in [None, Some(&payer.caller)] {
                all.push(Account {
                    organization: organization.cloned(),
                    team: team.cloned(),
                    caller: caller.cloned(),
                });
            }
        }
    }
    all
}

fn add_up(
    connection: &Connection,
    payers: &[PayerIx],
    window: Window,
) -> Result<Balance, StoreError> {
    let (first, end) = (slot_from(window.start), slot_from(window.end));
    let mut all = Balance::default();
    if payers.len() > FEW {
        let payers: HashSet<PayerIx> = payers.iter().copied().collect();
        let mut rows = connection.prepare_cached(OF_ALL)?;
        let mut rows = rows.query((first, end))?;
        while let Some(row) = rows.next()? {
            if payers.contains(&PayerIx(row.get(4)?)) {
                all.add(&read(row)?).ok_or_else(overflow)?;
            }
        }
        return Ok(all);
    }
    let mut one = connection.prepare_cached(OF_ONE)?;
    for PayerIx(payer) in payers {
        let mut rows = one.query((payer, first, end))?;
        while let Some(row) = rows.next()? {
            all.add(&read(row)?).ok_or_else(overflow)?;
        }
    }
    Ok(all)
}

/// What one payer has in each slot of a window.
const OF_ONE: &str = "SELECT spent, held, overrun, unheld FROM tallies WHERE payer = ?1 AND slot >= ?2 AND slot < ?3";
/// What everybody has in each slot of a window.
const OF_ALL: &str =
    "SELECT spent, held, overrun, unheld, payer FROM tallies WHERE slot >= ?1 AND slot < ?2";

fn read(row: &Row<'_>) -> rusqlite::Result<Balance> {
    let acu = |column| row.get(column).map(Acu::from_milli);
    Ok(Balance {
        spent: acu(0)?,
        held: acu(1)?,
        overrun: acu(2)?,
        unheld: acu(3)?,
    })
}

pub(crate) fn overflow() -> StoreError {
    StoreError("a sum of ACUs is larger than the ledger can hold".into())
}

/// Writes a change into the payer's sums.
pub(crate) fn tally(connection: &Connection, posted: &Posted) -> Result<(), StoreError> {
    let sql = "INSERT INTO tallies (payer, slot, spent, held, overrun, unheld) VALUES (?1, ?2, ?3, ?4, ?5, ?6) \
               ON CONFLICT (payer, slot) DO UPDATE SET spent = spent + ?3, held = held + ?4, \
               overrun = overrun + ?5, unheld = unheld + ?6";
    let change = posted.change;
    connection.prepare_cached(sql)?.execute((
        posted.payer.0,
        posted.slot,
        change.spent.milli(),
        change.held.milli(),
        change.overrun.milli(),
        change.unheld.milli(),
    ))?;
    Ok(())
}

/// The change that an entry makes.
pub(crate) fn posted(payer: PayerIx, entry: &Entry) -> Posted {
    let only = |cause| {
        if entry.cause == cause {
            entry.spent
        } else {
            Acu::ZERO
        }
    };
    Posted {
        payer,
        slot: slot(entry.instant),
        change: Balance {
            spent: entry.spent,
            held: entry.held,
            overrun: only(Cause::Overrun),
            unheld: only(Cause::Unheld),
        },
    }
}

//! What becomes of a hold: answered, refused, unknown, read, gone (L4 to L8).

use std::time::Duration;

use jiff::Timestamp;

use super::super::book::{Book, Cause, Entry, Reading, State};
use super::super::moment::Tick;
use super::super::session::{SessionId, is_same_organization};
use super::super::store::{self, Loaded, NewSession, PayerIx};
use super::super::writer::Work;
use super::super::{HoldId, StoreError};
use crate::acu::{Acu, Cap};

/// What an event did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::ledger) struct Happened {
    /// Who pays for it.
    pub(in crate::ledger) payer: PayerIx,
}

impl Work<'_> {
    /// Lets something happen to the book that a hold is in.
    fn event(
        &mut self,
        at: Timestamp,
        hold: HoldId,
        event: impl FnOnce(&mut Book) -> Vec<Entry>,
    ) -> Result<Option<Happened>, StoreError> {
        let Some(found) = store::wake(&self.store.connection, hold)? else {
            return Ok(None);
        };
        let (wake, payer) = (found.wake, found.payer);
        if let Some(session) = found.session {
            let Some(before) = store::load(&self.store.connection, &session)? else {
                return Ok(None);
            };
            let mut after = before.clone();
            let entries = event(&mut after.book);
            self.session(at, &before, &after, &entries)?;
            return Ok(Some(Happened { payer }));
        }
        let mut book = Book {
            wakes: vec![wake.clone()],
            ..Book::default()
        };
        let entries = event(&mut book);
        for changed in book.wakes.iter().filter(|it| **it != wake) {
            store::update_wake(&self.store.connection, changed)?;
        }
        for entry in &entries {
            self.entry(at, payer, None, entry)?;
        }
        Ok(Some(Happened { payer }))
    }

    /// A message was carried out.
    pub(in crate::ledger) fn answered(
        &mut self,
        at: Timestamp,
        hold: HoldId,
        tick: Tick,
    ) -> Result<Option<Happened>, StoreError> {
        self.event(at, hold, |book| book.answered(hold, tick))
    }

    /// A create was carried out: its session is known from now on.
    pub(in crate::ledger) fn created(
        &mut self,
        at: Timestamp,
        hold: HoldId,
        tick: Tick,
        session: &SessionId,
    ) -> Result<Option<Happened>, StoreError> {
        let Some(found) = store::wake(&self.store.connection, hold)? else {
            return Ok(None);
        };
        let (wake, payer) = (found.wake, found.payer);
        if found.session.is_none() && wake.state.holds() {
            let new = NewSession {
                session,
                payer,
                hold: Some(hold),
                cap: Cap::new(i64::from(wake.held.whole_acus())),
                parent: None,
                origin: "created",
            };
            match store::load(&self.store.connection, session)? {
                None => {
                    let id = store::insert_session(&self.store.connection, &new)?;
                    store::assign(&self.store.connection, hold, id, 1)?;
                }
                // Two creates should not have made one session. If they have, this is another wake of it.
                Some(before) if before.payer == payer => {
                    tracing::error!(%session, %hold, "Devin gave one session for two creates");
                    let mut after = before.clone();
                    after.wakes += 1;
                    after.book.rest = None;
                    store::assign(&self.store.connection, hold, after.id, after.wakes)?;
                    self.session(at, &before, &after, &[])?;
                }
                // Nothing will ever be read that settles it.
                Some(_) => {
                    tracing::error!(alarm = "foreign", %session, %hold, "Devin gave another's session for a create: its hold is charged");
                    self.written_off(at, hold)?;
                    return Ok(Some(Happened { payer }));
                }
            }
        }
        self.answered(at, hold, tick)?;
        Ok(Some(Happened { payer }))
    }

    /// Nobody knows whether it was carried out: its hold stays (L5). What is charged without a cap stays charged.
    pub(in crate::ledger) fn unknown(
        &mut self,
        at: Timestamp,
        hold: HoldId,
    ) -> Result<(), StoreError> {
        self.event(at, hold, |book| {
            book.unknown(hold);
            Vec::new()
        })?;
        // What comes of it may come to light late, where nothing else is known.
        let sql = "INSERT OR IGNORE INTO sweeps (organization, until) SELECT p.organization, 0 \
                   FROM wakes w JOIN payers p ON p.id = w.payer WHERE w.hold = ?1 AND w.kind = 'create'";
        let mut one = self.store.connection.prepare_cached(sql)?;
        one.execute([&hold.0.as_bytes()[..]])?;
        Ok(())
    }

    /// A spend without a cap was carried out, as far as anybody knows: it stays charged.
    pub(in crate::ledger) fn charged(
        &mut self,
        at: Timestamp,
        hold: HoldId,
    ) -> Result<(), StoreError> {
        self.event(at, hold, |book| {
            for wake in &mut book.wakes {
                wake.state = State::Closed;
            }
            Vec::new()
        })?;
        Ok(())
    }

    /// It was not carried out: its hold is given back, once (L4), and what was charged for it.
    pub(in crate::ledger) fn released(
        &mut self,
        at: Timestamp,
        hold: HoldId,
    ) -> Result<bool, StoreError> {
        let Some(found) = store::wake(&self.store.connection, hold)? else {
            return Ok(false);
        };
        let (wake, payer) = (found.wake, found.payer);
        if &*found.kind == "uncapped" {
            if wake.state != State::Out {
                return Ok(false);
            }
            let mut after = wake.clone();
            after.state = State::Released;
            after.used = Acu::ZERO;
            store::update_wake(&self.store.connection, &after)?;
            let entry = Entry {
                cause: Cause::Release,
                hold: Some(hold),
                instant: wake.at,
                spent: Acu::ZERO.saturating_sub(wake.used),
                held: Acu::ZERO,
            };
            self.entry(at, payer, None, &entry)?;
            return Ok(true);
        }
        if !matches!(wake.state, State::Out | State::Unknown) {
            return Ok(false);
        }
        self.event(at, hold, |book| book.released(hold).into_iter().collect())?;
        Ok(true)
    }

    /// Nothing can be found out about it: its hold is charged in full.
    pub(in crate::ledger) fn written_off(
        &mut self,
        at: Timestamp,
        hold: HoldId,
    ) -> Result<(), StoreError> {
        self.event(at, hold, |book| {
            book.written_off(hold).into_iter().collect()
        })?;
        Ok(())
    }

    /// Whether a reading can be of this session: one of another organization settles nothing.
    pub(in crate::ledger) fn is_of(&self, session: &Loaded, reading: &Reading) -> bool {
        let payer = self.store.payers.payer(session.payer);
        let (Some(payer), Some(said)) = (payer, &reading.organization) else {
            return true;
        };
        // In place of an organization, what names none has a name that is no id.
        let is_same =
            is_same_organization(&payer.organization, said) || payer.organization.starts_with('(');
        if !is_same {
            let session = &session.session;
            tracing::warn!(%session, %said, "a record of another organization is not believed");
        }
        is_same
    }

    /// A message of which nothing can be found out is taken for carried out. It stands for none that is in the
    /// conversation, so its text is forgotten.
    pub(in crate::ledger) fn presumed(
        &mut self,
        at: Timestamp,
        hold: HoldId,
        tick: Tick,
    ) -> Result<(), StoreError> {
        self.answered(at, hold, tick)?;
        let sql = "UPDATE wakes SET text = NULL WHERE hold = ?1";
        let mut one = self.store.connection.prepare_cached(sql)?;
        one.execute([&hold.0.as_bytes()[..]])?;
        drop(one);
        self.note(at, "presumed", &format!("{hold} is taken for carried out"))
    }

    /// What Devin said of a session. `None` if the ledger does not know it.
    pub(in crate::ledger) fn read(
        &mut self,
        session: &SessionId,
        reading: &Reading,
        quiet: Duration,
    ) -> Result<Option<Loaded>, StoreError> {
        let Some(before) = store::load(&self.store.connection, session)? else {
            return Ok(None);
        };
        if !self.is_of(&before, reading) {
            return Ok(Some(before));
        }
        let mut after = before.clone();
        let entries = after.book.read(reading, quiet);
        self.session(reading.moment.at, &before, &after, &entries)?;
        Ok(Some(after))
    }

    /// A poll that succeeded did not find a session.
    pub(in crate::ledger) fn missed(
        &mut self,
        at: Timestamp,
        session: &SessionId,
        after: Duration,
    ) -> Result<(), StoreError> {
        if let Some(before) = store::load(&self.store.connection, session)? {
            let mut now = before.clone();
            let entries = now.book.missed(after);
            self.session(at, &before, &now, &entries)?;
        }
        Ok(())
    }
}

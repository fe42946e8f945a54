//! Sessions that the ledger learns of from Devin: children, and what a lost or older ledger has forgotten (L12, L13).

use std::time::Duration;

use super::super::book::{Reading, State};
use super::super::session::SessionId;
use super::super::store::{self, NewSession};
use super::super::writer::Work;
use super::super::{HoldId, StoreError};
use crate::acu::{Acu, Cap};
use crate::budget::Payer;

impl Work<'_> {
    /// A session without a hold whose parent is known: its parent's creator pays for it. Whether it is new.
    pub(in crate::ledger) fn child(
        &mut self,
        session: &SessionId,
        parent: &SessionId,
        reading: &Reading,
        quiet: Duration,
    ) -> Result<bool, StoreError> {
        if store::load(&self.store.connection, session)?.is_some() {
            return Ok(false);
        }
        let Some(parent_loaded) = store::load(&self.store.connection, parent)? else {
            return Ok(false);
        };
        // Nobody's parent is in another organization.
        if !self.is_of(&parent_loaded, reading) {
            return Ok(false);
        }
        let new = NewSession {
            session,
            payer: parent_loaded.payer,
            hold: None,
            cap: None,
            parent: Some(parent),
            origin: "child",
        };
        store::insert_session(&self.store.connection, &new)?;
        self.read(session, reading, quiet)?;
        Ok(true)
    }

    /// A session with a tag of ours that the ledger does not know: it is the tag's caller's, with the tag's cap, and
    /// what it has used is charged without a hold. So is what comes of a hold that had been given back. Whether it is new.
    pub(in crate::ledger) fn adopt(
        &mut self,
        session: &SessionId,
        payer: &Payer,
        hold: HoldId,
        cap: Cap,
        reading: &Reading,
        quiet: Duration,
    ) -> Result<bool, StoreError> {
        if store::load(&self.store.connection, session)?.is_some() {
            return Ok(false);
        }
        // What was held for it says who pays; else the tag does.
        let (payer, written) = match store::wake(&self.store.connection, hold)? {
            Some(found) if found.wake.state == State::Closed => (found.payer, found.wake.used),
            Some(found) => (found.payer, Acu::ZERO),
            None => {
                let payers = &mut self.store.payers;
                (payers.number(&self.store.connection, payer)?, Acu::ZERO)
            }
        };
        let new = NewSession {
            session,
            payer,
            hold: Some(hold),
            cap: Some(cap),
            parent: None,
            origin: "adopted",
        };
        store::insert_session(&self.store.connection, &new)?;
        // What was charged in full without a session is paid.
        if written > Acu::ZERO
            && let Some(before) = store::load(&self.store.connection, session)?
        {
            let mut after = before.clone();
            after.book.written = written;
            store::update(&self.store.connection, &before, &after)?;
        }
        self.read(session, reading, quiet)?;
        let note = format!("{session} was not known: its tag says {hold}, cap {cap}");
        self.note(reading.moment.at, "adopt", &note)?;
        Ok(true)
    }
}

//! What tests look at in the table.

use super::super::Charge;
use super::{Sought, Table, Ticket};

impl Table {
    /// What a sweep at that time leaves.
    pub(in crate::limits) fn forget_all(&mut self, now: u64) {
        self.sweep(now);
    }

    /// What is counted is there.
    pub(in crate::limits) fn check(&self) {
        let lines = self.states.iter().filter_map(|(_, it)| it.line.as_ref());
        let mut places = 0;
        for line in lines {
            line.check();
            places += line.len();
        }
        assert_eq!(self.places, places);
    }

    /// Whether a request that waits is the first everywhere, and fits everywhere.
    pub(in crate::limits) fn would_fit(
        &self,
        charges: &[Charge],
        ticket: &Ticket,
        now: u64,
    ) -> bool {
        charges.iter().zip(&ticket.places).all(|(charge, mine)| {
            let slot = self.accounts.get(&Sought(charge.meter.id, &charge.account));
            let Some(state) = slot.and_then(|slot| self.states.get(*slot)) else {
                return true;
            };
            let ahead = match (&state.line, mine) {
                (Some(line), Some((_, place))) => line.ahead(*place),
                (Some(line), None) => u64::try_from(line.len()).unwrap_or(u64::MAX),
                (None, _) => 0,
            };
            charge.meter.free(state.tat, now) > ahead
        })
    }
}

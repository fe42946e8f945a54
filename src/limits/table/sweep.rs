//! What is forgotten of the table, under its lock: accounts that are as good as unused, and promises that ended there.

use std::sync::Arc;

use slab::Slab;

use super::{FIRST_SWEEP, MOST_ACCOUNTS, Table};

impl Table {
    /// Forgets the accounts that are as good as unused.
    pub(super) fn sweep(&mut self, now: u64) {
        let states = &mut self.states;
        let mut gone = 0;
        self.accounts.retain(|_, slot| {
            let Some(state) = states.get_mut(*slot) else {
                return false;
            };
            if let Some(line) = &mut state.line {
                // What was paid for them was earned back long ago, or it is put back when somebody asks.
                let before = line.len();
                if state.tat <= now {
                    line.forget(now);
                }
                gone += before - line.len();
                if line.is_empty() {
                    state.line = None;
                }
            }
            let is_used = state.tat > now || state.line.is_some();
            if !is_used {
                states.remove(*slot);
            }
            is_used
        });
        self.places -= gone;
        self.callers
            .retain(|_, counted| Arc::strong_count(counted) > 1);
        self.sweep_at = (self.accounts.len() * 2).clamp(FIRST_SWEEP, MOST_ACCOUNTS / 2);
        if self.accounts.capacity() > 4 * self.sweep_at {
            self.accounts.shrink_to(self.sweep_at);
        }
        if self.accounts.is_empty() {
            self.states = Slab::new();
        }
        self.swept = now;
    }
}

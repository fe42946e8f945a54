//! Everything at once, and everything that goes wrong: races, faults, and processes that are killed.

mod clock;
mod disk;
mod faults;
mod hand_over;
mod kill;
mod load;
mod points;
mod race;

use std::collections::BTreeMap;
use std::time::Duration;

use tollgate::ledger::SessionId;

use crate::settling::AT_ONCE;
use crate::world::World;

const SESSIONS: &str = "/v3/organizations/org-ds/sessions";

/// Whether `tests/run --deep` runs, which has time for more of the same.
fn is_deep() -> bool {
    std::env::var_os("TOLLGATE_DEEP").is_some()
}

/// How many there are of each status.
fn count(statuses: &[u16]) -> BTreeMap<u16, usize> {
    let mut all = BTreeMap::new();
    for status in statuses {
        *all.entry(*status).or_default() += 1;
    }
    all
}

impl World {
    /// Lets the reconciler look until nothing is unknown, and once more at what it has found.
    async fn all_are_known(&self) {
        loop {
            assert!(self.settle(AT_ONCE).await);
            if self.ledger.unsure().await.unwrap().is_empty() {
                break;
            }
            // An attempt's time has to be over before its absence says something.
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        assert!(self.settle(AT_ONCE).await);
    }

    /// Nothing in the ledger contradicts its history, and it knows every session that Devin has.
    async fn is_known_and_sound(&self) {
        self.check_money().await;
        for session in self.fake.truth() {
            let id = SessionId::parse(&session.id).unwrap();
            let known = self.ledger.session(&id).await.unwrap();
            assert!(known.is_some(), "{session:?} has no hold");
        }
    }
}

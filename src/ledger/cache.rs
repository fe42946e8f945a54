//! Whose a session is, kept at hand: it never changes, and reads that need it go on when the store does not (L13).

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use super::session::{Origin, SessionId};

/// How many sessions are kept at most.
const MOST: usize = 200_000;

/// Two generations: when the younger is full, the older is forgotten.
#[derive(Debug, Default)]
struct Generations {
    young: HashMap<SessionId, Arc<Origin>>,
    old: HashMap<SessionId, Arc<Origin>>,
}

/// The cache.
#[derive(Debug, Default)]
pub(super) struct Cache(Mutex<Generations>);

impl Cache {
    pub(super) fn get(&self, session: &SessionId) -> Option<Arc<Origin>> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(found) = all.young.get(session) {
            return Some(Arc::clone(found));
        }
        let found = all.old.remove(session)?;
        all.add(session.clone(), Arc::clone(&found));
        Some(found)
    }

    pub(super) fn put(&self, session: SessionId, origin: Arc<Origin>) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.add(session, origin);
    }
}

impl Generations {
    fn add(&mut self, session: SessionId, origin: Arc<Origin>) {
        if self.young.len() >= MOST / 2 {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(session, origin);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::budget::Payer;

    #[test]
    fn r12_the_cache_is_bounded_and_keeps_what_is_used() {
        let cache = Cache::default();
        let payer = Payer {
            organization: "o".into(),
            team: "t".into(),
            caller: "c".into(),
        };
        let origin = Arc::new(Origin {
            position: crate::ledger::Position(1),
            payer,
            hold: None,
            cap: None,
        });
        let id = |n: usize| SessionId::parse(&format!("{n:032x}")).unwrap();
        for n in 0..MOST * 2 {
            cache.put(id(n), Arc::clone(&origin));
            if n % 50_000 == 0 {
                assert!(cache.get(&id(0)).is_some(), "what is asked for stays");
            }
        }
        let all = cache.0.lock().unwrap();
        assert!(all.young.len() + all.old.len() <= MOST);
        assert!(!all.young.contains_key(&id(1)) && !all.old.contains_key(&id(1)));
    }
}

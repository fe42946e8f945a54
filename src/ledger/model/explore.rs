//! Every state that can be reached, each once, the nearest first.

use std::collections::HashSet;
use std::fmt::Debug;
use std::hash::{Hash, Hasher};

use aws_lc_rs::digest::{SHA256, digest};

/// Something whose every turn can be tried.
pub(super) trait Model: Sized + Hash {
    type Action: Copy + Debug;

    /// What might happen now.
    fn actions(&self) -> Vec<Self::Action>;

    /// What comes of it; `None` if nothing does. An error is a rule that was broken.
    fn after(&self, action: Self::Action) -> Result<Option<Self>, String>;

    /// What has to hold in every state.
    fn check(&self) -> Result<(), String>;
}

/// How much was seen.
#[derive(Clone, Copy, Debug)]
pub(super) struct Seen {
    pub(super) states: usize,
}

/// A rule that was broken, and the shortest way to it.
#[derive(Debug)]
pub(super) struct Broken<A> {
    pub(super) rule: String,
    pub(super) way: Vec<A>,
}

/// What is hashed, as bytes.
#[derive(Default)]
struct Bytes(Vec<u8>);

impl Hasher for Bytes {
    fn write(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
    }

    fn finish(&self) -> u64 {
        0
    }
}

/// No two states have the same.
fn fingerprint(state: &impl Hash) -> [u8; 32] {
    let mut bytes = Bytes::default();
    state.hash(&mut bytes);
    let digest = digest(&SHA256, &bytes.0);
    digest.as_ref().try_into().unwrap()
}

/// Goes everywhere.
pub(super) fn explore<M: Model>(start: M) -> Result<Seen, Broken<M::Action>> {
    let mut known = HashSet::from([fingerprint(&start)]);
    // How each state was come to: from which, by what.
    let mut came: Vec<Option<(usize, M::Action)>> = vec![None];
    let mut edge = vec![(0, start)];
    while !edge.is_empty() {
        let mut next = Vec::new();
        for (place, state) in edge {
            let broken = |rule, last: Option<M::Action>| {
                let mut way: Vec<M::Action> = last.into_iter().collect();
                let mut at = place;
                while let Some((from, action)) = came[at] {
                    way.push(action);
                    at = from;
                }
                way.reverse();
                Broken { rule, way }
            };
            state.check().map_err(|rule| broken(rule, None))?;
            let mut new = Vec::new();
            for action in state.actions() {
                let after = state.after(action);
                if let Some(after) = after.map_err(|rule| broken(rule, Some(action)))?
                    && known.insert(fingerprint(&after))
                {
                    new.push((action, after));
                }
            }
            for (action, after) in new {
                next.push((came.len(), after));
                came.push(Some((place, action)));
            }
        }
        edge = next;
    }
    Ok(Seen { states: came.len() })
}

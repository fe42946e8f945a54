//! All sessions, in the order of their creation, found by id, tag and parent without a search:
//! tests keep tens of thousands of them.

use std::collections::{BTreeSet, HashMap};

use super::life::Session;
use super::state::bare;

/// The sessions. None ever leaves.
#[derive(Debug, Default)]
pub(super) struct Sessions {
    all: Vec<Session>,
    by_id: HashMap<String, usize>,
    by_tag: HashMap<String, BTreeSet<usize>>,
    by_parent: HashMap<String, Vec<usize>>,
}

impl Sessions {
    /// All of them, the oldest first.
    pub(super) fn iter(&self) -> std::slice::Iter<'_, Session> {
        self.all.iter()
    }

    /// One more, with its tags.
    pub(super) fn add(&mut self, session: Session, tags: Vec<String>) {
        let place = self.all.len();
        let id = session.id.clone();
        if let Some(parent) = &session.wishes.parent {
            let children = self.by_parent.entry(parent.clone()).or_default();
            children.push(place);
        }
        self.by_id.insert(id.clone(), place);
        self.all.push(session);
        self.retag(&id, tags);
    }

    /// By either form of the id.
    pub(super) fn get(&self, id: &str) -> Option<&Session> {
        self.all.get(*self.by_id.get(bare(id))?)
    }

    /// The same, to be changed: all but the tags, the id and the parent, which have indices.
    pub(super) fn get_mut(&mut self, id: &str) -> Option<&mut Session> {
        self.all.get_mut(*self.by_id.get(bare(id))?)
    }

    /// Gives a session other tags.
    pub(super) fn retag(&mut self, id: &str, tags: Vec<String>) {
        let Some(place) = self.by_id.get(bare(id)).copied() else {
            return;
        };
        let Some(session) = self.all.get_mut(place) else {
            return;
        };
        for tag in session.tags() {
            if let Some(places) = self.by_tag.get_mut(tag) {
                places.remove(&place);
            }
        }
        for tag in &tags {
            self.by_tag.entry(tag.clone()).or_default().insert(place);
        }
        session.retag(tags);
    }

    /// The children of a session, the oldest first.
    pub(super) fn children(&self, id: &str) -> impl Iterator<Item = &Session> {
        let places = self.by_parent.get(id).into_iter().flatten();
        places.filter_map(|place| self.all.get(*place))
    }

    /// At least all that can match, newest first: those with one of these ids, else of this parent,
    /// else with one of these tags, whichever is asked for first; else all.
    pub(super) fn newest_first(
        &self,
        ids: Option<&[&str]>,
        parent: Option<&str>,
        tags: Option<&[&str]>,
    ) -> Box<dyn Iterator<Item = &Session> + '_> {
        let places: BTreeSet<usize> = match (ids, parent, tags) {
            (Some(ids), _, _) => {
                let known = ids.iter().filter_map(|id| self.by_id.get(bare(id)));
                known.copied().collect()
            }
            (None, Some(parent), _) => {
                let known = self.by_parent.get(parent).into_iter().flatten();
                known.copied().collect()
            }
            (None, None, Some(tags)) => {
                let known = tags.iter().filter_map(|tag| self.by_tag.get(*tag));
                known.flatten().copied().collect()
            }
            (None, None, None) => return Box::new(self.all.iter().rev()),
        };
        let newest_first = places.into_iter().rev();
        Box::new(newest_first.filter_map(|place| self.all.get(place)))
    }
}

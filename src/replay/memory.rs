//! What the last heads came to, since most requests are like others: bounded, and forgotten as a whole.
//!
//! One look-up stands for all that is known of identity, operation and
//! organization: with many callers each look-up is a wait for memory.

use std::collections::HashMap;
use std::sync::Arc;

use super::line::Line;
use super::report::Place;
use super::verdict::{Head, Missing};

/// How many heads are kept in mind.
const MAX_HEADS: usize = 32_768;
/// The longest key that is, in bytes.
const MAX_KEY: usize = 2_048;

/// What both sets say of a head.
#[derive(Debug)]
pub(super) struct Heads {
    pub(super) place: Place,
    pub(super) base: Result<Head, Missing>,
    pub(super) candidate: Result<Head, Missing>,
}

/// What is kept in mind.
#[derive(Debug, Default)]
pub(super) struct Memory {
    heads: HashMap<Box<str>, Arc<Heads>>,
    /// The key of the line at hand; empty where it has none.
    key: String,
}

impl Memory {
    /// What a line like this one came to.
    pub(super) fn recall(&mut self, line: &Line<'_>) -> Option<Arc<Heads>> {
        self.key.clear();
        let (identity, operation) = (line.identity_text()?, &*line.operation.as_ref()?.0);
        // Between the parts stands what the first cannot have, and the second must not.
        if operation.contains('\0') || identity.len() > MAX_KEY {
            return None;
        }
        self.key.push_str(identity);
        self.key.push('\0');
        self.key.push_str(operation);
        if let Some(organization) = &line.organization {
            self.key.push('\0');
            self.key.push_str(&organization.0);
        }
        self.heads.get(&*self.key).map(Arc::clone)
    }

    /// Keeps what the line came to that was asked for last.
    pub(super) fn keep(&mut self, heads: &Arc<Heads>) {
        if self.key.is_empty() || self.key.len() > MAX_KEY {
            return;
        }
        if self.heads.len() == MAX_HEADS {
            self.heads.clear();
        }
        self.heads
            .insert(self.key.as_str().into(), Arc::clone(heads));
    }
}

//! Limits: whose requests each counts, and which.

use std::sync::Arc;

use super::super::limit::Limit;
use super::super::reader::{File, LimitEntry};
use super::super::{CallerIx, LimitIx};
use super::{Compiler, Sort, full_name};

/// The most limits that one caller's requests count in: each request is taken from all of them, or from none.
const MAX_LIMITS: usize = 20;

impl Compiler<'_> {
    pub(super) fn limits(&mut self, file: &File) {
        let team: Option<Arc<str>> = file.team.as_ref().map(|it| it.value.as_str().into());
        for entry in &file.limits {
            self.unique(Sort::Limit, file, &entry.name);
            let ix = LimitIx(self.policy.limits.len());
            let operations = entry.operations.as_deref();
            let operations = operations.map(|patterns| self.operations(patterns));
            let callers = entry.callers.as_ref();
            let callers = callers.map(|it| it.iter().map(|it| it.value.as_str().into()).collect());
            self.policy.limits.push(Limit {
                name: full_name(file, &entry.name.value),
                team: team.clone(),
                callers,
                per: entry.per,
                operations,
                what: entry.what.clone(),
                shadow: entry.shadow || file.shadow,
            });
            for caller in self.scope(file, entry.callers.as_deref()) {
                if !self.count_for(caller, ix, entry) {
                    break;
                }
            }
        }
    }

    /// Lets a caller's requests count in a limit; false where they count in too many.
    fn count_for(
        &mut self,
        CallerIx(caller): CallerIx,
        limit: LimitIx,
        entry: &LimitEntry,
    ) -> bool {
        let Some(caller) = self.policy.callers.get_mut(caller) else {
            return true;
        };
        if caller.limits.len() == MAX_LIMITS {
            let message = format!(
                "the caller `{}` has more than {MAX_LIMITS} limits",
                caller.name
            );
            self.report.error(entry.name.span, message).help(
                "every request is taken from all of them: drop those that others contain, or name the callers of each",
            );
            return false;
        }
        // One caller may be named twice.
        if caller.limits.last() != Some(&limit) {
            caller.limits.push(limit);
        }
        true
    }
}

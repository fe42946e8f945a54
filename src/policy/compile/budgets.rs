//! Budgets: whose spending counts in each, and what its adjustments are kept under.

use std::sync::Arc;

use super::super::CallerIx;
use super::super::reader::{BudgetEntry, File};
use super::{Compiler, Sort, full_name};
use crate::budget::Budget;
use crate::document::Span;

/// The most budgets that one caller's spending counts in: a hold is taken in all of them, or in none.
const MAX_BUDGETS: usize = 50;

impl Compiler<'_> {
    pub(super) fn budgets(&mut self, file: &File) {
        let team: Option<Arc<str>> = file.team.as_ref().map(|it| it.value.as_str().into());
        let callers = self.scope(file, None);
        for entry in &file.budgets {
            self.unique(Sort::Budget, file, &entry.name);
            let name = full_name(file, &entry.name.value);
            let id = self.account(entry, &name);
            let budget = Arc::new(Budget {
                name,
                id,
                team: team.clone(),
                per: entry.per,
                limit: entry.limit,
                every: entry.every.clone(),
                alert_at: entry.alert_at.clone(),
                shadow: entry.shadow || file.shadow,
            });
            for ix in &callers {
                if !self.count_in(*ix, &budget, entry.name.span) {
                    break;
                }
            }
            self.policy.budgets.push(budget);
            self.policy.budget_spans.push(entry.name.span);
        }
    }

    /// Lets a caller's spending count in a budget; false where it counts in too many.
    fn count_in(&mut self, CallerIx(caller): CallerIx, budget: &Arc<Budget>, span: Span) -> bool {
        let Some(caller) = self.policy.callers.get_mut(caller) else {
            return true;
        };
        if caller.budgets.len() == MAX_BUDGETS {
            let message = format!(
                "the caller `{}` has more than {MAX_BUDGETS} budgets",
                caller.name
            );
            self.report.error(span, message).help(
                "every request that spends is held in all of them: drop those that others contain",
            );
            return false;
        }
        caller.budgets.push(Arc::clone(budget));
        true
    }

    /// What a budget's adjustments are kept under. Two budgets with the same would share them.
    fn account(&mut self, entry: &BudgetEntry, name: &Arc<str>) -> Arc<str> {
        let (id, span) = match &entry.id {
            Some(id) => (Arc::from(id.value.as_str()), id.span),
            None => (Arc::clone(name), entry.name.span),
        };
        let first = self.accounts.insert(Arc::clone(&id), span);
        // Of two that are called the same, that is told already.
        if let Some(first) = first
            && (entry.id.is_some() || self.is_other(name, first))
        {
            self.report
                .error(
                    span,
                    format!("the budget id `{}` is used twice", id.escape_debug()),
                )
                .also(first, "first here")
                .help("an id is the budget's name unless it says another: give one of them an `id:` of its own");
        }
        id
    }

    /// Whether what stands there is not the name of a budget that is called the same.
    fn is_other(&self, name: &Arc<str>, first: Span) -> bool {
        let mut named = self.policy.budgets.iter().zip(&self.policy.budget_spans);
        !named.any(|(budget, span)| *span == first && budget.name == *name)
    }
}

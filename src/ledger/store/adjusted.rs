//! Which budgets were ever adjusted: of the others, which are most, no hold has to ask the file.

use std::collections::HashSet;

use rusqlite::Connection;

use super::StoreError;

/// How many budgets are remembered; where there are more, the file is asked about each.
const MOST: usize = 10_000;

/// The ids of budgets with adjustments. `None` if there are too many to know.
#[derive(Debug)]
pub(crate) struct Adjusted(Option<HashSet<Box<str>>>);

impl Adjusted {
    pub(super) fn load(connection: &Connection) -> Result<Self, StoreError> {
        let mut all = connection.prepare("SELECT DISTINCT budget FROM adjustments LIMIT ?1")?;
        let limit = i64::try_from(MOST + 1).unwrap_or(i64::MAX);
        let ids = all.query_map([limit], |row| row.get::<_, Box<str>>(0))?;
        let ids = ids.collect::<Result<HashSet<_>, _>>()?;
        Ok(Self((ids.len() <= MOST).then_some(ids)))
    }

    /// Whether a budget may have adjustments.
    pub(crate) fn may_have(&self, budget: &str) -> bool {
        self.0.as_ref().is_none_or(|ids| ids.contains(budget))
    }

    /// A budget gets one. Should that be taken back, it is asked about in vain, and nothing else.
    pub(crate) fn note(&mut self, budget: &str) {
        if let Some(ids) = &mut self.0 {
            ids.insert(budget.into());
            if ids.len() > MOST {
                self.0 = None;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn r12_more_budgets_than_are_remembered_are_each_asked_about() {
        let mut adjusted = Adjusted(Some(HashSet::new()));
        adjusted.note("b0");
        assert!(adjusted.may_have("b0") && !adjusted.may_have("other"));
        for n in 0..=MOST {
            adjusted.note(&format!("b{n}"));
        }
        assert!(adjusted.0.is_none() && adjusted.may_have("other"));
    }
}

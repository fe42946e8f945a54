//! Who has spent how much: the ledger's sums, under the names of today. Pure.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::budget::Payer;
use crate::ledger::Balance;

/// By what usage is summed up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum By {
    /// By caller.
    #[default]
    Caller,
    /// By team.
    Team,
    /// By organization.
    Organization,
}

impl By {
    fn name(self, payer: &Payer) -> &str {
        match self {
            Self::Caller => &payer.caller,
            Self::Team => &payer.team,
            Self::Organization => &payer.organization,
        }
    }
}

/// One line for each, the largest first. `None` if a sum does not fit.
pub(super) fn sums(usage: &BTreeMap<Payer, Balance>, by: By) -> Option<Vec<Value>> {
    let mut sums: BTreeMap<&str, Balance> = BTreeMap::new();
    for (payer, part) in usage {
        sums.entry(by.name(payer)).or_default().add(part)?;
    }
    let mut sums: Vec<(&str, Balance)> = sums.into_iter().collect();
    sums.sort_by_key(|(_, sum)| std::cmp::Reverse(sum.spent));
    let line = |(name, sum): (&str, Balance)| {
        let Balance {
            spent,
            held,
            overrun,
            unheld,
        } = sum;
        json!({ "name": name, "spent": spent, "held": held, "overrun": overrun, "unheld": unheld })
    };
    Some(sums.into_iter().map(line).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::acu::Acu;

    #[test]
    fn usage_is_summed_up_by_what_is_asked_for() {
        let payer = |organization: &str, team: &str, caller: &str| Payer {
            organization: organization.into(),
            team: team.into(),
            caller: caller.into(),
        };
        let spent = |milli| Balance {
            spent: Acu::from_milli(milli),
            held: Acu::whole(1),
            ..Balance::default()
        };
        let usage = BTreeMap::from([
            (payer("o", "t", "a"), spent(1_500)),
            (payer("p", "t", "a"), spent(2_000)),
            (payer("p", "u", "b"), spent(3_000)),
        ]);
        let shown = |by| {
            let lines = sums(&usage, by).unwrap();
            let show = |it: &Value| format!("{} {} {}", it["name"], it["spent"], it["held"]);
            lines.iter().map(show).collect::<Vec<_>>()
        };
        assert_eq!(shown(By::Caller), ["\"a\" 3.5 2", "\"b\" 3 1"]);
        assert_eq!(shown(By::Team), ["\"t\" 3.5 2", "\"u\" 3 1"]);
        assert_eq!(shown(By::Organization), ["\"p\" 5 2", "\"o\" 1.5 1"]);
        let usage = BTreeMap::from([
            (payer("o", "t", "a"), spent(i64::MAX)),
            (payer("p", "t", "a"), spent(1)),
        ]);
        assert!(sums(&usage, By::Caller).is_none(), "m18");
    }
}

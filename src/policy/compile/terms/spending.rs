//! Whether `sessions:` and `uncapped:` of a grant mean anything, and whether together they leave a spend uncounted.

use super::super::super::bounds::{Reach, UncappedPer};
use super::super::super::reader::RuleEntry;
use crate::catalogue::{Operation, Spend};
use crate::document::Report;

/// `rows` are the operations of the rule.
pub(super) fn check<I>(entry: &RuleEntry, rows: impl Fn() -> I, report: &mut Report)
where
    I: Iterator<Item = &'static Operation>,
{
    if let Some(span) = entry.sessions {
        if !rows().any(Operation::touches_sessions) {
            report
                .error(span, "no operation of this rule touches a session")
                .help("take `sessions:` out");
        }
        // A session that nobody here created has no cap that is known.
        let mut spending = rows().filter(|row| row.spends.is_some() && row.touches_sessions());
        if entry.terms.sessions == Some(Reach::Any)
            && entry.uncapped.is_none()
            && let Some(row) = spending.next()
        {
            report
                .error(
                    span,
                    format!(
                        "`{}` spends, and a session that nobody here created has no cap",
                        row.id
                    ),
                )
                .help("say what is charged for one, such as uncapped: { acus: 10, per: run }; or give what spends a rule of its own, with `sessions: team`");
        }
    }
    let Some(span) = entry.uncapped else {
        return;
    };
    // A create always has a cap, or is refused.
    if !rows().any(|row| row.spends.is_some() && !row.takes_cap()) {
        report
            .error(span, "no operation of this rule spends without a cap")
            .help("take `uncapped:` out; the cap of sessions.create is `max_acu_limit` in `body:`");
        return;
    }
    let uncapped = entry.terms.uncapped;
    let lasts = rows().any(|row| row.spends == Some(Spend::Deferred));
    if uncapped.is_some_and(|it| it.per == UncappedPer::Window) && !lasts {
        report
            .error(
                span,
                "`per: window` is for what goes on spending, and nothing of this rule does",
            )
            .help("write `per: run`");
    }
}

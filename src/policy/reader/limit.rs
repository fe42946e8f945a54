//! Limits: `limits:`.

use std::num::NonZeroU32;
use std::ops::RangeInclusive;
use std::time::Duration;

use super::super::limit::{LimitPer, Limited, Rate};
use super::rule::{shadow, texts};
use super::{Spanned, title};
use crate::document::{Node, Report, Span, Table, duration, rate};

/// What `wait:` may be. Most clients give up after a minute.
const WAIT: RangeInclusive<Duration> = Duration::from_millis(1)..=Duration::from_secs(60);

#[derive(Debug)]
pub(in crate::policy) struct LimitEntry {
    pub(in crate::policy) name: Spanned<String>,
    pub(in crate::policy) callers: Option<Vec<Spanned<String>>>,
    pub(in crate::policy) operations: Option<Vec<Spanned<String>>>,
    pub(in crate::policy) per: LimitPer,
    pub(in crate::policy) what: Limited,
    pub(in crate::policy) shadow: bool,
}

/// One limit. What is wrong in it is told, and the rest of it is looked at all the same.
pub(super) fn limit(
    node: &Node,
    in_team: bool,
    in_shadow: bool,
    report: &mut Report,
) -> Option<LimitEntry> {
    let mut table = Table::new("a limit", node, report)?;
    let name = title("limit", &mut table, report);
    let sessions = table.take("sessions");
    let per = table.require_text("per", report);
    let per = per.and_then(|(text, span)| per_of(text, span, in_team, sessions.is_some(), report));
    let callers = table
        .list("callers", report)
        .map(|(items, span)| texts("callers", items, span, report));
    let what = match sessions {
        Some(node) => at_once(node, &mut table, report),
        None => how_often(&mut table, report),
    };
    let operations = table
        .list("operations", report)
        .map(|(items, span)| texts("operations", items, span, report));
    let shadow = shadow(&mut table, in_shadow, report);
    table.finish(report);
    Some(LimitEntry {
        name,
        callers,
        operations,
        // Where it is missing or wrong, the set is refused.
        per: per.unwrap_or(LimitPer::Caller),
        what: what.unwrap_or(Limited::Sessions(NonZeroU32::MIN)),
        shadow,
    })
}

/// `sessions: 10`
fn at_once(node: &Node, table: &mut Table<'_>, report: &mut Report) -> Option<Limited> {
    for field in ["rate", "burst", "wait"] {
        let help = "a limit is either of a rate or of sessions at once: make two of it";
        table.misplaced(field, help, report);
    }
    let help = "sessions count whatever has created or woken them";
    table.misplaced("operations", help, report);
    let most = node.as_whole("sessions", 1, 1_000_000, report)?;
    let most = u32::try_from(most).ok().and_then(NonZeroU32::new)?;
    Some(Limited::Sessions(most))
}

/// `rate: 60/min, burst: 20, wait: 2s`
fn how_often(table: &mut Table<'_>, report: &mut Report) -> Option<Limited> {
    let Some(node) = table.take("rate") else {
        table.miss(
            "rate",
            "a limit needs `rate:`, or `sessions:`".to_owned(),
            None,
        );
        for field in ["burst", "wait"] {
            table.take(field);
        }
        return None;
    };
    let zero = "to forbid an operation, deny it; for no limit, leave the limit out";
    let rate = rate(node, zero, report);
    let burst = table.require("burst");
    let burst = burst.and_then(|node| node.as_whole("burst", 1, 1_000_000, report));
    let wait = table.take("wait");
    let wait = wait.map(|node| duration("wait", node, &WAIT, report));
    Some(Limited::Rate(Rate {
        period: rate?.one_every(),
        burst: burst
            .and_then(|it| u32::try_from(it).ok())
            .and_then(NonZeroU32::new)?,
        wait: wait.unwrap_or(Some(Duration::ZERO))?,
    }))
}

fn per_of(
    text: &str,
    span: Span,
    in_team: bool,
    of_sessions: bool,
    report: &mut Report,
) -> Option<LimitPer> {
    match LimitPer::ALL.into_iter().find(|per| per.as_str() == text) {
        Some(LimitPer::Everyone) if in_team => {
            report
                .error(span, "`per: everyone` is for guard rails")
                .help("this file is a team's: write `per: team`, or move the limit to a file without `team:`");
            None
        }
        Some(LimitPer::CallerAndOperation) if of_sessions => {
            report
                .error(
                    span,
                    "sessions at once are counted whatever operation has created or woken them",
                )
                .help("write `per: caller`");
            None
        }
        None => {
            report
                .error(
                    span,
                    format!(
                        "a limit is per everyone, organization, team, caller or caller+operation, not per `{}`",
                        text.escape_debug()
                    ),
                )
                .suggest(text, LimitPer::ALL.map(LimitPer::as_str));
            None
        }
        found @ Some(
            LimitPer::Everyone
            | LimitPer::Organization
            | LimitPer::Team
            | LimitPer::Caller
            | LimitPer::CallerAndOperation,
        ) => found,
    }
}

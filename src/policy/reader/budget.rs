//! Budgets: `budgets:`.

use std::num::NonZeroU16;

use jiff::civil::Date;

use super::rule::shadow;
use super::{Spanned, title, written_day};
use crate::acu::{Acu, MAX_ACUS};
use crate::budget::{Cycle, Every, Length, NoZone, Per, Zone};
use crate::document::{Node, Report, Span, Table};

/// The most thresholds of one budget.
const MAX_ALERTS: usize = 10;

#[derive(Debug)]
pub(in crate::policy) struct BudgetEntry {
    pub(in crate::policy) name: Spanned<String>,
    pub(in crate::policy) id: Option<Spanned<String>>,
    pub(in crate::policy) per: Per,
    pub(in crate::policy) limit: Acu,
    pub(in crate::policy) every: Every,
    pub(in crate::policy) alert_at: Vec<u8>,
    pub(in crate::policy) shadow: bool,
}

/// One budget. What is wrong in it is told, and the rest of it is looked at all the same.
pub(super) fn budget(
    node: &Node,
    in_team: bool,
    in_shadow: bool,
    report: &mut Report,
) -> Option<BudgetEntry> {
    let mut table = Table::new("a budget", node, report)?;
    let name = title("budget", &mut table, report);
    let id = table.text("id", report);
    let id = id.and_then(|(text, span)| account(text, span, report));
    let per = table.require_text("per", report);
    let per = per.and_then(|(text, span)| per_of(text, span, in_team, report));
    let acus = table.require("acus");
    let acus = acus.and_then(|node| node.as_whole("acus", 1, i64::from(MAX_ACUS), report));
    let limit = acus.and_then(|it| u32::try_from(it).ok());
    let every = every(&mut table, report);
    let alert_at = table.list("alert_at", report);
    let alert_at = alert_at.map(|(items, span)| alerts(items, span, report));
    let shadow = shadow(&mut table, in_shadow, report);
    for field in ["callers", "operations", "organizations"] {
        table.misplaced(
            field,
            "a budget counts all spending of its file's callers; `per:` splits it",
            report,
        );
    }
    table.finish(report);
    Some(BudgetEntry {
        name,
        id,
        // Where it is missing or wrong, the set is refused.
        per: per.unwrap_or(Per::Caller),
        limit: limit.map_or(Acu::ZERO, Acu::whole),
        every,
        alert_at: alert_at.unwrap_or_default(),
        shadow,
    })
}

fn per_of(text: &str, span: Span, in_team: bool, report: &mut Report) -> Option<Per> {
    let all = [Per::Everyone, Per::Organization, Per::Team, Per::Caller];
    match all.into_iter().find(|per| per.as_str() == text) {
        Some(Per::Everyone) if in_team => {
            report
                .error(span, "`per: everyone` is for guard rails")
                .help("this file is a team's: write `per: team`, or move the budget to a file without `team:`");
            None
        }
        None => {
            report
                .error(
                    span,
                    format!(
                        "a budget is per everyone, organization, team or caller, not per `{}`",
                        text.escape_debug()
                    ),
                )
                .suggest(text, all.map(Per::as_str));
            None
        }
        found @ Some(Per::Everyone | Per::Organization | Per::Team | Per::Caller) => found,
    }
}

/// What a budget's adjustments are kept under: the full name that it has, or once had, or any other.
fn account(text: &str, span: Span, report: &mut Report) -> Option<Spanned<String>> {
    let fits = |it: u8| it.is_ascii_alphanumeric() || b" -_./".contains(&it);
    if !(1..=128).contains(&text.len()) || !text.bytes().all(fits) || text.trim() != text {
        report
            .error(
                span,
                format!("`{}` is no id for a budget", text.escape_debug()),
            )
            .help("use 1 to 128 letters, digits, spaces, `-`, `_`, `.` and `/`, such as the name that it had: web/month");
        return None;
    }
    Some(Spanned {
        value: text.to_owned(),
        span,
    })
}

/// `every:`, `timezone:` and `cycle:`.
fn every(table: &mut Table<'_>, report: &mut Report) -> Every {
    let zone = table.text("timezone", report);
    let zone = zone.map_or_else(Zone::utc, |(text, span)| timezone(text, span, report));
    let every = table.require_text("every", report);
    let cycle = table.take("cycle");
    match (every, cycle) {
        (Some(("cycle", _)), Some(node)) => {
            cycle_of(node, zone.clone(), report).map_or(Every::Month(zone), Every::Cycle)
        }
        (Some(("cycle", span)), None) => {
            report
                .error(
                    span,
                    "`every: cycle` needs `cycle:`, since Devin's own billing cycle is not read",
                )
                .help("say when one began and how long it is: cycle: { starts: 2026-11-05, months: 1 }");
            Every::Month(zone)
        }
        (Some((text, span)), cycle) => {
            if let Some(node) = cycle {
                report
                    .error(node.span, "`cycle:` says nothing without `every: cycle`")
                    .help("write `every: cycle`, or take it out");
            }
            match text {
                "day" => Every::Day(zone),
                "week" => Every::Week(zone),
                "month" => Every::Month(zone),
                other => {
                    report
                        .error(
                            span,
                            format!(
                                "a budget's window is a day, a week, a month or a cycle, not `{}`",
                                other.escape_debug()
                            ),
                        )
                        .suggest(other, ["day", "week", "month", "cycle"]);
                    Every::Month(zone)
                }
            }
        }
        (None, _) => Every::Month(zone),
    }
}

fn timezone(text: &str, span: Span, report: &mut Report) -> Zone {
    match Zone::parse(text) {
        Ok(zone) => return zone,
        Err(NoZone::Quarters) => {
            report
                .error(
                    span,
                    format!("at `{text}`, days would not begin at a quarter of an hour of UTC"),
                )
                .help("windows begin and end with quarters of an hour: write +05:30 or +05:45");
        }
        Err(NoZone::Unknown) => {
            let names = Zone::names();
            report
                .error(
                    span,
                    format!("no time zone is named `{}`", text.escape_debug()),
                )
                .help("write a name such as Asia/Tokyo, an offset such as +09:00, UTC, or `devin` for the day that Devin bills by (from 08:00 UTC)")
                .suggest(text, names.iter().map(String::as_str));
        }
    }
    Zone::utc()
}

/// `{ starts: 2026-11-05, months: 1 }`
fn cycle_of(node: &Node, zone: Zone, report: &mut Report) -> Option<Cycle> {
    let mut table = Table::new("`cycle:`", node, report)?;
    let starts = table.require("starts");
    let starts = starts.and_then(|node| Some((day(node, report)?, node.span)));
    let mut count = |name: &'static str, most: u16, report: &mut Report| {
        let node = table.take(name)?;
        let count = node.as_whole(name, 1, i64::from(most), report);
        let count = count.and_then(|it| u16::try_from(it).ok());
        Some((count.and_then(NonZeroU16::new), node.span))
    };
    let days = count("days", Cycle::MAX_DAYS, report);
    let months = count("months", Cycle::MAX_MONTHS, report);
    table.finish(report);
    let length = match (days, months) {
        (Some((days, _)), None) => days.map(Length::Days),
        (None, Some((months, _))) => months.map(Length::Months),
        (Some(_), Some((_, span))) => {
            report
                .error(span, "a cycle is so many days or so many months, not both")
                .help("take one of them out");
            None
        }
        (None, None) => {
            report
                .error(node.span, "`cycle:` does not say how long it is")
                .help("write `months: 1`, or `days: 30`");
            None
        }
    };
    let ((starts, span), length) = (starts?, length?);
    if matches!(length, Length::Months(_)) && starts.day() > Cycle::LAST_DAY {
        report
            .error(span, format!("not every month has a day {}", starts.day()))
            .help("let it start on one of the first 28 days, or count it in days");
        return None;
    }
    Some(Cycle {
        zone,
        starts,
        length,
    })
}

fn day(node: &Node, report: &mut Report) -> Option<Date> {
    let text = node.as_text("starts", report)?;
    let found = written_day(text).filter(|_| text.len() == 10);
    if found.is_none() {
        report
            .error(node.span, format!("`{}` is no date", text.escape_debug()))
            .help("write 2026-11-05");
    }
    found
}

/// `[50%, 80%, 95%]`
fn alerts(items: &[Node], span: Span, report: &mut Report) -> Vec<u8> {
    if items.is_empty() || items.len() > MAX_ALERTS {
        report
            .error(
                span,
                format!(
                    "`alert_at:` has 1 to {MAX_ALERTS} thresholds, not {}",
                    items.len()
                ),
            )
            .help("where nobody is to be told, take it out");
    }
    let mut found: Vec<u8> = Vec::new();
    for item in items.iter().take(MAX_ALERTS) {
        let Some(percent) = percent(item) else {
            report
                .error(
                    item.span,
                    "a threshold is a whole percentage from 1% to 100%",
                )
                .help("write 80%");
            continue;
        };
        if found.last().is_some_and(|last| *last >= percent) {
            report
                .error(item.span, "the thresholds of `alert_at:` must rise")
                .help("write the lowest first, and each once: [50%, 80%, 95%]");
        }
        found.push(percent);
    }
    found
}

fn percent(node: &Node) -> Option<u8> {
    let text = node.value.text()?.strip_suffix('%')?;
    let is_plain = text.bytes().all(|it| it.is_ascii_digit()) && !text.starts_with('0');
    let percent = text.parse().ok().filter(|_| is_plain)?;
    (1..=100).contains(&percent).then_some(percent)
}

//! `upstream.rate`, `upstream.shares` and `upstream.wait`: how fast requests may leave for Devin, and whose turn it is.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use crate::document::{Node, Report, Span, Table, duration, rate};
use crate::policy::Policy;
use crate::pressure::Options;

use super::Settings;

/// How long a request may wait for its turn. Whoever would wait longer is told when to come back.
const WAIT: RangeInclusive<Duration> = Duration::from_millis(1)..=Duration::from_secs(60);
/// The largest weight.
const HEAVIEST: i64 = 1_000;

/// What was read, and where each team stands that has a share.
pub(super) type Read = (Options, Vec<(Arc<str>, Span)>);

pub(super) fn pressure(table: &mut Table<'_>, report: &mut Report) -> Option<Read> {
    let mut options = Options::default();
    let mut spans = Vec::new();
    let mut is_fine = true;
    if let Some(node) = table.take("rate") {
        let zero = "for no limit of our own, leave `rate:` out: what Devin refuses is learned";
        let read = rate(node, zero, report);
        is_fine &= read.is_some();
        options.ceiling = read.map(|it| it.per_second());
    }
    if let Some(node) = table.take("wait") {
        match duration("wait", node, &WAIT, report) {
            Some(wait) => options.wait = wait,
            None => is_fine = false,
        }
    }
    if let Some(node) = table.take("shares") {
        let read = shares(node, &mut spans, report);
        is_fine &= read.is_some();
        options.shares = read.unwrap_or_default();
    }
    is_fine.then_some((options, spans))
}

/// `{ data-science: 3, web: 1 }`
fn shares(
    node: &Node,
    spans: &mut Vec<(Arc<str>, Span)>,
    report: &mut Report,
) -> Option<BTreeMap<Arc<str>, u32>> {
    let table = Table::new("`shares:`", node, report)?;
    let mut read = BTreeMap::new();
    let mut is_fine = true;
    for (team, key, value) in table.into_entries() {
        let weight = value.as_whole(team, 1, HEAVIEST, report);
        let weight = weight.and_then(|it| u32::try_from(it).ok());
        is_fine &= weight.is_some();
        let team: Arc<str> = team.into();
        spans.push((Arc::clone(&team), key.span));
        read.insert(team, weight.unwrap_or(1));
    }
    is_fine.then_some(read)
}

impl Settings {
    /// Reports every team that has a share and is not in the policies.
    pub fn check_shares(&self, policy: &Policy, report: &mut Report) {
        let teams = || policy.callers().map(|it| &**it.team());
        for (team, span) in &self.share_spans {
            if teams().all(|it| it != &**team) {
                report
                    .error(*span, format!("no team is named `{}`", team.escape_debug()))
                    .suggest(team, teams());
            }
        }
    }
}

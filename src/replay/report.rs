//! What flips, what nobody can say, and what was not looked at. It holds names of the policies, and no value of a
//! request.

use std::collections::{BTreeMap, HashMap};
use std::fmt::Write as _;
use std::sync::Arc;

use serde_json::{Value, json};

use super::line::Line;
use super::verdict::{Missing, Verdict, logged};
use crate::catalogue::OperationIx;

/// The most facts that are told apart: hostile logs can name any number of operations.
const MAX_FACTS: usize = 1_000;
/// The most groups of one class that text shows.
const MAX_SHOWN: usize = 200;

/// Where a decision was made.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Place {
    /// None where neither set has a caller for it.
    pub(super) caller: Option<Arc<str>>,
    pub(super) operation: OperationIx,
}

/// A decision that flips.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Flip {
    pub(super) place: Place,
    pub(super) base: Verdict,
    pub(super) candidate: Verdict,
}

/// How often, and the request where it was first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Tally {
    count: u64,
    example: Box<str>,
}

impl Tally {
    fn such_as(&self) -> String {
        match &*self.example {
            "-" => String::new(),
            id => format!(", such as {id}"),
        }
    }

    fn add(&mut self, line: &Line<'_>) {
        self.count += 1;
        if self.count == 1 {
            let is_id = |it: &str| uuid::Uuid::try_parse(it).is_ok();
            let id = line.request_id.as_ref().map(|it| &*it.0);
            self.example = id.filter(|it| is_id(it)).unwrap_or("-").into();
        }
    }
}

/// What came of a replay.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    hashes: [String; 2],
    /// Requests of known identity: each of them is unchanged, flipped or undecidable.
    pub requests: u64,
    /// Requests that both sets allow, or both refuse.
    pub unchanged: u64,
    /// Requests that were refused before anyone knew whose they were.
    pub before_policy: u64,
    /// Lines of other kinds.
    pub others: u64,
    /// Last lines that have no end yet.
    pub unfinished: u64,
    /// Requests that another set than the base judged at the time.
    pub of_other_policies: u64,
    flips: HashMap<Flip, Tally>,
    missing: BTreeMap<Missing, Tally>,
    drift: Tally,
}

impl Report {
    pub(super) fn new(base: &str, candidate: &str) -> Self {
        Self {
            hashes: [base.to_owned(), candidate.to_owned()],
            ..Self::default()
        }
    }

    /// Counts a request that both sets decide.
    pub(super) fn add(
        &mut self,
        place: &Place,
        base: &Verdict,
        candidate: &Verdict,
        line: &Line<'_>,
    ) {
        if base.is_allow() == candidate.is_allow() {
            self.unchanged += 1;
            return;
        }
        let flip = Flip {
            place: place.clone(),
            base: base.clone(),
            candidate: candidate.clone(),
        };
        self.flips.entry(flip).or_default().add(line);
    }

    /// What the base says against what it said when the line was written.
    pub(super) fn compare(&mut self, said: &Verdict, place: &Place, line: &Line<'_>) {
        let Some(logged) = logged(line, place.operation) else {
            return;
        };
        let by = match said {
            Verdict::Allow(rule) => Some(&**rule),
            Verdict::Deny(_, rule) => rule.as_deref(),
        };
        let caller = line.caller.as_ref().map(|it| &*it.0);
        let is_same_caller = caller.is_none_or(|name| place.caller.as_deref() == Some(name));
        if said.is_allow() != logged.allowed || by != logged.rule || !is_same_caller {
            self.drift.add(line);
        }
    }

    pub(super) fn undecidable(&mut self, missing: Missing, line: &Line<'_>) {
        let is_full = self.missing.len() >= MAX_FACTS && !self.missing.contains_key(&missing);
        let missing = if is_full {
            "other things".to_owned()
        } else {
            missing
        };
        self.missing.entry(missing).or_default().add(line);
    }

    /// How many decisions flip.
    pub fn flips(&self) -> u64 {
        self.flips.values().map(|it| it.count).sum()
    }

    /// How many cannot be decided.
    pub fn undecided(&self) -> u64 {
        self.missing.values().map(|it| it.count).sum()
    }

    /// How many that the base itself judged it judges otherwise now: that would be a mistake of ours.
    pub fn drifted(&self) -> u64 {
        self.drift.count
    }

    /// The flips of one class, the most frequent first.
    fn of_class(&self, to_allow: bool) -> Vec<(&Flip, &Tally)> {
        let is_of = |(flip, _): &(&Flip, &Tally)| flip.candidate.is_allow() == to_allow;
        let mut all: Vec<(&Flip, &Tally)> = self.flips.iter().filter(is_of).collect();
        let by_text = |flip: &Flip| (caller(flip).to_owned(), flip.place.operation.row().id);
        all.sort_by_cached_key(|(flip, tally)| {
            (
                std::cmp::Reverse(tally.count),
                by_text(flip),
                said(&flip.base),
                said(&flip.candidate),
            )
        });
        all
    }

    fn facts(&self) -> Vec<(&str, &Tally)> {
        let facts = self.missing.iter();
        let mut all: Vec<(&str, &Tally)> =
            facts.map(|(fact, tally)| (fact.as_str(), tally)).collect();
        all.sort_by_key(|(_, tally)| std::cmp::Reverse(tally.count));
        all
    }

    /// For scripts.
    pub fn json(&self, ok: bool) -> Value {
        let class = |to_allow| -> Vec<Value> {
            let groups = self.of_class(to_allow).into_iter();
            groups.map(|(flip, tally)| group(flip, tally)).collect()
        };
        let facts: Vec<Value> = self
            .facts()
            .into_iter()
            .map(|(fact, tally)| json!({"fact": fact, "count": tally.count, "example": tally.example}))
            .collect();
        let [base, candidate] = &self.hashes;
        json!({
            "ok": ok, "base": base, "candidate": candidate,
            "requests": self.requests, "unchanged": self.unchanged,
            "flips": self.flips(), "undecidable": self.undecided(),
            "allow_to_deny": class(false), "deny_to_allow": class(true), "lacking": facts,
            "of_other_policies": self.of_other_policies,
            "drift": json!({"count": self.drift.count, "example": self.drift.example}),
            "skipped": {"before_policy": self.before_policy, "other_lines": self.others, "unfinished": self.unfinished},
            "not_decided_again": ["limits"],
        })
    }

    /// For people.
    pub fn text(&self) -> String {
        let [base, candidate] = &self.hashes;
        let mut out = format!(
            "{} requests, decided under {base} and under {candidate}: {} unchanged\n",
            self.requests, self.unchanged
        );
        for (to_allow, title) in [(false, "allow -> deny"), (true, "deny -> allow")] {
            let groups = self.of_class(to_allow);
            let count: u64 = groups.iter().map(|(_, tally)| tally.count).sum();
            let _ = writeln!(out, "{title}: {count}");
            for (flip, tally) in groups.iter().take(MAX_SHOWN) {
                let (caller, operation) = (caller(flip), flip.place.operation.row().id);
                let (base, candidate) = (said(&flip.base), said(&flip.candidate));
                let _ = writeln!(
                    out,
                    "  {:>7}  {caller}  {operation}  {base} -> {candidate}{}",
                    tally.count,
                    tally.such_as()
                );
            }
            more(&mut out, groups.len());
        }
        let _ = writeln!(out, "undecidable: {}", self.undecided());
        let facts = self.facts();
        for (fact, tally) in facts.iter().take(MAX_SHOWN) {
            let (count, such_as) = (tally.count, tally.such_as());
            let _ = writeln!(out, "  {count:>7}  the log lacks {fact}{such_as}");
        }
        more(&mut out, facts.len());
        let _ = writeln!(
            out,
            "skipped: refused before the policy {}, lines of other kinds {}, unfinished lines {}",
            self.before_policy, self.others, self.unfinished
        );
        if self.of_other_policies > 0 {
            let _ = writeln!(
                out,
                "{} requests were judged by other policies than {base} at the time",
                self.of_other_policies
            );
        }
        if self.drift.count > 0 {
            let _ = writeln!(
                out,
                "drift: {} requests are judged otherwise now by the very set that judged them{}: please report this",
                self.drift.count,
                self.drift.such_as()
            );
        }
        out.push_str("limits are not decided again\n");
        out
    }
}

fn more(out: &mut String, groups: usize) {
    if let Some(more) = groups.checked_sub(MAX_SHOWN).filter(|it| *it > 0) {
        let _ = writeln!(out, "  and {more} more groups; `--output json` has all");
    }
}

fn caller(flip: &Flip) -> &str {
    flip.place.caller.as_deref().unwrap_or("(nobody)")
}

/// `allow by ds/run`, `field-denied by ds/run`, `operation-denied`.
fn said(verdict: &Verdict) -> String {
    match verdict {
        Verdict::Allow(rule) => format!("allow by {rule}"),
        Verdict::Deny(code, Some(rule)) => format!("{} by {rule}", code.name()),
        Verdict::Deny(code, None) => code.name().to_owned(),
    }
}

fn group(flip: &Flip, tally: &Tally) -> Value {
    let shown = |verdict: &Verdict| match verdict {
        Verdict::Allow(rule) => json!({"decision": "allow", "rule": **rule}),
        Verdict::Deny(code, rule) => {
            json!({"decision": "deny", "code": code.name(), "rule": rule.as_deref()})
        }
    };
    json!({
        "caller": flip.place.caller.as_deref(), "operation": flip.place.operation.row().id,
        "base": shown(&flip.base), "candidate": shown(&flip.candidate),
        "count": tally.count, "example": tally.example,
    })
}

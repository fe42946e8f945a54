//! What is legal in a policy set and surely not meant. Pure.
//!
//! `tollgate check` asks [`Policy::advise`] once a set has been compiled: a
//! warning never stops a load. Callers that have the same rules are looked at
//! once, as a [`Class`], so that what it costs follows the rules and not the
//! callers.

mod bounds;
mod class;
mod grants;
mod spending;
#[cfg(test)]
mod tests;

use jiff::{SignedDuration, Timestamp};

use super::{CallerIx, Effect, Organizations, Policy, Rule, RuleIx, Subjects};
use crate::catalogue::OperationIx;
use crate::document::{Report, Span};
use class::{Class, classes};

/// How long before its end a key is spoken of.
const SOON: SignedDuration = SignedDuration::from_hours(14 * 24);
/// The most operations that one warning names.
const MAX_NAMED: usize = 6;

impl Policy {
    /// Warns of what is legal and surely not meant. `now` is for keys that expire.
    pub fn advise(&self, now: Timestamp, report: &mut Report) {
        let classes = classes(self);
        let has_caller = self.has_caller();
        for (rule, has_caller) in self.rules.iter().zip(&has_caller) {
            if !has_caller {
                report
                    .warn(rule.span, "this rule can never match: there is no caller that it covers")
                    .help("a team's rules cover the callers of its file, and guard rails those of all teams");
            }
        }
        let open = grants::advise(self, &classes, &has_caller, report);
        spending::advise(self, &classes, &open, report);
        bounds::advise(self, &classes, &has_caller, report);
        credentials(self, report);
        keys(self, now, report);
    }

    /// Warns of a token issuer that no caller names; `span` is where it is configured.
    pub fn advise_issuer(&self, issuer: &str, span: Span, report: &mut Report) {
        if !self.uses_issuer(issuer) {
            report
                .warn(span, format!("no caller is of the issuer `{issuer}`"))
                .help("every token of it is refused: name it in a caller's `jwt:`, or take it out");
        }
    }

    /// For each rule, whether it covers any caller.
    fn has_caller(&self) -> Vec<bool> {
        let mut has_caller = vec![false; self.rules.len()];
        for RuleIx(ix) in self.callers.iter().flat_map(|caller| &caller.rules) {
            if let Some(has) = has_caller.get_mut(*ix) {
                *has = true;
            }
        }
        has_caller
    }
}

/// Callers that nobody can be.
fn credentials(policy: &Policy, report: &mut Report) {
    let mut has_one = vec![false; policy.callers.len()];
    let of_keys = policy.keys.values().map(|key| key.caller);
    let of_tokens = policy.subjects.values().flat_map(Subjects::callers);
    for CallerIx(ix) in of_keys.chain(of_tokens) {
        if let Some(has) = has_one.get_mut(ix) {
            *has = true;
        }
    }
    for (caller, has_one) in policy.callers.iter().zip(has_one) {
        if !has_one {
            report
                .warn(
                    caller.span,
                    format!("the caller `{}` has no credential", caller.name),
                )
                .help("nobody can be it: give it `keys:` or `jwt:`; `tollgate keys new ID` makes a key");
        }
    }
}

/// Keys that have ended, or soon will.
fn keys(policy: &Policy, now: Timestamp, report: &mut Report) {
    let soon = now.checked_add(SOON).unwrap_or(Timestamp::MAX);
    for (id, key) in &policy.keys {
        let (Some(expires), Some(span)) = (key.expires, key.span) else {
            continue;
        };
        if expires > soon {
            continue;
        }
        let caller = &policy.caller(key.caller).name;
        let said = if expires <= now {
            format!("the key `{id}` of the caller `{caller}` has expired: {expires}")
        } else {
            let days = expires.duration_since(now).as_hours() / 24;
            let days = match days {
                0 => "within a day".to_owned(),
                1 => "in 1 day".to_owned(),
                days => format!("in {days} days"),
            };
            format!("the key `{id}` of the caller `{caller}` expires {days}: {expires}")
        };
        report.warn(span, said).help(
            "`tollgate keys new ID` makes another; both can be live while the caller moves over",
        );
    }
}

/// `a`, `b` and 3 more.
fn named(operations: impl Iterator<Item = OperationIx>) -> String {
    let ids: Vec<&str> = operations.map(|ix| ix.row().id).collect();
    let shown: Vec<String> = ids
        .iter()
        .take(MAX_NAMED)
        .map(|id| format!("`{id}`"))
        .collect();
    let more = ids.len().saturating_sub(MAX_NAMED);
    match more {
        0 => shown.join(", "),
        more => format!("{} and {more} more", shown.join(", ")),
    }
}

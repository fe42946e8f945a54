//! Whether what a rule says about fields can mean anything for the operations it covers.

mod spending;

use std::collections::BTreeSet;

use serde_json::Value;

use super::super::Effect;
use super::super::bounds::{FieldRule, Presence};
use super::super::reader::RuleEntry;
use crate::catalogue::{self, Field, Guard, OperationIx, OperationSet, Takes};
use crate::document::{Report, Span};

/// Reports every field that no operation of the rule is known to have: a bound on a misspelt name would bound nothing.
pub(super) fn check(entry: &RuleEntry, operations: &OperationSet, report: &mut Report) {
    let rows = || {
        OperationIx::served()
            .filter(|ix| operations.contains(*ix))
            .map(OperationIx::row)
    };
    if operations.is_empty() {
        // Reported already.
        return;
    }
    // An operation that is misspelt is told, and what it takes is not known.
    let all_are_known = || {
        let mut patterns = entry.operations.iter();
        patterns.all(|it| catalogue::expand(&it.value).is_some())
    };
    for ((path, _), span) in entry.terms.body.iter().zip(&entry.body_spans) {
        if rows().any(|row| path.is_of(row)) {
            continue;
        }
        if !all_are_known() {
            continue;
        }
        let known: BTreeSet<&str> = rows()
            .flat_map(|row| row.body_fields().map(|field| field.path))
            .collect();
        report
            .error(
                *span,
                format!(
                    "no operation of this rule has a body field `{}`",
                    path.as_str()
                ),
            )
            .help("`tollgate operations ID` shows the fields that are known")
            .suggest(path.as_str(), known);
    }
    for ((path, rule), span) in entry.terms.body.iter().zip(&entry.body_spans) {
        let is_guard = |guard: &Guard| guard.is_in_body() && guard.path() == path.as_str();
        if rows().any(|row| row.guards.iter().any(is_guard)) {
            guarded(entry.effect, path.as_str(), rule, *span, report);
        }
    }
    for ((key, rule), span) in entry.terms.query.iter().zip(&entry.query_spans) {
        let is_guard = |guard: &Guard| !guard.is_in_body() && guard.path() == key;
        if rows().any(|row| row.guards.iter().any(is_guard)) {
            guarded(entry.effect, key, rule, *span, report);
        }
    }
    for ((key, rule), span) in entry.terms.query.iter().zip(&entry.query_spans) {
        let mut fields = rows().filter_map(|row| row.query_field(key)).peekable();
        if fields.peek().is_some() {
            if let Some((why, help)) = fields.find_map(|field| misfit(rule, field)) {
                report.error(*span, why).help(help);
            }
            continue;
        }
        if !all_are_known() {
            continue;
        }
        let known: BTreeSet<&str> = rows()
            .flat_map(|row| row.query_fields().map(|field| field.key()))
            .collect();
        report
            .error(
                *span,
                format!(
                    "no operation of this rule has a query key `{}`",
                    key.escape_debug()
                ),
            )
            .help("`tollgate operations ID` shows the keys that are known")
            .suggest(key, known);
    }
    if let Some(span) = entry.reveals
        && all_are_known()
        && !rows().any(|row| row.reveals_once)
    {
        report
            .error(
                span,
                "no operation of this rule answers with a one-time secret",
            )
            .help("take `secrets:` out");
    }
    if let Some(span) = entry.upload
        && all_are_known()
        && !rows().any(|row| row.takes == Some(Takes::Multipart))
    {
        report
            .error(span, "no operation of this rule takes an upload")
            .help("take `upload:` out, or add attachments.upload");
    }
    if let Some(span) = entry.cache
        && let Some(row) = rows().find(|row| !row.only_reads())
    {
        report
            .error(span, format!("`{}` is no plain read, and only their answers can be kept", row.id))
            .help("give what reads a rule of its own, with `cache:`, and leave the other operations in this one");
    }
    if all_are_known() {
        spending::check(entry, rows, report);
    }
}

/// A guarded field is granted by naming it, so its rule has to say which values are granted; and what a guard rail puts
/// in would be sent where no grant names the field.
fn guarded(effect: Effect, name: &str, rule: &FieldRule, span: Span, report: &mut Report) {
    let puts_in = rule.default.is_some() || !rule.add.is_empty();
    match effect {
        Effect::Bound if puts_in => {
            report
                .error(
                    span,
                    format!("`{name}` is guarded, and a guard rail cannot put it in"),
                )
                .help("only a grant that names it can: take `default:` and `add:` out");
        }
        Effect::Allow if !rule.is_any() && !rule.narrows() && rule.presence != Presence::Absent => {
            report
                .error(
                    span,
                    format!("`{name}` is guarded, and this rule would grant any value of it"),
                )
                .help("write `one_of:` or `matches:` with the values that are granted, or `any` if all are");
        }
        Effect::Allow | Effect::Deny | Effect::Bound => {}
    }
}

/// Why a query's key can never satisfy a rule, and what to write: it has one value where the rule is about lists, or
/// the other way round.
fn misfit(rule: &FieldRule, field: &Field) -> Option<(String, &'static str)> {
    let key = field.key();
    let is_list = field.path.ends_with("[]");
    let wants_number = rule.min.is_some() || rule.max.is_some();
    let wants_list = !rule.add.is_empty()
        || rule.max_items.is_some()
        || matches!(rule.default, Some(Value::Array(_)));
    if is_list && wants_number {
        Some((
            format!("the query key `{key}` is a list, and `min:` and `max:` are for one number"),
            "for its length, write `max_items:`",
        ))
    } else if wants_list && !is_list {
        Some((
            format!("the query key `{key}` has one value, and its rule is one for lists"),
            "`add:`, `max_items:` and a list in `default:` are for keys with several values",
        ))
    } else {
        None
    }
}

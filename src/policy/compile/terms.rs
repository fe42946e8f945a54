//! Whether what a rule says about fields can mean anything for the operations it covers.

use super::super::reader::RuleEntry;
use crate::catalogue::{OperationIx, OperationSet, Takes};
use crate::document::Report;

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
    for ((path, _), span) in entry.terms.body.iter().zip(&entry.body_spans) {
        if rows().any(|row| path.is_of(row)) {
            continue;
        }
        let known: Vec<&str> = rows()
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
    for ((key, _), span) in entry.terms.query.iter().zip(&entry.query_spans) {
        if rows().any(|row| row.query_field(key).is_some()) {
            continue;
        }
        let known: Vec<&str> = rows()
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
        && !rows().any(|row| row.takes == Some(Takes::Multipart))
    {
        report
            .error(span, "no operation of this rule takes an upload")
            .help("take `upload:` out, or add attachments.upload");
    }
}

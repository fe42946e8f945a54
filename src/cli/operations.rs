//! `tollgate operations`: the ids that policies can name, with what they are; with an id, all of one.

use clap::Args;
use serde_json::json;

use super::{Failure, Format, print};
use crate::catalogue::{Field, Guard, Operation, OperationIx, Shown, Version};
use crate::document::nearest;

#[derive(Args, Debug)]
pub(super) struct Options {
    /// Show one operation, with the fields that policies can name.
    #[arg(value_name = "ID")]
    id: Option<String>,
}

pub(super) fn run(options: &Options, format: Format) -> Result<(), Failure> {
    let rows: Vec<&Operation> = OperationIx::served().map(OperationIx::row).collect();
    if let Some(id) = &options.id {
        let row = rows.iter().find(|row| row.id == id);
        let row = row.ok_or_else(|| unknown(id, &rows))?;
        match format {
            Format::Json => print(&as_json(row).to_string())?,
            Format::Text => print(detail(row).trim_end())?,
        }
        return Ok(());
    }
    if format == Format::Json {
        let all: Vec<_> = rows.iter().copied().map(as_json).collect();
        print(&json!(all).to_string())?;
        return Ok(());
    }
    let width = rows.iter().map(|row| row.id.len()).max().unwrap_or(0);
    for row in rows {
        let has = |version: Version| {
            if row.versions.has(version) {
                version.prefix()
            } else {
                ""
            }
        };
        let notes: String = notes(row).map(|note| format!(" {note}")).collect();
        let (id, method, path) = (row.id, row.verb.as_str(), row.path);
        print(&format!(
            "{id:width$}  {method:6} {:2} {:7}  {path}{notes}",
            has(Version::V3),
            has(Version::V3Beta1)
        ))?;
    }
    Ok(())
}

fn unknown(id: &str, rows: &[&Operation]) -> String {
    let mut message = format!("no operation is named `{id}`");
    if let Some(like) = nearest(id, rows.iter().map(|row| row.id)) {
        message.push_str(&format!("; did you mean `{like}`?"));
    }
    message
}

fn notes(row: &Operation) -> impl Iterator<Item = &'static str> + use<> {
    let notes = [
        (row.spends.is_some(), "spends"),
        (row.reveals_once, "reveals-a-secret"),
        (!row.names_organization(), "needs-any"),
        (row.locks_out, "can-lock-out"),
    ];
    notes
        .into_iter()
        .filter_map(|(is, note)| is.then_some(note))
}

fn as_json(row: &Operation) -> serde_json::Value {
    let body: Vec<_> = row.body_fields().map(|field| field.path).collect();
    let query: Vec<_> = row.query_fields().map(Field::key).collect();
    let guarded: Vec<_> = row.guards.iter().map(|guard| guard.path()).collect();
    json!({
        "id": row.id, "method": row.verb.as_str(), "path": row.path,
        "v3": row.versions.has(Version::V3), "v3beta1": row.versions.has(Version::V3Beta1),
        "names_organization": row.names_organization(), "mutates": row.mutates,
        "spends": row.spends.is_some(), "reveals_secret": row.reveals_once,
        "can_lock_out": row.locks_out,
        "body": body, "query": query, "guarded": guarded,
    })
}

fn detail(row: &Operation) -> String {
    let mut text = format!("{}\n", row.id);
    for version in [Version::V3, Version::V3Beta1] {
        if row.versions.has(version) {
            let (method, prefix) = (row.verb.as_str(), version.prefix());
            text.push_str(&format!("  {method} /{prefix}{}\n", row.path));
        }
    }
    let notes: Vec<_> = notes(row).collect();
    if !notes.is_empty() {
        text.push_str(&format!("  {}\n", notes.join(" ")));
    }
    let body = row.body_fields().map(|field| (field.path, field));
    let query = row.query_fields().map(|field| (field.key(), field));
    section(&mut text, "body", body.collect(), row, true);
    section(&mut text, "query", query.collect(), row, false);
    text
}

fn section(
    text: &mut String,
    title: &str,
    fields: Vec<(&str, &Field)>,
    row: &Operation,
    in_body: bool,
) {
    let width = fields.iter().map(|(name, _)| name.len()).max();
    let Some(width) = width else { return };
    text.push_str(&format!("{title}:\n"));
    for (name, field) in fields {
        let guard = row
            .guards
            .iter()
            .find(|guard| guard.is_in_body() == in_body && guard.path() == name);
        let mut marks = Vec::new();
        match guard {
            Some(Guard::Body(_) | Guard::Query(_)) => marks.push("guarded".to_owned()),
            Some(Guard::BodyOrElse(_, absent)) => {
                marks.push(format!("guarded, {} if left out", absent.value()));
            }
            None => {}
        }
        match field.shown {
            Shown::Value => {}
            Shown::Digest => marks.push("a digest in logs".to_owned()),
            Shown::Nothing => marks.push("hidden in logs".to_owned()),
        }
        let line = format!("  {name:width$}  {}", marks.join(", "));
        text.push_str(line.trim_end());
        text.push('\n');
    }
}

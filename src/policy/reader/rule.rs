//! Rules: `allow:`, `deny:` and `bounds:`.

use std::collections::HashMap;

use super::super::bounds::Terms;
use super::super::{Effect, Organizations};
use super::terms::{self, Whose};
use super::{Spanned, title};
use crate::document::{Node, Report, Span, Table, Value};

#[derive(Debug)]
pub(in crate::policy) struct RuleEntry {
    pub(in crate::policy) effect: Effect,
    pub(in crate::policy) name: Spanned<String>,
    pub(in crate::policy) callers: Option<Vec<Spanned<String>>>,
    pub(in crate::policy) operations: Vec<Spanned<String>>,
    pub(in crate::policy) organizations: Option<Organizations>,
    pub(in crate::policy) shadow: bool,
    pub(in crate::policy) terms: Terms,
    /// Where each field that the terms name stands, in their order: body, then query.
    pub(in crate::policy) body_spans: Vec<Span>,
    pub(in crate::policy) query_spans: Vec<Span>,
    /// Where `secrets: reveal`, `upload:`, `sessions:`, `uncapped:` and `cache:` stand.
    pub(in crate::policy) reveals: Option<Span>,
    pub(in crate::policy) upload: Option<Span>,
    pub(in crate::policy) sessions: Option<Span>,
    pub(in crate::policy) uncapped: Option<Span>,
    pub(in crate::policy) cache: Option<Span>,
}

/// Of what widens a grant.
const ONLY_A_GRANT: &str = "only a grant can say it: an allow rule";

/// What a rule of this effect is called.
fn what(effect: Effect) -> &'static str {
    match effect {
        Effect::Allow => "an allow rule",
        Effect::Deny => "a deny rule",
        Effect::Bound => "a rule of `bounds:`",
    }
}

/// One rule. What is wrong in it is told, and the rest of it is looked at all the same.
pub(super) fn rule(
    effect: Effect,
    node: &Node,
    in_shadow: bool,
    report: &mut Report,
) -> Option<RuleEntry> {
    let what = what(effect);
    let before = report.len();
    let mut table = Table::new(what, node, report)?;
    let name = title("rule", &mut table, report);
    let callers = table
        .list("callers", report)
        .map(|(items, span)| texts("callers", items, span, report));
    let operations = match table.list("operations", report) {
        Some((items, span)) => texts("operations", items, span, report),
        None => {
            table.miss("operations", format!("{what} needs `operations:`"), None);
            Vec::new()
        }
    };
    let organizations = table
        .take("organizations")
        .map(|node| organizations(node, report));
    let organizations = match (organizations, effect) {
        (Some(found), _) => found,
        (None, Effect::Deny | Effect::Bound) => Some(Organizations::Any),
        (None, Effect::Allow) => {
            table.miss(
                "organizations",
                "an allow rule needs `organizations:`".to_owned(),
                Some("list organization ids, or say `organizations: any`"),
            );
            None
        }
    };
    let shadow = shadow(&mut table, in_shadow, report);
    let mut read = terms::Read::default();
    match effect {
        Effect::Allow => {
            read.bounds(Whose::Grant, &mut table, report);
            read.secrets(&mut table, report);
            read.sessions(&mut table, report);
            read.uncapped(&mut table, report);
            read.cache(&mut table, report);
        }
        Effect::Bound => {
            read.bounds(Whose::Rail, &mut table, report);
            table.misplaced("secrets", "only a grant can reveal secrets", report);
            table.misplaced("sessions", ONLY_A_GRANT, report);
            table.misplaced("uncapped", ONLY_A_GRANT, report);
            table.misplaced("cache", ONLY_A_GRANT, report);
        }
        Effect::Deny => {
            for field in [
                "body", "query", "unknown", "secrets", "upload", "sessions", "uncapped", "cache",
            ] {
                table.misplaced(field, "a deny rule refuses whole operations; bounds stand in an allow rule, or in `bounds:` of a guard rail", report);
            }
        }
    }
    table.finish(report);
    if effect == Effect::Bound && read.terms.is_empty() && report.len() == before {
        report
            .error(node.span, "these bounds bound nothing")
            .help("say `body:`, `query:`, `unknown: refuse` or `upload:`");
    }
    Some(RuleEntry {
        effect,
        name,
        callers,
        operations,
        organizations,
        shadow,
        terms: read.terms,
        body_spans: read.body_spans,
        query_spans: read.query_spans,
        reveals: read.reveals,
        upload: read.upload,
        sessions: read.sessions,
        uncapped: read.uncapped,
        cache: read.cache,
    })
}

/// Whether a rule, limit or budget is shadowed. In a shadowed file none is live, so none may look as if it were.
pub(super) fn shadow(table: &mut Table<'_>, in_shadow: bool, report: &mut Report) -> bool {
    let Some(node) = table.take("shadow") else {
        return false;
    };
    let is_shadowed = flag("shadow", node, report);
    if in_shadow && matches!(node.value, Value::Bool(false)) {
        report
            .error(node.span, "`shadow: false` in a file that is all in shadow")
            .help("take it out, or move what is live to a file without `shadow: true`");
    }
    is_shadowed
}

/// `true` or `false`.
pub(super) fn flag(name: &str, node: &Node, report: &mut Report) -> bool {
    if let Value::Bool(it) = node.value {
        return it;
    }
    report
        .error(
            node.span,
            format!("`{name}:` must be true or false, not {}", node.value.kind()),
        )
        .help("YAML's yes and no are text here");
    false
}

pub(super) fn texts(
    field: &str,
    items: &[Node],
    span: Span,
    report: &mut Report,
) -> Vec<Spanned<String>> {
    if items.is_empty() {
        report
            .error(span, format!("`{field}:` is an empty list"))
            .help("a rule for nothing is surely not meant");
    }
    let mut found: Vec<Spanned<String>> = Vec::new();
    let mut seen: HashMap<&str, Span> = HashMap::new();
    for item in items {
        if let Some(text) = item.as_text(field, report) {
            if let Some(first) = seen.insert(text, item.span) {
                report
                    .error(
                        item.span,
                        format!("`{}` stands twice in `{field}:`", text.escape_debug()),
                    )
                    .also(first, "first here")
                    .help("take one of them out");
                continue;
            }
            found.push(Spanned {
                value: text.to_owned(),
                span: item.span,
            });
        }
    }
    found
}

fn organizations(node: &Node, report: &mut Report) -> Option<Organizations> {
    match &node.value {
        Value::Text(text) if text == "any" => Some(Organizations::Any),
        Value::List(items) => {
            let listed = texts("organizations", items, node.span, report);
            let mut ids: Vec<String> = Vec::new();
            for id in listed {
                if id.value == "any" {
                    report
                        .error(id.span, "`any` is no organization id")
                        .help("write `organizations: any`, without a list");
                } else if id.value.is_empty()
                    || !id
                        .value
                        .bytes()
                        .all(|it| it.is_ascii_alphanumeric() || b"-_".contains(&it))
                {
                    report
                        .error(id.span, format!("`{}` is no organization id", id.value.escape_debug()))
                        .help("ids have letters, digits, `-` and `_`, and there are no wildcards; for all, write `organizations: any`");
                } else {
                    ids.push(id.value);
                }
            }
            Some(Organizations::Only(ids))
        }
        Value::Null
        | Value::Bool(_)
        | Value::Integer(_)
        | Value::Float(_)
        | Value::Text(_)
        | Value::Map(_) => {
            report
                .error(
                    node.span,
                    "`organizations:` must be a list of ids, or `any`",
                )
                .help("write `organizations: [org-…]` or `organizations: any`");
            None
        }
    }
}

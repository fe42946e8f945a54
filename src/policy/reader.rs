//! One file's fields: from the tree to what the file says, with every mistake collected.
//!
//! Names stay names here; `compile` resolves them over all files.

use std::num::NonZeroU32;
use std::time::Duration;

use jiff::{Timestamp, civil::Date, tz::TimeZone};

use super::{ClaimValue, KeyDigest};
use crate::api_key;
use crate::document::{Node, Report, Span, Table, Value};

/// Text and where it stands.
#[derive(Clone, Debug)]
pub(super) struct Spanned<T> {
    pub(super) value: T,
    pub(super) span: Span,
}

#[derive(Debug)]
pub(super) struct File {
    /// The file's name without its ending.
    pub(super) stem: String,
    pub(super) team: Option<Spanned<String>>,
    pub(super) owner: Option<String>,
    pub(super) callers: Vec<CallerEntry>,
    pub(super) rules: Vec<RuleEntry>,
    pub(super) limits: Vec<LimitEntry>,
}

#[derive(Debug)]
pub(super) struct CallerEntry {
    pub(super) name: Spanned<String>,
    pub(super) keys: Vec<KeyEntry>,
    pub(super) jwt: Option<JwtEntry>,
}

#[derive(Debug)]
pub(super) struct KeyEntry {
    pub(super) id: Spanned<String>,
    pub(super) digest: KeyDigest,
    pub(super) expires: Option<Timestamp>,
}

#[derive(Debug)]
pub(super) struct JwtEntry {
    pub(super) issuer: Spanned<String>,
    pub(super) claims: Vec<(String, ClaimValue)>,
    pub(super) span: Span,
}

#[derive(Debug)]
pub(super) struct RuleEntry {
    pub(super) effect: super::Effect,
    pub(super) name: Spanned<String>,
    pub(super) callers: Option<Vec<Spanned<String>>>,
    pub(super) operations: Vec<Spanned<String>>,
    pub(super) organizations: Option<super::Organizations>,
}

#[derive(Debug)]
pub(super) struct LimitEntry {
    pub(super) name: Spanned<String>,
    pub(super) callers: Option<Vec<Spanned<String>>>,
    pub(super) period: Duration,
    pub(super) burst: NonZeroU32,
}

pub(super) fn read(root: &Node, stem: String, report: &mut Report) -> Option<File> {
    let mut table = Table::new("a policy file", root, report)?;
    let team = table.text("team", report);
    let team = team.and_then(|(text, span)| name("team", text, span, report));
    let owner = table.text("owner", report).map(|(text, _)| text.to_owned());
    let callers = table
        .take("callers")
        .map(|node| callers(node, report))
        .unwrap_or_default();
    let mut rules = Vec::new();
    for (field, effect) in [
        ("allow", super::Effect::Allow),
        ("deny", super::Effect::Deny),
    ] {
        if let Some((items, _)) = table.list(field, report) {
            rules.extend(items.iter().filter_map(|item| rule(effect, item, report)));
        }
    }
    let limits = table
        .list("limits", report)
        .map_or(Vec::new(), |(items, _)| {
            items
                .iter()
                .filter_map(|item| limit(item, report))
                .collect()
        });
    for field in ["budgets", "bounds", "shadow", "renamed_from"] {
        table.not_yet(field, report);
    }
    table.finish(report);
    Some(File {
        stem,
        team,
        owner,
        callers,
        rules,
        limits,
    })
}

/// Names of teams and callers: they stand in logs, metrics and problem details, so their alphabet is small.
fn name(what: &str, text: &str, span: Span, report: &mut Report) -> Option<Spanned<String>> {
    let fits = |it: u8| it.is_ascii_lowercase() || it.is_ascii_digit() || b"-_.".contains(&it);
    if !(1..=64).contains(&text.len()) || !text.bytes().all(fits) {
        report
            .error(span, format!("`{text}` is no name for a {what}"))
            .help("use 1 to 64 of a-z, 0-9, `-`, `_` and `.`");
        return None;
    }
    Some(Spanned {
        value: text.to_owned(),
        span,
    })
}

/// Names of rules and limits: for people, but printable in any log.
fn title(text: &str, span: Span, report: &mut Report) -> Option<Spanned<String>> {
    let fits = |it: u8| it.is_ascii_alphanumeric() || b" -_.".contains(&it);
    if !(1..=64).contains(&text.len()) || !text.bytes().all(fits) || text.trim() != text {
        report
            .error(
                span,
                format!("`{}` is no name for a rule", text.escape_debug()),
            )
            .help("use 1 to 64 letters, digits, spaces, `-`, `_` and `.`");
        return None;
    }
    Some(Spanned {
        value: text.to_owned(),
        span,
    })
}

fn callers(node: &Node, report: &mut Report) -> Vec<CallerEntry> {
    let Some(table) = Table::new("`callers:`", node, report) else {
        return Vec::new();
    };
    let mut found = Vec::new();
    for (text, at, value) in table.into_entries() {
        let Some(caller) = name("caller", text, at.span, report) else {
            continue;
        };
        let Some(mut table) = Table::new("a caller", value, report) else {
            continue;
        };
        let keys = table.list("keys", report);
        let keys = keys.map_or(Vec::new(), |(items, _)| {
            items.iter().filter_map(|item| key(item, report)).collect()
        });
        let jwt = table.take("jwt").and_then(|node| jwt(node, report));
        for field in ["spiffe", "unix", "renamed_from"] {
            table.not_yet(field, report);
        }
        table.finish(report);
        found.push(CallerEntry {
            name: caller,
            keys,
            jwt,
        });
    }
    found
}

fn key(node: &Node, report: &mut Report) -> Option<KeyEntry> {
    let mut table = Table::new("a key", node, report)?;
    let id = table.require_text("id", report).and_then(|(text, span)| {
        if api_key::is_id(text) {
            return Some(Spanned {
                value: text.to_owned(),
                span,
            });
        }
        report
            .error(span, format!("`{}` is no key id", text.escape_debug()))
            .help("use 1 to 32 of a-z, 0-9 and `-`");
        None
    });
    let digest = table.require_text("sha256", report).and_then(|(text, span)| {
        let digest = hex_digest(text);
        if digest.is_none() {
            // A whole key, most likely.
            report.secret(span);
            report
                .error(span, "`sha256:` must be 64 lower-case hex digits")
                .help("`tollgate keys new` prints the line to paste; the key itself never stands in a file");
        }
        digest
    });
    let expires = table.take("expires").map(|node| instant(node, report));
    table.finish(report);
    Some(KeyEntry {
        id: id?,
        digest: digest?,
        expires: match expires {
            Some(instant) => Some(instant?),
            None => None,
        },
    })
}

fn hex_digest(text: &str) -> Option<KeyDigest> {
    if text.len() != 64
        || !text
            .bytes()
            .all(|it| matches!(it, b'0'..=b'9' | b'a'..=b'f'))
    {
        return None;
    }
    let mut bytes = [0; 32];
    for (at, byte) in bytes.iter_mut().enumerate() {
        *byte = u8::from_str_radix(text.get(at * 2..at * 2 + 2)?, 16).ok()?;
    }
    Some(KeyDigest::new(bytes))
}

/// A date means 00:00 UTC of that day; a timestamp is taken as it is.
fn instant(node: &Node, report: &mut Report) -> Option<Timestamp> {
    let text = node.as_text("expires", report)?;
    let midnight = |date: Date| TimeZone::UTC.to_timestamp(date.at(0, 0, 0, 0)).ok();
    let found = match text.len() {
        10 => text.parse().ok().and_then(midnight),
        _ => text.parse().ok(),
    };
    if found.is_none() {
        report
            .error(node.span, format!("`{}` is no date", text.escape_debug()))
            .help("write 2027-02-01 (00:00 UTC of that day) or 2027-02-01T09:00:00Z");
    }
    found
}

fn jwt(node: &Node, report: &mut Report) -> Option<JwtEntry> {
    let mut table = Table::new("`jwt:`", node, report)?;
    let issuer = table.require_text("issuer", report);
    let claims = table.require("claims").and_then(|node| {
        let table = Table::new("`claims:`", node, report)?;
        let mut claims: Vec<(String, ClaimValue)> = Vec::new();
        for (name, _, value) in table.into_entries() {
            claims.push((name.to_owned(), claim(value, report)?));
        }
        if claims.is_empty() {
            report
                .error(
                    node.span,
                    "`claims:` names no claim: every token of the issuer would be this caller",
                )
                .help("name what only this caller's tokens have, such as `sub`");
            return None;
        }
        claims.sort();
        Some(claims)
    });
    table.finish(report);
    let (issuer, span) = issuer?;
    Some(JwtEntry {
        issuer: Spanned {
            value: issuer.to_owned(),
            span,
        },
        claims: claims?,
        span: node.span,
    })
}

fn claim(node: &Node, report: &mut Report) -> Option<ClaimValue> {
    match &node.value {
        Value::Text(text) => Some(ClaimValue::Text(text.clone())),
        Value::Integer(it) => Some(ClaimValue::Integer(*it)),
        Value::Bool(it) => Some(ClaimValue::Bool(*it)),
        Value::Null | Value::Float(_) | Value::List(_) | Value::Map(_) => {
            report.error(
                node.span,
                format!(
                    "a claim is text, a whole number or a boolean, not {}",
                    node.value.kind()
                ),
            );
            None
        }
    }
}

fn rule(effect: super::Effect, node: &Node, report: &mut Report) -> Option<RuleEntry> {
    let what = match effect {
        super::Effect::Allow => "an allow rule",
        super::Effect::Deny => "a deny rule",
    };
    let mut table = Table::new(what, node, report)?;
    let name = table.require_text("name", report);
    let name = name.and_then(|(text, span)| title(text, span, report));
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
        (None, super::Effect::Deny) => Some(super::Organizations::Any),
        (None, super::Effect::Allow) => {
            table.miss(
                "organizations",
                "an allow rule needs `organizations:`".to_owned(),
                Some("list organization ids, or say `organizations: any`"),
            );
            None
        }
    };
    for field in [
        "body", "query", "sessions", "secrets", "uncapped", "unknown", "shadow",
    ] {
        table.not_yet(field, report);
    }
    table.finish(report);
    Some(RuleEntry {
        effect,
        name: name?,
        callers,
        operations,
        organizations,
    })
}

fn texts(field: &str, items: &[Node], span: Span, report: &mut Report) -> Vec<Spanned<String>> {
    if items.is_empty() {
        report
            .error(span, format!("`{field}:` is an empty list"))
            .help("a rule for nothing is surely not meant");
    }
    let mut found = Vec::new();
    for item in items {
        if let Some(text) = item.as_text(field, report) {
            found.push(Spanned {
                value: text.to_owned(),
                span: item.span,
            });
        }
    }
    found
}

fn organizations(node: &Node, report: &mut Report) -> Option<super::Organizations> {
    match &node.value {
        Value::Text(text) if text == "any" => Some(super::Organizations::Any),
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
            Some(super::Organizations::Only(ids))
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

fn limit(node: &Node, report: &mut Report) -> Option<LimitEntry> {
    let mut table = Table::new("a limit", node, report)?;
    let name = table.require_text("name", report);
    let name = name.and_then(|(text, span)| title(text, span, report));
    if let Some((per, span)) = table.require_text("per", report)
        && per != "caller"
    {
        let known = [
            "everyone",
            "organization",
            "team",
            "caller",
            "caller+operation",
        ];
        if known.contains(&per) {
            report
                .error(span, format!("`per: {per}` is not supported yet"))
                .help("use `per: caller`");
        } else {
            report
                .error(span, format!("a limit is per caller, not per `{per}`"))
                .suggest(per, known);
        }
    }
    let callers = table
        .list("callers", report)
        .map(|(items, span)| texts("callers", items, span, report));
    let period = table.require("rate").and_then(|node| rate(node, report));
    let burst = table.require("burst");
    let burst = burst.and_then(|node| node.as_whole("burst", 1, 1_000_000, report));
    for field in ["wait", "sessions", "operations", "shadow"] {
        table.not_yet(field, report);
    }
    table.finish(report);
    Some(LimitEntry {
        name: name?,
        callers,
        period: period?,
        burst: u32::try_from(burst?).ok().and_then(NonZeroU32::new)?,
    })
}

/// `60/min`: the time in which one request is earned back, rounded up to a nanosecond.
fn rate(node: &Node, report: &mut Report) -> Option<Duration> {
    let span = node.span;
    let text = match &node.value {
        Value::Text(text) => text.as_str(),
        Value::Null
        | Value::Bool(_)
        | Value::Integer(_)
        | Value::Float(_)
        | Value::List(_)
        | Value::Map(_) => "",
    };
    let parsed = text.split_once('/').and_then(|(count, unit)| {
        let seconds: u64 = match unit.trim() {
            "s" | "sec" | "second" => 1,
            "min" | "minute" => 60,
            "h" | "hour" => 3_600,
            _ => return None,
        };
        Some((count.trim().parse::<u64>().ok()?, seconds))
    });
    match parsed {
        Some((0, _)) => {
            report
                .error(span, "a rate of zero is no limit")
                .help("to forbid an operation, deny it; for no limit, leave the limit out");
            None
        }
        Some((count, seconds)) if count <= 1_000_000 => Some(Duration::from_nanos(
            (seconds * 1_000_000_000).div_ceil(count),
        )),
        Some(_) | None => {
            report
                .error(span, "a rate is a whole number and a unit")
                .help("write a whole number up to 1000000 and a unit: 5/s, 60/min or 1000/h");
            None
        }
    }
}

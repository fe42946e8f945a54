//! One file's fields: from the tree to what the file says, with every mistake collected.
//!
//! Names stay names here; `compile` resolves them over all files.

mod budget;
mod limit;
mod renamed;
mod rule;
mod spending;
mod terms;

use data_encoding::HEXLOWER;
use jiff::{Timestamp, civil::Date, tz::TimeZone};

use super::{ClaimValue, KeyDigest};
use crate::api_key;
use crate::document::{Node, Report, Span, Table, Value};

/// The longest `owner:`, in bytes.
const MAX_OWNER: usize = 256;

pub(super) use budget::BudgetEntry;
pub(super) use limit::LimitEntry;
pub(super) use rule::RuleEntry;

/// Text and where it stands.
#[derive(Clone, Debug)]
pub(in crate::policy) struct Spanned<T> {
    pub(in crate::policy) value: T,
    pub(in crate::policy) span: Span,
}

#[derive(Debug)]
pub(in crate::policy) struct File {
    /// The file's name without its ending.
    pub(in crate::policy) stem: String,
    pub(in crate::policy) team: Option<Spanned<String>>,
    pub(in crate::policy) owner: Option<String>,
    pub(in crate::policy) callers: Vec<CallerEntry>,
    pub(in crate::policy) rules: Vec<RuleEntry>,
    pub(in crate::policy) limits: Vec<LimitEntry>,
    pub(in crate::policy) budgets: Vec<BudgetEntry>,
    /// What the team was called.
    pub(in crate::policy) renamed_from: Vec<Spanned<String>>,
    /// Nothing in the file is enforced; its callers are callers all the same.
    pub(in crate::policy) shadow: bool,
}

#[derive(Debug)]
pub(in crate::policy) struct CallerEntry {
    pub(in crate::policy) name: Spanned<String>,
    pub(in crate::policy) keys: Vec<KeyEntry>,
    pub(in crate::policy) jwt: Option<JwtEntry>,
    /// What it was called.
    pub(in crate::policy) renamed_from: Vec<Spanned<String>>,
}

#[derive(Debug)]
pub(in crate::policy) struct KeyEntry {
    pub(in crate::policy) id: Spanned<String>,
    pub(in crate::policy) digest: KeyDigest,
    pub(in crate::policy) expires: Option<Timestamp>,
}

#[derive(Debug)]
pub(in crate::policy) struct JwtEntry {
    pub(in crate::policy) issuer: Spanned<String>,
    pub(in crate::policy) claims: Vec<(String, ClaimValue)>,
    pub(in crate::policy) span: Span,
}

pub(in crate::policy) fn read(root: &Node, stem: String, report: &mut Report) -> Option<File> {
    let mut table = Table::new("a policy file", root, report)?;
    let team = match table.take("team") {
        Some(node) => Some(team(node, report)),
        // Without a value, which is told: the file is a team's all the same.
        None => team_key(root).map(nobody),
    };
    let owner = table.text("owner", report);
    let owner = owner.map(|(text, span)| owner_text(text, span, report));
    let shadow = table
        .take("shadow")
        .is_some_and(|node| rule::flag("shadow", node, report));
    let callers = table
        .take("callers")
        .map(|node| callers(node, report))
        .unwrap_or_default();
    let mut rules = Vec::new();
    for (field, effect) in [
        ("allow", super::Effect::Allow),
        ("deny", super::Effect::Deny),
        ("bounds", super::Effect::Bound),
    ] {
        if let Some((items, _)) = table.list(field, report) {
            rules.extend(
                items
                    .iter()
                    .filter_map(|item| rule::rule(effect, item, shadow, report)),
            );
        }
    }
    let limits = table
        .list("limits", report)
        .map_or(Vec::new(), |(items, _)| {
            items
                .iter()
                .filter_map(|item| limit::limit(item, team.is_some(), shadow, report))
                .collect()
        });
    let budgets = table
        .list("budgets", report)
        .map_or(Vec::new(), |(items, _)| {
            items
                .iter()
                .filter_map(|item| budget::budget(item, team.is_some(), shadow, report))
                .collect()
        });
    let renamed_from = if team.is_some() {
        renamed::renamed("team", &mut table, report)
    } else {
        let help = "guard rails are no team: a budget that moves keeps its account by `id:`";
        table.misplaced("renamed_from", help, report);
        Vec::new()
    };
    table.finish(report);
    Some(File {
        stem,
        team,
        owner,
        callers,
        rules,
        limits,
        budgets,
        renamed_from,
        shadow,
    })
}

/// A team's name. One that cannot be read is nobody's, but the file is a team's all the same.
fn team(node: &Node, report: &mut Report) -> Spanned<String> {
    let text = node.as_text("team", report);
    let found = text.map(|text| name("team", text, node.span, report));
    found.unwrap_or_else(|| nobody(node.span))
}

fn team_key(root: &Node) -> Option<Span> {
    let Value::Map(entries) = &root.value else {
        return None;
    };
    let is_team = |key: &&Node| matches!(&key.value, Value::Text(text) if text == "team");
    entries
        .iter()
        .map(|(key, _)| key)
        .find(is_team)
        .map(|key| key.span)
}

/// In place of a name that is missing or wrong: the set is refused, and the rest is read all the same.
fn nobody(span: Span) -> Spanned<String> {
    Spanned {
        value: String::new(),
        span,
    }
}

/// An owner is any text for people, but it is shown in refusals and on terminals.
fn owner_text(text: &str, span: Span, report: &mut Report) -> String {
    // Controls, and the marks that turn the direction of writing or hide between letters.
    let is_hidden = |it: char| {
        it.is_control()
            || matches!(it, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
    };
    if !(1..=MAX_OWNER).contains(&text.len()) || text.contains(is_hidden) {
        report
            .error(
                span,
                format!("`owner:` must be 1 to {MAX_OWNER} bytes of text that can be seen"),
            )
            .help("write whom to ask, such as platform@acme.example");
    }
    text.to_owned()
}

/// Names of teams and callers: they stand in logs, metrics and problem details, so their alphabet is small.
/// A wrong one is kept, so that what names it is not wrong as well; the set is refused in any case.
fn name(what: &str, text: &str, span: Span, report: &mut Report) -> Spanned<String> {
    let fits = |it: u8| it.is_ascii_lowercase() || it.is_ascii_digit() || b"-_.".contains(&it);
    if !(1..=64).contains(&text.len()) || !text.bytes().all(fits) {
        report
            .error(
                span,
                format!("`{}` is no name for a {what}", text.escape_debug()),
            )
            .help("use 1 to 64 of a-z, 0-9, `-`, `_` and `.`");
    }
    Spanned {
        value: text.to_owned(),
        span,
    }
}

/// The name of a rule or limit: for people, but printable in any log.
fn title(what: &str, table: &mut Table<'_>, report: &mut Report) -> Spanned<String> {
    let Some((text, span)) = table.require_text("name", report) else {
        return nobody(table.span());
    };
    let fits = |it: u8| it.is_ascii_alphanumeric() || b" -_.".contains(&it);
    if !(1..=64).contains(&text.len()) || !text.bytes().all(fits) || text.trim() != text {
        report
            .error(
                span,
                format!("`{}` is no name for a {what}", text.escape_debug()),
            )
            .help("use 1 to 64 letters, digits, spaces, `-`, `_` and `.`");
    }
    Spanned {
        value: text.to_owned(),
        span,
    }
}

fn callers(node: &Node, report: &mut Report) -> Vec<CallerEntry> {
    let Some(table) = Table::new("`callers:`", node, report) else {
        return Vec::new();
    };
    let mut found = Vec::new();
    for (text, at, value) in table.into_entries() {
        let caller = name("caller", text, at.span, report);
        let Some(mut table) = Table::new("a caller", value, report) else {
            continue;
        };
        let keys = table.list("keys", report);
        let keys = keys.map_or(Vec::new(), |(items, _)| {
            items.iter().filter_map(|item| key(item, report)).collect()
        });
        let jwt = table.take("jwt").and_then(|node| jwt(node, report));
        let renamed_from = renamed::renamed("caller", &mut table, report);
        for field in ["spiffe", "unix"] {
            table.not_yet(field, report);
        }
        table.finish(report);
        found.push(CallerEntry {
            name: caller,
            keys,
            jwt,
            renamed_from,
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
    // Longer ones are not even decoded: the text can be as long as a file.
    let bytes = (text.len() == 64).then(|| HEXLOWER.decode(text.as_bytes()));
    bytes?.ok()?.try_into().ok().map(KeyDigest::new)
}

/// The day that a text begins with, in the one form that people who read policies know: ISO 8601 has more.
fn written_day(text: &str) -> Option<Date> {
    let is_day = |(at, it): (usize, u8)| match at {
        4 | 7 => it == b'-',
        _ => it.is_ascii_digit(),
    };
    let day = text.get(..10)?;
    let has_form = day.bytes().enumerate().all(is_day);
    day.parse().ok().filter(|_| has_form)
}

/// A date means 00:00 UTC of that day; a timestamp is taken as it is.
fn instant(node: &Node, report: &mut Report) -> Option<Timestamp> {
    let text = node.as_text("expires", report)?;
    let midnight = |date: Date| TimeZone::UTC.to_timestamp(date.at(0, 0, 0, 0)).ok();
    let found = match (written_day(text), text.len()) {
        (None, _) => None,
        (Some(day), 10) => midnight(day),
        (Some(_), _) => text.parse().ok(),
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
            report
                .error(
                    node.span,
                    format!(
                        "a claim is text, a whole number or a boolean, not {}",
                        node.value.kind()
                    ),
                )
                .help("a token must have exactly this value: for several, write several callers");
            None
        }
    }
}

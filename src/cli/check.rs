//! `tollgate check`: every mistake of the configuration and of all policies, at once, and every warning.

use std::io::{self, IsTerminal, Write};
use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::{Value, json};

use super::source::{Loaded, Source};
use super::{Failure, Format, print};
use crate::catalogue::OperationIx;
use crate::clock::{Clock, SystemClock};
use crate::document::Report;
use crate::policy::Policy;
use crate::ruleset::{Change, Named};

/// What is checked.
#[derive(Args, Debug)]
pub(super) struct Options {
    #[command(flatten)]
    source: Source,
    /// Take a warning for a mistake: exit with 1.
    #[arg(long)]
    deny_warnings: bool,
    /// Show each rule with the operations that its patterns mean.
    #[arg(long)]
    expand: bool,
    /// Show which rules, budgets and callers came and went since the policies of this folder, and which budgets changed.
    #[arg(long, value_name = "DIR")]
    diff: Option<PathBuf>,
}

pub(super) fn run(options: &Options, format: Format) -> Result<(), Failure> {
    let mut report = Report::default();
    let loaded = options.source.load(&mut report);
    if let Some(loaded) = &loaded {
        advise(loaded, &mut report);
    }
    let before = match (&options.diff, &loaded) {
        (Some(folder), Some(loaded)) => {
            // Its mistakes would be taken for those of what is checked, so it has a report of its own.
            let mut report = Report::default();
            let before = options.source.beside(loaded, folder, &mut report);
            if before.is_none() {
                refuse(&report, folder, format)?;
                return Err(Failure::Bad);
            }
            before
        }
        _ => None,
    };
    let is_denied = options.deny_warnings && report.warnings() > 0;
    let policy = loaded.as_ref().map(|it| &it.policy);
    let fine = policy.filter(|_| !is_denied);
    let change = before
        .zip(policy)
        .map(|(before, policy)| Change::between(&before, policy, SystemClock.now()));
    match format {
        Format::Json => {
            let mut shown = json!({
                "ok": fine.is_some(),
                "policy": policy.map(Policy::hash),
                "callers": policy.map(|it| it.callers().count()),
                "rules": policy.map(|it| it.rules().len()),
                "budgets": policy.map(|it| it.budgets().len()),
                "shadowed": policy.map(shadowed),
                "mistakes": report.json(),
                "warnings": report.json_warnings(),
            });
            if let (true, Some(policy), Value::Object(shown)) = (options.expand, policy, &mut shown)
            {
                shown.insert("expanded".to_owned(), expanded_json(policy));
            }
            if let (Some(change), Value::Object(shown)) = (&change, &mut shown) {
                shown.insert("diff".to_owned(), difference_json(change));
            }
            print(&shown.to_string())?;
        }
        Format::Text => {
            complain(&report, policy.is_some(), is_denied)?;
            if let Some(policy) = fine {
                print(&summary(policy))?;
            }
            if let (true, Some(policy)) = (options.expand, policy) {
                print(expanded(policy).trim_end())?;
            }
            if let Some(change) = &change {
                print(&difference(change))?;
            }
        }
    }
    fine.map(|_| ()).ok_or(Failure::Bad)
}

/// Puts the warnings into the report.
fn advise(loaded: &Loaded, report: &mut Report) {
    loaded.policy.advise(SystemClock.now(), report);
    if let Some(settings) = &loaded.settings {
        for (issuer, span) in settings.issuers.iter().zip(&settings.issuer_spans) {
            loaded.policy.advise_issuer(&issuer.name, *span, report);
        }
    }
}

fn complain(report: &Report, is_loaded: bool, is_denied: bool) -> io::Result<()> {
    let end = match (is_loaded, report.warnings()) {
        (false, _) => report.count(),
        (true, 0) => return Ok(()),
        (true, _) if is_denied => {
            format!("{}, and `--deny-warnings`", report.count_warnings())
        }
        (true, _) => report.count_warnings(),
    };
    let mut out = io::stderr();
    writeln!(out, "{}{end}", report.human(out.is_terminal()))
}

/// What is wrong with the policies that these were to be compared with.
fn refuse(report: &Report, folder: &Path, format: Format) -> io::Result<()> {
    let folder = folder.display();
    match format {
        Format::Json => print(
            &json!({"ok": false, "error": format!("{folder} cannot be compared with"), "mistakes": report.json()})
                .to_string(),
        ),
        Format::Text => {
            let mut out = io::stderr();
            let shown = report.human(out.is_terminal());
            writeln!(out, "{shown}{} in {folder}, which cannot be compared with", report.count())
        }
    }
}

/// What came and went, a line each.
fn difference(change: &Change) -> String {
    let mut lines = Vec::new();
    for (sign, named) in [
        ('-', &change.removed),
        ('+', &change.added),
        ('~', &change.changed),
    ] {
        lines.extend(named.rules.iter().map(|it| format!("{sign} {it}")));
        let more = named.count - named.rules.len();
        if more > 0 {
            lines.push(format!("{sign} and {more} more"));
        }
    }
    if change.loses_guard {
        lines.push("what refused before is gone: see the first lines".to_owned());
    }
    if lines.is_empty() {
        lines.push("no rule, budget or caller came or went".to_owned());
    }
    lines.join("\n")
}

fn difference_json(change: &Change) -> Value {
    let named = |named: &Named| json!({ "count": named.count, "rules": named.rules });
    json!({
        "removed": named(&change.removed),
        "added": named(&change.added),
        "changed": named(&change.changed),
        "loses_guard": change.loses_guard,
    })
}

fn summary(policy: &Policy) -> String {
    let callers = policy.callers().count();
    let rules = policy.rules().len();
    let budgets = match policy.budgets().len() {
        0 => String::new(),
        1 => "1 budget, ".to_owned(),
        several => format!("{several} budgets, "),
    };
    let mut text = format!(
        "fine: {callers} callers, {rules} rules, {budgets}policy {}",
        policy.hash()
    );
    let shadowed_budgets = policy.budgets().iter().filter(|it| it.shadow).count();
    if shadowed_budgets > 0 {
        text.push_str(&format!(
            "\nbudgets in shadow, counted and not held: {shadowed_budgets}"
        ));
    }
    match shadowed(policy) {
        0 => {}
        1 => text.push_str("\n1 rule is shadowed: logged, not enforced"),
        several => text.push_str(&format!(
            "\n{several} rules are shadowed: logged, not enforced"
        )),
    }
    text
}

fn shadowed(policy: &Policy) -> usize {
    policy.rules().filter(|rule| rule.is_shadowed()).count()
}

fn ids(operations: &[OperationIx]) -> Vec<&'static str> {
    operations.iter().map(|ix| ix.row().id).collect()
}

fn expanded(policy: &Policy) -> String {
    let mut text = String::new();
    for rule in policy.rules() {
        let shadow = if rule.is_shadowed() { ", shadowed" } else { "" };
        text.push_str(&format!(
            "\n{} ({}{shadow})\n",
            rule.name(),
            rule.effect().as_str()
        ));
        for (pattern, operations) in rule.patterns() {
            let operations = match operations.is_empty() {
                true => "nothing".to_owned(),
                false => ids(&operations).join(" "),
            };
            text.push_str(&format!("  {pattern}: {operations}\n"));
        }
    }
    text
}

fn expanded_json(policy: &Policy) -> Value {
    let rules = policy.rules().map(|rule| {
        let patterns: serde_json::Map<String, Value> = rule
            .patterns()
            .map(|(pattern, operations)| (pattern.to_owned(), json!(ids(&operations))))
            .collect();
        json!({
            "rule": &**rule.name(), "effect": rule.effect().as_str(), "shadow": rule.is_shadowed(),
            "operations": patterns,
        })
    });
    rules.collect()
}

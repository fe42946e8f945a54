//! `tollgate check`: every mistake of the configuration and of all policies, at once, and every warning.

use std::io::{self, IsTerminal, Write};

use clap::Args;
use serde_json::{Value, json};

use super::source::{Loaded, Source};
use super::{Failure, Format, print};
use crate::catalogue::OperationIx;
use crate::clock::{Clock, SystemClock};
use crate::document::Report;
use crate::policy::Policy;

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
}

pub(super) fn run(options: &Options, format: Format) -> Result<(), Failure> {
    let mut report = Report::default();
    let loaded = options.source.load(&mut report);
    if let Some(loaded) = &loaded {
        advise(loaded, &mut report);
    }
    let is_denied = options.deny_warnings && report.warnings() > 0;
    let policy = loaded.as_ref().map(|it| &it.policy);
    let fine = policy.filter(|_| !is_denied);
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

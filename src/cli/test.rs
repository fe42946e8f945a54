//! `tollgate test`: the tests beside the policies, run without a gateway and without Devin.

use std::io::{self, IsTerminal, Write};

use clap::Args;
use serde_json::{Value, json};

use super::source::Source;
use super::{Failure, Format, print};
use crate::catalogue::Catalogue;
use crate::document::Report;
use crate::policy::TestFiles;
use crate::redact::redact;
use crate::rehearsal::{Case, Outcome, Suite, read, run as run_all};

/// What is tested.
#[derive(Args, Debug)]
pub(super) struct Options {
    #[command(flatten)]
    source: Source,
    /// Show the rules that no test reaches.
    #[arg(long)]
    coverage: bool,
    /// Exit with 1 if there is a rule that no test reaches.
    #[arg(long)]
    require_coverage: bool,
}

pub(super) fn run(options: &Options, format: Format) -> Result<(), Failure> {
    let mut report = Report::default();
    let Some(loaded) = options.source.load(&mut report) else {
        return mistaken(&report, format);
    };
    let files = TestFiles::read(&loaded.folder, loaded.budget, &mut report);
    let cases = read(&files, &loaded.policy, &Catalogue::new(), &mut report);
    if !report.is_clean() {
        return mistaken(&report, format);
    }
    if cases.is_empty() {
        let folder = loaded.folder.display();
        let said = format!(
            "there are no tests below {folder}: write them into files that end in .test.yaml"
        );
        return Err(Failure::Error(said.into()));
    }
    let suite = run_all(&cases, &loaded.policy);
    let is_covered = suite.unreached().next().is_none();
    let ok = suite.passed() == cases.len() && (is_covered || !options.require_coverage);
    match format {
        Format::Json => print(&redact(&as_json(&cases, &suite, ok, &report).to_string()))?,
        Format::Text => {
            for (case, outcome) in cases.iter().zip(&suite.outcomes) {
                if !outcome.mismatches.is_empty() {
                    print(&redact(&failed(case, outcome, &report)))?;
                }
            }
            print(&summary(&suite))?;
            if options.coverage || options.require_coverage {
                print(coverage(&suite).trim_end())?;
            }
        }
    }
    if ok { Ok(()) } else { Err(Failure::Bad) }
}

/// Mistakes in policies or in tests: nothing is run.
fn mistaken(report: &Report, format: Format) -> Result<(), Failure> {
    match format {
        Format::Json => print(&json!({"ok": false, "mistakes": report.json()}).to_string())?,
        Format::Text => {
            let mut out = io::stderr();
            let text = report.human(out.is_terminal());
            writeln!(out, "{text}{}; nothing was tested", report.count())?;
        }
    }
    Err(Failure::Bad)
}

fn failed(case: &Case, outcome: &Outcome, report: &Report) -> String {
    let (file, line, _) = report.place(case.span);
    let mut text = format!("{file}:{line}: {}\n", case.name);
    for mismatch in &outcome.mismatches {
        text.push_str(&format!("  {}: {}\n", mismatch.key, mismatch.said));
    }
    if let Some(told) = &outcome.told {
        text.push_str(&format!("  the caller is told: {told}\n"));
    }
    text
}

fn summary(suite: &Suite) -> String {
    let (all, passed) = (suite.outcomes.len(), suite.passed());
    let tests = if all == 1 { "test" } else { "tests" };
    match all - passed {
        0 => format!("{all} {tests}, {passed} passed"),
        failed => format!("{all} {tests}, {passed} passed, {failed} failed"),
    }
}

fn coverage(suite: &Suite) -> String {
    let (all, unreached) = (suite.rules.len(), suite.unreached().count());
    let mut text = format!("{} of {all} rules are reached", all - unreached);
    if unreached > 0 {
        text.push_str("; no test reaches");
    }
    for rule in suite.unreached() {
        text.push_str(&format!("\n  {} ({})", rule.rule, rule.effect.as_str()));
    }
    text
}

fn as_json(cases: &[Case], suite: &Suite, ok: bool, report: &Report) -> Value {
    let tests = cases.iter().zip(&suite.outcomes).map(|(case, outcome)| {
        let (file, line, _) = report.place(case.span);
        let mismatches = outcome.mismatches.iter();
        json!({
            "file": file, "line": line, "name": case.name, "ok": outcome.mismatches.is_empty(),
            "expected": case.expected.json(), "got": outcome.got,
            "mismatches": mismatches.map(|it| json!({"key": it.key, "said": it.said})).collect::<Value>(),
        })
    });
    let rules = suite.rules.iter().map(|it| {
        json!({
            "rule": &*it.rule, "effect": it.effect.as_str(), "reached": it.tests > 0, "tests": it.tests,
        })
    });
    json!({
        "ok": ok,
        "passed": suite.passed(),
        "failed": cases.len() - suite.passed(),
        "tests": tests.collect::<Value>(),
        "coverage": {
            "rules": rules.collect::<Value>(),
            "unreached": suite.unreached().map(|it| json!(&*it.rule)).collect::<Value>(),
        },
    })
}

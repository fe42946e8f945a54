//! The sample policies of tests/policies: what is accepted is clean, what is rejected says why.
//!
//! A rejected sample's first line says in words what is wrong with it; the
//! snapshot beside it is what the author is told. A folder is one set.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use tollgate::catalogue::OperationIx;
use tollgate::document::Report;
use tollgate::policy::{PolicyFiles, compile};

fn folder(kind: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/policies")
        .join(kind)
}

/// Each sample's name, and its files with their names below `kind`.
fn samples(kind: &str) -> Vec<(String, Vec<(String, String)>)> {
    let root = folder(kind);
    let mut found = Vec::new();
    for entry in std::fs::read_dir(&root).unwrap() {
        let path = entry.unwrap().path();
        let mut paths = Vec::new();
        collect(&path, &mut paths);
        paths.sort();
        if paths.is_empty() {
            continue;
        }
        let files = paths.iter().map(|path| {
            let name = path.strip_prefix(&root).unwrap().display().to_string();
            (name, std::fs::read_to_string(path).unwrap())
        });
        let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
        found.push((name, files.collect()));
    }
    found.sort();
    found
}

fn collect(path: &Path, found: &mut Vec<PathBuf>) {
    if path.is_dir() {
        for entry in std::fs::read_dir(path).unwrap() {
            collect(&entry.unwrap().path(), found);
        }
    } else if path.extension().is_some_and(|it| it == "yaml") {
        found.push(path.to_owned());
    }
}

/// What `compile` says of a set.
fn told(files: &[(String, String)]) -> Result<(), Report> {
    let mut report = Report::default();
    let texts = files.iter().map(|(name, text)| (&**name, &**text));
    let files = PolicyFiles::from_texts(texts, &mut report);
    let policy = compile(&files, &["github"], &mut report);
    assert_eq!(policy.is_some(), report.is_clean());
    policy.map(|_| ()).ok_or(report)
}

/// The plain report, and below each mistake the other place that has a part in it.
fn shown(report: &Report) -> String {
    let (plain, json) = (report.plain(), report.json());
    let mut text = String::new();
    for (line, mistake) in plain.lines().zip(json.as_array().unwrap()) {
        writeln!(text, "{line}").unwrap();
        if let Some(also) = mistake.get("also") {
            let part = |name: &str| also[name].to_string().replace('"', "");
            let (file, line, column) = (part("file"), part("line"), part("column"));
            writeln!(text, "    {file}:{line}:{column}: {}", part("label")).unwrap();
        }
    }
    text
}

#[test]
fn accepted_samples_are_clean() {
    let all = samples("accepted");
    assert!(all.len() >= 30, "{}", all.len());
    for (name, files) in &all {
        if let Err(report) = told(files) {
            panic!("{name} is rejected:\n{}", report.plain());
        }
    }
}

#[test]
fn rejected_samples_say_what_is_wrong_and_where() {
    let all = samples("rejected");
    assert!(all.len() >= 60, "{}", all.len());
    let mut settings = insta::Settings::clone_current();
    settings.set_snapshot_path(folder("rejected"));
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    for (name, files) in &all {
        let Err(report) = told(files) else {
            panic!("{name} is accepted");
        };
        assert!(
            files[0].1.starts_with("# "),
            "{name} does not say what is wrong with it"
        );
        let text = shown(&report);
        for shown in [&text, &report.human(false)] {
            let moves_the_cursor = |it: char| it.is_control() && it != '\n';
            assert!(!shown.contains(moves_the_cursor), "{name}: {shown:?}");
            assert!(!shown.contains("not-a-real-key"), "{name}: {shown}");
        }
        settings.bind(|| insta::assert_snapshot!(name.as_str(), text));
    }
}

#[test]
fn a6_names_are_plain_and_what_is_shown_of_them_moves_nothing() {
    let file = |team: &str, caller: &str, rule: &str, owner: &str| {
        let quoted = |text: &str| serde_json::to_string(text).unwrap();
        let [team, caller, rule, owner] = [team, caller, rule, owner].map(quoted);
        let text = format!(
            "team: {team}\nowner: {owner}\ncallers: {{ {caller}: {{}} }}\nallow: [{{ name: {rule}, operations: [self.get], organizations: any }}]\n"
        );
        told(&[("t.yaml".to_owned(), text)])
    };
    let plain = ["web", "web-app", "read own", "web@acme.example"];
    let with = |at: usize, text: &str| {
        let mut all = plain;
        all[at] = text;
        file(all[0], all[1], all[2], all[3])
    };
    assert!(file(plain[0], plain[1], plain[2], plain[3]).is_ok());
    // An owner is text for people: HTML is text as well, and is only ever shown as such.
    assert!(with(3, "<img src=x onerror=alert(1)> & friends").is_ok());
    for bad in [
        "",
        "a/b",
        "../a",
        "a\\b",
        "{{a}}",
        "${a}",
        "a\u{0}",
        "a\nb",
        "a\rb",
        "a\u{1b}[31m",
        "a\u{7f}",
        "\u{430}dmin",
        "\u{ff21}",
        "a\u{301}",
        "a\u{202e}b",
        "a\u{200b}",
        "a,b",
        "a:b",
        "<b>",
        "\"a\"",
        "a'b",
        "=cmd",
        "a%2fb",
        " a",
        &"a".repeat(65),
    ] {
        // Of a team, a caller, a rule.
        for at in 0..3 {
            let Err(report) = with(at, bad) else {
                panic!("{bad:?} is a name, at {at}");
            };
            for shown in [
                report.plain(),
                report.human(false),
                report.json().to_string(),
            ] {
                // What hides between letters is spelled out in the message, above the line as it stands in the file.
                let moves = |it: char| {
                    (it.is_control() && it != '\n') || matches!(it, '\u{202a}'..='\u{202e}')
                };
                assert!(!shown.contains(moves), "{bad:?}: {shown:?}");
            }
        }
    }
    for bad in [
        "",
        "a\nb",
        "a\u{1b}[31m",
        "a\u{202e}b",
        "a\u{200b}b",
        &"a".repeat(300),
    ] {
        assert!(with(3, bad).is_err(), "{bad:?} is an owner");
    }
}

#[test]
fn no_snapshot_is_of_a_sample_that_has_gone() {
    let names: BTreeSet<String> = samples("rejected").into_iter().map(|it| it.0).collect();
    for entry in std::fs::read_dir(folder("rejected")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|it| it == "snap") {
            let name = path.file_stem().unwrap().to_str().unwrap();
            assert!(names.contains(name), "{name}.snap is of no sample");
        }
    }
}

/// The fenced blocks of docs/policies.md: what stands behind the fence, and what is in the block.
fn blocks() -> Vec<(String, String)> {
    let text = include_str!("../../docs/policies.md");
    let mut found = Vec::new();
    let mut open: Option<(String, String)> = None;
    for line in text.lines() {
        match (&mut open, line.strip_prefix("```")) {
            (None, Some(info)) => open = Some((info.to_owned(), String::new())),
            (Some(_), Some(_)) => found.extend(open.take()),
            (Some((_, block)), None) => writeln!(block, "{line}").unwrap(),
            (None, None) => {}
        }
    }
    assert_eq!(open, None, "a block is not closed");
    found
}

#[test]
fn the_examples_of_the_documentation_load_or_are_refused_as_it_says() {
    let (mut loaded, mut refused) = (0, 0);
    let all = blocks();
    for (at, (info, block)) in all.iter().enumerate() {
        let mut report = Report::default();
        let texts = [("policies/web.yaml", block.as_str())];
        let files = PolicyFiles::from_texts(texts, &mut report);
        match info.as_str() {
            "yaml policy" => {
                let policy = compile(&files, &["github"], &mut report);
                assert!(policy.is_some(), "{block}\n{}", report.plain());
                loaded += 1;
            }
            "yaml policy refused" => {
                assert!(compile(&files, &["github"], &mut report).is_none());
                assert_eq!(
                    ("text", report.plain()),
                    (&*all[at + 1].0, all[at + 1].1.clone())
                );
                refused += 1;
            }
            other => assert!(!other.contains("policy"), "{other} is no sort of block"),
        }
    }
    assert!(loaded >= 4 && refused >= 1, "{loaded} {refused}");
}

#[test]
fn every_guarded_field_stands_in_the_documentation() {
    let text = include_str!("../../docs/policies.md");
    for row in OperationIx::served().map(OperationIx::row) {
        for guard in row.guards {
            let place = if guard.is_in_body() { "" } else { "query " };
            let start = format!("| {place}`{}` |", guard.path());
            // An id stands there in full, or the beginning that it has in common with others.
            let has = |word: &str| match word.strip_suffix('…') {
                Some(common) => row.id.starts_with(common),
                None => row.id == word,
            };
            assert!(
                text.lines()
                    .filter(|line| line.starts_with(&start))
                    .any(|line| line.split('`').any(has)),
                "{}: `{}` is not in the table of guarded fields",
                row.id,
                guard.path()
            );
        }
    }
}

//! What a report holds, and how it is shown.

use super::show::MAX_SHOWN;
use super::*;

#[test]
fn the_nearest_word_is_offered_and_a_far_one_is_not() {
    let known = ["operations", "organizations", "callers"];
    assert_eq!(nearest("operatons", known), Some("operations"));
    assert_eq!(nearest("colour", known), None);
    assert_eq!(nearest("x", ["y"]), Some("y"));
    let long = "x".repeat(1 << 20);
    assert_eq!(nearest(&long, [long.as_str()]), None);
}

#[test]
fn a_warning_is_no_mistake_and_comes_behind_them() {
    let mut report = Report::default();
    let source = report.add_source("a.yaml", "one\nüb two\n");
    let at = |start, end| Span { source, start, end };
    report.warn(at(0, 3), "odd").help("look");
    assert!(report.is_clean() && report.json() == serde_json::json!([]));
    report.error(at(8, 11), "bad");
    assert_eq!((report.len(), report.warnings()), (1, 1));
    assert_eq!(
        report.plain(),
        "a.yaml:2:4: bad\na.yaml:1:1: warning: odd (look)\n"
    );
    assert_eq!(report.json()[0]["message"], "bad");
    assert_eq!(report.json_warnings()[0]["help"], "look");
    let shown = report.human(false);
    let (bad, odd) = (shown.find("error: bad"), shown.find("warning: odd"));
    assert!(bad.is_some() && bad < odd, "{shown}");
}

#[test]
fn of_very_many_warnings_people_see_the_first() {
    let mut report = Report::default();
    let source = report.add_source("a.yaml", "x\n".repeat(100));
    for line in 0..100 {
        let start = line * 2;
        let end = start + 1;
        report.warn(Span { source, start, end }, "odd");
    }
    let shown = report.human(false);
    assert_eq!(shown.matches("warning: odd").count(), MAX_SHOWN);
    assert!(shown.contains("and 50 more warnings"), "{shown}");
    assert_eq!(report.json_warnings().as_array().unwrap().len(), 100);
    assert_eq!(report.json_warnings()[99]["line"], 100);
}

#[test]
fn places_are_counted_in_lines_and_characters() {
    let text = "ä: b, ö: c\nd: ß, e\n";
    let mut report = Report::default();
    let source = report.add_source("t", text);
    for at in ["d", "ö", "e", "ä", "ß"] {
        let start = text.find(at).unwrap();
        let span = Span {
            source,
            start,
            end: start + at.len(),
        };
        report.error(span, at).also(Span::start_of(source), "there");
    }
    assert_eq!(
        report.plain(),
        "t:1:1: ä\nt:1:7: ö\nt:2:1: d\nt:2:4: ß\nt:2:7: e\n"
    );
    let human = report.human(false);
    assert!(
        human.contains("t:2:4\n  |\n2 | d: ß, e\n  |    ^"),
        "{human}"
    );
}

#[test]
fn r14_mistakes_and_warnings_without_end_are_counted_and_not_kept() {
    let text = "x".repeat(2 * MAX_KEPT);
    let mut report = Report::default();
    let source = report.add_source("t", text.as_str());
    for start in 0..text.len() {
        let span = Span {
            source,
            start,
            end: start + 1,
        };
        report.error(span, "no").help("none");
        report.warn(span, "odd");
    }
    assert_eq!((report.len(), report.warnings()), (text.len(), text.len()));
    let human = report.human(false);
    assert!(human.contains("and 10000 more mistakes"), "{}", human.len());
    assert!(human.contains("and 19950 more warnings"), "{}", human.len());
    let (json, warnings) = (report.json(), report.json_warnings());
    for (all, said) in [
        (&json, "and 10000 more mistakes"),
        (&warnings, "and 10000 more warnings"),
    ] {
        let all = all.as_array().unwrap();
        assert_eq!(all.len(), MAX_KEPT + 1);
        assert_eq!(all[9]["column"], 10);
        assert_eq!(all[MAX_KEPT]["message"], said);
    }
}

#[test]
fn a_message_without_end_is_cut() {
    let mut report = Report::default();
    let source = report.add_source("t", "");
    report.error(Span::start_of(source), "ß".repeat(MAX_MESSAGE));
    let json = report.json();
    let message = json[0]["message"].as_str().unwrap();
    assert_eq!(message.chars().count(), MAX_MESSAGE / 2 + 1);
    assert!(message.ends_with("ß…"));
}

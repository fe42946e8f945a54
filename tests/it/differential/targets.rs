//! Request targets: those of operations, with what is tried against them.

use tollgate::catalogue::{OperationIx, Version};

use crate::simulation::dice::Dice;

/// What is put somewhere: separators, ends and dots in every spelling, and what is none of them.
const PIECES: [&str; 62] = [
    "/",
    "//",
    ".",
    "..",
    "/.",
    "/..",
    "/../",
    "/./",
    "\\",
    "\\..\\",
    ";",
    ";a=b",
    ";/",
    "?",
    "#",
    "&",
    "=",
    "+",
    "*",
    "@",
    ":",
    "~",
    "!",
    "'",
    ",",
    "{",
    "|",
    "\"",
    "<",
    "^",
    "`",
    "%",
    "%2",
    "%zz",
    "%2F",
    "%2f",
    "%5C",
    "%5c",
    "%2e",
    "%2E%2e",
    "%2e%2f",
    "%3B",
    "%3b",
    "%23",
    "%3F",
    "%00",
    "%0d%0a",
    "%7f",
    "%25",
    "%252F",
    "%252e",
    "%c0%af",
    "%c0%ae",
    "%ff",
    "%C3%BC",
    "\u{fc}",
    "%EF%BC%8F",
    "%E2%80%AE",
    "%e2%81%84",
    "%u002f",
    "%61",
    "%41",
];

/// Keys of queries that say which organization or session is meant, and some that say nothing.
const QUERIES: [&str; 18] = [
    "org_id=org-web",
    "org_id=org-ds",
    "org_ids=org-web",
    "org_ids=org-ds&org_ids=org-web",
    "org_id%5B%5D=org-web",
    "org%5Fid=org-web",
    "org_ids[]=org-web",
    "ORG_ID=org-web",
    "devin_id=devin-1",
    "first=1",
    "first=1&first=200",
    "first=1;first=200",
    "after=..%2F..",
    "x=%ff",
    "x=%2e%2e%2f",
    "x=?y",
    "",
    "&&",
];

/// Organizations, one of which the caller may touch.
const ORGANIZATIONS: [&str; 4] = ["org-ds", "org-ds", "org-ds", "org-web"];

/// A method and a target.
pub(super) fn tried(dice: &Dice) -> (&'static str, String) {
    let operations: Vec<OperationIx> = OperationIx::served().collect();
    let operation = dice.one(&operations).unwrap().row();
    let versions = [Version::V3, Version::V3Beta1];
    let version = dice.one(&versions).unwrap();
    let mut target = format!("/{}", version.prefix());
    for segment in operation.path.split('/').skip(1) {
        target.push('/');
        target.push_str(&match segment {
            "{org_id}" => dice.one(&ORGANIZATIONS).unwrap().to_owned(),
            "{repository_path}" | "{branch_name}" => {
                let paths = [
                    "acme/web",
                    "acme%2Fweb",
                    "acme%2fweb",
                    "a%2Fb%2Fc",
                    "a/b/c",
                    "web",
                ];
                dice.one(&paths).unwrap().to_owned()
            }
            it if it.starts_with('{') => format!("devin-{}", dice.roll(1_000_000)),
            it => it.to_owned(),
        });
    }
    for _ in 0..dice.roll(4) {
        change(&mut target, dice);
    }
    if dice.once_in(4) {
        let key = dice.one(&QUERIES).unwrap();
        let join = if target.contains('?') { '&' } else { '?' };
        target = format!("{target}{join}{key}");
    }
    // What ends a request line is for other tests.
    target.retain(|it| !matches!(it, ' ' | '\r' | '\n' | '\t'));
    let method = match dice.roll(20) {
        0 => "POST",
        1 => "PUT",
        2 => "DELETE",
        3 => "PATCH",
        _ => operation.verb.as_str(),
    };
    (method, target)
}

/// Changes one thing.
fn change(target: &mut String, dice: &Dice) {
    let letters: Vec<char> = target.chars().collect();
    let at = dice.roll(letters.len() as u64 + 1) as usize;
    let (before, after) = letters.split_at(at);
    let (before, after): (String, String) = (before.iter().collect(), after.iter().collect());
    let mut rest = after.chars();
    *target = match dice.roll(12) {
        0..=3 => format!("{before}{}{after}", dice.one(&PIECES).unwrap()),
        4 => match rest.next() {
            Some(letter) if letter.is_ascii() => {
                format!("{before}%{:02X}{}", u32::from(letter), rest.as_str())
            }
            _ => before,
        },
        5 => match rest.next() {
            Some(letter) if letter.is_ascii() => {
                format!("{before}%25{:02x}{}", u32::from(letter), rest.as_str())
            }
            _ => before,
        },
        6 => format!("{before}{}", rest.by_ref().skip(1).collect::<String>()),
        7 => match rest.next() {
            Some(letter) if letter.is_lowercase() => {
                format!("{before}{}{}", letter.to_ascii_uppercase(), rest.as_str())
            }
            Some(letter) => format!("{before}{}{}", letter.to_ascii_lowercase(), rest.as_str()),
            None => before,
        },
        8 => segments(target, dice),
        9 => target.replacen("org-ds", "org-web", 1),
        10 => {
            let begins = [
                "/",
                "/.",
                "/..",
                "//evil",
                "http://evil",
                "https://api.devin.ai@evil",
                "/.tollgate/..",
                "/v3",
                "/v3/..",
                "/%2e%2e",
                "evil:80",
                "*",
            ];
            format!("{}{target}", dice.one(&begins).unwrap())
        }
        _ => format!(
            "{target}{}",
            dice.one(&["/", "/.", "/..", "%2F", "?", "#a", ".json"])
                .unwrap()
        ),
    };
}

/// Takes a segment out, says it twice, or changes it for another.
fn segments(target: &str, dice: &Dice) -> String {
    let mut segments: Vec<&str> = target.split('/').collect();
    let (one, other) = (
        dice.roll(segments.len() as u64) as usize,
        dice.roll(segments.len() as u64) as usize,
    );
    match dice.roll(3) {
        0 => drop(segments.remove(one)),
        1 => segments.insert(other, segments[one]),
        _ => segments.swap(one, other),
    }
    segments.join("/")
}

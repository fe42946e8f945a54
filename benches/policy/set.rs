//! Generated policy sets: teams of a hundred callers, ten rules for each caller.

use std::fmt::Write as _;

use tollgate::document::Report;
use tollgate::policy::{Policy, PolicyFiles, compile};

/// Callers of one team, and of one file.
pub(crate) const TEAM: usize = 100;

/// Whose rules a generated team has.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rules {
    /// Ten for each caller.
    Own,
    /// Ten that cover all callers of the team.
    Shared,
}

/// What shows that a request is a caller's.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Credentials {
    /// An API key.
    Keys,
    /// A token of the issuer `ci`, whose first claim all of them share.
    Claims,
}

/// What the rules of a caller name, in turn.
pub(crate) const OPERATIONS: [&str; 10] = [
    "sessions.create",
    "sessions.get",
    "sessions.list",
    "sessions.messages.*",
    "attachments.*",
    "knowledge.**",
    "playbooks.*",
    "schedules.list",
    "sessions.tags.*",
    "sessions.insights.get",
];

/// One team's file.
pub(crate) fn team(
    number: usize,
    callers: usize,
    rules: Rules,
    credentials: Credentials,
) -> String {
    let mut text = format!("team: t{number}\nowner: t{number}@acme.example\ncallers:\n");
    let ids = || (0..callers).map(|it| number * TEAM + it);
    for id in ids() {
        match credentials {
            Credentials::Keys => writeln!(
                text,
                "  c{id}: {{ keys: [{{ id: k{id}, sha256: \"{id:064x}\" }}] }}"
            ),
            Credentials::Claims => writeln!(
                text,
                "  c{id}: {{ jwt: {{ issuer: ci, claims: {{ owner: acme, repository: acme/r{id} }} }} }}"
            ),
        }
        .unwrap();
    }
    let ten = |text: &mut String, name: &str, callers: &str| {
        for (at, operations) in OPERATIONS.iter().enumerate() {
            let body = match at {
                0 => ", body: { max_acu_limit: { default: 5, max: 20 } }",
                _ => "",
            };
            writeln!(text, "  - {{ name: {name}-{at}, {callers}operations: [\"{operations}\"], organizations: [org-{number}, common-{at}]{body} }}").unwrap();
        }
    };
    match rules {
        Rules::Shared => {
            text.push_str("allow:\n");
            ten(&mut text, "rule", "");
        }
        Rules::Own => {
            text.push_str("allow:\n");
            for id in ids() {
                ten(&mut text, &format!("c{id}"), &format!("callers: [c{id}], "));
            }
        }
    }
    text
}

/// All files of a set of this many callers.
pub(crate) fn files(
    callers: usize,
    rules: Rules,
    credentials: Credentials,
) -> impl Iterator<Item = (String, String)> {
    (0..callers.div_ceil(TEAM)).map(move |number| {
        let here = TEAM.min(callers - number * TEAM);
        let text = team(number, here, rules, credentials);
        (format!("t{number:05}.yaml"), text)
    })
}

/// The set itself.
pub(crate) fn policy(callers: usize, rules: Rules) -> Policy {
    let all: Vec<(String, String)> = files(callers, rules, Credentials::Keys).collect();
    let texts = all
        .iter()
        .map(|(name, text)| (name.as_str(), text.as_str()));
    let mut report = Report::default();
    let files = PolicyFiles::from_texts(texts, &mut report);
    let policy = compile(&files, &["ci"], &mut report);
    assert!(report.is_clean(), "{}", report.plain());
    policy.unwrap()
}

/// Numbers that look random, the same in each run.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn below(&mut self, end: usize) -> usize {
        // SplitMix64.
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut it = self.0;
        it = (it ^ (it >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        it = (it ^ (it >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((it ^ (it >> 31)) % end as u64) as usize
    }
}

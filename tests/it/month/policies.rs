//! The policies of the month, and how they are edited while it goes by.

use std::fmt::Write;

/// The teams, ten callers each.
const TEAMS: [&str; 5] = ["a", "b", "c", "d", "e"];
/// How many callers each has.
const CALLERS: usize = 10;

/// The files at this point of the month; `scale` is how much larger than the shortest run it is.
pub(super) fn files(edits: usize, scale: usize) -> Vec<(String, String)> {
    let mut files: Vec<(String, String)> = TEAMS
        .iter()
        .map(|team| (format!("{team}.yaml"), self::team(team, edits, scale)))
        .collect();
    // The second edit sets a limit below what may be spent already; the fourth moves where days turn.
    let all = if edits >= 2 { 40 } else { 55 } * scale;
    let zone = if edits >= 4 {
        "America/New_York"
    } else {
        "Europe/Berlin"
    };
    let rails = format!(
        "budgets:\n  - {{ name: all, per: everyone, acus: {all}, every: day }}\n  \
         - {{ name: organizations, per: organization, acus: {}, every: week, timezone: {zone} }}\n",
        260 * scale
    );
    files.push(("rails.yaml".to_owned(), rails));
    files
}

/// The name of a caller at this point, and of its team. The third edit renames a caller, the fifth a team.
pub(super) fn names(caller: usize, edits: usize) -> (String, String) {
    let team = TEAMS[caller / CALLERS];
    let name = format!("{team}{}", caller % CALLERS);
    (
        match name.as_str() {
            "a0" if edits >= 3 => "a0-new".to_owned(),
            _ => name,
        },
        match team {
            "b" if edits >= 5 => "b-new".to_owned(),
            _ => team.to_owned(),
        },
    )
}

/// How many callers there are.
pub(super) const fn callers() -> usize {
    TEAMS.len() * CALLERS
}

fn team(team: &str, edits: usize, scale: usize) -> String {
    let first = TEAMS.iter().position(|it| *it == team).unwrap() * CALLERS;
    let mut text = String::new();
    let (_, name) = names(first, edits);
    writeln!(text, "team: {name}").unwrap();
    if name != team {
        writeln!(text, "renamed_from: [{team}]").unwrap();
    }
    text.push_str("callers:\n");
    for ix in 0..CALLERS {
        let (caller, _) = names(first + ix, edits);
        let former = names(first + ix, 0).0;
        let renamed = match former == caller {
            true => String::new(),
            false => format!(" renamed_from: [{former}] "),
        };
        writeln!(text, "  {caller}: {{{renamed}}}").unwrap();
    }
    // The first edit makes a caller's day a week; the last, the team's month a cycle.
    let (every, acus) = if edits >= 1 { ("week", 20) } else { ("day", 6) };
    let month = match edits >= 6 {
        true => "every: cycle, cycle: { starts: 2026-11-03, days: 10 }",
        false => "every: month, timezone: Asia/Tokyo",
    };
    writeln!(
        text,
        r#"allow:
  - name: run
    operations: [sessions.create]
    organizations: [org-ds, org-web]
    body: {{ max_acu_limit: {{ default: 2, max: 5, min: 1, no_room: clamp }} }}
  - name: use
    operations: [sessions.get, sessions.terminate, sessions.messages.send]
    organizations: [org-ds, org-web]
    sessions: team
budgets:
  - {{ name: callers, per: caller, acus: {}, every: {every}, timezone: devin }}
  - {{ name: team, id: {team}/team, per: team, acus: {}, {month} }}"#,
        acus * scale,
        200 * scale,
    )
    .unwrap();
    text
}

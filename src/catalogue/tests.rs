//! The table makes sense, row by row.

use super::*;

#[test]
fn ids_are_unique_and_every_row_makes_sense() {
    let mut ids = std::collections::HashSet::new();
    for ix in OperationIx::all() {
        let row = ix.row();
        assert!(ids.insert(row.id), "{} stands twice", row.id);
        assert!(!row.id.starts_with("seed."), "{}", row.id);
        assert_eq!(
            row.org_at == OrgAt::AtPath,
            row.path.contains("{org_id}"),
            "{}",
            row.id
        );
        assert_eq!(row.mutates, row.verb != Verb::Get, "{}", row.id);
        assert!(row.spends.is_none() || row.mutates, "{}", row.id);
        assert!(row.pages.is_none() || row.verb == Verb::Get, "{}", row.id);
        assert!(!row.filtered || row.org_at != OrgAt::AtPath, "{}", row.id);
        // The filter follows cursors, and says that nothing was carried out.
        assert!(
            !row.filtered || (row.verb == Verb::Get && row.pages == Some(Paging::Cursor)),
            "{}",
            row.id
        );
        assert!(!row.locks_out || row.mutates, "{}", row.id);
    }
    assert_eq!(OperationIx::all().count(), 231);
    assert_eq!(OperationIx::served().count(), 224);
    let spending = OperationIx::served().filter(|ix| ix.row().spends.is_some());
    assert_eq!(
        spending.count(),
        13,
        "the ways to spend that are known today"
    );
    let locking = OperationIx::served().filter(|ix| ix.row().locks_out);
    assert_eq!(locking.count(), 8, "the ways to be shut out, likewise");
}

#[test]
fn fields_stand_once_and_only_where_they_can() {
    let unique = |paths: Vec<&str>| {
        let set: std::collections::HashSet<_> = paths.iter().collect();
        set.len() == paths.len()
    };
    for ix in OperationIx::all() {
        let row = ix.row();
        assert!(
            row.body.is_empty() || row.takes == Some(Takes::Json),
            "{}",
            row.id
        );
        assert!(
            unique(row.body_fields().map(|it| it.path).collect()),
            "{}",
            row.id
        );
        assert!(
            unique(row.query_fields().map(Field::key).collect()),
            "{}",
            row.id
        );
        for field in row.body_fields() {
            assert!(!field.path.ends_with("[]"), "{} {}", row.id, field.path);
            assert_eq!(row.body_field(field.path), Some(field));
        }
        for field in row.query_fields() {
            let key = field.path.strip_suffix("[]").unwrap_or(field.path);
            assert!(!key.contains(['[', '.']), "{} {}", row.id, field.path);
            assert_eq!(row.query_field(key), Some(field));
        }
    }
}

#[test]
fn every_guard_is_a_known_field() {
    let mut guarded = 0;
    for ix in OperationIx::all() {
        let row = ix.row();
        guarded += usize::from(!row.guards.is_empty());
        let mut seen = Vec::new();
        for guard in row.guards {
            let place = (guard.is_in_body(), guard.path());
            assert!(!seen.contains(&place), "{} {place:?}", row.id);
            seen.push(place);
            let known = if guard.is_in_body() {
                row.body_field(guard.path())
            } else {
                row.query_field(guard.path())
            };
            let known = known.expect(row.id);
            assert_eq!(known.shown, Shown::Value, "{} {place:?}", row.id);
        }
        // An organization that no path names is always asked for.
        let at = |body: bool| {
            let named = seen.iter().filter(|(is, _)| *is == body);
            named
                .copied()
                .any(|(_, path)| matches!(path, "org_id" | "org_ids"))
        };
        assert_eq!(at(false), row.org_at == OrgAt::AtQuery, "{}", row.id);
        assert_eq!(at(true), row.org_at == OrgAt::AtBody, "{}", row.id);
        let in_body = seen.iter().any(|(is, _)| *is);
        assert_eq!(row.guards_body(), in_body, "{}", row.id);
    }
    assert_eq!(guarded, 32, "the rows with guards that are known today");
}

#[test]
fn fields_with_dangerous_names_are_guarded_wherever_they_stand() {
    let dangerous = [
        "create_as_user_id",
        "message_as_user_id",
        "run_as_user_id",
        "run_as",
        "bypass_approval",
        "session_links",
        "devin_mode",
        "secret_ids",
        "org_id",
        "org_ids",
        "ip_ranges",
        "revoke_current",
    ];
    for ix in OperationIx::all() {
        let row = ix.row();
        let body = row.body_fields().map(|field| (true, field.path));
        let query = row.query_fields().map(|field| (false, field.key()));
        for (in_body, path) in body.chain(query) {
            let name = path.rsplit('.').next().unwrap();
            let is = |guard: &Guard| (guard.is_in_body(), guard.path()) == (in_body, path);
            assert!(
                !dangerous.contains(&name) || row.guards.iter().any(is),
                "{} {path}",
                row.id
            );
        }
    }
}

#[test]
fn what_is_left_out_has_the_safe_value() {
    let guards = OperationIx::all().flat_map(|ix| ix.row().guards);
    let absent: Vec<_> = guards
        .filter_map(|guard| match guard {
            Guard::BodyOrElse(path, absent) => Some((*path, absent.value())),
            Guard::Body(_) | Guard::Query(_) => None,
        })
        .collect();
    assert_eq!(
        absent,
        [
            ("secret_ids", serde_json::json!([])),
            ("revoke_current", serde_json::json!(false)),
        ]
    );
}

#[test]
fn secrets_are_never_shown() {
    let hidden: std::collections::BTreeSet<_> = OperationIx::all()
        .flat_map(|ix| ix.row().body_fields().chain(ix.row().query_fields()))
        .filter(|field| field.shown == Shown::Nothing)
        .map(|field| field.path)
        .collect();
    let wanted = ["session_secrets", "session_secrets[].value", "value"];
    assert_eq!(hidden, wanted.into_iter().collect());
}

#[test]
fn patterns_match_whole_segments() {
    let has = |pattern: &str, id: &str| covers(pattern, id);
    assert!(has("sessions.create", "sessions.create"));
    assert!(has("sessions.*", "sessions.create"));
    assert!(!has("sessions.*", "sessions.messages.send"));
    assert!(has("sessions.**", "sessions.messages.send"));
    assert!(!has("sessions.**", "enterprise.sessions.list"));
    assert!(!has("session.**", "sessions.create"));
    assert!(has("consumption.daily.**", "consumption.daily"));
    assert!(!has("consumption.daily.*", "consumption.daily"));
    assert!(has("**", "self.get"));
    assert!(!has("*", "self.get"));
    assert_eq!(expand("sessions.creat"), None);
    assert_eq!(
        expand("outposts.**"),
        None,
        "what is refused always cannot be granted"
    );
}

//! What is decided from a log against what the same request would have met.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::policy::{Body, Whole};

/// A line as the log would have it of a request that was judged.
fn logged(whole: &Whole, operation: &str, hash: &str) -> Value {
    let facts = &whole.facts;
    let mut line = line(json!({"operation": operation, "policy": hash}));
    if !facts.fields.is_empty() {
        line["fields"] = serde_json::to_value(facts).unwrap();
    }
    if !facts.unknown.is_empty() {
        line["unknown_fields"] = json!(facts.unknown);
    }
    if facts.body_read {
        line["body_judged"] = json!(true);
    }
    if let Err(stop) = &whole.outcome {
        line["decision"] = json!("deny");
        line["rule"] = json!(stop.rule().map(|it| &**it));
        line["code"] = json!(stop.code().name());
    }
    line
}

fn any_set() -> impl Strategy<Value = String> {
    let entry = prop_oneof![
        Just("max_acu_limit: { max: 10 }"),
        Just("max_acu_limit: { default: 3, max: 5, above: clamp }"),
        Just("max_acu_limit: any"),
        Just("title: { matches: 'a*', max_length: 4 }"),
        Just("tags: { add: [z], max_items: 2 }"),
        Just("tags: { one_of: [a, b] }"),
        Just("secret_ids: any"),
        Just("'session_secrets[].key': { one_of: [K] }"),
        Just("create_as_user_id: { required: true, one_of: [u] }"),
    ];
    let entries = proptest::collection::vec(entry, 0..4);
    let query = proptest::option::of(prop_oneof![
        Just("first: { max: 20 }"),
        Just("tags: { one_of: [a] }")
    ]);
    (entries, query, any::<bool>(), any::<bool>(), any::<bool>()).prop_map(
        |(entries, query, strict, create, list)| {
            let named = |it: &&str| it.split(':').next().unwrap().to_owned();
            let mut unique: HashMap<String, &str> = HashMap::new();
            for entry in &entries {
                unique.insert(named(entry), entry);
            }
            let body: Vec<&str> = unique.into_values().collect();
            let body = if body.is_empty() || !create {
                String::new()
            } else {
                format!(", body: {{ {} }}", body.join(", "))
            };
            let query = query
                .filter(|_| list)
                .map_or(String::new(), |it| format!(", query: {{ {it} }}"));
            let strict = if strict { ", unknown: refuse" } else { "" };
            let operations = match (create, list) {
                (true, true) => "sessions.create, sessions.list",
                (true, false) => "sessions.create",
                (false, true) => "sessions.list",
                (false, false) => "sessions.get",
            };
            team(&format!("operations: [{operations}]{body}{query}{strict}"))
        },
    )
}

fn any_body() -> impl Strategy<Value = String> {
    let member = prop_oneof![
        (0..30_i64).prop_map(|it| format!("\"max_acu_limit\":{it}")),
        Just("\"max_acu_limit\":\"7\"".to_owned()),
        Just("\"max_acu_limit\":-0".to_owned()),
        Just("\"max_acu_limit\":null".to_owned()),
        Just("\"title\":\"abc\"".to_owned()),
        Just("\"title\":\"abcdef\"".to_owned()),
        Just("\"tags\":[\"a\"]".to_owned()),
        Just("\"tags\":[\"a\",\"b\",\"c\"]".to_owned()),
        Just("\"secret_ids\":[]".to_owned()),
        Just("\"secret_ids\":[\"s\"]".to_owned()),
        Just("\"session_secrets\":[{\"key\":\"K\",\"value\":\"v\"}]".to_owned()),
        Just("\"session_secrets\":{}".to_owned()),
        Just("\"create_as_user_id\":\"u\"".to_owned()),
        Just("\"odd\":1".to_owned()),
    ];
    prop_oneof![
        9 => proptest::collection::vec(member, 0..5).prop_map(|all| format!("{{{}}}", all.join(","))),
        1 => Just("not json".to_owned()),
        1 => Just("[]".to_owned()),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    #[test]
    fn what_is_decided_from_the_log_is_what_would_have_been_decided(
        base in any_set(),
        candidate in any_set(),
        body in any_body(),
        query in proptest::option::of(prop_oneof![Just("first=5"), Just("first=50"), Just("tags=a,b"), Just("first=1&first=2"), Just("odd=1")]),
        is_list in any::<bool>(),
    ) {
        let id = if is_list { "sessions.list" } else { "sessions.create" };
        let operation = OperationIx::served().find(|ix| ix.row().id == id).unwrap();
        let again = policy(&format!("{base}# The same, with another hash.\n"));
        let (base, candidate) = (policy(&base), policy(&candidate));
        let live = |set: &Policy| {
            let caller = set.caller_ixs().next().unwrap();
            let body = if is_list { Body::None } else { Body::Json(body.as_bytes()) };
            set.judge_whole(caller, operation, Some("o"), query, body)
        };
        let (was, would) = (live(&base), live(&candidate));
        let line = logged(&was, id, base.hash());
        let mut replay = Replay::new(&base, &candidate);
        replay.line(line.to_string().as_bytes()).unwrap();
        let report = replay.finish();
        prop_assert_eq!(report.drifted(), 0, "{}", line);
        if report.undecided() == 0 {
            let flips = was.outcome.is_ok() != would.outcome.is_ok();
            prop_assert_eq!(report.flips(), u64::from(flips), "{} {:?} {:?}", line, was.outcome, would.outcome);
        }
        // Under the set that judged it, and under another that says the same, everything can be told.
        for other in [&base, &again] {
            let mut same = Replay::new(&base, other);
            same.line(line.to_string().as_bytes()).unwrap();
            let report = same.finish();
            prop_assert_eq!((report.unchanged, report.drifted()), (1, 0), "{}", line);
        }
    }
}

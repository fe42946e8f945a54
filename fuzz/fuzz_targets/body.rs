//! Bodies and queries against bounds: what is forwarded is judged the same again, and so is what the log keeps.
//!
//! An input is a query, and behind its first line end a body.

#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::{Corpus, fuzz_target};
use serde_json::Value;
use tollgate::catalogue::OperationIx;
use tollgate::document::Report;
use tollgate::json::Document;
use tollgate::policy::bounds::{Fact, judge_facts};
use tollgate::policy::{Body, Decision, Policy, PolicyFiles, compile};

const RAILS: &str = "bounds: [{ name: caps, operations: ['sessions.*'], body: { max_acu_limit: { max: 50 }, playbook_id: { matches: 'playbook-*' } } }]\n";
const TEAM: &str = "
team: t
callers: { one: {} }
allow:
  - name: run
    operations: [sessions.create, sessions.list]
    organizations: any
    body:
      max_acu_limit: { default: 5, max: 20, above: clamp }
      tags: { add: [etl, t], max_items: 6, max_length: 20 }
      devin_mode: { one_of: [normal, lite], default: lite }
      title: { max_length: 9 }
      repos: { matches: [acme/*, '*/x'] }
      session_secrets: { max_items: 2 }
      'session_secrets[].key': { matches: ETL_* }
      'session_secrets[].sensitive': { default: true }
      session_links: { absent: true }
    query:
      first: { max: 50, above: clamp, default: 10 }
      tags: { one_of: [a, b] }
  - { name: strict, operations: [playbooks.create], organizations: any, unknown: refuse, body: { title: { required: true } } }
";

static POLICY: LazyLock<Policy> = LazyLock::new(|| {
    let mut report = Report::default();
    let files = PolicyFiles::from_texts([("rails.yaml", RAILS), ("team.yaml", TEAM)], &mut report);
    compile(&files, &[], &mut report).expect("the sample loads")
});

fuzz_target!(|input: &[u8]| -> Corpus {
    let policy = &*POLICY;
    let end = input.iter().position(|it| *it == b'\n');
    let (query, body) = input.split_at(end.unwrap_or(0));
    let Ok(query) = std::str::from_utf8(query) else {
        return Corpus::Reject;
    };
    let body = body.strip_prefix(b"\n").unwrap_or(body);
    let caller = policy.caller_ixs().next().expect("the sample has a caller");
    for operation in OperationIx::served() {
        if !matches!(
            operation.row().id,
            "sessions.create" | "sessions.list" | "playbooks.create"
        ) {
            continue;
        }
        let judge = |query: &str, body: &[u8]| {
            policy.judge_whole(caller, operation, Some("o"), Some(query), Body::Json(body))
        };
        let first = judge(query, body);
        for (_, fact) in &first.facts.fields {
            assert_eq!(Fact::from_json(&fact.json()).as_ref(), Some(fact));
        }
        let Decision::Allow(grant) = policy.decide(caller, operation, Some("o")) else {
            panic!("the sample allows these");
        };
        let is_read = policy.applied(&grant).reads_body();
        if first.outcome.is_ok() {
            let went = first.body.as_deref().map_or(body, str::as_bytes);
            let line = first.query.as_deref().unwrap_or(query);
            let again = judge(line, went);
            assert!(again.outcome.is_ok(), "{:?}", again.outcome);
            assert_eq!((again.body, again.query), (None, None));
            if is_read {
                // One meaning for every reader, and nothing lost of what came.
                let came: Value = serde_json::from_slice(body).expect("it was judged");
                let went: Value = serde_json::from_slice(went).expect("it is forwarded");
                for name in came.as_object().expect("an object").keys() {
                    assert!(went.get(name).is_some(), "{name}");
                }
            }
        }
        // What the log keeps of a body that could be read leads to the same answer, or to none.
        if is_read && let Ok(document) = Document::parse(body) {
            let judged = policy.judge_body(&grant, &document);
            if document.root().members().is_some()
                && !judged.facts.more_unknown
                && let Ok(told) = judge_facts(&policy.applied(&grant), &judged.facts)
            {
                assert_eq!(told.is_some(), judged.refused.is_some());
            }
        }
    }
    Corpus::Keep
});

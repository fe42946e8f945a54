//! Policies: whatever the files say, they are taken or refused with a reason, and whatever is taken decides.
//!
//! An input is one file, or several with a line `---- ` and a name before each.

#![no_main]

use libfuzzer_sys::{Corpus, fuzz_target};
use tollgate::catalogue::OperationIx;
use tollgate::document::Report;
use tollgate::policy::{Body, PolicyFiles, compile};

const BODY: &[u8] =
    br#"{"prompt":"x","max_acu_limit":7,"tags":["a"],"session_secrets":[{"key":"k","value":"v"}]}"#;

fuzz_target!(|input: &str| -> Corpus {
    let mut files = vec![("team.yaml", input)];
    if let Some((team, rails)) = input.split_once("\n---- rails.yaml\n") {
        files = vec![("rails.yaml", rails), ("team.yaml", team)];
    }
    let mut report = Report::default();
    let set = PolicyFiles::from_texts(files, &mut report);
    let policy = compile(&set, &["github"], &mut report);
    assert_eq!(policy.is_some(), report.is_clean());
    let _ = (report.plain(), report.human(false), report.json());
    let Some(policy) = policy else {
        return Corpus::Keep;
    };
    for caller in policy.caller_ixs().take(4) {
        for operation in OperationIx::served() {
            let organizations = if operation.row().names_organization() {
                [Some("org-a"), Some("org-b")]
            } else {
                [None, None]
            };
            for organization in organizations {
                let body = Body::Json(BODY);
                let query = Some("first=9&org_ids=org-a");
                let whole = policy.judge_whole(caller, operation, organization, query, body);
                let allowed = matches!(
                    policy.decide(caller, operation, organization),
                    tollgate::policy::Decision::Allow(_)
                );
                assert!(allowed || whole.outcome.is_err());
            }
            // A filter shows what it may show to all, and no more than it says.
            if policy.shows_all(caller, operation) {
                assert!(policy.shows(caller, operation, "org-a"));
            }
        }
    }
    Corpus::Keep
});

//! Orders, over a ledger of their own.

use std::time::Duration;

use serde_json::{Value, json};

use super::*;
use crate::acu::Cap;
use crate::budget::Payer;
use crate::document::Report;
use crate::ledger::{HoldId, Holding, What};
use crate::policy::bounds::CapTerms;
use crate::policy::{PolicyFiles, compile};

const TEAM: &str = "team: t\ncallers: { one: {}, two: {} }\n\
    allow: [{ name: x, operations: [sessions.list], organizations: [org-a] }]\n\
    budgets:\n  - { name: month, per: caller, acus: 100, every: month, id: the-month }\n";
const RAILS: &str = "budgets:\n  - { name: all, per: everyone, acus: 1000, every: day }\n";
const WHO: &str = "root (uid 0)";

/// At noon of a day in the middle of a month.
fn at(hours: i64) -> Moment {
    let at: Timestamp = "2026-11-15T12:00:00Z".parse().unwrap();
    Moment {
        at: at + jiff::SignedDuration::from_hours(hours),
        up: Duration::from_secs(hours.unsigned_abs() * 3_600),
    }
}

async fn desk() -> Desk {
    let mut report = Report::default();
    let files = PolicyFiles::from_texts([("t.yaml", TEAM), ("rails.yaml", RAILS)], &mut report);
    let policy = compile(&files, &[], &mut report).unwrap_or_else(|| panic!("{}", report.plain()));
    Desk {
        ledger: Ledger::temporary(Duration::from_secs(60)).await.unwrap(),
        policy: Arc::new(policy),
        moment: at(0),
    }
}

impl Desk {
    async fn hold(&self, caller: &str, cap: i64) -> bool {
        let asked = Holding {
            hold: HoldId::new(),
            moment: self.moment,
            payer: Payer {
                organization: "org-a".into(),
                team: "t".into(),
                caller: caller.into(),
            },
            asker: Payer {
                organization: "org-a".into(),
                team: "t".into(),
                caller: caller.into(),
            },
            operation: "sessions.create",
            what: What::Session {
                wanted: Cap::new(cap).unwrap(),
                terms: CapTerms::default(),
                alone: false,
                text: None,
            },
            budgets: self.policy.budgets().to_vec(),
            slots: Vec::new(),
            deadline: Duration::ZERO,
            fingerprint: [0; 32],
        };
        self.ledger.hold(asked).await.is_ok()
    }

    async fn give(&self, order: &str) -> Result<Value, String> {
        let order = serde_json::from_str(order).unwrap();
        let said = self.carry_out(order, WHO).await;
        said.map_err(|error| error.to_string())
    }

    /// The adjusted limit and what is left, by account.
    async fn stands(&self, name: &str) -> Vec<String> {
        let order = format!(r#"{{"show":{{"name":"{name}"}}}}"#);
        let said = self.give(&order).await.unwrap();
        let rows = said["budgets"].as_array().unwrap();
        let show = |it: &Value| {
            let account = it["account"].as_str().unwrap_or("-");
            format!("{account} {} {}", it["adjusted_limit"], it["remaining"])
        };
        rows.iter().map(show).collect()
    }
}

#[tokio::test]
async fn l10_what_is_shown_is_what_a_hold_is_judged_by() {
    let desk = desk().await;
    assert!(desk.hold("one", 60).await);
    assert_eq!(desk.stands("t/month").await, ["one 100 40", "two 100 100"]);
    assert_eq!(
        desk.stands("the-month").await,
        ["one 100 40", "two 100 100"]
    );
    assert!(!desk.hold("one", 41).await && desk.hold("one", 40).await);
    assert_eq!(desk.stands("t/month").await[0], "one 100 0");
    let said = desk.give(r#"{"show":{"name":null}}"#).await.unwrap();
    let row = &said["budgets"][0];
    assert_eq!(row["forecast"], "empty");
    assert_eq!(row["from"], "2026-11-01T00:00:00Z");
    assert_eq!(row["until"], "2026-12-01T00:00:00Z");
    assert_eq!(
        (&row["limit"], &row["held"], &row["spent"]),
        (&json!(100), &json!(100), &json!(0))
    );
    assert_eq!(said["budgets"].as_array().unwrap().len(), 3);
    assert_eq!(said["budgets"][2]["budget"], "rails/all");
    assert_eq!(said["budgets"][2]["remaining"], 900);
}

#[tokio::test]
async fn a_raise_holds_until_its_end_and_an_adjustment_until_its_windows() {
    let mut desk = desk().await;
    assert!(desk.hold("one", 100).await && !desk.hold("one", 5).await);
    let raise = r#"{"raise":{"name":"t/month","acus":"5","until":"3d","reason":" release day ","account":"one"}}"#;
    let said = desk.give(raise).await.unwrap();
    assert_eq!(
        said,
        json!({
            "budget": "the-month", "account": "one", "acus": 5, "at": "2026-11-15T12:00:00Z",
            "until": "2026-11-18T12:00:00Z", "who": WHO, "why": "release day",
        })
    );
    assert_eq!(desk.stands("t/month").await, ["one 105 5", "two 100 100"]);
    assert!(desk.hold("one", 5).await && !desk.hold("one", 1).await);
    let adjust =
        r#"{"adjust":{"name":"the-month","acus":"-20.5","reason":"moved","account":null}}"#;
    desk.give(adjust).await.unwrap();
    assert_eq!(
        desk.stands("t/month").await,
        ["one 84.5 -20.5", "two 79.5 79.5"]
    );
    desk.moment = at(71);
    assert_eq!(desk.stands("t/month").await[0], "one 84.5 -20.5");
    desk.moment = at(72);
    assert_eq!(desk.stands("t/month").await[0], "one 79.5 -25.5");
    desk.moment = at(16 * 24);
    assert_eq!(desk.stands("t/month").await, ["one 100 100", "two 100 100"]);
    // All of it stands there, newest first, with who, when and why.
    let said = desk.give(r#"{"show":{"name":"t/month"}}"#).await.unwrap();
    let changes = said["adjustments"].as_array().unwrap();
    assert_eq!(changes.len(), 2);
    assert_eq!(
        (&changes[0]["acus"], &changes[0]["until"]),
        (&json!(-20.5), &Value::Null)
    );
    assert!(
        changes
            .iter()
            .all(|it| it["who"] == WHO && it["why"].is_string())
    );
    assert!(desk.ledger.verify().await.unwrap().is_sound());
}

#[tokio::test]
async fn an_order_that_makes_no_sense_says_what_would() {
    let desk = desk().await;
    let raise = |more: &str| {
        let all = r#"{"name":"t/month","acus":"5","until":"1h","reason":"x","account":null}"#;
        let mut all: serde_json::Map<String, Value> = serde_json::from_str(all).unwrap();
        let more: serde_json::Map<String, Value> = serde_json::from_str(more).unwrap();
        all.extend(more);
        json!({ "raise": all }).to_string()
    };
    for (order, wanted) in [
        (
            raise(r#"{"name":"t/moth"}"#),
            "no budget is named `t/moth`; did you mean `t/month`?",
        ),
        (
            raise(r#"{"name":"\u001b[2J"}"#),
            "no budget is named `\\u{1b}[2J`; there is t/month, rails/all",
        ),
        (
            raise(r#"{"account":"onr"}"#),
            "no caller is named `onr`; did you mean `one`?",
        ),
        (
            raise(r#"{"name":"rails/all","account":"one"}"#),
            "has one account for everyone",
        ),
        (raise(r#"{"acus":"-5"}"#), "more than nothing"),
        (raise(r#"{"acus":"0"}"#), "more than nothing"),
        (raise(r#"{"acus":"1e3"}"#), "`1e3`: an amount of ACUs is"),
        (raise(r#"{"acus":"99999999999"}"#), "up to 1000000000"),
        (raise(r#"{"until":"soon"}"#), "`soon` is no time: write 3d"),
        (raise(r#"{"until":"-3d"}"#), "is over"),
        (raise(r#"{"until":"2026-11-15T12:00:00Z"}"#), "is over"),
        (raise(r#"{"reason":"  "}"#), "say why"),
        (
            raise(&json!({ "reason": "x".repeat(501) }).to_string()),
            "at most 500 characters",
        ),
        (
            r#"{"adjust":{"name":"t/month","acus":"0","reason":"x","account":null}}"#.to_owned(),
            "changes nothing",
        ),
        (r#"{"resume":{"reason":""}}"#.to_owned(), "say why"),
        (
            r#"{"usage":{"by":"team","from":"2026-11-02","to":"2026-11-01"}}"#.to_owned(),
            "is before",
        ),
        (
            r#"{"usage":{"by":"team","from":"yesterday","to":null}}"#.to_owned(),
            "is no day",
        ),
    ] {
        let error = desk.give(&order).await.unwrap_err();
        assert!(error.contains(wanted), "{order}: {error}");
    }
    assert_eq!(desk.stands("t/month").await, ["one 100 100", "two 100 100"]);
    // What nobody meant is no order.
    for odd in [
        r#"{"raise":{"name":"x"}}"#,
        r#"{"show":{"name":null,"more":1}}"#,
        r#"{"spend":{}}"#,
        "[]",
    ] {
        assert!(serde_json::from_str::<Order>(odd).is_err(), "{odd}");
    }
}

#[tokio::test]
async fn l13_spending_goes_on_when_somebody_says_why() {
    let desk = desk().await;
    let why = Some("the ledger is damaged".to_owned());
    let stopped = desk.ledger.stop_spending(at(0), why, "a test".to_owned());
    stopped.await.unwrap();
    assert!(!desk.hold("one", 1).await);
    let said = desk.give(r#"{"show":{"name":null}}"#).await.unwrap();
    assert_eq!(said["stopped"], "the ledger is damaged");
    let said = desk
        .give(r#"{"resume":{"reason":"looked at it"}}"#)
        .await
        .unwrap();
    assert_eq!(said["was_stopped"], "the ledger is damaged");
    assert!(desk.hold("one", 1).await);
    let said = desk.give(r#"{"resume":{"reason":"again"}}"#).await.unwrap();
    assert_eq!(said["was_stopped"], Value::Null);
}

#[tokio::test]
async fn usage_counts_days_in_utc_and_the_last_one_too() {
    let mut desk = desk().await;
    assert!(desk.hold("one", 2).await);
    desk.moment = at(12);
    assert!(desk.hold("two", 3).await);
    let mut held = Vec::new();
    for (from, to) in [
        ("null", "null"),
        ("null", "\"2026-11-15\""),
        ("\"2026-11-16\"", "null"),
        ("\"2026-11-15\"", "\"2026-11-16\""),
        ("\"2026-10-01\"", "\"2026-10-31\""),
    ] {
        let order = format!(r#"{{"usage":{{"by":"caller","from":{from},"to":{to}}}}}"#);
        let said = desk.give(&order).await.unwrap();
        let rows = said["usage"].as_array().unwrap().iter();
        held.push(rows.filter_map(|it| it["held"].as_i64()).sum::<i64>());
    }
    assert_eq!(held, [5, 2, 3, 5, 0]);
}

#[tokio::test]
async fn m24_a_caller_sees_the_numbers_of_its_own_budgets_only() {
    let desk = desk().await;
    assert!(desk.hold("one", 60).await && desk.hold("two", 5).await);
    let caller = desk
        .policy
        .caller_ixs()
        .find(|ix| &**desk.policy.caller(*ix).name() == "one");
    let said = own(&desk.ledger, &desk.policy, caller.unwrap(), at(0))
        .await
        .unwrap();
    assert_eq!(
        said,
        json!({
            "caller": "one", "team": "t",
            "budgets": [
                {
                    "budget": "t/month", "own": true, "per": "caller", "account": "one", "limit": 100, "spent": 0,
                    "held": 60, "remaining": 40, "resets_at": "2026-12-01T00:00:00Z",
                },
                { "budget": "rails/all", "own": false, "resets_at": "2026-11-16T00:00:00Z" },
            ],
        })
    );
}

//! What makes two requests one intent, as a digest. Pure.
//!
//! Caller, operation, target, and what the body means: neither the order of
//! members nor how a string or a number is spelled counts (I9), and no header
//! does. Numbers are compared as decimals of any length and not as floats: 2^80
//! and 2^80 + 1 are two intents.

use aws_lc_rs::digest::{Context, SHA256};

use crate::json::{Document, Kind, Node};

/// SHA-256 over what makes two requests one intent: caller, operation, path, and the meaning of the body.
pub type Fingerprint = [u8; 32];

/// The fingerprint of a request.
pub fn fingerprint(caller: &str, operation: &str, target: &str, body: &[u8]) -> Fingerprint {
    let mut digest = Digest(Context::new(&SHA256));
    for part in ["tollgate intent 1", caller, operation, target] {
        digest.sized(b's', part.as_bytes());
    }
    match Document::parse(body) {
        Ok(document) => digest.node(document.root()),
        Err(_) => digest.sized(b'b', body),
    }
    let mut bytes = [0; 32];
    // SHA-256 has 32 bytes.
    let digest = digest.0.finish();
    bytes.copy_from_slice(digest.as_ref());
    bytes
}

struct Digest(Context);

impl Digest {
    /// With kind and length in front, so that no two sequences of parts are the same bytes.
    fn sized(&mut self, kind: u8, bytes: &[u8]) {
        self.count(kind, bytes.len());
        self.0.update(bytes);
    }

    fn count(&mut self, kind: u8, count: usize) {
        self.0.update(&[kind]);
        self.0.update(&(count as u64).to_be_bytes());
    }

    fn node(&mut self, node: Node<'_>) {
        match node.kind() {
            Kind::Null => self.sized(b'0', b""),
            Kind::Bool => self.sized(b'?', node.raw().as_bytes()),
            Kind::Number => self.sized(b'n', decimal(node.raw()).as_bytes()),
            Kind::Text => self.sized(b't', node.as_text().unwrap_or_default().as_bytes()),
            Kind::List => {
                let items = node.items().unwrap_or_default();
                self.count(b'[', items.len());
                for item in items {
                    self.node(item);
                }
            }
            Kind::Object => {
                let mut members = node.members().unwrap_or_default();
                members.sort_by(|(one, _), (other, _)| one.cmp(other));
                self.count(b'{', members.len());
                for (name, value) in members {
                    self.sized(b't', name.as_bytes());
                    self.node(value);
                }
            }
        }
    }
}

/// A JSON number in one spelling for each value: its digits without zeros at either end, and the power of ten that
/// they are multiplied by.
fn decimal(raw: &str) -> String {
    let (sign, unsigned) = match raw.strip_prefix('-') {
        Some(rest) => ("-", rest),
        None => ("", raw),
    };
    let (mantissa, exponent) = unsigned.split_once(['e', 'E']).unwrap_or((unsigned, "0"));
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = format!("{whole}{fraction}");
    let digits = digits.trim_start_matches('0');
    let kept = digits.trim_end_matches('0');
    if kept.is_empty() {
        return "0".to_owned();
    }
    let dropped = digits.len() - kept.len();
    let power = exponent
        .parse::<i64>()
        .ok()
        .and_then(|it| it.checked_add(i64::try_from(dropped).ok()?))
        .and_then(|it| it.checked_sub(i64::try_from(fraction.len()).ok()?));
    match power {
        Some(power) => format!("{sign}{kept}e{power}"),
        // An exponent beyond all reason is compared as it is spelled.
        None => raw.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    fn of(body: &str) -> Fingerprint {
        fingerprint("c", "sessions.create", "/v3/x", body.as_bytes())
    }

    #[test]
    fn i9_spelling_and_order_do_not_count() {
        for (one, other) in [
            (
                r#"{"a":1,"b":[2,{"c":3,"d":4}]}"#,
                " {\n\"b\" : [ 2,{\"d\":4,\"c\":3}],\t\"a\":1 } ",
            ),
            (r#"{"prompt":"x/y"}"#, r#"{"\u0070rompt":"x\/\u0079"}"#),
            (r#"{"a":100}"#, r#"{"a":1e2}"#),
            (r#"{"a":100}"#, r#"{"a":100.00}"#),
            (r#"{"a":0.001}"#, r#"{"a":1E-3}"#),
            (r#"{"a":0}"#, r#"{"a":-0.0e7}"#),
            ("[-5]", "[-0.5e+1]"),
        ] {
            assert_eq!(of(one), of(other), "{one} {other}");
        }
    }

    #[test]
    fn i9_another_meaning_is_another_intent() {
        let bodies = [
            "",
            " ",
            "null",
            "true",
            "false",
            "0",
            "1",
            "-1",
            "10",
            "\"\"",
            "\"0\"",
            "\"null\"",
            "[]",
            "{}",
            "[[]]",
            "[[],[]]",
            "[1,2]",
            "[2,1]",
            "[12]",
            "[\"1\",\"2\"]",
            "[\"1,2\"]",
            r#"{"a":1}"#,
            r#"{"a":"1"}"#,
            r#"{"A":1}"#,
            r#"{"a":1,"b":2}"#,
            r#"{"a":2,"b":1}"#,
            r#"{"a":{"b":1}}"#,
            r#"{"a":null}"#,
            "1208925819614629174706176",
            "1208925819614629174706177",
            "{broken",
            "{broken ",
        ];
        for (at, one) in bodies.iter().enumerate() {
            for other in bodies.iter().skip(at + 1) {
                assert_ne!(of(one), of(other), "{one:?} {other:?}");
            }
        }
    }

    #[test]
    fn i3_caller_operation_and_target_count() {
        let all = [
            fingerprint("c", "o", "/t", b"{}"),
            fingerprint("d", "o", "/t", b"{}"),
            fingerprint("c", "p", "/t", b"{}"),
            fingerprint("c", "o", "/u", b"{}"),
            fingerprint("c", "o", "/t?x=1", b"{}"),
            fingerprint("co", "", "/t", b"{}"),
        ];
        for (at, one) in all.iter().enumerate() {
            assert!(all.iter().skip(at + 1).all(|other| other != one), "{at}");
        }
    }

    fn value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(json!(null)),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            "[a-c\\\\\"é]{0,3}".prop_map(Value::from),
        ];
        leaf.prop_recursive(3, 24, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::btree_map("[a-c]{0,2}", inner, 0..4)
                    .prop_map(|it| Value::Object(it.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn i9_values_are_equal_where_fingerprints_are(one in value(), other in value()) {
            let (a, b) = (one.to_string(), other.to_string());
            prop_assert_eq!(of(&a) == of(&b), one == other);
            prop_assert_eq!(of(&a), of(&serde_json::to_string_pretty(&one).unwrap()));
        }
    }
}

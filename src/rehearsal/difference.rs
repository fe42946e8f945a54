//! Where two JSON values differ, place by place.

use std::fmt;

use serde_json::Value;

/// A place at which two values differ.
#[derive(Clone, Debug, PartialEq)]
pub struct Difference {
    /// `a.b[0]`; empty for the whole.
    pub path: String,
    /// What stands there in the one; none where nothing does.
    pub one: Option<Value>,
    /// What stands there in the other.
    pub other: Option<Value>,
}

/// All places, in the order of the members' names.
pub fn differences(one: &Value, other: &Value) -> Vec<Difference> {
    let mut found = Vec::new();
    compare(String::new(), Some(one), Some(other), &mut found);
    found
}

fn compare(path: String, one: Option<&Value>, other: Option<&Value>, found: &mut Vec<Difference>) {
    match (one, other) {
        (Some(Value::Object(mine)), Some(Value::Object(theirs))) => {
            let only_theirs = theirs.keys().filter(|name| !mine.contains_key(*name));
            let mut names: Vec<&String> = mine.keys().chain(only_theirs).collect();
            names.sort();
            for name in names {
                let path = match path.as_str() {
                    "" => name.clone(),
                    path => format!("{path}.{name}"),
                };
                compare(path, mine.get(name), theirs.get(name), found);
            }
        }
        // Of lists of two lengths, nobody can say which elements belong together.
        (Some(Value::Array(mine)), Some(Value::Array(theirs))) if mine.len() == theirs.len() => {
            for (at, (mine, theirs)) in mine.iter().zip(theirs).enumerate() {
                compare(format!("{path}[{at}]"), Some(mine), Some(theirs), found);
            }
        }
        (one, other) if one != other => found.push(Difference {
            path,
            one: one.cloned(),
            other: other.cloned(),
        }),
        _ => {}
    }
}

impl fmt::Display for Difference {
    /// `max_acu_limit: expected 20, got 5`
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.path.is_empty() {
            write!(f, "{}: ", self.path)?;
        }
        match (&self.one, &self.other) {
            (Some(one), Some(other)) => write!(f, "expected {one}, got {other}"),
            (Some(one), None) => write!(f, "expected {one}, and it is not there"),
            (None, Some(other)) => write!(f, "expected not to be there, got {other}"),
            (None, None) => write!(f, "no difference"),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn each_place_is_told_once() {
        let told = |one: Value, other: Value| -> Vec<String> {
            let found = differences(&one, &other);
            found.iter().map(ToString::to_string).collect()
        };
        let same = json!({"a": [1, {"b": null}]});
        assert!(told(same.clone(), same).is_empty());
        assert_eq!(
            told(
                json!({"a": {"b": 1, "c": [1, 2]}, "d": [1, 2], "e": "x"}),
                json!({"a": {"b": 2, "c": [1, 3]}, "d": [1], "f": null}),
            ),
            [
                "a.b: expected 1, got 2",
                "a.c[1]: expected 2, got 3",
                "d: expected [1,2], got [1]",
                "e: expected \"x\", and it is not there",
                "f: expected not to be there, got null",
            ]
        );
        // A number is what it is written as.
        assert_eq!(told(json!(1), json!(1.0)), ["expected 1, got 1.0"]);
    }
}

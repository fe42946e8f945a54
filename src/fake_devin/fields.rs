//! Checking a body field by field. All mistakes are collected, as Devin's framework does it.

use serde_json::{Map, Value, json};

use super::problem::{Problem, invalid_at};

/// A body under examination.
#[derive(Debug)]
pub(super) struct Fields {
    given: Map<String, Value>,
    errors: Vec<Value>,
}

impl Fields {
    /// Begins with nothing found wrong.
    pub(super) fn new(given: Map<String, Value>) -> Self {
        Self {
            given,
            errors: Vec::new(),
        }
    }

    /// The value of a field; null counts as absent.
    fn value(&self, name: &str) -> Option<Value> {
        self.given
            .get(name)
            .filter(|value| !value.is_null())
            .cloned()
    }

    /// Whether the field is there at all, null included.
    pub(super) fn has(&self, name: &str) -> bool {
        self.given.contains_key(name)
    }

    /// Notes a mistake.
    pub(super) fn refuse(&mut self, name: &str, message: &str, kind: &str) {
        self.errors.push(invalid_at(&["body", name], message, kind));
    }

    /// Notes that a field is missing.
    pub(super) fn missing(&mut self, name: &str) {
        self.refuse(name, "Field required", "missing");
    }

    /// Text that has to be there.
    pub(super) fn required_text(&mut self, name: &str) -> String {
        if !self.has(name) {
            self.missing(name);
            return String::new();
        }
        if let Some(text) = self.text(name) {
            return text;
        }
        if self.value(name).is_none() {
            self.refuse(name, "Input should be a valid string", "string_type");
        }
        String::new()
    }

    /// Text of 1 to `longest` characters that has to be there.
    pub(super) fn required_name(&mut self, name: &str, longest: usize) -> String {
        let text = self.required_text(name);
        if text.is_empty() && self.errors.is_empty() {
            let message = "String should have at least 1 character";
            self.refuse(name, message, "string_too_short");
        }
        if text.chars().count() > longest {
            let message = format!("String should have at most {longest} characters");
            self.refuse(name, &message, "string_too_long");
        }
        text
    }

    /// Text that may be missing.
    pub(super) fn text(&mut self, name: &str) -> Option<String> {
        let value = self.value(name)?;
        let text = value.as_str().map(str::to_owned);
        if text.is_none() {
            self.refuse(name, "Input should be a valid string", "string_type");
        }
        text
    }

    /// One of some words, or nothing.
    pub(super) fn choice(&mut self, name: &str, words: &[&str]) -> Option<String> {
        let text = self.text(name)?;
        if words.contains(&text.as_str()) {
            return Some(text);
        }
        let message = format!("Input should be one of {}", words.join(", "));
        self.refuse(name, &message, "enum");
        None
    }

    /// A list of texts that may be missing.
    pub(super) fn texts(&mut self, name: &str, longest: usize) -> Option<Vec<String>> {
        let value = self.value(name)?;
        let Some(entries) = value.as_array() else {
            self.refuse(name, "Input should be a valid list", "list_type");
            return None;
        };
        if entries.len() > longest {
            let message = format!("List should have at most {longest} items after validation");
            self.refuse(name, &message, "too_long");
        }
        let texts: Option<Vec<String>> = entries
            .iter()
            .map(|entry| entry.as_str().map(str::to_owned))
            .collect();
        if texts.is_none() {
            self.refuse(name, "Input should be a valid string", "string_type");
        }
        texts
    }

    /// A whole number of at least `least`; `5.0` is one, `5.5` and `true` are not.
    pub(super) fn integer(&mut self, name: &str, least: i64) -> Option<i64> {
        let value = self.value(name)?;
        let whole = value.as_i64().or_else(|| {
            let number = value.as_f64()?;
            (number.fract() == 0.0 && number.abs() < 1e15).then_some(number as i64)
        });
        let Some(whole) = whole else {
            if value.is_number() {
                let message =
                    "Input should be a valid integer, got a number with a fractional part";
                self.refuse(name, message, "int_from_float");
            } else {
                self.refuse(name, "Input should be a valid integer", "int_type");
            }
            return None;
        };
        if whole < least {
            let message = format!("Input should be greater than or equal to {least}");
            self.refuse(name, &message, "greater_than_equal");
            return None;
        }
        Some(whole)
    }

    /// True or false, or nothing.
    pub(super) fn flag(&mut self, name: &str) -> Option<bool> {
        let value = self.value(name)?;
        if value.as_bool().is_none() {
            self.refuse(name, "Input should be a valid boolean", "bool_type");
        }
        value.as_bool()
    }

    /// A list of objects, or nothing.
    pub(super) fn objects(&mut self, name: &str) -> Option<Vec<Map<String, Value>>> {
        let value = self.value(name)?;
        let objects: Option<Vec<_>> = value.as_array().and_then(|entries| {
            entries
                .iter()
                .map(|entry| entry.as_object().cloned())
                .collect()
        });
        if objects.is_none() {
            self.refuse(name, "Input should be a valid list", "list_type");
        }
        objects
    }

    /// Anything at all, null when absent.
    pub(super) fn any(&self, name: &str) -> Value {
        self.given.get(name).cloned().unwrap_or(json!(null))
    }

    /// Ends the examination.
    pub(super) fn finish(self) -> Result<(), Problem> {
        if self.errors.is_empty() {
            Ok(())
        } else {
            Err(Problem::invalid(self.errors))
        }
    }
}

//! One call as the handlers see it: routed, authenticated and wholly received.

use bytes::Bytes;
use percent_encoding::percent_decode_str;
use serde_json::{Map, Value};

use super::clock::Moment;
use super::problem::{Problem, invalid_at};

/// A file out of a multipart body.
#[derive(Debug)]
pub(super) struct Upload {
    pub(super) name: String,
    pub(super) media_type: Option<String>,
    pub(super) content: Bytes,
}

/// The call.
#[derive(Debug)]
pub(super) struct Call {
    /// Below `/enterprise/`.
    pub(super) enterprise: bool,
    /// Path parameters, percent-decoded.
    pub(super) params: Vec<(String, String)>,
    pub(super) query: Query,
    pub(super) body: Bytes,
    /// The part named `file`, if there was one.
    pub(super) upload: Option<Upload>,
    /// Fake time on arrival.
    pub(super) now: Moment,
    /// Where this fake can be reached, for the links that it hands out.
    pub(super) base: String,
}

impl Call {
    /// A path parameter, or the empty text, which names nothing.
    pub(super) fn param(&self, name: &str) -> &str {
        self.find(name).unwrap_or_default()
    }

    /// The organization that the path names, if it names one.
    pub(super) fn organization(&self) -> Option<&str> {
        self.find("org_id")
    }

    fn find(&self, name: &str) -> Option<&str> {
        self.params
            .iter()
            .find(|(known, _)| known == name)
            .map(|(_, value)| value.as_str())
    }

    /// The body as a JSON object.
    pub(super) fn object(&self) -> Result<Map<String, Value>, Problem> {
        let refuse =
            |message, kind| Err(Problem::invalid(vec![invalid_at(&["body"], message, kind)]));
        if self.body.is_empty() {
            return refuse("Field required", "missing");
        }
        match serde_json::from_slice::<Value>(&self.body) {
            Ok(Value::Object(fields)) => Ok(fields),
            Ok(_) => refuse(
                "Input should be a valid dictionary",
                "model_attributes_type",
            ),
            Err(_) => refuse("JSON decode error", "json_invalid"),
        }
    }

    /// The body as a JSON object where a body may be missing.
    pub(super) fn object_or_empty(&self) -> Result<Map<String, Value>, Problem> {
        if self.body.is_empty() {
            Ok(Map::new())
        } else {
            self.object()
        }
    }
}

/// The query, decoded, in the order it came in.
#[derive(Debug, Default)]
pub(super) struct Query(Vec<(String, String)>);

impl Query {
    /// Reads what stands behind the question mark.
    pub(super) fn parse(text: Option<&str>) -> Self {
        let pairs = text.unwrap_or_default().split('&');
        Self(
            pairs
                .filter(|pair| !pair.is_empty())
                .map(|pair| {
                    let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
                    (decode_form(name), decode_form(value))
                })
                .collect(),
        )
    }

    /// The last value of a parameter, which is the one that Devin's framework takes.
    pub(super) fn one(&self, name: &str) -> Option<&str> {
        let mut values = self.0.iter().rev();
        values
            .find(|(known, _)| known == name)
            .map(|(_, value)| value.as_str())
    }

    /// All values of a list. The official client joins them with commas, others repeat the key.
    pub(super) fn list(&self, name: &str) -> Option<Vec<&str>> {
        let mut given = self.0.iter().filter(|(known, _)| known == name).peekable();
        given.peek()?;
        Some(given.flat_map(|(_, value)| value.split(',')).collect())
    }

    /// A whole number.
    pub(super) fn integer(&self, name: &str) -> Result<Option<i64>, Problem> {
        let Some(text) = self.one(name) else {
            return Ok(None);
        };
        text.parse().map(Some).map_err(|_| {
            Problem::invalid_query(name, "Input should be a valid integer", "int_parsing")
        })
    }

    /// A truth value, in the spellings that Devin's framework takes.
    pub(super) fn flag(&self, name: &str) -> Result<Option<bool>, Problem> {
        match self.one(name).map(str::to_ascii_lowercase).as_deref() {
            None => Ok(None),
            Some("true" | "1" | "yes" | "on") => Ok(Some(true)),
            Some("false" | "0" | "no" | "off") => Ok(Some(false)),
            Some(_) => Err(Problem::invalid_query(
                name,
                "Input should be a valid boolean",
                "bool_parsing",
            )),
        }
    }
}

/// Percent-decoding for one path segment.
pub(super) fn decode_segment(text: &str) -> String {
    percent_decode_str(text).decode_utf8_lossy().into_owned()
}

fn decode_form(text: &str) -> String {
    decode_segment(&text.replace('+', " "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_come_joined_or_repeated() {
        let joined = Query::parse(Some("tags=a%2Cb&first=3"));
        assert_eq!(joined.list("tags"), Some(vec!["a", "b"]));
        let repeated = Query::parse(Some("tags=a&tags=b"));
        assert_eq!(repeated.list("tags"), Some(vec!["a", "b"]));
        assert_eq!(repeated.list("session_ids"), None);
        assert_eq!(joined.integer("first").unwrap(), Some(3));
    }
}

//! One line of an access log: what a decision can be made from again, or why the line is refused.
//!
//! Text is borrowed from the line where it can be, and what only some lines
//! need (claims, facts) stays raw until it is asked for.

use std::borrow::Cow;
use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, Error as _, MapAccess, Visitor};
use serde_json::Value;
use serde_json::value::RawValue;

use crate::pipeline::access_log::FORM;
use crate::policy::bounds::{Fact, Facts};

/// The longest line, in bytes: far longer than any that is written.
pub const MAX_LINE: usize = 1 << 20;

/// Why a log is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LineError {
    /// It is longer than any.
    #[error("it has more than {MAX_LINE} bytes, and no line of an access log has")]
    TooLong,
    /// Its bytes are no text.
    #[error("it is not UTF-8")]
    NotText,
    /// It is no JSON object.
    #[error("it is no JSON object (column {0})")]
    NotJson(usize),
    /// A field is not what the form says, or stands there twice.
    #[error(
        "it is not of the form that it names: a field is missing, is there twice, or is of another kind (column {0})"
    )]
    NotOfItsForm(usize),
    /// It names no form.
    #[error(
        "it names no form: it is no line of an access log of this version, which writes form {FORM}"
    )]
    NoForm,
    /// It names another form.
    #[error("it is of form {0}, and this version reads form {FORM}: use the version that wrote it")]
    OtherForm(u64),
}

impl LineError {
    /// Without the library's words: they can quote a value.
    fn of(error: &serde_json::Error) -> Self {
        match error.classify() {
            serde_json::error::Category::Data => Self::NotOfItsForm(error.column()),
            serde_json::error::Category::Io
            | serde_json::error::Category::Syntax
            | serde_json::error::Category::Eof => Self::NotJson(error.column()),
        }
    }
}

/// Text that is borrowed where it has no escapes.
#[derive(Clone, Debug, Deserialize)]
#[serde(transparent)]
pub(super) struct Text<'l>(#[serde(borrow)] pub(super) Cow<'l, str>);

impl Text<'_> {
    /// The text, unless the log has cut it or taken a credential out of it.
    pub(super) fn whole(&self) -> Option<&str> {
        is_whole(&self.0).then_some(&self.0)
    }
}

/// Whether the log shows a text as it was.
pub(super) fn is_whole(text: &str) -> bool {
    let is_cut = text.ends_with(" more bytes]") && text.contains("…[");
    !is_cut && !text.contains("[redacted]")
}

/// What is read of a line. A field that is not here plays no part in any decision.
#[derive(Debug, Deserialize)]
pub(super) struct Line<'l> {
    #[serde(borrow)]
    pub(super) kind: Text<'l>,
    pub(super) form: u64,
    #[serde(borrow, default)]
    pub(super) time: Option<Text<'l>>,
    #[serde(borrow, default)]
    pub(super) request_id: Option<Text<'l>>,
    #[serde(borrow, default)]
    pub(super) caller: Option<Text<'l>>,
    #[serde(borrow, default)]
    identity: Option<&'l RawValue>,
    #[serde(borrow, default)]
    pub(super) operation: Option<Text<'l>>,
    #[serde(borrow, default)]
    pub(super) organization: Option<Text<'l>>,
    #[serde(default)]
    pub(super) decision: Option<Decision>,
    #[serde(borrow, default)]
    pub(super) rule: Option<Text<'l>>,
    #[serde(borrow, default)]
    fields: Option<&'l RawValue>,
    #[serde(borrow, default)]
    unknown_fields: Option<Vec<Text<'l>>>,
    #[serde(default)]
    pub(super) body_judged: bool,
    #[serde(borrow, default)]
    pub(super) code: Option<Text<'l>>,
    #[serde(borrow, default)]
    pub(super) policy: Option<Text<'l>>,
    #[serde(borrow, default)]
    pub(super) outcome: Option<Text<'l>>,
    #[serde(default)]
    pub(super) upstream_status: Option<u16>,
    #[serde(default)]
    pub(super) bytes_in: u64,
}

/// What the policy said when the line was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Decision {
    Allow,
    Deny,
}

/// What a credential had proved.
#[derive(Debug, PartialEq)]
pub(super) enum Identity<'l> {
    ApiKey {
        id: Cow<'l, str>,
    },
    Jwt {
        issuer: Cow<'l, str>,
        /// None where the token has none, or none that is text.
        subject: Option<Value>,
        claims: Vec<(String, Value)>,
    },
}

#[derive(Deserialize)]
struct RawIdentity<'l> {
    #[serde(borrow)]
    kind: Text<'l>,
    #[serde(borrow, default)]
    key_id: Option<Text<'l>>,
    #[serde(borrow, default)]
    issuer: Option<Text<'l>>,
    #[serde(borrow, default)]
    subject: Option<Text<'l>>,
    #[serde(borrow, default)]
    claims: Option<&'l RawValue>,
}

impl<'l> Line<'l> {
    /// Reads one line, without its end.
    pub(super) fn read(bytes: &'l [u8]) -> Result<Self, LineError> {
        let text = std::str::from_utf8(bytes).map_err(|_| LineError::NotText)?;
        match object::<Self>(text) {
            Ok(line) if line.form == u64::from(FORM) => Ok(line),
            Ok(line) => Err(LineError::OtherForm(line.form)),
            Err(error) => Err(Self::refused(text, error)),
        }
    }

    /// A line of another form may have anything in its fields: that is the reason to name.
    fn refused(text: &str, error: LineError) -> LineError {
        #[derive(Deserialize)]
        struct Form {
            #[serde(default)]
            form: Option<u64>,
        }
        if !matches!(error, LineError::NotOfItsForm(_)) {
            return error;
        }
        match object::<Form>(text).map(|it| it.form) {
            Ok(Some(form)) if form != u64::from(FORM) => LineError::OtherForm(form),
            Ok(None) => LineError::NoForm,
            Ok(Some(_)) | Err(_) => error,
        }
    }

    /// What the credential had proved, as it stands there; none where there was no proof.
    pub(super) fn identity_text(&self) -> Option<&'l str> {
        self.identity.map(RawValue::get)
    }
}

impl<'l> Identity<'l> {
    /// Reads what [`Line::identity_text`] gives.
    pub(super) fn read(text: &'l str) -> Result<Self, LineError> {
        let raw: RawIdentity<'l> = object(text)?;
        let identity = match (&*raw.kind.0, raw.key_id, raw.issuer, raw.claims) {
            ("api_key", Some(id), None, None) => Identity::ApiKey { id: id.0 },
            ("jwt", _, Some(issuer), Some(claims)) => Identity::Jwt {
                issuer: issuer.0,
                subject: raw.subject.map(|it| Value::from(&*it.0)),
                claims: object::<Members>(claims.get())?.0,
            },
            _ => return Err(LineError::NotOfItsForm(0)),
        };
        Ok(identity)
    }
}

impl Line<'_> {
    /// What is known of its fields.
    pub(super) fn facts(&self) -> Result<Facts, LineError> {
        let mut facts = Facts::default();
        if let Some(raw) = self.fields {
            let Members(fields) = object(raw.get())?;
            for (name, value) in fields {
                let fact = Fact::from_json(&value).ok_or(LineError::NotOfItsForm(0))?;
                facts.fields.push((name, fact));
            }
        }
        let unknown = self.unknown_fields.as_deref().unwrap_or_default();
        facts.unknown = unknown.iter().map(|it| it.0.clone().into_owned()).collect();
        facts.query_read = self.head_passed();
        facts.body_read = self.body_judged;
        Ok(facts)
    }

    /// Whether the policy of that time let the head through, so that the query was looked at.
    fn head_passed(&self) -> bool {
        let by_head = ["operation-denied", "organization-denied"];
        match self.decision {
            Some(Decision::Allow) => true,
            Some(Decision::Deny) => self
                .code
                .as_ref()
                .is_none_or(|it| !by_head.contains(&&*it.0)),
            None => false,
        }
    }
}

/// Reads a JSON object; a list of the same values is none.
fn object<'l, T: Deserialize<'l>>(text: &'l str) -> Result<T, LineError> {
    if !text.trim_start().starts_with('{') {
        return Err(LineError::NotJson(1));
    }
    serde_json::from_str(text).map_err(|error| LineError::of(&error))
}

/// The members of an object whose names are not ours, each of which stands there once.
#[derive(Debug)]
struct Members(Vec<(String, Value)>);

impl<'l> Deserialize<'l> for Members {
    fn deserialize<D: Deserializer<'l>>(deserializer: D) -> Result<Self, D::Error> {
        struct All;
        impl<'l> Visitor<'l> for All {
            type Value = Members;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'l>>(self, mut map: A) -> Result<Members, A::Error> {
                let mut all: Vec<(String, Value)> = Vec::new();
                while let Some(member) = map.next_entry()? {
                    all.push(member);
                }
                let mut names: Vec<&str> = all.iter().map(|(name, _)| name.as_str()).collect();
                names.sort_unstable();
                let is_twice = names.windows(2).any(|pair| pair.first() == pair.last());
                if is_twice {
                    return Err(A::Error::custom("a name stands there twice"));
                }
                Ok(Members(all))
            }
        }
        deserializer.deserialize_map(All)
    }
}

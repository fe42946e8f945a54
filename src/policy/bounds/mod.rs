//! What a grant asks of a request's fields, and what becomes of them. Pure.
//!
//! A grant carries [`Terms`]; guard rails carry terms of their own, which
//! tighten the grant's. [`weigh`](weigh::weigh) judges one value against all
//! rules for its field; `body` and `query` find the values, collect the
//! changes, and write what is forwarded: once, and only where a rule says so.

mod body;
mod clash;
mod facts;
mod field;
mod pattern;
mod query;
mod reserved;
mod seen;
mod weigh;

use std::sync::Arc;
use std::time::Duration;

use crate::acu::Acu;
use crate::catalogue::{Guard, Operation, Takes};
use crate::json::Invalid;

pub use body::{judge_body, judge_facts};
pub use clash::{Clash, clash};
use facts::cut;
pub use facts::{Fact, Facts, MAX_UNKNOWN};
pub use field::{Above, FieldPath, FieldRule, NoRoom, Presence, Scalar, Step};
pub use pattern::Pattern;
pub use query::{judge_query, judge_query_facts};
pub use reserved::RESERVED;
pub use seen::Seen;
pub use weigh::{Weighed, Why, weigh};

/// What a rule says about fields, beside whom and what it covers.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Terms {
    /// Members of the JSON body.
    pub body: Vec<(FieldPath, FieldRule)>,
    /// Keys of the query.
    pub query: Vec<(String, FieldRule)>,
    /// Whether fields and keys that the catalogue does not know are refused.
    pub refuses_unknown: bool,
    /// Whether answers that hold a one-time secret may be given.
    pub reveals: bool,
    /// What an upload may be.
    pub upload: Option<Upload>,
    /// Which sessions its operations may touch; where nothing is said, the caller's own.
    pub sessions: Option<Reach>,
    /// What is charged for a spend that has no cap; without it, such a spend is refused.
    pub uncapped: Option<Uncapped>,
    /// How long an answer is kept for its caller; where nothing is said, it is not.
    pub cache: Option<Duration>,
}

/// Which sessions a grant's operations may touch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Reach {
    /// Those that the caller created, and their children.
    #[default]
    Own,
    /// Those that a caller of the same team created.
    Team,
    /// All, also those that nobody here created.
    Any,
}

/// What a spend without a cap is charged as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Uncapped {
    /// So many ACUs.
    pub acus: Acu,
    /// How often.
    pub per: UncappedPer,
    /// Whether what was set up is disabled where a later window has no room.
    pub disables: bool,
}

/// How often a spend without a cap is charged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UncappedPer {
    /// Once for each request.
    Run,
    /// For each window of the shortest budget that applies, while what was set up exists.
    Window,
}

impl Terms {
    /// Nothing is said.
    pub const fn nothing() -> Self {
        Self {
            body: Vec::new(),
            query: Vec::new(),
            refuses_unknown: false,
            reveals: false,
            upload: None,
            sessions: None,
            uncapped: None,
            cache: None,
        }
    }

    /// Whether nothing is said.
    pub fn is_empty(&self) -> bool {
        *self == Self::nothing()
    }

    /// Whether they bound anything that a request for this operation can have.
    pub fn speak_of(&self, operation: &Operation) -> bool {
        let takes_upload = operation.takes == Some(Takes::Multipart);
        self.refuses_unknown
            || self.body.iter().any(|(path, _)| path.is_of(operation))
            || self
                .query
                .iter()
                .any(|(key, _)| operation.query_field(key).is_some())
            || (self.upload.is_some() && takes_upload)
    }

    /// Whether the body of this operation has to be read for these terms.
    fn read_body(&self, operation: &Operation) -> bool {
        self.refuses_unknown || self.body.iter().any(|(path, _)| path.is_of(operation))
    }
}

/// How large an upload may be, and of how many parts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Upload {
    /// Bytes of the whole body.
    pub max_bytes: Option<u64>,
    /// Parts of the form.
    pub max_parts: Option<u64>,
}

impl Upload {
    /// Both: the smaller of each.
    fn and(self, other: Self) -> Self {
        let least = |one: Option<u64>, two: Option<u64>| match (one, two) {
            (Some(one), Some(two)) => Some(one.min(two)),
            (one, two) => one.or(two),
        };
        Self {
            max_bytes: least(self.max_bytes, other.max_bytes),
            max_parts: least(self.max_parts, other.max_parts),
        }
    }
}

/// What is said of a cap that has to fit into a budget.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CapTerms {
    /// The least that may be sent, in whole ACUs; at least one.
    pub min: i64,
    /// What becomes of a cap that does not fit.
    pub no_room: NoRoom,
}

impl Default for CapTerms {
    fn default() -> Self {
        Self {
            min: 1,
            no_room: NoRoom::Refuse,
        }
    }
}

/// What becomes of a session's cap where the request has none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Absence {
    /// It gets this one.
    Default(u32),
    /// The request is refused by a rule.
    Refused,
    /// No rule says anything: then it has none.
    Nothing,
}

/// Terms, and whose they are.
#[derive(Clone, Copy, Debug)]
pub struct Source<'p> {
    /// `team/name`, or `file/name` of a guard rail.
    pub name: &'p Arc<str>,
    /// Whom to ask about it.
    pub owner: Option<&'p Arc<str>>,
    /// What it says.
    pub terms: &'p Terms,
}

/// All terms that apply to one request: the grant's first, then the guard rails'.
#[derive(Clone, Debug)]
pub struct Applied<'p> {
    operation: &'static Operation,
    grant: Source<'p>,
    rails: Vec<Source<'p>>,
}

/// One rule for a field, and whose it is.
#[derive(Clone, Copy, Debug)]
pub struct Ruling<'p> {
    /// The rule.
    pub rule: &'p FieldRule,
    /// Its place among the sources: 0 is the grant.
    source: usize,
}

/// Where a field stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// In the query.
    Query,
    /// In the body.
    Body,
}

/// Why a request is refused for its fields.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// Where the field stands.
    pub place: Place,
    /// The field, as policies write it; none where it is the body as a whole.
    pub field: Option<String>,
    /// A sentence; no value of the request stands in it.
    pub said: String,
    /// What kind of refusal it is.
    pub why: Why,
    /// The rule that decided.
    pub rule: Arc<str>,
    /// Whom to ask about it.
    pub owner: Option<Arc<str>>,
}

/// What was found out about a request's fields.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Judged {
    /// What goes on in place of what came; none where nothing changes.
    pub forwarded: Option<String>,
    /// What the log says of the fields.
    pub facts: Facts,
    /// The first refusal.
    pub refused: Option<Refused>,
}

impl<'p> Applied<'p> {
    /// Of a grant, and of the guard rails that cover the same request.
    pub fn new(operation: &'static Operation, grant: Source<'p>, rails: Vec<Source<'p>>) -> Self {
        Self {
            operation,
            grant,
            rails,
        }
    }

    /// Whether nothing in the query or the body plays a part.
    pub fn asks_nothing(&self) -> bool {
        let is_of_query = |it: &&Guard| !it.is_in_body() && !self.grants_query(it.path());
        !self.reads_body()
            && self.upload().is_none()
            && self.unknown(Place::Query, None).is_none()
            && self.query_rulings().is_empty()
            && !self.guards().any(|it| is_of_query(&it))
    }

    /// Whether both say the same of every request, whatever their rules are called.
    pub fn says_the_same(&self, other: &Self) -> bool {
        let terms = |it: &Source<'p>| it.terms;
        self.operation.id == other.operation.id
            && self.sources().map(terms).eq(other.sources().map(terms))
    }

    fn sources(&self) -> impl Iterator<Item = &Source<'p>> {
        std::iter::once(&self.grant).chain(&self.rails)
    }

    fn source(&self, ix: usize) -> &Source<'p> {
        ix.checked_sub(1)
            .and_then(|ix| self.rails.get(ix))
            .unwrap_or(&self.grant)
    }

    /// Whether the JSON body has to be read: for what the gateway itself looks at, or for what a rule says.
    pub fn reads_body(&self) -> bool {
        self.operation.takes == Some(Takes::Json)
            && (self.operation.governs_body()
                || self
                    .sources()
                    .any(|source| source.terms.read_body(self.operation)))
    }

    /// Which sessions may be touched.
    pub fn reach(&self) -> Reach {
        self.grant.terms.sessions.unwrap_or_default()
    }

    /// What a spend without a cap is charged as, if the grant allows one.
    pub fn uncapped(&self) -> Option<Uncapped> {
        self.grant.terms.uncapped
    }

    /// What is said of the cap beside what [`weigh`] judges: the least that may be sent, and whether a cap that a
    /// budget has no room for may be lowered. Every source that says a least is held to.
    pub fn cap_terms(&self) -> CapTerms {
        let rules = self.sources().flat_map(|source| {
            let body = source.terms.body.iter();
            body.filter(|(path, _)| path.as_str() == "max_acu_limit")
                .map(|(_, rule)| rule)
        });
        let mut terms = CapTerms::default();
        for rule in rules {
            terms.min = terms.min.max(rule.min.unwrap_or(1));
        }
        let granted = self.granted_body("max_acu_limit");
        terms.no_room = granted.map_or(NoRoom::Refuse, |rule| rule.no_room);
        terms
    }

    /// What becomes of a session's cap where the request has none.
    pub fn cap_if_absent(&self) -> Absence {
        let all = self.body_rulings();
        let of_cap = all
            .iter()
            .find(|(path, _)| path.as_str() == "max_acu_limit");
        let Some((_, rulings)) = of_cap else {
            return Absence::Nothing;
        };
        match weigh(rulings, &Seen::Absent) {
            Weighed::Replace(value) => value
                .as_u64()
                .and_then(|cap| u32::try_from(cap).ok())
                .map_or(Absence::Refused, Absence::Default),
            Weighed::Refuse { .. } => Absence::Refused,
            Weighed::Keep | Weighed::Append(_) | Weighed::Undecidable => Absence::Nothing,
        }
    }

    /// What the upload may be; the tightest of all.
    pub fn upload(&self) -> Option<Upload> {
        if self.operation.takes != Some(Takes::Multipart) {
            return None;
        }
        self.sources()
            .filter_map(|source| source.terms.upload)
            .reduce(Upload::and)
    }

    /// The refusal of a field or key that the catalogue does not know, if anyone refuses those.
    fn unknown(&self, place: Place, name: Option<&str>) -> Option<Refused> {
        let said = "what the catalogue does not know is refused here".to_owned();
        let ix = self
            .sources()
            .position(|source| source.terms.refuses_unknown)?;
        Some(self.refusal(place, ix, name.map(cut), Why::Denied, said))
    }

    /// The rules for each body field that any source names, in the order of the sources.
    fn body_rulings(&self) -> Vec<(&'p FieldPath, Vec<Ruling<'p>>)> {
        let mut all: Vec<(&'p FieldPath, Vec<Ruling<'p>>)> = Vec::new();
        for (ix, source) in self.sources().enumerate() {
            let terms = source.terms;
            for (path, rule) in terms
                .body
                .iter()
                .filter(|(path, _)| path.is_of(self.operation))
            {
                let ruling = Ruling { rule, source: ix };
                match all.iter_mut().find(|(it, _)| *it == path) {
                    Some((_, rulings)) => rulings.push(ruling),
                    None => all.push((path, vec![ruling])),
                }
            }
        }
        all
    }

    /// The same for keys of the query.
    fn query_rulings(&self) -> Vec<(&'p str, Vec<Ruling<'p>>)> {
        let mut all: Vec<(&'p str, Vec<Ruling<'p>>)> = Vec::new();
        for (ix, source) in self.sources().enumerate() {
            let terms = source.terms;
            for (key, rule) in &terms.query {
                if self.operation.query_field(key).is_none() {
                    continue;
                }
                let ruling = Ruling { rule, source: ix };
                match all.iter_mut().find(|(it, _)| it == key) {
                    Some((_, rulings)) => rulings.push(ruling),
                    None => all.push((key, vec![ruling])),
                }
            }
        }
        all
    }

    /// The grant's own rule for a body field, if it names the field.
    fn granted_body(&self, name: &str) -> Option<&'p FieldRule> {
        let terms = self.grant.terms;
        let named = terms.body.iter().find(|(path, _)| path.as_str() == name);
        named
            .map(|(_, rule)| rule)
            .filter(|rule| rule.presence != Presence::Absent)
    }

    fn grants_query(&self, key: &str) -> bool {
        let terms = self.grant.terms;
        terms
            .query
            .iter()
            .any(|(it, rule)| it == key && rule.presence != Presence::Absent)
    }

    /// The refusal of a body that is no JSON document with one meaning.
    pub fn malformed(&self, invalid: &Invalid) -> Refused {
        self.refusal(Place::Body, 0, None, Why::Malformed, invalid.to_string())
    }

    fn refusal(
        &self,
        place: Place,
        source: usize,
        field: Option<&str>,
        why: Why,
        said: String,
    ) -> Refused {
        let source = self.source(source);
        Refused {
            place,
            field: field.map(str::to_owned),
            said,
            why,
            rule: Arc::clone(source.name),
            owner: source.owner.map(Arc::clone),
        }
    }

    fn guards(&self) -> impl Iterator<Item = &'static Guard> {
        self.operation.guards.iter()
    }
}

#[cfg(test)]
mod tests;

//! What Devin's API is: the operations, and which request is which. Pure.
//!
//! Stage 5 of the request path (target) asks [`Catalogue::find`]; policies name
//! operations by [`Operation::id`]. What stands in no row does not exist for
//! Tollgate: the request is refused (`operation-unknown`), whatever Devin would
//! have made of it. A new operation is a new line in `operations.rs`; what may
//! stand in its body and query is named in `fields.rs`.

mod charge;
mod fields;
mod objects;
mod operations;
mod router;
mod sessions;
mod slashed;

use std::fmt;

pub use charge::Charge;
pub use fields::{Field, Meaning, Shown};
pub use objects::Object;
pub use router::{Catalogue, Found, Missed, Parameters};
pub use sessions::SESSION_PARAMETERS;

/// The methods that operations use. Nothing else is ever forwarded: a HEAD or an OPTIONS is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verb {
    /// GET
    Get,
    /// POST
    Post,
    /// PUT
    Put,
    /// PATCH
    Patch,
    /// DELETE
    Delete,
}

impl Verb {
    /// The method's token.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Post => "POST",
            Self::Put => "PUT",
            Self::Patch => "PATCH",
            Self::Delete => "DELETE",
        }
    }

    /// The method as the `http` crate has it.
    pub const fn method(self) -> http::Method {
        match self {
            Self::Get => http::Method::GET,
            Self::Post => http::Method::POST,
            Self::Put => http::Method::PUT,
            Self::Patch => http::Method::PATCH,
            Self::Delete => http::Method::DELETE,
        }
    }
}

/// A version prefix of Devin's API.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// `/v3`
    V3,
    /// `/v3beta1`
    V3Beta1,
    /// `/opbeta`: known, and refused always.
    Opbeta,
}

impl Version {
    /// The first path segment.
    pub const fn prefix(self) -> &'static str {
        match self {
            Self::V3 => "v3",
            Self::V3Beta1 => "v3beta1",
            Self::Opbeta => "opbeta",
        }
    }

    const fn bit(self) -> u8 {
        match self {
            Self::V3 => 1,
            Self::V3Beta1 => 2,
            Self::Opbeta => 4,
        }
    }
}

/// The versions that have an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Versions(u8);

const V3: Versions = Versions(Version::V3.bit());
const BETA: Versions = Versions(Version::V3Beta1.bit());
const BOTH: Versions = Versions(Version::V3.bit() | Version::V3Beta1.bit());
const OPBETA: Versions = Versions(Version::Opbeta.bit());

impl Versions {
    /// Whether this version is among them.
    pub const fn has(self, version: Version) -> bool {
        self.0 & version.bit() != 0
    }
}

/// Whose rights Devin asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// Nobody's but the token's own: it tells who it is.
    Oneself,
    /// One organization's.
    Organization,
    /// The enterprise's, also where the path names an organization.
    Enterprise,
    /// The account's (the worker queue).
    Account,
}

/// Where a request says which organization it means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OrgAt {
    /// In the path, as `{org_id}`.
    AtPath,
    /// In the query, if at all.
    AtQuery,
    /// In the body, if at all.
    AtBody,
    /// Nowhere: it touches all of them, or none.
    Nowhere,
}

/// When an operation makes Devin use ACUs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Spend {
    /// From the call on.
    Immediate,
    /// Later, each time what it set up fires.
    Deferred,
}

/// How a list continues.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Paging {
    /// `after` and `first`.
    Cursor,
    /// `limit` and `offset`.
    Offset,
}

/// What body an operation takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Takes {
    /// `application/json`
    Json,
    /// `multipart/form-data`
    Multipart,
}

/// A field that is refused unless a grant names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Guard {
    /// A field of the JSON body, by its path.
    Body(&'static str),
    /// A field of the JSON body that is dangerous to leave out, too.
    BodyOrElse(&'static str, Absent),
    /// A key of the query.
    Query(&'static str),
}

impl Guard {
    /// The field's path, or the key.
    pub const fn path(self) -> &'static str {
        match self {
            Self::Body(path) | Self::BodyOrElse(path, _) | Self::Query(path) => path,
        }
    }

    /// Whether it stands in the body.
    pub const fn is_in_body(self) -> bool {
        match self {
            Self::Body(_) | Self::BodyOrElse(..) => true,
            Self::Query(_) => false,
        }
    }
}

/// What is sent where a guarded field is absent (or null) and no grant names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Absent {
    /// `[]`
    EmptyList,
    /// `false`
    False,
}

impl Absent {
    /// The value.
    pub fn value(self) -> serde_json::Value {
        match self {
            Self::EmptyList => serde_json::Value::Array(Vec::new()),
            Self::False => serde_json::Value::Bool(false),
        }
    }
}

/// One call of Devin's API.
#[derive(Clone, Copy, Debug)]
pub struct Operation {
    /// Its name in policies and logs, such as `sessions.create`.
    pub id: &'static str,
    /// Its method.
    pub verb: Verb,
    /// Its path behind the version prefix, with `{parameters}`.
    pub path: &'static str,
    /// The versions that have it.
    pub versions: Versions,
    /// Whose rights Devin asks for.
    pub scope: Scope,
    /// Where the organization stands.
    pub org_at: OrgAt,
    /// Whether it changes anything at Devin.
    pub mutates: bool,
    /// Whether and when it spends ACUs.
    pub spends: Option<Spend>,
    /// Whether and how its answer continues.
    pub pages: Option<Paging>,
    /// The body it takes, if any.
    pub takes: Option<Takes>,
    /// The body fields that are known, in sets; [`Self::body_fields`] reads them.
    pub body: &'static [&'static [Field]],
    /// The query keys that are known, in sets, without those that `pages` stands for;
    /// [`Self::query_fields`] reads them all.
    pub query: &'static [&'static [Field]],
    /// Its dangerous fields.
    pub guards: &'static [Guard],
    /// Whether its answer holds a secret that is shown once.
    pub reveals_once: bool,
    /// Whether its answer is a list of organizations, of which a caller sees its own.
    pub filtered: bool,
    /// Whether its answer is a list of sessions.
    pub lists_sessions: bool,
    /// Whether it can shut Tollgate itself out of Devin: by its address, its service user or its key.
    pub locks_out: bool,
}

const fn row(
    id: &'static str,
    verb: Verb,
    path: &'static str,
    versions: Versions,
    scope: Scope,
    org_at: OrgAt,
) -> Operation {
    Operation {
        id,
        verb,
        path,
        versions,
        scope,
        org_at,
        mutates: false,
        spends: None,
        pages: None,
        takes: None,
        body: &[],
        query: &[],
        guards: &[],
        reveals_once: false,
        filtered: false,
        lists_sessions: false,
        locks_out: false,
    }
}

const fn guard_body(path: &'static str) -> Guard {
    Guard::Body(path)
}

const fn guard_body_or(path: &'static str, absent: Absent) -> Guard {
    Guard::BodyOrElse(path, absent)
}

const fn guard_query(key: &'static str) -> Guard {
    Guard::Query(key)
}

impl Operation {
    const fn mutates(mut self) -> Self {
        self.mutates = true;
        self
    }
    const fn spends(mut self, spend: Spend) -> Self {
        self.spends = Some(spend);
        self
    }
    const fn pages(mut self, paging: Paging) -> Self {
        self.pages = Some(paging);
        self
    }
    const fn takes(mut self, takes: Takes) -> Self {
        self.takes = Some(takes);
        self
    }
    const fn body(mut self, sets: &'static [&'static [Field]]) -> Self {
        self.body = sets;
        self
    }
    const fn query(mut self, sets: &'static [&'static [Field]]) -> Self {
        self.query = sets;
        self
    }
    const fn guards(mut self, guards: &'static [Guard]) -> Self {
        self.guards = guards;
        self
    }
    const fn reveals_once(mut self) -> Self {
        self.reveals_once = true;
        self
    }
    const fn filtered(mut self) -> Self {
        self.filtered = true;
        self
    }
    const fn lists_sessions(mut self) -> Self {
        self.lists_sessions = true;
        self
    }
    const fn locks_out(mut self) -> Self {
        self.locks_out = true;
        self
    }

    /// The body fields that are known.
    pub fn body_fields(&self) -> impl Iterator<Item = &'static Field> + use<> {
        self.body.iter().copied().flatten()
    }

    /// The query keys that are known, those of paging among them.
    pub fn query_fields(&self) -> impl Iterator<Item = &'static Field> + use<> {
        let sets = self.query.iter().copied();
        sets.flatten().chain(fields::page(self.pages))
    }

    /// The body field with exactly this path, if it is known.
    pub fn body_field(&self, path: &str) -> Option<&'static Field> {
        self.body_fields().find(|field| field.path == path)
    }

    /// The query key, named without `[]`, if it is known.
    pub fn query_field(&self, key: &str) -> Option<&'static Field> {
        self.query_fields().find(|field| field.key() == key)
    }

    /// Whether its JSON body has guarded fields: then the body has to be read.
    pub fn guards_body(&self) -> bool {
        self.takes == Some(Takes::Json) && self.guards.iter().any(|guard| guard.is_in_body())
    }

    /// Whether Devin can be told at which cost to stop: a session's creation is, and nothing else that spends.
    pub fn takes_cap(&self) -> bool {
        self.body_field("max_acu_limit").is_some()
    }

    /// Whether what it spends never has a cap: it is neither told one, nor about a session that has one.
    pub fn spends_uncapped(&self) -> bool {
        let is_capped = self.takes_cap() || self.names_session();
        self.spends.is_some() && !is_capped
    }

    /// Whether it is a read like any other: asking twice or once, now or a moment ago, is the same to Devin, and the
    /// answer is one that may be given again.
    pub fn only_reads(&self) -> bool {
        self.verb == Verb::Get && !self.mutates && self.spends.is_none() && !self.reveals_once
    }

    /// Whether this operation can be granted at all.
    pub const fn is_served(&self) -> bool {
        self.versions.has(Version::V3) || self.versions.has(Version::V3Beta1)
    }
}

/// The place of an operation in the catalogue; policies keep sets of these.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct OperationIx(usize);

impl OperationIx {
    /// The operation's row.
    pub fn row(self) -> &'static Operation {
        #[expect(
            clippy::indexing_slicing,
            reason = "an index is only ever made from the table's own enumeration"
        )]
        &operations::OPERATIONS[self.0]
    }

    /// Every operation that can be granted, in the order of the table.
    pub fn served() -> impl Iterator<Item = Self> {
        Self::all().filter(|ix| ix.row().is_served())
    }

    fn all() -> impl Iterator<Item = Self> {
        (0..operations::OPERATIONS.len()).map(Self)
    }
}

impl fmt::Debug for OperationIx {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.row().id)
    }
}

/// A set of operations.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OperationSet([u64; WORDS]);

const WORDS: usize = operations::OPERATIONS.len().div_ceil(64);

impl OperationSet {
    /// Adds one.
    pub fn insert(&mut self, OperationIx(ix): OperationIx) {
        if let Some(word) = self.0.get_mut(ix / 64) {
            *word |= 1 << (ix % 64);
        }
    }

    /// Whether it is in the set.
    pub fn contains(&self, OperationIx(ix): OperationIx) -> bool {
        self.0
            .get(ix / 64)
            .is_some_and(|word| word & (1 << (ix % 64)) != 0)
    }

    /// Whether nothing is in the set.
    pub fn is_empty(&self) -> bool {
        self.0.iter().all(|word| *word == 0)
    }

    /// Whether anything is in both sets.
    pub fn meets(&self, other: &Self) -> bool {
        self.0
            .iter()
            .zip(other.0)
            .any(|(mine, theirs)| mine & theirs != 0)
    }

    /// The operations that are in both sets.
    pub fn shared<'s>(&'s self, other: &'s Self) -> impl Iterator<Item = OperationIx> + 's {
        OperationIx::all().filter(|ix| self.contains(*ix) && other.contains(*ix))
    }

    /// Every operation in the set, in the order of the catalogue.
    pub fn iter(&self) -> impl Iterator<Item = OperationIx> {
        OperationIx::all().filter(|ix| self.contains(*ix))
    }

    /// What is in both sets.
    pub fn and(mut self, other: &Self) -> Self {
        for (mine, theirs) in self.0.iter_mut().zip(other.0) {
            *mine &= theirs;
        }
        self
    }

    /// What is in this set and not in the other.
    pub fn without(mut self, other: &Self) -> Self {
        for (mine, theirs) in self.0.iter_mut().zip(other.0) {
            *mine &= !theirs;
        }
        self
    }

    /// Adds all of the other set.
    pub fn extend(&mut self, other: &Self) {
        for (mine, theirs) in self.0.iter_mut().zip(other.0) {
            *mine |= theirs;
        }
    }
}

/// Whether some operation guards a field or key of this name. Where it is none that is known, it is refused all the
/// same: an operation may take what no page says.
pub fn is_guarded_anywhere(name: &str) -> bool {
    let mut guards = operations::OPERATIONS.iter().flat_map(|row| row.guards);
    guards.any(|guard| guard.path() == name)
}

/// The operations that a policy's pattern names: an id, `group.*` for one further segment, `group.**` for
/// the group and all below, or `**` for everything. `None` if it matches nothing.
pub fn expand(pattern: &str) -> Option<OperationSet> {
    let mut set = OperationSet::default();
    for ix in OperationIx::served() {
        if covers(pattern, ix.row().id) {
            set.insert(ix);
        }
    }
    (!set.is_empty()).then_some(set)
}

/// Whether Devin's API has an operation of this id that is never served.
pub fn is_never_served(id: &str) -> bool {
    OperationIx::all().any(|ix| ix.row().id == id && !ix.row().is_served())
}

fn covers(pattern: &str, id: &str) -> bool {
    if pattern == "**" {
        return true;
    }
    if let Some(group) = pattern.strip_suffix(".**") {
        // Some ids are groups as well: whoever denies all of a group means them too.
        return id == group || below(group, id).is_some();
    }
    if let Some(group) = pattern.strip_suffix(".*") {
        return below(group, id).is_some_and(|rest| !rest.contains('.'));
    }
    pattern == id
}

fn below<'a>(group: &str, id: &'a str) -> Option<&'a str> {
    id.strip_prefix(group)?
        .strip_prefix('.')
        .filter(|rest| !rest.is_empty())
}

/// A digest of every row, for the policy hash: the same policy over another catalogue is another policy.
pub fn fingerprint() -> Vec<u8> {
    format!("{:?}", operations::OPERATIONS).into_bytes()
}

#[cfg(test)]
mod tests;

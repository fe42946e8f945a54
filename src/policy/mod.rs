//! Who may do what. Pure, once loaded.
//!
//! Stage 7 of the request path (authorize) asks [`Policy::decide`]; stage 6
//! (authenticate) maps an identity to its one caller here. A [`Policy`] is made
//! by [`compile`] from a whole folder or not at all: its fields are private and
//! hold no dangling name, so a request cannot meet a policy that is half right.
//!
//! `deny` beats `allow`, and what nothing allows is denied. [`Policy::decide`]
//! judges a request's head; a grant can carry [`bounds`] on fields of the query
//! and the body, which `judge` applies. A field of the language that belongs
//! to a later version is a load error, since a rule that is not enforced must
//! not look as if it were.
//!
//! Deliberately absent: conditions that can fail while a request waits.

mod advise;
pub mod bounds;
mod compile;
mod decide;
mod explain;
mod files;
mod judge;
mod limit;
#[cfg(test)]
mod properties;
mod reach;
mod reader;
mod subjects;

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use jiff::Timestamp;

use crate::budget::Budget;
use crate::catalogue::{self, OperationIx, OperationSet, Scope};
use crate::document::Span;

use bounds::Terms;

pub use compile::compile;
pub use decide::{Decision, Denied, Grant};
pub use explain::{Because, Considered};
pub use files::{Fingerprint, PolicyFiles, TestFiles};
pub use judge::{Body, Head, Shadowed, Stop, Whole};
pub use limit::{Limit, LimitPer, Limited, Rate};
pub use subjects::{ClaimValue, Known, Match};

use subjects::Subjects;

/// A whole policy set.
#[derive(Debug)]
pub struct Policy {
    callers: Vec<Caller>,
    rules: Vec<Rule>,
    limits: Vec<Limit>,
    budgets: Vec<Arc<Budget>>,
    /// Where the name of each budget stands.
    budget_spans: Vec<Span>,
    /// What callers and teams were called, with what they are called.
    former_callers: Vec<(Box<str>, Arc<str>)>,
    former_teams: Vec<(Box<str>, Arc<str>)>,
    keys: HashMap<String, StoredKey>,
    subjects: HashMap<String, Subjects>,
    hash: String,
}

/// A named client of a team.
#[derive(Debug)]
pub struct Caller {
    name: Arc<str>,
    team: Arc<str>,
    owner: Option<Arc<str>>,
    rules: Vec<RuleIx>,
    /// The limits that its requests count in, live and shadowed, in the order of the files.
    limits: Vec<LimitIx>,
    /// The budgets that its spending counts in, live and shadowed, in the order of the files.
    budgets: Vec<Arc<Budget>>,
    /// Where the policy defines it.
    span: Span,
}

impl Caller {
    /// Its name, unique over all files.
    pub fn name(&self) -> &Arc<str> {
        &self.name
    }
    /// Its team.
    pub fn team(&self) -> &Arc<str> {
        &self.team
    }
    /// Whom to ask about its team's policy.
    pub fn owner(&self) -> Option<&str> {
        self.owner.as_deref()
    }
}

/// A caller's place in its policy set; never used with another set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct CallerIx(usize);

impl CallerIx {
    /// The place as a number, for tables beside the policy.
    pub fn get(self) -> usize {
        self.0
    }

    #[cfg(test)]
    pub(crate) fn for_tests(ix: usize) -> Self {
        Self(ix)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct RuleIx(usize);

/// A limit's place in its policy set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct LimitIx(usize);

impl LimitIx {
    /// The place as a number, for tables beside the policy.
    pub fn get(self) -> usize {
        self.0
    }
}

/// What a rule does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// A grant.
    Allow,
    /// It refuses, whatever is granted.
    Deny,
    /// A guard rail's bounds: they allow nothing, and tighten what is allowed.
    Bound,
}

impl Effect {
    /// The word for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Allow => "allow",
            Self::Deny => "deny",
            Self::Bound => "bounds",
        }
    }
}

/// A rule of the set.
#[derive(Debug)]
pub struct Rule {
    /// `team/name`; for guard rails, `file/name`.
    name: Arc<str>,
    /// The team whose file it is in; none for guard rails.
    team: Option<Arc<str>>,
    /// Whom to ask about it.
    owner: Option<Arc<str>>,
    effect: Effect,
    /// The operations as they are written.
    patterns: Box<[Box<str>]>,
    operations: OperationSet,
    organizations: Organizations,
    /// Evaluated and logged, never enforced.
    shadow: bool,
    /// None where it says nothing about fields.
    terms: Option<Box<Terms>>,
    /// Where its name stands.
    span: Span,
}

impl Rule {
    /// `team/name`; for guard rails, `file/name`.
    pub fn name(&self) -> &Arc<str> {
        &self.name
    }
    /// What it does.
    pub fn effect(&self) -> Effect {
        self.effect
    }
    /// Whether it is only evaluated and logged.
    pub fn is_shadowed(&self) -> bool {
        self.shadow
    }
    /// The operations as the rule writes them, each with those that it means and can cover, in the order of the
    /// catalogue.
    pub fn patterns(&self) -> impl Iterator<Item = (&str, Vec<OperationIx>)> {
        let covered = self.covered();
        self.patterns.iter().map(move |pattern| {
            let set = catalogue::expand(pattern).unwrap_or_default();
            (&**pattern, set.and(&covered).iter().collect())
        })
    }

    /// Its operations, without those that it cannot cover: a grant for single organizations leaves out what names
    /// none, and a deny rule for some leaves out what touches none of them.
    fn covered(&self) -> OperationSet {
        let mut left_out = OperationSet::default();
        if self.effect != Effect::Bound && self.organizations != Organizations::Any {
            for ix in self.operations.iter() {
                let row = ix.row();
                let is_out = match self.effect {
                    Effect::Allow => true,
                    Effect::Deny => row.scope == Scope::Oneself,
                    Effect::Bound => false,
                };
                if is_out && !row.names_organization() && !row.filtered {
                    left_out.insert(ix);
                }
            }
        }
        self.operations.clone().without(&left_out)
    }

    fn terms(&self) -> &Terms {
        static NOTHING: Terms = Terms::nothing();
        self.terms.as_deref().unwrap_or(&NOTHING)
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Organizations {
    Any,
    Only(Vec<String>),
}

impl Organizations {
    fn has(&self, id: &str) -> bool {
        match self {
            Self::Any => true,
            Self::Only(ids) => ids.iter().any(|it| it == id),
        }
    }

    fn meet(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Any, _) | (_, Self::Any) => true,
            (Self::Only(mine), Self::Only(theirs)) => mine.iter().any(|id| theirs.contains(id)),
        }
    }
}

/// SHA-256 of a whole API key.
#[derive(Clone, PartialEq, Eq)]
pub struct KeyDigest([u8; 32]);

impl KeyDigest {
    /// Of these 32 bytes.
    pub const fn new(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }
    /// The bytes, for a comparison in constant time.
    pub fn bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Debug for KeyDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KeyDigest")
    }
}

/// What is kept of an API key.
#[derive(Debug)]
pub struct StoredKey {
    /// The caller that it stands for.
    pub caller: CallerIx,
    /// The digest that a presented key must have.
    pub digest: KeyDigest,
    /// The instant from which on it is refused.
    pub expires: Option<Timestamp>,
    /// Where the policy names it; none for a key that was added in memory.
    span: Option<Span>,
}

impl Policy {
    /// A short content hash over every file and the catalogue.
    pub fn hash(&self) -> &str {
        &self.hash
    }

    /// The caller at this place.
    pub fn caller(&self, CallerIx(ix): CallerIx) -> &Caller {
        #[expect(
            clippy::indexing_slicing,
            reason = "a CallerIx is only made by the compiler of the same set"
        )]
        &self.callers[ix]
    }

    /// All callers, in the order of the files.
    pub fn callers(&self) -> impl Iterator<Item = &Caller> {
        self.callers.iter()
    }

    /// All rules, in the order of the files.
    pub fn rules(&self) -> impl ExactSizeIterator<Item = &Rule> {
        self.rules.iter()
    }

    /// Whether a caller's `jwt:` rule names this issuer.
    pub fn uses_issuer(&self, issuer: &str) -> bool {
        self.subjects.contains_key(issuer)
    }

    /// The stored half of an API key with this public id.
    pub fn key(&self, id: &str) -> Option<&StoredKey> {
        self.keys.get(id)
    }

    /// The places of all callers.
    pub fn caller_ixs(&self) -> impl Iterator<Item = CallerIx> + use<> {
        (0..self.callers.len()).map(CallerIx)
    }

    /// The organizations that live grants name, each once. Of a grant for `any`, none.
    pub fn organizations(&self) -> std::collections::BTreeSet<&str> {
        named_by(&self.rules)
    }

    /// The organizations that this caller's live grants name. Of a grant for `any`, none.
    pub fn organizations_of(&self, caller: CallerIx) -> std::collections::BTreeSet<&str> {
        let rules = self.caller(caller).rules.iter().map(|ix| self.rule(*ix));
        named_by(rules)
    }

    /// The organizations that the live grants of a team's file name.
    pub fn organizations_of_team(&self, team: &str) -> std::collections::BTreeSet<&str> {
        named_by(
            self.rules
                .iter()
                .filter(|it| it.team.as_deref() == Some(team)),
        )
    }

    /// The caller of this name.
    pub fn caller_named(&self, name: &str) -> Option<&Caller> {
        self.callers.iter().find(|it| &*it.name == name)
    }

    /// All budgets, in the order of the files.
    pub fn budgets(&self) -> &[Arc<Budget>] {
        &self.budgets
    }

    /// The budgets that this caller's spending counts in, shadowed ones too.
    pub fn budgets_of(&self, caller: CallerIx) -> &[Arc<Budget>] {
        &self.caller(caller).budgets
    }

    /// The names that callers had before (`renamed_from:`), each with its caller's present one. The ledger's entries
    /// may still carry them; none is a present caller's, and none stands here twice.
    pub fn caller_aliases(&self) -> impl Iterator<Item = (&str, &Arc<str>)> {
        self.former_callers.iter().map(|(old, new)| (&**old, new))
    }

    /// The same for teams.
    pub fn team_aliases(&self) -> impl Iterator<Item = (&str, &Arc<str>)> {
        self.former_teams.iter().map(|(old, new)| (&**old, new))
    }

    /// All limits, in the order of the files.
    pub fn limits(&self) -> impl ExactSizeIterator<Item = (LimitIx, &Limit)> {
        let limits = self.limits.iter().enumerate();
        limits.map(|(ix, limit)| (LimitIx(ix), limit))
    }

    /// The limits that this caller's requests count in, shadowed ones too.
    pub fn limits_of(&self, caller: CallerIx) -> impl Iterator<Item = (LimitIx, &Limit)> {
        let all = self.caller(caller).limits.iter();
        all.filter_map(|ix| Some((*ix, self.limits.get(ix.0)?)))
    }

    /// The caller whose `jwt:` rule these claims of this issuer satisfy.
    pub fn match_claims(
        &self,
        issuer: &str,
        claims: &serde_json::Map<String, serde_json::Value>,
    ) -> Match {
        let known = |name: &str| claims.get(name).map_or(Known::Absent, Known::Value);
        // With every claim known, there is always an answer.
        self.match_known(issuer, known).unwrap_or(Match::None)
    }

    /// The same for a token of which not every claim is known.
    ///
    /// # Errors
    /// The name of a claim on which it depends.
    pub fn match_known<'v>(
        &self,
        issuer: &str,
        claim: impl Fn(&str) -> Known<'v>,
    ) -> Result<Match, &str> {
        match self.subjects.get(issuer) {
            Some(subjects) => subjects.find(claim),
            None => Ok(Match::None),
        }
    }

    /// The names of the claims that rules of this issuer look at, each once: what the access log may show of a token.
    pub fn claim_names(&self, issuer: &str) -> impl Iterator<Item = &str> {
        self.subjects
            .get(issuer)
            .into_iter()
            .flat_map(Subjects::names)
    }

    /// Adds a key to a caller, in memory: for the demo, whose keys live as long as its process.
    ///
    /// `false` if there is no such caller, or the key id is taken.
    pub fn add_key(&mut self, caller: &str, id: &str, digest: KeyDigest) -> bool {
        let Some(ix) = self.callers.iter().position(|it| &*it.name == caller) else {
            return false;
        };
        if self.keys.contains_key(id) {
            return false;
        }
        let key = StoredKey {
            caller: CallerIx(ix),
            digest,
            expires: None,
            span: None,
        };
        self.keys.insert(id.to_owned(), key);
        true
    }
}

/// The organizations that grants among these rules name.
fn named_by<'r>(rules: impl IntoIterator<Item = &'r Rule>) -> std::collections::BTreeSet<&'r str> {
    let grants = rules.into_iter().filter(|it| it.effect == Effect::Allow);
    let named = grants.filter_map(|it| match &it.organizations {
        Organizations::Any => None,
        Organizations::Only(ids) => Some(ids),
    });
    named.flatten().map(String::as_str).collect()
}

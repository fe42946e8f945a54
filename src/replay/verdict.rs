//! What one policy set says of a logged request: yes, no, or that the log lacks something.

use std::collections::HashMap;
use std::sync::Arc;

use jiff::Timestamp;
use serde_json::Value;

use super::line::{Decision, Identity, Line, LineError, is_whole};
use crate::catalogue::{self, OperationIx, Takes};
use crate::policy::bounds::{Applied, Facts, Upload, judge_facts, judge_query_facts};
use crate::policy::{self, CallerIx, Grant, Known, Match, Policy, Stop};
use crate::problem::Code;

/// What the log lacks.
pub(super) type Missing = String;

/// What a set says.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Verdict {
    /// Yes, by this grant.
    Allow(Arc<str>),
    /// No, with this code, and by this rule if one decided.
    Deny(Code, Option<Arc<str>>),
}

impl Verdict {
    pub(super) fn is_allow(&self) -> bool {
        matches!(self, Self::Allow(_))
    }
}

/// Whose request it is in a set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Who {
    Caller(CallerIx),
    Nobody(Code),
}

/// One of the two sets.
#[derive(Debug)]
pub(super) struct Set<'p> {
    pub(super) policy: &'p Policy,
    names: HashMap<&'p str, CallerIx>,
}

/// A request as the log has it.
#[derive(Debug)]
pub(super) struct Request<'a, 'l> {
    pub(super) line: &'a Line<'l>,
    pub(super) operation: OperationIx,
    pub(super) facts: Facts,
}

/// What a set says of a request's head.
#[derive(Debug)]
pub(super) enum Head {
    /// All that there is to say.
    Settled(Verdict),
    /// It is let through so far, and the fields come next.
    Asks(Grant),
}

/// What a set says of a request, and the grant whose terms are about its fields, if there is one.
#[derive(Debug)]
pub(super) struct Said<'h> {
    pub(super) verdict: Result<Verdict, Missing>,
    pub(super) grant: Option<&'h Grant>,
}

impl<'p> Set<'p> {
    pub(super) fn new(policy: &'p Policy) -> Self {
        let named = |ix| (&**policy.caller(ix).name(), ix);
        let names = policy.caller_ixs().map(named).collect();
        Self { policy, names }
    }

    /// Whose request it is here. `elsewhere` is the other set.
    pub(super) fn who(
        &self,
        identity: &Identity<'_>,
        line: &Line<'_>,
        elsewhere: &Self,
    ) -> Result<Result<Who, Missing>, LineError> {
        Ok(match identity {
            Identity::ApiKey { id } => Ok(match self.policy.key(id) {
                Some(stored) => match stored.expires {
                    Some(end) if end <= time(line)? => Who::Nobody(Code::CredentialExpired),
                    Some(_) | None => Who::Caller(stored.caller),
                },
                None if elsewhere.policy.key(id).is_some() => Who::Nobody(Code::CredentialInvalid),
                // A key that no file names, such as those of the demo: the caller had a name all the same.
                None => match &line.caller {
                    Some(name) => match self.names.get(&*name.0) {
                        Some(caller) => Who::Caller(*caller),
                        None => Who::Nobody(Code::CallerUnknown),
                    },
                    None => Who::Nobody(Code::CredentialInvalid),
                },
            }),
            Identity::Jwt {
                issuer,
                subject,
                claims,
            } => {
                let claim = |name: &str| known(name, subject.as_ref(), claims);
                match self.policy.match_known(issuer, claim) {
                    Ok(Match::One(caller)) => Ok(Who::Caller(caller)),
                    Ok(Match::None) => Ok(Who::Nobody(Code::CallerUnknown)),
                    Ok(Match::Several) => Ok(Who::Nobody(Code::CallerAmbiguous)),
                    Err(name) => Err(format!("claim {}", name.escape_debug())),
                }
            }
        })
    }

    /// Whether nothing else of a line plays a part in whose request it is, in either set.
    pub(super) fn is_told_by(&self, identity: &Identity<'_>, other: &Self) -> bool {
        match identity {
            Identity::Jwt { .. } => true,
            Identity::ApiKey { id } => {
                let stored = [self.policy.key(id), other.policy.key(id)];
                let mut stored = stored.into_iter().flatten().peekable();
                stored.peek().is_some() && stored.all(|key| key.expires.is_none())
            }
        }
    }

    /// Decides the head again.
    pub(super) fn head(
        &self,
        who: Who,
        operation: OperationIx,
        organization: Option<&str>,
    ) -> Head {
        let caller = match who {
            Who::Caller(caller) => caller,
            Who::Nobody(code) => return Head::Settled(Verdict::Deny(code, None)),
        };
        match self.policy.decide(caller, operation, organization) {
            policy::Decision::Allow(grant) if self.policy.applied(&grant).asks_nothing() => {
                Head::Settled(Verdict::Allow(Arc::clone(self.policy.grant_name(&grant))))
            }
            policy::Decision::Allow(grant) => Head::Asks(grant),
            policy::Decision::Deny(denied) => {
                Head::Settled(Verdict::Deny(denied.code(), denied.rule().map(Arc::clone)))
            }
        }
    }

    /// Decides the fields of query and body, where they play a part.
    pub(super) fn said<'h>(
        &self,
        head: &'h Result<Head, Missing>,
        request: &Request<'_, '_>,
    ) -> Said<'h> {
        let (verdict, grant) = match head {
            Ok(Head::Asks(grant)) => (self.fields(grant, request), Some(grant)),
            // No rule asks for anything, and a key that is guarded elsewhere is refused all the same.
            Ok(Head::Settled(Verdict::Allow(rule))) if names_a_guard(request) => {
                let denied = Verdict::Deny(Code::FieldDenied, Some(Arc::clone(rule)));
                (Ok(denied), None)
            }
            Ok(Head::Settled(verdict)) => (Ok(verdict.clone()), None),
            Err(missing) => (Err(missing.clone()), None),
        };
        Said { verdict, grant }
    }

    fn fields(&self, grant: &Grant, request: &Request<'_, '_>) -> Result<Verdict, Missing> {
        let applied = self.policy.applied(grant);
        let name = self.policy.grant_name(grant);
        let refused = |refused| {
            let stop = Stop::Fields(refused);
            Verdict::Deny(stop.code(), stop.rule().map(Arc::clone))
        };
        let query = judge_query_facts(&applied, &request.facts).map(|it| it.map(refused));
        let body = || match body_refusal(request, &applied) {
            Some(code) => Ok(Some(Verdict::Deny(code, Some(Arc::clone(name))))),
            None if applied.reads_body() => {
                let said = judge_facts(&applied, &request.facts);
                let said = said.map(|it| it.map(refused));
                // Even where no rule is about any field, it has to be JSON.
                if matches!(said, Ok(None)) && !request.facts.body_read {
                    return Err("the body".to_owned());
                }
                said
            }
            None => match applied.upload() {
                Some(bounds) => upload(request.line, bounds)
                    .map(|code| code.map(|code| Verdict::Deny(code, None))),
                None => Ok(None),
            },
        };
        // A refusal by either is one, whatever is not known of the other.
        match query {
            Ok(Some(denied)) => Ok(denied),
            Ok(None) => {
                let allow = || Verdict::Allow(Arc::clone(name));
                body().map(|it| it.unwrap_or_else(allow))
            }
            Err(missing) => match body() {
                Ok(Some(denied)) => Ok(denied),
                Ok(None) | Err(_) => Err(missing),
            },
        }
    }
}

/// Whether the query had a key that some operation guards, and that this one is not known to take.
fn names_a_guard(request: &Request<'_, '_>) -> bool {
    let mut unknown = request.facts.unknown.iter();
    unknown.any(|name| {
        name.strip_prefix("query.")
            .is_some_and(catalogue::is_guarded_anywhere)
    })
}

/// When the request came: keys end at some time.
fn time(line: &Line<'_>) -> Result<Timestamp, LineError> {
    let time = line.time.as_ref().and_then(|it| it.0.parse().ok());
    time.ok_or(LineError::NotOfItsForm(0))
}

/// What a line says of a token's claim.
fn known<'v>(name: &str, subject: Option<&'v Value>, claims: &'v [(String, Value)]) -> Known<'v> {
    let logged = claims.iter().find(|(it, _)| it == name);
    let value = match (logged, subject) {
        (Some((_, value)), _) => value,
        (None, Some(subject)) if name == "sub" => subject,
        // Nobody looked for it, so nobody knows whether it was there.
        (None, _) => return Known::Nothing,
    };
    match value {
        Value::Null => Known::Absent,
        // A list or an object is logged as its text.
        Value::String(text) if !is_whole(text) || text.starts_with(['[', '{']) => Known::Nothing,
        Value::String(_)
        | Value::Bool(_)
        | Value::Number(_)
        | Value::Array(_)
        | Value::Object(_) => Known::Value(value),
    }
}

/// The refusal of a body that was not one to judge: whoever has to read it refuses it again.
fn body_refusal(request: &Request<'_, '_>, applied: &Applied<'_>) -> Option<Code> {
    let line = request.line;
    let was_refused = line.decision == Some(Decision::Deny) && !request.facts.body_read;
    if !was_refused || !applied.reads_body() {
        return None;
    }
    let codes = [
        Code::BodyInvalid,
        Code::BodyUnsupported,
        Code::BodyTooLarge,
        Code::RequestTimeout,
    ];
    let code = line.code.as_ref()?;
    codes.into_iter().find(|it| it.name() == code.0)
}

/// Whether an upload is too much: of one that Devin took whole, the size is known, and the number of parts never.
fn upload(line: &Line<'_>, bounds: Upload) -> Result<Option<Code>, Missing> {
    if bounds.max_bytes.is_some_and(|max| line.bytes_in > max) {
        return Ok(Some(Code::BodyTooLarge));
    }
    let is_complete = line.outcome.as_ref().is_some_and(|it| it.0 == "complete");
    let is_taken = line.upstream_status.is_some_and(|it| it / 100 == 2);
    if bounds.max_bytes.is_some() && !(is_complete && is_taken) {
        return Err("the size of the upload".to_owned());
    }
    match bounds.max_parts {
        Some(_) => Err("the parts of the upload".to_owned()),
        None => Ok(None),
    }
}

/// What was decided when the line was written.
#[derive(Clone, Copy, Debug)]
pub(super) struct Logged<'a> {
    pub(super) allowed: bool,
    pub(super) rule: Option<&'a str>,
    pub(super) code: Option<Code>,
}

/// What the log says that the policy said, where that was the policy's word alone.
pub(super) fn logged<'a>(line: &'a Line<'_>, operation: OperationIx) -> Option<Logged<'a>> {
    let name = line.code.as_ref().map(|it| &*it.0);
    let code = Code::ALL.into_iter().find(|it| Some(it.name()) == name);
    // An upload is found to be too much on its way, after it was allowed, or before anything was said.
    let is_of_body = matches!(code, Some(Code::BodyTooLarge | Code::BodyUnsupported));
    if operation.row().takes == Some(Takes::Multipart) && is_of_body {
        return None;
    }
    // Whose a session is, the policy does not say.
    if code == Some(Code::SessionDenied) {
        return None;
    }
    Some(Logged {
        allowed: line.decision? == Decision::Allow,
        rule: line.rule.as_ref().map(|it| &*it.0),
        code,
    })
}

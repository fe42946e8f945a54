//! Head, query and body, in the order in which they are judged: for the request path, and for the tools that
//! tell what it would do.
//!
//! The stages of the path call [`Policy::judge_head`] and
//! [`Policy::judge_body`] with a wait between them; `tollgate test` and
//! `tollgate explain` call [`Policy::judge_whole`], which is nothing but both.

use std::sync::Arc;

use super::bounds::{Applied, Facts, Judged, Place, Refused, Why, judge_body, judge_query};
use super::{CallerIx, Decision, Denied, Grant, Policy};
use crate::catalogue::OperationIx;
use crate::json::Document;
use crate::problem::Code;

/// Why a request stops.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stop {
    /// For what it asks.
    Denied(Denied),
    /// For a field of its query or body.
    Fields(Refused),
}

impl Stop {
    /// The rule that decided, if one did.
    pub fn rule(&self) -> Option<&Arc<str>> {
        match self {
            Self::Denied(denied) => denied.rule(),
            Self::Fields(refused) => Some(&refused.rule),
        }
    }

    /// The code of the refusal.
    pub fn code(&self) -> Code {
        match self {
            Self::Denied(denied) => denied.code(),
            Self::Fields(refused) => match (refused.why, refused.place) {
                (Why::Denied, _) => Code::FieldDenied,
                (Why::Malformed, Place::Query) => Code::TargetInvalid,
                (Why::Malformed, Place::Body) => Code::BodyInvalid,
            },
        }
    }
}

/// What is said of a request's head and query.
#[derive(Clone, Debug)]
pub struct Head {
    /// The grant that lets it through so far, or why it stops.
    pub outcome: Result<Grant, Stop>,
    /// The query that goes on in place of the one that came.
    pub query: Option<String>,
    /// What the log says of the query's fields.
    pub facts: Facts,
    /// The same outcome if the shadowed rules were live; none where there are none for it.
    pub shadow: Option<Result<Grant, Stop>>,
}

/// What would have been decided if the shadowed rules were live: only where that is another decision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shadowed {
    /// Whether it would have said yes.
    pub allow: bool,
    /// The rule that would have decided.
    pub rule: Option<Arc<str>>,
    /// The code that the refusal would have had.
    pub code: Option<Code>,
}

/// A body, for [`Policy::judge_whole`].
#[derive(Clone, Copy, Debug)]
pub enum Body<'b> {
    /// None was sent.
    None,
    /// These bytes, as `application/json`.
    Json(&'b [u8]),
}

impl<'b> Body<'b> {
    /// What is judged. Who sends no body sends no field, and what has to be there is still put in.
    pub(super) fn bytes(self) -> &'b [u8] {
        match self {
            Self::None => b"{}",
            Self::Json(bytes) => bytes,
        }
    }
}

/// Everything that is said of one request.
#[derive(Clone, Debug)]
pub struct Whole {
    /// The grant that lets it through, or why it stops.
    pub outcome: Result<Grant, Stop>,
    /// The query that goes on in place of the one that came.
    pub query: Option<String>,
    /// The body that goes on in place of the one that came.
    pub body: Option<String>,
    /// What the log says of the fields.
    pub facts: Facts,
    /// What shadowed rules would have changed.
    pub shadow: Option<Shadowed>,
}

impl Policy {
    /// Judges what stands in front of the body.
    pub fn judge_head(
        &self,
        caller: CallerIx,
        operation: OperationIx,
        organization: Option<&str>,
        query: Option<&str>,
    ) -> Head {
        let (outcome, judged) =
            self.with_query(self.decide(caller, operation, organization), query);
        let shadow = self.decide_shadowed(caller, operation, organization);
        Head {
            outcome,
            query: judged.forwarded,
            facts: judged.facts,
            shadow: shadow.map(|it| self.with_query(it, query).0),
        }
    }

    fn with_query(&self, decision: Decision, query: Option<&str>) -> (Result<Grant, Stop>, Judged) {
        match decision {
            Decision::Deny(denied) => (Err(Stop::Denied(denied)), Judged::default()),
            Decision::Allow(grant) => {
                let mut judged = judge_query(&self.applied(&grant), query);
                let outcome = match judged.refused.take() {
                    Some(refused) => Err(Stop::Fields(refused)),
                    None => Ok(grant),
                };
                (outcome, judged)
            }
        }
    }

    /// Judges a body that has to be read.
    pub fn judge_body(&self, grant: &Grant, document: &Document<'_>) -> Judged {
        judge_body(&self.applied(grant), document)
    }

    /// Judges all of a request. A body that is no JSON document is refused where it has to be read.
    pub fn judge_whole(
        &self,
        caller: CallerIx,
        operation: OperationIx,
        organization: Option<&str>,
        query: Option<&str>,
        body: Body<'_>,
    ) -> Whole {
        let head = self.judge_head(caller, operation, organization, query);
        let mut whole = Whole {
            outcome: head.outcome,
            query: head.query,
            body: None,
            facts: head.facts,
            shadow: None,
        };
        let bytes = body.bytes();
        if let Ok(grant) = &whole.outcome
            && self.applied(grant).reads_body()
        {
            let judged = self.judge_bytes(grant, bytes);
            whole.facts.extend(judged.facts);
            whole.body = judged.forwarded;
            if let Some(refused) = judged.refused {
                whole.outcome = Err(Stop::Fields(refused));
            }
        }
        whole.shadow = head.shadow.and_then(|shadow| {
            let shadow = shadow.and_then(|grant| {
                if !self.applied(&grant).reads_body() {
                    return Ok(grant);
                }
                match self.judge_bytes(&grant, bytes).refused {
                    Some(refused) => Err(Stop::Fields(refused)),
                    None => Ok(grant),
                }
            });
            self.shadowed(&whole.outcome, &shadow)
        });
        whole
    }

    /// A body that has to be read, from its bytes.
    pub fn judge_bytes(&self, grant: &Grant, bytes: &[u8]) -> Judged {
        judge_bytes(&self.applied(grant), bytes)
    }

    /// What is logged of the outcome with shadowed rules, where it is another one.
    pub fn shadowed(
        &self,
        live: &Result<Grant, Stop>,
        shadow: &Result<Grant, Stop>,
    ) -> Option<Shadowed> {
        let view = |outcome: &Result<Grant, Stop>| match outcome {
            Ok(grant) => Shadowed {
                allow: true,
                rule: Some(Arc::clone(self.grant_name(grant))),
                code: None,
            },
            Err(stop) => Shadowed {
                allow: false,
                rule: stop.rule().map(Arc::clone),
                code: Some(stop.code()),
            },
        };
        let shadow = view(shadow);
        (shadow != view(live)).then_some(shadow)
    }
}

/// The same by terms that are at hand.
pub(super) fn judge_bytes(applied: &Applied<'_>, bytes: &[u8]) -> Judged {
    match Document::parse(bytes) {
        Ok(document) => judge_body(applied, &document),
        Err(invalid) => Judged {
            refused: Some(applied.malformed(&invalid)),
            ..Judged::default()
        },
    }
}

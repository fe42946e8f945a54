//! Which request is meant, and what the gateway would say of it.

use std::sync::Arc;

use http::Method;
use serde_json::Value;

use crate::catalogue::{Catalogue, OperationIx};
use crate::document::nearest;
use crate::json::Document;
use crate::pipeline::target::find;
use crate::policy::bounds::Facts;
use crate::policy::{Body, CallerIx, Policy, Shadowed, Stop, Whole};
use crate::problem::Told;
use crate::rejection::Rejection;
use crate::target::Target;

/// A request line of somebody's: `POST /v3/organizations/org-a/sessions?x=1`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    method: Method,
    path: String,
    query: Option<String>,
}

/// One operation, as a request would be it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    /// The operation.
    pub operation: OperationIx,
    /// The organization that its path names.
    pub organization: Option<String>,
    /// The query, without its `?`.
    pub query: Option<String>,
}

/// The body that is meant to be sent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Sent {
    /// None.
    #[default]
    Nothing,
    /// These bytes, as `application/json`.
    Json(Vec<u8>),
}

/// A request of a caller.
#[derive(Debug)]
pub struct Request {
    /// The caller.
    pub caller: CallerIx,
    /// What is asked, or why it is no operation.
    pub asked: Result<Asked, Box<Rejection>>,
    /// The body.
    pub sent: Sent,
}

/// What the gateway would say.
#[derive(Debug)]
pub struct Verdict {
    /// What the policy says; none where no operation was found.
    pub whole: Option<Whole>,
    /// The rule that decided, if one did.
    pub rule: Option<Arc<str>>,
    /// What the caller would be told; none where the request goes on.
    pub refusal: Option<Told>,
}

impl Line {
    /// Reads a method and a target.
    ///
    /// # Errors
    /// What is wrong with the form. Whether there is such an operation is not asked here.
    pub fn read(text: &str) -> Result<Self, String> {
        let form = "write the method and the path, such as GET /v3/self";
        let (method, target) = text.trim().split_once(' ').ok_or(form)?;
        if target.contains("://") {
            return Err("write only the path and the query, without scheme and host".to_owned());
        }
        if !method.bytes().all(|it| it.is_ascii_uppercase()) {
            return Err("a method is written in upper case".to_owned());
        }
        let method = Method::from_bytes(method.as_bytes()).map_err(|_| form)?;
        let (path, query) = match target.trim().split_once('?') {
            Some((path, query)) => (path, Some(query.to_owned())),
            None => (target.trim(), None),
        };
        Ok(Self {
            method,
            path: path.to_owned(),
            query,
        })
    }

    /// Which operation it is.
    ///
    /// # Errors
    /// The refusal, where it is none.
    pub fn ask(&self, catalogue: &Catalogue) -> Result<Asked, Box<Rejection>> {
        let target = Target::parse(&self.path, self.query.as_deref())
            .map_err(|error| Box::new(Rejection::Target(error)))?;
        let found = find(catalogue, &self.method, &target)?;
        Ok(Asked {
            operation: found.operation,
            organization: found.organization().map(str::to_owned),
            query: self.query.clone(),
        })
    }
}

impl Asked {
    /// The operation of this id.
    ///
    /// # Errors
    /// That there is none, with the nearest.
    pub fn operation(id: &str) -> Result<OperationIx, String> {
        let found = OperationIx::served().find(|ix| ix.row().id == id);
        found.ok_or_else(|| {
            let known = OperationIx::served().map(|ix| ix.row().id);
            match nearest(id, known) {
                Some(like) => format!("no operation is named `{id}`; did you mean `{like}`?"),
                None => format!("no operation is named `{id}`; `tollgate operations` lists them"),
            }
        })
    }

    /// An operation by itself, for an organization if it names one.
    ///
    /// # Errors
    /// First what is wrong with the call, then the refusal of the query.
    pub fn named(
        operation: OperationIx,
        organization: Option<&str>,
        query: Option<&str>,
    ) -> Result<Result<Self, Box<Rejection>>, String> {
        let row = operation.row();
        match (organization, row.names_organization()) {
            (None, true) => {
                return Err(format!("`{}` names an organization: say which", row.id));
            }
            (Some(_), false) => return Err(format!("`{}` names no organization", row.id)),
            (Some(id), true) if !is_id(id) => {
                return Err(format!("`{}` is no organization id", id.escape_debug()));
            }
            (Some(_), true) | (None, false) => {}
        }
        // The path is nobody's: only the query is looked at.
        Ok(match Target::parse("/", query) {
            Ok(_) => Ok(Self {
                operation,
                organization: organization.map(str::to_owned),
                query: query.map(str::to_owned),
            }),
            Err(error) => Err(Box::new(Rejection::Target(error))),
        })
    }
}

fn is_id(text: &str) -> bool {
    let fits = |it: u8| it.is_ascii_alphanumeric() || b"-_".contains(&it);
    (1..=128).contains(&text.len()) && text.bytes().all(fits)
}

impl Sent {
    fn body(&self) -> Body<'_> {
        match self {
            Self::Nothing => Body::None,
            Self::Json(bytes) => Body::Json(bytes),
        }
    }

    /// As text.
    pub fn text(&self) -> Option<String> {
        match self {
            Self::Nothing => None,
            Self::Json(bytes) => Some(String::from_utf8_lossy(bytes).into_owned()),
        }
    }
}

impl Request {
    /// What the gateway would say of it.
    pub fn judge(&self, policy: &Policy) -> Verdict {
        let asked = match &self.asked {
            Ok(asked) => asked,
            Err(rejection) => {
                return Verdict {
                    whole: None,
                    rule: None,
                    refusal: Some(rejection.told()),
                };
            }
        };
        let whole = policy.judge_whole(
            self.caller,
            asked.operation,
            asked.organization.as_deref(),
            asked.query.as_deref(),
            self.sent.body(),
        );
        let (rule, refusal) = match &whole.outcome {
            Ok(grant) => (Some(Arc::clone(policy.grant_name(grant))), None),
            Err(stop) => {
                let rejection = Rejection::stopped(
                    policy,
                    self.caller,
                    asked.operation,
                    asked.organization.clone(),
                    stop.clone(),
                );
                (stop.rule().map(Arc::clone), Some(rejection.told()))
            }
        };
        Verdict {
            whole: Some(whole),
            rule,
            refusal,
        }
    }

    /// The names of the rules that had a part in it.
    pub fn deciders(&self, policy: &Policy, verdict: &Verdict) -> Vec<Arc<str>> {
        let (Ok(asked), Some(whole)) = (&self.asked, &verdict.whole) else {
            return Vec::new();
        };
        policy.deciders(
            self.caller,
            asked.operation,
            asked.organization.as_deref(),
            asked.query.as_deref(),
            self.sent.body(),
            whole,
        )
    }

    /// The query that goes on, if the request does.
    pub fn forwarded_query<'a>(&'a self, verdict: &'a Verdict) -> Option<&'a str> {
        let (Ok(asked), Some(whole)) = (&self.asked, &verdict.whole) else {
            return None;
        };
        whole.outcome.as_ref().ok()?;
        whole.query.as_deref().or(asked.query.as_deref())
    }

    /// The body that goes on, if the request does and has one.
    pub fn forwarded_body(&self, verdict: &Verdict) -> Option<String> {
        let whole = verdict.whole.as_ref()?;
        whole.outcome.as_ref().ok()?;
        whole.body.clone().or_else(|| self.sent.text())
    }
}

impl Verdict {
    /// Whether the request goes on.
    pub fn is_allowed(&self) -> bool {
        self.refusal.is_none()
    }

    /// The field for which it is refused.
    pub fn field(&self) -> Option<&str> {
        match &self.whole.as_ref()?.outcome {
            Err(Stop::Fields(refused)) => refused.field.as_deref(),
            Err(Stop::Denied(_)) | Ok(_) => None,
        }
    }

    /// What shadowed rules would have changed.
    pub fn shadow(&self) -> Option<&Shadowed> {
        self.whole.as_ref()?.shadow.as_ref()
    }

    /// What the log says of the fields.
    pub fn facts(&self) -> Option<&Facts> {
        self.whole.as_ref().map(|whole| &whole.facts)
    }
}

/// A text as the JSON value that it is, read as strictly as the gateway reads.
pub fn json(text: &str) -> Option<Value> {
    let document = Document::parse(text.as_bytes()).ok()?;
    Some(document.root().to_value())
}

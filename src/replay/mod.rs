//! Yesterday's traffic under tomorrow's policy: every logged request decided again under two sets. Pure.
//!
//! `tollgate replay` feeds the lines of an access log to a [`Replay`], one by
//! one; what is kept grows with the policies and not with the log. A decision is
//! made from what the line has, by the same functions that judge requests. What
//! cannot be decided from it is told with the fact that is missing, and never
//! guessed.

mod line;
mod report;
mod verdict;

use std::collections::HashMap;
use std::sync::Arc;

use crate::catalogue::{OperationIx, OrgAt};
use crate::policy::Policy;
use crate::problem::Code;

use line::Line;
use report::{Flip, Place};
use verdict::{Missing, Request, Said, Set, Verdict, Who, logged};

pub use line::{LineError, MAX_LINE};
pub use report::Report;

/// A log being decided again.
#[derive(Debug)]
pub struct Replay<'p> {
    base: Set<'p>,
    candidate: Set<'p>,
    operations: HashMap<&'static str, OperationIx>,
    report: Report,
}

impl<'p> Replay<'p> {
    /// Under `base`, and under `candidate`.
    pub fn new(base: &'p Policy, candidate: &'p Policy) -> Self {
        let operations = OperationIx::served().map(|ix| (ix.row().id, ix));
        Self {
            base: Set::new(base),
            candidate: Set::new(candidate),
            operations: operations.collect(),
            report: Report::new(base.hash(), candidate.hash()),
        }
    }

    /// Decides one line again, given without its end.
    ///
    /// # Errors
    /// Why the line, and so the log, is refused.
    pub fn line(&mut self, bytes: &[u8]) -> Result<(), LineError> {
        let line = Line::read(bytes)?;
        if line.kind.0 != "request" {
            self.report.others += 1;
            return Ok(());
        }
        let Some(identity) = line.identity()? else {
            self.report.before_policy += 1;
            return Ok(());
        };
        let base = self.base.who(&identity, &line, &self.candidate)?;
        let candidate = self.candidate.who(&identity, &line, &self.base)?;
        self.report.requests += 1;
        let is_of_base = line
            .policy
            .as_ref()
            .is_some_and(|it| it.0 == self.base.policy.hash());
        if !is_of_base {
            self.report.of_other_policies += 1;
        }
        let (operation, organization) = match self.target(&line) {
            Ok(target) => target,
            Err(missing) => {
                self.report.undecidable(missing, &line);
                return Ok(());
            }
        };
        let request = Request {
            line: &line,
            operation,
            organization,
            facts: line.facts()?,
        };
        let name = |set: &Set<'p>, who: &Result<Who, Missing>| match who {
            Ok(Who::Caller(caller)) => Some(Arc::clone(set.policy.caller(*caller).name())),
            Ok(Who::Nobody(_)) | Err(_) => None,
        };
        let caller = name(&self.base, &base).or_else(|| name(&self.candidate, &candidate));
        let place = Place { caller, operation };
        let mut base = judge(&self.base, base, &request);
        let candidate = judge(&self.candidate, candidate, &request);
        if is_of_base {
            self.compare(&mut base, &place, &request);
        }
        self.tell(base, candidate, place, &line);
        Ok(())
    }

    /// Notes a last line that has no end yet.
    pub fn unfinished(&mut self) {
        self.report.unfinished += 1;
    }

    /// What was found.
    pub fn finish(self) -> Report {
        self.report
    }

    /// Which operation it was, and for which organization.
    fn target<'a>(&self, line: &'a Line<'_>) -> Result<(OperationIx, Option<&'a str>), Missing> {
        let Some(id) = &line.operation else {
            return Err("the operation".to_owned());
        };
        let Some(operation) = self.operations.get(&*id.0) else {
            let fits =
                |it: u8| it.is_ascii_lowercase() || it.is_ascii_digit() || b"._".contains(&it);
            let is_sane = id.0.len() <= 64 && id.0.bytes().all(fits);
            let shown = if is_sane { &*id.0 } else { "with an odd name" };
            return Err(format!("operation {shown}"));
        };
        let organization = match &line.organization {
            Some(text) => Some(text.whole().ok_or("the organization in full")?),
            None if operation.row().org_at == OrgAt::AtPath => {
                return Err("the organization".to_owned());
            }
            None => None,
        };
        Ok((*operation, organization))
    }

    /// What the base says against what it said when the line was written.
    fn compare(&mut self, base: &mut Said, place: &Place, request: &Request<'_, '_>) {
        let Some(logged) = logged(request.line, request.operation) else {
            return;
        };
        match &base.verdict {
            Ok(said) => {
                let by = match said {
                    Verdict::Allow(rule) => Some(&**rule),
                    Verdict::Deny(_, rule) => rule.as_deref(),
                };
                let is_caller = |name| place.caller.as_deref() == Some(name);
                let is_same_caller = request
                    .line
                    .caller
                    .as_ref()
                    .is_none_or(|it| is_caller(&*it.0));
                if said.is_allow() != logged.allowed || by != logged.rule || !is_same_caller {
                    self.report.drift(request.line);
                }
            }
            // It cannot be decided again, and need not be: this is what was decided.
            Err(_) => {
                if let Some(grant) = &base.grant {
                    base.verdict = Ok(if logged.allowed {
                        Verdict::Allow(Arc::clone(self.base.policy.grant_name(grant)))
                    } else {
                        Verdict::Deny(logged.code.unwrap_or(Code::FieldDenied), None)
                    });
                }
            }
        }
    }

    /// Puts both answers side by side.
    fn tell(&mut self, base: Said, candidate: Said, place: Place, line: &Line<'_>) {
        let missing = match (base.verdict, candidate.verdict) {
            (Ok(base), Ok(candidate)) => {
                if base.is_allow() == candidate.is_allow() {
                    self.report.unchanged += 1;
                } else {
                    let flip = Flip {
                        place,
                        base,
                        candidate,
                    };
                    self.report.flip(flip, line);
                }
                return;
            }
            (_, Err(missing)) | (Err(missing), Ok(_)) => missing,
        };
        // Where both say the same, the answer is the same, whatever it is.
        let is_same_set = self.base.policy.hash() == self.candidate.policy.hash();
        let is_same_terms = match (&base.grant, &candidate.grant) {
            (Some(base), Some(candidate)) => {
                let candidate = self.candidate.policy.applied(candidate);
                self.base.policy.applied(base).says_the_same(&candidate)
            }
            (Some(_) | None, Some(_) | None) => false,
        };
        if is_same_set || is_same_terms {
            self.report.unchanged += 1;
        } else {
            self.report.undecidable(missing, line);
        }
    }
}

fn judge(set: &Set<'_>, who: Result<Who, Missing>, request: &Request<'_, '_>) -> Said {
    let verdict = match who {
        Ok(Who::Caller(caller)) => return set.judge(caller, request),
        Ok(Who::Nobody(code)) => Ok(Verdict::Deny(code, None)),
        Err(missing) => Err(missing),
    };
    Said {
        verdict,
        grant: None,
    }
}

#[cfg(test)]
mod tests;

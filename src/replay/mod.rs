//! Yesterday's traffic under tomorrow's policy: every logged request decided again under two sets. Pure.
//!
//! `tollgate replay` feeds the lines of an access log to a [`Replay`], one by
//! one; what is kept grows with the policies and not with the log. A decision is
//! made from what the line has, by the same functions that judge requests. What
//! cannot be decided from it is told with the fact that is missing, and never
//! guessed.

mod line;
mod memory;
mod report;
mod verdict;

use std::collections::HashMap;
use std::sync::Arc;

use crate::catalogue::{OperationIx, OrgAt};
use crate::policy::Policy;
use crate::problem::Code;

use line::{Identity, Line};
use memory::{Heads, Memory};
use report::Place;
use verdict::{Head, Missing, Request, Said, Set, Verdict, Who, logged};

pub use line::{LineError, MAX_LINE};
pub use report::Report;

/// A log being decided again.
#[derive(Debug)]
pub struct Replay<'p> {
    base: Set<'p>,
    candidate: Set<'p>,
    operations: HashMap<&'static str, OperationIx>,
    memory: Memory,
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
            memory: Memory::default(),
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
        let Some(identity) = line.identity_text() else {
            self.report.before_policy += 1;
            return Ok(());
        };
        let heads = match self.memory.recall(&line) {
            Some(heads) => Ok(heads),
            None => self.heads(&line, identity)?,
        };
        self.report.requests += 1;
        if !self.is_of_base(&line) {
            self.report.of_other_policies += 1;
        }
        match heads {
            Ok(heads) => self.decide(&line, &heads),
            Err(missing) => {
                self.report.undecidable(missing, &line);
                Ok(())
            }
        }
    }

    /// Notes a last line that has no end yet.
    pub fn unfinished(&mut self) {
        self.report.unfinished += 1;
    }

    /// What was found.
    pub fn finish(self) -> Report {
        self.report
    }

    /// What both sets say of the head.
    fn heads(
        &mut self,
        line: &Line<'_>,
        identity: &str,
    ) -> Result<Result<Arc<Heads>, Missing>, LineError> {
        let identity = Identity::read(identity)?;
        let base = self.base.who(&identity, line, &self.candidate)?;
        let candidate = self.candidate.who(&identity, line, &self.base)?;
        let (operation, organization) = match self.target(line) {
            Ok(target) => target,
            Err(missing) => return Ok(Err(missing)),
        };
        let name = |set: &Set<'p>, who: &Result<Who, Missing>| match who {
            Ok(Who::Caller(caller)) => Some(Arc::clone(set.policy.caller(*caller).name())),
            Ok(Who::Nobody(_)) | Err(_) => None,
        };
        let caller = name(&self.base, &base).or_else(|| name(&self.candidate, &candidate));
        let heads = Arc::new(Heads {
            place: Place { caller, operation },
            base: base.map(|who| self.base.head(who, operation, organization)),
            candidate: candidate.map(|who| self.candidate.head(who, operation, organization)),
        });
        if self.base.is_told_by(&identity, &self.candidate) {
            self.memory.keep(&heads);
        }
        Ok(Ok(heads))
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

    fn is_of_base(&self, line: &Line<'_>) -> bool {
        let hash = self.base.policy.hash();
        line.policy.as_ref().is_some_and(|it| it.0 == hash)
    }

    /// Decides under both sets: at once where no field plays a part.
    fn decide(&mut self, line: &Line<'_>, heads: &Heads) -> Result<(), LineError> {
        let place = &heads.place;
        if let (Ok(Head::Settled(base)), Ok(Head::Settled(candidate))) =
            (&heads.base, &heads.candidate)
        {
            if self.is_of_base(line) {
                self.report.compare(base, place, line);
            }
            self.report.add(place, base, candidate, line);
            return Ok(());
        }
        let request = Request {
            line,
            operation: place.operation,
            facts: line.facts()?,
        };
        let mut base = self.base.said(&heads.base, &request);
        let candidate = self.candidate.said(&heads.candidate, &request);
        if self.is_of_base(line) {
            self.compare(&mut base, place, &request);
        }
        self.tell(base, candidate, place, line);
        Ok(())
    }

    /// What the base says against what it said when the line was written.
    fn compare(&mut self, base: &mut Said<'_>, place: &Place, request: &Request<'_, '_>) {
        match &base.verdict {
            Ok(said) => self.report.compare(said, place, request.line),
            // It cannot be decided again, and need not be: this is what was decided.
            Err(_) => {
                if let Some(grant) = base.grant
                    && let Some(logged) = logged(request.line, request.operation)
                {
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
    fn tell(&mut self, base: Said<'_>, candidate: Said<'_>, place: &Place, line: &Line<'_>) {
        let missing = match (base.verdict, candidate.verdict) {
            (Ok(base), Ok(candidate)) => {
                self.report.add(place, &base, &candidate, line);
                return;
            }
            (_, Err(missing)) | (Err(missing), Ok(_)) => missing,
        };
        // Where both say the same, the answer is the same, whatever it is.
        let is_same_set = self.base.policy.hash() == self.candidate.policy.hash();
        let is_same_terms = match (base.grant, candidate.grant) {
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

#[cfg(test)]
mod tests;

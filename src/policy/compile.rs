//! From files to a [`Policy`]: names are resolved over all files, every mistake is reported.

mod budgets;
mod limits;
mod overlap;
mod renamed;
mod subjects;
mod terms;

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use aws_lc_rs::digest::{Context, SHA256};
use data_encoding::HEXLOWER;

use super::reader::{self, CallerEntry, File, JwtEntry, RuleEntry, Spanned};
use super::{
    Caller, CallerIx, Effect, Organizations, Policy, PolicyFiles, Rule, RuleIx, StoredKey,
};
use crate::catalogue::{self, OperationIx, OperationSet};
use crate::document::{Report, Span, parse};
use subjects::Seen;

/// Checks a whole set. `issuers` are the names of the configured token issuers.
///
/// `None` if `report` holds any mistake: a set is taken whole or not at all.
pub fn compile(files: &PolicyFiles, issuers: &[&str], report: &mut Report) -> Option<Policy> {
    let before = report.len();
    let mut read: Vec<File> = Vec::new();
    for file in &files.files {
        let stem = Path::new(&file.name)
            .file_stem()
            .map_or_else(String::new, |it| it.to_string_lossy().into_owned());
        if let Some(root) = parse(file.source, &file.text, files.budget, report)
            && let Some(file) = reader::read(&root, stem, report)
        {
            read.push(file);
        }
    }
    let mut compiler = Compiler {
        report,
        issuers,
        policy: Policy {
            callers: Vec::new(),
            rules: Vec::new(),
            limits: Vec::new(),
            budgets: Vec::new(),
            budget_spans: Vec::new(),
            former_callers: Vec::new(),
            former_teams: Vec::new(),
            keys: HashMap::new(),
            subjects: HashMap::new(),
            hash: content_hash(files),
        },
        callers: HashMap::new(),
        of_team: HashMap::new(),
        keys: HashMap::new(),
        digests: HashMap::new(),
        names: HashMap::new(),
        is_partial: read.len() < files.files.len(),
        subjects: HashMap::new(),
        accounts: HashMap::new(),
        expanded: HashMap::new(),
        suggested: 0,
    };
    compiler.teams(&read);
    for file in &read {
        compiler.callers(file);
    }
    compiler.renamed(&read);
    // File by file, so that what was read does not stand beside all that is made of it.
    for mut file in read {
        let rules = std::mem::take(&mut file.rules);
        compiler.rules(&file, rules);
        compiler.limits(&file);
        compiler.budgets(&file);
    }
    overlap::check(&compiler.policy, compiler.report);
    let policy = compiler.policy;
    (report.len() == before).then_some(policy)
}

/// For how many names that nobody has a like one is looked for: each is compared with all that there are.
const MAX_SUGGESTED: usize = 100;

/// What has a name. A rule may be called what a limit is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Sort {
    Rule,
    Limit,
    Budget,
}

struct Compiler<'a> {
    report: &'a mut Report,
    issuers: &'a [&'a str],
    policy: Policy,
    /// Where each caller, key id and set of claims was first met.
    callers: HashMap<String, (CallerIx, Span)>,
    /// The callers of each team.
    of_team: HashMap<String, Vec<CallerIx>>,
    keys: HashMap<String, Span>,
    digests: HashMap<[u8; 32], Span>,
    /// The full names, and whether they are a team's.
    names: HashMap<(Sort, Arc<str>), (Span, bool)>,
    /// Whether a file could not be read: then what it has is not known.
    is_partial: bool,
    /// By issuer.
    subjects: HashMap<String, Seen>,
    /// Where each budget's id was first met.
    accounts: HashMap<Arc<str>, Span>,
    /// What each pattern that names operations has named.
    expanded: HashMap<String, OperationSet>,
    suggested: usize,
}

impl Compiler<'_> {
    fn teams(&mut self, files: &[File]) {
        let mut seen: HashMap<&str, Span> = HashMap::new();
        let teams = files.iter().filter_map(|file| file.team.as_ref());
        for team in teams.filter(|team| !team.value.is_empty()) {
            if let Some(first) = seen.insert(&team.value, team.span) {
                self.report
                    .error(
                        team.span,
                        format!("the team `{}` has two files", team.value),
                    )
                    .also(first, "first here")
                    .help("put all of a team's policy in one file");
            }
        }
    }

    fn callers(&mut self, file: &File) {
        let Some(team) = &file.team else {
            for caller in &file.callers {
                self.report
                    .error(caller.name.span, format!("the caller `{}` has no team", caller.name.value))
                    .help("a file without `team:` holds guard rails; add `team:`, or move the caller to its team's file");
            }
            return;
        };
        let team: Arc<str> = team.value.as_str().into();
        let owner: Option<Arc<str>> = file.owner.as_deref().map(Into::into);
        for entry in &file.callers {
            if let Some((_, first)) = self.callers.get(&entry.name.value) {
                self.report
                    .error(
                        entry.name.span,
                        format!("the caller `{}` is defined twice", entry.name.value),
                    )
                    .also(*first, "first here")
                    .help("callers are unique over all files: rename one of them");
                continue;
            }
            let ix = CallerIx(self.policy.callers.len());
            self.policy.callers.push(Caller {
                name: entry.name.value.as_str().into(),
                team: Arc::clone(&team),
                owner: owner.clone(),
                rules: Vec::new(),
                limits: Vec::new(),
                budgets: Vec::new(),
                span: entry.name.span,
            });
            let of_team = self.of_team.entry(team.to_string()).or_default();
            of_team.push(ix);
            self.callers
                .insert(entry.name.value.clone(), (ix, entry.name.span));
            self.credentials(entry, ix);
        }
    }

    fn credentials(&mut self, entry: &CallerEntry, caller: CallerIx) {
        for key in &entry.keys {
            if let Some(first) = self.keys.insert(key.id.value.clone(), key.id.span) {
                self.report
                    .error(
                        key.id.span,
                        format!("the key id `{}` is used twice", key.id.value),
                    )
                    .also(first, "first here")
                    .help("key ids are unique over all files");
                continue;
            }
            let digest = *key.digest.bytes();
            if let Some(first) = self.digests.insert(digest, key.id.span) {
                self.report
                    .error(key.id.span, "two keys have the same `sha256:`")
                    .also(first, "first here")
                    .help("the id is a part of the key, so one of them can never match");
            }
            let stored = StoredKey {
                caller,
                digest: key.digest.clone(),
                expires: key.expires,
                span: Some(key.id.span),
            };
            self.policy.keys.insert(key.id.value.clone(), stored);
        }
        if let Some(jwt) = &entry.jwt {
            self.subject(jwt, caller);
        }
    }

    fn subject(&mut self, jwt: &JwtEntry, caller: CallerIx) {
        let issuer = &jwt.issuer.value;
        if !self.issuers.contains(&issuer.as_str()) {
            self.report
                .error(
                    jwt.issuer.span,
                    format!("no issuer is named `{}`", issuer.escape_debug()),
                )
                .help("name it in tollgate.yaml below `identity: issuers:`, or with `check --policies … --issuer NAME`")
                .suggest(issuer, self.issuers.iter().copied());
            return;
        }
        let seen = self.subjects.entry(issuer.clone()).or_default();
        if let Some(first) = seen.add(&jwt.claims, jwt.span) {
            self.report
                .error(jwt.span, "every token of one of two callers would be the other's too")
                .also(first, "first here")
                .help("an identity maps to exactly one caller: make each set of claims say something that the other does not");
            return;
        }
        let subjects = self.policy.subjects.entry(issuer.clone()).or_default();
        subjects.add(caller, jwt.claims.clone());
    }

    /// The callers that a rule or limit is for: the named ones, or all in its scope.
    fn scope(&mut self, file: &File, named: Option<&[Spanned<String>]>) -> Vec<CallerIx> {
        let team = file.team.as_ref().map(|team| team.value.as_str());
        let in_scope = |caller: &Caller| team.is_none_or(|team| &*caller.team == team);
        let Some(named) = named else {
            return match team {
                Some(team) => self.of_team.get(team).cloned().unwrap_or_default(),
                None => self.policy.caller_ixs().collect(),
            };
        };
        let mut found = Vec::new();
        for name in named {
            match self.callers.get(&name.value) {
                Some((ix, _)) if in_scope(self.policy.caller(*ix)) => found.push(*ix),
                Some((ix, first)) => {
                    let theirs = Arc::clone(self.policy.caller(*ix).team());
                    self.report
                        .error(
                            name.span,
                            format!("the caller `{}` is of the team `{theirs}`", name.value),
                        )
                        .also(*first, "defined here")
                        .help("a team's rules cover its own callers only");
                }
                // It may be in the file that could not be read.
                None if self.is_partial && team.is_none() => {}
                None => {
                    let message = format!("no caller is named `{}`", name.value.escape_debug());
                    let mistake = self.report.error(name.span, message);
                    self.suggested += 1;
                    if self.suggested <= MAX_SUGGESTED {
                        let known = self.policy.callers.iter().filter(|it| in_scope(it));
                        mistake.suggest(&name.value, known.map(|it| &*it.name));
                    }
                }
            }
        }
        found
    }

    fn rules(&mut self, file: &File, entries: Vec<RuleEntry>) {
        let team: Option<Arc<str>> = file.team.as_ref().map(|it| it.value.as_str().into());
        let owner: Option<Arc<str>> = file.owner.as_deref().map(Into::into);
        for mut entry in entries {
            self.unique(Sort::Rule, file, &entry.name);
            let operations = self.operations(&entry.operations);
            let callers = self.scope(file, entry.callers.as_deref());
            if let (Effect::Bound, Some(team)) = (entry.effect, &file.team) {
                self.report
                    .error(entry.name.span, "`bounds:` are for guard rails")
                    .also(team.span, "this is a team's file")
                    .help("a team's own bounds stand in its allow rules; or move these to a file without `team:`");
                continue;
            }
            terms::check(&entry, &operations, self.report);
            let Some(organizations) = entry.organizations.take() else {
                continue;
            };
            if entry.effect == Effect::Allow && matches!(organizations, Organizations::Only(_)) {
                self.need_any(&entry);
            }
            let ix = RuleIx(self.policy.rules.len());
            self.policy.rules.push(Rule {
                name: full_name(file, &entry.name.value),
                team: team.clone(),
                owner: owner.clone(),
                effect: entry.effect,
                patterns: entry
                    .operations
                    .iter()
                    .map(|it| it.value.as_str().into())
                    .collect(),
                operations,
                organizations,
                shadow: entry.shadow || file.shadow,
                terms: (!entry.terms.is_empty()).then(|| Box::new(entry.terms)),
                span: entry.name.span,
            });
            for CallerIx(caller) in callers {
                if let Some(caller) = self.policy.callers.get_mut(caller) {
                    caller.rules.push(ix);
                }
            }
        }
    }

    fn operations(&mut self, patterns: &[Spanned<String>]) -> OperationSet {
        let mut all = OperationSet::default();
        for pattern in patterns {
            if let Some(set) = self.expanded.get(&pattern.value) {
                all.extend(set);
                continue;
            }
            match catalogue::expand(&pattern.value) {
                Some(set) => {
                    all.extend(&set);
                    self.expanded.insert(pattern.value.clone(), set);
                }
                None => self.unknown_operation(pattern),
            }
        }
        all
    }

    fn unknown_operation(&mut self, pattern: &Spanned<String>) {
        if pattern.value == "*" {
            self.report
                .error(pattern.span, "`*` is no operation")
                .help("for every operation, write `\"**\"`");
            return;
        }
        let named = &pattern.value;
        if catalogue::is_never_served(named) {
            self.report
                .error(pattern.span, format!("`{named}` is never served"))
                .help("nothing below /opbeta can be granted");
            return;
        }
        let below = format!("{named}.**");
        if catalogue::expand(&below).is_some() {
            self.report
                .error(
                    pattern.span,
                    format!("`{named}` is a group, and no operation"),
                )
                .help(if catalogue::expand(&format!("{named}.*")).is_some() {
                    format!("write `{named}.*` for its own operations, `{below}` for all below it")
                } else {
                    format!("write `{below}` for all operations below it")
                });
            return;
        }
        let mut known: Vec<String> = OperationIx::served()
            .map(|ix| ix.row().id.to_owned())
            .collect();
        if pattern.value.ends_with('*') {
            let groups: Vec<String> = known
                .iter()
                .filter_map(|id| id.rsplit_once('.').map(|(group, _)| group.to_owned()))
                .collect();
            known = groups
                .iter()
                .flat_map(|it| [format!("{it}.*"), format!("{it}.**")])
                .collect();
        }
        self.report
            .error(
                pattern.span,
                format!("no operation is named `{}`", pattern.value.escape_debug()),
            )
            .help("`tollgate operations` lists them")
            .suggest(&pattern.value, known.iter().map(String::as_str));
    }

    /// An operation that names no organization cannot be granted for some organizations.
    fn need_any(&mut self, entry: &RuleEntry) {
        for pattern in &entry.operations {
            // A whole group may hold both sorts; the decision then leaves out what names no organization. Where
            // nothing is left, as for an operation that is named by its own id, the rule would grant nothing.
            let Some(set) = catalogue::expand(&pattern.value) else {
                continue;
            };
            let mut rows = OperationIx::served()
                .filter(|ix| set.contains(*ix))
                .map(OperationIx::row);
            if !rows.any(|row| row.names_organization() || row.filtered) {
                let message = if OperationIx::served().any(|ix| ix.row().id == pattern.value) {
                    format!("`{}` names no organization", pattern.value)
                } else {
                    format!("no operation of `{}` names an organization", pattern.value)
                };
                self.report
                    .error(pattern.span, message)
                    .help("it needs a rule of its own with `organizations: any`");
            }
        }
    }

    /// In a log line, a name is all that says which rule decided.
    fn unique(&mut self, sort: Sort, file: &File, name: &Spanned<String>) {
        if name.value.is_empty() {
            return;
        }
        let full = full_name(file, &name.value);
        let here = (name.span, file.team.is_some());
        if let Some((first, is_teams)) = self.names.insert((sort, Arc::clone(&full)), here) {
            self.report
                .error(
                    name.span,
                    format!("the name `{}` is used twice", full.escape_debug()),
                )
                .also(first, "first here")
                .help(if is_teams && file.team.is_some() {
                    "the rules of a team have different names, and so have its limits and its budgets: rename one of them"
                } else {
                    "before the name of a guard rail stands its file's: rename the file, or one of them"
                });
        }
    }
}

/// `team/name`; for guard rails, the file's name stands for the team's.
fn full_name(file: &File, name: &str) -> Arc<str> {
    let scope = file
        .team
        .as_ref()
        .map_or(file.stem.as_str(), |team| &team.value);
    format!("{scope}/{name}").into()
}

fn content_hash(files: &PolicyFiles) -> String {
    let mut context = Context::new(&SHA256);
    let mut part = |bytes: &[u8]| {
        context.update(&(bytes.len() as u64).to_be_bytes());
        context.update(bytes);
    };
    part(&catalogue::fingerprint());
    for file in &files.files {
        part(file.name.as_bytes());
        part(file.text.as_bytes());
    }
    let digest = context.finish();
    let first = digest.as_ref().first_chunk::<8>();
    first.map(|it| HEXLOWER.encode(it)).unwrap_or_default()
}

#[cfg(test)]
mod tests;

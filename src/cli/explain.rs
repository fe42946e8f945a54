//! `tollgate explain`: what the gateway would do with one request, and why.

mod spending;

use std::io::{self, IsTerminal, Write};

use clap::Args;
use serde_json::{Value, json};

use super::source::Source;
use super::{Failure, Format, complain, print};
use crate::body::BoxError;
use crate::catalogue::Catalogue;
use crate::document::{Report, nearest, spelled};
use crate::policy::{CallerIx, Considered, Limit, Policy};
use crate::redact::redact;
use crate::rehearsal::{
    Asked, Difference, Line, Request, Sent, Verdict, differences, json as parse,
};

use spending::Spending;

/// Which request is explained.
#[derive(Args, Debug)]
pub(super) struct Options {
    #[command(flatten)]
    source: Source,
    /// Who sends it: a caller of the policies.
    #[arg(long, value_name = "NAME")]
    caller: String,
    /// Method, path and query: `'POST /v3/organizations/org-a/sessions'`.
    #[arg(num_args = 1..=2, required_unless_present = "operation", conflicts_with = "operation")]
    request: Vec<String>,
    /// An operation instead of a request.
    #[arg(long, value_name = "ID")]
    operation: Option<String>,
    /// The organization that the operation's path would name.
    #[arg(
        long,
        value_name = "ID",
        requires = "operation",
        conflicts_with = "request"
    )]
    organization: Option<String>,
    /// The query behind the operation's path, without `?`.
    #[arg(long, requires = "operation", conflicts_with = "request")]
    query: Option<String>,
    /// The body, as JSON; or `@` and the name of a file that holds it.
    #[arg(long, value_name = "JSON|@FILE")]
    body: Option<String>,
}

pub(super) fn run(options: &Options, format: Format) -> Result<(), Failure> {
    let mut report = Report::default();
    let Some(loaded) = options.source.load(&mut report) else {
        match format {
            Format::Json => {
                print(&json!({"ok": false, "mistakes": report.json()}).to_string())?;
            }
            Format::Text => {
                let mut out = io::stderr();
                let text = report.human(out.is_terminal());
                writeln!(out, "{text}{}; nothing was explained", report.count())?;
            }
        }
        return Err(Failure::Call);
    };
    let policy = &loaded.policy;
    let request = match request(options, policy) {
        Ok(request) => request,
        Err(error) => {
            complain(format, &*error);
            return Err(Failure::Call);
        }
    };
    let verdict = request.judge(policy);
    let explained = Explained {
        policy,
        request: &request,
        verdict: &verdict,
    };
    // What was typed is its author's to see; a credential in it is nobody's.
    match format {
        Format::Json => print(&redact(&explained.json().to_string()))?,
        Format::Text => print(redact(&explained.text()).trim_end())?,
    }
    if verdict.is_allowed() {
        Ok(())
    } else {
        Err(Failure::Bad)
    }
}

fn request(options: &Options, policy: &Policy) -> Result<Request, BoxError> {
    let caller = caller(&options.caller, policy)?;
    let asked = match &options.operation {
        Some(id) => Asked::named(
            Asked::operation(id)?,
            options.organization.as_deref(),
            options.query.as_deref(),
        )?,
        None => Line::read(&options.request.join(" "))?.ask(&Catalogue::new()),
    };
    let sent = match &options.body {
        None => Sent::Nothing,
        Some(text) => match text.strip_prefix('@') {
            Some(path) => {
                let bytes = std::fs::read(path);
                Sent::Json(bytes.map_err(|error| format!("{path} cannot be read: {error}"))?)
            }
            None => Sent::Json(text.clone().into_bytes()),
        },
    };
    Ok(Request {
        caller,
        asked,
        sent,
    })
}

fn caller(name: &str, policy: &Policy) -> Result<CallerIx, String> {
    let mut callers = policy.callers().zip(policy.caller_ixs());
    if let Some((_, ix)) = callers.find(|(it, _)| &**it.name() == name) {
        return Ok(ix);
    }
    let mut said = format!("no caller is named `{name}`");
    if let Some(like) = nearest(name, policy.callers().map(|it| &**it.name())) {
        said.push_str(&format!("; did you mean `{like}`?"));
    }
    Err(said)
}

/// Everything there is to say.
struct Explained<'a> {
    policy: &'a Policy,
    request: &'a Request,
    verdict: &'a Verdict,
}

impl<'a> Explained<'a> {
    fn asked(&self) -> Option<&'a Asked> {
        self.request.asked.as_ref().ok()
    }

    fn rules(&self) -> Vec<Considered<'a>> {
        self.asked().map_or(Vec::new(), |asked| {
            let organization = asked.organization.as_deref();
            self.policy
                .explain(self.request.caller, asked.operation, organization)
        })
    }

    fn spending(&self) -> Spending<'a> {
        let whole = self.verdict.whole.as_ref();
        let grant = whole.and_then(|it| it.outcome.as_ref().ok());
        Spending::new(self.policy, self.request.caller, self.asked(), grant)
    }

    /// The limits that the request would be taken from.
    fn limits(&self) -> impl Iterator<Item = &'a Limit> {
        let asked = self.asked().map(|it| it.operation);
        let limits = self.policy.limits_of(self.request.caller);
        limits
            .map(|(_, limit)| limit)
            .filter(move |it| asked.is_none_or(|operation| it.covers(operation)))
    }

    /// How long the answer is kept for the caller, as people write it.
    fn cache(&self) -> Option<String> {
        let grant = self.verdict.whole.as_ref()?.outcome.as_ref().ok()?;
        self.policy.cache(grant).map(spelled)
    }

    /// What rules have made of the body, if anything.
    fn changes(&self) -> Vec<Difference> {
        let changed = self
            .verdict
            .whole
            .as_ref()
            .and_then(|it| it.body.as_deref());
        let Some(after) = changed.and_then(parse) else {
            return Vec::new();
        };
        let before = self.request.sent.text();
        let before = before.as_deref().and_then(parse);
        differences(&before.unwrap_or_else(|| json!({})), &after)
    }

    fn query_is_changed(&self) -> bool {
        let whole = self.verdict.whole.as_ref();
        whole.is_some_and(|it| it.query.is_some())
    }

    fn text(&self) -> String {
        let caller = self.policy.caller(self.request.caller);
        let mut text = format!("caller: {}, of the team {}\n", caller.name(), caller.team());
        if let Some(asked) = self.asked() {
            let row = asked.operation.row();
            text.push_str(&format!("operation: {}\n", row.id));
            if let Some(id) = &asked.organization {
                text.push_str(&format!("organization: {id}\n"));
            }
            text.push_str("\nrules\n");
            for Considered { rule, because } in self.rules() {
                let effect = rule.effect().as_str();
                let shadow = if rule.is_shadowed() {
                    " (shadowed)"
                } else {
                    ""
                };
                let said = because.said();
                text.push_str(&format!("  {effect:6} {}{shadow}: {said}\n", rule.name()));
            }
        }
        self.decision(&mut text);
        if let Some(facts) = self.verdict.facts().filter(|it| !it.is_empty()) {
            text.push_str("\nfields that were looked at, as the log shows them\n");
            for (name, fact) in &facts.fields {
                let value = fact.json();
                let value = if value.is_null() {
                    "not there".to_owned()
                } else {
                    value.to_string()
                };
                text.push_str(&format!("  {name}: {value}\n"));
            }
            for name in &facts.unknown {
                text.push_str(&format!("  {name}: unknown to the catalogue\n"));
            }
        }
        if self.verdict.is_allowed() {
            self.forwarded(&mut text);
            self.bounded(&mut text);
            text.push_str(&self.spending().text());
            let mut limits = self.limits().peekable();
            if limits.peek().is_some() {
                text.push_str("\nlimits\n");
            }
            for limit in limits {
                let shadow = if limit.shadow { ", not enforced" } else { "" };
                text.push_str(&format!("  {limit}{shadow}\n"));
            }
        }
        text
    }

    fn decision(&self, text: &mut String) {
        let by = match &self.verdict.rule {
            Some(rule) => format!(", by {rule}"),
            None => String::new(),
        };
        match &self.verdict.refusal {
            None => text.push_str(&format!("\ndecision: allow{by}\n")),
            Some(told) => {
                let (code, status) = (told.code.name(), told.status.as_u16());
                text.push_str(&format!("\ndecision: deny{by}: {code} ({status})\n"));
                text.push_str(&format!("  {}\n", told.detail));
                if let Some(owner) = &told.owner {
                    text.push_str(&format!("  ask: {owner}\n"));
                }
            }
        }
        if let Some(shadow) = self.verdict.shadow() {
            let by = shadow
                .rule
                .as_ref()
                .map_or(String::new(), |it| format!(" by {it}"));
            let decision = if shadow.allow { "allow" } else { "deny" };
            let code = shadow
                .code
                .map_or(String::new(), |it| format!(", {}", it.name()));
            text.push_str(&format!(
                "  if shadowed rules were live: {decision}{by}{code}\n"
            ));
        }
    }

    fn forwarded(&self, text: &mut String) {
        text.push_str("\nsent to Devin\n");
        let query = self.request.forwarded_query(self.verdict);
        let query = match (query, self.query_is_changed()) {
            (None, _) => "none",
            (Some(_), false) => "as received",
            (Some(query), true) => query,
        };
        text.push_str(&format!("  query: {query}\n"));
        let whole = self.verdict.whole.as_ref();
        let body = whole.and_then(|it| it.body.as_deref());
        let body = match (body, &self.request.sent) {
            (Some(body), _) => body,
            (None, Sent::Nothing) => "none",
            (None, Sent::Json(_)) => "as received",
        };
        text.push_str(&format!("  body: {body}\n"));
        for Difference { path, one, other } in self.changes() {
            let said = match (one, other) {
                (None, Some(after)) => format!("{after} is put in"),
                (Some(before), Some(after)) => format!("{before} becomes {after}"),
                (Some(before), None) => format!("{before} is taken out"),
                (None, None) => continue,
            };
            text.push_str(&format!("    {path}: {said}\n"));
        }
    }

    /// What is looked at while upload and answer stream by.
    fn bounded(&self, text: &mut String) {
        let (Some(asked), Some(whole)) = (self.asked(), &self.verdict.whole) else {
            return;
        };
        if let Ok(grant) = &whole.outcome
            && let Some(upload) = self.policy.applied(grant).upload()
        {
            let bytes = upload.max_bytes.map(|it| format!("{it} bytes"));
            let parts = upload.max_parts.map(|it| format!("{it} parts"));
            let most: Vec<String> = bytes.into_iter().chain(parts).collect();
            text.push_str(&format!("  upload: at most {}\n", most.join(" and ")));
        }
        let caller = self.request.caller;
        if asked.operation.row().filtered && !self.policy.shows_all(caller, asked.operation) {
            text.push_str("  answer: only the organizations that the policy shows to the caller\n");
        }
        if let Some(time) = self.cache() {
            text.push_str(&format!(
                "  answer: kept for {time}, for this caller alone and until it changes something\n"
            ));
        }
    }

    fn json(&self) -> Value {
        let caller = self.policy.caller(self.request.caller);
        let asked = self.asked();
        let rules = self.rules().into_iter().map(|Considered { rule, because }| {
            json!({
                "rule": &**rule.name(), "effect": rule.effect().as_str(), "shadow": rule.is_shadowed(),
                "matches": because.matches(), "because": because.said(),
            })
        });
        let told = self.verdict.refusal.as_ref();
        let facts = self.verdict.facts();
        let changes = self.changes().into_iter();
        let body = self.request.forwarded_body(self.verdict);
        let is_allowed = self.verdict.is_allowed();
        json!({
            "allowed": is_allowed,
            "caller": &**caller.name(),
            "team": &**caller.team(),
            "operation": asked.map(|it| it.operation.row().id),
            "organization": asked.and_then(|it| it.organization.as_deref()),
            "rules": rules.collect::<Value>(),
            "rule": self.verdict.rule.as_deref(),
            "code": told.map(|it| it.code.name()),
            "status": told.map(|it| it.status.as_u16()),
            "detail": told.map(|it| it.detail.as_str()),
            "owner": told.and_then(|it| it.owner.as_deref()),
            "field": self.verdict.field(),
            "fields": facts,
            "unknown_fields": facts.map(|it| &it.unknown),
            "shadow": self.verdict.shadow().map(|it| json!({
                "allowed": it.allow, "rule": it.rule.as_deref(), "code": it.code.map(crate::problem::Code::name),
            })),
            "forwarded": is_allowed.then(|| json!({
                "query": self.request.forwarded_query(self.verdict),
                "query_is_changed": self.query_is_changed(),
                "body": body.as_deref().map(|text| parse(text).unwrap_or_else(|| json!(text))),
                "body_is_changed": self.verdict.whole.as_ref().is_some_and(|it| it.body.is_some()),
                "changes": changes
                    .map(|it| json!({"field": it.path, "before": it.one, "after": it.other}))
                    .collect::<Value>(),
            })),
            "spending": is_allowed.then(|| self.spending().json()),
            "cache": self.cache().filter(|_| is_allowed),
            "limits": self.limits().map(limit).collect::<Value>(),
        })
    }
}

fn limit(limit: &Limit) -> Value {
    let rate = limit.rate();
    json!({
        "name": &*limit.name,
        "per": limit.per.as_str(),
        "burst": rate.map(|it| it.burst),
        "period_ms": rate.map(|it| it.period.as_secs_f64() * 1e3),
        "wait_ms": rate.map(|it| it.wait.as_secs_f64() * 1e3),
        "sessions": limit.sessions(),
        "shadow": limit.shadow,
    })
}

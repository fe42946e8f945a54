//! `*.test.yaml`: from the tree to tests, with every mistake collected.
//!
//! All fields of a file's head are defaults for its tests. A test's own field
//! takes the place of the head's; what can stand for one another (`request` and
//! `operation`, `body` and `body_text`) does so as well.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value as Json;

use super::expected::{Expected, Tried, Wanted};
use super::request::{Asked, Line, Request, Sent};
use super::slot::{Bad, Slot};
use crate::catalogue::{Catalogue, OperationIx};
use crate::document::{Node, Report, Span, Table, Value, parse};
use crate::policy::{CallerIx, Policy, TestFiles};
use crate::problem::Code;

/// The longest name of a test, in characters.
const MAX_NAME: usize = 200;

/// One test.
#[derive(Debug)]
pub struct Case {
    /// What it is called: its own name, or its request.
    pub name: String,
    /// Where it stands.
    pub span: Span,
    /// The request.
    pub request: Request,
    /// What is expected.
    pub expected: Expected,
}

/// Reads all tests. Those with a mistake in them are left out, and `report` has the mistakes.
pub fn read(
    files: &TestFiles,
    policy: &Policy,
    catalogue: &Catalogue,
    report: &mut Report,
) -> Vec<Case> {
    let callers = policy.callers().zip(policy.caller_ixs());
    let reader = Reader {
        callers: callers.map(|(it, ix)| (&**it.name(), ix)).collect(),
        rules: policy.rules().map(|rule| &**rule.name()).collect(),
        catalogue,
    };
    let mut cases = Vec::new();
    for (source, text) in files.iter() {
        if let Some(root) = parse(source, text, files.budget(), report) {
            reader.file(&root, report, &mut cases);
        }
    }
    cases
}

/// What is asked for: a line, or an operation by its id.
#[derive(Clone, Debug)]
enum What {
    Line(String, Line),
    Operation(OperationIx),
}

/// The fields of a test, or of a head.
#[derive(Debug, Default)]
struct Fields {
    caller: Slot<CallerIx>,
    what: Slot<What>,
    organization: Slot<String>,
    query: Slot<String>,
    sent: Slot<Sent>,
    allow: Slot<bool>,
    rule: Slot<Wanted<String>>,
    code: Slot<Code>,
    field: Slot<String>,
    forwarded: Slot<Json>,
    forwarded_query: Slot<String>,
    shadow: Slot<Wanted<Tried>>,
}

struct Reader<'a> {
    callers: BTreeMap<&'a str, CallerIx>,
    rules: BTreeSet<&'a str>,
    catalogue: &'a Catalogue,
}

impl Reader<'_> {
    fn file(&self, root: &Node, report: &mut Report, cases: &mut Vec<Case>) {
        let Some(mut table) = Table::new("a test file", root, report) else {
            return;
        };
        let head = self.fields(&mut table, report);
        let tests = table.list("tests", report);
        if tests.is_none() {
            table.miss(
                "tests",
                "a test file needs a list `tests:`".to_owned(),
                None,
            );
        }
        table.finish(report);
        let Some((tests, span)) = tests else { return };
        if tests.is_empty() {
            report
                .error(span, "`tests:` is an empty list")
                .help("a file that tests nothing is surely not meant");
        }
        for node in tests {
            cases.extend(self.case(node, &head, report));
        }
    }

    fn case(&self, node: &Node, head: &Fields, report: &mut Report) -> Option<Case> {
        let mut table = Table::new("a test", node, report)?;
        let name = table.take("name");
        let name = Slot::read(name, |node| title(node, report));
        let own = self.fields(&mut table, report);
        if !own.caller.is_there() && !head.caller.is_there() {
            table.miss(
                "caller",
                "a test needs `caller:`".to_owned(),
                Some("say it here, or once for all tests at the head of the file"),
            );
        }
        if !own.what.is_there() && !head.what.is_there() {
            table.miss(
                "request",
                "a test needs `request:` or `operation:`".to_owned(),
                Some("write request: GET /v3/self, or operation: self.get"),
            );
        }
        if !own.allow.is_there() && !head.allow.is_there() {
            table.miss(
                "decision",
                "a test needs `decision:`".to_owned(),
                Some("`allow` or `deny`"),
            );
        }
        table.finish(report);
        // All parts are built before any is missed: each has mistakes of its own.
        let asked = self.asked(&own, head, report);
        let shown = shown(&own.what, &head.what, &asked);
        let sent = own.sent.clone().or(&head.sent).value();
        let caller = own.caller.clone().or(&head.caller).value();
        let expected = expected(own, head, report);
        let (name, caller, sent, expected) =
            (name.value().ok()?, caller.ok()?, sent.ok()?, expected.ok()?);
        Some(Case {
            name: name.or(shown)?,
            span: node.span,
            request: Request {
                caller: caller?,
                asked: asked?,
                sent: sent.unwrap_or_default(),
            },
            expected: expected?,
        })
    }

    fn fields(&self, table: &mut Table<'_>, report: &mut Report) -> Fields {
        let caller = table.take("caller");
        let what = self.what(table, report);
        let text = |table: &mut Table<'_>, name: &'static str, report: &mut Report| {
            let node = table.take(name);
            Slot::read(node, |node| node.as_text(name, report).map(str::to_owned))
        };
        let organization = text(table, "organization", report);
        let query = text(table, "query", report);
        let sent = sent(table, report);
        let decision = table.take("decision");
        let rule = table.take("rule");
        let code = table.take("code");
        let field = text(table, "field", report);
        let forwarded = table.take("forwarded");
        let forwarded_query = text(table, "forwarded_query", report);
        let shadow = table.take("shadow");
        Fields {
            caller: Slot::read(caller, |node| self.caller(node, report)),
            what,
            organization,
            query,
            sent,
            allow: Slot::read(decision, |node| allow(node, report)),
            rule: Slot::read(rule, |node| self.rule(node, report)),
            code: Slot::read(code, |node| named_code(node, report)),
            field,
            forwarded: Slot::read(forwarded, |node| node.as_json(report)),
            forwarded_query,
            shadow: Slot::read(shadow, |node| self.shadow(node, report)),
        }
    }

    fn what(&self, table: &mut Table<'_>, report: &mut Report) -> Slot<What> {
        let request = table.take("request");
        let operation = table.take("operation");
        if let (Some(_), Some(node)) = (request, operation) {
            report
                .error(
                    node.span,
                    "`request:` and `operation:` stand for each other",
                )
                .help("take one of them out");
            return Slot::Bad;
        }
        if let Some(node) = request {
            return Slot::read(Some(node), |node| {
                let text = node.as_text("request", report)?;
                let line = Line::read(text).map_err(|said| report.error(node.span, said));
                Some(What::Line(text.trim().to_owned(), line.ok()?))
            });
        }
        Slot::read(operation, |node| {
            let id = node.as_text("operation", report)?;
            let found = Asked::operation(id).map_err(|said| {
                report.error(node.span, said);
            });
            Some(What::Operation(found.ok()?))
        })
    }

    /// What is asked, with what belongs to it.
    fn asked(
        &self,
        own: &Fields,
        head: &Fields,
        report: &mut Report,
    ) -> Option<Result<Asked, Box<crate::rejection::Rejection>>> {
        let (what, span) = match (&own.what, &head.what) {
            (Slot::Is(what, span), _) | (Slot::Absent, Slot::Is(what, span)) => (what, *span),
            (Slot::Bad, _) | (Slot::Absent, Slot::Absent | Slot::Bad) => return None,
        };
        let ix = match what {
            What::Line(_, line) => {
                for (slot, name) in [(&own.organization, "organization"), (&own.query, "query")] {
                    if let Some(span) = slot.span() {
                        report
                            .error(span, format!("`{name}:` belongs to `operation:`"))
                            .help("a request has it in its line");
                    }
                }
                return Some(line.ask(self.catalogue));
            }
            What::Operation(ix) => *ix,
        };
        // The head's organization is for those operations that name one.
        let default = if ix.row().names_organization() {
            head.organization.clone()
        } else {
            Slot::Absent
        };
        let organization = own.organization.clone().or(&default);
        let at = organization.span().unwrap_or(span);
        let organization = organization.value().ok()?;
        let query = own.query.clone().or(&head.query).value().ok()?;
        match Asked::named(ix, organization.as_deref(), query.as_deref()) {
            Ok(asked) => Some(asked),
            Err(said) => {
                report.error(at, said);
                None
            }
        }
    }

    fn caller(&self, node: &Node, report: &mut Report) -> Option<CallerIx> {
        let name = node.as_text("caller", report)?;
        let found = self.callers.get(name).copied();
        if found.is_none() {
            let known = self.callers.keys().copied();
            report
                .error(
                    node.span,
                    format!("no caller is named `{}`", name.escape_debug()),
                )
                .suggest(name, known);
        }
        found
    }

    fn rule(&self, node: &Node, report: &mut Report) -> Option<Wanted<String>> {
        let name = node.as_text("rule", report)?;
        if name == "none" {
            return Some(Wanted::Nothing);
        }
        if !self.rules.contains(name) {
            let known = self.rules.iter().copied();
            report
                .error(
                    node.span,
                    format!("no rule is named `{}`", name.escape_debug()),
                )
                .help("a rule's whole name is team/name, of guard rails file/name; or `none`")
                .suggest(name, known);
            return None;
        }
        Some(Wanted::This(name.to_owned()))
    }

    /// `none`, or `{ decision, rule, code }`.
    fn shadow(&self, node: &Node, report: &mut Report) -> Option<Wanted<Tried>> {
        if let Value::Text(text) = &node.value {
            if text == "none" {
                return Some(Wanted::Nothing);
            }
            report
                .error(node.span, "`shadow:` is `none` or a mapping")
                .help("write { decision: deny, rule: team/name }");
            return None;
        }
        let mut table = Table::new("`shadow:`", node, report)?;
        let decision = table.require("decision");
        let allow = Slot::read(decision, |node| allow(node, report));
        let rule = table.take("rule");
        let rule = Slot::read(rule, |node| self.rule(node, report));
        let code = table.take("code");
        let code = Slot::read(code, |node| named_code(node, report));
        table.finish(report);
        let (allow, rule, code) = (allow.value(), rule.value(), code.value());
        Some(Wanted::This(Tried {
            allow: allow.ok()??,
            rule: rule.ok()?,
            code: code.ok()?,
        }))
    }
}

fn title(node: &Node, report: &mut Report) -> Option<String> {
    let text = node.as_text("name", report)?;
    let length = text.chars().count();
    if !(1..=MAX_NAME).contains(&length) || text.chars().any(char::is_control) {
        report.error(
            node.span,
            format!("a test's name is one line of 1 to {MAX_NAME} characters"),
        );
        return None;
    }
    Some(text.to_owned())
}

/// What a test without a name is called.
fn shown<E>(
    own: &Slot<What>,
    head: &Slot<What>,
    asked: &Option<Result<Asked, E>>,
) -> Option<String> {
    let ((Slot::Is(what, _), _) | (Slot::Absent, Slot::Is(what, _))) = (own, head) else {
        return None;
    };
    Some(match (what, asked) {
        (What::Line(text, _), _) => text.clone(),
        (
            What::Operation(ix),
            Some(Ok(Asked {
                organization: Some(id),
                ..
            })),
        ) => {
            format!("{} for {id}", ix.row().id)
        }
        (What::Operation(ix), _) => ix.row().id.to_owned(),
    })
}

fn sent(table: &mut Table<'_>, report: &mut Report) -> Slot<Sent> {
    let body = table.take("body");
    let text = table.take("body_text");
    if let (Some(_), Some(node)) = (body, text) {
        report
            .error(node.span, "`body:` and `body_text:` stand for each other")
            .help("take one of them out");
        return Slot::Bad;
    }
    if body.is_some() {
        return Slot::read(body, |node| {
            let json = node.as_json(report)?;
            Some(Sent::Json(json.to_string().into_bytes()))
        });
    }
    Slot::read(text, |node| {
        let text = node.as_text("body_text", report)?;
        Some(Sent::Json(text.as_bytes().to_vec()))
    })
}

fn allow(node: &Node, report: &mut Report) -> Option<bool> {
    match node.as_text("decision", report)? {
        "allow" => Some(true),
        "deny" => Some(false),
        other => {
            report
                .error(node.span, "a decision is `allow` or `deny`")
                .suggest(other, ["allow", "deny"]);
            None
        }
    }
}

fn named_code(node: &Node, report: &mut Report) -> Option<Code> {
    let name = node.as_text("code", report)?;
    let found = Code::ALL.into_iter().find(|code| code.name() == name);
    if found.is_none() {
        report
            .error(
                node.span,
                format!("no code is named `{}`", name.escape_debug()),
            )
            .suggest(name, Code::ALL.map(Code::name));
    }
    found
}

/// What is expected of the outcome. What the head says of the other decision is not this test's.
fn expected(own: Fields, head: &Fields, report: &mut Report) -> Result<Option<Expected>, Bad> {
    let Some(allow) = own.allow.clone().or(&head.allow).value()? else {
        return Ok(None);
    };
    let mut is_good = true;
    let mut not_of = |span: Option<Span>, said: &str| {
        if let Some(span) = span {
            report.error(span, said);
            is_good = false;
        }
    };
    if allow {
        not_of(own.code.span(), "a request that goes on has no code");
        not_of(
            own.field.span(),
            "`field:` is the field for which a request is refused",
        );
        if let Slot::Is(Wanted::Nothing, span) = &own.rule {
            not_of(Some(*span), "what goes on does so by a rule");
        }
    } else {
        let said = "nothing goes on of a request that is refused";
        not_of(own.forwarded.span(), said);
        not_of(own.forwarded_query.span(), said);
    }
    fn of<T: Clone>(own: Slot<T>, head: &Slot<T>, is_mine: bool) -> Result<Option<T>, Bad> {
        let nothing = Slot::Absent;
        own.or(if is_mine { head } else { &nothing }).value()
    }
    let expected = Expected {
        allow,
        rule: of(own.rule, &head.rule, true)?,
        code: of(own.code, &head.code, !allow)?,
        field: of(own.field, &head.field, !allow)?,
        forwarded: of(own.forwarded, &head.forwarded, allow)?,
        forwarded_query: of(own.forwarded_query, &head.forwarded_query, allow)?,
        shadow: of(own.shadow, &head.shadow, true)?,
    };
    Ok(is_good.then_some(expected))
}

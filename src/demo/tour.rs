//! `tollgate demo --tour`: the demo walks by itself, says what was sent and answered, and checks it.

use http::{Method, Request};
use http_body_util::BodyExt;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde_json::{Value, json};

use super::Demo;
use crate::api_key::ApiKey;
use crate::body::{Body, BoxError, empty, full};
use crate::cli::{Failure, Format, print};
use crate::pipeline::access_log::MemoryLog;

struct Step {
    says: &'static str,
    key: String,
    method: Method,
    path: String,
    body: Option<&'static str>,
    status: u16,
    code: Option<&'static str>,
    operation: Option<&'static str>,
    /// How many organizations are answered.
    organizations: Option<usize>,
}

struct Answer {
    status: u16,
    answered_by: String,
    request_id: String,
    retry_after: Option<String>,
    body: Value,
}

impl Answer {
    fn text(&self, member: &str) -> Option<&str> {
        self.body.get(member).and_then(Value::as_str)
    }
}

pub(super) async fn run(demo: Demo, log: MemoryLog, format: Format) -> Result<(), Failure> {
    let steps = steps(&demo)?;
    let client = Client::builder(TokioExecutor::new()).build_http();
    let mut answers = Vec::new();
    for step in &steps {
        answers.push(ask(&client, &demo.base_url, step).await?);
    }
    // Stopping writes the log to its end.
    demo.stop().await?;
    let text = log.text();
    let lines: Vec<(&str, Value)> = text
        .lines()
        .filter_map(|line| Some((line, serde_json::from_str(line).ok()?)))
        // What the gateway asked by itself is no step.
        .filter(|(_, line): &(&str, Value)| line["kind"] == "request")
        .collect();
    let mut fine = lines.len() == steps.len();
    let mut shown = Vec::new();
    for (step, answer) in steps.iter().zip(&answers) {
        let line = lines
            .iter()
            .find(|(_, line)| line["request_id"] == answer.request_id.as_str());
        let went_well = matches(step, answer, line.map(|(_, line)| line));
        fine &= went_well;
        match format {
            Format::Text => tell(step, answer, line.map_or("no line!", |(text, _)| text), went_well)?,
            Format::Json => shown.push(json!({
                "step": step.says, "method": step.method.as_str(), "path": step.path, "status": answer.status,
                "code": step.code, "as_expected": went_well, "log": line.map(|(_, line)| line),
            })),
        }
    }
    match format {
        Format::Json => print(&json!({"ok": fine, "steps": shown}).to_string())?,
        Format::Text if fine => print("Every step went as it should.")?,
        Format::Text => print("Something did not go as it should.")?,
    }
    if fine { Ok(()) } else { Err(Failure::Bad) }
}

fn steps(demo: &Demo) -> Result<Vec<Step>, BoxError> {
    let key = |name: &str| {
        demo.caller(name)
            .map(|it| it.key.clone())
            .ok_or("a sample caller is missing")
    };
    let create = |says, key, organization: &str, status, code| Step {
        says,
        key,
        method: Method::POST,
        path: format!("/v3beta1/organizations/{organization}/sessions"),
        body: Some(r#"{"prompt": "Fix the login test"}"#),
        status,
        code,
        operation: Some("sessions.create"),
        organizations: None,
    };
    let get = |says, key, path: &str, status, code, operation| Step {
        says,
        key,
        method: Method::GET,
        path: path.to_owned(),
        body: None,
        status,
        code,
        operation,
        organizations: None,
    };
    let organizations = "/v3beta1/enterprise/organizations";
    let listed = Some("organizations.list");
    Ok(vec![
        create(
            "A caller starts a session in its own organization.",
            key("ds-notebooks")?,
            "org-ds",
            200,
            None,
        ),
        Step {
            organizations: Some(3),
            ..get(
                "The platform team lists every organization.",
                key("platform-ops")?,
                organizations,
                200,
                None,
                listed,
            )
        },
        Step {
            organizations: Some(1),
            ..get(
                "Another team asks the same, and sees its own.",
                key("ds-notebooks")?,
                organizations,
                200,
                None,
                listed,
            )
        },
        create(
            "The same caller tries a session in another team's.",
            key("ds-notebooks")?,
            "org-web",
            403,
            Some("organization-denied"),
        ),
        get(
            "It tries an operation that nothing grants it.",
            key("ds-notebooks")?,
            "/v3beta1/enterprise/self",
            403,
            Some("operation-denied"),
            Some("enterprise.self.get"),
        ),
        get(
            "Somebody comes with a key that nobody has.",
            ApiKey::generate("stranger")?.expose().to_owned(),
            organizations,
            401,
            Some("credential-invalid"),
            listed,
        ),
        get(
            "A script falls back to an old API version.",
            key("platform-ops")?,
            "/v1/sessions",
            404,
            Some("operation-unknown"),
            None,
        ),
        get(
            "A caller with two requests a minute makes its first.",
            key("throttled")?,
            organizations,
            200,
            None,
            listed,
        ),
        get(
            "And its second.",
            key("throttled")?,
            organizations,
            200,
            None,
            listed,
        ),
        get(
            "The third has to wait; Devin never sees it.",
            key("throttled")?,
            organizations,
            429,
            Some("rate-limited"),
            listed,
        ),
    ])
}

async fn ask(
    client: &Client<HttpConnector, Body>,
    base: &str,
    step: &Step,
) -> Result<Answer, BoxError> {
    let request = Request::builder()
        .method(&step.method)
        .uri(format!("{base}{}", step.path))
        .header("authorization", format!("Bearer {}", step.key))
        .header("content-type", "application/json")
        .body(step.body.map_or_else(empty, full))?;
    let answer = client.request(request).await?;
    let header = |name: &str| {
        let value = answer.headers().get(name).and_then(|it| it.to_str().ok());
        value.map(str::to_owned)
    };
    let (answered_by, request_id) = (header("tollgate-answered-by"), header("x-request-id"));
    let retry_after = header("retry-after");
    let status = answer.status().as_u16();
    let bytes = answer.into_body().collect().await?.to_bytes();
    Ok(Answer {
        status,
        answered_by: answered_by.unwrap_or_default(),
        request_id: request_id.unwrap_or_default(),
        retry_after,
        body: serde_json::from_slice(&bytes).unwrap_or_default(),
    })
}

fn matches(step: &Step, answer: &Answer, line: Option<&Value>) -> bool {
    let side = if step.code.is_some() {
        "gateway"
    } else {
        "upstream"
    };
    let kind = step.code.map(|code| format!("/.tollgate/problems/{code}"));
    let is_asked_in_vain = |line: &Value| step.code.is_none() || line["upstream_attempts"] == 0;
    let items = || answer.body.get("items").and_then(Value::as_array);
    answer.status == step.status
        && step
            .organizations
            .is_none_or(|wanted| items().is_some_and(|items| items.len() == wanted))
        && answer.answered_by == side
        && (kind.is_none() || answer.text("type") == kind.as_deref())
        && (step.status != 429 || answer.retry_after.is_some())
        && line.is_some_and(|line| {
            line["status"] == step.status
                && line["code"].as_str() == step.code
                && line["operation"].as_str() == step.operation
                && is_asked_in_vain(line)
        })
}

fn tell(step: &Step, answer: &Answer, line: &str, went_well: bool) -> std::io::Result<()> {
    let mark = if went_well { "ok" } else { "NOT AS EXPECTED" };
    print(&format!("{} [{mark}]", step.says))?;
    // The key itself is not shown again: its public half says whose it was.
    let id = crate::api_key::parse(&step.key).map_or("?", |key| key.id);
    print(&format!("  > {} {}   (key {id})", step.method, step.path))?;
    if let Some(body) = step.body {
        print(&format!("  > {body}"))?;
    }
    let said = answer
        .text("detail")
        .map_or_else(|| short(&answer.body), str::to_owned);
    let wait = answer
        .retry_after
        .as_ref()
        .map_or(String::new(), |it| format!("   Retry-After: {it}"));
    print(&format!(
        "  < {} from the {}{wait}",
        answer.status, answer.answered_by
    ))?;
    print(&format!("  < {said}"))?;
    print(&format!("  log {line}\n"))
}

fn short(body: &Value) -> String {
    let text = body.to_string();
    match text.char_indices().nth(160) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or("")),
        None => text,
    }
}

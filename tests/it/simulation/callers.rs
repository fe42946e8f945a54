//! Callers: they create sessions, speak to them, wait, hang up, and repeat what had no answer, as Devin's clients do.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::handshake;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};

use super::dice::Dice;
use super::network::Network;
use super::trace::Trace;

const SESSIONS: &str = "/v3/organizations/org-ds/sessions";
/// How often a client of Devin's asks for the same.
const TIMES: u32 = 3;
/// Longer than the gateway takes for anything.
const PATIENCE: Duration = Duration::from_secs(6);

/// A caller.
pub(super) struct Caller {
    pub(super) name: String,
    pub(super) key: String,
    pub(super) dice: Dice,
    pub(super) network: Network,
    pub(super) trace: Trace,
    /// The sessions that the team knows of.
    pub(super) sessions: Arc<Mutex<Vec<String>>>,
    /// What was answered, of all callers.
    pub(super) statuses: Arc<Mutex<Vec<u16>>>,
}

/// What is asked for, once or again.
struct Ask {
    method: Method,
    path: String,
    body: Option<Value>,
    key: Option<String>,
}

impl Caller {
    pub(super) async fn live(self, asks: u64) {
        for number in 0..asks {
            tokio::time::sleep(self.dice.time(500)).await;
            let session = self.dice.one(&self.sessions.lock().unwrap());
            let ask = match (self.dice.roll(12), session) {
                (0..5, _) | (_, None) => self.create(number),
                (5..9, Some(session)) => self.message(number, &session),
                (9, Some(session)) => Ask::of(Method::GET, format!("{SESSIONS}/{session}")),
                (10, Some(session)) => Ask::of(Method::DELETE, format!("{SESSIONS}/{session}")),
                _ => Ask::of(Method::GET, SESSIONS.to_owned()),
            };
            self.insist(&ask).await;
        }
    }

    /// The tag says which intent it is: two sessions of one would be one too many.
    fn create(&self, number: u64) -> Ask {
        let has_key = self.dice.once_in(3);
        let name = format!("{}-{number}{}", self.name, if has_key { "k" } else { "" });
        let mut body = json!({ "prompt": name, "tags": [format!("intent:{name}")] });
        if self.dice.once_in(2) {
            body["max_acu_limit"] = (self.dice.roll(4) + 1).into();
        }
        Ask {
            body: Some(body),
            key: has_key.then_some(name),
            ..Ask::of(Method::POST, SESSIONS.to_owned())
        }
    }

    fn message(&self, number: u64, session: &str) -> Ask {
        let name = format!("{}-{number}", self.name);
        Ask {
            body: Some(json!({ "message": format!("go on, {name}") })),
            key: self.dice.once_in(3).then_some(name),
            ..Ask::of(Method::POST, format!("{SESSIONS}/{session}/messages"))
        }
    }

    async fn insist(&self, ask: &Ask) {
        for again in 0..TIMES {
            let patience = if self.dice.once_in(6) {
                self.dice.time(400)
            } else {
                PATIENCE
            };
            let answer = tokio::time::timeout(patience, self.once(ask, again)).await;
            let answer = answer.ok().flatten();
            let said = answer.as_ref().map_or(0, |it| it.0);
            self.trace.note(
                &self.name,
                format!("{} {} {again}: {said}", ask.method, ask.path).as_bytes(),
            );
            if let Some((200, body)) = &answer
                && ask.method == Method::POST
                && let Some(id) = body["session_id"].as_str()
            {
                let mut sessions = self.sessions.lock().unwrap();
                if !sessions.iter().any(|it| it == id) {
                    sessions.push(id.to_owned());
                }
            }
            if said != 0 {
                self.statuses.lock().unwrap().push(said);
            }
            let is_over = !matches!(said, 0 | 409 | 429 | 500..);
            if is_over || self.dice.once_in(6) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(100) + self.dice.time(400)).await;
        }
    }

    /// Status and body; none if there was no whole answer. Who drops this hangs up.
    async fn once(&self, ask: &Ask, again: u32) -> Option<(u16, Value)> {
        let stream = self.network.to_gateway()?;
        let (mut sender, connection) = handshake(TokioIo::new(stream)).await.ok()?;
        let mut request = Request::builder()
            .method(ask.method.clone())
            .uri(&ask.path)
            .header("host", "tollgate.test")
            .header("authorization", format!("Bearer {}", self.key))
            .header("content-type", "application/json")
            .header("x-stainless-retry-count", again);
        if let Some(key) = &ask.key {
            request = request.header("idempotency-key", key);
        }
        let body = ask.body.as_ref().map(Value::to_string).unwrap_or_default();
        let request = request.body(Full::new(Bytes::from(body))).unwrap();
        let answering = async {
            let answer = sender.send_request(request).await.ok()?;
            let status = answer.status().as_u16();
            let by = answer.headers().get("tollgate-answered-by");
            let is_ours = by.is_some_and(|it| it == "gateway");
            assert!(status != 500 || !is_ours, "a bug of ours: {answer:?}");
            let body = answer.into_body().collect().await.ok()?.to_bytes();
            Some((status, serde_json::from_slice(&body).unwrap_or_default()))
        };
        let mut answering = std::pin::pin!(answering);
        tokio::select! {
            biased;
            answer = &mut answering => answer,
            _ = connection => answering.await,
        }
    }
}

impl Ask {
    fn of(method: Method, path: String) -> Self {
        Self {
            method,
            path,
            body: None,
            key: None,
        }
    }
}

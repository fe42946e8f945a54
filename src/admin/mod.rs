//! The operator's port and socket: `/healthz`, `/readyz`, `/metrics`, and on the socket `/orders`.
//!
//! Beside the request path, on listeners of their own. Off loopback a probe is
//! told yes or no and nothing else; on loopback it is told why, which policies
//! run, and what was counted. No probe asks a store or Devin. What changes
//! anything comes over the socket alone, whose file is its owner's. Pages of other sites in a browser on this machine are told
//! nothing.

mod health;
mod money;
mod socket;

use std::convert::Infallible;
use std::net::IpAddr;

use http::header::{CACHE_CONTROL, CONTENT_TYPE, HOST, ORIGIN};
use http::request::Parts as Head;
use http::uri::Authority;
use http::{HeaderValue, Method, Request, Response, StatusCode};
use hyper::service::Service;
use serde_json::{Value, json};

use crate::Parts;
use crate::body::{Body, full};
use crate::metrics::{self, Metrics};
use crate::pipeline::BoxFuture;

pub use health::Health;
use money::Money;
pub use money::ORDERS;
pub use socket::{AdminSocket, Claim, SocketError, Uid};

/// How much is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tells {
    /// Yes or no: off loopback.
    Little,
    /// Why, and what was counted: on loopback.
    All,
    /// And orders of this user are carried out: on the socket.
    Orders(Uid),
}

/// The admin service.
#[derive(Clone, Debug)]
pub struct Admin {
    health: Health,
    metrics: Metrics,
    money: Money,
    tells: Tells,
}

impl Admin {
    /// Of a gateway that is made of these parts.
    pub fn new(health: Health, parts: &Parts, tells: Tells) -> Self {
        Self {
            health,
            metrics: parts.metrics.clone(),
            money: Money::new(parts),
            tells,
        }
    }

    /// The same, for whom it tells as much.
    #[must_use]
    pub fn telling(&self, tells: Tells) -> Self {
        Self {
            tells,
            ..self.clone()
        }
    }

    async fn answer(self, request: Request<Body>) -> Response<Body> {
        let (head, body) = request.into_parts();
        if self.tells == Tells::All && is_of_a_page(&head) {
            let error = "ask by an address or as `localhost`, and not from a page of another site";
            return as_json(StatusCode::FORBIDDEN, &json!({"error": error}));
        }
        let path = head.uri.path();
        let (known, methods): (_, &[Method]) = match (path, self.tells) {
            ("/healthz" | "/readyz", _) | ("/metrics", Tells::All | Tells::Orders(_)) => {
                (true, &[Method::GET, Method::HEAD])
            }
            (ORDERS, Tells::Orders(_)) => (true, &[Method::POST]),
            _ => (false, &[]),
        };
        if !known {
            let known = match self.tells {
                Tells::Little => "there is /healthz and /readyz",
                Tells::All => "there is /healthz, /readyz and /metrics",
                Tells::Orders(_) => "there is /healthz, /readyz, /metrics and /orders",
            };
            return as_json(StatusCode::NOT_FOUND, &json!({"error": known}));
        }
        if !methods.contains(&head.method) {
            let method = methods.first().map_or("GET", |it| it.as_str());
            let error = json!({"error": format!("use {method}")});
            return as_json(StatusCode::METHOD_NOT_ALLOWED, &error);
        }
        match (path, self.tells) {
            ("/healthz", _) => as_json(StatusCode::OK, &json!({"status": "ok"})),
            ("/metrics", _) => {
                self.metrics.show(self.money.counted().await);
                let media = HeaderValue::from_static(metrics::CONTENT_TYPE);
                respond(StatusCode::OK, media, self.metrics.page())
            }
            (ORDERS, Tells::Orders(uid)) => {
                let (status, said) = self.money.order(body, uid).await;
                as_json(status, &said)
            }
            _ => self.readiness(),
        }
    }

    fn readiness(&self) -> Response<Body> {
        let reasons = self.health.reasons();
        let status = if reasons.is_empty() {
            StatusCode::OK
        } else {
            StatusCode::SERVICE_UNAVAILABLE
        };
        let mut body = json!({"ready": reasons.is_empty()});
        if let (false, Value::Object(body)) = (self.tells == Tells::Little, &mut body) {
            body.insert("reasons".to_owned(), json!(reasons));
            body.insert("spending".to_owned(), self.health.spending());
            body.insert("upstream".to_owned(), self.health.upstream());
            body.insert("policy".to_owned(), self.health.policy());
        }
        as_json(status, &body)
    }
}

/// Whether a browser asks for a page of somebody else's: it says so itself, or it asks for a name that whoever owns it has
/// pointed at this machine (A7).
fn is_of_a_page(head: &Head) -> bool {
    let is_ours = |authority: &str| {
        let authority: Option<Authority> = authority.parse().ok();
        authority.is_some_and(|it| {
            let host = it.host().trim_start_matches('[').trim_end_matches(']');
            host.eq_ignore_ascii_case("localhost") || host.parse::<IpAddr>().is_ok()
        })
    };
    let hosts = head.headers.get_all(HOST).iter();
    let mut named = hosts
        .map(|it| it.to_str().unwrap_or("?"))
        .chain(head.uri.authority().map(Authority::as_str));
    head.headers.contains_key(ORIGIN) || !named.all(is_ours)
}

fn as_json(status: StatusCode, body: &Value) -> Response<Body> {
    let media = HeaderValue::from_static("application/json");
    respond(status, media, format!("{body}\n"))
}

fn respond(status: StatusCode, media: HeaderValue, body: String) -> Response<Body> {
    let mut response = Response::new(full(body));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, media);
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

impl Service<Request<Body>> for Admin {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<Response<Body>, Infallible>;

    fn call(&self, request: Request<Body>) -> Self::Future {
        let admin = self.clone();
        Box::pin(async move { Ok(admin.answer(request).await) })
    }
}

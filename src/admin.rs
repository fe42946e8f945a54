//! The operator's port: `/healthz`, `/readyz` and `/metrics`.
//!
//! Beside the request path, on a listener of its own. Off loopback a probe is
//! told yes or no and nothing else; on loopback it is told why, which policies
//! run, and what was counted. No probe asks a store or Devin.

use std::convert::Infallible;
use std::future::{Ready, ready};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use http::{HeaderValue, Method, Request, Response, StatusCode};
use hyper::body::Incoming;
use hyper::service::Service;
use serde_json::{Value, json};

use crate::Parts;
use crate::body::{Body, full};
use crate::clock::Clock;
use crate::metrics::{self, Metrics};
use crate::pipeline::access_log::Sink;
use crate::ruleset::{Current, Loaded, Named};

/// What readiness depends on, and what is told with it.
#[derive(Clone, Debug)]
pub struct Health {
    stopping: Arc<AtomicBool>,
    log: Sink,
    policies: Current,
    clock: Arc<dyn Clock>,
}

impl Health {
    /// Of a gateway that is made of these parts.
    pub fn new(parts: &Parts) -> Self {
        Self {
            stopping: Arc::default(),
            log: parts.log.clone(),
            policies: parts.policies.clone(),
            clock: Arc::clone(&parts.clock),
        }
    }

    /// From now on not ready.
    pub fn stopping(&self) {
        self.stopping.store(true, Ordering::Relaxed);
    }

    fn reasons(&self) -> Vec<&'static str> {
        let mut reasons = Vec::new();
        if self.stopping.load(Ordering::Relaxed) {
            reasons.push("stopping");
        }
        if !self.log.is_healthy() {
            reasons.push("the access log cannot be written");
        }
        reasons
    }

    /// The policies that run. That newer ones were refused is no reason not to be ready: these do their work.
    fn policy(&self) -> Value {
        let Loaded {
            hash,
            callers,
            loaded_at,
            reloads,
            refused,
            last_refused,
            last_change,
        } = self.policies.loaded();
        let age = self.clock.now().as_second() - loaded_at.as_second();
        let mut policy = json!({
            "hash": hash,
            "callers": callers,
            "loaded_at": loaded_at.to_string(),
            "age_seconds": age.max(0),
            "reloads": reloads,
            "refused_reloads": refused,
        });
        if let (Some(change), Value::Object(policy)) = (last_change, &mut policy) {
            let named = |it: &Named| json!({"count": it.count, "rules": it.rules});
            let change = json!({
                "at": change.at.to_string(),
                "added": named(&change.added),
                "removed": named(&change.removed),
                "changed": named(&change.changed),
            });
            policy.insert("last_change".to_owned(), change);
        }
        if let (Some(refused), Value::Object(policy)) = (last_refused, &mut policy) {
            let refused = json!({
                "at": refused.at.to_string(),
                "count": refused.count,
                "mistakes": refused.mistakes,
            });
            policy.insert("last_refused".to_owned(), refused);
        }
        policy
    }
}

/// The admin service.
#[derive(Clone, Debug)]
pub struct Admin {
    health: Health,
    metrics: Metrics,
    tells_all: bool,
}

impl Admin {
    /// Says more than yes and no only where `tells_all`.
    pub fn new(health: Health, metrics: Metrics, tells_all: bool) -> Self {
        Self {
            health,
            metrics,
            tells_all,
        }
    }

    fn answer(&self, method: &Method, path: &str) -> Response<Body> {
        if !matches!(
            (path, self.tells_all),
            ("/healthz" | "/readyz", _) | ("/metrics", true)
        ) {
            let known = if self.tells_all {
                "there is /healthz, /readyz and /metrics"
            } else {
                "there is /healthz and /readyz"
            };
            return as_json(StatusCode::NOT_FOUND, &json!({"error": known}));
        }
        if !matches!(*method, Method::GET | Method::HEAD) {
            let error = json!({"error": "use GET"});
            return as_json(StatusCode::METHOD_NOT_ALLOWED, &error);
        }
        match path {
            "/healthz" => as_json(StatusCode::OK, &json!({"status": "ok"})),
            "/metrics" => {
                let media = HeaderValue::from_static(metrics::CONTENT_TYPE);
                respond(StatusCode::OK, media, self.metrics.page())
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
        if let (true, Value::Object(body)) = (self.tells_all, &mut body) {
            body.insert("reasons".to_owned(), json!(reasons));
            body.insert("policy".to_owned(), self.health.policy());
        }
        as_json(status, &body)
    }
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

impl Service<Request<Incoming>> for Admin {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Ready<Result<Response<Body>, Infallible>>;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        ready(Ok(self.answer(request.method(), request.uri().path())))
    }
}

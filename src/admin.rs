//! The operator's port: `/healthz` and `/readyz`.
//!
//! Beside the request path, on a listener of its own. Off loopback a probe is
//! told yes or no and nothing else; on loopback it is told why. No probe asks a
//! store or Devin.

use std::convert::Infallible;
use std::future::{Ready, ready};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use http::{HeaderValue, Method, Request, Response, StatusCode};
use hyper::body::Incoming;
use hyper::service::Service;
use serde_json::json;

use crate::body::{Body, full};
use crate::pipeline::access_log::Sink;
use crate::ruleset::Current;

/// What readiness depends on.
#[derive(Clone, Debug)]
pub struct Health {
    stopping: Arc<AtomicBool>,
    log: Sink,
    policies: Current,
}

impl Health {
    /// Of this log and these policies.
    pub fn new(log: Sink, policies: Current) -> Self {
        Self {
            stopping: Arc::default(),
            log,
            policies,
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
}

/// The admin service.
#[derive(Clone, Debug)]
pub struct Admin {
    health: Health,
    tells_why: bool,
}

impl Admin {
    /// Answers with reasons only where `tells_why`.
    pub fn new(health: Health, tells_why: bool) -> Self {
        Self { health, tells_why }
    }

    fn answer(&self, method: &Method, path: &str) -> (StatusCode, serde_json::Value) {
        if !matches!(path, "/healthz" | "/readyz") {
            return (
                StatusCode::NOT_FOUND,
                json!({"error": "there is /healthz and /readyz"}),
            );
        }
        if !matches!(*method, Method::GET | Method::HEAD) {
            return (StatusCode::METHOD_NOT_ALLOWED, json!({"error": "use GET"}));
        }
        if path == "/healthz" {
            return (StatusCode::OK, json!({"status": "ok"}));
        }
        let reasons = self.health.reasons();
        let status = if reasons.is_empty() {
            StatusCode::OK
        } else {
            StatusCode::SERVICE_UNAVAILABLE
        };
        let body = if self.tells_why {
            let rules = self.health.policies.load();
            let policy = rules.policy();
            json!({
                "ready": reasons.is_empty(),
                "reasons": reasons,
                "policy": {"hash": policy.hash(), "callers": policy.callers().count()},
            })
        } else {
            json!({"ready": reasons.is_empty()})
        };
        (status, body)
    }
}

impl Service<Request<Incoming>> for Admin {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Ready<Result<Response<Body>, Infallible>>;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        let (status, body) = self.answer(request.method(), request.uri().path());
        let mut response = Response::new(full(format!("{body}\n")));
        *response.status_mut() = status;
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        ready(Ok(response))
    }
}

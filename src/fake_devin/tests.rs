//! The fake driven over real sockets.

mod elsewhere;
mod faults;
mod flows;
mod odd;
mod resources;
mod scale;
mod sessions;

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use http::header::{AUTHORIZATION, HeaderMap};
use http::{Method, Request, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::{Client, Error};
use hyper_util::rt::TokioExecutor;
use serde_json::{Value, json};
use tokio::net::TcpListener;

use super::{FakeDevin, Options};

const TOKEN: &str = "test-token";

/// 2026-03-02T09:00:00Z, an hour into a billing day.
const START: i64 = 1_772_442_000;

struct Harness {
    fake: FakeDevin,
    address: SocketAddr,
    client: Client<HttpConnector, Full<Bytes>>,
}

struct Response {
    status: StatusCode,
    headers: HeaderMap,
    bytes: Bytes,
}

impl Response {
    #[track_caller]
    fn ok(self) -> Value {
        let text = String::from_utf8_lossy(&self.bytes);
        assert_eq!(self.status, StatusCode::OK, "{text}");
        self.json()
    }

    fn json(&self) -> Value {
        serde_json::from_slice(&self.bytes).unwrap()
    }

    /// The text of a problem, after a look at its form.
    #[track_caller]
    fn problem(&self, status: u16) -> String {
        assert_eq!(self.status.as_u16(), status);
        assert_eq!(self.headers["content-type"], "application/problem+json");
        let body = self.json();
        assert_eq!(body["status"], json!(status));
        body["detail"]
            .as_str()
            .map_or_else(|| body["detail"].to_string(), str::to_owned)
    }
}

/// Options for tests: fixed time that only moves when told to, an ACU a minute, ten minutes' work.
fn options() -> Options {
    Options {
        token: TOKEN.into(),
        speed: 0.0,
        start: Some(START),
        acus_per_minute: 1.0,
        work_minutes: 10.0,
        idle_minutes: 5.0,
        ..Options::default()
    }
}

impl Harness {
    async fn start() -> Self {
        Self::with(options(), false).await
    }

    async fn with(options: Options, http2: bool) -> Self {
        let fake = FakeDevin::new(options);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let served = fake.clone();
        tokio::spawn(async move { served.serve(listener, std::future::pending()).await });
        let client = Client::builder(TokioExecutor::new())
            .retry_canceled_requests(false)
            .http2_only(http2)
            .build_http();
        Self {
            fake,
            address,
            client,
        }
    }

    fn minutes(&self, minutes: u64) {
        self.fake.advance(Duration::from_secs(minutes * 60));
    }

    async fn send(&self, request: Request<Full<Bytes>>) -> Result<Response, Error> {
        let (parts, body) = self.client.request(request).await?.into_parts();
        let bytes = body
            .collect()
            .await
            .map(|body| body.to_bytes())
            .unwrap_or_default();
        Ok(Response {
            status: parts.status,
            headers: parts.headers,
            bytes,
        })
    }

    fn request(&self, method: Method, path: &str, body: Option<Value>) -> Request<Full<Bytes>> {
        let body = body
            .map(|body| Bytes::from(body.to_string()))
            .unwrap_or_default();
        Request::builder()
            .method(method)
            .uri(format!("http://{}{path}", self.address))
            .header(AUTHORIZATION, format!("Bearer {TOKEN}"))
            .header("content-type", "application/json")
            .body(Full::new(body))
            .unwrap()
    }

    async fn call(&self, method: Method, path: &str, body: Option<Value>) -> Response {
        self.send(self.request(method, path, body)).await.unwrap()
    }

    async fn get(&self, path: &str) -> Response {
        self.call(Method::GET, path, None).await
    }

    async fn post(&self, path: &str, body: Value) -> Response {
        self.call(Method::POST, path, Some(body)).await
    }

    async fn put(&self, path: &str, body: Value) -> Response {
        self.call(Method::PUT, path, Some(body)).await
    }

    async fn delete(&self, path: &str) -> Response {
        self.call(Method::DELETE, path, None).await
    }

    /// Creates a session in `org-ds`; gives back its id.
    async fn create(&self, body: Value) -> String {
        let session = self
            .post("/v3/organizations/org-ds/sessions", body)
            .await
            .ok();
        session["session_id"].as_str().unwrap().to_owned()
    }
}

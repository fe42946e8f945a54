//! A gateway, a fake Devin and a client, and the invariants that hold at the end of every test.

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response};
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tollgate::Parts;
use tollgate::api_key::ApiKey;
use tollgate::body::{Body, BoxError};
use tollgate::clock::{Clock, SystemClock};
use tollgate::document::Report;
use tollgate::exchange::Exchange;
use tollgate::fake_devin::{self, FakeDevin, Recorded};

use tollgate::ledger::Ledger;
use tollgate::metrics::Metrics;
use tollgate::pipeline::access_log::{MemoryLog, Output, Sink};
use tollgate::pipeline::attempts::Records;
use tollgate::pipeline::authenticate::Issuer;
use tollgate::pipeline::credential::{Outbound, Pinned};
use tollgate::pipeline::pressure::PressureLayer;
use tollgate::pipeline::upstream::{Timeouts, Upstream};
use tollgate::policy::{PolicyFiles, compile};
use tollgate::rejection::Rejection;
use tollgate::ruleset::Current;
use tollgate::serve::{Bound, Running, start};
use tollgate::settle::Times;
use tollgate::telemetry;
use tollgate::token::ServiceToken;
use tower::Service;

use crate::answer::Answer;
use crate::invariants;

/// `one` may do what tests need in `org-ds`, with sessions that nobody created too; `other` next to nothing.
pub(crate) const POLICY: &str = r#"
team: t
owner: t@acme.example
callers: { one: {}, other: {}, slow: {} }
allow:
  - { name: sessions, operations: ["sessions.**", "attachments.*", "org_tags.*"], organizations: [org-ds], sessions: any, uncapped: { acus: 1, per: run }, body: { max_acu_limit: { default: 5 } } }
  - { name: self, callers: [one, slow], operations: [enterprise.self.get, self.get, organizations.list], organizations: any }
deny:
  - { name: no end, operations: [sessions.terminate] }
limits:
  - { name: trickle, per: caller, callers: [slow], rate: 2/min, burst: 2 }
"#;

/// The response headers that a caller may ever see.
const ANSWER_HEADERS: [&str; 26] = [
    "age",
    "allow",
    "cache-control",
    "content-disposition",
    "content-encoding",
    "content-length",
    "content-security-policy",
    "content-type",
    "connection",
    "date",
    "etag",
    "location",
    "ratelimit",
    "ratelimit-policy",
    "retry-after",
    "tollgate-acu-cap",
    "tollgate-acu-remaining",
    "tollgate-answered-by",
    "tollgate-cache",
    "transfer-encoding",
    "vary",
    "via",
    "www-authenticate",
    "x-content-type-options",
    "x-request-id",
    "x-should-retry",
];

/// What a test may choose.
pub(crate) struct Setup {
    pub(crate) policy: String,
    /// A file of guard rails beside the policy; none if empty.
    pub(crate) rails: String,
    /// Ids of the fake's organizations.
    pub(crate) organizations: Vec<String>,
    pub(crate) issuers: Vec<Issuer>,
    pub(crate) issuer_names: Vec<&'static str>,
    pub(crate) timeouts: Timeouts,

    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) roots: Vec<rustls::pki_types::CertificateDer<'static>>,
    /// What is known of earlier attempts to spend, if not what the ledger knows.
    /// Organizations whose allowed tags leave out ours.
    pub(crate) untagged: Arc<std::collections::HashSet<String>>,
    /// When the reconciler does what.
    pub(crate) times: Option<Times>,
    pub(crate) records: Option<Arc<dyn Records>>,
    /// How fast requests may leave for Devin.
    pub(crate) pressure: tollgate::pressure::Options,
    /// Where Devin is, if not at the fake's own address.
    pub(crate) pinned: Option<Pinned>,
    /// Whether the process logs nothing: of ten thousand requests, the trace is gigabytes.
    pub(crate) silent: bool,
    /// How much the gateway takes on, and how long it waits for clients.
    pub(crate) capacity: tollgate::capacity::Options,
}

impl Default for Setup {
    fn default() -> Self {
        Self {
            policy: POLICY.to_owned(),
            rails: String::new(),
            organizations: ["org-ds", "org-web", "org-infra"].map(str::to_owned).into(),
            issuers: Vec::new(),
            issuer_names: Vec::new(),
            timeouts: Timeouts {
                connect: Duration::from_secs(2),
                first_byte: Duration::from_secs(20),
                total: Duration::from_secs(20),
            },
            clock: Arc::new(SystemClock),
            roots: Vec::new(),
            records: None,
            untagged: Arc::default(),
            times: None,
            pressure: Default::default(),
            pinned: None,
            silent: false,
            capacity: Default::default(),
        }
    }
}

pub(crate) struct World {
    pub(crate) fake: FakeDevin,
    pub(crate) fake_address: SocketAddr,
    pub(crate) gateway: SocketAddr,
    pub(crate) admin: SocketAddr,
    pub(crate) token: String,
    keys: HashMap<String, String>,
    /// Every credential that was ever sent; none may be found anywhere.
    pub(crate) canaries: Mutex<Vec<String>>,
    client: Client<HttpConnector, Full<Bytes>>,
    sent: Mutex<usize>,
    pub(crate) answers: Mutex<Vec<u8>>,
    pub(crate) log: MemoryLog,
    pub(crate) sink: Sink,
    pub(crate) policies: Current,
    pub(crate) metrics: Metrics,
    pub(crate) ledger: Ledger,
    pub(crate) parts: Parts,
    running: Option<Running>,
    stopping: Option<JoinHandle<Result<(), BoxError>>>,
    stop_fake: CancellationToken,
    internal: usize,
    faulty: bool,
}

/// Everything that the process logs at trace level, for all tests of this process.
pub(crate) fn trace() -> &'static Mutex<Vec<u8>> {
    static TRACE: OnceLock<Mutex<Vec<u8>>> = OnceLock::new();
    TRACE.get_or_init(|| {
        struct Writer;
        impl io::Write for Writer {
            fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
                trace().lock().unwrap().extend_from_slice(bytes);
                Ok(bytes.len())
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        tracing::subscriber::set_global_default(telemetry::subscriber("trace", || Writer)).unwrap();
        Mutex::default()
    })
}

impl World {
    pub(crate) async fn start() -> Self {
        Self::with(Setup::default()).await
    }

    pub(crate) async fn with(setup: Setup) -> Self {
        Self::around(setup, |upstream| upstream).await
    }

    /// With a service of the test's own between the stack and the client.
    pub(crate) async fn around<U>(setup: Setup, wrap: impl FnOnce(Upstream) -> U) -> Self
    where
        U: Service<Exchange<Outbound>, Response = Response<Body>, Error = Rejection>
            + Clone
            + Send
            + Sync
            + 'static,
        U::Future: Send + 'static,
    {
        if !setup.silent {
            drop(trace().lock().unwrap());
        }
        let secret = ApiKey::generate("service-token").unwrap();
        let token = format!("cog_{}", secret.digest_hex());
        let fake = FakeDevin::new(fake_devin::Options {
            token: token.clone(),
            speed: 0.0,
            organizations: setup
                .organizations
                .iter()
                .map(|id| (id.clone(), format!("The one called {id}")))
                .collect(),
            ..fake_devin::Options::default()
        });
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let fake_address = listener.local_addr().unwrap();
        let stop_fake = CancellationToken::new();
        let (serving, stopped) = (fake.clone(), stop_fake.clone().cancelled_owned());
        tokio::spawn(async move { serving.serve(listener, stopped).await });

        let mut report = Report::default();
        let mut texts = vec![("policy.yaml", setup.policy.as_str())];
        if !setup.rails.is_empty() {
            texts.push(("rails.yaml", setup.rails.as_str()));
        }
        let files = PolicyFiles::from_texts(texts, &mut report);
        let mut policy = compile(&files, &setup.issuer_names, &mut report)
            .unwrap_or_else(|| panic!("{}", report.plain()));
        let mut keys = HashMap::new();
        let names: Vec<String> = policy.callers().map(|it| it.name().to_string()).collect();
        for name in names {
            let key = ApiKey::generate(&name).unwrap();
            assert!(policy.add_key(&name, &name, key.digest().clone()));
            keys.insert(name, key.expose().to_owned());
        }
        let log = MemoryLog::default();
        let sink = Sink::open(Output::Memory(log.clone())).unwrap();
        let policies = Current::new(policy, setup.clock.now());
        let metrics = Metrics::new(policies.clone());
        let ledger = tollgate::ledger::Ledger::temporary(Duration::ZERO)
            .await
            .unwrap();
        let pressure = PressureLayer::new(
            &setup.pressure,
            &metrics,
            Arc::clone(&setup.clock),
            setup.timeouts.total,
        );
        let parts = Parts {
            metrics: metrics.clone(),
            policies: policies.clone(),
            issuers: setup.issuers.into(),
            token: ServiceToken::new(&token.clone().into()).unwrap(),
            pinned: setup.pinned.unwrap_or_else(|| at(fake_address)),
            upstream_total: setup.timeouts.total,
            untagged: setup.untagged,
            times: setup.times,
            records: setup.records.unwrap_or_else(|| Arc::new(ledger.clone())),
            ledger,
            tasks: TaskTracker::new(),
            log: sink.clone(),
            clock: setup.clock,
            pressure,
            capacity: setup.capacity,
        };
        let bound = Bound {
            callers: vec![TcpListener::bind("127.0.0.1:0").await.unwrap().into()],
            admin: TcpListener::bind("127.0.0.1:0").await.unwrap().into(),
            socket: None,
        };
        let upstream = Upstream::new(&setup.roots, setup.timeouts).unwrap();
        metrics.show_upstream(upstream.counted());
        let upstream = wrap(upstream);
        let running = start(bound, &parts, upstream).unwrap();
        Self {
            fake,
            fake_address,
            gateway: running.callers[0],
            admin: running.admin,
            canaries: Mutex::new(keys.values().cloned().collect()),
            token,
            keys,
            client: Client::builder(TokioExecutor::new()).build_http(),
            sent: Mutex::new(0),
            answers: Mutex::default(),
            log,
            sink,
            policies,
            metrics,
            ledger: parts.ledger.clone(),
            parts,
            running: Some(running),
            stopping: None,
            stop_fake,
            internal: 0,
            faulty: false,
        }
    }

    /// This many answers of 500 are made by the test itself.
    pub(crate) fn expect_internal(&mut self, count: usize) {
        self.internal = count;
    }

    /// The test makes the upstream fail: 502 and 504 are its doing.
    pub(crate) fn upstream_faulty(&mut self) {
        self.faulty = true;
    }

    pub(crate) fn key(&self, caller: &str) -> String {
        self.keys[caller].clone()
    }

    pub(crate) async fn get(&self, caller: &str, path: &str) -> Answer {
        self.call(caller, Method::GET, path, "").await
    }

    pub(crate) async fn post(&self, caller: &str, path: &str, body: &str) -> Answer {
        self.call(caller, Method::POST, path, body).await
    }

    pub(crate) async fn call(
        &self,
        caller: &str,
        method: Method,
        path: &str,
        body: &str,
    ) -> Answer {
        let authorization = format!("Bearer {}", self.key(caller));
        let mut request = Request::builder()
            .method(method)
            .header("authorization", authorization);
        if !body.is_empty() {
            request = request.header("content-type", "application/json");
        }
        self.send(path, request, body).await
    }

    /// Sends a request that is otherwise as the test built it, and reads the whole answer.
    pub(crate) async fn send(
        &self,
        path: &str,
        request: http::request::Builder,
        body: &str,
    ) -> Answer {
        let request = request.uri(format!("http://{}{path}", self.gateway));
        let request = request
            .body(Full::new(Bytes::from(body.to_owned())))
            .unwrap();
        let answer = self.begin(request).await;
        let (head, body) = answer.into_parts();
        let body = body.collect().await.expect("a whole answer").to_bytes();
        self.answered(&body);
        Answer {
            status: head.status,
            headers: head.headers,
            body,
        }
    }

    /// Sends a request and hands out the answer before its body has come.
    pub(crate) async fn begin(
        &self,
        request: Request<Full<Bytes>>,
    ) -> Response<hyper::body::Incoming> {
        *self.sent.lock().unwrap() += 1;
        let answer = self.client.request(request).await.expect("an answer");
        self.check_headers(answer.headers());
        answer
    }

    /// Notes requests that went another way than through [`World::begin`].
    pub(crate) fn sent(&self, count: usize) {
        *self.sent.lock().unwrap() += count;
    }

    /// Notes that there were so many in all: of a flood, only the log knows how many were requests.
    pub(crate) fn sent_in_all(&self, count: usize) {
        *self.sent.lock().unwrap() = count;
    }

    pub(crate) fn answered(&self, bytes: &[u8]) {
        self.answers.lock().unwrap().extend_from_slice(bytes);
    }

    pub(crate) fn check_headers(&self, headers: &HeaderMap) {
        for (name, value) in headers {
            assert!(
                ANSWER_HEADERS.contains(&name.as_str()),
                "an answer has the header {name}: {value:?}"
            );
            self.answered(value.as_bytes());
            self.answered(b"\n");
        }
    }

    /// Writes these bytes to the caller port and reads until the gateway closes or is silent.
    pub(crate) async fn raw(&self, bytes: &[u8]) -> String {
        let mut stream = TcpStream::connect(self.gateway).await.unwrap();
        // Of what is too much, the gateway may not wait for the end.
        let _ = stream.write_all(bytes).await;
        let mut answer = Vec::new();
        let mut buffer = [0; 4096];
        while let Ok(Ok(length)) =
            tokio::time::timeout(Duration::from_secs(2), stream.read(&mut buffer)).await
        {
            if length == 0 {
                break;
            }
            answer.extend_from_slice(&buffer[..length]);
        }
        self.answered(&answer);
        String::from_utf8_lossy(&answer).into_owned()
    }

    /// What the operator's port answers, and of which media type.
    pub(crate) async fn operator(&self, path: &str) -> (u16, String, String) {
        let uri = format!("http://{}{path}", self.admin).parse().unwrap();
        let (head, body) = self.client.get(uri).await.unwrap().into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        self.answered(&body);
        (
            head.status.as_u16(),
            head.headers["content-type"].to_str().unwrap().to_owned(),
            String::from_utf8(body.to_vec()).unwrap(),
        )
    }

    /// What the fake was sent.
    pub(crate) fn upstream(&self) -> Vec<Recorded> {
        self.fake.requests()
    }

    /// The log's lines so far, once there are as many requests as were sent.
    pub(crate) async fn lines(&self) -> Vec<Value> {
        let wanted = *self.sent.lock().unwrap();
        for _ in 0..200 {
            let sink = self.sink.clone();
            tokio::task::spawn_blocking(move || sink.flush())
                .await
                .unwrap();
            let lines = invariants::parse(&self.log.text());
            if lines
                .iter()
                .filter(|line| line["kind"] == "request")
                .count()
                >= wanted
            {
                // What the gateway asked by itself is nobody's request.
                return lines.into_iter().filter(|it| it["kind"] != "own").collect();
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!(
            "{wanted} requests were sent, the log says:\n{}",
            self.log.text()
        );
    }

    pub(crate) async fn last_line(&self) -> Value {
        self.lines().await.pop().expect("a line")
    }

    /// Tells the gateway to stop, as a signal does; [`World::finish`] waits for it.
    pub(crate) fn stop(&mut self) {
        if let Some(running) = self.running.take() {
            self.stopping = Some(tokio::spawn(running.stop()));
        }
    }

    /// Stops everything and checks the invariants.
    pub(crate) async fn finish(mut self) {
        let lines = self.lines().await;
        self.stop();
        self.stopping.take().unwrap().await.unwrap().unwrap();
        let at_end = invariants::parse(&self.log.text());
        let own: Vec<&Value> = at_end.iter().filter(|it| it["kind"] == "own").collect();
        assert_eq!(
            lines.len() + own.len(),
            at_end.len(),
            "G4: lines after the end"
        );
        let requests: Vec<&Value> = at_end
            .iter()
            .filter(|line| line["kind"] == "request")
            .collect();
        assert_eq!(
            requests.len(),
            *self.sent.lock().unwrap(),
            "G4: one line for each request"
        );
        let upstream = self.fake.requests();
        self.stop_fake.cancel();
        self.check_upstream(&upstream);
        let asked: Vec<&Value> = requests.iter().chain(&own).copied().collect();
        invariants::check_join(&asked, &upstream);
        self.check_money().await;
        let internal = requests
            .iter()
            .filter(|line| line["code"] == "internal")
            .count();
        assert_eq!(internal, self.internal, "G5: bugs");
        let panics = String::from_utf8_lossy(&trace().lock().unwrap())
            .matches(" panic at=")
            .count();
        assert!(panics <= self.internal, "G5: panics");
        let is_bad_gateway = |line: &&&Value| line["status"] == 502 || line["status"] == 504;
        if !self.faulty {
            assert_eq!(
                requests.iter().filter(is_bad_gateway).count(),
                0,
                "G5: a 502 that the upstream did not cause"
            );
        }
        self.check_secrets();
    }
}

impl Drop for World {
    fn drop(&mut self) {
        if (self.running.is_some() || self.stopping.is_some()) && !std::thread::panicking() {
            panic!("a test must end with finish()");
        }
    }
}

pub(crate) fn at(address: SocketAddr) -> Pinned {
    Pinned {
        scheme: http::uri::Scheme::HTTP,
        authority: address.to_string().parse().unwrap(),
    }
}

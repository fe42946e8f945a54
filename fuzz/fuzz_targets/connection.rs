//! A connection and the whole stack behind it: whatever bytes come, nothing panics or hangs, each head has one log line,
//! and what goes to Devin is one operation of the caller's with the shared token and framing of our own.
//!
//! An input's first byte says how large the pieces are in which the rest comes (0: in one piece). In it `~` stands for a
//! caller's key, which no chance finds.

#![no_main]

use std::cell::RefCell;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Method, Response, Uri};
use http_body_util::BodyExt;
use libfuzzer_sys::{Corpus, fuzz_target};
use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};
use tokio::runtime::Runtime;
use tokio_util::task::TaskTracker;
use tollgate::body::{Body, full};
use tollgate::catalogue::Catalogue;
use tollgate::clock::SystemClock;
use tollgate::document::Report;
use tollgate::exchange::Exchange;
use tollgate::ledger::tag::TagKey;
use tollgate::ledger::{Ledger, Options};
use tollgate::metrics::Metrics;
use tollgate::pipeline::BoxFuture;
use tollgate::pipeline::access_log::{MemoryLog, Output, Sink};
use tollgate::pipeline::attempts::MemoryRecords;
use tollgate::pipeline::credential::{Outbound, Pinned};
use tollgate::pipeline::edge::Arrival;
use tollgate::pipeline::pressure::PressureLayer;
use tollgate::policy::{PolicyFiles, compile};
use tollgate::rejection::Rejection;
use tollgate::ruleset::Current;
use tollgate::target::Target;
use tollgate::token::ServiceToken;
use tollgate::{Parts, gateway, serve};
use tower::{Layer, Service};

/// A caller's key, of no other worth than that this policy knows it.
const KEY: &[u8] = b"tg_fuzz_7NOaHnPpTrlGDDhLDhxzZMSSldbngBlpsOZkumYxyR40fMf6M";
const TOKEN: &str = "cog_fuzzed";
const HOST: &str = "devin.test";
const POLICY: &str = "
team: t
callers: { one: { keys: [{ id: fuzz, sha256: b429d660258c92f730f027fbd76d18dbc600606d9e30e88c3b926e0b1f383094 }] } }
allow:
  - { name: self, operations: [self.get, enterprise.self.get], organizations: any }
  - { name: reads, operations: [sessions.get, 'repositories.**'], organizations: [org-ds], sessions: any }
  - { name: tags, operations: ['org_tags.**'], organizations: [org-ds] }
  - { name: books, operations: [playbooks.create], organizations: [org-ds], body: { title: { max_length: 20 } } }
";
/// Longer than anything may take.
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// What Devin would have got.
struct Sent {
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    operation: &'static str,
    body: Result<Bytes, String>,
}

#[derive(Clone, Default)]
struct Devin(Arc<Mutex<Vec<Sent>>>);

impl Service<Exchange<Outbound>> for Devin {
    type Response = Response<Body>;
    type Error = Rejection;
    type Future = BoxFuture<Response<Body>, Rejection>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Rejection>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, exchange: Exchange<Outbound>) -> Self::Future {
        let sent = Arc::clone(&self.0);
        Box::pin(async move {
            let operation = exchange.proof.operation().row().id;
            let (head, body) = exchange.request.into_parts();
            let body = body.collect().await;
            let body = body.map(|it| it.to_bytes()).map_err(|it| it.to_string());
            let is_whole = body.is_ok();
            sent.lock()
                .unwrap_or_else(PoisonError::into_inner)
                .push(Sent {
                    method: head.method,
                    uri: head.uri,
                    headers: head.headers,
                    operation,
                    body,
                });
            if !is_whole {
                return Err(Rejection::BodyBroken);
            }
            let answer = Response::builder().header("content-type", "application/json");
            Ok(answer
                .body(full("{\"items\":[]}"))
                .expect("it is an answer"))
        })
    }
}

/// The stack, and how many heads have come to it.
#[derive(Clone)]
struct Counted<S>(S, Arc<AtomicUsize>);

impl<S: Service<Arrival>> Service<Arrival> for Counted<S> {
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.0.poll_ready(cx)
    }

    fn call(&mut self, arrival: Arrival) -> S::Future {
        self.1.fetch_add(1, Ordering::SeqCst);
        self.0.call(arrival)
    }
}

/// Serves a connection on which these bytes come in pieces of a size.
type Serve = Box<dyn Fn(Vec<u8>, usize) -> BoxFuture<(), tokio::time::error::Elapsed>>;

struct World {
    runtime: Runtime,
    serve: Serve,
    devin: Devin,
    heads: Arc<AtomicUsize>,
    log: MemoryLog,
    sink: Sink,
    catalogue: Catalogue,
}

thread_local!(static WORLD: RefCell<Option<World>> = const { RefCell::new(None) });

fuzz_target!(|input: &[u8]| -> Corpus {
    let Some((size, bytes)) = input.split_first() else {
        return Corpus::Reject;
    };
    let mut said = Vec::new();
    for byte in bytes {
        match byte {
            b'~' => said.extend(KEY),
            other => said.push(*other),
        }
    }
    WORLD.with_borrow_mut(|world| {
        world
            .get_or_insert_with(World::new)
            .meets(said, usize::from(*size))
    });
    Corpus::Keep
});

impl World {
    fn new() -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .expect("a runtime");
        let mut report = Report::default();
        let files = PolicyFiles::from_texts([("policy.yaml", POLICY)], &mut report);
        let policy = compile(&files, &[], &mut report);
        let policy = policy.unwrap_or_else(|| panic!("{}", report.plain()));
        let clock = Arc::new(SystemClock);
        let policies = Current::new(policy, tollgate::clock::Clock::now(&SystemClock));
        let (devin, heads, log) = (Devin::default(), Arc::default(), MemoryLog::default());
        let sink = Sink::open(Output::Memory(log.clone())).expect("a log");
        let folder = std::env::temp_dir().join(format!("tollgate-fuzz-{}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("a folder");
        let (devins, counted, lines) = (devin.clone(), Arc::clone(&heads), sink.clone());
        let serve = runtime.block_on(async move {
            let ledger = Ledger::open_in_one_thread(Options {
                path: folder.join("tollgate.db"),
                tag_key: TagKey::new(&[7; 32]).expect("a key"),
                quiet: Duration::ZERO,
                hand_over: Duration::ZERO,
            });
            let ledger = ledger.await.expect("a ledger");
            let metrics = Metrics::new(policies.clone());
            let pressure = PressureLayer::new(
                &Default::default(),
                &metrics,
                clock.clone(),
                Duration::from_secs(60),
            );
            let parts = Parts {
                policies,
                issuers: Arc::new([]),
                token: ServiceToken::new(&TOKEN.to_owned().into()).expect("a token"),
                pinned: Pinned {
                    scheme: http::uri::Scheme::HTTP,
                    authority: HOST.parse().expect("a name"),
                },
                upstream_total: Duration::from_secs(60),
                log: lines,
                metrics,
                ledger,
                untagged: Arc::default(),
                times: None,
                records: Arc::new(MemoryRecords::default()),
                tasks: TaskTracker::new(),
                clock,
                pressure,
                capacity: Default::default(),
            };
            let upstream = parts.pressure.layer(devins);
            let stack = Counted(gateway(&parts, upstream), counted);
            let parts = Arc::new(parts);
            let serve: Serve = Box::new(move |bytes, size| {
                let (stack, parts) = (stack.clone(), Arc::clone(&parts));
                Box::pin(tokio::time::timeout(DAY, async move {
                    let (near, far) = duplex(64 * 1024);
                    let (mut reading, mut writing) = tokio::io::split(near);
                    let peer = ([127, 0, 0, 1], 1).into();
                    let client = async move {
                        let mut answers = Vec::new();
                        let write = async {
                            for piece in bytes.chunks(if size == 0 { usize::MAX } else { size }) {
                                if writing.write_all(piece).await.is_err() {
                                    break;
                                }
                                tokio::task::yield_now().await;
                            }
                        };
                        let (_, _) = tokio::join!(write, reading.read_to_end(&mut answers));
                    };
                    tokio::join!(client, serve::one(far, peer, stack, &parts));
                }))
            });
            serve
        });
        Self {
            runtime,
            serve,
            devin,
            heads,
            log,
            sink,
            catalogue: Catalogue::new(),
        }
    }

    fn meets(&mut self, bytes: Vec<u8>, size: usize) {
        let before = self.heads.load(Ordering::SeqCst);
        let said = bytes.clone();
        self.runtime
            .block_on(async { (self.serve)(bytes, size).await })
            .expect("the connection comes to its end");
        self.sink.flush();
        let log = self.log.take();
        let heads = self.heads.load(Ordering::SeqCst) - before;
        let lines: Vec<serde_json::Value> = log
            .lines()
            .map(|it| serde_json::from_str(it).expect("a line is JSON"))
            .collect();
        let requests = lines.iter().filter(|it| it["kind"] == "request");
        assert_eq!(requests.clone().count(), heads, "{log}");
        if !said.starts_with(b"PRI * HTTP/2.0") {
            let ends = said.windows(4).filter(|it| it == b"\r\n\r\n").count();
            assert!(heads <= ends, "a head ended before its end");
        }
        for line in requests.clone() {
            assert!(
                line["code"] != "internal" && line["status"] != 502,
                "{line}"
            );
        }
        let mut sent = self.devin.0.lock().unwrap_or_else(PoisonError::into_inner);
        for sent in sent.drain(..) {
            self.is_canonical(&sent);
            // A body that streams by is what came, if that was not in chunks.
            if let (Ok(body), true) = (&sent.body, sent.headers.contains_key("content-length"))
                && sent.operation.starts_with("org_tags.")
                && !body.is_empty()
            {
                assert!(
                    said.windows(body.len()).any(|it| it == body),
                    "a body was changed"
                );
            }
            let id = sent
                .headers
                .get("x-request-id")
                .and_then(|it| it.to_str().ok());
            let line = requests.clone().find(|it| it["request_id"].as_str() == id);
            let line = line.expect("what is sent has a line");
            assert_eq!(line["decision"], "allow");
            assert_eq!(line["caller"], "one");
            // What looks like a credential is not told, and what is too long not whole.
            let path = line["path"].as_str().expect("a path");
            if !path.contains("[redacted]") && !path.contains(" more bytes]") {
                assert_eq!(path, sent.uri.path());
            }
            assert_eq!(line["operation"], sent.operation);
        }
    }

    /// One operation that the policy allows, with the token and framing of our own.
    fn is_canonical(&self, sent: &Sent) {
        let all = |name: &str| sent.headers.get_all(name).iter().count();
        assert_eq!(
            sent.headers["authorization"].as_bytes(),
            format!("Bearer {TOKEN}").as_bytes()
        );
        for name in ["authorization", "x-request-id", "via"] {
            assert_eq!(all(name), 1, "{name}");
        }
        for name in [
            "cookie",
            "connection",
            "transfer-encoding",
            "upgrade",
            "te",
            "trailer",
            "expect",
            "host",
        ] {
            assert_eq!(all(name), 0, "{name}");
        }
        assert_eq!(sent.uri.host(), Some(HOST));
        let target = Target::parse(sent.uri.path(), sent.uri.query()).expect("a canonical target");
        let found = self.catalogue.find(&sent.method, &target);
        let found = found.unwrap_or_else(|_| panic!("{} is no operation", sent.uri));
        assert_eq!(found.operation.row().id, sent.operation);
        let organization = found.parameters.iter().find(|(name, _)| *name == "org_id");
        assert!(
            organization.is_none_or(|(_, value)| value == "org-ds"),
            "{}",
            sent.uri
        );
        if let (Ok(body), Some(length)) = (&sent.body, sent.headers.get("content-length")) {
            assert_eq!(length.as_bytes(), body.len().to_string().as_bytes());
        }
        if sent.method == Method::GET {
            assert!(sent.body.as_ref().is_ok_and(Bytes::is_empty));
        }
    }
}

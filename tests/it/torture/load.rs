//! A real process under load, a fake Devin that outlives it, and the comparison of their accounts at the end.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use rusqlite::{Connection, OpenFlags};
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::sync::Notify;
use tollgate::api_key::ApiKey;
use tollgate::fake_devin::{Change, Ending, FakeDevin, Options};

use super::SESSIONS;
use crate::agreement::{agrees, number};
use crate::process::{Served, folder, serve_with, tollgate, try_serve_with};

/// How many ask at once.
const CALLERS: usize = 6;
/// How long a start waits for what it does not know: half a minute, in steps.
const STEPS: usize = 1_200;
const STEP: Duration = Duration::from_millis(25);

/// A folder for processes, one after the other, and a fake that all of them speak to.
pub(super) struct Site {
    pub(super) fake: FakeDevin,
    pub(super) folder: tempfile::TempDir,
    key: String,
    token: String,
}

impl Site {
    /// With a budget of so many ACUs, and sessions that work as fast as `speed` says.
    pub(super) async fn new(acus: u32, speed: f64) -> Self {
        let secret = ApiKey::generate("service-token").unwrap();
        let token = format!("cog_{}", secret.digest_hex());
        let fake = FakeDevin::new(Options {
            token: token.clone(),
            speed,
            ..Options::default()
        });
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let serving = fake.clone();
        tokio::spawn(async move { serving.serve(listener, std::future::pending()).await });
        let config = format!(
            "
listen: [{{ tcp: \"127.0.0.1:0\" }}]
admin: {{ tcp: \"127.0.0.1:0\" }}
upstream:
  base_url: \"http://{address}\"
  token: {{ env: DEVIN_SERVICE_USER_TOKEN }}
  timeouts: {{ connect: 1s, first_byte: 1s, total: 1s }}
policies: policies/
access_log: {{ to: file, path: access.log }}
settle: {{ every: 50ms, quiet: 100ms, unknown_after: 200ms, pace: 1ms }}
"
        );
        let key = ApiKey::generate("k1").unwrap();
        let policy = format!(
            "
team: t
callers: {{ one: {{ keys: [{{ id: k1, sha256: \"{}\" }}] }} }}
allow:
  - {{ name: sessions, operations: [\"sessions.**\"], organizations: [org-ds], body: {{ max_acu_limit: {{ default: 2 }} }} }}
budgets:
  - {{ name: month, per: team, acus: {acus}, every: month }}
",
            key.digest_hex()
        );
        Self {
            fake,
            folder: folder(&config, &[("t.yaml", &policy)]),
            key: key.expose().to_owned(),
            token,
        }
    }

    /// Starts a process, which may be told to die at a point.
    pub(super) fn serve(&self, point: Option<&str>) -> Served {
        let mut command = self.command(tollgate());
        command.arg("serve");
        if let Some(point) = point {
            command.env("TOLLGATE_FAILPOINT", point);
        }
        serve_with(command, self.folder.path())
    }

    /// Starts a process that dies at a point without being asked for anything.
    pub(super) fn starts_and_dies(&self, point: &str) {
        let mut command = self.command(tollgate());
        command.arg("serve").env("TOLLGATE_FAILPOINT", point);
        let ended = command.current_dir(self.folder.path()).output().unwrap();
        assert_eq!(ended.status.code(), None, "{ended:?}");
    }

    /// Starts a process that is told of a file that cannot grow, and not ended for it: its access log goes nowhere.
    pub(super) fn serve_where_files_can_be_limited(&self) -> Served {
        let mut command = self.command(Command::new("sh"));
        let script = "trap '' XFSZ; exec \"$0\" serve --set access_log.path=/dev/null";
        let binary = tollgate();
        command.arg("-c").arg(script).arg(binary.get_program());
        serve_with(command, self.folder.path())
    }

    /// Starts a process through another program, which does something to it. Its log, if it dies of that at once.
    pub(super) fn serve_under(&self, program: Command, extra: &[&str]) -> Result<Served, String> {
        let mut command = self.command(program);
        command.arg(tollgate().get_program()).arg("serve");
        command.args(extra);
        try_serve_with(command, self.folder.path())
    }

    fn command(&self, mut command: Command) -> Command {
        // The trace of a process under load is as much as the load itself.
        command
            .env("RUST_LOG", "warn,tollgate=info")
            .env("DEVIN_SERVICE_USER_TOKEN", &self.token);
        command
    }

    pub(super) fn client(&self) -> Caller {
        Caller {
            client: Client::builder(TokioExecutor::new()).build_http(),
            key: self.key.clone(),
        }
    }

    /// The ledger's file, for reading beside the process that has it.
    pub(super) fn look(&self) -> Connection {
        let path = self.folder.path().join("tollgate.db");
        let look = Connection::open_with_flags(&path, OpenFlags::SQLITE_OPEN_READ_ONLY).unwrap();
        look.busy_timeout(Duration::from_secs(5)).unwrap();
        look
    }

    /// Waits until the running process has no wake in these states any more.
    #[track_caller]
    pub(super) fn none_is(&self, states: &str) {
        let sql = format!("SELECT count(*) FROM wakes WHERE state IN ({states})");
        let mut left = 0;
        for _ in 0..STEPS {
            left = self.number(&sql);
            if left == 0 {
                return;
            }
            // Nothing tells that another process has written.
            std::thread::park_timeout(STEP);
        }
        panic!("{left} wakes are still {states}");
    }

    /// Waits until nothing is held any more, or something else is so.
    pub(super) fn settled_or(&self, mut is_over: impl FnMut() -> bool) {
        let sql = "SELECT count(*) FROM wakes WHERE state IN ('out', 'unknown', 'open')";
        for _ in 0..STEPS {
            if is_over() || self.number(sql) == 0 {
                return;
            }
            std::thread::park_timeout(STEP);
        }
        panic!("wakes are still held");
    }

    pub(super) fn number(&self, sql: &str) -> i64 {
        number(&self.look(), sql)
    }

    /// Ends everything, waits until a process has settled it, and compares the two accounts.
    pub(super) fn settles(&self, gateway: Served) {
        self.none_is("'out', 'unknown'");
        for session in self.fake.truth() {
            let ends = Change {
                ends: Some(Ending::Exit),
                ..Change::default()
            };
            assert!(self.fake.change(&session.id, ends));
        }
        self.none_is("'out', 'unknown', 'open'");
        gateway.stop();
        self.agree();
    }

    /// The two accounts are one, and so is the ledger by itself.
    fn agree(&self) {
        let look = self.look();
        agrees(&look, &self.fake.truth());
        drop(look);
        verify(&self.folder.path().join("tollgate.db"));
    }
}

/// Opens the ledger as the next process would, and adds everything up anew.
fn verify(path: &Path) {
    use tollgate::ledger::tag::TagKey;
    use tollgate::ledger::{HAND_OVER, Ledger, Options};
    let options = Options {
        path: path.to_owned(),
        tag_key: TagKey::new(&[0; 32]).unwrap(),
        quiet: Duration::from_secs(1),
        hand_over: HAND_OVER,
    };
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(async {
            let ledger = Ledger::open(options).await.unwrap();
            assert_eq!(ledger.stopped(), None);
            let verdict = ledger.verify().await.unwrap();
            assert!(verdict.is_sound(), "{verdict:?}");
            ledger.close().await;
        });
    })
    .join()
    .unwrap();
}

/// Somebody who creates sessions and speaks to them.
#[derive(Clone)]
pub(super) struct Caller {
    client: Client<HttpConnector, Full<Bytes>>,
    key: String,
}

impl Caller {
    /// Status and body; `None` if there was no whole answer.
    pub(super) async fn post(
        &self,
        to: SocketAddr,
        path: &str,
        body: String,
    ) -> Option<(u16, Value)> {
        let request = Request::post(format!("http://{to}{path}"))
            .header("authorization", format!("Bearer {}", self.key))
            .header("content-type", "application/json")
            .body(Full::new(Bytes::from(body)))
            .unwrap();
        self.send(request).await
    }

    pub(super) async fn get(&self, to: SocketAddr, path: &str) -> Option<(u16, Value)> {
        let request = Request::get(format!("http://{to}{path}"))
            .header("authorization", format!("Bearer {}", self.key))
            .body(Full::default())
            .unwrap();
        self.send(request).await
    }

    async fn send(&self, request: Request<Full<Bytes>>) -> Option<(u16, Value)> {
        let (head, body) = self.client.request(request).await.ok()?.into_parts();
        let body = body.collect().await.ok()?.to_bytes();
        Some((
            head.status.as_u16(),
            serde_json::from_slice(&body).unwrap_or_default(),
        ))
    }

    pub(super) async fn create(&self, to: SocketAddr, prompt: &str) -> Option<(u16, Value)> {
        let body = format!(r#"{{"prompt":"{prompt}","max_acu_limit":2}}"#);
        self.post(to, SESSIONS, body).await
    }

    pub(super) async fn say(
        &self,
        to: SocketAddr,
        session: &str,
        text: &str,
    ) -> Option<(u16, Value)> {
        let path = format!("{SESSIONS}/{session}/messages");
        self.post(to, &path, format!(r#"{{"message":"{text}"}}"#))
            .await
    }
}

/// Callers that never stop asking, whatever process is there.
pub(super) struct Load {
    pub(super) to: Arc<Mutex<SocketAddr>>,
    /// How many answers were a success.
    pub(super) done: Arc<AtomicUsize>,
    /// Rung at each of them.
    news: Arc<Notify>,
    over: Arc<AtomicBool>,
    tasks: Vec<tokio::task::JoinHandle<()>>,
}

impl Load {
    pub(super) fn on(site: &Site, to: SocketAddr) -> Self {
        let to = Arc::new(Mutex::new(to));
        let (done, over) = (Arc::<AtomicUsize>::default(), Arc::<AtomicBool>::default());
        let news = Arc::<Notify>::default();
        let one = |caller: usize| {
            let (client, to) = (site.client(), Arc::clone(&to));
            let (done, over) = (Arc::clone(&done), Arc::clone(&over));
            let news = Arc::clone(&news);
            tokio::spawn(async move {
                let mut session = String::new();
                for n in 0_usize.. {
                    if over.load(Ordering::SeqCst) {
                        return;
                    }
                    let at = *to.lock().unwrap();
                    let text = format!("{caller} {n}");
                    let answer = if n % 3 == 0 || session.is_empty() {
                        client.create(at, &text).await
                    } else {
                        client.say(at, &session, &text).await
                    };
                    match answer {
                        Some((200, body)) => {
                            done.fetch_add(1, Ordering::SeqCst);
                            news.notify_one();
                            if let Some(id) = body["session_id"].as_str() {
                                session = id.to_owned();
                            }
                        }
                        Some((402, _)) => session.clear(),
                        Some(_) | None => tokio::time::sleep(Duration::from_millis(5)).await,
                    }
                }
            })
        };
        let tasks = (0..CALLERS).map(one).collect();
        Self {
            to,
            done,
            news,
            over,
            tasks,
        }
    }

    /// Waits for so many answers more, or a second.
    pub(super) async fn answers(&self, more: u64) {
        let goal = self.done.load(Ordering::SeqCst) + usize::try_from(more).unwrap();
        let reached = async {
            while self.done.load(Ordering::SeqCst) < goal {
                self.news.notified().await;
            }
        };
        let _ = tokio::time::timeout(Duration::from_secs(1), reached).await;
    }

    pub(super) async fn end(self) {
        self.over.store(true, Ordering::SeqCst);
        for task in self.tasks {
            task.await.unwrap();
        }
    }
}

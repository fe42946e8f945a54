//! What the whole stack costs, as a ratio to a bare hyper-util proxy in the same run.
//!
//! Four processes on loopback: this one makes the load, a null upstream answers
//! 1 KiB of JSON, and the two proxies in front of it are measured in turn: the
//! bare one (hyper server, hyper-util client, nothing between) and the real
//! binary with an API key, a policy without limits, a ledger and its access log in a file.
//! CPU is the scheduler's run time of each proxy's threads. Windows in which the
//! host took more than 5 % of the CPU away are dropped. Only the ratios mean
//! anything: absolute figures are this machine's, this minute's.
//!
//! `cargo bench`, or `cargo bench -- --seconds 2 --rounds 5`.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a measurement that fails should say where, and asks real clocks"
)]

use std::convert::Infallible;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{HeaderValue, Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::client::legacy::Client;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tollgate::api_key::ApiKey;

const CONNECTIONS: usize = 32;
/// Each connection reads another session: equal reads at once would be one request to the upstream.
const PATH: &str = "/v3/organizations/org-ds/sessions/devin-";

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let value = |name: &str| {
        arguments
            .iter()
            .position(|it| it == name)
            .map(|at| arguments[at + 1].clone())
    };
    match value("--role").as_deref() {
        Some("upstream") => on_runtime(upstream()),
        Some("bare") => on_runtime(bare(value("--to").unwrap())),
        _ => measure(
            value("--seconds").map_or(2.0, |it| it.parse().unwrap()),
            value("--rounds").map_or(5, |it| it.parse().unwrap()),
        ),
    }
}

fn on_runtime(work: impl Future<Output = ()>) {
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .unwrap()
        .block_on(work);
}

/// Binds, says where, and serves for ever.
async fn serve<F, R, B>(answer: F)
where
    F: Fn(Request<Incoming>) -> R + Clone + Send + 'static,
    R: Future<Output = Result<Response<B>, Infallible>> + Send + 'static,
    B: http_body::Body<Data = Bytes, Error: Into<tollgate::body::BoxError>> + Send + 'static,
{
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    println!("{}", listener.local_addr().unwrap());
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        stream.set_nodelay(true).unwrap();
        let answer = answer.clone();
        tokio::spawn(async move {
            let service = service_fn(answer);
            let _ = auto::Builder::new(TokioExecutor::new())
                .serve_connection(TokioIo::new(stream), service)
                .await;
        });
    }
}

async fn upstream() {
    let body = Bytes::from(format!("{{\"x\":\"{}\"}}", "y".repeat(1016)));
    serve(move |_| {
        let mut answer = Response::new(Full::new(body.clone()));
        answer
            .headers_mut()
            .insert("content-type", HeaderValue::from_static("application/json"));
        std::future::ready(Ok(answer))
    })
    .await;
}

async fn bare(to: String) {
    let mut connector = hyper_util::client::legacy::connect::HttpConnector::new();
    connector.set_nodelay(true);
    let client: Client<_, Incoming> = Client::builder(TokioExecutor::new()).build(connector);
    serve(move |mut request| {
        let client = client.clone();
        let uri = format!("http://{to}{}", request.uri().path_and_query().unwrap());
        *request.uri_mut() = uri.parse().unwrap();
        async move { Ok(client.request(request).await.unwrap()) }
    })
    .await;
}

struct Process {
    child: Child,
    address: SocketAddr,
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn role(arguments: &[&str]) -> Process {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(arguments)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap())
        .read_line(&mut line)
        .unwrap();
    Process {
        child,
        address: line.trim().parse().unwrap(),
    }
}

/// The real binary; also how long it took from its start to the first answered request.
fn tollgate(folder: &Path, upstream: SocketAddr, key: &ApiKey) -> (Process, Duration) {
    let address: SocketAddr = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let policy = format!(
        "team: bench\ncallers: {{ load: {{ keys: [{{ id: load, sha256: \"{}\" }}] }} }}\nallow:\n  - {{ name: read, operations: [sessions.get], organizations: [org-ds], sessions: any }}\n",
        key.digest_hex()
    );
    std::fs::create_dir_all(folder.join("policies")).unwrap();
    std::fs::write(folder.join("policies/bench.yaml"), policy).unwrap();
    let config = format!(
        "listen: [{{ tcp: \"{address}\" }}]\nadmin: {{ tcp: \"127.0.0.1:0\" }}\nupstream: {{ base_url: \"http://{upstream}\", token: {{ env: TOKEN }} }}\npolicies: policies\naccess_log: {{ to: file, path: access.log }}\n"
    );
    std::fs::write(folder.join("tollgate.yaml"), config).unwrap();
    let started = Instant::now();
    let child = Command::new(env!("CARGO_BIN_EXE_tollgate"))
        .args(["serve", "--log-level", "error", "--config"])
        .arg(folder.join("tollgate.yaml"))
        .env("TOKEN", "bench-token")
        .spawn()
        .unwrap();
    let process = Process { child, address };
    let request = request(key, 0);
    loop {
        assert!(
            started.elapsed() < Duration::from_secs(10),
            "the gateway did not start"
        );
        if let Ok(mut stream) = TcpStream::connect(address) {
            stream.write_all(&request).unwrap();
            let mut head = [0; 15];
            stream.read_exact(&mut head).unwrap();
            assert_eq!(&head, b"HTTP/1.1 200 OK");
            return (process, started.elapsed());
        }
        std::thread::yield_now();
    }
}

fn request(key: &ApiKey, session: usize) -> Vec<u8> {
    format!(
        "GET {PATH}{session} HTTP/1.1\r\nHost: bench\r\nAccept: application/json\r\nUser-Agent: bench\r\nAuthorization: Bearer {}\r\n\r\n",
        key.expose()
    )
    .into_bytes()
}

#[derive(Clone, Copy)]
struct Window {
    cpu_us: f64,
    rps: f64,
    stolen: f64,
}

/// Closed-loop load on one proxy, for a while.
async fn load(process: &Process, key: &ApiKey, time: Duration) -> Window {
    let deadline = Instant::now() + time;
    let (before, machine) = (cpu_ns(process.child.id()), machine_ticks());
    let begun = Instant::now();
    let mut connections = Vec::new();
    for session in 0..CONNECTIONS {
        let (address, request) = (process.address, request(key, session));
        connections.push(tokio::spawn(async move {
            let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
            stream.set_nodelay(true).unwrap();
            let mut buffer = vec![0; 8192];
            let mut answered = 0_u64;
            while Instant::now() < deadline {
                stream.write_all(&request).await.unwrap();
                let mut length = 0;
                // An answer is a head and 1,024 bytes.
                loop {
                    let read = stream.read(&mut buffer[length..]).await.unwrap();
                    assert!(read > 0, "the connection was closed");
                    length += read;
                    let head = buffer[..length].windows(4).position(|it| it == b"\r\n\r\n");
                    if head.is_some_and(|head| length == head + 4 + 1024) {
                        break;
                    }
                }
                assert_eq!(&buffer[9..12], b"200");
                answered += 1;
            }
            answered
        }));
    }
    let mut answered = 0;
    for connection in connections {
        answered += connection.await.unwrap();
    }
    let (used, elapsed) = (cpu_ns(process.child.id()) - before, begun.elapsed());
    let after = machine_ticks();
    let requests = answered as f64;
    Window {
        cpu_us: used as f64 / 1000.0 / requests,
        rps: requests / elapsed.as_secs_f64(),
        stolen: (after.1 - machine.1) as f64 / (after.0 - machine.0).max(1) as f64,
    }
}

/// Run time of all threads of a process, in nanoseconds.
fn cpu_ns(pid: u32) -> u64 {
    let threads = std::fs::read_dir(format!("/proc/{pid}/task")).unwrap();
    threads
        .filter_map(|thread| std::fs::read_to_string(thread.ok()?.path().join("schedstat")).ok())
        .map(|text| text.split(' ').next().unwrap().parse::<u64>().unwrap())
        .sum()
}

/// All ticks of the machine, and the stolen ones.
fn machine_ticks() -> (u64, u64) {
    let stat = std::fs::read_to_string("/proc/stat").unwrap();
    let ticks: Vec<u64> = stat
        .lines()
        .next()
        .unwrap()
        .split_whitespace()
        .skip(1)
        .map(|it| it.parse().unwrap())
        .collect();
    (ticks.iter().sum(), ticks[7])
}

fn pss_mib(pid: u32) -> f64 {
    let text = std::fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap();
    let line = text.lines().find(|line| line.starts_with("Pss:")).unwrap();
    line.split_whitespace()
        .nth(1)
        .unwrap()
        .parse::<f64>()
        .unwrap()
        / 1024.0
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn measure(seconds: f64, rounds: usize) {
    let folder = tempfile::tempdir().unwrap();
    let key = ApiKey::generate("load").unwrap();
    let upstream = role(&["--role", "upstream"]);
    let bare = role(&["--role", "bare", "--to", &upstream.address.to_string()]);
    let (gateway, first) = tollgate(folder.path(), upstream.address, &key);
    std::thread::sleep(Duration::from_millis(300));
    println!(
        "start to first answered request: {:.0} ms (aim: 100)",
        first.as_secs_f64() * 1000.0
    );
    println!(
        "idle memory (PSS): {:.1} MiB (aim: under 20)",
        pss_mib(gateway.child.id())
    );

    let time = Duration::from_secs_f64(seconds);
    let mut pairs: Vec<(Window, Window)> = Vec::new();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        for process in [&bare, &gateway] {
            load(process, &key, Duration::from_secs(1)).await;
        }
        for round in 0..rounds * 3 {
            let pair = (load(&bare, &key, time).await, load(&gateway, &key, time).await);
            let stolen = pair.0.stolen.max(pair.1.stolen);
            let kept = stolen <= 0.05;
            println!(
                "round {round}: bare {:.1} us, {:.0} rps; tollgate {:.1} us, {:.0} rps; ratio {:.2}; stolen {:.1} %{}",
                pair.0.cpu_us,
                pair.0.rps,
                pair.1.cpu_us,
                pair.1.rps,
                pair.1.cpu_us / pair.0.cpu_us,
                stolen * 100.0,
                if kept { "" } else { " (dropped)" }
            );
            if kept {
                pairs.push(pair);
            }
            if pairs.len() == rounds {
                break;
            }
        }
    });
    assert!(
        !pairs.is_empty(),
        "every window was disturbed: try again on a quieter machine"
    );
    let ratio = |of: fn(&Window) -> f64| {
        median(pairs.iter().map(|pair| of(&pair.1) / of(&pair.0)).collect())
    };
    println!(
        "loaded memory (PSS): {:.1} MiB",
        pss_mib(gateway.child.id())
    );
    println!(
        "CPU per request with key authentication, {CONNECTIONS} connections, median of {} rounds: {:.2} x the bare proxy (aim: at most 1.5)",
        pairs.len(),
        ratio(|it| it.cpu_us)
    );
    println!(
        "requests per second: {:.2} x the bare proxy",
        ratio(|it| it.rps)
    );
}

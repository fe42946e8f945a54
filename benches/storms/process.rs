//! The processes that are attacked, and what the system says of them.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::RootCertStore;
use tempfile::TempDir;
use tokio_rustls::TlsConnector;
use tollgate::api_key::ApiKey;

use crate::http1;

/// As many as all storms need.
pub(crate) const DESCRIPTORS: usize = 20_000;
/// Connections of the largest storm.
const CONNECTIONS: usize = 10_000;
/// What the gateway may have, so that there is room beside the largest storm.
const ALLOWED: usize = 12_000;
/// Connections to the upstream that may stay for a while.
const POOL: usize = 300;
/// Callers that attackers are.
const ATTACKERS: usize = 4;

/// The descriptors that a process may have here.
pub(crate) fn descriptors_allowed() -> usize {
    let text = std::fs::read_to_string("/proc/self/limits").unwrap();
    let mut lines = text.lines();
    let line = lines.find_map(|it| it.strip_prefix("Max open files"));
    let soft = line.unwrap().split_whitespace().next().unwrap();
    soft.parse().unwrap_or(DESCRIPTORS)
}

/// The connections that fit in so many: with too few of them the gateway keeps half of what it has for requests.
pub(crate) fn connections(descriptors: usize) -> usize {
    if descriptors >= DESCRIPTORS {
        CONNECTIONS
    } else {
        (descriptors.saturating_sub(200) / 2).clamp(32, CONNECTIONS)
    }
}

/// The callers' keys.
pub(crate) struct Keys {
    pub(crate) well: String,
    pub(crate) attackers: Arc<[String]>,
    policy: String,
}

impl Keys {
    pub(crate) fn generate() -> Self {
        let mut policy = "team: storms\ncallers:\n".to_owned();
        let mut generate = |id: &str| {
            let key = ApiKey::generate(id).unwrap();
            let digest = key.digest_hex();
            policy += &format!("  {id}: {{ keys: [{{ id: {id}, sha256: \"{digest}\" }}] }}\n");
            key.expose().to_owned()
        };
        let well = generate("well");
        let attackers = (0..ATTACKERS)
            .map(|n| generate(&format!("attacker-{n}")))
            .collect();
        policy += "allow:\n  - { name: read, operations: [sessions.get], organizations: [org-ds], sessions: any }\n";
        policy += "  - { name: rest, operations: [attachments.upload, attachments.download, knowledge.notes.create], organizations: [org-ds] }\n";
        Self {
            well,
            attackers,
            policy,
        }
    }
}

/// A process and where it listens; it ends when this is dropped.
pub(crate) struct Process {
    child: Child,
    pub(crate) address: SocketAddr,
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// TLS as a client of the gateway speaks it.
#[derive(Clone)]
pub(crate) struct TlsSide {
    pub(crate) address: SocketAddr,
    pub(crate) connector: TlsConnector,
}

/// What is attacked.
pub(crate) struct Attacked {
    pub(crate) process: Process,
    /// The gateway's port for operators.
    pub(crate) admin: Option<SocketAddr>,
    pub(crate) tls: Option<TlsSide>,
    _folder: Option<TempDir>,
}

/// This program in another role.
pub(crate) fn role(arguments: &[&str]) -> Process {
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

/// The bare proxy.
pub(crate) fn bare(upstream: SocketAddr) -> Attacked {
    Attacked {
        process: role(&["--role", "bare", "--to", &upstream.to_string()]),
        admin: None,
        tls: None,
        _folder: None,
    }
}

fn free() -> SocketAddr {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap()
}

/// The real binary, when it answers requests.
pub(crate) fn tollgate(binary: &str, upstream: SocketAddr, keys: &Keys) -> Attacked {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let (address, tls, admin) = (free(), free(), free());
    let certificate = rcgen::generate_simple_self_signed(["storm".to_owned()]).unwrap();
    std::fs::write(path.join("tls.crt"), certificate.cert.pem()).unwrap();
    std::fs::write(
        path.join("tls.key"),
        certificate.signing_key.serialize_pem(),
    )
    .unwrap();
    std::fs::create_dir_all(path.join("policies")).unwrap();
    std::fs::write(path.join("policies/storms.yaml"), &keys.policy).unwrap();
    // Forms are as large as is allowed, and what is around their file comes on top.
    let config = format!(
        "listen:\n  - {{ tcp: \"{address}\" }}\n  - {{ tcp: \"{tls}\", tls: {{ cert: tls.crt, key: tls.key }} }}\nadmin: {{ tcp: \"{admin}\" }}\nupstream: {{ base_url: \"http://{upstream}\", token: {{ env: TOKEN }} }}\npolicies: policies\naccess_log: {{ to: file, path: access.log }}\nlimits:\n  connections: {ALLOWED}\n  sizes: {{ upload: 101MiB }}\n"
    );
    std::fs::write(path.join("tollgate.yaml"), config).unwrap();
    let child = Command::new(binary)
        .args(["serve", "--log-level", "error", "--config"])
        .arg(path.join("tollgate.yaml"))
        .env("TOKEN", "storm-token")
        .spawn()
        .unwrap();
    let process = Process { child, address };
    let begun = Instant::now();
    loop {
        assert!(
            begun.elapsed() < Duration::from_secs(10),
            "the gateway did not start"
        );
        if let Ok(mut stream) = TcpStream::connect(address) {
            stream.write_all(&http1::read(&keys.well, 0)).unwrap();
            let mut head = [0; 15];
            stream.read_exact(&mut head).unwrap();
            assert_eq!(&head, b"HTTP/1.1 200 OK");
            break;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    let mut roots = RootCertStore::empty();
    roots.add(certificate.cert.der().clone()).unwrap();
    let client = rustls::ClientConfig::builder_with_provider(Arc::new(
        rustls::crypto::aws_lc_rs::default_provider(),
    ))
    .with_safe_default_protocol_versions()
    .unwrap()
    .with_root_certificates(roots)
    .with_no_client_auth();
    Attacked {
        process,
        admin: Some(admin),
        tls: Some(TlsSide {
            address: tls,
            connector: TlsConnector::from(Arc::new(client)),
        }),
        _folder: Some(folder),
    }
}

impl Attacked {
    /// How long it takes until nothing is left but the one connection of the well-behaved caller, and its request. Only
    /// the gateway can say so: of the other one, the descriptors do.
    pub(crate) fn returned(&self, before: usize, within: Duration) -> Option<Duration> {
        let begun = Instant::now();
        while begun.elapsed() < within {
            let is_back = match self.admin {
                Some(admin) => {
                    let page = metrics(admin);
                    let of = |series: &str| {
                        let mut lines = page.lines();
                        let line = lines.find_map(|it| it.strip_prefix(series)).unwrap();
                        line.trim().parse::<u64>().unwrap()
                    };
                    of("tollgate_connections ") <= 1 && of("tollgate_requests_in_flight ") <= 1
                }
                None => self.process.descriptors() < before + POOL,
            };
            if is_back {
                return Some(begun.elapsed());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        None
    }
}

fn metrics(admin: SocketAddr) -> String {
    let mut stream = TcpStream::connect(admin).unwrap();
    let request = b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    stream.write_all(request).unwrap();
    let mut page = String::new();
    stream.read_to_string(&mut page).unwrap();
    page
}

impl Process {
    fn status(&self, field: &str) -> u64 {
        let text = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = text.lines().find_map(|it| it.strip_prefix(field));
        let kib = line.expect("the process has ended").trim_start_matches(':');
        kib.split_whitespace().next().unwrap().parse().unwrap()
    }

    /// Its memory now.
    pub(crate) fn resident_kib(&self) -> u64 {
        self.status("VmRSS")
    }

    /// The most that it has had since the peak was last forgotten.
    pub(crate) fn peak_kib(&self) -> u64 {
        self.status("VmHWM")
    }

    pub(crate) fn forget_peak(&self) {
        let path = format!("/proc/{}/clear_refs", self.child.id());
        // Where that is not allowed, the peak is that since its start.
        let _ = std::fs::write(path, "5");
    }

    /// Its open descriptors; 0 where the system does not show them, as of a process that lets nobody look in.
    pub(crate) fn descriptors(&self) -> usize {
        let path = format!("/proc/{}/fd", self.child.id());
        std::fs::read_dir(path).map_or(0, Iterator::count)
    }

    /// The run time of all of its threads.
    pub(crate) fn cpu(&self) -> Duration {
        let threads = std::fs::read_dir(format!("/proc/{}/task", self.child.id())).unwrap();
        let nanoseconds = threads
            .filter_map(|it| std::fs::read_to_string(it.ok()?.path().join("schedstat")).ok())
            .map(|text| text.split(' ').next().unwrap().parse::<u64>().unwrap())
            .sum();
        Duration::from_nanos(nanoseconds)
    }
}

/// All ticks of the machine, and the stolen ones.
pub(crate) fn machine_ticks() -> (u64, u64) {
    let stat = std::fs::read_to_string("/proc/stat").unwrap();
    let line = stat.lines().next().unwrap();
    let ticks: Vec<u64> = line
        .split_whitespace()
        .skip(1)
        .map(|it| it.parse().unwrap())
        .collect();
    (ticks.iter().sum(), ticks[7])
}

/// The share of them that the host took since then.
pub(crate) fn stolen_since(then: (u64, u64)) -> f64 {
    let now = machine_ticks();
    (now.1 - then.1) as f64 / (now.0 - then.0).max(1) as f64
}

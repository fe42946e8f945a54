//! The binary as a process: called to its end, or served and told to stop.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

use serde_json::Value;

pub(crate) fn tollgate() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tollgate"));
    command.env_clear().env("RUST_LOG", "trace");
    command
}

pub(crate) fn run(arguments: &[&str], folder: &Path) -> Output {
    tollgate()
        .args(arguments)
        .current_dir(folder)
        .output()
        .unwrap()
}

pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

pub(crate) const CONFIG: &str = "
listen: [{ tcp: \"127.0.0.1:0\" }]
admin: { tcp: \"127.0.0.1:0\" }
upstream: { base_url: \"http://127.0.0.1:1\", token: { env: DEVIN_SERVICE_USER_TOKEN } }
policies: policies/
access_log: { to: file, path: access.log }
";

pub(crate) fn folder(config: &str, policies: &[(&str, &str)]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("tollgate.yaml"), config).unwrap();
    std::fs::create_dir(folder.path().join("policies")).unwrap();
    for (name, text) in policies {
        std::fs::write(folder.path().join("policies").join(name), text).unwrap();
    }
    folder
}

/// A gateway of the binary's own, from its files.
pub(crate) struct Served {
    child: Child,
    pub(crate) callers: SocketAddr,
    pub(crate) admin: SocketAddr,
    log: std::thread::JoinHandle<String>,
}

pub(crate) fn serve(folder: &Path, extra: &[&str]) -> Served {
    let mut command = tollgate();
    command
        .arg("serve")
        .args(extra)
        .env("DEVIN_SERVICE_USER_TOKEN", "canary-token-value");
    serve_with(command, folder)
}

/// The same, by a command of the test's own.
pub(crate) fn serve_with(command: Command, folder: &Path) -> Served {
    try_serve_with(command, folder).unwrap_or_else(|log| panic!("it did not start: {log}"))
}

/// The same of a process that may not live until it is ready: its log, if so.
pub(crate) fn try_serve_with(mut command: Command, folder: &Path) -> Result<Served, String> {
    let mut child = command
        .current_dir(folder)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut reader = BufReader::new(child.stderr.take().unwrap());
    let mut before = String::new();
    let ready = loop {
        let mut line = String::new();
        if reader.read_line(&mut line).unwrap() == 0 {
            child.wait().unwrap();
            return Err(before);
        }
        before += &line;
        if line.contains(" ready ") {
            break line;
        }
    };
    let address = |name: &str| {
        let rest = ready
            .split(&format!("{name}="))
            .nth(1)
            .unwrap()
            .trim_start_matches('[');
        rest.split([']', ' ']).next().unwrap().parse().unwrap()
    };
    let (callers, admin) = (address("callers"), address("admin"));
    let log = std::thread::spawn(move || {
        reader.read_to_string(&mut before).unwrap();
        before
    });
    Ok(Served {
        child,
        callers,
        admin,
        log,
    })
}

fn get(address: SocketAddr, path: &str, headers: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    write!(
        stream,
        "GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{headers}\r\n"
    )
    .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

impl Served {
    pub(crate) fn get(&self, path: &str, key: &str) -> String {
        get(
            self.callers,
            path,
            &format!("Authorization: Bearer {key}\r\n"),
        )
    }

    /// What the operator's port answers.
    pub(crate) fn operator(&self, path: &str) -> String {
        get(self.admin, path, "")
    }

    /// What the operator's port answers to a POST.
    pub(crate) fn post_to_operator(&self, path: &str, body: &str) -> String {
        let mut stream = TcpStream::connect(self.admin).unwrap();
        let length = body.len();
        write!(
            stream,
            "POST {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n{body}"
        )
        .unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }

    /// What `/readyz` says.
    pub(crate) fn readiness(&self) -> Value {
        let answer = self.operator("/readyz");
        let (_, body) = answer.split_once("\r\n\r\n").unwrap();
        serde_json::from_str(body).unwrap()
    }

    /// Asks `/readyz` until it says so.
    #[track_caller]
    pub(crate) fn wait_for(&self, what: &str, is_so: impl Fn(&Value) -> bool) -> Value {
        let mut said = Value::Null;
        for _ in 0..600 {
            said = self.readiness();
            if is_so(&said) {
                return said;
            }
            // Nothing tells that a process has looked at a folder.
            std::thread::park_timeout(std::time::Duration::from_millis(25));
        }
        panic!("{what}: {said:#}");
    }

    /// `tollgate status` of it.
    pub(crate) fn status(&self, extra: &[&str]) -> Output {
        let admin = format!("http://{}", self.admin);
        tollgate()
            .args(["status", "--admin", &admin])
            .args(extra)
            .output()
            .unwrap()
    }

    /// Sends a signal, by the name that `kill` has for it.
    pub(crate) fn signal(&self, name: &str) {
        let killed = Command::new("kill")
            .args([format!("-{name}"), self.child.id().to_string()])
            .status()
            .unwrap();
        assert!(killed.success());
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Whether it has ended by now.
    pub(crate) fn has_ended(&mut self) -> bool {
        self.child.try_wait().unwrap().is_some()
    }

    /// Stops it if it lives, which may be what it is killed at. Whether it lived to its end.
    pub(crate) fn ends(mut self) -> bool {
        if !self.has_ended() {
            self.signal("TERM");
        }
        let status = self.child.wait().unwrap();
        self.log.join().unwrap();
        assert!(
            matches!(status.code(), None | Some(0)),
            "neither killed nor well: {status}"
        );
        status.success()
    }

    /// Waits for its end, after it was told to stop: its exit code.
    pub(crate) fn stopped(mut self) -> Option<i32> {
        let status = self.child.wait().unwrap();
        self.log.join().unwrap();
        status.code()
    }

    /// Kills it, and waits until it is gone.
    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.died();
    }

    /// Waits until it has died of itself.
    pub(crate) fn died(mut self) {
        let status = self.child.wait().unwrap();
        assert_eq!(status.code(), None, "it ended, and was to die");
        self.log.join().unwrap();
    }

    /// Sends SIGTERM; returns the process's own log.
    pub(crate) fn stop(self) -> String {
        self.stop_with(0)
    }

    pub(crate) fn stop_with(mut self, code: i32) -> String {
        self.signal("TERM");
        assert_eq!(self.child.wait().unwrap().code(), Some(code));
        self.log.join().unwrap()
    }
}

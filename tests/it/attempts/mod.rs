//! One intent, one session: what clients that repeat themselves get, and what Devin is sent.

mod joins;
mod keys;

use std::sync::Arc;
use std::time::Duration;

use http::Request;
use serde_json::Value;
use tokio::io::AsyncWriteExt;
use tollgate::fake_devin::{Fault, FaultKind};
use tollgate::ledger::Resolution;
use tollgate::pipeline::attempts::MemoryRecords;
use tollgate::pipeline::upstream::Timeouts;

use crate::answer::Answer;
use crate::world::{Setup, World};

const SESSIONS: &str = "/v3/organizations/org-ds/sessions";
const BODY: &str = r#"{"prompt":"once"}"#;

/// A world that knows of earlier attempts what `records` says.
async fn world(records: &MemoryRecords) -> World {
    World::with(Setup {
        records: Some(Arc::new(records.clone())),
        ..Setup::default()
    })
    .await
}

/// The same, and Devin has little time.
async fn hasty(records: &MemoryRecords) -> World {
    World::with(Setup {
        records: Some(Arc::new(records.clone())),
        timeouts: Timeouts {
            connect: Duration::from_secs(2),
            first_byte: Duration::from_millis(600),
            total: Duration::from_millis(600),
        },
        ..Setup::default()
    })
    .await
}

impl World {
    /// A create with these headers.
    async fn create(&self, caller: &str, headers: &[(&str, &str)], body: &str) -> Answer {
        let authorization = format!("Bearer {}", self.key(caller));
        let mut request = Request::post("/")
            .header("authorization", authorization)
            .header("content-type", "application/json");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        self.send(SESSIONS, request, body).await
    }

    /// A create whose client leaves when Devin has the request.
    async fn create_and_leave(&self, headers: &str) {
        let before = self.upstream().len();
        let mut stream = tokio::net::TcpStream::connect(self.gateway).await.unwrap();
        let request = format!(
            "POST {SESSIONS} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {}\r\nContent-Type: application/json\r\n\
             Content-Length: {}\r\n{headers}\r\n{BODY}",
            self.key("one"),
            BODY.len(),
        );
        stream.write_all(request.as_bytes()).await.unwrap();
        self.sent(1);
        self.devin_has(before + 1).await;
    }

    async fn devin_has(&self, requests: usize) {
        while self.upstream().len() < requests {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    fn faulty(&self, kind: FaultKind) {
        self.fake.inject(Fault::next(kind));
    }

    /// The ids of the sessions that Devin has.
    async fn sessions(&self) -> Vec<Value> {
        let listed = self.get("one", SESSIONS).await.json();
        let items = listed["items"].as_array().unwrap().iter();
        items.map(|it| it["session_id"].clone()).collect()
    }

    fn creates(&self) -> usize {
        let all = self.upstream();
        all.iter().filter(|it| it.method == "POST").count()
    }
}

/// Says what became of the hold that is asked about.
async fn resolve(records: &MemoryRecords, resolution: Resolution) {
    let hold = records.asked().await.unwrap();
    records.resolve(hold, resolution);
}

#[track_caller]
fn session(answer: &Answer) -> Value {
    answer.is_upstream(200);
    answer.json()["session_id"].clone()
}

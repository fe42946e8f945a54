//! The edge to Devin: addresses and proxies on the way, what breaks there, and what may come back.

mod addresses;
mod echo;
mod faults;
mod proxy;
mod relay;
mod rows;
pub(crate) mod tls;
mod variables;

use std::time::Duration;

use http::uri::Scheme;
use tollgate::pipeline::credential::Pinned;

use crate::world::World;

const SESSIONS: &str = "/v3/organizations/org-ds/sessions";
const PROMPT: &str = "{\"prompt\":\"x\"}";

/// A name that only the test's own resolvers and proxies know.
const DEVIN: &str = "api.devin.test";

fn pinned(host: &str, port: u16) -> Option<Pinned> {
    Some(Pinned {
        scheme: Scheme::HTTPS,
        authority: format!("{host}:{port}").parse().unwrap(),
    })
}

impl World {
    /// What a gauge or a counter without labels stands at.
    pub(crate) fn gauge(&self, name: &str) -> i64 {
        let page = self.metrics.page();
        let mut lines = page.lines();
        let value = lines.find_map(|it| it.strip_prefix(name)?.strip_prefix(' '));
        let value = value.unwrap_or_else(|| panic!("no {name} in {page}"));
        value.parse().unwrap()
    }

    /// Waits until it stands there.
    pub(crate) async fn gauge_becomes(&self, name: &str, wanted: i64) {
        for _ in 0..500 {
            if self.gauge(name) == wanted {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("{name} is {}, and not {wanted}", self.gauge(name));
    }
}

//! `limits:`: how much the gateway takes on at once, and how long it waits for clients.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use crate::capacity::{OfOperation, Options, Sizes, Times};
use crate::catalogue::OperationIx;
use crate::document::{Node, Report, Table, duration, size};
use crate::proxies::{TrustedProxies, network};

/// The most connections, and the most requests in flight.
pub(crate) const MOST: i64 = 1_000_000;
/// The most streams of a connection.
pub(crate) const MOST_STREAMS: i64 = 10_000;
/// How long a client may be waited for.
const USUAL: RangeInclusive<Duration> = Duration::from_millis(10)..=Duration::from_secs(3_600);

/// `{ connections: 10000, connections_per_peer: 1024, requests: 1024, requests_per_caller: 256, streams: 128, times: { head: 10s } }`
pub(super) fn limits(node: &Node, report: &mut Report) -> Option<Options> {
    let mut table = Table::new("`limits:`", node, report)?;
    let default = Options::default();
    let mut read = |name, default: usize, most| match table.take(name) {
        Some(node) => usize::try_from(node.as_whole(name, 1, most, report)?).ok(),
        None => Some(default),
    };
    let connections = read("connections", default.connections, MOST);
    let per_peer = read("connections_per_peer", default.connections_per_peer, MOST);
    let requests = read("requests", default.requests, MOST);
    let per_caller = read("requests_per_caller", default.requests_per_caller, MOST);
    let streams = usize::try_from(default.streams).ok();
    let streams = streams.and_then(|it| read("streams", it, MOST_STREAMS));
    let times = match table.take("times") {
        Some(node) => times(node, report),
        None => Some(default.times),
    };
    let sizes = match table.take("sizes") {
        Some(node) => sizes(node, report).map(Arc::new),
        None => Some(default.sizes),
    };
    table.finish(report);
    Some(Options {
        connections: connections?,
        connections_per_peer: per_peer?,
        requests: requests?,
        requests_per_caller: per_caller?,
        streams: u32::try_from(streams?).ok()?,
        times: times?,
        sizes: sizes?,
        proxies: default.proxies,
    })
}

/// `[10.0.0.0/8, 127.0.0.1]`
pub(super) fn proxies(table: &mut Table<'_>, report: &mut Report) -> TrustedProxies {
    let items = table.list("trusted_proxies", report);
    let items = items.map_or(&[][..], |(items, _)| items);
    let mut read = |item: &Node| {
        let text = item.as_text("trusted_proxies", report)?;
        let found = network(text);
        if let Err(why) = found {
            report
                .error(item.span, format!("`{}` {why}", text.escape_debug()))
                .help("write an address or a network, such as 10.0.0.0/8");
        }
        found.ok()
    };
    items.iter().filter_map(&mut read).collect()
}

/// `{ head: 10s, idle: 75s, body_idle: 30s, body: 60s, upload: 5m, write: 60s, handshake: 5s, drain: 30s }`
fn times(node: &Node, report: &mut Report) -> Option<Times> {
    let mut table = Table::new("`times:`", node, report)?;
    let default = Times::default();
    let mut read = |name, default| match table.take(name) {
        Some(node) => duration(name, node, &USUAL, report),
        None => Some(default),
    };
    let (head, idle) = (read("head", default.head), read("idle", default.idle));
    let body_idle = read("body_idle", default.body_idle);
    let body = read("body", default.body);
    let upload = read("upload", default.upload);
    let write = read("write", default.write);
    let handshake = read("handshake", default.handshake);
    let drain = read("drain", default.drain);
    table.finish(report);
    Some(Times {
        head: head?,
        idle: idle?,
        body_idle: body_idle?,
        body: body?,
        upload: upload?,
        write: write?,
        handshake: handshake?,
        drain: drain?,
    })
}

/// `{ body: 2MiB, upload: 100MiB, answer: 256MiB, operations: { attachments.download: { answer: 1GiB } } }`
fn sizes(node: &Node, report: &mut Report) -> Option<Sizes> {
    let mut table = Table::new("`sizes:`", node, report)?;
    let default = Sizes::default();
    let mut read = |name, default| match table.take(name) {
        Some(node) => size(name, node, report),
        None => Some(default),
    };
    let (body, upload) = (read("body", default.body), read("upload", default.upload));
    let answer = read("answer", default.answer);
    let operations = match table.take("operations") {
        Some(node) => of_operations(node, report),
        None => Some(default.operations),
    };
    table.finish(report);
    Some(Sizes {
        body: body?,
        upload: upload?,
        answer: answer?,
        operations: operations?,
    })
}

/// `{ attachments.download: { answer: 1GiB }, sessions.create: { request: 64KiB } }`
fn of_operations(node: &Node, report: &mut Report) -> Option<BTreeMap<&'static str, OfOperation>> {
    let table = Table::new("`operations:`", node, report)?;
    let mut read = BTreeMap::new();
    let mut is_fine = true;
    for (name, key, value) in table.into_entries() {
        let found = OperationIx::served().find(|it| it.row().id == name);
        let of_operation = of_operation(value, report);
        if let (Some(found), Some(of_operation)) = (found, of_operation) {
            read.insert(found.row().id, of_operation);
            continue;
        }
        is_fine = false;
        if found.is_none() {
            let known = OperationIx::served().map(|it| it.row().id);
            report
                .error(
                    key.span,
                    format!("no operation is named `{}`", name.escape_debug()),
                )
                .suggest(name, known);
        }
    }
    is_fine.then_some(read)
}

/// `{ request: 64KiB, answer: 1MiB }`
fn of_operation(node: &Node, report: &mut Report) -> Option<OfOperation> {
    let mut table = Table::new("an operation's sizes", node, report)?;
    let mut is_fine = true;
    let mut read = |name| {
        let size = table.take(name).map(|node| size(name, node, report));
        is_fine &= size != Some(None);
        size.flatten()
    };
    let (request, answer) = (read("request"), read("answer"));
    table.finish(report);
    is_fine.then_some(OfOperation { request, answer })
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::settings::{Override, parse_settings};

    const FILE: &str = "
upstream: { base_url: \"https://api.devin.ai\", token: { env: TOKEN } }
policies: policies/
";

    fn read(overrides: &[&str]) -> Result<Options, String> {
        let mut report = Report::default();
        let overrides = overrides.iter().filter_map(|it| Override::from_flag(it));
        let overrides: Vec<Override> = overrides.collect();
        parse_settings("t.yaml", FILE, Path::new(""), &overrides, &mut report)
            .map(|it| it.capacity)
            .ok_or_else(|| report.plain())
    }

    #[test]
    fn what_is_taken_on_is_a_setting() {
        assert_eq!(read(&[]).unwrap(), Options::default());
        let options = read(&[
            "limits.connections=20",
            "limits.connections_per_peer=3",
            "limits.requests=7",
            "limits.requests_per_caller=5",
            "limits.streams=9",
            "limits.sizes={ body: 1KiB, upload: 2MiB, operations: { self.get: { answer: 3KiB } } }",
            "limits.times={ head: 1s, idle: 2s, body_idle: 3s, body: 4s, upload: 5s, write: 6s, handshake: 7s, drain: 8s }",
        ])
        .unwrap();
        let seconds = Duration::from_secs;
        let times = Times {
            head: seconds(1),
            idle: seconds(2),
            body_idle: seconds(3),
            body: seconds(4),
            upload: seconds(5),
            write: seconds(6),
            handshake: seconds(7),
            drain: seconds(8),
        };
        let of_self = OfOperation {
            answer: Some(3 << 10),
            request: None,
        };
        let wanted = Options {
            connections: 20,
            connections_per_peer: 3,
            requests: 7,
            requests_per_caller: 5,
            streams: 9,
            times,
            sizes: Arc::new(Sizes {
                body: 1 << 10,
                upload: 2 << 20,
                operations: [("self.get", of_self)].into(),
                ..Sizes::default()
            }),
            proxies: TrustedProxies::default(),
        };
        assert_eq!(options, wanted);
        let options = read(&["trusted_proxies=['10.0.0.0/8', '::1']"]).unwrap();
        assert!(options.proxies.has("10.1.1.1".parse().unwrap()));
        for (bad, wanted) in [
            ("limits.requests=0", "from 1 to 1000000"),
            ("limits.streams=10001", "from 1 to 10000"),
            ("limits.conections=5", "did you mean `connections`"),
            ("limits.times.head=0s", "from 10ms to 1h"),
            ("limits.times.head=10", "a time from 10ms"),
            ("limits.times.heads=10s", "did you mean `head`"),
            ("limits.sizes.body=0KiB", "from 1 to 1024 and a unit"),
            ("limits.sizes.bdy=1KiB", "did you mean `body`"),
            (
                "limits.sizes.operations={ self.gte: { answer: 1KiB } }",
                "did you mean `self.get`",
            ),
            (
                "limits.sizes.operations={ self.get: { answers: 1KiB } }",
                "did you mean `answer`",
            ),
            ("limits=5", "must be a mapping"),
            ("trusted_proxies=10.0.0.0/8", "must be a list"),
            ("trusted_proxies=[proxy]", "`proxy` is no address"),
            (
                "trusted_proxies=['10.0.0.1/8']",
                "has bits beyond its length",
            ),
        ] {
            let error = read(&[bad]).unwrap_err();
            assert!(error.contains(wanted), "{bad}: {error}");
        }
    }
}

//! The fields of `tollgate.yaml`, read with every mistake collected.

use std::net::IpAddr;
use std::path::Path;

use http::Uri;
use http::uri::Scheme;

use super::proxy::{self, ProxySettings};
use super::{Policies, Settings, TokenSource, alerts, capacity, issuers, ledger, listen, pressure};
use crate::document::{Budget, Node, Report, Span, Table, USUAL, Value, duration};
use crate::pipeline::access_log::Output;
use crate::pipeline::credential::Pinned;
use crate::pipeline::upstream::{Authorities, Timeouts};

pub(super) fn read(root: &Node, folder: &Path, report: &mut Report) -> Option<Settings> {
    let mut table = Table::new("tollgate.yaml", root, report)?;
    let listen = listen::listen(&mut table, folder, report);
    let admin = match table.take("admin") {
        Some(node) => listen::admin(node, folder, report),
        None => Some((listen::ADMIN, None)),
    };
    let upstream = table
        .require("upstream")
        .and_then(|node| upstream(node, folder, report));
    let issuers = table
        .take("identity")
        .map(|node| issuers::read(node, folder, report))
        .unwrap_or_default();
    let (issuers, issuer_spans) = issuers.into_iter().unzip();
    let policies = table
        .require("policies")
        .and_then(|node| policies(node, folder, report));
    let access_log = match table.take("access_log") {
        Some(node) => access_log(node, folder, report),
        None => Some(Output::Stdout),
    };
    let ledger = ledger::read_settings(&mut table, folder, report);
    let alerts = table
        .take("alerts")
        .map(|node| alerts::alerts(node, folder, report));
    let capacity = match table.take("limits") {
        Some(node) => capacity::limits(node, report),
        None => Some(crate::capacity::Options::default()),
    };
    let proxies = capacity::proxies(&mut table, report);
    for field in ["limits_store", "mode"] {
        table.not_yet(field, report);
    }
    table.finish(report);
    let upstream = upstream?;
    let (admin, admin_socket) = admin?;
    Some(Settings {
        listen,
        admin,
        admin_socket,
        alerts: match alerts {
            Some(read) => Some(read?),
            None => None,
        },
        pinned: upstream.pinned,
        ca: upstream.ca,
        proxy: upstream.proxy,
        token: upstream.token,
        timeouts: upstream.timeouts,
        capacity: crate::capacity::Options {
            proxies,
            ..capacity?
        },
        pressure: upstream.pressure.0,
        share_spans: upstream.pressure.1,
        issuers,
        issuer_spans,
        policies: policies?,
        access_log: access_log?,
        ledger: ledger?,
    })
}

/// A folder, or `{ folder: policies/, max_nodes: 1000000 }`.
fn policies(node: &Node, folder: &Path, report: &mut Report) -> Option<Policies> {
    match &node.value {
        Value::Text(text) => Some(Policies {
            folder: folder.join(text),
            budget: Budget::default(),
        }),
        Value::Map(_) => {
            let mut table = Table::new("`policies:`", node, report)?;
            let found = table.require_text("folder", report);
            let nodes = match table.take("max_nodes") {
                Some(node) => node.as_whole("max_nodes", 1_000, 100_000_000, report),
                None => i64::try_from(Budget::default().nodes()).ok(),
            };
            table.finish(report);
            let (text, _) = found?;
            Some(Policies {
                folder: folder.join(text),
                budget: Budget::of_nodes(usize::try_from(nodes?).ok()?),
            })
        }
        Value::Null | Value::Bool(_) | Value::Integer(_) | Value::Float(_) | Value::List(_) => {
            report.error(
                node.span,
                format!(
                    "`policies:` must be a folder, or a mapping, not {}",
                    node.value.kind()
                ),
            );
            None
        }
    }
}

struct UpstreamSettings {
    pinned: Pinned,
    ca: Authorities,
    proxy: Option<ProxySettings>,
    token: TokenSource,
    timeouts: Timeouts,
    pressure: pressure::Read,
}

fn upstream(node: &Node, folder: &Path, report: &mut Report) -> Option<UpstreamSettings> {
    let mut table = Table::new("`upstream:`", node, report)?;
    let pinned = table
        .require_text("base_url", report)
        .and_then(|(text, span)| base_url(text, span, report));
    let ca = table
        .take("ca")
        .map(|node| authorities(node, folder, report));
    let ca = ca.unwrap_or_else(|| Some(Authorities::default()));
    let token = table
        .require("token")
        .and_then(|node| token(node, folder, report));
    let timeouts = match table.take("timeouts") {
        Some(node) => timeouts(node, report),
        None => Some(Timeouts::default()),
    };
    let pressure = pressure::pressure(&mut table, report);
    let tunnelled = table.take("proxy");
    let is_https = pinned.as_ref().is_none_or(|it| it.scheme == Scheme::HTTPS);
    let proxy = proxy::proxy(tunnelled, is_https, "`base_url:`", folder, report);
    table.not_yet("limits", report);
    table.finish(report);
    Some(UpstreamSettings {
        pinned: pinned?,
        ca: ca?,
        proxy: proxy?,
        token: token?,
        timeouts: timeouts?,
        pressure: pressure?,
    })
}

/// `{ file: ca.pem }`
pub(super) fn authorities(node: &Node, folder: &Path, report: &mut Report) -> Option<Authorities> {
    let mut table = Table::new("`ca:`", node, report)?;
    let found = table.require_text("file", report).and_then(|(text, span)| {
        let opened = Authorities::open(folder.join(text));
        opened.map_err(|why| report.error(span, why)).ok()
    });
    table.finish(report);
    found
}

fn base_url(text: &str, span: Span, report: &mut Report) -> Option<Pinned> {
    let uri: Option<Uri> = text.parse().ok();
    let parts = uri.map(Uri::into_parts);
    let found = parts.and_then(|parts| {
        let (scheme, authority) = (parts.scheme?, parts.authority?);
        let is_root = parts.path_and_query.is_none_or(|it| it.as_str() == "/");
        let has_user = authority.as_str().contains('@');
        (is_root && !has_user && !authority.host().is_empty())
            .then_some(Pinned { scheme, authority })
    });
    let Some(pinned) = found else {
        // A user's part holds a password.
        if text.contains('@') {
            report.secret(span);
        }
        report
            .error(
                span,
                "`base_url:` must be a scheme and a host, without path, query or user",
            )
            .help("write https://api.devin.ai; the version stands in each request's path");
        return None;
    };
    let stays_here = pinned.scheme == Scheme::HTTP && is_loopback(pinned.authority.host());
    if pinned.scheme == Scheme::HTTPS || stays_here {
        return Some(pinned);
    }
    report
        .error(
            span,
            "`base_url:` must be https: the shared token must not cross a network in the clear",
        )
        .help("http is accepted for loopback addresses only");
    None
}

/// Whether a host is this machine, by its very name.
pub(super) fn is_loopback(host: &str) -> bool {
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let address = host.parse();
    host == "localhost" || address.is_ok_and(|it: IpAddr| it.is_loopback())
}

fn token(node: &Node, folder: &Path, report: &mut Report) -> Option<TokenSource> {
    const HELP: &str = "name where the token is: { file: /run/secrets/devin } or { env: DEVIN_SERVICE_USER_TOKEN }";
    let is_source =
        |key: &Node| matches!(&key.value, Value::Text(name) if name == "env" || name == "file");
    let names_a_source = match &node.value {
        Value::Map(entries) => entries.iter().all(|(key, _)| is_source(key)),
        Value::Null
        | Value::Bool(_)
        | Value::Integer(_)
        | Value::Float(_)
        | Value::Text(_)
        | Value::List(_) => false,
    };
    hide(node, report);
    if !names_a_source {
        // Most likely the token itself.
        report
            .error(
                node.span,
                "`token:` names where the token is, and never the token itself",
            )
            .help(HELP);
        return None;
    }
    let mut table = Table::new("`token:`", node, report)?;
    let env = table.text("env", report);
    let file = table.text("file", report);
    let found = match (env, file) {
        (Some((name, span)), None) => variable(name, span, HELP, report).map(TokenSource::Env),
        (None, Some((path, _))) => Some(TokenSource::File(folder.join(path))),
        (Some(_), Some(_)) | (None, None) => {
            report
                .error(node.span, "`token:` needs either `env:` or `file:`")
                .help(HELP);
            None
        }
    };
    table.finish(report);
    found
}

/// The name of a variable that holds a secret. In lower case it would be more like the secret than like a name.
pub(super) fn variable(
    name: &str,
    span: Span,
    help: &'static str,
    report: &mut Report,
) -> Option<String> {
    let is_name = |it: u8| it.is_ascii_uppercase() || it.is_ascii_digit() || it == b'_';
    if name.is_empty() || !name.bytes().all(is_name) {
        let error = "`env:` must be the name of a variable, in upper-case letters, digits and `_`";
        report.error(span, error).help(help);
        return None;
    }
    Some(name.to_owned())
}

/// Nothing of what stands below is shown.
pub(super) fn hide(node: &Node, report: &mut Report) {
    match &node.value {
        Value::Map(entries) => {
            for (key, value) in entries {
                hide(key, report);
                hide(value, report);
            }
        }
        Value::List(items) => items.iter().for_each(|item| hide(item, report)),
        Value::Null | Value::Bool(_) | Value::Integer(_) | Value::Float(_) | Value::Text(_) => {
            report.secret(node.span)
        }
    }
}

fn timeouts(node: &Node, report: &mut Report) -> Option<Timeouts> {
    let mut table = Table::new("`timeouts:`", node, report)?;
    let default = Timeouts::default();
    let mut read = |name, default| match table.take(name) {
        Some(node) => duration(name, node, &USUAL, report),
        None => Some(default),
    };
    let (connect, first_byte, total) = (
        read("connect", default.connect),
        read("first_byte", default.first_byte),
        read("total", default.total),
    );
    table.finish(report);
    Some(Timeouts {
        connect: connect?,
        first_byte: first_byte?,
        total: total?,
    })
}

fn access_log(node: &Node, folder: &Path, report: &mut Report) -> Option<Output> {
    let mut table = Table::new("`access_log:`", node, report)?;
    let to = table.require_text("to", report);
    let output = match to {
        Some(("stdout", _)) => Some(Output::Stdout),
        Some(("file", _)) => {
            let path = table
                .require_text("path", report)
                .map(|(text, _)| folder.join(text));
            let max = table.take("max_mib");
            let max = max.map_or(Some(100), |node| {
                node.as_whole("max_mib", 1, 1 << 20, report)
            });
            let keep = table.take("keep");
            let keep = keep.map_or(Some(5), |node| node.as_whole("keep", 0, 1_000, report));
            match (path, max, keep) {
                (Some(path), Some(max), Some(keep)) => Some(Output::File {
                    path,
                    max_bytes: u64::try_from(max).unwrap_or(100) << 20,
                    keep: u32::try_from(keep).unwrap_or(5),
                }),
                _ => None,
            }
        }
        Some((other, span)) => {
            report
                .error(
                    span,
                    format!("the access log cannot go to `{}`", other.escape_debug()),
                )
                .suggest(other, ["stdout", "file"]);
            None
        }
        None => None,
    };
    table.finish(report);
    output
}

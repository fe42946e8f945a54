//! `listen:` and `admin:`: where callers and operators connect.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

use crate::document::{Node, Report, Span, Table};
use crate::serve::{CertificateFiles, Listener, Tls};

/// Where operators connect if nothing is said.
pub(super) const ADMIN: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 9090);

pub(super) fn listen(table: &mut Table<'_>, folder: &Path, report: &mut Report) -> Vec<Listener> {
    let Some((items, span)) = table.list("listen", report) else {
        return vec![Listener {
            address: SocketAddr::from(([127, 0, 0, 1], 8080)),
            tls: None,
        }];
    };
    if items.is_empty() {
        report.error(span, "`listen:` is an empty list");
    }
    let read = |item| listener(item, folder, report);
    items.iter().filter_map(read).collect()
}

/// `{ tcp: "127.0.0.1:8443", tls: { cert: tls.crt, key: tls.key } }`
fn listener(node: &Node, folder: &Path, report: &mut Report) -> Option<Listener> {
    let mut table = Table::new("a listener", node, report)?;
    for field in ["unix", "mode", "caller"] {
        table.not_yet(field, report);
    }
    let address = table
        .require_text("tcp", report)
        .and_then(|(text, span)| address(text, span, report));
    let tls = match table.take("tls") {
        Some(node) => tls(node, folder, report).map(Some),
        None => Some(None),
    };
    table.finish(report);
    Some(Listener {
        address: address?,
        tls: tls?,
    })
}

/// `{ cert: tls.crt, key: tls.key }`
fn tls(node: &Node, folder: &Path, report: &mut Report) -> Option<Tls> {
    let mut table = Table::new("`tls:`", node, report)?;
    table.not_yet("client_ca", report);
    let cert = table.require_text("cert", report);
    let key = table.require_text("key", report);
    table.finish(report);
    let ((cert, cert_span), (key, key_span)) = (cert?, key?);
    let files = CertificateFiles {
        cert: folder.join(cert),
        key: folder.join(key),
    };
    let opened = Tls::open(files).map_err(|error| {
        let span = match error.is_about_key() {
            true => key_span,
            false => cert_span,
        };
        report
            .error(span, error.to_string())
            .help("`cert:` is a file with the chain in PEM, the server's own certificate first; `key:` its private key");
    });
    opened.ok()
}

/// `{ tcp: "127.0.0.1:9090", unix: /run/tollgate-admin.sock }`
pub(super) fn admin(
    node: &Node,
    folder: &Path,
    report: &mut Report,
) -> Option<(SocketAddr, Option<PathBuf>)> {
    let mut table = Table::new("`admin:`", node, report)?;
    table.not_yet("key", report);
    let tcp = match table.text("tcp", report) {
        Some((text, span)) => address(text, span, report),
        None => Some(ADMIN),
    };
    let unix = table.text("unix", report);
    if let Some(("", span)) = unix {
        report.error(span, "`unix:` must be a path");
    }
    table.finish(report);
    Some((tcp?, unix.map(|(path, _)| folder.join(path))))
}

fn address(text: &str, span: Span, report: &mut Report) -> Option<SocketAddr> {
    let parsed = text.parse().ok();
    if parsed.is_none() {
        report
            .error(span, format!("`{}` is no address", text.escape_debug()))
            .help("write an IP address and a port, such as \"127.0.0.1:8080\"");
    }
    parsed
}

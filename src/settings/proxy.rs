//! `proxy:` of `upstream:` and of `alerts:`: a proxy on the way out.
//!
//! Only what stands here is used: `HTTPS_PROXY`, `ALL_PROXY`, `NO_PROXY` and their like are not read. Each of the two
//! says its own, since a webhook is often on this side of the proxy.

use std::io::Read;
use std::path::{Path, PathBuf};

use http::Uri;
use http::uri::{Authority, Scheme};
use secrecy::zeroize::Zeroize;
use secrecy::{ExposeSecret, SecretString};

use super::TokenSource;
use super::reader::{hide, variable};
use crate::document::{Node, Report, Span, Table, Value};
use crate::pipeline::upstream::Proxy;
use crate::reload::bounded;

/// The longest name and the longest password, in bytes.
const MAX_CREDENTIAL: usize = 1_024;
const HELP: &str =
    "write \"http://proxy.corp:3128\", or { url: …, user: …, password: { file: … } }";

/// A proxy, and where its password is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProxySettings {
    at: Authority,
    credentials: Option<(String, TokenSource)>,
}

/// Why a proxy cannot be used. Never holds any part of the password.
#[derive(Debug, thiserror::Error)]
pub enum ProxyError {
    /// The file cannot be read.
    #[error("the file {path}, which `proxy.password` names, cannot be read: {source}")]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The variable is not set.
    #[error("the environment variable `{0}`, which `proxy.password` names, is not set")]
    NotSet(String),
    /// No header can carry it.
    #[error(
        "what `proxy.password` names is empty, longer than {MAX_CREDENTIAL} bytes, or holds control characters"
    )]
    Malformed,
}

impl ProxySettings {
    /// The proxy, with its password, which is read once.
    ///
    /// # Errors
    /// See [`ProxyError`].
    pub fn open(&self) -> Result<Proxy, ProxyError> {
        let proxy = Proxy::new(self.at.clone()).ok_or(ProxyError::Malformed)?;
        let Some((user, source)) = &self.credentials else {
            return Ok(proxy);
        };
        let password = read(source)?;
        let length = password.expose_secret().len();
        let proxy = proxy
            .with_credentials(user, &password)
            .filter(|_| length > 0 && length <= MAX_CREDENTIAL);
        proxy.ok_or(ProxyError::Malformed)
    }
}

/// A password, without the end of its line.
fn read(source: &TokenSource) -> Result<SecretString, ProxyError> {
    let mut text = match source {
        TokenSource::Env(name) => {
            #[expect(clippy::disallowed_methods, reason = "the setting names this variable")]
            let value = std::env::var(name).map_err(|_| ProxyError::NotSet(name.clone()))?;
            value
        }
        TokenSource::File(path) => {
            let failed = |source| ProxyError::File {
                path: path.clone(),
                source,
            };
            let mut file = bounded(path, MAX_CREDENTIAL as u64 * 2).map_err(failed)?;
            let mut text = String::new();
            file.read_to_string(&mut text).map_err(failed)?;
            text
        }
    };
    let password = text.trim_end_matches(['\r', '\n']).to_owned();
    text.zeroize();
    Ok(password.into())
}

/// A URL, or `{ url: "http://proxy.corp:3128", user: gate, password: { file: … } }`. Beside what it is the way to, which
/// has to be https: inside of the tunnel there is TLS, or the proxy would read everything.
pub(super) fn proxy(
    node: Option<&Node>,
    is_https: bool,
    what: &str,
    folder: &Path,
    report: &mut Report,
) -> Option<Option<ProxySettings>> {
    let Some(node) = node else { return Some(None) };
    if !is_https {
        report
            .error(
                node.span,
                format!(
                    "there is no way through a proxy to an http address: {what} is on this machine"
                ),
            )
            .help("leave `proxy:` out, or name an https address");
    }
    let found = match &node.value {
        Value::Text(text) => address(text, node.span, report).map(|at| ProxySettings {
            at,
            credentials: None,
        }),
        Value::Map(_) => mapping(node, folder, report),
        Value::Null | Value::Bool(_) | Value::Integer(_) | Value::Float(_) | Value::List(_) => {
            let kind = node.value.kind();
            report
                .error(
                    node.span,
                    format!("`proxy:` must be an address, or a mapping, not {kind}"),
                )
                .help(HELP);
            None
        }
    };
    found.filter(|_| is_https).map(Some)
}

fn mapping(node: &Node, folder: &Path, report: &mut Report) -> Option<ProxySettings> {
    let mut table = Table::new("`proxy:`", node, report)?;
    let at = table
        .require_text("url", report)
        .and_then(|(text, span)| address(text, span, report));
    let user = table.text("user", report);
    let password = table.take("password");
    table.finish(report);
    let source = password.map(|node| source(node, folder, report));
    let credentials = match (user, source) {
        (None, None) => None,
        (Some((user, span)), Some(source)) => {
            let is_name = |it: char| it != ':' && !it.is_control();
            if user.is_empty() || user.len() > MAX_CREDENTIAL || !user.chars().all(is_name) {
                report.error(
                    span,
                    "`user:` must be a name without colons and control characters",
                );
                return None;
            }
            Some((user.to_owned(), source?))
        }
        (Some(_), None) | (None, Some(_)) => {
            report
                .error(
                    node.span,
                    "`proxy:` has a `user:` and a `password:`, or neither",
                )
                .help(HELP);
            return None;
        }
    };
    Some(ProxySettings {
        at: at?,
        credentials,
    })
}

/// `http://proxy.corp:3128`
fn address(text: &str, span: Span, report: &mut Report) -> Option<Authority> {
    let uri: Option<Uri> = text.parse().ok();
    let found = uri.map(Uri::into_parts).and_then(|parts| {
        let authority = parts.authority?;
        let is_root = parts.path_and_query.is_none_or(|it| it.as_str() == "/");
        let is_plain = !authority.as_str().contains('@') && !authority.host().is_empty();
        let has_port = authority.port_u16().is_some_and(|it| it > 0);
        let is_http = parts.scheme == Some(Scheme::HTTP);
        (is_root && is_plain && has_port && is_http).then_some(authority)
    });
    if found.is_none() {
        // A user's part holds a password.
        if text.contains('@') {
            report.secret(span);
        }
        report
            .error(
                span,
                "a proxy is http://, a host and a port: what is in the tunnel is encrypted, and the way to the proxy is not",
            )
            .help(HELP);
    }
    found
}

/// What a password may be written as.
const SOURCES: &str = "write { file: /run/secrets/proxy } or { env: PROXY_PASSWORD }";

/// `{ file: … }` or `{ env: … }`
fn source(node: &Node, folder: &Path, report: &mut Report) -> Option<TokenSource> {
    hide(node, report);
    if !matches!(node.value, Value::Map(_)) {
        // Most likely the password itself.
        report
            .error(
                node.span,
                "`password:` names where the password is, and never the password itself",
            )
            .help(SOURCES);
        return None;
    }
    let mut table = Table::new("`password:`", node, report)?;
    let (file, env) = (table.text("file", report), table.text("env", report));
    table.finish(report);
    match (file, env) {
        (Some((path, _)), None) => Some(TokenSource::File(folder.join(path))),
        (None, Some((name, span))) => variable(name, span, SOURCES, report).map(TokenSource::Env),
        (None, None) | (Some(_), Some(_)) => {
            report
                .error(node.span, "`password:` is one source")
                .help(SOURCES);
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::document::{Budget, parse};

    fn read_from(text: &str) -> Result<ProxySettings, String> {
        let mut report = Report::default();
        let source = report.add_source("t.yaml", text);
        let root = parse(source, text, Budget::SETTINGS, &mut report).unwrap();
        let folder = Path::new("/etc/tollgate");
        let read = proxy(Some(&root), true, "`base_url:`", folder, &mut report);
        read.flatten()
            .filter(|_| report.is_clean())
            .ok_or_else(|| report.plain())
    }

    #[test]
    fn a_proxy_is_a_host_and_a_port() {
        for good in [
            "\"http://proxy.corp:3128\"",
            "\"http://[::1]:3128/\"",
            "{ url: \"http://10.0.0.1:80\" }",
        ] {
            let read = read_from(good).unwrap_or_else(|error| panic!("{good}: {error}"));
            read.open().unwrap();
        }
        for bad in [
            "proxy.corp",
            "\"http://proxy.corp\"",
            "\"http://proxy.corp:0\"",
            "\"https://proxy.corp:3128\"",
            "\"socks5://proxy.corp:1080\"",
            "\"http://proxy.corp:3128/x\"",
            "\"http://gate:canary@proxy.corp:3128\"",
            "{ url: \"http://gate:canary@proxy.corp:3128\" }",
        ] {
            let error = read_from(bad).unwrap_err();
            assert!(error.contains("a proxy is http://"), "{bad}: {error}");
            assert!(!error.contains("canary"), "{error}");
        }
        assert!(read_from("[x]").unwrap_err().contains("not a list"));
    }

    #[test]
    fn u7_a_proxys_password_is_a_source() {
        let url = "url: \"http://p:1\"";
        for (bad, wanted) in [
            ("user: gate", "has a `user:` and a `password:`"),
            ("password: { env: P }", "has a `user:` and a `password:`"),
            ("user: gate, password: canary", "never the password itself"),
            (
                "user: gate, password: { env: canary }",
                "name of a variable",
            ),
            ("user: gate, password: { env: A, file: b }", "is one source"),
            ("user: gate, password: { fil: b }", "did you mean `file`"),
            ("user: \"a:b\", password: { env: P }", "without colons"),
            ("usr: gate", "did you mean `user`"),
        ] {
            let error = read_from(&format!("{{ {url}, {bad} }}")).unwrap_err();
            assert!(error.contains(wanted), "{bad}: {error}");
            assert!(!error.contains("canary"), "{error}");
        }
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("password");
        let text = format!(
            "{{ {url}, user: gate, password: {{ file: {} }} }}",
            path.display()
        );
        let settings = read_from(&text).unwrap();
        assert!(matches!(settings.open(), Err(ProxyError::File { .. })));
        let long = "x".repeat(MAX_CREDENTIAL + 1);
        for (content, is_good) in [
            ("", false),
            ("\n", false),
            ("a b\n", true),
            (&*long, false),
            ("a\0b", false),
        ] {
            std::fs::write(&path, content).unwrap();
            assert_eq!(settings.open().is_ok(), is_good, "{content:?}");
        }
        let shown = format!("{settings:?} {:?}", settings.open());
        assert!(!shown.contains("a b"), "{shown}");
    }

    #[test]
    fn u2_there_is_no_proxy_where_there_is_no_tls() {
        let mut report = Report::default();
        let text = "\"http://p:1\"";
        let source = report.add_source("t.yaml", text);
        let root = parse(source, text, Budget::SETTINGS, &mut report).unwrap();
        let read = proxy(
            Some(&root),
            false,
            "`base_url:`",
            Path::new(""),
            &mut report,
        );
        assert!(read.is_none());
        let error = report.plain();
        assert!(
            error.contains(
                "no way through a proxy to an http address: `base_url:` is on this machine"
            ),
            "{error}"
        );
    }
}

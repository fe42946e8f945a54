//! `alerts:`: the webhook that is told of alarms and of thresholds that were passed.

use std::path::{Path, PathBuf};
use std::time::Duration;

use http::Uri;
use http::uri::Scheme;
use secrecy::{ExposeSecret, SecretString};

use super::proxy::{ProxyError, ProxySettings, proxy};
use super::reader::{authorities, hide, is_loopback, variable};
use crate::alerts::{Webhook, WebhookKey};
use crate::document::{Node, Report, Table};
use crate::pipeline::upstream::{Authorities, ClientBuildError};

/// The largest file that is read for a key.
const MAX_KEY: u64 = 4_096;
/// The pause after the first attempt that failed; then twice as long each time.
const PAUSE: Duration = Duration::from_secs(1);

/// Where alerts go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AlertSettings {
    webhook: Uri,
    key: KeySource,
    ca: Authorities,
    proxy: Option<ProxySettings>,
}

/// Where the key is that alerts are signed with.
#[derive(Clone, Debug, PartialEq, Eq)]
enum KeySource {
    File(PathBuf),
    Env(String),
}

/// Why there is no webhook.
#[derive(Debug, thiserror::Error)]
pub enum AlertsError {
    /// The file cannot be read.
    #[error("the file {path}, which `alerts.key` names, cannot be read: {source}")]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The variable is not set.
    #[error("the environment variable `{0}`, which `alerts.key` names, is not set")]
    NotSet(String),
    /// It is no key.
    #[error(
        "{0}: a key for alerts has at least 32 characters, such as those of `openssl rand -hex 32`"
    )]
    Short(String),
    /// There is no client.
    #[error("the webhook of `alerts:`: {0}")]
    Client(#[from] ClientBuildError),
    /// The proxy has no password.
    #[error("the proxy of `alerts:`: {0}")]
    Proxy(#[from] ProxyError),
}

impl AlertSettings {
    /// The file that the key is in, if it is in one.
    pub(super) fn key_file(&self) -> Option<&Path> {
        match &self.key {
            KeySource::File(path) => Some(path),
            KeySource::Env(_) => None,
        }
    }

    /// The webhook, with its key.
    ///
    /// # Errors
    /// See [`AlertsError`].
    pub fn open(&self) -> Result<Webhook, AlertsError> {
        let (origin, text) = match &self.key {
            KeySource::File(path) => (path.display().to_string(), read(path)?),
            KeySource::Env(name) => {
                #[expect(clippy::disallowed_methods, reason = "the setting names this variable")]
                let value = std::env::var(name).map_err(|_| AlertsError::NotSet(name.clone()))?;
                (format!("`{name}`"), value.into())
            }
        };
        let key = WebhookKey::new(text.expose_secret().trim().as_bytes());
        let key = key.ok_or(AlertsError::Short(origin))?;
        let proxy = self.proxy.as_ref().map(ProxySettings::open).transpose()?;
        let uri = self.webhook.clone();
        Ok(Webhook::new(
            uri,
            key,
            self.ca.certificates(),
            proxy.as_ref(),
            PAUSE,
        )?)
    }
}

fn read(path: &Path) -> Result<SecretString, AlertsError> {
    let failed = |source| AlertsError::File {
        path: path.to_owned(),
        source,
    };
    let kind = std::fs::metadata(path).map_err(failed)?;
    if !kind.is_file() || kind.len() > MAX_KEY {
        let source = std::io::Error::other("it is no file of a few dozen characters");
        return Err(failed(source));
    }
    let text = std::fs::read_to_string(path).map_err(failed)?;
    Ok(text.into())
}

/// `{ webhook: https://…, key: { file: … }, ca: { file: … }, proxy: "http://proxy.corp:3128" }`
pub(super) fn alerts(node: &Node, folder: &Path, report: &mut Report) -> Option<AlertSettings> {
    let mut table = Table::new("`alerts:`", node, report)?;
    let webhook = table
        .require("webhook")
        .and_then(|node| webhook(node, report));
    let key = table
        .require("key")
        .and_then(|node| key(node, folder, report));
    let ca = table
        .take("ca")
        .map(|node| authorities(node, folder, report));
    let tunnelled = table.take("proxy");
    let is_https = webhook
        .as_ref()
        .is_none_or(|it| it.scheme() == Some(&Scheme::HTTPS));
    let proxy = proxy(tunnelled, is_https, "`webhook:`", folder, report);
    table.finish(report);
    Some(AlertSettings {
        proxy: proxy?,
        webhook: webhook?,
        key: key?,
        ca: ca.unwrap_or_else(|| Some(Authorities::default()))?,
    })
}

fn webhook(node: &Node, report: &mut Report) -> Option<Uri> {
    let text = node.as_text("webhook", report)?;
    let uri: Option<Uri> = text.parse().ok();
    let found = uri.filter(|uri| {
        let authority = uri.authority();
        let is_plain = authority.is_some_and(|it| !it.as_str().contains('@'));
        let host = uri.host().unwrap_or_default();
        let is_safe = uri.scheme() == Some(&Scheme::HTTPS)
            || (uri.scheme() == Some(&Scheme::HTTP) && is_loopback(host));
        is_plain && !host.is_empty() && is_safe
    });
    if found.is_none() {
        // Such an address often holds a secret.
        report.secret(node.span);
        report
            .error(node.span, "`webhook:` must be an https address without a user")
            .help("write https://hooks.example/tollgate; http is accepted for loopback addresses only");
    }
    found
}

/// What a key may be written as.
const HELP: &str = "write { file: path } or { env: NAME }";

fn key(node: &Node, folder: &Path, report: &mut Report) -> Option<KeySource> {
    hide(node, report);
    let mut table = Table::new("`key:`", node, report)?;
    let (file, env) = (table.text("file", report), table.text("env", report));
    table.finish(report);
    match (file, env) {
        (Some((path, _)), None) => Some(KeySource::File(folder.join(path))),
        (None, Some((name, span))) => variable(name, span, HELP, report).map(KeySource::Env),
        (None, None) | (Some(_), Some(_)) => {
            report
                .error(node.span, "`key:` is one source, and never the key itself")
                .help(HELP);
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::document::{Budget, parse};

    fn alerts_of(text: &str) -> Result<AlertSettings, String> {
        let mut report = Report::default();
        let source = report.add_source("t.yaml", text);
        let root = parse(source, text, Budget::SETTINGS, &mut report).unwrap();
        let read = alerts(&root, Path::new("/etc/tollgate"), &mut report);
        read.filter(|_| report.is_clean())
            .ok_or_else(|| report.plain())
    }

    #[test]
    fn u2_alerts_go_over_tls_or_stay_on_the_machine() {
        for good in [
            "https://hooks.example/a?b=c",
            "http://127.0.0.1:9/x",
            "http://[::1]:9",
            "http://localhost/",
        ] {
            let text = format!("{{ webhook: \"{good}\", key: {{ env: KEY }} }}");
            alerts_of(&text).unwrap_or_else(|error| panic!("{good}: {error}"));
        }
        for bad in [
            "http://hooks.example/secret",
            "https://user@hooks.example/secret",
            "hooks.example/secret",
            "ftp://hooks.example/secret",
            "http://127.0.0.1.evil.example/secret",
        ] {
            let text = format!("{{ webhook: \"{bad}\", key: {{ env: KEY }} }}");
            let error = alerts_of(&text).unwrap_err();
            assert!(error.contains("must be an https address"), "{bad}: {error}");
            assert!(!error.contains("secret"), "{error}");
        }
    }

    #[test]
    fn a_key_is_a_source_and_long_enough() {
        let hook = "webhook: \"http://127.0.0.1:9\"";
        for (bad, wanted) in [
            ("", "needs `key:`"),
            (
                ", key: 0123456789abcdef0123456789abcdef",
                "must be a mapping",
            ),
            (", key: { file: a, env: B }", "is one source"),
            (", key: { env: B }, kez: x", "has no field `kez`"),
            (", key: { env: b4d0 }", "must be the name of a variable"),
        ] {
            let error = alerts_of(&format!("{{ {hook}{bad} }}")).unwrap_err();
            assert!(error.contains(wanted), "{bad}: {error}");
        }
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        let settings = alerts_of(&format!(
            "{{ {hook}, key: {{ file: {} }} }}",
            path.display()
        ));
        let settings = settings.unwrap();
        assert!(matches!(settings.open(), Err(AlertsError::File { .. })));
        std::fs::write(&path, "short\n").unwrap();
        assert!(matches!(settings.open(), Err(AlertsError::Short(_))));
        std::fs::write(&path, "0123456789abcdef0123456789abcdef\n").unwrap();
        settings.open().unwrap();
    }
}

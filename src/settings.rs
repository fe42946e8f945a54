//! How the process runs: `tollgate.yaml`, `--set` and `TOLLGATE__…`.
//!
//! What needs a restart stands here; what can be reloaded stands in policies;
//! nothing is in both. All mistakes are reported at once. A value that may be
//! secret is a source (`env:`, `file:`), never the secret.

mod alerts;
mod capacity;
mod exposed;
mod issuers;
mod ledger;
mod listen;
mod pressure;
mod proxy;
mod reader;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::pki_types::CertificateDer;

use crate::document::{Budget, Node, Report, Span, Value, parse};
use crate::pipeline::access_log::Output;
use crate::pipeline::authenticate::Issuer;
use crate::pipeline::credential::Pinned;
use crate::pipeline::upstream::Timeouts;
use crate::serve::Listener;
use crate::token::{ServiceToken, TokenError};

pub(crate) use capacity::{MOST, MOST_STREAMS};

pub use alerts::{AlertSettings, AlertsError};
pub use exposed::Exposed;
pub use ledger::{LedgerSettings, TagKeyError, TagKeySource};
pub use proxy::{ProxyError, ProxySettings};

/// The prefix of environment variables that override settings: `TOLLGATE__UPSTREAM__BASE_URL`.
///
/// With two underscores, since Kubernetes sets `TOLLGATE_PORT`, `TOLLGATE_SERVICE_HOST` and the like for every
/// service of that name, and an override that matches no setting is an error.
pub const ENV_PREFIX: &str = "TOLLGATE__";

/// The settings of a process.
#[derive(Debug)]
pub struct Settings {
    /// The caller listeners.
    pub listen: Vec<Listener>,
    /// The admin listener.
    pub admin: SocketAddr,
    /// The socket that takes operators' orders.
    pub admin_socket: Option<PathBuf>,
    /// Who is told of alarms and thresholds.
    pub alerts: Option<AlertSettings>,
    /// Devin's address.
    pub pinned: Pinned,
    /// Certificate authorities to trust beside the system's.
    pub ca: Vec<CertificateDer<'static>>,
    /// The proxy on the way to Devin.
    pub proxy: Option<ProxySettings>,
    /// Where the shared token comes from.
    pub token: TokenSource,
    /// How long is waited for Devin.
    pub timeouts: Timeouts,
    /// How much is taken on at once, and how long clients are waited for.
    pub capacity: crate::capacity::Options,
    /// How fast requests may leave for Devin, and whose turn it is.
    pub pressure: crate::pressure::Options,
    /// Where each team stands that has a share of that.
    pub share_spans: Vec<(Arc<str>, Span)>,
    /// Whose tokens are believed.
    pub issuers: Vec<Issuer>,
    /// Where each of them stands, in the same order.
    pub issuer_spans: Vec<Span>,
    /// Where the policies are.
    pub policies: Policies,
    /// Where the access log goes.
    pub access_log: Output,
    /// Where the ledger is, and how what is held is settled.
    pub ledger: LedgerSettings,
}

/// Where the policies are, and how large each of their files may be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policies {
    /// The folder.
    pub folder: PathBuf,
    /// The budget of each file.
    pub budget: Budget,
}

/// Where the shared token comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TokenSource {
    /// An environment variable.
    Env(String),
    /// A file, read again when it changes.
    File(PathBuf),
}

/// Why there is no token.
#[derive(Debug, thiserror::Error)]
pub enum TokenSourceError {
    /// The variable is not set.
    #[error("the environment variable `{0}`, which `upstream.token` names, is not set")]
    NotSet(String),
    /// What is there is no token.
    #[error("{origin}: {source}")]
    Token {
        /// The variable or the file.
        origin: String,
        /// What is wrong with it.
        source: TokenError,
    },
}

impl TokenSource {
    /// Reads the token.
    ///
    /// # Errors
    /// See [`TokenSourceError`].
    pub fn open(&self) -> Result<ServiceToken, TokenSourceError> {
        match self {
            Self::File(path) => {
                ServiceToken::read(path).map_err(|source| TokenSourceError::Token {
                    origin: format!("the file {}, which `upstream.token` names", path.display()),
                    source,
                })
            }
            Self::Env(name) => {
                #[expect(clippy::disallowed_methods, reason = "the setting names this variable")]
                let value =
                    std::env::var(name).map_err(|_| TokenSourceError::NotSet(name.clone()))?;
                ServiceToken::new(&value.into()).map_err(|source| TokenSourceError::Token {
                    origin: format!(
                        "the environment variable `{name}`, which `upstream.token` names"
                    ),
                    source,
                })
            }
        }
    }
}

/// One override: where it comes from, the path of the setting, and its new value as YAML.
#[derive(Clone, Debug)]
pub struct Override {
    /// What is shown as the file: `--set` or the variable's name.
    pub origin: String,
    /// `upstream.base_url`
    pub path: String,
    /// A YAML scalar or flow value.
    pub value: String,
}

impl Override {
    /// From `--set upstream.base_url=http://127.0.0.1:1`.
    pub fn from_flag(text: &str) -> Option<Self> {
        let (path, value) = text.split_once('=')?;
        Some(Self {
            origin: format!("--set {path}"),
            path: path.to_owned(),
            value: value.to_owned(),
        })
    }

    /// All that the environment has.
    pub fn from_env() -> Vec<Self> {
        #[expect(
            clippy::disallowed_methods,
            reason = "overrides by environment are read here alone"
        )]
        let all = std::env::vars_os();
        all.filter_map(|(name, value)| {
            // Other programs' variables may hold any bytes; one of ours that does is an error like any other.
            let name = name.into_string().ok()?;
            let value = value.to_string_lossy().into_owned();
            let path = name
                .strip_prefix(ENV_PREFIX)?
                .to_ascii_lowercase()
                .replace("__", ".");
            Some(Self {
                origin: name,
                path,
                value,
            })
        })
        .collect()
    }
}

/// Reads the settings of a file. `None` if `report` holds any mistake.
pub fn load(path: &Path, overrides: &[Override], report: &mut Report) -> Option<Settings> {
    let name = path.display().to_string();
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) => {
            let source = report.add_source(name, "");
            report
                .error(
                    Span::start_of(source),
                    format!("the file cannot be read: {error}"),
                )
                .help("name it with --config; README.md shows one to start from");
            return None;
        }
    };
    let folder = path.parent().unwrap_or(Path::new(""));
    parse_settings(&name, &text, folder, overrides, report)
}

/// Reads settings from text; relative paths are relative to `folder`.
pub fn parse_settings(
    name: &str,
    text: &str,
    folder: &Path,
    overrides: &[Override],
    report: &mut Report,
) -> Option<Settings> {
    let before = report.len();
    let source = report.add_source(name, text);
    let mut root = parse(source, text, Budget::SETTINGS, report)?;
    for it in overrides {
        apply(&mut root, it, report);
    }
    let settings = reader::read(&root, folder, report);
    settings.filter(|_| report.len() == before)
}

/// Puts an override into the tree; whether such a setting exists is checked with the rest.
fn apply(root: &mut Node, it: &Override, report: &mut Report) {
    let source = report.add_source(it.origin.as_str(), it.value.as_str());
    let Some(value) = parse(source, &it.value, Budget::SETTINGS, report) else {
        return;
    };
    let span = value.span;
    let mut at = root;
    for name in it.path.split('.') {
        if !matches!(at.value, Value::Map(_)) {
            *at = Node {
                value: Value::Map(Vec::new()),
                span,
            };
        }
        let Value::Map(entries) = &mut at.value else {
            return;
        };
        let found = entries
            .iter()
            .position(|(key, _)| matches!(&key.value, Value::Text(text) if text == name));
        let ix = found.unwrap_or(entries.len());
        if found.is_none() {
            let key = Node {
                value: Value::Text(name.to_owned()),
                span,
            };
            let empty = Node {
                value: Value::Null,
                span,
            };
            entries.push((key, empty));
        }
        let Some((_, next)) = entries.get_mut(ix) else {
            return;
        };
        at = next;
    }
    *at = value;
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "
listen: [{ tcp: \"127.0.0.1:8080\" }]
upstream:
  base_url: https://api.devin.ai
  token: { env: DEVIN_SERVICE_USER_TOKEN }
  timeouts: { connect: 1s, first_byte: 500ms }
policies: policies/
";

    fn read(text: &str, overrides: &[&str]) -> Result<Settings, String> {
        let mut report = Report::default();
        let overrides: Vec<Override> = overrides
            .iter()
            .filter_map(|it| Override::from_flag(it))
            .collect();
        parse_settings(
            "tollgate.yaml",
            text,
            Path::new("/etc/tollgate"),
            &overrides,
            &mut report,
        )
        .ok_or_else(|| report.plain())
    }

    #[test]
    fn a_small_file_and_its_defaults() {
        let settings = read(GOOD, &[]).unwrap();
        assert_eq!(settings.pinned.authority, "api.devin.ai");
        assert_eq!(settings.admin.to_string(), "127.0.0.1:9090");
        assert_eq!(
            settings.policies.folder,
            Path::new("/etc/tollgate/policies/")
        );
        assert_eq!(settings.policies.budget.nodes(), 1_000_000);
        assert_eq!(settings.timeouts.first_byte.as_millis(), 500);
        assert_eq!(settings.timeouts.total.as_secs(), 300);
    }

    #[test]
    fn every_mistake_is_listed_at_once() {
        let text = "
listen: [{ tcp: 8080 }, { unix: /run/x }]
upstream: { base_url: \"http://evil.example\", tokn: {}, timeouts: { connect: 3 } }
identity:
  issuers: [{ name: a, issuer: x, audiences: [], jwks: { file: nowhere.json }, algorithms: [HS256] }]
stor: memory
budgets: {}
";
        insta::assert_snapshot!(read(text, &["admin.tcp=x"]).unwrap_err());
    }

    #[test]
    fn overrides_replace_one_setting_and_are_checked_like_the_file() {
        let settings = read(
            GOOD,
            &[
                "upstream.base_url=http://127.0.0.1:1",
                "admin.tcp='127.0.0.1:0'",
            ],
        )
        .unwrap();
        assert_eq!(settings.pinned.authority, "127.0.0.1:1");
        assert_eq!(settings.admin.port(), 0);
        let error = read(GOOD, &["upstream.base_ur=x"]).unwrap_err();
        assert!(
            error.contains("--set upstream.base_ur:1:1: `upstream:` has no field `base_ur`"),
            "{error}"
        );
    }

    #[test]
    fn u2_the_token_goes_over_tls_or_stays_on_the_machine() {
        for bad in [
            "http://api.devin.ai",
            "https://user@api.devin.ai",
            "https://api.devin.ai/v3",
            "ftp://x",
            "api.devin.ai",
            "http://127.0.0.1.evil.example",
        ] {
            let error = read(GOOD, &[&format!("upstream.base_url={bad}")]).unwrap_err();
            assert!(error.contains("base_url"), "{bad}: {error}");
        }
        for good in [
            "http://127.0.0.1:9",
            "http://localhost:9",
            "http://[::1]:9",
            "https://x.example:8443",
        ] {
            read(GOOD, &[&format!("upstream.base_url={good}")])
                .unwrap_or_else(|error| panic!("{good}: {error}"));
        }
    }

    #[test]
    fn the_budget_of_policy_files_is_a_setting() {
        let long = GOOD.replace("policies/", "{ folder: policies/, max_nodes: 5000 }");
        let settings = read(&long, &[]).unwrap();
        assert_eq!(
            settings.policies,
            Policies {
                folder: PathBuf::from("/etc/tollgate/policies/"),
                budget: Budget::of_nodes(5_000)
            }
        );
        for (bad, wanted) in [
            ("{ folder: x, max_nodes: 0 }", "from 1000 to 100000000"),
            ("{ max_nodes: 5000 }", "needs `folder:`"),
            ("{ folder: x, max_node: 5000 }", "did you mean `max_nodes`"),
            ("[x]", "must be a folder, or a mapping"),
        ] {
            let error = read(&GOOD.replace("policies/", bad), &[]).unwrap_err();
            assert!(error.contains(wanted), "{bad}: {error}");
        }
    }

    #[test]
    fn devins_rate_its_shares_and_the_wait_are_settings() {
        let settings = read(GOOD, &[]).unwrap();
        assert_eq!(settings.pressure, crate::pressure::Options::default());
        let long = [
            "upstream.rate=300/min",
            "upstream.wait=500ms",
            "upstream.shares={ web: 3, ds: 1 }",
        ];
        let settings = read(GOOD, &long).unwrap();
        let options = &settings.pressure;
        assert!(options.ceiling.is_some_and(|it| (it - 5.0).abs() < 1e-9));
        assert_eq!(options.wait.as_millis(), 500);
        assert_eq!(options.shares.get("web"), Some(&3));
        for (bad, wanted) in [
            ("rate=0/min", "a rate of zero is no limit"),
            ("rate=300", "a whole number and a unit"),
            ("wait=61s", "from 1ms to 1m"),
            ("wait=5", "a time from 1ms"),
            ("shares={ web: 0 }", "from 1 to 1000"),
            ("shares={ web: 1001 }", "from 1 to 1000"),
            ("shares=[web]", "must be a mapping"),
            ("rates=5/s", "did you mean `rate`"),
        ] {
            let error = read(GOOD, &[&format!("upstream.{bad}")]).unwrap_err();
            assert!(error.contains(wanted), "{bad}: {error}");
        }
    }

    #[test]
    fn a_share_is_a_teams() {
        let mut report = Report::default();
        let files = [("t.yaml", "team: web\ncallers: { web: {} }\n")];
        let files = crate::policy::PolicyFiles::from_texts(files, &mut report);
        let policy = crate::policy::compile(&files, &[], &mut report).unwrap();
        for (team, mistake) in [("web", None), ("wbe", Some("did you mean `web`"))] {
            let text = GOOD.replace(
                "  timeouts",
                &format!("  shares: {{ {team}: 2 }}\n  timeouts"),
            );
            let mut report = Report::default();
            let settings = parse_settings("t.yaml", &text, Path::new(""), &[], &mut report);
            settings.unwrap().check_shares(&policy, &mut report);
            let said = report.plain();
            match mistake {
                Some(wanted) => assert!(said.contains(wanted), "{said}"),
                None => assert!(report.is_clean(), "{said}"),
            }
        }
    }

    #[test]
    fn a_variable_that_is_not_set_is_named() {
        let error = TokenSource::Env("TOLLGATE_TEST_NOT_SET".to_owned())
            .open()
            .unwrap_err();
        assert!(
            error.to_string().contains("TOLLGATE_TEST_NOT_SET"),
            "{error}"
        );
    }
}

//! Opens the connections of stage 14, TLS included, within their time: straight to Devin, or through a [`Proxy`].
//!
//! A host's addresses are asked for anew for each connection, and nothing of ours keeps them. They are tried in turn,
//! those of the other family beside them after 300 ms (RFC 8305), until the time is over. Whatever address it is, the
//! certificate has to be the pinned host's.
//!
//! The authorities of the settings are read again when their file changes; connections that are open go on.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use arc_swap::ArcSwap;
use http::Uri;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder, MaybeHttpsStream};
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::connect::dns::{GaiResolver, Name};
use hyper_util::rt::TokioIo;
use rustls::pki_types::CertificateDer;
use tokio::net::TcpStream;
use tower::Service;

use super::proxy::{Proxy, Through};
use super::roots::{Authorities, system_roots};
use crate::body::BoxError;
use crate::pipeline::BoxFuture;
use crate::reload::Renew;

/// What the system keeps of what has come on one connection and is not read yet, in bytes. It would let that grow to
/// many MiB for whoever reads fast at first and then nothing, as a client that takes nothing makes us do.
const RECEIVED: usize = 512 * 1024;

/// How long an address is waited for before those of the other family are tried beside it.
const OTHER_FAMILY_AFTER: Duration = Duration::from_millis(300);

/// Why there is no client.
#[derive(Debug, thiserror::Error)]
pub enum ClientBuildError {
    /// No certificate authority to trust: every connection would fail.
    #[error("no certificate authority is trusted: the system has none, and `ca` names none")]
    NoRoots,
    /// A certificate that cannot be one of an authority.
    #[error("a certificate of `ca` is not usable: {0}")]
    Certificate(rustls::Error),
    /// The TLS library refused its own defaults.
    #[error("TLS cannot be set up: {0}")]
    Tls(rustls::Error),
}

/// There was no connection in time.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("{}", self.phase())]
pub(super) struct NotInTime {
    through_proxy: bool,
}

impl NotInTime {
    /// Straight to the host.
    pub(super) const DIRECT: &str = "no connection in time";
    /// Through a proxy: it, or the host behind it, was too slow.
    pub(super) const THROUGH_PROXY: &str = "no connection through the proxy in time";

    /// What took too long, for operators.
    pub(super) fn phase(self) -> &'static str {
        match self.through_proxy {
            true => Self::THROUGH_PROXY,
            false => Self::DIRECT,
        }
    }
}

/// What finds the addresses of a host.
pub trait Resolver:
    Service<Name, Response: Iterator<Item = SocketAddr>, Error: Into<BoxError>, Future: Send>
    + Clone
    + Send
    + Sync
    + 'static
{
}

impl<R> Resolver for R where
    R: Service<Name, Response: Iterator<Item = SocketAddr>, Error: Into<BoxError>, Future: Send>
        + Clone
        + Send
        + Sync
        + 'static
{
}

#[derive(Debug)]
enum Way<R> {
    Straight(HttpsConnector<HttpConnector<R>>),
    ThroughProxy(HttpsConnector<Through<HttpConnector<R>>>),
}

/// Opens connections, TLS included, within their time. Cheap to clone, since the client does so for each request.
#[derive(Debug)]
pub struct Connector<R = GaiResolver> {
    way: Arc<ArcSwap<Way<R>>>,
    within: Duration,
}

impl<R> Clone for Connector<R> {
    fn clone(&self) -> Self {
        Self {
            way: Arc::clone(&self.way),
            within: self.within,
        }
    }
}

impl Connector {
    /// Trusting the system's roots and `extra` ones; each connection is there `within` this time, or is none.
    ///
    /// # Errors
    /// See [`ClientBuildError`].
    pub fn new(
        extra: &[CertificateDer<'static>],
        within: Duration,
        proxy: Option<&Proxy>,
    ) -> Result<Self, ClientBuildError> {
        Self::resolving(GaiResolver::new(), extra, within, proxy)
    }

    /// What follows the file of these authorities, if they have one; with the `proxy` of the start.
    pub fn renewal(&self, extra: Authorities, proxy: Option<Proxy>) -> Option<impl Renew + use<>> {
        extra.file()?;
        Some(Renewal {
            connector: self.clone(),
            extra,
            proxy,
        })
    }
}

struct Renewal {
    connector: Connector,
    /// Those in use.
    extra: Authorities,
    proxy: Option<Proxy>,
}

impl Renew for Renewal {
    fn name(&self) -> String {
        let file = self.extra.file().unwrap_or(Path::new(""));
        format!("the certificate authorities in {}", file.display())
    }

    fn renew(&mut self) -> Result<bool, String> {
        let mut extra = self.extra.clone();
        let is_new = extra.renew()?;
        if is_new {
            let (within, proxy) = (self.connector.within, self.proxy.as_ref());
            let way = way(GaiResolver::new(), extra.certificates(), within, proxy);
            let way = way.map_err(|error| error.to_string())?;
            self.connector.way.store(Arc::new(way));
            self.extra = extra;
        }
        Ok(is_new)
    }
}

impl<R: Resolver> Connector<R> {
    /// The same, with the addresses that a resolver of another's finds.
    ///
    /// # Errors
    /// See [`ClientBuildError`].
    pub fn resolving(
        resolver: R,
        extra: &[CertificateDer<'static>],
        within: Duration,
        proxy: Option<&Proxy>,
    ) -> Result<Self, ClientBuildError> {
        let way = way(resolver, extra, within, proxy)?;
        Ok(Self {
            way: Arc::new(ArcSwap::from_pointee(way)),
            within,
        })
    }
}

fn way<R: Resolver>(
    resolver: R,
    extra: &[CertificateDer<'static>],
    within: Duration,
    proxy: Option<&Proxy>,
) -> Result<Way<R>, ClientBuildError> {
    let tls = tls(extra)?;
    let mut http = HttpConnector::new_with_resolver(resolver);
    http.enforce_http(false);
    http.set_nodelay(true);
    http.set_keepalive(Some(Duration::from_secs(30)));
    http.set_recv_buffer_size(Some(RECEIVED));
    http.set_happy_eyeballs_timeout(Some(OTHER_FAMILY_AFTER));
    // Each of a host's addresses gets its part of this: one that is dead leaves time for the next.
    http.set_connect_timeout(Some(within));
    let https = HttpsConnectorBuilder::new()
        .with_tls_config(tls)
        .https_or_http()
        .enable_http1()
        .enable_http2();
    Ok(match proxy {
        None => Way::Straight(https.wrap_connector(http)),
        Some(proxy) => Way::ThroughProxy(https.wrap_connector(Through::new(proxy.clone(), http))),
    })
}

fn tls(extra: &[CertificateDer<'static>]) -> Result<rustls::ClientConfig, ClientBuildError> {
    let mut roots = rustls::RootCertStore::empty();
    roots.add_parsable_certificates(system_roots());
    for certificate in extra {
        roots
            .add(certificate.clone())
            .map_err(ClientBuildError::Certificate)?;
    }
    if roots.is_empty() {
        return Err(ClientBuildError::NoRoots);
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    Ok(rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(ClientBuildError::Tls)?
        .with_root_certificates(roots)
        .with_no_client_auth())
}

impl<R: Resolver> Service<Uri> for Connector<R> {
    type Response = MaybeHttpsStream<TokioIo<TcpStream>>;
    type Error = BoxError;
    type Future = BoxFuture<Self::Response, BoxError>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        // As the connectors themselves: they resolve and connect in the call.
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let (connecting, through_proxy) = match &**self.way.load() {
            Way::Straight(connector) => (connector.clone().call(uri), false),
            Way::ThroughProxy(connector) => (connector.clone().call(uri), true),
        };
        let within = self.within;
        Box::pin(async move {
            let connected = tokio::time::timeout(within, connecting).await;
            connected.map_err(|_| NotInTime { through_proxy })?
        })
    }
}

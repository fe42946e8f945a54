//! Opens the connections of stage 14, TLS included, within their time.

use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use http::Uri;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder, MaybeHttpsStream};
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioIo;
use rustls::pki_types::CertificateDer;
use tokio::net::TcpStream;
use tower::Service;

use crate::body::BoxError;
use crate::pipeline::BoxFuture;

/// Why there is no client.
#[derive(Debug, thiserror::Error)]
pub enum ClientBuildError {
    /// No certificate authority to trust: every connection would fail.
    #[error(
        "no certificate authority is trusted: the system has none, and `upstream.ca` names none"
    )]
    NoRoots,
    /// A certificate that cannot be one of an authority.
    #[error("a certificate of `upstream.ca` is not usable: {0}")]
    Certificate(rustls::Error),
    /// The TLS library refused its own defaults.
    #[error("TLS cannot be set up: {0}")]
    Tls(rustls::Error),
}

/// Opens connections, TLS included, within their time. Cheap to clone, since the client does so for each request.
#[derive(Clone, Debug)]
pub struct Connector {
    inner: Arc<HttpsConnector<HttpConnector>>,
    within: Duration,
}

impl Connector {
    /// Trusting the system's roots and `extra` ones.
    ///
    /// # Errors
    /// See [`ClientBuildError`].
    pub(crate) fn new(
        extra: &[CertificateDer<'static>],
        within: Duration,
    ) -> Result<Self, ClientBuildError> {
        let mut roots = rustls::RootCertStore::empty();
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        for certificate in extra {
            roots
                .add(certificate.clone())
                .map_err(ClientBuildError::Certificate)?;
        }
        if roots.is_empty() {
            return Err(ClientBuildError::NoRoots);
        }
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let tls = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(ClientBuildError::Tls)?
            .with_root_certificates(roots)
            .with_no_client_auth();
        let mut http = HttpConnector::new();
        http.enforce_http(false);
        http.set_nodelay(true);
        http.set_keepalive(Some(Duration::from_secs(30)));
        let connector = HttpsConnectorBuilder::new()
            .with_tls_config(tls)
            .https_or_http()
            .enable_http1()
            .enable_http2()
            .wrap_connector(http);
        Ok(Self {
            inner: Arc::new(connector),
            within,
        })
    }
}

impl Service<Uri> for Connector {
    type Response = MaybeHttpsStream<TokioIo<TcpStream>>;
    type Error = BoxError;
    type Future = BoxFuture<Self::Response, BoxError>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        // As the connector itself: it resolves and connects in the call.
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let connecting = HttpsConnector::clone(&self.inner).call(uri);
        let within = self.within;
        Box::pin(async move { tokio::time::timeout(within, connecting).await? })
    }
}

//! Stage 1, in front of HTTP: TLS for callers.
//!
//! TLS 1.2 and 1.3 with rustls' own suites, `h2` and `http/1.1` by ALPN, no early data (a replayed head would be a
//! replayed request). On such a listener nothing else is spoken: who does not begin with a handshake, or does not
//! finish it in time, is not served. The certificate is read again when its files change; a connection keeps the one that
//! it began with.
//!
//! Nothing is decided by a server name: all callers meet the same certificate, and the name that a client asked for is
//! no part of any judgement.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use rustls::ServerConfig;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use crate::metrics::{Metrics, NoHandshake};
use crate::reload::{Renew, bounded};

/// The files of a certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateFiles {
    /// The chain in PEM, the server's own certificate first.
    pub cert: PathBuf,
    /// Its private key in PEM: PKCS#8, PKCS#1 or SEC1.
    pub key: PathBuf,
}

/// Why there is no TLS. Never holds any part of a key.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// The chain cannot be read.
    #[error("the certificate in {} cannot be read: {why}", path.display())]
    Certificate {
        /// Which file.
        path: PathBuf,
        /// Why.
        why: String,
    },
    /// The key cannot be read.
    #[error("the private key in {} cannot be read: {why}", path.display())]
    Key {
        /// Which file.
        path: PathBuf,
        /// Why.
        why: String,
    },
    /// They do not belong together.
    #[error("the private key in {} is not that of the certificate in {}", key.display(), cert.display())]
    Mismatch {
        /// The certificate's file.
        cert: PathBuf,
        /// The key's file.
        key: PathBuf,
    },
    /// The TLS library refused its own defaults.
    #[error("TLS cannot be set up: {0}")]
    Setup(rustls::Error),
}

impl TlsError {
    /// Whether it is about the key's file.
    pub fn is_about_key(&self) -> bool {
        matches!(self, Self::Key { .. } | Self::Mismatch { .. })
    }
}

/// TLS with one certificate; clones are the same.
#[derive(Clone)]
pub struct Tls {
    acceptor: TlsAcceptor,
    certificate: Arc<Certificate>,
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Tls").field(&self.certificate.files).finish()
    }
}

struct Certificate {
    files: CertificateFiles,
    current: ArcSwap<CertifiedKey>,
}

impl fmt::Debug for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Certificate").field(&self.files).finish()
    }
}

impl ResolvesServerCert for Certificate {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.current.load_full())
    }
}

impl Tls {
    /// With the certificate in these files.
    ///
    /// # Errors
    /// See [`TlsError`].
    pub fn open(files: CertificateFiles) -> Result<Self, TlsError> {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let certificate = Arc::new(Certificate {
            current: ArcSwap::from_pointee(files.read(&provider)?),
            files,
        });
        let resolver: Arc<dyn ResolvesServerCert> = Arc::<Certificate>::clone(&certificate);
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(TlsError::Setup)?
            .with_no_client_auth()
            .with_cert_resolver(resolver);
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        // The default, and on purpose: whoever replays early data replays a request.
        config.max_early_data_size = 0;
        Ok(Self {
            acceptor: TlsAcceptor::from(Arc::new(config)),
            certificate,
        })
    }

    /// What follows the files.
    pub fn renewal(&self) -> impl Renew + use<> {
        Renewal(Arc::clone(&self.certificate))
    }

    /// Meets a client. None if it does not get to speak HTTP, after `refused` was told why: but not of somebody who
    /// said nothing and left, as probes of a port do.
    pub(super) async fn meet<F: Future<Output = ()>>(
        &self,
        stream: TcpStream,
        within: Duration,
        metrics: &Metrics,
        refused: impl FnOnce(String) -> F,
    ) -> Option<TlsStream<TcpStream>> {
        let (why, said) = match tokio::time::timeout(within, self.acceptor.accept(stream)).await {
            Ok(Ok(stream)) => return Some(stream),
            Ok(Err(error)) if has_gone(&error) => (NoHandshake::Gone, None),
            Ok(Err(error)) => (
                NoHandshake::Refused,
                Some(format!("no TLS handshake: {error}")),
            ),
            Err(_) => (
                NoHandshake::Late,
                Some("the TLS handshake did not come to its end in time".to_owned()),
            ),
        };
        metrics.capacity().no_handshake(why);
        if let Some(said) = said {
            refused(said).await;
        }
        None
    }
}

fn has_gone(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::UnexpectedEof
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionAborted
            | io::ErrorKind::BrokenPipe
    )
}

struct Renewal(Arc<Certificate>);

impl Renew for Renewal {
    fn name(&self) -> String {
        format!("the certificate in {}", self.0.files.cert.display())
    }

    fn renew(&mut self) -> Result<bool, String> {
        let provider = rustls::crypto::aws_lc_rs::default_provider();
        let read = self.0.files.read(&provider).map_err(|it| it.to_string())?;
        // A new key under the old certificate does not exist: the two belong together.
        let is_new = read.cert != self.0.current.load().cert;
        if is_new {
            self.0.current.store(Arc::new(read));
        }
        Ok(is_new)
    }
}

impl CertificateFiles {
    fn read(&self, provider: &CryptoProvider) -> Result<CertifiedKey, TlsError> {
        let chain = self.chain()?;
        let key = self.key()?;
        match CertifiedKey::from_der(chain, key, provider) {
            Ok(certified) => Ok(certified),
            Err(rustls::Error::InconsistentKeys(_)) => Err(TlsError::Mismatch {
                cert: self.cert.clone(),
                key: self.key.clone(),
            }),
            Err(rustls::Error::InvalidCertificate(why)) => Err(TlsError::Certificate {
                path: self.cert.clone(),
                why: why.to_string(),
            }),
            Err(_) => Err(self.no_key("it is of no kind that TLS has here (RSA, ECDSA, Ed25519)")),
        }
    }

    fn chain(&self) -> Result<Vec<CertificateDer<'static>>, TlsError> {
        let failed = |why| TlsError::Certificate {
            path: self.cert.clone(),
            why,
        };
        let pem = read(&self.cert).map_err(|error| failed(error.to_string()))?;
        let chain: Result<Vec<CertificateDer<'static>>, pem::Error> =
            CertificateDer::pem_slice_iter(&pem).collect();
        let chain = chain.map_err(|error| failed(error.to_string()))?;
        match chain.is_empty() {
            true => Err(failed("it holds no certificate in PEM".to_owned())),
            false => Ok(chain),
        }
    }

    fn key(&self) -> Result<PrivateKeyDer<'static>, TlsError> {
        let pem = secrecy::zeroize::Zeroizing::new(
            read(&self.key).map_err(|error| self.no_key(&error.to_string()))?,
        );
        // The parser's own errors show lines of the file.
        PrivateKeyDer::from_pem_slice(&pem).map_err(|_| {
            self.no_key("it holds no private key in PEM (PKCS#8, PKCS#1 or SEC1, not encrypted)")
        })
    }

    fn no_key(&self, why: &str) -> TlsError {
        TlsError::Key {
            path: self.key.clone(),
            why: why.to_owned(),
        }
    }
}

/// The most bytes of a file of certificates, or of a key.
const MOST: u64 = 1 << 20;

fn read(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    io::Read::read_to_end(&mut bounded(path, MOST)?, &mut bytes)?;
    Ok(bytes)
}

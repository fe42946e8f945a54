//! An authority of the test's own, and TLS ends in front of the fake.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, OnceLock};

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::pki_types::CertificateDer;
use rustls::server::Acceptor;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::{LazyConfigAcceptor, TlsAcceptor};

/// Where something is, once that is known.
pub(crate) type Place = Arc<OnceLock<SocketAddr>>;

/// An authority, and what a server with a certificate of its needs.
pub(crate) struct Ca {
    pub(crate) root: CertificateDer<'static>,
    pub(crate) pem: String,
    pub(crate) server: Arc<rustls::ServerConfig>,
    asked_for: Arc<Mutex<Vec<String>>>,
}

impl Ca {
    /// With a certificate for these names.
    pub(crate) fn of(names: &[&str]) -> Self {
        let ca_key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let ca = params.self_signed(&ca_key).unwrap();
        let issuer = Issuer::new(params, ca_key);
        let key = KeyPair::generate().unwrap();
        let names: Vec<String> = names.iter().map(|&it| it.to_owned()).collect();
        let params = CertificateParams::new(names).unwrap();
        let leaf = params.signed_by(&key, &issuer).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut server = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![leaf.der().clone()], key.into())
            .unwrap();
        server.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Self {
            root: ca.der().clone(),
            pem: ca.pem(),
            server: Arc::new(server),
            asked_for: Arc::default(),
        }
    }

    /// The names that clients asked for, in clear (RFC 6066 section 3).
    pub(crate) fn asked_for(&self) -> Vec<String> {
        self.asked_for.lock().unwrap().clone()
    }

    /// Ends TLS at this address and copies bytes to where the fake is.
    pub(crate) async fn terminate(&self, at: &str, fake: &Place) -> SocketAddr {
        let listener = TcpListener::bind(at).await.unwrap();
        let address = listener.local_addr().unwrap();
        let acceptor = TlsAcceptor::from(self.server.clone());
        let (fake, asked_for) = (fake.clone(), self.asked_for.clone());
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (acceptor, fake) = (acceptor.clone(), fake.clone());
                let asked_for = asked_for.clone();
                tokio::spawn(async move {
                    let hello = LazyConfigAcceptor::new(Acceptor::default(), stream).await;
                    let Ok(hello) = hello else { return };
                    let name = hello.client_hello().server_name().unwrap_or("").to_owned();
                    asked_for.lock().unwrap().push(name);
                    let Ok(mut tls) = hello.into_stream(acceptor.config().clone()).await else {
                        return;
                    };
                    let mut plain = TcpStream::connect(fake.get().unwrap()).await.unwrap();
                    let _ = tokio::io::copy_bidirectional(&mut tls, &mut plain).await;
                });
            }
        });
        address
    }
}

//! The life of a served process: TLS on its listeners, what it reads again, what it tells whoever started it, its end.

mod manager;
mod renew;
mod stop;
mod tls;

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rcgen::{CertificateParams, KeyPair};
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore, SupportedProtocolVersion};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tollgate::api_key::ApiKey;

use crate::process::{CONFIG, folder};

/// A page of the gateway's own that needs a credential and no Devin.
const WHOAMI: &str = "/.tollgate/whoami";

/// A folder of settings and policies, and the key of the caller in them.
struct Site {
    folder: tempfile::TempDir,
    key: String,
}

impl Site {
    fn new(config: &str) -> Self {
        let key = ApiKey::generate("life").unwrap();
        let digest = key.digest_hex();
        let policy = format!(
            "team: t
callers: {{ life: {{ keys: [{{ id: life, sha256: \"{digest}\" }}] }} }}
allow: [{{ name: self, operations: [self.get], organizations: any }}]
"
        );
        Self {
            folder: folder(config, &[("t.yaml", &policy)]),
            key: key.expose().to_owned(),
        }
    }

    /// One whose listener speaks TLS, with a certificate for `localhost`.
    fn with_tls(more: &str) -> Self {
        let config = CONFIG.replace(
            "[{ tcp: \"127.0.0.1:0\" }]",
            "[{ tcp: \"127.0.0.1:0\", tls: { cert: tls.crt, key: tls.key } }]",
        );
        let site = Self::new(&(config + more));
        certify(site.path(), "localhost");
        site
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    /// A request for [`WHOAMI`].
    fn whoami(&self, rest: &str) -> String {
        let key = &self.key;
        format!(
            "GET {WHOAMI} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {key}\r\n{rest}\r\n"
        )
    }

    fn log(&self) -> String {
        fs::read_to_string(self.path().join("access.log")).unwrap()
    }
}

/// Puts a new certificate for a name into the folder, its key with it.
fn certify(folder: &Path, name: &str) {
    let key = KeyPair::generate().unwrap();
    let parameters = CertificateParams::new([name.to_owned()]).unwrap();
    let certificate = parameters.self_signed(&key).unwrap();
    for (file, text) in [
        ("tls.crt", certificate.pem()),
        ("tls.key", key.serialize_pem()),
    ] {
        // As a mounted secret changes: at once.
        let new = folder.join(format!("{file}.new"));
        fs::write(&new, text).unwrap();
        fs::rename(new, folder.join(file)).unwrap();
    }
}

/// A client that trusts the certificate in the folder, and nothing else.
fn client(folder: &Path, versions: &[&'static SupportedProtocolVersion]) -> ClientConfig {
    use rustls::pki_types::pem::PemObject;
    let mut roots = RootCertStore::empty();
    let trusted = CertificateDer::from_pem_file(folder.join("tls.crt")).unwrap();
    roots.add(trusted).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(versions)
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth()
}

async fn connect(
    config: &Arc<ClientConfig>,
    to: SocketAddr,
) -> std::io::Result<TlsStream<TcpStream>> {
    let name = ServerName::try_from("localhost").unwrap();
    let stream = TcpStream::connect(to).await.unwrap();
    TlsConnector::from(Arc::clone(config))
        .connect(name, stream)
        .await
}

/// Sends a request, and reads to the end of the connection, or for a while if it stays open.
async fn ask(stream: &mut (impl AsyncReadExt + AsyncWriteExt + Unpin), request: &str) -> String {
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    let reading = stream.read_to_end(&mut answer);
    let _ = tokio::time::timeout(Duration::from_secs(30), reading).await;
    String::from_utf8_lossy(&answer).into_owned()
}

//! The certificate authorities of the system, for stage 14: from where systems keep them, and from nowhere else.
//!
//! `SSL_CERT_FILE`, `SSL_CERT_DIR` and their like are not read: whoever can set a variable of this process must not
//! be able to have another host believed to be Devin. What is to be trusted beside these stands in the settings (`ca`).

use std::path::{Path, PathBuf};

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::{self, PemObject};
use rustls_native_certs::load_certs_from_paths;

use crate::reload::bounded;

/// The most bytes of a file of the settings: more than all authorities there are.
const MOST: u64 = 16 << 20;

/// Where all authorities stand in one file; the first of these that exists.
const FILES: [&str; 6] = [
    // Debian, Ubuntu, Alpine, Arch, distroless.
    "/etc/ssl/certs/ca-certificates.crt",
    // Fedora, RHEL, CentOS.
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
    "/etc/pki/tls/certs/ca-bundle.crt",
    // SUSE.
    "/etc/ssl/ca-bundle.pem",
    "/var/lib/ca-certificates/ca-bundle.pem",
    // macOS, FreeBSD, OpenBSD.
    "/etc/ssl/cert.pem",
];

/// And where each has a file of its own, all that exist.
const FOLDERS: [&str; 2] = ["/etc/ssl/certs", "/etc/pki/tls/certs"];

/// All authorities of the system. What cannot be read is left out, as is a file that is none.
pub(super) fn system_roots() -> Vec<CertificateDer<'static>> {
    let file = FILES.iter().map(Path::new).find(|it| it.exists());
    let mut found = load_certs_from_paths(file, None).certs;
    for folder in FOLDERS.iter().map(Path::new).filter(|it| it.exists()) {
        found.extend(load_certs_from_paths(None, Some(folder)).certs);
    }
    found.sort_unstable_by(|one, other| one.as_ref().cmp(other.as_ref()));
    found.dedup();
    found
}

/// Authorities to trust beside the system's: those in a file of the settings, or none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Authorities {
    file: Option<PathBuf>,
    certificates: Vec<CertificateDer<'static>>,
}

impl Authorities {
    /// Those in a PEM file.
    ///
    /// # Errors
    /// It cannot be read, or holds none: why.
    pub fn open(file: PathBuf) -> Result<Self, String> {
        Ok(Self {
            certificates: read(&file)?,
            file: Some(file),
        })
    }

    /// They.
    pub fn certificates(&self) -> &[CertificateDer<'static>] {
        &self.certificates
    }

    /// The file, if there is one.
    pub(super) fn file(&self) -> Option<&Path> {
        self.file.as_deref()
    }

    /// Reads the file again, and takes it if it is another.
    pub(super) fn renew(&mut self) -> Result<bool, String> {
        let Some(file) = &self.file else {
            return Ok(false);
        };
        let certificates = read(file)?;
        let is_new = certificates != self.certificates;
        self.certificates = certificates;
        Ok(is_new)
    }
}

fn read(file: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let opened = bounded(file, MOST).map_err(pem::Error::Io);
    let read: Result<Vec<CertificateDer<'static>>, _> = opened
        .and_then(|it| CertificateDer::pem_reader_iter(std::io::BufReader::new(it)).collect());
    let shown = file.display();
    match read {
        Ok(certificates) if !certificates.is_empty() => Ok(certificates),
        Ok(_) => Err(format!("{shown} holds no certificate")),
        Err(error) => Err(format!(
            "the certificates in {shown} cannot be read: {error}"
        )),
    }
}

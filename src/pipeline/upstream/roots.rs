//! The certificate authorities of the system, for stage 14: from where systems keep them, and from nowhere else.
//!
//! `SSL_CERT_FILE`, `SSL_CERT_DIR` and their like are not read: whoever can set a variable of this process must not
//! be able to have another host believed to be Devin. What is to be trusted beside these stands in the settings (`ca`).

use std::path::Path;

use rustls::pki_types::CertificateDer;
use rustls_native_certs::load_certs_from_paths;

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

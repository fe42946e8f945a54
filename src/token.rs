//! The shared service-user token: read, kept current, never printed.
//!
//! An edge of the credential stage. A file is read again when it changes, so a
//! rotation needs no restart; a file that has become empty or malformed changes
//! nothing and is reported.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arc_swap::ArcSwap;
use http::HeaderValue;
use secrecy::zeroize::Zeroize;
use secrecy::{ExposeSecret, SecretString};

use crate::reload::{Renew, bounded};

/// The longest token, in bytes.
const MAX_TOKEN: usize = 4096;

/// The token, as the header value that carries it.
///
/// There is no way to print it: no `Display`, no `Serialize`, and `Debug` names the type only.
#[derive(Clone)]
pub struct ServiceToken(Arc<ArcSwap<HeaderValue>>);

impl fmt::Debug for ServiceToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ServiceToken")
    }
}

/// Why a token cannot be used. Never holds any part of it.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    /// The file cannot be read.
    #[error("the token file {} cannot be read: {source}", path.display())]
    File {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// Nothing in it.
    #[error("the token is empty")]
    Empty,
    /// Not something that a header can carry.
    #[error("the token has spaces or characters that no token has, or more than {MAX_TOKEN} bytes")]
    Malformed,
}

impl ServiceToken {
    /// From its text; white space around it is not part of it.
    ///
    /// # Errors
    /// See [`TokenError`].
    pub fn new(text: &SecretString) -> Result<Self, TokenError> {
        Ok(Self(Arc::new(ArcSwap::from_pointee(header_of(text)?))))
    }

    /// From a file.
    ///
    /// # Errors
    /// See [`TokenError`].
    pub fn read(path: &Path) -> Result<Self, TokenError> {
        Self::new(&read(path)?)
    }

    /// The value for `Authorization`, marked sensitive.
    pub(crate) fn header(&self) -> HeaderValue {
        self.0.load().as_ref().clone()
    }

    /// What follows this file.
    pub fn renewal(&self, path: PathBuf) -> impl Renew + use<> {
        Renewal {
            token: self.clone(),
            path,
        }
    }
}

struct Renewal {
    token: ServiceToken,
    path: PathBuf,
}

impl Renew for Renewal {
    fn name(&self) -> String {
        format!("the service-user token in {}", self.path.display())
    }

    fn renew(&mut self) -> Result<bool, String> {
        let header = read(&self.path).and_then(|text| header_of(&text));
        let header = header.map_err(|error| error.to_string())?;
        let is_new = header != **self.token.0.load();
        if is_new {
            self.token.0.store(Arc::new(header));
        }
        Ok(is_new)
    }
}

fn read(path: &Path) -> Result<SecretString, TokenError> {
    use std::io::Read;
    let failed = |source| TokenError::File {
        path: path.to_owned(),
        source,
    };
    let mut file = bounded(path, MAX_TOKEN as u64 * 2).map_err(failed)?;
    let mut text = String::new();
    file.read_to_string(&mut text).map_err(failed)?;
    Ok(text.into())
}

fn header_of(text: &SecretString) -> Result<HeaderValue, TokenError> {
    let token = text.expose_secret().trim();
    if token.is_empty() {
        return Err(TokenError::Empty);
    }
    if token.len() > MAX_TOKEN || !token.bytes().all(|it| it.is_ascii_graphic()) {
        return Err(TokenError::Malformed);
    }
    let mut header = format!("Bearer {token}");
    let value = HeaderValue::from_str(&header).map_err(|_| TokenError::Malformed);
    header.zeroize();
    let mut value = value?;
    value.set_sensitive(true);
    Ok(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn u7_the_token_is_read_and_never_shown() {
        let token = ServiceToken::new(&" canary-token\n".to_owned().into()).unwrap();
        assert_eq!(token.header(), "Bearer canary-token");
        assert!(token.header().is_sensitive());
        assert!(!format!("{token:?} {:?}", token.header()).contains("canary"));
        for bad in ["", " \n", "canary two", "canary\nX: y", "canäry"] {
            let error = ServiceToken::new(&bad.to_owned().into()).unwrap_err();
            assert!(!format!("{error} {error:?}").contains("can"), "{error}");
        }
    }

    #[test]
    fn u13_a_changed_file_is_taken_and_a_broken_one_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("token");
        std::fs::write(&path, "first").unwrap();
        let token = ServiceToken::read(&path).unwrap();
        let mut renewal = token.renewal(path.clone());
        assert_eq!(renewal.renew(), Ok(false));
        for (content, wanted) in [
            ("second\n", "Bearer second"),
            ("", "Bearer second"),
            ("canary b", "Bearer second"),
            ("third", "Bearer third"),
        ] {
            std::fs::write(&path, content).unwrap();
            let renewed = renewal.renew();
            assert!(!format!("{renewed:?}").contains("canary b"));
            assert_eq!(token.header(), wanted, "{content:?}");
        }
        std::fs::remove_file(&path).unwrap();
        assert!(renewal.renew().is_err());
        assert_eq!(token.header(), "Bearer third");
    }
}

//! The keys of an issuer as they are now: its file is read again when it changes, and a set that is refused changes nothing.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use arc_swap::{ArcSwap, Guard};

use super::jwks::{Algorithm, KeySet};
use super::jwt::Issuer;
use crate::reload::{Renew, bounded};

/// The most bytes of a file that are read: one more than a key set may have is enough to refuse it.
const MOST: u64 = super::jwks::MAX_BYTES as u64 + 1;

/// Keys that can be replaced; clones are the same.
#[derive(Clone, Debug)]
pub struct Keys {
    current: Arc<ArcSwap<KeySet>>,
    file: Option<PathBuf>,
}

impl From<KeySet> for Keys {
    fn from(keys: KeySet) -> Self {
        Self {
            current: Arc::new(ArcSwap::from_pointee(keys)),
            file: None,
        }
    }
}

impl Keys {
    /// Those in a file.
    ///
    /// # Errors
    /// It cannot be read, or is refused: why.
    pub fn open(file: PathBuf) -> Result<Self, String> {
        let keys = read(&file)?;
        Ok(Self {
            file: Some(file),
            ..Self::from(keys)
        })
    }

    /// The present ones.
    pub(super) fn load(&self) -> Guard<Arc<KeySet>> {
        self.current.load()
    }

    /// Whether one of them is for one of these algorithms.
    pub fn has_any(&self, algorithms: &[Algorithm]) -> bool {
        self.load().has_any(algorithms)
    }
}

impl Issuer {
    /// What follows the file of its keys, if they have one.
    pub fn renewal(&self) -> Option<impl Renew + use<>> {
        Some(Renewal {
            file: self.keys.file.clone()?,
            current: Arc::clone(&self.keys.current),
            issuer: self.name.clone(),
            algorithms: self.algorithms.clone(),
        })
    }
}

struct Renewal {
    file: PathBuf,
    current: Arc<ArcSwap<KeySet>>,
    issuer: String,
    algorithms: Vec<Algorithm>,
}

impl Renew for Renewal {
    fn name(&self) -> String {
        let file = self.file.display();
        format!("the key set of the issuer `{}` in {file}", self.issuer)
    }

    fn renew(&mut self) -> Result<bool, String> {
        let keys = read(&self.file)?;
        if !keys.has_any(&self.algorithms) {
            return Err("none of its keys is for one of the issuer's `algorithms:`".to_owned());
        }
        let is_new = !keys.is_same(&self.current.load());
        if is_new {
            self.current.store(Arc::new(keys));
        }
        Ok(is_new)
    }
}

fn read(file: &Path) -> Result<KeySet, String> {
    use std::io::Read;
    let failed = |error: std::io::Error| {
        let file = file.display();
        format!("the key set {file} cannot be read: {error}")
    };
    let mut opened = bounded(file, MOST).map_err(failed)?;
    let mut json = Vec::new();
    opened.read_to_end(&mut json).map_err(failed)?;
    KeySet::parse(&json).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The key of RFC 7515 appendix A.3.
    const ONE: &str = r#"{"keys":[{"kid":"first","kty":"EC","crv":"P-256","alg":"ES256",
        "x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU","y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"}]}"#;

    #[test]
    fn j14_a_key_that_left_the_file_verifies_nothing_any_more_and_a_bad_file_changes_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("keys.json");
        std::fs::write(&file, ONE).unwrap();
        let issuer = Issuer {
            name: "staff".to_owned(),
            issuer: "https://sso.example".to_owned(),
            audiences: vec!["tollgate".to_owned()],
            algorithms: vec![Algorithm::Es256],
            keys: Keys::open(file.clone()).unwrap(),
        };
        let mut renewal = issuer.renewal().unwrap();
        assert_eq!(renewal.renew(), Ok(false));
        std::fs::write(&file, ONE.replace("\"first\"", "\"second\"")).unwrap();
        assert_eq!(renewal.renew(), Ok(true));
        let is_there = |id| issuer.keys.load().find(Some(id)).is_some();
        assert!(is_there("second") && !is_there("first"));
        for bad in ["", "{\"keys\":[]}", "[]"] {
            std::fs::write(&file, bad).unwrap();
            assert!(renewal.renew().is_err(), "{bad}");
            assert!(is_there("second"), "{bad}");
        }
        std::fs::remove_file(&file).unwrap();
        assert!(renewal.renew().unwrap_err().contains("cannot be read"));
        assert!(is_there("second"));
    }
}

//! Test data that others published, from the folder that TOLLGATE_TESTDATA names.
//!
//! Without it these tests say that they were skipped; with it, a missing file fails.

mod fields;
mod jose;
mod json;
mod paths;
mod requests;
mod strings;
mod wire;

use std::path::PathBuf;

#[expect(
    clippy::disallowed_methods,
    reason = "the folder of corpora is named by a variable"
)]
fn corpus(path: &str) -> Option<PathBuf> {
    let Ok(folder) = std::env::var("TOLLGATE_TESTDATA") else {
        eprintln!("SKIPPED: TOLLGATE_TESTDATA is not set");
        return None;
    };
    let path = PathBuf::from(folder).join(path);
    assert!(path.exists(), "{} is missing", path.display());
    Some(path)
}

fn files(folder: PathBuf) -> Vec<PathBuf> {
    let mut all = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            all.extend(files(path))
        } else {
            all.push(path)
        }
    }
    all
}

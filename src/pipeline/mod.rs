//! The layers, in the order of the request path.
//!
//! `edge` (tower-http's ring) → `trace` (with `head`) → `access_log` → `problem` → `admit` → `pages` →
//! `target` → `authenticate` → `authorize` → `limit` → `bounds` → `ownership` → `attempts` → `fund` → `share` →
//! `filter` → `credential` → `answer_size` → `pressure` → `upstream`. [`crate::gateway`] puts them together; no layer names another,
//! each names only the proof that it takes and the one that it makes.

pub mod access_log;
pub mod admit;
pub mod answer_size;
pub mod attempts;
pub mod authenticate;
pub mod authorize;
pub mod bounds;
pub mod credential;
pub mod edge;
pub mod filter;
pub mod fund;
pub mod head;
pub mod limit;
pub mod ownership;
pub mod pages;
pub mod pressure;
pub mod problem;
pub mod share;
pub mod stage;
pub mod target;
pub mod trace;
pub mod upstream;

use std::future::Future;
use std::pin::Pin;

pub use authenticate::Identified;
pub use authorize::Granted;
pub use bounds::Permitted;
pub use fund::Funded;
pub use problem::Arrived;
pub use target::Classified;

/// The copy of a service that `poll_ready` readied, for a future; a fresh one stays in its place.
fn take_ready<S: Clone>(inner: &mut S) -> S {
    let fresh = inner.clone();
    std::mem::replace(inner, fresh)
}

/// A boxed future, for the layers that wait.
pub type BoxFuture<T, E> = Pin<Box<dyn Future<Output = Result<T, E>> + Send>>;

//! Settling: what was held becomes what Devin says was used.
//!
//! Beside the request path, a reconciler asks Devin about every session that holds something, looks for what was sent
//! and not answered, and sweeps each organization for children, wakes from elsewhere and sessions that the ledger has
//! forgotten. All that it learns it tells the ledger; it decides nothing about money itself.

mod consumption;
mod devin;
mod objects;
mod reconciler;
mod record;
mod said;
mod seek;
mod sweep;

pub use devin::ToDevin;
pub use reconciler::{Reconciler, Times};
pub use record::{Page, Record};

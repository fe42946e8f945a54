//! Telling people: alarms of the ledger, and thresholds of budgets that were passed.
//!
//! Beside the path of a request, which never waits for it. Whoever has something to tell rings the [`Bell`]: it goes to
//! the process's log, to the metrics, and through a bounded queue to the webhook. [`Watch`] looks at the accounts and
//! rings where a threshold was passed; [`Webhook`] sends.

mod bell;
mod crossing;
mod watch;
mod webhook;

pub use bell::{Alert, Bell, Kind};
pub use crossing::{Level, crossed};
pub use watch::Watch;
pub use webhook::{SIGNATURE, Webhook, WebhookKey, send};

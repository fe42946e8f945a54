//! `tollgate health`: is a running gateway alive? For container health checks, in images without a shell.

use clap::Args;
use serde_json::json;

use super::ask::Gateway;
use super::{Failure, Format, print};

/// What is asked, of whom.
#[derive(Args, Debug)]
pub(super) struct Options {
    #[command(flatten)]
    gateway: Gateway,
    /// Ask whether it is ready for requests, not only whether it lives.
    #[arg(long)]
    ready: bool,
}

pub(super) async fn run(options: Options, format: Format) -> Result<(), Failure> {
    let path = if options.ready { "/readyz" } else { "/healthz" };
    let (status, _) = options.gateway.ask(path).await?;
    let fine = status.is_success();
    match format {
        Format::Json => print(&json!({"ok": fine, "status": status.as_u16()}).to_string())?,
        Format::Text => print(if fine { "ok" } else { "not ok" })?,
    }
    if fine { Ok(()) } else { Err(Failure::Bad) }
}

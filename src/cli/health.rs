//! `tollgate health`: is a running gateway alive? For container health checks, in images without a shell.

use std::time::Duration;

use clap::Args;
use http::{Request, Uri};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use serde_json::json;

use super::{Failure, Format, print};
use crate::body::{Body, empty};

/// Whom to ask.
#[derive(Args, Debug)]
pub(super) struct Options {
    /// The admin address of the gateway.
    #[arg(long, default_value = "http://127.0.0.1:9090", value_parser = url)]
    admin: Uri,
    /// Ask whether it is ready for requests, not only whether it lives.
    #[arg(long)]
    ready: bool,
}

fn url(text: &str) -> Result<Uri, String> {
    let parsed = text
        .parse::<Uri>()
        .ok()
        .filter(|uri| uri.scheme_str() == Some("http"));
    parsed.ok_or_else(|| "write it as http://127.0.0.1:9090".to_owned())
}

pub(super) async fn run(options: Options, format: Format) -> Result<(), Failure> {
    let path = if options.ready { "/readyz" } else { "/healthz" };
    let uri = format!("{}{path}", options.admin.to_string().trim_end_matches('/'));
    let client: Client<_, Body> = Client::builder(TokioExecutor::new()).build_http();
    let asked = client.request(Request::get(&uri).body(empty())?);
    let answer = tokio::time::timeout(Duration::from_secs(5), asked).await;
    let answer = answer
        .map_err(|_| format!("{uri} does not answer"))?
        .map_err(|error| format!("{uri} cannot be reached: {error}"))?;
    let fine = answer.status().is_success();
    match format {
        Format::Json => {
            print(&json!({"ok": fine, "status": answer.status().as_u16()}).to_string())?
        }
        Format::Text => print(if fine { "ok" } else { "not ok" })?,
    }
    if fine { Ok(()) } else { Err(Failure::Bad) }
}

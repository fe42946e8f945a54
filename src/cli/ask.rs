//! Asking a running gateway on its operator's port.

use std::time::Duration;

use bytes::Bytes;
use clap::Args;
use http::{Request, StatusCode, Uri};
use http_body_util::{BodyExt, Limited};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;

use super::Failure;
use crate::body::{Body, empty};

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(5);
/// The longest answer, in bytes.
const MAX_ANSWER: usize = 1 << 20;

/// Whom to ask.
#[derive(Args, Debug)]
pub(super) struct Gateway {
    /// The admin address of the gateway.
    #[arg(long, default_value = "http://127.0.0.1:9090", value_parser = url)]
    admin: Uri,
}

fn url(text: &str) -> Result<Uri, String> {
    let parsed = text
        .parse::<Uri>()
        .ok()
        .filter(|uri| uri.scheme_str() == Some("http"));
    parsed.ok_or_else(|| "write it as http://127.0.0.1:9090".to_owned())
}

impl Gateway {
    /// What it answers on this path.
    pub(super) async fn ask(&self, path: &str) -> Result<(StatusCode, Bytes), Failure> {
        let uri = format!("{}{path}", self.admin.to_string().trim_end_matches('/'));
        let client: Client<_, Body> = Client::builder(TokioExecutor::new()).build_http();
        let request = Request::get(&uri).body(empty())?;
        let asked = async {
            let answer = client.request(request).await;
            let (head, body) = answer
                .map_err(|error| format!("{uri} cannot be reached: {error}"))?
                .into_parts();
            let body = Limited::new(body, MAX_ANSWER).collect().await;
            let body = body.map_err(|error| format!("{uri} gives no whole answer: {error}"))?;
            Ok((head.status, body.to_bytes()))
        };
        let answer = tokio::time::timeout(PATIENCE, asked).await;
        answer.map_err(|_| format!("{uri} does not answer"))?
    }
}

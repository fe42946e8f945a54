//! `tollgate fake-devin`: only the fake Devin, for tests of other programs.

use std::net::SocketAddr;

use clap::Args;
use serde_json::json;
use tokio::net::TcpListener;

use super::{Failure, Format, print};
use crate::fake_devin::{self, FakeDevin};
use crate::serve::StopSignals;

/// How it runs.
#[derive(Args, Debug)]
pub(super) struct Options {
    /// Where it listens.
    #[arg(long, default_value = "127.0.0.1:8099")]
    listen: SocketAddr,
    /// The one token that it accepts.
    #[arg(long, default_value = "fake-devin-token")]
    token: String,
    /// How many of its seconds pass in one real second.
    #[arg(long, default_value_t = 1.0)]
    speed: f64,
}

pub(super) async fn run(options: Options, format: Format) -> Result<(), Failure> {
    let listener = TcpListener::bind(options.listen)
        .await
        .map_err(|error| format!("cannot listen on {}: {error}", options.listen))?;
    let mut signals = StopSignals::listen()?;
    let url = format!("http://{}", listener.local_addr()?);
    let fake = FakeDevin::new(fake_devin::Options {
        token: options.token,
        speed: options.speed,
        ..fake_devin::Options::default()
    });
    print(&match format {
        Format::Json => json!({ "upstream_url": url }).to_string(),
        Format::Text => format!("fake Devin at {url}; what it was sent: {url}/.fake/requests"),
    })?;
    fake.serve(listener, signals.told()).await;
    Ok(())
}

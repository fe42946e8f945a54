//! The process's own log: what operators read on standard error.
//!
//! `RUST_LOG` and `--log-level` choose how much of ours is shown. Of the libraries'
//! messages at most `info` is ever shown, whatever is asked for: h2 and hyper
//! print whole header blocks when they trace, credentials of callers included.

use std::io::Write;

use tracing::{Level, Subscriber};
use tracing_subscriber::filter::{EnvFilter, FilterExt, FilterFn};
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::{Layer, SubscriberExt};

/// A subscriber that writes lines to `writer`, filtered by `directives` (`info`, `tollgate=debug`).
pub fn subscriber<W>(directives: &str, writer: W) -> impl Subscriber + Send + Sync
where
    W: for<'a> MakeWriter<'a, Writer: Write> + Send + Sync + 'static,
{
    let asked = EnvFilter::builder().parse_lossy(directives);
    let ours = FilterFn::new(|meta| {
        let target = meta.target();
        target == "tollgate" || target.starts_with("tollgate::") || *meta.level() <= Level::INFO
    });
    let lines = tracing_subscriber::fmt::layer()
        .with_writer(writer)
        .with_ansi(false)
        .with_filter(asked.and(ours));
    tracing_subscriber::registry().with(lines)
}

/// Starts the process's log on standard error, and has panics written to it.
///
/// A panic's message is shown only where it is fixed text: one that was formatted may hold what a request held.
pub fn start(directives: &str) {
    let set = tracing::subscriber::set_global_default(subscriber(directives, std::io::stderr));
    debug_assert!(set.is_ok(), "the log is started once");
    quiet_panics();
}

/// Replaces the panic hook by one that shows no formatted message.
pub fn quiet_panics() {
    std::panic::set_hook(Box::new(|panic| {
        let message = panic.payload().downcast_ref::<&'static str>().copied();
        let at = panic
            .location()
            .map(ToString::to_string)
            .unwrap_or_default();
        tracing::error!(
            at,
            message = message.unwrap_or("(a formatted message, not shown)"),
            "panic"
        );
    }));
}

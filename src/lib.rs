//! Tollgate: an authenticating, policy-enforcing reverse proxy for a shared Devin service user.
//!
//! Teams call it instead of Devin's API, with their own credential; it decides
//! what they may do, puts the shared token on, forwards, streams the answer
//! back, and writes one access-log line per request.
//!
//! # The path of a request
//!
//! `main` → `cli` → [`serve`] accepts a connection → [`gateway`] is everything
//! that happens to a request on it, in order. Each deciding stage takes one
//! proof and gives the next, and only what is permitted gets the token:
//!
//! ```text
//! Arrival → trace → access log → problem ─ Arrived → Classified → Identified → Granted → Permitted → Owned → Intended → Funded → Outbound → Devin
//! ```
//!
//! The order is checked by the compiler. This is the right one:
//!
//! ```
//! use std::sync::Arc;
//! use tollgate::body::Body;
//! use tollgate::clock::SystemClock;
//! use tollgate::exchange::Exchange;
//! use tollgate::pipeline::{Arrived, authenticate::Authenticate, authorize::Authorize, stage::StageLayer, target::Classify};
//! use tollgate::pipeline::Granted;
//! use tollgate::rejection::Rejection;
//! use tower::{Service, ServiceBuilder};
//!
//! fn stack<S>(inner: S) -> impl Service<Exchange<Arrived>>
//! where
//!     S: Service<Exchange<Granted>, Response = http::Response<Body>, Error = Rejection>,
//! {
//!     ServiceBuilder::new()
//!         .layer(StageLayer::new(Classify::new(Arc::default())))
//!         .layer(StageLayer::new(Authenticate::new(Arc::new([]), Arc::new(SystemClock))))
//!         .layer(StageLayer::new(Authorize))
//!         .service(inner)
//! }
//! ```
//!
//! With two stages swapped it does not build:
//!
//! ```compile_fail,E0277
//! use std::sync::Arc;
//! use tollgate::body::Body;
//! use tollgate::clock::SystemClock;
//! use tollgate::exchange::Exchange;
//! use tollgate::pipeline::{Arrived, authenticate::Authenticate, authorize::Authorize, stage::StageLayer, target::Classify};
//! use tollgate::pipeline::Granted;
//! use tollgate::rejection::Rejection;
//! use tower::{Service, ServiceBuilder};
//!
//! fn stack<S>(inner: S) -> impl Service<Exchange<Arrived>>
//! where
//!     S: Service<Exchange<Granted>, Response = http::Response<Body>, Error = Rejection>,
//! {
//!     ServiceBuilder::new()
//!         .layer(StageLayer::new(Classify::new(Arc::default())))
//!         .layer(StageLayer::new(Authorize))
//!         .layer(StageLayer::new(Authenticate::new(Arc::new([]), Arc::new(SystemClock))))
//!         .service(inner)
//! }
//! ```

// The path of a request, from the outside in.
pub mod exchange;
pub mod pipeline;
pub mod problem;
pub mod rejection;
pub mod serve;
pub mod trail;
// What it is judged by: pure.
pub mod acu;
pub mod api_key;
pub mod budget;
pub mod catalogue;
pub mod filter;
pub mod json;
pub mod ledger;
pub mod policy;
pub mod pressure;
pub mod proxies;
pub mod redact;
pub mod replay;
pub mod target;
// What it is made of, and its edges.
pub mod body;
pub mod capacity;
pub mod clock;
pub mod failpoint;
pub mod limits;
pub mod reload;
pub mod ruleset;
pub mod settle;
pub mod token;
// How the process is configured and watched.
pub mod accounts;
pub mod admin;
pub mod alerts;
pub mod document;
pub mod metrics;
pub mod schema;
pub mod settings;
pub mod telemetry;
// What else the binary does.
pub mod cli;
pub mod demo;
pub mod fake_devin;
pub mod rehearsal;

use std::collections::HashSet;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use http::Response;
use tokio_util::task::TaskTracker;
use tower::{Service, ServiceBuilder};

use body::Body;
use capacity::Room;
use catalogue::Catalogue;
use clock::Clock;
use exchange::Exchange;
use ledger::Ledger;
use metrics::Metrics;
use pipeline::access_log::{AccessLogLayer, Sink};
use pipeline::admit::Admit;
use pipeline::answer_size::AnswerSizeLayer;
use pipeline::attempts::{AttemptsLayer, Records};
use pipeline::authenticate::{Authenticate, Issuer};
use pipeline::authorize::Authorize;
use pipeline::bounds::BoundsLayer;
use pipeline::credential::{Credential, Outbound, Pinned};
use pipeline::edge::Arrival;
use pipeline::filter::FilterLayer;
use pipeline::fund::FundLayer;
use pipeline::limit::LimitLayer;
use pipeline::ownership::OwnershipLayer;
use pipeline::pages::PagesLayer;
use pipeline::pressure::PressureLayer;
use pipeline::problem::ProblemsLayer;
use pipeline::share::ShareLayer;
use pipeline::stage::StageLayer;
use pipeline::target::Classify;
use pipeline::trace::TraceLayer;
use rejection::Rejection;
use ruleset::Current;
use settle::Times;
use token::ServiceToken;

/// What a gateway is made of.
#[derive(Clone, Debug)]
pub struct Parts {
    /// Who may do what, how often.
    pub policies: Current,
    /// Whose tokens are believed.
    pub issuers: Arc<[Issuer]>,
    /// The shared service-user token.
    pub token: ServiceToken,
    /// The one host that it may go to.
    pub pinned: Pinned,
    /// The time for an answer of Devin's, all pages of a filtered list together.
    pub upstream_total: Duration,
    /// Where lines go.
    pub log: Sink,
    /// What is counted.
    pub metrics: Metrics,
    /// What is held and spent, and whose each session is.
    pub ledger: Ledger,
    /// Organizations whose allowed tags leave out ours: sessions there are created one at a time (L5).
    pub untagged: Arc<HashSet<String>>,
    /// When the reconciler does what; none where nothing is settled here.
    pub times: Option<Times>,
    /// What is known of earlier attempts to spend.
    pub records: Arc<dyn Records>,
    /// The requests that run on without their clients.
    pub tasks: TaskTracker,
    /// The time of day.
    pub clock: Arc<dyn Clock>,
    /// How fast requests may leave for Devin, and who has which share of that.
    pub pressure: PressureLayer,
    /// How much is taken on at once, and how long clients are waited for.
    pub capacity: capacity::Options,
}

/// THE STACK: everything that happens to a request, in order.
pub fn gateway<U>(
    parts: &Parts,
    upstream: U,
) -> impl Service<Arrival, Response = Response<Body>, Error = Infallible, Future: Send>
+ Clone
+ Send
+ use<U>
where
    U: Service<Exchange<Outbound>, Response = Response<Body>, Error = Rejection>
        + Clone
        + Send
        + 'static,
    U::Future: Send,
{
    let room = Room::new(parts.capacity.requests);
    parts.metrics.capacity().show(room.clone());
    ServiceBuilder::new()
        // Id and clock first: everything below can name the request.
        .layer(TraceLayer::new(
            Arc::clone(&parts.clock),
            parts.capacity.proxies.clone(),
        ))
        // Around all that can refuse, fail or panic, so that each request has its one line.
        .layer(AccessLogLayer::new(
            parts.log.clone(),
            parts.metrics.clone(),
        ))
        // The border: below it refusals are values, above it there are only answers.
        .layer(ProblemsLayer::new(parts.policies.clone()))
        // Not too many at once: what is too much is refused before it costs anything.
        .layer(StageLayer::new(Admit::new(room)))
        // Whoever is refused can read why, without a credential; and what is a caller's own, with its.
        .layer(PagesLayer::new(parts))
        // What is asked, before who asks: the path is read once, and for nothing unknown is anyone authenticated.
        .layer(StageLayer::new(Classify::new(Arc::new(Catalogue::new()))))
        // Who asks. The credential ends here.
        .layer(StageLayer::new(Authenticate::new(
            Arc::clone(&parts.issuers),
            Arc::clone(&parts.clock),
        )))
        // Whether they may.
        .layer(StageLayer::new(Authorize))
        // Not too often: what is denied for its head uses nothing up, and no body is read beyond the limits. Where a
        // limit says so, a request waits here for its turn.
        .layer(LimitLayer::new(parts.capacity.requests_per_caller))
        // Whether their body is within the grant's bounds; from here on it is the one that was judged.
        .layer(BoundsLayer::new(
            parts.capacity.times.body,
            Arc::clone(&parts.capacity.sizes),
        ))
        // Whether the session is theirs.
        .layer(OwnershipLayer::new(parts.ledger.clone()))
        // One intent, one session: a repeat becomes the client of the attempt that is under way.
        .layer(AttemptsLayer::new(parts))
        // What can spend is held before it leaves, or it does not leave.
        .layer(FundLayer::new(parts))
        // Of identical reads at once, one asks. What is shared is what the caller may see.
        .layer(ShareLayer::default())
        // What they may see of a list. Behind the limit: all pages of a list are one request.
        .layer(FilterLayer::new(parts.upstream_total, parts.ledger.clone()))
        // Only what is permitted gets the token, and nothing below decides any more.
        .layer(StageLayer::new(Credential::new(
            parts.token.clone(),
            parts.pinned.clone(),
        )))
        // No answer is larger than one of its operation may be.
        .layer(AnswerSizeLayer::new(Arc::clone(&parts.capacity.sizes)))
        .service(upstream)
}

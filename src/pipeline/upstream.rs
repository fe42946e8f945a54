//! Stage 14: Devin, over a pool of connections, streaming both ways.
//!
//! One client for all callers: TLS is always verified, HTTP/1.1 and HTTP/2,
//! no redirect is followed, nothing is decompressed, no proxy variable is read,
//! and nothing is sent twice here: a POST that creates a session must not
//! depend on a library's reasoning about what had been written. What may be sent
//! again is decided around this, in `pressure`.
//!
//! Devin's headers come back through an allow-list too; its 401 is about our
//! token and never shown as if it were about the caller's.

use std::pin::Pin;
use std::sync::atomic::Ordering;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::header::{
    ACCEPT_RANGES, AGE, CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_ENCODING, CONTENT_LANGUAGE,
    CONTENT_RANGE, CONTENT_TYPE, DATE, ETAG, EXPIRES, LAST_MODIFIED, LINK, LOCATION, RETRY_AFTER,
    VARY,
};
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response, StatusCode, Uri};
use http_body::Frame;
use hyper::body::Incoming;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder, MaybeHttpsStream};
use hyper_util::client::legacy::connect::{Connect, HttpConnector};
use hyper_util::client::legacy::{Builder, Client, Error as ClientError};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use rustls::pki_types::CertificateDer;
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep, sleep_until};
use tower::Service;

use super::BoxFuture;
use super::credential::Outbound;
use super::edge::BodyLate;
use crate::body::{Body, BoxError, Until, Watched, WithoutTrailers};
use crate::catalogue::Operation;
use crate::exchange::Exchange;
use crate::pipeline::bounds::TooMuch;
use crate::problem::{ANSWERED_BY, SHOULD_RETRY};
use crate::rejection::Rejection;
use crate::trail::Trail;

/// What of Devin's headers goes to a caller. Framing is our own: two lengths of Devin's cannot become the caller's.
const RETURNED: [HeaderName; 17] = [
    ACCEPT_RANGES,
    AGE,
    CACHE_CONTROL,
    CONTENT_DISPOSITION,
    CONTENT_ENCODING,
    CONTENT_LANGUAGE,
    CONTENT_RANGE,
    CONTENT_TYPE,
    DATE,
    ETAG,
    EXPIRES,
    LAST_MODIFIED,
    LINK,
    LOCATION,
    RETRY_AFTER,
    VARY,
    SHOULD_RETRY,
];

/// The most bytes of an answer that are read at once, and of its head; and of a request that are written. What a client
/// does not take stands in memory a few times this much: a piece of it in each of the places that it goes through.
const BUFFER: usize = 64 * 1024;

/// What the system keeps of what has come on one connection and is not read yet, in bytes. It would let that grow to
/// many MiB for whoever reads fast at first and then nothing, as a client that takes nothing makes us do.
const RECEIVED: usize = 512 * 1024;

/// What may come of one answer over HTTP/2 before it is read, in bytes.
const STREAM_WINDOW: u32 = 256 * 1024;

/// What may come of all answers over one connection of HTTP/2: as much as 1,024 streams may have, so that clients that take
/// nothing of theirs do not stop everybody else's, which come over the same connection (RFC 9113 section 5.2.1).
const CONNECTION_WINDOW: u32 = 1_024 * STREAM_WINDOW;

/// The phase of a time-out before anything was sent.
const NO_CONNECTION: &str = "no connection in time";

/// Whether no connection was had, so that not a byte of the request has left.
pub(super) fn never_left(rejection: &Rejection) -> bool {
    if let Rejection::UpstreamUnreachable { source, .. } = rejection {
        let error = source.downcast_ref::<ClientError>();
        return error.is_some_and(ClientError::is_connect);
    }
    matches!(rejection, Rejection::UpstreamTimeout { phase, .. } if *phase == NO_CONNECTION)
}

/// How long is waited for Devin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// For a connection, TLS included.
    pub connect: Duration,
    /// From a request's start to the head of its answer; not for operations that spend.
    pub first_byte: Duration,
    /// For everything, the answer's body included.
    pub total: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(3),
            first_byte: Duration::from_secs(60),
            total: Duration::from_secs(300),
        }
    }
}

/// Why there is no client.
#[derive(Debug, thiserror::Error)]
pub enum ClientBuildError {
    /// No certificate authority to trust: every connection would fail.
    #[error(
        "no certificate authority is trusted: the system has none, and `upstream.ca` names none"
    )]
    NoRoots,
    /// A certificate that cannot be one of an authority.
    #[error("a certificate of `upstream.ca` is not usable: {0}")]
    Certificate(rustls::Error),
    /// The TLS library refused its own defaults.
    #[error("TLS cannot be set up: {0}")]
    Tls(rustls::Error),
}

/// Opens connections, TLS included, within their time. Cheap to clone, since the client does so for each request.
#[derive(Clone, Debug)]
pub struct Connector {
    inner: Arc<HttpsConnector<HttpConnector>>,
    within: Duration,
}

impl Connector {
    /// Trusting the system's roots and `extra` ones.
    ///
    /// # Errors
    /// See [`ClientBuildError`].
    pub(crate) fn new(
        extra: &[CertificateDer<'static>],
        within: Duration,
    ) -> Result<Self, ClientBuildError> {
        let mut roots = rustls::RootCertStore::empty();
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        for certificate in extra {
            roots
                .add(certificate.clone())
                .map_err(ClientBuildError::Certificate)?;
        }
        if roots.is_empty() {
            return Err(ClientBuildError::NoRoots);
        }
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let tls = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(ClientBuildError::Tls)?
            .with_root_certificates(roots)
            .with_no_client_auth();
        let mut http = HttpConnector::new();
        http.enforce_http(false);
        http.set_nodelay(true);
        http.set_keepalive(Some(Duration::from_secs(30)));
        http.set_recv_buffer_size(Some(RECEIVED));
        let connector = HttpsConnectorBuilder::new()
            .with_tls_config(tls)
            .https_or_http()
            .enable_http1()
            .enable_http2()
            .wrap_connector(http);
        Ok(Self {
            inner: Arc::new(connector),
            within,
        })
    }
}

impl Service<Uri> for Connector {
    type Response = MaybeHttpsStream<TokioIo<TcpStream>>;
    type Error = BoxError;
    type Future = BoxFuture<Self::Response, BoxError>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        // As the connector itself: it resolves and connects in the call.
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let connecting = HttpsConnector::clone(&self.inner).call(uri);
        let within = self.within;
        Box::pin(async move { tokio::time::timeout(within, connecting).await? })
    }
}

/// What each connection to Devin is held to.
fn builder() -> Builder {
    let mut builder = Client::builder(TokioExecutor::new());
    builder
        .retry_canceled_requests(false)
        .pool_timer(TokioTimer::new())
        .timer(TokioTimer::new())
        .pool_idle_timeout(Duration::from_secs(20))
        .pool_max_idle_per_host(256)
        .set_host(true)
        .http1_max_buf_size(BUFFER)
        .http2_keep_alive_interval(Duration::from_secs(20))
        .http2_keep_alive_timeout(Duration::from_secs(10))
        .http2_max_header_list_size(64 * 1024)
        .http2_adaptive_window(false)
        .http2_initial_stream_window_size(STREAM_WINDOW)
        .http2_initial_connection_window_size(CONNECTION_WINDOW);
    builder
}

/// The client, over connections of a [`Connector`], or of whatever else opens some.
#[derive(Debug)]
pub struct Upstream<C = Connector> {
    client: Arc<Client<C, Body>>,
    timeouts: Timeouts,
}

impl<C> Clone for Upstream<C> {
    fn clone(&self) -> Self {
        Self {
            client: Arc::clone(&self.client),
            timeouts: self.timeouts,
        }
    }
}

impl Upstream {
    /// Trusting the system's roots and `extra` ones.
    ///
    /// # Errors
    /// See [`ClientBuildError`].
    pub fn new(
        extra: &[CertificateDer<'static>],
        timeouts: Timeouts,
    ) -> Result<Self, ClientBuildError> {
        let connector = Connector::new(extra, timeouts.connect)?;
        Ok(Self::over(connector, timeouts))
    }
}

impl<C> Upstream<C>
where
    C: Connect + Clone + Send + Sync + 'static,
{
    /// Over connections of another's; it opens each within a time of its own.
    pub fn over(connector: C, timeouts: Timeouts) -> Self {
        let client = builder().build(connector);
        Self {
            client: Arc::new(client),
            timeouts,
        }
    }
}

impl<C> Service<Exchange<Outbound>> for Upstream<C>
where
    C: Connect + Clone + Send + Sync + 'static,
{
    type Response = Response<Body>;
    type Error = Rejection;
    type Future = BoxFuture<Response<Body>, Rejection>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Rejection>> {
        // The pool opens what it needs.
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, exchange: Exchange<Outbound>) -> Self::Future {
        let Exchange {
            request,
            trail,
            proof,
        } = exchange;
        let operation = proof.operation().row();
        let caller_broke_off = Arc::new(OnceLock::new());
        let request = watched(request, &trail, &caller_broke_off);
        trail.attempt();
        let answer = self.client.request(request);
        let timeouts = self.timeouts;
        let deadline = proof.deadline();
        Box::pin(async move {
            let started = Instant::now();
            let over = started + timeouts.total;
            let over = deadline.map_or(over, |it| it.min(over));
            let first_byte = if operation.spends.is_some() {
                timeouts.total
            } else {
                timeouts.first_byte.min(timeouts.total)
            };
            let mut timer = Box::pin(sleep_until(over.min(started + first_byte)));
            let answer = tokio::select! {
                biased;
                answer = answer => answer,
                () = &mut timer => {
                    return Err(Rejection::UpstreamTimeout {
                        phase: "no answer began in time",
                        may_have_acted: operation.mutates,
                    });
                }
            };
            let answer =
                answer.map_err(|error| failed(error, operation, caller_broke_off.get()))?;
            let _ = trail.upstream_head.set(started.elapsed());
            let status = answer.status().as_u16();
            trail.upstream_status.store(status, Ordering::Relaxed);
            if answer.status().is_informational() {
                return Err(Rejection::UpstreamInvalid {
                    source: "an answer that switches protocols, unasked".into(),
                    may_have_acted: operation.mutates,
                });
            }
            if answer.status() == StatusCode::UNAUTHORIZED {
                return Err(Rejection::UpstreamCredentialRejected);
            }
            trail.upstream_answered.store(true, Ordering::Relaxed);
            Ok(returned(answer, over, timer))
        })
    }
}

/// Why a caller's body came to no end.
#[derive(Debug)]
enum BrokeOff {
    /// It was more than it may be.
    TooMuch(String),
    /// It did not come in time.
    Late,
    /// The caller broke off.
    Itself,
}

/// Counts the caller's bytes, and remembers whether the caller broke off, or sent more than it may.
fn watched(
    request: Request<Body>,
    trail: &Arc<Trail>,
    broke_off: &Arc<OnceLock<BrokeOff>>,
) -> Request<Body> {
    if http_body::Body::is_end_stream(request.body()) {
        return request;
    }
    let trail = Arc::clone(trail);
    let broke_off = Arc::clone(broke_off);
    // A body that was judged has been counted when it was read.
    let is_counted = trail.bytes_in.load(Ordering::Relaxed) > 0;
    let tell = move |frame: Result<&Frame<Bytes>, &BoxError>| match frame {
        Ok(frame) if !is_counted => {
            let length = frame.data_ref().map_or(0, Bytes::len);
            trail.bytes_in.fetch_add(length as u64, Ordering::Relaxed);
        }
        Ok(_) => {}
        Err(error) => {
            let _ = broke_off.set(match error.downcast_ref::<TooMuch>() {
                Some(it) => BrokeOff::TooMuch(it.said().to_owned()),
                None if error.is::<BodyLate>() => BrokeOff::Late,
                None => BrokeOff::Itself,
            });
        }
    };
    request.map(|body| Watched::boxed(body, tell))
}

fn failed(
    error: ClientError,
    operation: &Operation,
    caller_broke_off: Option<&BrokeOff>,
) -> Rejection {
    match caller_broke_off {
        Some(BrokeOff::TooMuch(said)) => return Rejection::BodyTooLarge { said: said.clone() },
        Some(BrokeOff::Late) => return Rejection::RequestTimeout,
        Some(BrokeOff::Itself) => return Rejection::BodyBroken,
        None => {}
    }
    if error.is_connect() {
        let is_timeout = caused_by::<tokio::time::error::Elapsed>(&error).is_some();
        return if is_timeout {
            Rejection::UpstreamTimeout {
                phase: NO_CONNECTION,
                may_have_acted: false,
            }
        } else {
            Rejection::UpstreamUnreachable {
                source: error.into(),
                may_have_acted: false,
            }
        };
    }
    let is_nonsense =
        caused_by::<hyper::Error>(&error).is_some_and(|it| it.is_parse() || it.is_parse_status());
    let (source, may_have_acted): (BoxError, bool) = (error.into(), operation.mutates);
    if is_nonsense {
        Rejection::UpstreamInvalid {
            source,
            may_have_acted,
        }
    } else {
        Rejection::UpstreamUnreachable {
            source,
            may_have_acted,
        }
    }
}

fn caused_by<E: std::error::Error + 'static>(error: &ClientError) -> Option<&E> {
    let mut next: Option<&(dyn std::error::Error + 'static)> = std::error::Error::source(error);
    while let Some(source) = next {
        if let Some(found) = source.downcast_ref() {
            return Some(found);
        }
        next = source.source();
    }
    None
}

fn returned(
    answer: Response<Incoming>,
    deadline: Instant,
    timer: Pin<Box<Sleep>>,
) -> Response<Body> {
    let (parts, body) = answer.into_parts();
    let mut headers = HeaderMap::with_capacity(16);
    for (name, value) in &parts.headers {
        if RETURNED.contains(name) {
            headers.append(name, value.clone());
        }
    }
    headers.insert(ANSWERED_BY, HeaderValue::from_static("upstream"));
    let body = if http_body::Body::is_end_stream(&body) {
        crate::body::empty()
    } else {
        Until::boxed(WithoutTrailers::new(body), deadline, timer)
    };
    let mut response = Response::new(body);
    *response.status_mut() = parts.status;
    *response.headers_mut() = headers;
    response
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use http_body_util::{BodyExt, Full};
    use hyper::server::conn::http2;
    use hyper::service::service_fn;
    use tokio::net::TcpListener;

    use super::*;

    /// Much, or little.
    async fn answer(request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
        let bytes = match request.uri().path() {
            "/much" => 8 << 20,
            _ => 1 << 10,
        };
        Ok(Response::new(Full::new(vec![b'x'; bytes].into())))
    }

    #[tokio::test]
    async fn r2_answers_that_nobody_takes_stop_no_others_over_the_same_connection() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            let (stream, _) = listener.accept().await.unwrap();
            let served = http2::Builder::new(TokioExecutor::new())
                .serve_connection(TokioIo::new(stream), service_fn(answer));
            served.await.unwrap();
        });
        // Without TLS there is no ALPN that would choose it.
        let client: Client<_, Full<Bytes>> = builder().http2_only(true).build(HttpConnector::new());
        let ask = async |path| {
            let uri: Uri = format!("http://{address}{path}").parse().unwrap();
            let asking = client.get(uri);
            tokio::time::timeout(Duration::from_secs(30), asking).await
        };
        let mut held = Vec::new();
        for _ in 0..32 {
            let answer: Response<Incoming> = ask("/much").await.unwrap().unwrap();
            held.push(answer);
        }
        for _ in 0..4 {
            let little = ask("/little").await.unwrap().unwrap().into_body();
            let whole = tokio::time::timeout(Duration::from_secs(30), little.collect()).await;
            let whole = whole.expect("it is stopped by those that nobody takes");
            assert_eq!(whole.unwrap().to_bytes().len(), 1 << 10);
        }
        drop(held);
    }
}

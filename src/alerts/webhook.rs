//! Sends what was rung to the operator's webhook: one JSON object by POST, signed, again and again until it is taken.
//!
//! In a task of its own. One that is not taken waits aside, and keeps none behind it from being sent. What is not taken
//! within its attempts is given up and counted; of a threshold the next start tells again. No redirect is followed, no
//! proxy variable read, and of the answer nothing but its status is looked at. The address may hold a secret, so no
//! message names more of it than its host.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::hmac;
use bytes::Bytes;
use data_encoding::HEXLOWER;
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use http::header::{CONTENT_TYPE, USER_AGENT};
use http::{HeaderName, HeaderValue, Method, Request, StatusCode, Uri};
use http_body_util::{BodyExt, Full, Limited};
use hyper_util::client::legacy::Client;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use jiff::Timestamp;
use rustls::pki_types::CertificateDer;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use super::bell::{Alert, Kind};
use crate::body::{BoxError, chain};
use crate::clock::Clock;
use crate::ledger::Ledger;
use crate::pipeline::upstream::{ClientBuildError, Connector, Proxy};

/// Where the signature stands: `t=<seconds since 1970>,v1=<HMAC-SHA256 of "t.body", in hex>`.
pub const SIGNATURE: HeaderName = HeaderName::from_static("tollgate-signature");
/// The fewest bytes of a key.
const MIN_KEY: usize = 32;
/// How often an alert is sent at most.
const ATTEMPTS: u32 = 10;
/// The longest pause between two attempts.
const LONGEST: Duration = Duration::from_secs(300);
/// How many alerts are sent at once, and how many are under way, most of them waiting for their next attempt.
const POSTS: usize = 4;
const UNDER_WAY: usize = 100;
/// The time for a connection, and for an answer.
const CONNECT: Duration = Duration::from_secs(5);
const ANSWER: Duration = Duration::from_secs(10);
/// How much of an answer is read, so that its connection can be used again.
const MAX_ANSWER: usize = 64 * 1024;

/// The key that alerts are signed with.
#[derive(Clone)]
pub struct WebhookKey(Arc<hmac::Key>);

impl fmt::Debug for WebhookKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("WebhookKey")
    }
}

impl WebhookKey {
    /// Of these bytes. `None` of fewer than 32.
    pub fn new(bytes: &[u8]) -> Option<Self> {
        let key = || Self(Arc::new(hmac::Key::new(hmac::HMAC_SHA256, bytes)));
        (bytes.len() >= MIN_KEY).then(key)
    }

    /// What [`SIGNATURE`] says of a body that is sent at this instant.
    pub fn signature(&self, at: Timestamp, body: &str) -> String {
        let at = at.as_second();
        let mac = hmac::sign(&self.0, format!("{at}.{body}").as_bytes());
        let hex = HEXLOWER.encode(mac.as_ref());
        format!("t={at},v1={hex}")
    }
}

/// Where alerts go.
#[derive(Clone)]
pub struct Webhook {
    uri: Uri,
    key: WebhookKey,
    client: Client<Connector, Full<Bytes>>,
    /// The first pause between two attempts.
    pause: Duration,
}

impl fmt::Debug for Webhook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let host = self.uri.host();
        f.debug_struct("Webhook").field("host", &host).finish()
    }
}

impl Webhook {
    /// At this address, perhaps through a proxy; over TLS, its certificate is checked against the system's roots and
    /// `extra` ones. After an attempt that failed there is this pause, and then twice as long each time.
    ///
    /// # Errors
    /// See [`ClientBuildError`].
    pub fn new(
        uri: Uri,
        key: WebhookKey,
        extra: &[CertificateDer<'static>],
        proxy: Option<&Proxy>,
        pause: Duration,
    ) -> Result<Self, ClientBuildError> {
        let client = Client::builder(TokioExecutor::new())
            .retry_canceled_requests(false)
            .pool_timer(TokioTimer::new())
            .timer(TokioTimer::new())
            .pool_idle_timeout(Duration::from_secs(20))
            .pool_max_idle_per_host(1)
            .build(Connector::new(extra, CONNECT, proxy)?);
        Ok(Self {
            uri,
            key,
            client,
            pause,
        })
    }

    async fn post(&self, alert: &Alert, now: Timestamp) -> Result<StatusCode, BoxError> {
        let body = Full::new(Bytes::from(alert.body.clone()));
        let mut request = Request::new(body);
        *request.method_mut() = Method::POST;
        *request.uri_mut() = self.uri.clone();
        let signature = HeaderValue::try_from(self.key.signature(now, &alert.body))?;
        let headers = request.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(USER_AGENT, HeaderValue::from_static("tollgate"));
        headers.insert(SIGNATURE, signature);
        let answered = async {
            let answer = self.client.request(request).await?;
            let status = answer.status();
            let _ = Limited::new(answer.into_body(), MAX_ANSWER).collect().await;
            Ok::<_, BoxError>(status)
        };
        tokio::time::timeout(ANSWER, answered).await?
    }

    /// Sends until it is taken, or given up. Whether it was taken.
    async fn deliver(&self, alert: &Alert, clock: &dyn Clock, posts: &Semaphore) -> bool {
        let host = self.uri.host().unwrap_or_default();
        let mut pause = self.pause;
        for attempt in 1..=ATTEMPTS {
            // Signed anew each time: a receiver may refuse what was signed long ago.
            let posted = {
                let _turn = posts.acquire().await;
                self.post(alert, clock.now()).await
            };
            let why = match posted {
                Ok(status) if status.is_success() => return true,
                Ok(status) => format!("it answered {status}"),
                Err(error) => chain(&*error),
            };
            tracing::warn!(
                host,
                id = alert.id,
                attempt,
                why,
                "the webhook did not take an alert"
            );
            if attempt < ATTEMPTS {
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(LONGEST);
            }
        }
        tracing::error!(host, id = alert.id, "an alert was given up");
        false
    }
}

/// Sends what is rung, until told to stop.
pub async fn send(
    webhook: Webhook,
    ledger: Ledger,
    clock: Arc<dyn Clock>,
    stop: CancellationToken,
) {
    let bell = ledger.bell().clone();
    let posts = Semaphore::new(POSTS);
    let one = async |alert: Alert| {
        let is_taken = webhook.deliver(&alert, &*clock, &posts).await;
        bell.sent(is_taken);
        if is_taken
            && alert.kind == Kind::Threshold
            && let Err(error) = ledger.told(alert.id).await
        {
            tracing::warn!(%error, "an alert will be told twice");
        }
    };
    let sending = async {
        let mut under_way = FuturesUnordered::new();
        loop {
            tokio::select! {
                alert = bell.next(), if under_way.len() < UNDER_WAY => under_way.push(one(alert)),
                Some(()) = under_way.next() => {}
            }
        }
    };
    tokio::select! {
        () = sending => {}
        () = stop.cancelled() => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_is_what_anybody_with_the_key_computes() {
        assert!(WebhookKey::new(&[7; 31]).is_none());
        let key = WebhookKey::new(b"0123456789abcdef0123456789abcdef").unwrap();
        let at = Timestamp::from_second(1_790_000_000).unwrap();
        // printf '1790000000.{"a":1}' | openssl dgst -sha256 -hmac 0123456789abcdef0123456789abcdef
        let wanted =
            "t=1790000000,v1=f4346a65c05b64dd6b51506d8bb57787fd3805be72b2212c4b3b6e27d36316eb";
        assert_eq!(key.signature(at, r#"{"a":1}"#), wanted);
        assert_eq!(format!("{key:?}"), "WebhookKey");
    }

    #[test]
    fn u7_no_message_names_more_of_the_address_than_its_host() {
        let key = WebhookKey::new(&[7; 32]).unwrap();
        let uri = Uri::from_static("https://hooks.example/services/T0/secret");
        let webhook = Webhook::new(uri, key, &[], None, CONNECT).unwrap();
        let shown = format!("{webhook:?}");
        assert!(
            shown.contains("hooks.example") && !shown.contains("secret"),
            "{shown}"
        );
    }
}

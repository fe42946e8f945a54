//! A proxy on the way out, for stage 14: a tunnel through it (`CONNECT`, RFC 9110 section 9.3.6), and TLS to Devin inside.
//!
//! The proxy learns the pinned host and port, and its own credentials where the settings have some; never the token, which
//! is only sent inside of TLS. Only the settings name a proxy, no variable of the environment does.

use std::fmt;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::uri::{Authority, PathAndQuery, Scheme};
use http::{HeaderValue, Uri};
use hyper::rt::{Read, ReadBuf, ReadBufCursor, Write};
use hyper_util::client::legacy::connect::proxy::Tunnel;
use secrecy::zeroize::Zeroize;
use secrecy::{ExposeSecret, SecretString};
use tower::Service;

use crate::body::BoxError;
use crate::pipeline::BoxFuture;

/// How much of a proxy's answer is kept, to tell what it said.
const MOST_HEARD: usize = 256;
/// How much of that is shown.
const MOST_SHOWN: usize = 60;

/// A proxy on the way out. There is no way to print its credentials.
#[derive(Clone)]
pub struct Proxy {
    address: Uri,
    authorization: Option<HeaderValue>,
}

impl fmt::Debug for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Proxy")
            .field("address", &self.address)
            .field("has_credentials", &self.authorization.is_some())
            .finish()
    }
}

impl Proxy {
    /// At this host and port, without credentials. `None` where that is no address.
    pub fn new(at: Authority) -> Option<Self> {
        let address = Uri::builder()
            .scheme(Scheme::HTTP)
            .authority(at)
            .path_and_query(PathAndQuery::from_static("/"));
        Some(Self {
            address: address.build().ok()?,
            authorization: None,
        })
    }

    /// The same, with a name and a password (`Basic`, RFC 7617). `None` where no header can carry them.
    pub fn with_credentials(self, user: &str, password: &SecretString) -> Option<Self> {
        let is_plain = |text: &str| !text.chars().any(char::is_control);
        if user.contains(':') || !is_plain(user) || !is_plain(password.expose_secret()) {
            return None;
        }
        let mut pair = format!("{user}:{}", password.expose_secret());
        let mut text = format!("Basic {}", STANDARD.encode(&pair));
        pair.zeroize();
        let header = HeaderValue::from_str(&text);
        text.zeroize();
        let mut header = header.ok()?;
        header.set_sensitive(true);
        Some(Self {
            authorization: Some(header),
            ..self
        })
    }

    fn name(&self) -> String {
        let authority = self.address.authority();
        authority.map_or_else(String::new, ToString::to_string)
    }
}

/// Why a proxy is no way to Devin, for operators.
#[derive(Debug, thiserror::Error)]
enum ProxyError {
    /// It does not answer at all.
    #[error("the proxy {proxy} cannot be reached")]
    Unreachable {
        proxy: String,
        #[source]
        source: BoxError,
    },
    /// 407.
    #[error(
        "the proxy {proxy} wants a name and a password, or other ones than it got ({said}): see `proxy:`"
    )]
    Credentials { proxy: String, said: String },
    /// It answers, and not with a tunnel.
    #[error("the proxy {proxy} opened no tunnel to {to}: it answered {said}")]
    Refused {
        proxy: String,
        to: String,
        said: String,
    },
    /// It closed the connection, or broke it.
    #[error("the proxy {proxy} opened no tunnel to {to}: it closed the connection")]
    Closed {
        proxy: String,
        to: String,
        #[source]
        source: BoxError,
    },
}

/// Connects through a proxy.
#[derive(Clone, Debug)]
pub(super) struct Through<D> {
    proxy: Proxy,
    dial: D,
}

impl<D> Through<D> {
    /// Through this proxy, to which `dial` connects.
    pub(super) fn new(proxy: Proxy, dial: D) -> Self {
        Self { proxy, dial }
    }
}

impl<D> Service<Uri> for Through<D>
where
    D: Service<Uri> + Clone + Send + 'static,
    D::Response: Read + Write + Unpin + Send + 'static,
    D::Error: Into<BoxError>,
    D::Future: Send + 'static,
{
    type Response = D::Response;
    type Error = BoxError;
    type Future = BoxFuture<D::Response, BoxError>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.dial.poll_ready(cx).map_err(Into::into)
    }

    fn call(&mut self, to: Uri) -> Self::Future {
        let heard = Arc::new(Mutex::new(Vec::new()));
        let dial = Listening {
            dial: self.dial.clone(),
            heard: Arc::clone(&heard),
        };
        let mut tunnel = Tunnel::new(self.proxy.address.clone(), dial);
        if let Some(authorization) = &self.proxy.authorization {
            tunnel = tunnel.with_auth(authorization.clone());
        }
        let proxy = self.proxy.clone();
        let target = to.authority().map_or_else(String::new, ToString::to_string);
        let tunnelling = tunnel.call(to);
        Box::pin(async move {
            match tunnelling.await {
                Ok(stream) => Ok(stream.inner),
                Err(error) => {
                    let heard = heard.lock().unwrap_or_else(PoisonError::into_inner);
                    Err(explained(error.into(), proxy.name(), target, &heard).into())
                }
            }
        })
    }
}

/// What a failed tunnel means. The library's own error does not say what the proxy answered.
fn explained(error: BoxError, proxy: String, to: String, heard: &[u8]) -> ProxyError {
    if let Some(NotReached(_)) = error.source().and_then(|it| it.downcast_ref()) {
        return ProxyError::Unreachable {
            proxy,
            source: error,
        };
    }
    if heard.is_empty() {
        return ProxyError::Closed {
            proxy,
            to,
            source: error,
        };
    }
    let line = heard.split(|it| matches!(it, b'\r' | b'\n')).next();
    let line = line.and_then(|it| it.strip_prefix(b"HTTP/1."));
    let words = line.and_then(|it| it.get(2..));
    let Some(words) = words else {
        let said = "something that is no HTTP".to_owned();
        return ProxyError::Refused { proxy, to, said };
    };
    let shown = words.iter().take(MOST_SHOWN);
    let said: String = shown
        .map(|it| match it.is_ascii_graphic() || *it == b' ' {
            true => char::from(*it),
            false => '?',
        })
        .collect();
    if said.starts_with("407") {
        ProxyError::Credentials { proxy, said }
    } else {
        ProxyError::Refused { proxy, to, said }
    }
}

/// Dials, and listens to the beginning of what is answered.
#[derive(Clone)]
struct Listening<D> {
    dial: D,
    heard: Arc<Mutex<Vec<u8>>>,
}

/// There was no connection to the proxy.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct NotReached(#[source] BoxError);

impl<D> Service<Uri> for Listening<D>
where
    D: Service<Uri>,
    D::Error: Into<BoxError>,
    D::Future: Send + 'static,
{
    type Response = Heard<D::Response>;
    type Error = NotReached;
    type Future = BoxFuture<Heard<D::Response>, NotReached>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), NotReached>> {
        self.dial.poll_ready(cx).map_err(|it| NotReached(it.into()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let dialling = self.dial.call(uri);
        let heard = Arc::clone(&self.heard);
        Box::pin(async move {
            match dialling.await {
                Ok(inner) => Ok(Heard { inner, heard }),
                Err(error) => Err(NotReached(error.into())),
            }
        })
    }
}

/// A connection to a proxy until there is a tunnel; then `inner` goes on by itself.
struct Heard<S> {
    inner: S,
    heard: Arc<Mutex<Vec<u8>>>,
}

impl<S: Read + Unpin> Read for Heard<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        mut into: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        let mut bytes = [0; 1_024];
        let room = into.remaining().min(bytes.len());
        let Some(room) = bytes.get_mut(..room) else {
            return Poll::Ready(Ok(()));
        };
        let mut read = ReadBuf::new(room);
        ready!(Pin::new(&mut self.inner).poll_read(cx, read.unfilled()))?;
        let mut heard = self.heard.lock().unwrap_or_else(PoisonError::into_inner);
        let more = MOST_HEARD.saturating_sub(heard.len());
        heard.extend(read.filled().iter().take(more));
        into.put_slice(read.filled());
        Poll::Ready(Ok(()))
    }
}

impl<S: Write + Unpin> Write for Heard<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn proxy() -> Proxy {
        Proxy::new(Authority::from_static("proxy.corp:3128")).unwrap()
    }

    #[test]
    fn u7_a_proxys_password_is_never_shown() {
        let secret = "canary-password".to_owned().into();
        let proxy = proxy().with_credentials("gate", &secret).unwrap();
        let header = proxy.authorization.as_ref().unwrap();
        assert_eq!(header, "Basic Z2F0ZTpjYW5hcnktcGFzc3dvcmQ=");
        let shown = format!("{proxy:?} {header:?} {:?}", Through::new(proxy.clone(), ()));
        assert!(shown.contains("proxy.corp:3128"), "{shown}");
        for secret in ["canary", "Z2F0", "gate"] {
            assert!(!shown.contains(secret), "{shown}");
        }
    }

    #[test]
    fn what_no_header_can_carry_is_refused() {
        for (user, password) in [("a:b", "c"), ("a\n", "c"), ("a", "b\r\nX: y")] {
            let secret = password.to_owned().into();
            assert!(proxy().with_credentials(user, &secret).is_none(), "{user}");
        }
        let umlauts = "pässwörd".to_owned().into();
        assert!(proxy().with_credentials("jürgen", &umlauts).is_some());
    }

    #[test]
    fn what_a_proxy_said_is_shown_in_so_far_as_it_can_be() {
        let said = |heard: &[u8]| {
            let (proxy, to) = ("p:1".to_owned(), "d:443".to_owned());
            explained("x".into(), proxy, to, heard).to_string()
        };
        for (heard, wanted) in [
            (
                &b"HTTP/1.1 403 Forbidden\r\nX: y"[..],
                "opened no tunnel to d:443: it answered 403 Forbidden",
            ),
            (
                b"HTTP/1.0 407 Who\x1b[1m?\r\n",
                "or other ones than it got (407 Who?[1m?): see `proxy:`",
            ),
            (b"SSH-2.0-x\r\n", "it answered something that is no HTTP"),
            (b"HTTP/1.", "it answered something that is no HTTP"),
            (b"", "it closed the connection"),
        ] {
            let text = said(heard);
            assert!(text.contains(wanted), "{text}");
            assert!(text.starts_with("the proxy p:1 "), "{text}");
        }
        let long = [b"HTTP/1.1 500 ".as_slice(), &[b'x'; 300]].concat();
        assert!(said(&long).len() < 150);
    }
}

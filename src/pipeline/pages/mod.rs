//! The gateway's own pages on the caller port: what the `type` of a refusal points to, and what is a caller's own.
//!
//! The former need no credential, since whoever was refused must be able to read why; the latter (`own`) need the
//! caller's. Nothing else of the gateway's stands on this port: no metrics, no admin.

mod own;

use std::fmt::Write as _;
use std::task::{Context, Poll};

use futures_util::future::Either;
use http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE};
use http::{HeaderValue, Method, Response};
use tower::{Layer, Service};

use self::own::{OwnPage, OwnPages};
use super::{Arrived, BoxFuture};
use crate::Parts;
use crate::body::{Body, full};
use crate::catalogue::Verb;
use crate::exchange::Exchange;
use crate::problem::{ANSWERED_BY, Code, PAGES};
use crate::rejection::{Rejection, UnknownBecause};

/// Everything of the gateway's own begins with this.
pub(super) const OWN: &str = "/.tollgate";

/// Makes [`Pages`] services.
#[derive(Clone, Debug)]
pub struct PagesLayer {
    own: OwnPages,
}

impl PagesLayer {
    /// Of this gateway.
    pub fn new(parts: &Parts) -> Self {
        Self {
            own: OwnPages::new(parts),
        }
    }
}

impl<S> Layer<S> for PagesLayer {
    type Service = Pages<S>;

    fn layer(&self, inner: S) -> Pages<S> {
        Pages {
            own: self.own.clone(),
            inner,
        }
    }
}

/// Answers what is the gateway's own, and lets the rest through.
#[derive(Clone, Debug)]
pub struct Pages<S> {
    own: OwnPages,
    inner: S,
}

impl<S> Service<Exchange<Arrived>> for Pages<S>
where
    S: Service<Exchange<Arrived>, Response = Response<Body>, Error = Rejection>,
{
    type Response = Response<Body>;
    type Error = Rejection;
    type Future = Either<S::Future, BoxFuture<Response<Body>, Rejection>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Rejection>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, exchange: Exchange<Arrived>) -> Self::Future {
        let path = exchange.request.uri().path();
        if !path.starts_with(OWN) {
            return Either::Left(self.inner.call(exchange));
        }
        if let Some(page) = OwnPage::at(path) {
            let own = self.own.clone();
            return Either::Right(Box::pin(async move {
                only_get(exchange.request.method())?;
                own.answer(page, exchange).await
            }));
        }
        let answer = page(exchange.request.method(), path);
        Either::Right(Box::pin(async { answer }))
    }
}

fn only_get(method: &Method) -> Result<(), Rejection> {
    if method == Method::GET {
        return Ok(());
    }
    Err(Rejection::MethodUnknown {
        allowed: vec![Verb::Get],
        is_standard: super::target::is_standard(method),
    })
}

fn page(method: &Method, path: &str) -> Result<Response<Body>, Rejection> {
    // Matched as it was sent: nothing is decoded, so no spelling leads anywhere else.
    let html = match path.strip_prefix(PAGES) {
        Some("") => index(),
        Some(name) => match Code::ALL.into_iter().find(|code| code.name() == name) {
            Some(code) => one(code),
            None => return Err(Rejection::OperationUnknown(UnknownBecause::OwnPage)),
        },
        None => return Err(Rejection::OperationUnknown(UnknownBecause::OwnPage)),
    };
    only_get(method)?;
    let mut response = Response::new(full(html));
    let headers = response.headers_mut();
    headers.insert(
        CONTENT_TYPE,
        HeaderValue::from_static("text/html; charset=utf-8"),
    );
    headers.insert(
        CONTENT_SECURITY_POLICY,
        HeaderValue::from_static("default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"),
    );
    headers.insert(
        CACHE_CONTROL,
        HeaderValue::from_static("public, max-age=300"),
    );
    headers.insert(ANSWERED_BY, HeaderValue::from_static("gateway"));
    Ok(response)
}

const HEAD: &str = "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><meta name=\"viewport\" \
    content=\"width=device-width\"><style>body{font:1rem/1.5 system-ui,sans-serif;max-width:42rem;margin:3rem auto;\
    padding:0 1rem;color:#1a1a1a;background:#fff}code{font-size:.95em}dt{font-weight:600;margin-top:1rem}dd{margin:0}\
    @media(prefers-color-scheme:dark){body{color:#e6e6e6;background:#161616}a{color:#8ab4f8}}</style>";

fn one(code: Code) -> String {
    let row = code.row();
    format!(
        "{HEAD}<title>{name} · Tollgate</title><h1>{title}</h1><p><code>{name}</code>, status {status}</p>\
         <h2>What it means</h2><p>{meaning}</p><h2>What to do</h2><p>{remedy}</p>\
         <p><a href=\"{PAGES}\">All codes</a></p></html>",
        name = row.name,
        title = row.title,
        status = row.status.as_u16(),
        meaning = row.meaning,
        remedy = row.remedy,
    )
}

fn index() -> String {
    let mut html =
        format!("{HEAD}<title>Codes · Tollgate</title><h1>Why Tollgate refuses a request</h1><dl>");
    for code in Code::ALL {
        let row = code.row();
        let _ = write!(
            html,
            "<dt><a href=\"{PAGES}{name}\"><code>{name}</code></a> ({status})<dd>{title}",
            name = row.name,
            status = row.status.as_u16(),
            title = row.title,
        );
    }
    html + "</dl></html>"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_has_a_page_and_no_row_needs_escaping() {
        for code in Code::ALL {
            let row = code.row();
            assert!(
                page(&Method::GET, &format!("{PAGES}{}", row.name)).is_ok(),
                "{}",
                row.name
            );
            for text in [row.name, row.title, row.meaning, row.remedy] {
                assert!(!text.contains(['<', '>', '&', '"']), "{text}");
            }
        }
        assert!(index().contains("rate-limited"));
    }

    #[test]
    fn p16_nothing_else_is_on_the_caller_port() {
        for path in [
            "/.tollgate/metrics",
            "/.tollgate/../v3/self",
            "/.tollgate",
            "/.tollgateX",
            "/.tollgate/problems/%69nternal",
        ] {
            assert!(
                matches!(
                    page(&Method::GET, path),
                    Err(Rejection::OperationUnknown(_))
                ),
                "{path}"
            );
        }
        assert!(matches!(
            page(&Method::POST, PAGES),
            Err(Rejection::MethodUnknown { .. })
        ));
    }
}

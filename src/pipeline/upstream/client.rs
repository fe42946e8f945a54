//! What each connection to Devin is held to: bounds on what has come of answers and is not read yet, whoever it is that
//! does not take them.

use std::time::Duration;

use hyper_util::client::legacy::{Builder, Client};
use hyper_util::rt::{TokioExecutor, TokioTimer};

/// How long a connection without a request is kept.
pub(super) const IDLE: Duration = Duration::from_secs(20);
/// How many without a request are kept.
const MOST_IDLE: usize = 256;

/// The most bytes of an answer that are read at once, and of its head; and of a request that are written. What a client
/// does not take stands in memory a few times this much: a piece of it in each of the places that it goes through.
const BUFFER: usize = 64 * 1024;

/// What may come of one answer over HTTP/2 before it is read, in bytes.
const STREAM_WINDOW: u32 = 256 * 1024;

/// What may come of all answers over one connection of HTTP/2: as much as 1,024 streams may have, so that clients that take
/// nothing of theirs do not stop everybody else's, which come over the same connection (RFC 9113 section 5.2.1).
const CONNECTION_WINDOW: u32 = 1_024 * STREAM_WINDOW;

/// A client's bounds.
pub(super) fn builder() -> Builder {
    let mut builder = Client::builder(TokioExecutor::new());
    builder
        .retry_canceled_requests(false)
        .pool_timer(TokioTimer::new())
        .timer(TokioTimer::new())
        .pool_idle_timeout(IDLE)
        .pool_max_idle_per_host(MOST_IDLE)
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

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use bytes::Bytes;
    use http::{Request, Response, Uri};
    use http_body_util::{BodyExt, Full};
    use hyper::body::Incoming;
    use hyper::server::conn::http2;
    use hyper::service::service_fn;
    use hyper_util::client::legacy::connect::HttpConnector;
    use hyper_util::rt::TokioIo;
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

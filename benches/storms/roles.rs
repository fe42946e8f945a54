//! The other processes: the null upstream, and the bare hyper proxy that is attacked for comparison.

use std::convert::Infallible;
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use http::{HeaderValue, Method, Request, Response};
use http_body::Frame;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::client::legacy::Client;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;

use crate::http1::LARGE;

type Answer = UnsyncBoxBody<Bytes, Infallible>;

fn on_runtime(work: impl Future<Output = ()>) {
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .unwrap()
        .block_on(work);
}

/// Binds, says where, and serves for ever.
async fn serve<F, R, B>(answer: F)
where
    F: Fn(Request<Incoming>) -> R + Clone + Send + 'static,
    R: Future<Output = Result<Response<B>, hyper_util::client::legacy::Error>> + Send + 'static,
    B: http_body::Body<Data = Bytes, Error: Into<tollgate::body::BoxError>> + Send + 'static,
{
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let listener = socket.listen(1_024).unwrap();
    println!("{}", listener.local_addr().unwrap());
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            tokio::time::sleep(Duration::from_millis(10)).await;
            continue;
        };
        let _ = stream.set_nodelay(true);
        let answer = answer.clone();
        tokio::spawn(async move {
            let service = service_fn(answer);
            let _ = auto::Builder::new(TokioExecutor::new())
                .serve_connection(TokioIo::new(stream), service)
                .await;
        });
    }
}

/// Reads what comes, and gives 1 KiB of JSON; of an attachment as much as a large body has.
pub(crate) fn upstream() {
    on_runtime(async {
        let small = Bytes::from(format!("{{\"x\":\"{}\"}}", "y".repeat(1_016)));
        let piece = Bytes::from(vec![b'x'; 64 << 10]);
        serve(move |request: Request<Incoming>| {
            let (small, piece) = (small.clone(), piece.clone());
            async move {
                let is_large = request.method() == Method::GET
                    && request.uri().path().contains("/attachments/");
                let mut body = request.into_body();
                while let Some(Ok(_)) = body.frame().await {}
                Ok(match is_large {
                    true => large(piece),
                    false => json(small),
                })
            }
        })
        .await;
    });
}

fn json(body: Bytes) -> Response<Answer> {
    let mut answer = Response::new(Full::new(body).boxed_unsync());
    let json = HeaderValue::from_static("application/json");
    answer.headers_mut().insert(CONTENT_TYPE, json);
    answer
}

fn large(piece: Bytes) -> Response<Answer> {
    let pieces = (0..LARGE / piece.len()).map(move |_| Ok(Frame::data(piece.clone())));
    let body = StreamBody::new(futures_util::stream::iter(pieces));
    let mut answer = Response::new(body.boxed_unsync());
    let headers = answer.headers_mut();
    headers.insert(CONTENT_LENGTH, HeaderValue::from(LARGE));
    let binary = HeaderValue::from_static("application/octet-stream");
    headers.insert(CONTENT_TYPE, binary);
    answer
}

/// A hyper server and a hyper-util client, and nothing between.
pub(crate) fn bare(to: &str) {
    let to = to.to_owned();
    on_runtime(async move {
        let mut connector = hyper_util::client::legacy::connect::HttpConnector::new();
        connector.set_nodelay(true);
        let client: Client<_, Incoming> = Client::builder(TokioExecutor::new()).build(connector);
        serve(move |mut request| {
            let client = client.clone();
            let uri = format!("http://{to}{}", request.uri().path_and_query().unwrap());
            *request.uri_mut() = uri.parse().unwrap();
            *request.version_mut() = http::Version::HTTP_11;
            async move { client.request(request).await }
        })
        .await;
    });
}

//! Giving an order to the gateway that runs, over its admin socket; or, where none runs, carrying it out here.
//!
//! The ledger's lock decides which: it is one process's at a time.

use std::io::{self, IsTerminal, Write};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Request, StatusCode, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::UnixStream;

use super::{Config, Failure, print};
use crate::accounts::{Desk, Order, OrderError};
use crate::admin::{ORDERS, Uid};
use crate::clock::SystemClock;
use crate::document::Report;
use crate::ledger::moment::Moment;
use crate::ledger::{Aliases, Ledger, OpenError, check};
use crate::settings::{Settings, load};

use super::serve::load_all;

/// How long an answer may take: the ledger is waited for a little less.
const PATIENCE: Duration = Duration::from_secs(15);
/// How long a look at the whole history may take.
const WHOLE: Duration = Duration::from_secs(3_600);
/// The longest answer, in bytes.
const MAX_ANSWER: usize = 64 << 20;

/// What came of an order.
pub(super) async fn give(config: &Config, order: Order, is_json: bool) -> Result<Value, Failure> {
    let mut report = Report::default();
    let Some(settings) = load(&config.config, &config.overrides(), &mut report) else {
        return Err(mistakes(&report, is_json)?);
    };
    if let Some(path) = &settings.admin_socket
        && let Some(said) = ask(path, &order).await?
    {
        return Ok(said);
    }
    here(config, settings, order, is_json).await
}

fn mistakes(report: &Report, is_json: bool) -> io::Result<Failure> {
    if is_json {
        let said = serde_json::json!({ "ok": false, "mistakes": report.json() });
        print(&said.to_string())?;
    } else {
        let text = report.human(io::stderr().is_terminal());
        writeln!(io::stderr(), "{text}{}", report.count())?;
    }
    Ok(Failure::Bad)
}

/// What the gateway says that listens there; none if none does.
async fn ask(path: &Path, order: &Order) -> Result<Option<Value>, Failure> {
    let shown = path.display();
    let stream = match UnixStream::connect(path).await {
        Ok(stream) => stream,
        Err(error)
            if matches!(
                error.kind(),
                io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused
            ) =>
        {
            return Ok(None);
        }
        Err(error) => return Err(format!("the admin socket {shown}: {error}").into()),
    };
    let patience = match order {
        Order::Verify {} => WHOLE,
        Order::Show { .. }
        | Order::Raise { .. }
        | Order::Adjust { .. }
        | Order::Resume { .. }
        | Order::Usage { .. }
        | Order::Unattributed {} => PATIENCE,
    };
    let asked = async {
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        tokio::spawn(connection);
        let order = Full::new(Bytes::from(serde_json::to_vec(order)?));
        let mut request = Request::post(ORDERS).body(order)?;
        let headers = request.headers_mut();
        headers.insert(header::HOST, HeaderValue::from_static("tollgate"));
        let media = HeaderValue::from_static("application/json");
        headers.insert(header::CONTENT_TYPE, media);
        let (head, body) = sender.send_request(request).await?.into_parts();
        let body = Limited::new(body, MAX_ANSWER).collect().await?;
        let said: Value = serde_json::from_slice(&body.to_bytes())?;
        Ok::<_, crate::body::BoxError>((head.status, said))
    };
    let answered = tokio::time::timeout(patience, asked).await;
    let answered = answered.map_err(|_| format!("the gateway behind {shown} does not answer"))?;
    let (status, said) =
        answered.map_err(|error| format!("the gateway behind {shown} gives no answer: {error}"))?;
    let error = said.get("error").and_then(Value::as_str);
    match (status, error) {
        (StatusCode::OK, None) => Ok(Some(said)),
        (StatusCode::BAD_REQUEST, Some(error)) => Err(Failure::Unusable(error.into())),
        (_, Some(error)) => Err(error.into()),
        (status, None) => Err(format!("the gateway behind {shown} answers {status}").into()),
    }
}

/// Carries it out in this process, which has the ledger meanwhile.
async fn here(
    config: &Config,
    settings: Settings,
    order: Order,
    is_json: bool,
) -> Result<Value, Failure> {
    let path = &settings.ledger.path;
    if !path.exists() {
        let shown = path.display();
        return Err(format!("there is no ledger yet at {shown}: `tollgate serve` makes it").into());
    }
    let locked = |error: OpenError| match (error, &settings.admin_socket) {
        (OpenError::Locked(holder), None) => Failure::from(format!(
            "{holder}, and cannot be asked: give it an `admin.unix` socket in tollgate.yaml"
        )),
        (error, _) => error.into(),
    };
    if order == (Order::Verify {}) {
        let verdict = check(path).await.map_err(locked)?;
        return Ok(crate::accounts::verdict(&verdict));
    }
    let mut report = Report::default();
    let Some((_, policy)) = load_all(config, &mut report) else {
        return Err(mistakes(&report, is_json)?);
    };
    let options = settings.ledger.for_orders();
    let options = options.ok_or("the system gives no random bytes")?;
    let ledger = Ledger::open(options).await.map_err(locked)?;
    ledger.rename(Aliases::of(&policy)).await?;
    let desk = Desk {
        ledger: ledger.clone(),
        policy: Arc::new(policy),
        moment: Moment::now(&SystemClock),
    };
    let said = desk.carry_out(order, &Uid::own()?.shown()).await;
    drop(desk);
    ledger.close().await;
    said.map_err(|error| match error {
        OrderError::Call(error) => Failure::Unusable(error.into()),
        OrderError::Store(error) => error.into(),
    })
}

//! A caller's own pages: who it is, and the budgets that its spending counts in. They ask nobody but the ledger.
//!
//! They stand behind the same credential and the same rate limit as its requests. No rule of the policy is about them:
//! what they tell a caller is its own.

use std::sync::Arc;

use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use http::{HeaderValue, Response};
use serde_json::{Value, json};

use super::super::authenticate::Authenticate;
use super::super::{Arrived, limit};
use crate::Parts;
use crate::accounts;
use crate::body::{Body, full};
use crate::clock::Clock;
use crate::exchange::Exchange;
use crate::ledger::Ledger;
use crate::ledger::moment::Moment;
use crate::problem::ANSWERED_BY;
use crate::rejection::Rejection;

/// A page that is about whoever asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum OwnPage {
    WhoAmI,
    Budgets,
}

impl OwnPage {
    /// Matched as it was sent: nothing is decoded.
    pub(super) fn at(path: &str) -> Option<Self> {
        match path {
            "/.tollgate/whoami" => Some(Self::WhoAmI),
            "/.tollgate/budgets" => Some(Self::Budgets),
            _ => None,
        }
    }
}

/// What these pages are made of.
#[derive(Clone, Debug)]
pub(super) struct OwnPages {
    authenticate: Authenticate,
    ledger: Ledger,
    clock: Arc<dyn Clock>,
}

impl OwnPages {
    pub(super) fn new(parts: &Parts) -> Self {
        Self {
            authenticate: Authenticate::new(Arc::clone(&parts.issuers), Arc::clone(&parts.clock)),
            ledger: parts.ledger.clone(),
            clock: Arc::clone(&parts.clock),
        }
    }

    pub(super) async fn answer(
        self,
        page: OwnPage,
        exchange: Exchange<Arrived>,
    ) -> Result<Response<Body>, Rejection> {
        let (policy, headers) = (exchange.proof.policy(), exchange.request.headers());
        let caller = self.authenticate.caller(policy, headers, &exchange.trail)?;
        let limiters = exchange.proof.limiters();
        limit::own(policy, limiters, caller, &exchange.trail).await?;
        let said = match page {
            OwnPage::WhoAmI => {
                let known = policy.caller(caller);
                json!({ "caller": &**known.name(), "team": &**known.team(), "owner": known.owner() })
            }
            OwnPage::Budgets => {
                let moment = Moment::now(&*self.clock);
                let own = accounts::own(&self.ledger, policy, caller, moment).await;
                own.map_err(Rejection::Store)?
            }
        };
        Ok(respond(&said))
    }
}

fn respond(said: &Value) -> Response<Body> {
    let mut response = Response::new(full(format!("{said}\n")));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(ANSWERED_BY, HeaderValue::from_static("gateway"));
    response
}

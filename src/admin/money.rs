//! The ledger as the operator's port and socket show it: what is counted of it, and orders that are carried out.

use std::sync::Arc;

use http::StatusCode;
use serde_json::{Value, json};

use super::Uid;
use crate::Parts;
use crate::accounts::{self, Desk, MOST, Order, OrderError, Which};
use crate::body::{Body, read_whole};
use crate::clock::Clock;
use crate::ledger::moment::Moment;
use crate::ledger::{Ledger, StoreError};
use crate::metrics::Counted;
use crate::ruleset::Current;

/// Where orders are posted.
pub const ORDERS: &str = "/orders";
/// The largest order.
const MAX_ORDER: usize = 64 * 1024;

#[derive(Clone, Debug)]
pub(super) struct Money {
    ledger: Ledger,
    policies: Current,
    clock: Arc<dyn Clock>,
}

impl Money {
    pub(super) fn new(parts: &Parts) -> Self {
        Self {
            ledger: parts.ledger.clone(),
            policies: parts.policies.clone(),
            clock: Arc::clone(&parts.clock),
        }
    }

    /// Carries out an order of this user.
    pub(super) async fn order(&self, body: Body, uid: Uid) -> (StatusCode, Value) {
        let failed = |status, error: String| (status, json!({ "error": error }));
        let Ok(body) = read_whole(body, MAX_ORDER).await else {
            return failed(
                StatusCode::BAD_REQUEST,
                "an order is no longer than that".into(),
            );
        };
        let order: Order = match serde_json::from_slice(&body) {
            Ok(order) => order,
            Err(error) => {
                return failed(
                    StatusCode::BAD_REQUEST,
                    format!("this is no order: {error}"),
                );
            }
        };
        let desk = Desk {
            ledger: self.ledger.clone(),
            policy: Arc::clone(self.policies.load().policy()),
            moment: Moment::now(&*self.clock),
        };
        match desk.carry_out(order, &uid.shown()).await {
            Ok(said) => (StatusCode::OK, said),
            Err(OrderError::Call(error)) => failed(StatusCode::BAD_REQUEST, error),
            Err(OrderError::Store(error)) => {
                failed(StatusCode::SERVICE_UNAVAILABLE, error.to_string())
            }
        }
    }

    /// What there is to count at this moment.
    pub(super) async fn counted(&self) -> Counted {
        let found = self.found().await;
        if let Err(error) = &found {
            tracing::warn!(%error, "the metrics say nothing of accounts");
        }
        let is_stopped = self.ledger.stopped().is_some();
        let is_failing = self.ledger.failure().is_some() || found.is_err();
        let (accounts, unknown) = found.unwrap_or_default();
        let bell = self.ledger.bell();
        Counted {
            accounts,
            unknown,
            is_stopped,
            is_failing,
            rung: bell.rung().collect(),
            sends: bell.sends(),
        }
    }

    async fn found(&self) -> Result<(Vec<accounts::Standing>, (u64, crate::acu::Acu)), StoreError> {
        if !self.ledger.is_ours() {
            // The process that has it counts; whoever collects does not wait for it.
            return Ok(Default::default());
        }
        let rules = self.policies.load();
        let policy = rules.policy();
        let moment = Moment::now(&*self.clock);
        let (ledger, budgets) = (&self.ledger, policy.budgets());
        let found = accounts::look(ledger, policy, budgets, Which::All, MOST, moment).await?;
        Ok((found.all, ledger.unknown_holds().await?))
    }
}

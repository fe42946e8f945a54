//! What is known of the ledger at the time of asking: the same rows that holds are judged by (L10).

use std::fmt;
use std::sync::Arc;

use arc_swap::ArcSwapOption;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;

use crate::accounts::Standing;
use crate::acu::Acu;
use crate::alerts::Kind;

/// How many accounts have series of their own; the rest are added up as `other`.
const SERIES: usize = 1_000;

/// What there is to count of the ledger.
#[derive(Clone, Debug, Default)]
pub struct Counted {
    /// How the accounts stand.
    pub accounts: Vec<Standing>,
    /// How many holds have no known outcome, and how much they are.
    pub unknown: (u64, Acu),
    /// Nothing may be spent.
    pub is_stopped: bool,
    /// The store does not answer, or took nothing at the last attempt.
    pub is_failing: bool,
    /// How many alerts of each kind there were.
    pub rung: Vec<(Kind, u64)>,
    /// How many the webhook took, and how many were lost to it.
    pub sends: (u64, u64),
}

/// What was counted last.
#[derive(Clone, Debug, Default)]
pub(super) struct OfMoney(pub(super) Arc<ArcSwapOption<Counted>>);

/// One number of an account.
type Number = (&'static str, &'static str, fn(&Standing) -> Acu);

const NUMBERS: [Number; 5] = [
    (
        "budget_limit_acus",
        "How much may be spent and held",
        |it| it.now.limit,
    ),
    ("budget_spent_acus", "What is spent", |it| {
        it.now.balance.spent
    }),
    ("budget_held_acus", "What is held", |it| it.now.balance.held),
    (
        "budget_overrun_acus",
        "Of what is spent, what was used beyond holds: any is worth an alarm",
        |it| it.now.balance.overrun,
    ),
    (
        "budget_unheld_acus",
        "Of what is spent, what never had a hold",
        |it| it.now.balance.unheld,
    ),
];

impl Collector for OfMoney {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let Some(counted) = self.0.load_full() else {
            return Ok(());
        };
        let (own, rest) = counted
            .accounts
            .split_at(counted.accounts.len().min(SERIES));
        for (name, help, of) in NUMBERS {
            let mut gauges = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
            for it in own {
                let account = it.name.as_deref().unwrap_or_default();
                let labels = [("budget", &*it.budget.name), ("account", account)];
                let gauge = ConstGauge::new(of(it).as_f64());
                gauge.encode(gauges.encode_family(&labels)?)?;
            }
            if !rest.is_empty() {
                let sum = rest.iter().map(of).fold(Acu::ZERO, Acu::saturating_add);
                let labels = [("budget", "other"), ("account", "other")];
                ConstGauge::new(sum.as_f64()).encode(gauges.encode_family(&labels)?)?;
            }
        }
        let (unknown, amount) = counted.unknown;
        let mut gauge = |name, help, value: f64| {
            let gauge = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
            ConstGauge::new(value).encode(gauge)
        };
        let count = f64::from(u32::try_from(unknown).unwrap_or(u32::MAX));
        gauge("holds_unknown", "Holds without a known outcome", count)?;
        gauge("holds_unknown_acus", "How much they are", amount.as_f64())?;
        gauge(
            "spending_stopped",
            "1 while nothing may be spent",
            f64::from(u8::from(counted.is_stopped)),
        )?;
        gauge(
            "ledger_failing",
            "1 while the ledger cannot be used",
            f64::from(u8::from(counted.is_failing)),
        )?;
        let mut alerts = encoder.encode_descriptor(
            "alerts",
            "What somebody was to be told, by kind",
            None,
            MetricType::Counter,
        )?;
        for (kind, count) in &counted.rung {
            let labels = [("kind", kind.as_str())];
            ConstCounter::new(*count).encode(alerts.encode_family(&labels)?)?;
        }
        let (delivered, lost) = counted.sends;
        let mut sends = encoder.encode_descriptor(
            "webhook_alerts",
            "Alerts that the webhook took, and those that were lost to it",
            None,
            MetricType::Counter,
        )?;
        for (result, count) in [("delivered", delivered), ("lost", lost)] {
            let labels = [("result", result)];
            ConstCounter::new(count).encode(sends.encode_family(&labels)?)?;
        }
        Ok(())
    }
}

//! Devin's consumption of the days that are over, beside what the ledger posted on them (L11).

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde_json::{Map, Value};

use super::devin::{AskError, ToDevin, is_withheld, target};
use super::reconciler::{Reconciler, RoundError};
use crate::acu::Acu;
use crate::alerts::{Alert, Kind};
use crate::budget::{Every, Window, Zone};

/// How often it is read.
const EVERY: Duration = Duration::from_secs(3_600);
/// How long after its end a day is looked at: Devin's figures come late.
const LATE: SignedDuration = SignedDuration::from_hours(48);
/// How far back the last day is that is looked at again.
const BACK: SignedDuration = SignedDuration::from_hours(7 * 24);
/// The one product that sessions are billed as.
const PRODUCT: &str = "devin";

/// The billing days that are looked at now, the oldest first: none that began before `since`. Pure.
fn days(now: Timestamp, since: Timestamp) -> Vec<Window> {
    let every = Every::Day(Zone::devin());
    let mut days = Vec::new();
    let Ok(mut at) = now.checked_sub(LATE) else {
        return days;
    };
    loop {
        // The day before the one that holds this instant has ended by then.
        let open = every.window(at);
        let Ok(before) = open.start.checked_sub(SignedDuration::from_nanos(1)) else {
            break;
        };
        let day = every.window(before);
        if day.start < since || now.duration_since(day.end) > BACK {
            break;
        }
        days.push(day);
        at = day.start;
    }
    days.reverse();
    days
}

/// What an answer says of these days; a day that it does not name had nothing. `None` of what is no such answer. Pure.
fn read(body: &[u8], days: &[Window]) -> Option<Vec<(Window, Acu)>> {
    let value: Value = serde_json::from_slice(body).ok()?;
    let mut all: Vec<(Window, Acu)> = days.iter().map(|day| (*day, Acu::ZERO)).collect();
    for row in value.get("consumption_by_date")?.as_array()? {
        let date = Timestamp::from_second(row.get("date")?.as_i64()?).ok()?;
        let acus = match row.get("acus_by_product") {
            Some(Value::Object(products)) => match products.get(PRODUCT) {
                Some(acus) => acus.as_f64()?,
                None => 0.0,
            },
            // Without products, all of it can be sessions'.
            Some(_) | None => row.get("acus")?.as_f64()?,
        };
        let acus = Acu::from_reported(acus)?;
        if let Some((_, sum)) = all.iter_mut().find(|(day, _)| day.holds(date)) {
            *sum = sum.checked_add(acus)?;
        }
    }
    Some(all)
}

impl<U> Reconciler<U>
where
    U: ToDevin,
{
    /// Compares the days that are over, once an hour.
    pub(super) async fn consumption(&self) -> Result<(), RoundError> {
        let up = self.clock.up();
        {
            let mut last = self.compared.lock().await;
            if last.is_some_and(|last| up.saturating_sub(last) < EVERY) {
                return Ok(());
            }
            *last = Some(up);
        }
        let now = self.clock.now();
        let days = days(now, self.ledger.kept_since(now).await?);
        if days.is_empty() {
            return Ok(());
        }
        let swept = self.ledger.organizations().await?;
        let mut failed = None;
        for organization in self.organizations(&swept) {
            let compared = self.compare(&organization, &days).await;
            failed = compared.err().or(failed);
        }
        failed.map_or(Ok(()), Err)
    }

    async fn compare(&self, organization: &str, days: &[Window]) -> Result<(), RoundError> {
        let now = self.clock.now();
        let body = match self.ask(organization, days).await {
            Ok(body) => body,
            Err(AskError::Status(status)) if is_withheld(status) => {
                let status = status.as_u16();
                let is_news = self
                    .ledger
                    .cannot_read(now, organization.into(), status)
                    .await?;
                if is_news {
                    tracing::warn!(
                        organization,
                        status,
                        "the shared token cannot read consumption: what is spent around the gateway is not seen"
                    );
                }
                return Ok(());
            }
            Err(error) => return Err(error.into()),
        };
        let days = read(&body, days)
            .ok_or_else(|| AskError::Unusable("consumption that cannot be read".into()))?;
        let news = self.ledger.consumed(now, organization.into(), days).await?;
        for it in news {
            let (day, acus) = (it.day, it.unattributed);
            let text = format!(
                "{organization}: on the billing day from {day}, Devin has billed {acus} ACUs that the ledger knows nothing of"
            );
            let details = match serde_json::to_value(&it) {
                Ok(Value::Object(details)) => details,
                Ok(_) | Err(_) => Map::new(),
            };
            let alert = Alert::new(Kind::Unattributed, now, &text, details);
            self.ledger.bell().ring(alert);
        }
        Ok(())
    }

    /// The organization's own consumption, or the enterprise's view of it, whichever the token may read.
    async fn ask(&self, organization: &str, days: &[Window]) -> Result<bytes::Bytes, AskError> {
        let seconds = |at: Option<Timestamp>| at.map(|it| it.as_second().to_string());
        let after = seconds(days.first().map(|it| it.start)).unwrap_or_default();
        let before = seconds(days.last().map(|it| it.end)).unwrap_or_default();
        let query = [("time_after", &*after), ("time_before", &*before)];
        let path = ["v3", "organizations", organization, "consumption", "daily"];
        let own = target(&path, &query);
        match self.devin.get("consumption.daily", &own).await {
            Err(AskError::Status(status)) if is_withheld(status) => {
                let path = [
                    "v3",
                    "enterprise",
                    "consumption",
                    "daily",
                    "organizations",
                    organization,
                ];
                let operation = "enterprise.consumption.daily.organization";
                self.devin.get(operation, &target(&path, &query)).await
            }
            answer => answer,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn starts(now: &str, since: &str) -> Vec<String> {
        let days = days(at(now), at(since));
        days.iter().map(|it| it.start.to_string()).collect()
    }

    #[test]
    fn l11_days_are_compared_two_days_after_their_end_and_for_a_week() {
        let old = "2020-01-01T00:00:00Z";
        let all = starts("2026-11-20T08:00:00Z", old);
        assert_eq!(all.first().unwrap(), "2026-11-12T08:00:00Z");
        // It ended on the 18th, exactly 48 hours ago.
        assert_eq!(all.last().unwrap(), "2026-11-17T08:00:00Z");
        assert_eq!(all.len(), 6);
        let all = starts("2026-11-20T07:59:59Z", old);
        assert_eq!(all.last().unwrap(), "2026-11-16T08:00:00Z");
        // What was before the ledger is none of its business.
        assert_eq!(
            starts("2026-11-20T09:00:00Z", "2026-11-16T08:00:00Z"),
            ["2026-11-16T08:00:00Z", "2026-11-17T08:00:00Z"]
        );
        assert!(starts("2026-11-20T09:00:00Z", "2026-11-18T00:00:00Z").is_empty());
    }

    #[test]
    fn l11_only_devins_own_product_is_compared() {
        let days = days(at("2026-11-20T09:00:00Z"), at("2026-11-16T00:00:00Z"));
        let [first, second] = days[..] else {
            panic!("{days:?}")
        };
        let body = serde_json::json!({ "total_acus": 9, "consumption_by_date": [
            { "date": first.start.as_second(), "acus": 7.5, "acus_by_product": { "devin": 2.25, "cascade": 5.25 } },
            { "date": first.start.as_second() - 86_400, "acus": 1, "acus_by_product": { "devin": 1 } },
            { "date": second.start.as_second(), "acus": 0.5 },
        ]});
        let read = |body: &Value| read(body.to_string().as_bytes(), &days);
        let found = read(&body).unwrap();
        let milli: Vec<i64> = found.iter().map(|(_, acus)| acus.milli()).collect();
        assert_eq!(milli, [2_250, 500]);
        for broken in [
            serde_json::json!({}),
            serde_json::json!({ "consumption_by_date": [{ "acus": 1 }] }),
            serde_json::json!({ "consumption_by_date": [{ "date": 1, "acus_by_product": { "devin": "2" } }] }),
            serde_json::json!({ "consumption_by_date": [{ "date": 1, "acus_by_product": { "devin": -2 } }] }),
        ] {
            assert_eq!(read(&broken), None, "{broken}");
        }
    }
}

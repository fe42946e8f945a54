//! Consumption by billing day, computed from what the sessions spent (Devin's API reference,
//! consumption), and the early page's listing by organization.

use std::collections::BTreeMap;

use jiff::civil::Date;
use jiff::tz::TimeZone;
use serde_json::{Value, json};

use super::answer::{Answer, Reply};
use super::call::Call;
use super::clock::{DAY, Moment, epoch};
use super::life::round;
use super::page::page;
use super::problem::Problem;
use super::state::{World, bare};

/// 2024-01-01T08:00:00Z, the first billing day of the month that the early page asks about.
const JANUARY_2024: f64 = 1_704_096_000.0;

/// A cycle is taken to last this many days.
const CYCLE_DAYS: f64 = 30.0;

/// Use from before the fake began.
#[derive(Debug)]
pub(super) struct PastUse {
    org: String,
    day: Moment,
    acus: f64,
}

/// Some use in January 2024, so that the early page's sample reads something.
pub(super) fn seed(organizations: &[&str]) -> Vec<PastUse> {
    let mut past = Vec::new();
    for (number, org) in organizations.iter().enumerate() {
        for day in 0..31_u32 {
            past.push(PastUse {
                org: (*org).to_owned(),
                day: JANUARY_2024 + f64::from(day) * DAY,
                acus: 0.5 * f64::from(day % 5) + number as f64,
            });
        }
    }
    past
}

/// `GET …/consumption/daily` and its narrower forms, in both scopes; what the path names is what
/// is counted.
pub(super) fn daily(world: &mut World, call: &Call) -> Reply {
    let scope = world.scope(call)?;
    let after = call.query.integer("time_after")?;
    let before = call.query.integer("time_before")?;
    let in_scope = |org: &str| scope.as_ref().is_none_or(|scope| scope == org);
    let given = |name: &str| Some(call.param(name)).filter(|value| !value.is_empty());
    let (session, user) = (given("devin_id").map(bare), given("user_id"));
    let service_user = given("service_user_id");
    let narrowed = session.is_some() || user.is_some();
    let mine = service_user.is_none_or(|id| id == world.me);

    let mut days: BTreeMap<i64, f64> = BTreeMap::new();
    let mut add = |day: Moment, acus: f64| {
        let day = epoch(day);
        // A day counts when any part of it lies in the window.
        let late_enough = after.is_none_or(|after| day + DAY as i64 > after);
        if acus > 0.0 && late_enough && before.is_none_or(|before| day < before) {
            *days.entry(day).or_default() += acus;
        }
    };
    for one in world
        .sessions
        .iter()
        .filter(|one| mine && in_scope(&one.org))
    {
        let wanted = session.is_none_or(|id| id == one.id)
            && user.is_none_or(|id| one.wishes.user.as_deref() == Some(id));
        if wanted {
            for (day, acus) in one.spent_by_day(call.now) {
                add(day, acus);
            }
        }
    }
    for past in world
        .past_use
        .iter()
        .filter(|past| mine && in_scope(&past.org))
    {
        if !narrowed {
            add(past.day, past.acus);
        }
    }
    let by_date: Vec<Value> = days
        .iter()
        .map(|(day, acus)| {
            json!({ "date": day, "acus": round(*acus), "acus_by_product": by_product(*acus) })
        })
        .collect();
    let total = round(days.values().sum());
    Ok(Answer::ok(
        &json!({ "total_acus": total, "consumption_by_date": by_date }),
    ))
}

fn by_product(acus: f64) -> Value {
    json!({ "devin": round(acus), "cascade": 0.0, "terminal": 0.0, "review": 0.0 })
}

/// `GET /enterprise/consumption/cycles`, newest first.
pub(super) fn cycles(world: &mut World, call: &Call) -> Reply {
    let length = CYCLE_DAYS * DAY;
    let current = JANUARY_2024 + ((world.began - JANUARY_2024) / length).floor() * length;
    let entries = (0..3).map(|back| {
        let after = epoch(current - f64::from(back) * length);
        let before = epoch(current - f64::from(back - 1) * length);
        (
            after.to_string(),
            json!({ "after": after, "before": before }),
        )
    });
    page(entries.collect(), &call.query)
}

/// `GET /enterprise/consumption/daily/organizations` of the early page: a row per organization and
/// day with use. Both dates are inclusive.
pub(super) fn by_organization(world: &mut World, call: &Call) -> Reply {
    let begin = date(call, "start_date")?;
    let end = date(call, "end_date")?;
    let mut rows: BTreeMap<(i64, &str), f64> = BTreeMap::new();
    let mut add = |org, day, acus| {
        let day = epoch(day);
        if (begin..=end + DAY as i64 - 1).contains(&day) && acus > 0.0 {
            *rows.entry((day, org)).or_default() += acus;
        }
    };
    for past in &world.past_use {
        add(past.org.as_str(), past.day, past.acus);
    }
    for session in &world.sessions {
        for (day, acus) in session.spent_by_day(call.now) {
            add(session.org.as_str(), day, acus);
        }
    }
    let entries: Vec<(String, Value)> = rows
        .iter()
        .map(|((day, org), acus)| {
            let known = world.organizations.iter().find(|known| known.id == *org);
            let name = known.map(|known| known.name.as_str());
            let date = jiff::Timestamp::from_second(*day)
                .map(|time| time.strftime("%Y-%m-%d").to_string())
                .unwrap_or_default();
            let row = json!({
                "organization_id": org,
                "organization_name": name,
                "org_id": org,
                "date": date,
                "acus_used": round(*acus),
                "acus": round(*acus),
                "acus_by_product": by_product(*acus),
            });
            (format!("{day}/{org}"), row)
        })
        .collect();
    // Not paged: a script of that time reads the one list it gets.
    let rows: Vec<Value> = entries.into_iter().map(|(_, row)| row).collect();
    Ok(Answer::ok(
        &json!({ "data": rows, "items": rows, "total": rows.len() }),
    ))
}

/// Midnight UTC of a date in the query.
fn date(call: &Call, name: &str) -> Result<i64, Problem> {
    let refuse = |message, kind| Problem::invalid_query(name, message, kind);
    let text = call.query.one(name);
    let text = text.ok_or_else(|| refuse("Field required", "missing"))?;
    let date: Date = text
        .parse()
        .map_err(|_| refuse("Input should be a valid date", "date_from_datetime_parsing"))?;
    TimeZone::UTC
        .to_timestamp(date.to_datetime(jiff::civil::Time::midnight()))
        .map(|midnight| midnight.as_second())
        .map_err(|_| refuse("Input should be a valid date", "date_from_datetime_parsing"))
}

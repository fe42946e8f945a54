//! Consumption by billing day, computed from what the sessions spent (Devin's API reference,
//! consumption), and the early page's listing by organization.

use std::collections::BTreeMap;

use http::StatusCode;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use serde_json::{Value, json};

use super::answer::{Answer, Reply};
use super::call::Call;
use super::clock::{DAY, Moment, day_of, epoch};
use super::elsewhere::Unattributed;
use super::life::acus;
use super::page::page;
use super::problem::Problem;
use super::state::{World, bare};

/// 2024-01-01T08:00:00Z, the first billing day of the month that the early page asks about.
const JANUARY_2024: f64 = 1_704_096_000.0;

/// A cycle is taken to last this many days.
const CYCLE_DAYS: f64 = 30.0;

/// The products that each day's use is split into.
const PRODUCTS: [&str; 4] = ["devin", "cascade", "terminal", "review"];

/// Use that belongs to no session.
#[derive(Debug)]
pub(super) struct OtherUse {
    org: String,
    day: Moment,
    product: String,
    acus: f64,
}

/// Some use in January 2024, so that the early page's sample reads something.
pub(super) fn seed(organizations: &[&str]) -> Vec<OtherUse> {
    let mut past = Vec::new();
    for (number, org) in organizations.iter().enumerate() {
        for day in 0..31_u32 {
            past.push(OtherUse {
                org: (*org).to_owned(),
                day: JANUARY_2024 + f64::from(day) * DAY,
                product: "devin".to_owned(),
                acus: 0.5 * f64::from(day % 5) + number as f64,
            });
        }
    }
    past
}

impl World {
    /// Adds use that belongs to no session.
    pub(super) fn consume(&mut self, what: &Unattributed, at: Moment) {
        self.other_use.push(OtherUse {
            org: what.org.clone(),
            day: day_of(at),
            product: what.product.clone().unwrap_or_else(|| "devin".to_owned()),
            acus: acus(what.milli_acus),
        });
    }

    /// Refuses consumption to a token that has no right to read it.
    fn may_read_consumption(&self, call: &Call) -> Result<(), Problem> {
        if self.options.may_read_consumption {
            return Ok(());
        }
        let right = if call.enterprise {
            "ViewAccountConsumption"
        } else {
            "ViewOrgConsumption"
        };
        let detail = format!("Missing required permission '{right}'");
        Err(Problem::new(StatusCode::FORBIDDEN, &detail))
    }
}

/// `GET …/consumption/daily` and its narrower forms, in both scopes; what the path names is what
/// is counted.
pub(super) fn daily(world: &mut World, call: &Call) -> Reply {
    world.may_read_consumption(call)?;
    let scope = world.scope(call)?;
    let after = call.query.integer("time_after")?;
    let before = call.query.integer("time_before")?;
    let in_scope = |org: &str| scope.as_ref().is_none_or(|scope| scope == org);
    let given = |name: &str| Some(call.param(name)).filter(|value| !value.is_empty());
    let (session, user) = (given("devin_id").map(bare), given("user_id"));
    let service_user = given("service_user_id");

    let mut days: BTreeMap<i64, BTreeMap<&str, f64>> = BTreeMap::new();
    let mut add = |day: Moment, product, acus: f64| {
        let day = epoch(day);
        // A day counts when any part of it lies in the window.
        let late_enough = after.is_none_or(|after| day + DAY as i64 > after);
        if acus > 0.0 && late_enough && before.is_none_or(|before| day < before) {
            *days.entry(day).or_default().entry(product).or_default() += acus;
        }
    };
    let equal = |wanted: Option<&str>, value: Option<&str>| wanted.is_none() || wanted == value;
    let chosen = world.sessions.iter().filter(|one| {
        in_scope(&one.org)
            && equal(session, Some(&one.id))
            && equal(user, one.wishes.user.as_deref())
            && equal(service_user, one.wishes.service_user.as_deref())
    });
    for one in chosen {
        for (day, milli) in one.spent_by_day(call.now) {
            add(day, "devin", acus(milli));
        }
    }
    let narrowed = session.is_some() || user.is_some();
    let mine = service_user.is_none_or(|id| id == world.me);
    let other_use = world.other_use.iter().filter(|it| in_scope(&it.org));
    for other in other_use.filter(|_| mine && !narrowed) {
        add(other.day, &other.product, other.acus);
    }
    let by_date: Vec<Value> = days
        .iter()
        .map(|(day, products)| {
            let acus = round(products.values().sum());
            json!({ "date": day, "acus": acus, "acus_by_product": by_product(products) })
        })
        .collect();
    let total = round(days.values().flat_map(BTreeMap::values).sum());
    Ok(Answer::ok(
        &json!({ "total_acus": total, "consumption_by_date": by_date }),
    ))
}

fn by_product(products: &BTreeMap<&str, f64>) -> Value {
    let mut all: BTreeMap<&str, f64> = PRODUCTS.map(|name| (name, 0.0)).into();
    all.extend(products.iter().map(|(name, acus)| (*name, round(*acus))));
    json!(all)
}

/// Six decimals, free of what adding floats leaves behind.
fn round(acus: f64) -> f64 {
    (acus * 1e6).round() / 1e6
}

/// `GET /enterprise/consumption/cycles`, newest first.
pub(super) fn cycles(world: &mut World, call: &Call) -> Reply {
    world.may_read_consumption(call)?;
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
    world.may_read_consumption(call)?;
    let begin = date(call, "start_date")?;
    let end = date(call, "end_date")?;
    let mut rows: BTreeMap<(i64, &str), BTreeMap<&str, f64>> = BTreeMap::new();
    let mut add = |org, day, product, acus| {
        let day = epoch(day);
        if (begin..=end + DAY as i64 - 1).contains(&day) && acus > 0.0 {
            let row = rows.entry((day, org)).or_default();
            *row.entry(product).or_default() += acus;
        }
    };
    for other in &world.other_use {
        add(other.org.as_str(), other.day, &other.product, other.acus);
    }
    for session in world.sessions.iter() {
        for (day, milli) in session.spent_by_day(call.now) {
            add(session.org.as_str(), day, "devin", acus(milli));
        }
    }
    let entries: Vec<(String, Value)> = rows
        .iter()
        .map(|((day, org), products)| {
            let acus = round(products.values().sum());
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
                "acus_used": acus,
                "acus": acus,
                "acus_by_product": by_product(products),
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

//! `tollgate budget`: how budgets stand, and what operators change about them.

use std::fmt::Write as _;

use clap::{Args, Subcommand};
use serde_json::Value;

use super::order::give;
use super::status::visible;
use super::table::{self, Column, amounts, field, list, words};
use super::{Config, Failure, Output, print};
use crate::accounts::Order;

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Show what every budget may spend, has spent and holds, account by account, and how long it lasts at this pace.
    Show(Show),
    /// Raise a budget for a while.
    Raise(Raise),
    /// Correct a budget until its present window ends; or, with --resume, let spending go on after it was stopped.
    Adjust(Adjust),
    /// Add every sum up anew from the history, and compare. Exits with 1 if anything differs.
    Verify(Verify),
}

#[derive(Args, Debug)]
pub(super) struct Show {
    /// Only this budget, by its name or id, with what was changed about it.
    name: Option<String>,
    #[command(flatten)]
    config: Config,
}

#[derive(Args, Debug)]
pub(super) struct Raise {
    /// The budget, by its name or id.
    name: String,
    /// How much more may be spent.
    #[arg(long, value_name = "N")]
    acus: String,
    /// Until when: 3d, 12h, or an instant such as 2026-12-01T00:00:00Z.
    #[arg(long, value_name = "TIME")]
    until: String,
    /// Why. It is written down with who and when.
    #[arg(long)]
    reason: String,
    /// Only for this account of a budget that is split: a caller's, team's or organization's name.
    #[arg(long = "for", value_name = "ACCOUNT")]
    account: Option<String>,
    #[command(flatten)]
    config: Config,
}

#[derive(Args, Debug)]
pub(super) struct Adjust {
    /// The budget, by its name or id.
    #[arg(required_unless_present = "resume")]
    name: Option<String>,
    /// How much more may be spent, or less: +20, -7.5.
    #[arg(
        long,
        value_name = "N",
        allow_hyphen_values = true,
        required_unless_present = "resume"
    )]
    acus: Option<String>,
    /// Let spending go on, after damage of the ledger was looked at.
    #[arg(long, conflicts_with_all = ["name", "acus", "account"])]
    resume: bool,
    /// Why. It is written down with who and when.
    #[arg(long)]
    reason: String,
    /// Only for this account of a budget that is split: a caller's, team's or organization's name.
    #[arg(long = "for", value_name = "ACCOUNT")]
    account: Option<String>,
    #[command(flatten)]
    config: Config,
}

#[derive(Args, Debug)]
pub(super) struct Verify {
    #[command(flatten)]
    config: Config,
}

/// What a terminal shows of each account.
const SHOWN: [Column; 10] = [
    words("budget", "BUDGET"),
    words("account", "ACCOUNT"),
    amounts("adjusted_limit", "LIMIT"),
    amounts("spent", "SPENT"),
    amounts("held", "HELD"),
    amounts("remaining", "REMAINING"),
    amounts("overrun", "OVERRUN"),
    amounts("unheld", "UNHELD"),
    words("until", "UNTIL"),
    words("outlook", "OUTLOOK"),
];

/// What a spreadsheet gets.
const ALL: [Column; 16] = [
    words("budget", ""),
    words("id", ""),
    words("per", ""),
    words("account", ""),
    words("every", ""),
    amounts("limit", ""),
    amounts("adjusted_limit", ""),
    amounts("spent", ""),
    amounts("held", ""),
    amounts("overrun", ""),
    amounts("unheld", ""),
    amounts("remaining", ""),
    words("from", ""),
    words("until", ""),
    words("forecast", ""),
    words("empty_at", ""),
];

const CHANGES: [Column; 6] = [
    words("at", "AT"),
    words("account", "ACCOUNT"),
    amounts("acus", "ACUS"),
    words("until", "UNTIL"),
    words("who", "WHO"),
    words("why", "WHY"),
];

pub(super) async fn run(command: Command, output: Output) -> Result<(), Failure> {
    match command {
        Command::Show(Show { name, config }) => {
            let order = Order::Show { name };
            let said = give(&config, order, output == Output::Json).await?;
            let rows = list(&said, "budgets");
            match output {
                Output::Json => print(&said.to_string())?,
                Output::Csv => print(&table::csv(&ALL, rows))?,
                Output::Text => print(&shown(&said))?,
            }
            Ok(())
        }
        Command::Raise(Raise {
            name,
            acus,
            until,
            reason,
            account,
            config,
        }) => {
            let order = Order::Raise {
                name,
                acus,
                until,
                reason,
                account,
            };
            changed(&config, order, output).await
        }
        Command::Adjust(Adjust {
            name: Some(name),
            acus: Some(acus),
            resume: _,
            reason,
            account,
            config,
        }) => {
            let order = Order::Adjust {
                name,
                acus,
                reason,
                account,
            };
            changed(&config, order, output).await
        }
        Command::Adjust(Adjust { reason, config, .. }) => {
            let format = output.plain()?;
            let order = Order::Resume { reason };
            let said = give(&config, order, output == Output::Json).await?;
            format.print(&said, || {
                let who = visible(&field(&said, "who"));
                match said.get("was_stopped").and_then(Value::as_str) {
                    Some(why) => format!(
                        "Spending goes on, by {who}. It was stopped: {}",
                        visible(why)
                    ),
                    None => "Spending was not stopped; your reason is written down.".to_owned(),
                }
            })
        }
        Command::Verify(Verify { config }) => {
            let format = output.plain()?;
            let said = give(&config, Order::Verify {}, output == Output::Json).await?;
            format.print(&said, || verified(&said))?;
            match said.get("sound") {
                Some(Value::Bool(true)) => Ok(()),
                _ => Err(Failure::Bad),
            }
        }
    }
}

async fn changed(config: &Config, order: Order, output: Output) -> Result<(), Failure> {
    let format = output.plain()?;
    let said = give(config, order, output == Output::Json).await?;
    format.print(&said, || {
        let it = |name: &str| visible(&field(&said, name));
        let account = match it("account").as_str() {
            "" => "all accounts".to_owned(),
            name => name.to_owned(),
        };
        let until = match it("until").as_str() {
            "" => "its present window ends".to_owned(),
            until => until.to_owned(),
        };
        let (budget, acus, who, why) = (it("budget"), it("acus"), it("who"), it("why"));
        format!("{budget} ({account}): {acus} ACUs until {until}, by {who}: {why}")
    })
}

/// The table, and what there is to say beside it.
fn shown(said: &Value) -> String {
    let mut rows = list(said, "budgets").to_vec();
    for row in &mut rows {
        let outlook = outlook(row);
        if let Value::Object(row) = row {
            row.insert("outlook".to_owned(), outlook.into());
        }
    }
    let mut text = String::new();
    if let Some(why) = said.get("stopped").and_then(Value::as_str) {
        let _ = write!(text, "Nothing is spent: {}\n\n", visible(why));
    }
    if rows.is_empty() {
        text.push_str("The policies have no budget.");
        return text;
    }
    text.push_str(&table::text(&SHOWN, &rows));
    if let Some(left_out) = said.get("left_out").and_then(Value::as_u64)
        && left_out > 0
    {
        let _ = write!(text, "\n… and {left_out} more accounts");
    }
    let changes = list(said, "adjustments");
    if !changes.is_empty() {
        let _ = write!(text, "\n\n{}", table::text(&CHANGES, changes));
    }
    text
}

/// How long it lasts, in words.
fn outlook(row: &Value) -> String {
    let limits = (row.get("limit"), row.get("adjusted_limit"));
    let mut said = match field(row, "forecast").as_str() {
        "lasts" => "lasts the window".to_owned(),
        "empty" => "empty".to_owned(),
        _ => format!("empty at {}", field(row, "empty_at")),
    };
    if limits.0 != limits.1 {
        said.push_str(", adjusted");
    }
    if row.get("shadow") == Some(&Value::Bool(true)) {
        said.push_str(", on trial");
    }
    said
}

fn verified(said: &Value) -> String {
    let lines = field(said, "lines");
    let differences = list(said, "differences");
    if differences.is_empty() {
        return format!(
            "The ledger is sound: {lines} lines of history, and every sum is what they add up to."
        );
    }
    let mut text = "The ledger does not agree with its own history:".to_owned();
    for it in differences.iter().filter_map(Value::as_str) {
        let _ = write!(text, "\n  {}", visible(it));
    }
    text
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn row(forecast: &str, limit: i64) -> Value {
        json!({
            "budget": "t/month", "account": "one", "limit": 500, "adjusted_limit": limit, "spent": 12.5, "held": 5,
            "overrun": 0, "unheld": 0, "remaining": 482.5, "until": "2026-12-01T00:00:00Z", "forecast": forecast,
            "empty_at": "2026-11-30T00:00:00Z", "shadow": false,
        })
    }

    #[test]
    fn a_table_says_how_long_it_lasts() {
        let said = json!({
            "stopped": null, "left_out": 2, "adjustments": [],
            "budgets": [row("lasts", 500), row("empty_at", 520), row("empty", 500)],
        });
        let text = shown(&said);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(
            lines[0],
            "BUDGET   ACCOUNT  LIMIT  SPENT  HELD  REMAINING  OVERRUN  UNHELD  UNTIL                 OUTLOOK"
        );
        assert_eq!(
            lines[1],
            "t/month  one        500   12.5     5      482.5        0       0  2026-12-01T00:00:00Z  lasts the window"
        );
        assert!(
            lines[2].ends_with("  empty at 2026-11-30T00:00:00Z, adjusted"),
            "{text}"
        );
        assert!(lines[3].ends_with("  empty"), "{text}");
        assert_eq!(lines[4], "… and 2 more accounts");
    }

    #[test]
    fn what_was_stopped_and_what_differs_is_said_without_orders_to_a_terminal() {
        let said = json!({ "stopped": "damaged\u{1b}[2J", "budgets": [] });
        assert_eq!(
            shown(&said),
            "Nothing is spent: damaged\\u{1b}[2J\n\nThe policies have no budget."
        );
        let said = json!({ "sound": false, "lines": 3, "differences": ["a", "b\u{7}"] });
        assert_eq!(
            verified(&said),
            "The ledger does not agree with its own history:\n  a\n  b\\u{7}"
        );
    }
}

//! `tollgate usage`: who has spent how much.

use clap::{Args, ValueEnum};

use super::order::give;
use super::status::visible;
use super::table::{self, Column, amounts, field, list, words};
use super::{Config, Failure, Output, print};
use crate::accounts::{By, Order};

#[derive(Args, Debug)]
pub(super) struct Options {
    /// Summed up by what.
    #[arg(long, value_enum, default_value = "caller")]
    by: Grouped,
    /// The first day, such as 2026-11-01 (in UTC). Left out: the first of this month.
    #[arg(long, value_name = "DATE")]
    from: Option<String>,
    /// The last day. Left out: today.
    #[arg(long, value_name = "DATE")]
    to: Option<String>,
    /// Show instead, by organization and Devin's billing day, what Devin has billed and the ledger does not know of.
    #[arg(long, conflicts_with_all = ["by", "from", "to"])]
    unattributed: bool,
    #[command(flatten)]
    config: Config,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Grouped {
    Caller,
    Team,
    Organization,
}

const COLUMNS: [Column; 5] = [
    words("name", "NAME"),
    amounts("spent", "SPENT"),
    amounts("held", "HELD"),
    amounts("overrun", "OVERRUN"),
    amounts("unheld", "UNHELD"),
];

const DAYS: [Column; 5] = [
    words("organization", "ORGANIZATION"),
    words("day", "DAY"),
    amounts("devin", "DEVIN"),
    amounts("ledger", "LEDGER"),
    amounts("unattributed", "UNATTRIBUTED"),
];

pub(super) async fn run(options: Options, output: Output) -> Result<(), Failure> {
    if options.unattributed {
        return unattributed(&options.config, output).await;
    }
    let by = match options.by {
        Grouped::Caller => By::Caller,
        Grouped::Team => By::Team,
        Grouped::Organization => By::Organization,
    };
    let (from, to) = (options.from, options.to);
    let order = Order::Usage { by, from, to };
    let said = give(&options.config, order, output == Output::Json).await?;
    let rows = list(&said, "usage");
    match output {
        Output::Json => print(&said.to_string())?,
        Output::Csv => print(&table::csv(&COLUMNS, rows))?,
        Output::Text => {
            let (from, to) = (field(&said, "from"), field(&said, "to"));
            let text = table::text(&COLUMNS, rows);
            print(&format!("ACUs from {from} to {to} (UTC)\n\n{text}"))?;
        }
    }
    Ok(())
}

async fn unattributed(config: &Config, output: Output) -> Result<(), Failure> {
    let said = give(config, Order::Unattributed {}, output == Output::Json).await?;
    let rows = list(&said, "days");
    match output {
        Output::Json => print(&said.to_string())?,
        Output::Csv => print(&table::csv(&DAYS, rows))?,
        Output::Text => {
            print(&table::text(&DAYS, rows))?;
            for it in list(&said, "unreadable") {
                let it = |name: &str| visible(&field(it, name));
                let (organization, since, status) = (it("organization"), it("since"), it("status"));
                print(&format!(
                    "Of {organization} nothing is known since {since}: Devin answers {status}"
                ))?;
            }
        }
    }
    Ok(())
}

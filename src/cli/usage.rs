//! `tollgate usage`: who has spent how much.

use clap::{Args, ValueEnum};
use serde_json::Value;

use super::order::give;
use super::table::{self, Column, amounts, field, words};
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

pub(super) async fn run(options: Options, output: Output) -> Result<(), Failure> {
    let by = match options.by {
        Grouped::Caller => By::Caller,
        Grouped::Team => By::Team,
        Grouped::Organization => By::Organization,
    };
    let (from, to) = (options.from, options.to);
    let order = Order::Usage { by, from, to };
    let said = give(&options.config, order, output == Output::Json).await?;
    let rows = said.get("usage").and_then(Value::as_array);
    let rows = rows.map_or(&[][..], Vec::as_slice);
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

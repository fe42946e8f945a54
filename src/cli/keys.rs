//! `tollgate keys new`: a key, shown once, and the line for its policy.

use clap::Subcommand;
use serde_json::json;

use super::{Failure, Format, print};
use crate::api_key::ApiKey;

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Make a key. It is shown once and stored nowhere.
    New {
        /// The key's public id, 1 to 32 of a-z, 0-9 and `-`; it stands in logs and policies.
        #[arg(value_parser = id)]
        id: String,
        /// The day from which on it is refused, such as 2027-02-01 (00:00 UTC).
        #[arg(long, value_parser = date)]
        expires: Option<jiff::civil::Date>,
    },
}

fn id(text: &str) -> Result<String, String> {
    if crate::api_key::is_id(text) {
        return Ok(text.to_owned());
    }
    Err(crate::api_key::GenerateError::Id.to_string())
}

fn date(text: &str) -> Result<jiff::civil::Date, String> {
    text.parse()
        .map_err(|_| "write a date such as 2027-02-01".to_owned())
}

pub(super) fn run(command: &Command, format: Format) -> Result<(), Failure> {
    let Command::New { id, expires } = command;
    let key = ApiKey::generate(id)?;
    let digest = key.digest_hex();
    let expires = expires.map(|date| date.to_string());
    let end = expires
        .as_ref()
        .map_or(String::new(), |date| format!(", expires: {date}"));
    let line = format!("- {{ id: {id}, sha256: \"{digest}\"{end} }}");
    match format {
        Format::Json => print(&json!({"key": key.expose(), "id": id, "sha256": digest, "expires": expires, "yaml": line}).to_string())?,
        Format::Text => {
            print("The key, shown once; give it to the caller and to nobody else:\n")?;
            print(&format!("  {}\n", key.expose()))?;
            print("The line for its policy, below the caller's `keys:`:\n")?;
            print(&format!("  {line}"))?;
        }
    }
    Ok(())
}

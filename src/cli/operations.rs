//! `tollgate operations`: the ids that policies can name, with what they are.

use serde_json::json;

use super::{Failure, Format, print};
use crate::catalogue::{Operation, OperationIx, Version};

pub(super) fn run(format: Format) -> Result<(), Failure> {
    let rows: Vec<&Operation> = OperationIx::served().map(OperationIx::row).collect();
    if format == Format::Json {
        let all: Vec<_> = rows
            .iter()
            .map(|row| {
                json!({
                    "id": row.id, "method": row.verb.as_str(), "path": row.path,
                    "v3": row.versions.has(Version::V3), "v3beta1": row.versions.has(Version::V3Beta1),
                    "names_organization": row.names_organization(), "mutates": row.mutates,
                    "spends": row.spends.is_some(), "reveals_secret": row.reveals_once,
                })
            })
            .collect();
        print(&json!(all).to_string())?;
        return Ok(());
    }
    let width = rows.iter().map(|row| row.id.len()).max().unwrap_or(0);
    for row in rows {
        let has = |version: Version| {
            if row.versions.has(version) {
                version.prefix()
            } else {
                ""
            }
        };
        let notes = [
            (row.spends.is_some(), " spends"),
            (row.reveals_once, " reveals-a-secret"),
            (!row.names_organization(), " needs-any"),
        ];
        let notes: String = notes
            .iter()
            .filter(|(is, _)| *is)
            .map(|(_, note)| *note)
            .collect();
        let (id, method, path) = (row.id, row.verb.as_str(), row.path);
        print(&format!(
            "{id:width$}  {method:6} {:2} {:7}  {path}{notes}",
            has(Version::V3),
            has(Version::V3Beta1)
        ))?;
    }
    Ok(())
}

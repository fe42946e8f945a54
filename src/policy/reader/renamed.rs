//! Former names: `renamed_from:` of teams and callers. The ledger's entries keep the name that they were made under.

use super::{Spanned, name};
use crate::document::{Report, Table};

/// The most former names of one team or caller.
const MAX_FORMER: usize = 20;

/// The former names of a team or a caller.
pub(super) fn renamed(
    what: &str,
    table: &mut Table<'_>,
    report: &mut Report,
) -> Vec<Spanned<String>> {
    let Some((items, span)) = table.list("renamed_from", report) else {
        return Vec::new();
    };
    if items.is_empty() || items.len() > MAX_FORMER {
        report
            .error(
                span,
                format!(
                    "`renamed_from:` has 1 to {MAX_FORMER} names, not {}",
                    items.len()
                ),
            )
            .help("write the names that it had: [old-name]");
    }
    let texts = items.iter().take(MAX_FORMER).filter_map(|item| {
        let text = item.as_text("renamed_from", report)?;
        Some(name(what, text, item.span, report))
    });
    texts.collect()
}

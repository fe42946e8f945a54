//! Former names of callers and teams: each is nobody's present name, and no two have had the same.

use std::collections::HashMap;
use std::sync::Arc;

use super::super::reader::{File, Spanned};
use super::Compiler;
use crate::document::{Report, Span};

impl Compiler<'_> {
    pub(super) fn renamed(&mut self, files: &[File]) {
        let teams = files.iter().filter_map(|file| file.team.as_ref());
        let teams: HashMap<&str, Span> =
            teams.map(|team| (team.value.as_str(), team.span)).collect();
        let callers = self.callers.iter();
        let callers: HashMap<&str, Span> = callers
            .map(|(name, (_, span))| (name.as_str(), *span))
            .collect();
        let of_teams = files.iter().filter_map(|file| {
            let team = file.team.as_ref()?;
            Some((team.value.as_str(), file.renamed_from.as_slice()))
        });
        let of_callers = files.iter().flat_map(|file| {
            let entries = file.callers.iter();
            entries.map(|it| (it.name.value.as_str(), it.renamed_from.as_slice()))
        });
        self.policy.former_teams = resolve("team", of_teams, &teams, self.report);
        self.policy.former_callers = resolve("caller", of_callers, &callers, self.report);
    }
}

/// Each former name with the present one.
fn resolve<'f>(
    what: &str,
    renamed: impl Iterator<Item = (&'f str, &'f [Spanned<String>])>,
    present: &HashMap<&str, Span>,
    report: &mut Report,
) -> Vec<(Box<str>, Arc<str>)> {
    let mut claimed: HashMap<&str, Span> = HashMap::new();
    let mut found = Vec::new();
    for (new, former) in renamed {
        let new: Arc<str> = new.into();
        for old in former {
            if let Some(first) = present.get(old.value.as_str()) {
                report
                    .error(
                        old.span,
                        format!("there is a {what} `{}` still", old.value.escape_debug()),
                    )
                    .also(*first, "here")
                    .help(
                        "its spending is its own: what it spends from now on cannot be another's",
                    );
            } else if let Some(first) = claimed.insert(&old.value, old.span) {
                report
                    .error(
                        old.span,
                        format!(
                            "the former name `{}` is claimed twice",
                            old.value.escape_debug()
                        ),
                    )
                    .also(first, "first here")
                    .help(format!(
                        "what was spent under it is one {what}'s: take it out of one of them"
                    ));
            } else {
                found.push((old.value.as_str().into(), Arc::clone(&new)));
            }
        }
    }
    found
}

//! What a grant says of sessions and of what they cost: `sessions:`, `uncapped:`, and a cap's `no_room:`.

use super::super::bounds::{NoRoom, Reach, Uncapped, UncappedPer};
use super::terms::Read;
use crate::acu::{Acu, MAX_ACUS};
use crate::document::{Node, Report, Table};

impl Read {
    /// Which sessions may be touched.
    pub(super) fn sessions(&mut self, table: &mut Table<'_>, report: &mut Report) {
        let Some((text, span)) = table.text("sessions", report) else {
            return;
        };
        self.sessions = Some(span);
        self.terms.sessions = match text {
            "own" => Some(Reach::Own),
            "team" => Some(Reach::Team),
            "any" => Some(Reach::Any),
            other => {
                report
                    .error(span, "`sessions:` is `own`, `team` or `any`")
                    .suggest(other, ["own", "team", "any"]);
                None
            }
        };
    }

    /// What a spend without a cap is charged as.
    pub(super) fn uncapped(&mut self, table: &mut Table<'_>, report: &mut Report) {
        if let Some(node) = table.take("uncapped") {
            self.uncapped = Some(node.span);
            self.terms.uncapped = uncapped(node, report);
        }
    }
}

/// `{ acus: 20, per: window, on_no_room: disable }`
fn uncapped(node: &Node, report: &mut Report) -> Option<Uncapped> {
    let mut table = Table::new("`uncapped:`", node, report)?;
    let acus = table.require("acus");
    let acus = acus.and_then(|node| node.as_whole("acus", 1, i64::from(MAX_ACUS), report));
    let per = table.require_text("per", report);
    let per = per.and_then(|(text, span)| match text {
        "run" => Some(UncappedPer::Run),
        "window" => Some(UncappedPer::Window),
        other => {
            report
                .error(span, "what has no cap is charged per `run` or per `window`")
                .suggest(other, ["run", "window"]);
            None
        }
    });
    let on_no_room = table.text("on_no_room", report);
    if let Some((text, span)) = on_no_room {
        if text != "disable" {
            report
                .error(span, "`on_no_room:` can only be `disable`")
                .help("left out, what was set up goes on and is charged beyond the budget, with an alarm");
        }
        if per == Some(UncappedPer::Run) {
            report
                .error(span, "`on_no_room:` says nothing with `per: run`")
                .help("a single run is over before a window has no room: take it out, or write `per: window`");
        }
    }
    table.finish(report);
    Some(Uncapped {
        acus: Acu::whole(u32::try_from(acus?).ok()?),
        per: per?,
        disables: on_no_room.is_some(),
    })
}

/// What becomes of a cap for which a budget has no room. `is_grants_cap` where the rule is a grant's, for the body's
/// `max_acu_limit`: nowhere else does it mean anything.
pub(super) fn no_room(
    is_grants_cap: bool,
    table: &mut Table<'_>,
    report: &mut Report,
) -> Option<NoRoom> {
    if !is_grants_cap {
        table.misplaced(
            "no_room",
            "a grant says it, of `max_acu_limit` in its body: what becomes of a cap for which a budget has no room",
            report,
        );
        return None;
    }
    let (text, span) = table.text("no_room", report)?;
    match text {
        "refuse" => Some(NoRoom::Refuse),
        "clamp" => Some(NoRoom::Clamp),
        other => {
            report
                .error(span, "`no_room:` is `refuse` or `clamp`")
                .suggest(other, ["refuse", "clamp"]);
            None
        }
    }
}

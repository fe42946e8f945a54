//! What goes on spending after the request that set it up: schedules, automations, automatic scans.

use super::{Operation, Spend, Verb};

/// A kind of object that spends later, by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Object {
    /// A schedule.
    Schedule,
    /// An automation.
    Automation,
    /// A repository that is scanned again and again, known by its scan.
    AutoScan,
}

impl Object {
    /// Every kind.
    pub const ALL: [Self; 3] = [Self::Schedule, Self::Automation, Self::AutoScan];

    /// The word for it, in the store and in what is shown.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Schedule => "schedule",
            Self::Automation => "automation",
            Self::AutoScan => "auto-scan",
        }
    }

    /// The kind of this word.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|it| it.as_str() == word)
    }

    /// The parameter of paths that is its id, and the member of answers.
    pub const fn id(self) -> &'static str {
        match self {
            Self::Schedule => "schedule_id",
            Self::Automation => "automation_id",
            Self::AutoScan => "scan_id",
        }
    }

    /// The segment of paths that it stands below.
    pub const fn collection(self) -> &'static str {
        match self {
            Self::Schedule => "schedules",
            Self::Automation => "automations",
            Self::AutoScan => "code-scans",
        }
    }

    /// The operation that shows one.
    pub const fn shown_by(self) -> &'static str {
        match self {
            Self::Schedule => "schedules.get",
            Self::Automation => "automations.get",
            Self::AutoScan => "code_scans.get",
        }
    }

    /// The operation that switches one off with `{"enabled": false}`. Of an automatic scan nothing is known that would.
    pub const fn disabled_by(self) -> Option<&'static str> {
        match self {
            Self::Schedule => Some("schedules.update"),
            Self::Automation => Some("automations.update"),
            Self::AutoScan => None,
        }
    }
}

impl Operation {
    /// What it sets up, or changes.
    pub fn sets_up(&self) -> Option<Object> {
        (self.spends == Some(Spend::Deferred)).then(|| self.object())?
    }

    /// What it takes away.
    pub fn takes_away(&self) -> Option<Object> {
        (self.verb == Verb::Delete).then(|| self.object())?
    }

    fn object(&self) -> Option<Object> {
        let within = |object: &Object| self.path.split('/').any(|it| it == object.collection());
        Object::ALL.into_iter().find(within)
    }
}

#[cfg(test)]
mod tests {
    use super::super::OperationIx;
    use super::*;

    #[test]
    fn l3_whatever_spends_later_is_an_object_that_can_be_followed() {
        let rows = || OperationIx::served().map(OperationIx::row);
        let row = |id: &str| rows().find(|row| row.id == id).unwrap();
        for deferred in rows().filter(|row| row.spends == Some(Spend::Deferred)) {
            let object = deferred.sets_up().unwrap();
            let get = row(object.shown_by());
            assert!(!get.mutates && get.path.ends_with(&format!("{{{}}}", object.id())));
            if let Some(update) = object.disabled_by() {
                assert_eq!(row(update).path, get.path);
                assert!(row(update).body_field("enabled").is_some());
            }
        }
        let taken: Vec<&str> = rows()
            .filter(|row| row.takes_away().is_some())
            .map(|row| row.id)
            .collect();
        assert_eq!(taken, ["schedules.delete", "automations.delete"]);
    }
}

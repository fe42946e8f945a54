//! What happens to sessions without a call of the API: Devin spawns children, people work in the
//! web UI, an administrator tunes things. For tests of what a gateway cannot see coming.

use serde::Deserialize;
use serde_json::{Map, Value};

use super::FakeDevin;
use super::clock::{Moment, epoch};
use super::life::{Session, Wishes};
use super::sessions::{deduplicated, shown_id};
use super::state::World;
use super::truth::SessionTruth;

/// A session that begins without a call of the API. All of it may be left out but one of `org` and
/// `parent`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Elsewhere {
    /// The organization; a child's is its parent's.
    pub org: Option<String>,
    /// Either form of the id of the session that spawns this one.
    pub parent: Option<String>,
    /// What it is told to do.
    pub prompt: String,
    /// Its tags.
    pub tags: Vec<String>,
    /// Its cap, in whole ACUs; none unless given, for children too.
    pub max_acu_limit: Option<i64>,
    /// Who did it; a child's is its parent's.
    pub user_id: Option<String>,
    /// Which service user did it: none unless given; a child's is its parent's.
    pub service_user_id: Option<String>,
    /// `webapp` unless given; a child's is its parent's.
    pub origin: Option<String>,
    /// What it spends per fake minute, if not what others do.
    pub acus_per_minute: Option<f64>,
    /// Fake minutes of work per wake, if not those of others.
    pub work_minutes: Option<f64>,
}

/// A change to a session, or to how it is shown. What is left out stays as it is.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Change {
    /// Members of the SessionResponse that stand in place of the true ones; an empty object shows
    /// the truth again.
    pub shown: Option<Map<String, Value>>,
    /// Members that are left out of it.
    pub left_out: Option<Vec<String>>,
    /// Whether it is gone from lists, and 404 by its id.
    pub vanished: Option<bool>,
    /// Another cap, for the wakes to come and for one that is at work.
    pub max_acu_limit: Option<i64>,
    /// Moved to this organization.
    pub org: Option<String>,
    /// Other tags.
    pub tags: Option<Vec<String>>,
    /// Ended for good.
    pub ends: Option<Ending>,
}

/// How a session ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ending {
    /// `exit`
    Exit,
    /// `error`
    Error,
}

/// Settings that can change while the fake runs. What is left out stays as it is.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Tuning {
    /// Of sessions that begin from now on.
    pub acus_per_minute: Option<f64>,
    /// Of sessions that begin from now on.
    pub work_minutes: Option<f64>,
    /// Of sessions that begin from now on.
    pub idle_minutes: Option<f64>,
    /// Of wakes that begin from now on.
    pub overrun_milli_acus: Option<i64>,
    /// Whether consumption can be read.
    pub may_read_consumption: Option<bool>,
}

/// Use that belongs to no session.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Unattributed {
    /// The organization that is billed.
    pub org: String,
    /// When, in epoch seconds; now if left out.
    pub at: Option<i64>,
    /// Thousandths of an ACU.
    pub milli_acus: i64,
    /// `devin` if left out.
    pub product: Option<String>,
}

impl FakeDevin {
    /// Every session as it really is, the oldest first.
    #[must_use]
    pub fn truth(&self) -> Vec<SessionTruth> {
        let now = self.inner.clock.now();
        let world = self.world();
        let all = world.sessions.iter();
        all.map(|session| SessionTruth::of(session, now)).collect()
    }

    /// Id of the service user that the token belongs to.
    #[must_use]
    pub fn service_user(&self) -> String {
        self.world().me.clone()
    }

    /// Begins a session without a call of the API, and gives back its id in the form that answers
    /// have. `None` when there is no such parent or organization.
    pub fn begin_elsewhere(&self, what: Elsewhere) -> Option<String> {
        let now = self.inner.clock.now();
        begin(&mut self.world(), what, now)
    }

    /// A message to a session without a call of the API: a wake of its own, if the session sleeps or
    /// works. False when there is no such session, or it has ended for good.
    pub fn wake_elsewhere(&self, id: &str, message: &str) -> bool {
        let now = self.inner.clock.now();
        let mut world = self.world();
        let Some((org, cap)) = world.sessions.get(id).map(Session::billed_to) else {
            return false;
        };
        let allowance = world.allowance(&org, cap, now);
        let session = world.sessions.get_mut(id);
        session.is_some_and(|it| it.message(message.to_owned(), allowance, true, now))
    }

    /// Changes a session, or how it is shown. False when there is no such session.
    pub fn change(&self, id: &str, change: Change) -> bool {
        let now = self.inner.clock.now();
        let mut world = self.world();
        if let Some(tags) = change.tags {
            world.sessions.retag(id, deduplicated(tags));
        }
        let Some(session) = world.sessions.get_mut(id) else {
            return false;
        };
        if let Some(shown) = change.shown {
            session.odd.shown = shown;
        }
        if let Some(left_out) = change.left_out {
            session.odd.left_out = left_out;
        }
        if let Some(vanished) = change.vanished {
            session.odd.vanished = vanished;
        }
        if let Some(acus) = change.max_acu_limit {
            session.recap(acus, now);
        }
        if let Some(org) = change.org {
            session.org = org;
        }
        if let Some(ending) = change.ends {
            let how = match ending {
                Ending::Exit => "exit",
                Ending::Error => "error",
            };
            session.end(how, now);
        }
        session.touched = now;
        true
    }

    /// Changes settings.
    pub fn tune(&self, tuning: &Tuning) {
        fn set<T: Copy>(setting: &mut T, to: Option<T>) {
            *setting = to.unwrap_or(*setting);
        }
        let options = &mut self.world().options;
        set(&mut options.acus_per_minute, tuning.acus_per_minute);
        set(&mut options.work_minutes, tuning.work_minutes);
        set(&mut options.idle_minutes, tuning.idle_minutes);
        set(&mut options.overrun_milli_acus, tuning.overrun_milli_acus);
        set(
            &mut options.may_read_consumption,
            tuning.may_read_consumption,
        );
    }

    /// Adds use that belongs to no session, which only the consumption shows.
    pub fn consume(&self, what: &Unattributed) {
        let at = what.at.unwrap_or_else(|| epoch(self.inner.clock.now()));
        self.world().consume(what, at as Moment);
    }
}

fn begin(world: &mut World, what: Elsewhere, now: Moment) -> Option<String> {
    let parent = match &what.parent {
        Some(id) => Some(world.sessions.get(id)?),
        None => None,
    };
    let of_parent = parent.map(|parent| &parent.wishes);
    let org = match parent {
        Some(parent) => parent.org.clone(),
        None => what.org?,
    };
    let mut pace = world.pace();
    if let Some(acus) = what.acus_per_minute {
        pace.acus_per_second = acus / 60.0;
    }
    if let Some(minutes) = what.work_minutes {
        pace.work = minutes * 60.0;
    }
    let wishes = Wishes {
        cap: what.max_acu_limit,
        parent: parent.map(|parent| parent.id.clone()),
        user: what.user_id.or_else(|| of_parent?.user.clone()),
        service_user: what
            .service_user_id
            .or_else(|| of_parent?.service_user.clone()),
        origin: what
            .origin
            .or_else(|| Some(of_parent?.origin.clone()))
            .unwrap_or_else(|| "webapp".to_owned()),
        playbook: of_parent.and_then(|wishes| wishes.playbook.clone()),
        elsewhere: true,
        ..Wishes::default()
    };
    if !world.organizations.iter().any(|known| known.id == org) {
        return None;
    }
    let allowance = world.allowance(&org, wishes.cap, now);
    let id = world.session_ids.next();
    let session = Session::new(id.clone(), org, what.prompt, wishes, pace, allowance, now);
    world.sessions.add(session, deduplicated(what.tags));
    Some(shown_id(world, &id))
}

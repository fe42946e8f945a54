//! What a fake is started with.

use std::fmt;

/// Settings of a fake; the defaults suit a demonstration.
#[derive(Clone)]
pub struct Options {
    /// The one service-user token that is accepted as `Authorization: Bearer`.
    pub token: String,
    /// Id and name of the organizations that exist at the start.
    pub organizations: Vec<(String, String)>,
    /// Fake seconds per real second.
    pub speed: f64,
    /// Fake time at the start, in epoch seconds; the real time when absent.
    pub start: Option<i64>,
    /// What a working session spends per fake minute (four times that in `devin_mode: fast`).
    pub acus_per_minute: f64,
    /// Fake minutes of work per wake, unless a cap stops it before.
    pub work_minutes: f64,
    /// Fake minutes between the end of the work and falling asleep.
    pub idle_minutes: f64,
    /// Thousandths of an ACU that each wake may use beyond its cap, as Devin never should.
    pub overrun_milli_acus: i64,
    /// The tags that sessions of an organization may have; one that is not named here allows all.
    pub allowed_tags: Vec<(String, Vec<String>)>,
    /// Whether the token has the right to read consumption; without it these calls answer 403.
    pub may_read_consumption: bool,
    /// Name of the service user that the token belongs to.
    pub service_user_name: String,
    /// Its role, which only the early API shows.
    pub role: String,
    /// Audit entries of recent weeks at the start, and as many in January 2024.
    pub audit_entries: usize,
    /// Requests per fake minute before 429; no limit when absent.
    pub rate_limit_per_minute: Option<u32>,
    /// Write `session_id` as 32 hex digits, without `devin-`. Both forms are always understood.
    pub bare_session_ids: bool,
    /// How many recordings are kept; the oldest go first.
    pub keep_requests: usize,
    /// What ids of sessions are made of, for a run that is to go the same way again; random when absent.
    pub seed: Option<u64>,
}

impl Default for Options {
    fn default() -> Self {
        let organization = |id: &str, name: &str| (id.to_owned(), name.to_owned());
        Self {
            token: "fake-devin-token".to_owned(),
            organizations: vec![
                organization("org-ds", "Data Science"),
                organization("org-web", "Web Platform"),
                organization("org-infra", "インフラ基盤"),
            ],
            speed: 1.0,
            start: None,
            acus_per_minute: 0.25,
            work_minutes: 8.0,
            idle_minutes: 10.0,
            overrun_milli_acus: 0,
            allowed_tags: Vec::new(),
            may_read_consumption: true,
            service_user_name: "shared-automation".to_owned(),
            role: "admin".to_owned(),
            audit_entries: 250,
            rate_limit_per_minute: None,
            bare_session_ids: false,
            keep_requests: 10_000,
            seed: None,
        }
    }
}

impl fmt::Debug for Options {
    // Everything but the token.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Options")
            .field("organizations", &self.organizations)
            .field("speed", &self.speed)
            .field("start", &self.start)
            .field("acus_per_minute", &self.acus_per_minute)
            .field("work_minutes", &self.work_minutes)
            .field("idle_minutes", &self.idle_minutes)
            .finish_non_exhaustive()
    }
}

//! What may stand in a body or a query, and what the access log may show of it.
//!
//! `operations.rs` names these sets in its rows. Only fields that Devin's API
//! reference, its published clients or its early v3beta1 page name are here: a
//! field that is missing is passed on as unknown, or refused where a policy
//! says so. Names of people's making (of notes, schedules, sessions) count as
//! free text; names of organizations, service users, keys and groups are ids.

use super::Paging;

/// What the access log may show of a field's value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shown {
    /// All of it: ids, numbers, flags, tags, words from a list.
    Value,
    /// Free text: only its type, its length and a digest.
    Digest,
    /// A secret: only its type and its length.
    Nothing,
}

/// What a field's value is to the gateway itself, whatever the policy says of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Meaning {
    /// Nothing.
    Plain,
    /// It names a session, or several: these have to be ones that the caller may touch.
    Session,
    /// Tags of a session: some of them are the gateway's own.
    Tags,
}

/// A body field or a query key that is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Field {
    /// Its name. In a body, `a.b` is a member of an object and `a[].b` one of a list's objects; a field
    /// covers whatever stands below it, unless a longer path says more. A query key that takes several
    /// values (repeated, or joined with commas) ends in `[]`.
    pub path: &'static str,
    /// What may be shown of it.
    pub shown: Shown,
    /// What it is to the gateway.
    pub meaning: Meaning,
}

impl Field {
    /// The name without the mark of a query key that takes several values.
    pub fn key(&self) -> &'static str {
        self.path.strip_suffix("[]").unwrap_or(self.path)
    }
}

/// A field that may be shown.
pub(super) const fn value(path: &'static str) -> Field {
    Field {
        path,
        shown: Shown::Value,
        meaning: Meaning::Plain,
    }
}

/// A field with free text.
pub(super) const fn text(path: &'static str) -> Field {
    Field {
        path,
        shown: Shown::Digest,
        meaning: Meaning::Plain,
    }
}

/// A field with a secret.
pub(super) const fn secret(path: &'static str) -> Field {
    Field {
        path,
        shown: Shown::Nothing,
        meaning: Meaning::Plain,
    }
}

/// A field that names sessions.
pub(super) const fn session(path: &'static str) -> Field {
    Field {
        meaning: Meaning::Session,
        ..value(path)
    }
}

/// A field with a session's tags.
pub(super) const fn tags(path: &'static str) -> Field {
    Field {
        meaning: Meaning::Tags,
        ..value(path)
    }
}

/// The query keys of a list that continues.
pub(super) const fn page(paging: Option<Paging>) -> Set {
    match paging {
        Some(Paging::Cursor) => CURSOR,
        Some(Paging::Offset) => OFFSET,
        None => &[],
    }
}

/// One set of fields.
pub(super) type Set = &'static [Field];

const CURSOR: Set = &[value("after"), value("first")];
const OFFSET: Set = &[value("limit"), value("offset")];

// Queries: what several operations share.
pub(super) const ORG_ID: Set = &[value("org_id")];
pub(super) const ORG_IDS: Set = &[value("org_ids[]")];
pub(super) const TIME: Set = &[value("time_after"), value("time_before")];
pub(super) const EMAIL: Set = &[text("email")];
pub(super) const INCLUDE_INACTIVE: Set = &[value("include_inactive")];
pub(super) const FILTER_NAME: Set = &[value("filter_name")];

// Queries: sessions.
pub(super) const PARENT_SESSION: Set = &[session("devin_id")];
pub(super) const ARCHIVE: Set = &[value("archive")];
pub(super) const SESSION_FILTERS: Set = &[
    value("created_after"),
    value("created_before"),
    value("updated_after"),
    value("updated_before"),
    value("user_ids[]"),
    value("service_user_ids[]"),
    value("session_ids[]"),
    value("tags[]"),
    value("origins[]"),
    value("playbook_id"),
    value("schedule_id"),
    value("automation_ids[]"),
    session("parent_session_id"),
    value("repo_names[]"),
    value("category"),
    value("is_archived"),
];
pub(super) const EVENT_FILTERS: Set = &[
    value("categories[]"),
    value("event_types[]"),
    value("direction"),
    value("created_after"),
    value("created_before"),
];
pub(super) const EVENT_SEARCH: Set = &[text("query")];
pub(super) const EVENT_DETAILS: Set = &[
    value("event_ids[]"),
    value("offset"),
    value("limit"),
    value("max_content_length"),
];

// Queries: the other groups.
pub(super) const NOTE_FILTERS: Set = &[text("search"), value("folder_path"), value("pinned_repo")];
pub(super) const SCAN_FILTERS: Set = &[value("repo_name")];
pub(super) const FINDING_FILTERS: Set = &[
    value("scan_id"),
    value("repo_name"),
    value("severity[]"),
    value("status[]"),
];
pub(super) const PR_REVIEW: Set = &[value("pr_url")];
pub(super) const PR_REVIEW_COMMIT: Set = &[value("commit_sha")];
pub(super) const REPOSITORY_FILTERS: Set = &[
    value("load_indexing_status"),
    value("only_repo_paths[]"),
    value("exclude_repo_paths[]"),
];
pub(super) const BLUEPRINT_FILTERS: Set = &[value("repo_name")];
pub(super) const BUILD_FILTERS: Set = &[value("status"), value("active")];
pub(super) const ACU_LIMIT_SCOPE: Set = &[value("scope")];
pub(super) const DATES: Set = &[value("start_date"), value("end_date")];
pub(super) const AUDIT_FILTERS: Set = &[value("action"), value("order")];
pub(super) const VIOLATION_FILTERS: Set =
    &[value("guardrail_id"), value("session_id"), value("order")];
pub(super) const STATUS: Set = &[value("status")];
pub(super) const ACTIVE_USERS: Set = &[value("min_sessions"), value("min_searches")];
pub(super) const BY_WHOM: Set = &[
    value("playbook_id"),
    value("user_ids[]"),
    value("service_user_ids[]"),
];

// Bodies: sessions.
pub(super) const CREATE_SESSION: Set = &[
    text("prompt"),
    text("title"),
    tags("tags"),
    value("max_acu_limit"),
    value("devin_mode"),
    value("playbook_id"),
    value("child_playbook_id"),
    value("knowledge_ids"),
    value("secret_ids"),
    secret("session_secrets"),
    value("session_secrets[].key"),
    secret("session_secrets[].value"),
    value("session_secrets[].sensitive"),
    value("repos"),
    // A signed link works without a token: it is not shown.
    text("attachment_urls"),
    session("session_links"),
    value("create_as_user_id"),
    value("bypass_approval"),
    value("platform"),
    value("resumable"),
    text("structured_output_schema"),
    value("structured_output_required"),
    // Older names, which v3beta1 took.
    value("advanced_mode"),
    value("is_advanced"),
];
pub(super) const MESSAGE: Set = &[
    text("message"),
    value("message_as_user_id"),
    text("attachment_urls"),
];
pub(super) const TAGS: Set = &[tags("tags")];
/// The tags that an organization allows.
pub(super) const ORG_TAGS: Set = &[value("tags")];

// Bodies: notes, playbooks, secrets.
pub(super) const NOTE: Set = &[
    text("name"),
    text("body"),
    text("trigger"),
    value("folder_id"),
    value("is_enabled"),
    value("pinned_repo"),
];
pub(super) const PLAYBOOK: Set = &[
    text("title"),
    text("body"),
    value("macro"),
    text("structured_output_schema"),
];
pub(super) const CREATE_AS: Set = &[value("create_as_user_id")];
pub(super) const SECRET: Set = &[
    value("type"),
    value("key"),
    secret("value"),
    value("is_sensitive"),
    text("note"),
];

// Bodies: what works later.
pub(super) const SCHEDULE: Set = &[
    text("name"),
    text("prompt"),
    value("schedule_type"),
    value("frequency"),
    value("scheduled_at"),
    value("interval_count"),
    value("agent"),
    value("notify_on"),
    value("playbook_id"),
    tags("tags"),
    value("platform"),
    value("bypass_approval"),
    value("slack_channel_id"),
    value("slack_team_id"),
    session("target_devin_id"),
];
pub(super) const UPDATE_SCHEDULE: Set = &[value("enabled"), value("run_as_user_id")];
pub(super) const AUTOMATION: Set = &[
    text("name"),
    value("enabled"),
    value("run_as"),
    text("triggers"),
    text("actions"),
    value("actions[].type"),
    text("actions[].prompt"),
    value("actions[].session.bypass_approval"),
    value("actions[].session.platform"),
    value("actions[].session.playbook_id"),
    value("actions[].session.repos"),
    tags("actions[].session.tags"),
    value("concurrency.max_concurrent_runs"),
    value("concurrency.max_queue_depth"),
    value("limits.max_acu_limit"),
    value("limits.invocations.max_per_window"),
    value("limits.invocations.window_seconds"),
    text("metadata"),
    text("notifications"),
    value("security_profile.profile_id"),
    text("session_settings"),
    value("template_id"),
    value("tools.linear_enabled"),
    text("tools.mcp_servers"),
    value("tools.slack_channels"),
];
pub(super) const START_SCAN: Set = &[
    value("repo_name"),
    value("host"),
    value("profile_id"),
    value("scan_type"),
    value("commit_sha"),
];

// Bodies: repositories and blueprints.
pub(super) const INDEX_MANY: Set = &[
    value("repositories"),
    value("repositories[].repository_path"),
    value("repositories[].branch_names"),
];
pub(super) const UNINDEX_MANY: Set = &[value("repository_paths")];
pub(super) const INDEX: Set = &[value("branch_names")];
pub(super) const BLUEPRINT: Set = &[text("contents"), value("repo_name")];

// Bodies: who is who.
pub(super) const PROVISION: Set = &[value("name"), value("role_id"), value("ttl_seconds")];
pub(super) const EARLY_SERVICE_USER: Set = &[value("name"), value("role")];
pub(super) const API_KEY: Set = &[value("name"), value("expires_at")];
pub(super) const ROTATE: Set = &[value("revoke_current")];
pub(super) const ROLE: Set = &[value("role_id")];
pub(super) const INVITE: Set = &[text("emails"), value("enterprise_role_id")];
pub(super) const IDP_GROUPS: Set = &[value("idp_group_names")];

// Bodies: organizations and their limits.
pub(super) const ORGANIZATION: Set = &[
    value("name"),
    value("max_cycle_acu_limit"),
    value("max_session_acu_limit"),
    // The early name of the first.
    value("acu_limit"),
];
pub(super) const CYCLE_LIMIT: Set = &[value("cycle_acu_limit")];
pub(super) const GROUPS: Set = &[value("groups")];
pub(super) const GIT_PERMISSIONS: Set = &[
    value("permissions"),
    value("permissions[].git_connection_id"),
    value("permissions[].repo_path"),
    value("permissions[].prefix_path"),
    value("permissions[].group_prefix"),
    value("permissions[].read_only"),
];
pub(super) const GIT_PERMISSION: Set = &[value("read_only")];
pub(super) const DEFAULT_TAG: Set = &[value("tag")];
pub(super) const IP_RANGES: Set = &[value("ip_ranges")];

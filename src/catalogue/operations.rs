//! ONE ROW PER OPERATION: the file to edit for a new endpoint of Devin's.
//!
//! A row holds the path without its version prefix; `row` and its methods are
//! in the parent module, the sets of fields in `fields.rs`. Source of every row:
//! Devin's API reference, its published SDKs and Terraform provider, as
//! collected on 2026-11-24. Two rows
//! (`members.service_users.create`, `enterprise.consumption.daily.organizations`)
//! come from Devin's early v3beta1 usage page alone. The `/opbeta` rows are
//! known so that they can be refused by name.

use super::Absent::{EmptyList, False};
use super::OrgAt::{AtBody, AtPath, AtQuery, Nowhere};
use super::Paging::{Cursor, Offset};
use super::Scope::{Account, Enterprise, Oneself, Organization};
use super::Spend::{Deferred, Immediate};
use super::Takes::{Json, Multipart};
use super::Verb::{Delete, Get, Patch, Post, Put};
use super::fields::{
    ACTIVE_USERS, ACU_LIMIT_SCOPE, API_KEY, ARCHIVE, AUDIT_FILTERS, AUTOMATION, BLUEPRINT,
    BLUEPRINT_FILTERS, BUILD_FILTERS, BY_WHOM, CREATE_AS, CREATE_SESSION, CYCLE_LIMIT, DATES,
    DEFAULT_TAG, EARLY_SERVICE_USER, EMAIL, EVENT_DETAILS, EVENT_FILTERS, EVENT_SEARCH,
    FILTER_NAME, FINDING_FILTERS, GIT_PERMISSION, GIT_PERMISSIONS, GROUPS, IDP_GROUPS,
    INCLUDE_INACTIVE, INDEX, INDEX_MANY, INVITE, IP_RANGES, MESSAGE, NOTE, NOTE_FILTERS, ORG_ID,
    ORG_IDS, ORG_TAGS, ORGANIZATION, PARENT_SESSION, PLAYBOOK, PR_REVIEW, PR_REVIEW_COMMIT,
    PROVISION, REPOSITORY_FILTERS, ROLE, ROTATE, SCAN_FILTERS, SCHEDULE, SECRET, SESSION_FILTERS,
    START_SCAN, STATUS, TAGS, TIME, UNINDEX_MANY, UPDATE_SCHEDULE, VIOLATION_FILTERS,
};
use super::{BETA, BOTH, OPBETA, Operation, V3, guard_body, guard_body_or, guard_query, row};

/// Every operation that Tollgate knows.
#[rustfmt::skip]
pub(super) const OPERATIONS: &[Operation] = &[
    // self
    row("self.get", Get, "/self", V3, Oneself, Nowhere),
    // enterprise.self
    row("enterprise.self.get", Get, "/enterprise/self", BOTH, Enterprise, Nowhere),
    // sessions
    row("sessions.list", Get, "/organizations/{org_id}/sessions", BOTH, Organization, AtPath).pages(Cursor).query(&[SESSION_FILTERS]).lists_sessions(),
    row("sessions.create", Post, "/organizations/{org_id}/sessions", BOTH, Organization, AtPath).mutates().spends(Immediate).takes(Json).body(&[CREATE_SESSION]).query(&[PARENT_SESSION]).guards(&[guard_body("create_as_user_id"), guard_body("bypass_approval"), guard_body("session_links"), guard_body("devin_mode"), guard_body("advanced_mode"), guard_body("is_advanced"), guard_body_or("secret_ids", EmptyList), guard_query("devin_id")]),
    row("sessions.get", Get, "/organizations/{org_id}/sessions/{devin_id}", BOTH, Organization, AtPath),
    row("sessions.terminate", Delete, "/organizations/{org_id}/sessions/{devin_id}", BOTH, Organization, AtPath).mutates().query(&[ARCHIVE]),
    row("sessions.archive", Post, "/organizations/{org_id}/sessions/{devin_id}/archive", BOTH, Organization, AtPath).mutates(),
    row("sessions.unarchive", Post, "/organizations/{org_id}/sessions/{devin_id}/unarchive", V3, Organization, AtPath).mutates(),
    row("sessions.attachments.list", Get, "/organizations/{org_id}/sessions/{devin_id}/attachments", BOTH, Organization, AtPath),
    row("sessions.messages.list", Get, "/organizations/{org_id}/sessions/{devin_id}/messages", BOTH, Organization, AtPath).pages(Cursor),
    row("sessions.messages.send", Post, "/organizations/{org_id}/sessions/{devin_id}/messages", BOTH, Organization, AtPath).mutates().spends(Immediate).takes(Json).body(&[MESSAGE]).guards(&[guard_body("message_as_user_id")]),
    row("sessions.tags.get", Get, "/organizations/{org_id}/sessions/{devin_id}/tags", BOTH, Organization, AtPath),
    row("sessions.tags.append", Post, "/organizations/{org_id}/sessions/{devin_id}/tags", BOTH, Organization, AtPath).mutates().takes(Json).body(&[TAGS]),
    row("sessions.tags.replace", Put, "/organizations/{org_id}/sessions/{devin_id}/tags", BOTH, Organization, AtPath).mutates().takes(Json).body(&[TAGS]),
    row("sessions.insights.list", Get, "/organizations/{org_id}/sessions/insights", BOTH, Organization, AtPath).pages(Cursor).query(&[SESSION_FILTERS]).lists_sessions(),
    row("sessions.insights.get", Get, "/organizations/{org_id}/sessions/{devin_id}/insights", BOTH, Organization, AtPath),
    row("sessions.insights.generate", Post, "/organizations/{org_id}/sessions/{devin_id}/insights/generate", V3, Organization, AtPath).mutates(),
    row("sessions.events.list", Get, "/organizations/{org_id}/sessions/{devin_id}/events", V3, Organization, AtPath).pages(Cursor).query(&[EVENT_FILTERS]),
    row("sessions.events.details", Get, "/organizations/{org_id}/sessions/{devin_id}/events/details", V3, Organization, AtPath).query(&[EVENT_DETAILS]),
    row("sessions.events.search", Get, "/organizations/{org_id}/sessions/{devin_id}/events/search", V3, Organization, AtPath).pages(Cursor).query(&[EVENT_FILTERS, EVENT_SEARCH]),
    // enterprise.sessions
    row("enterprise.sessions.list", Get, "/enterprise/sessions", BOTH, Enterprise, AtQuery).pages(Cursor).query(&[SESSION_FILTERS, ORG_IDS]).guards(&[guard_query("org_ids")]).lists_sessions(),
    row("enterprise.sessions.get", Get, "/enterprise/sessions/{devin_id}", BOTH, Enterprise, AtQuery).query(&[ORG_ID]).guards(&[guard_query("org_id")]),
    row("enterprise.sessions.attachments.list", Get, "/enterprise/sessions/{devin_id}/attachments", BOTH, Enterprise, AtQuery).query(&[ORG_ID]).guards(&[guard_query("org_id")]),
    row("enterprise.sessions.messages.list", Get, "/enterprise/sessions/{devin_id}/messages", BOTH, Enterprise, AtQuery).pages(Cursor).query(&[ORG_ID]).guards(&[guard_query("org_id")]),
    row("enterprise.sessions.messages.send", Post, "/enterprise/sessions/{devin_id}/messages", BOTH, Enterprise, AtQuery).mutates().spends(Immediate).takes(Json).body(&[MESSAGE]).query(&[ORG_ID]).guards(&[guard_body("message_as_user_id"), guard_query("org_id")]),
    row("enterprise.sessions.tags.get", Get, "/enterprise/sessions/{devin_id}/tags", BOTH, Enterprise, AtQuery).query(&[ORG_ID]).guards(&[guard_query("org_id")]),
    row("enterprise.sessions.tags.append", Post, "/enterprise/sessions/{devin_id}/tags", BOTH, Enterprise, AtQuery).mutates().takes(Json).body(&[TAGS]).query(&[ORG_ID]).guards(&[guard_query("org_id")]),
    row("enterprise.sessions.tags.replace", Put, "/enterprise/sessions/{devin_id}/tags", BOTH, Enterprise, AtQuery).mutates().takes(Json).body(&[TAGS]).query(&[ORG_ID]).guards(&[guard_query("org_id")]),
    row("enterprise.sessions.insights.list", Get, "/enterprise/sessions/insights", BOTH, Enterprise, AtQuery).pages(Cursor).query(&[SESSION_FILTERS, ORG_IDS]).guards(&[guard_query("org_ids")]).lists_sessions(),
    row("enterprise.sessions.insights.get", Get, "/enterprise/sessions/{devin_id}/insights", BOTH, Enterprise, AtQuery).query(&[ORG_ID]).guards(&[guard_query("org_id")]),
    row("enterprise.sessions.insights.generate", Post, "/enterprise/sessions/{devin_id}/insights/generate", V3, Enterprise, AtQuery).mutates().query(&[ORG_ID]).guards(&[guard_query("org_id")]),
    // attachments
    row("attachments.upload", Post, "/organizations/{org_id}/attachments", BOTH, Organization, AtPath).mutates().takes(Multipart),
    row("attachments.download", Get, "/organizations/{org_id}/attachments/{uuid}/{name}", BOTH, Organization, AtPath),
    // knowledge
    row("knowledge.notes.list", Get, "/organizations/{org_id}/knowledge/notes", BOTH, Organization, AtPath).pages(Cursor).query(&[NOTE_FILTERS]),
    row("knowledge.notes.create", Post, "/organizations/{org_id}/knowledge/notes", BOTH, Organization, AtPath).mutates().takes(Json).body(&[NOTE]),
    row("knowledge.notes.get", Get, "/organizations/{org_id}/knowledge/notes/{note_id}", V3, Organization, AtPath),
    row("knowledge.notes.update", Put, "/organizations/{org_id}/knowledge/notes/{note_id}", BOTH, Organization, AtPath).mutates().takes(Json).body(&[NOTE]),
    row("knowledge.notes.delete", Delete, "/organizations/{org_id}/knowledge/notes/{note_id}", BOTH, Organization, AtPath).mutates(),
    row("knowledge.folders.list", Get, "/organizations/{org_id}/knowledge/folders", V3, Organization, AtPath),
    // enterprise.knowledge
    row("enterprise.knowledge.notes.list", Get, "/enterprise/knowledge/notes", BOTH, Enterprise, Nowhere).pages(Cursor).query(&[NOTE_FILTERS]),
    row("enterprise.knowledge.notes.create", Post, "/enterprise/knowledge/notes", BOTH, Enterprise, Nowhere).mutates().takes(Json).body(&[NOTE]),
    row("enterprise.knowledge.notes.get", Get, "/enterprise/knowledge/notes/{note_id}", V3, Enterprise, Nowhere),
    row("enterprise.knowledge.notes.update", Put, "/enterprise/knowledge/notes/{note_id}", BOTH, Enterprise, Nowhere).mutates().takes(Json).body(&[NOTE]),
    row("enterprise.knowledge.notes.delete", Delete, "/enterprise/knowledge/notes/{note_id}", BOTH, Enterprise, Nowhere).mutates(),
    row("enterprise.knowledge.folders.list", Get, "/enterprise/knowledge/folders", V3, Enterprise, Nowhere),
    // playbooks
    row("playbooks.list", Get, "/organizations/{org_id}/playbooks", BOTH, Organization, AtPath).pages(Cursor),
    row("playbooks.create", Post, "/organizations/{org_id}/playbooks", BOTH, Organization, AtPath).mutates().takes(Json).body(&[PLAYBOOK, CREATE_AS]).guards(&[guard_body("create_as_user_id")]),
    row("playbooks.get", Get, "/organizations/{org_id}/playbooks/{playbook_id}", BOTH, Organization, AtPath),
    row("playbooks.update", Put, "/organizations/{org_id}/playbooks/{playbook_id}", BOTH, Organization, AtPath).mutates().takes(Json).body(&[PLAYBOOK]),
    row("playbooks.delete", Delete, "/organizations/{org_id}/playbooks/{playbook_id}", BOTH, Organization, AtPath).mutates(),
    // enterprise.playbooks
    row("enterprise.playbooks.list", Get, "/enterprise/playbooks", BOTH, Enterprise, Nowhere).pages(Cursor),
    row("enterprise.playbooks.create", Post, "/enterprise/playbooks", BOTH, Enterprise, Nowhere).mutates().takes(Json).body(&[PLAYBOOK]),
    row("enterprise.playbooks.get", Get, "/enterprise/playbooks/{playbook_id}", BOTH, Enterprise, Nowhere),
    row("enterprise.playbooks.update", Put, "/enterprise/playbooks/{playbook_id}", BOTH, Enterprise, Nowhere).mutates().takes(Json).body(&[PLAYBOOK]),
    row("enterprise.playbooks.delete", Delete, "/enterprise/playbooks/{playbook_id}", BOTH, Enterprise, Nowhere).mutates(),
    // secrets
    row("secrets.list", Get, "/organizations/{org_id}/secrets", BOTH, Organization, AtPath).pages(Cursor),
    row("secrets.create", Post, "/organizations/{org_id}/secrets", BOTH, Organization, AtPath).mutates().takes(Json).body(&[SECRET]),
    row("secrets.delete", Delete, "/organizations/{org_id}/secrets/{secret_id}", BOTH, Organization, AtPath).mutates(),
    // schedules
    row("schedules.list", Get, "/organizations/{org_id}/schedules", BOTH, Organization, AtPath).pages(Offset),
    row("schedules.create", Post, "/organizations/{org_id}/schedules", BOTH, Organization, AtPath).mutates().spends(Deferred).takes(Json).body(&[SCHEDULE, CREATE_AS]).guards(&[guard_body("create_as_user_id"), guard_body("bypass_approval")]),
    row("schedules.get", Get, "/organizations/{org_id}/schedules/{schedule_id}", BOTH, Organization, AtPath),
    row("schedules.update", Patch, "/organizations/{org_id}/schedules/{schedule_id}", BOTH, Organization, AtPath).mutates().spends(Deferred).takes(Json).body(&[SCHEDULE, UPDATE_SCHEDULE]).guards(&[guard_body("run_as_user_id"), guard_body("bypass_approval")]),
    row("schedules.delete", Delete, "/organizations/{org_id}/schedules/{schedule_id}", BOTH, Organization, AtPath).mutates(),
    // automations
    row("automations.list", Get, "/organizations/{org_id}/automations", V3, Organization, AtPath).pages(Cursor),
    row("automations.create", Post, "/organizations/{org_id}/automations", V3, Organization, AtPath).mutates().spends(Deferred).takes(Json).body(&[AUTOMATION]).guards(&[guard_body("run_as"), guard_body("actions[].session.bypass_approval")]).reveals_once(),
    row("automations.get", Get, "/organizations/{org_id}/automations/{automation_id}", V3, Organization, AtPath),
    row("automations.update", Patch, "/organizations/{org_id}/automations/{automation_id}", V3, Organization, AtPath).mutates().spends(Deferred).takes(Json).body(&[AUTOMATION]).guards(&[guard_body("run_as"), guard_body("actions[].session.bypass_approval")]).reveals_once(),
    row("automations.delete", Delete, "/organizations/{org_id}/automations/{automation_id}", V3, Organization, AtPath).mutates(),
    row("automations.schemas.list", Get, "/organizations/{org_id}/automations/schemas", V3, Organization, AtPath),
    // code_scans
    row("code_scans.start", Post, "/organizations/{org_id}/code-scans", BOTH, Organization, AtPath).mutates().spends(Immediate).takes(Json).body(&[START_SCAN]),
    row("code_scans.list", Get, "/organizations/{org_id}/code-scans", BOTH, Organization, AtPath).pages(Cursor).query(&[TIME, SCAN_FILTERS]),
    row("code_scans.get", Get, "/organizations/{org_id}/code-scans/{scan_id}", BOTH, Organization, AtPath),
    row("code_scans.findings.list", Get, "/organizations/{org_id}/code-scans/findings", BOTH, Organization, AtPath).pages(Cursor).query(&[FINDING_FILTERS]),
    row("code_scans.metrics.get", Get, "/organizations/{org_id}/code-scans/metrics", BOTH, Organization, AtPath).query(&[TIME]),
    row("code_scans.profiles.list", Get, "/organizations/{org_id}/code-scans/profiles", BOTH, Organization, AtPath).pages(Cursor),
    row("code_scans.profiles.get", Get, "/organizations/{org_id}/code-scans/profiles/{profile_id}", BOTH, Organization, AtPath),
    row("code_scans.findings.remediate", Post, "/organizations/{org_id}/code-scans/{scan_id}/findings/{finding_id}/remediate", BOTH, Organization, AtPath).mutates().spends(Immediate).takes(Json),
    row("code_scans.auto_scan.set", Post, "/organizations/{org_id}/code-scans/{scan_id}/auto-scan", BOTH, Organization, AtPath).mutates().spends(Deferred).takes(Json),
    row("code_scans.profile.set", Put, "/organizations/{org_id}/code-scans/{scan_id}/profile", BOTH, Organization, AtPath).mutates().takes(Json),
    // enterprise.code_scans
    row("enterprise.code_scans.findings.list", Get, "/enterprise/code-scans/findings", BOTH, Enterprise, AtQuery).pages(Cursor).query(&[FINDING_FILTERS, ORG_IDS]).guards(&[guard_query("org_ids")]),
    row("enterprise.code_scans.metrics.get", Get, "/enterprise/code-scans/metrics", BOTH, Enterprise, AtQuery).query(&[TIME, ORG_IDS]).guards(&[guard_query("org_ids")]),
    row("enterprise.code_scans.findings.remediate", Post, "/enterprise/organizations/{org_id}/code-scans/{scan_id}/findings/{finding_id}/remediate", BOTH, Enterprise, AtPath).mutates().spends(Immediate).takes(Json),
    // pr_reviews
    row("pr_reviews.create", Post, "/organizations/{org_id}/pr-reviews", V3, Organization, AtPath).mutates().spends(Immediate).takes(Json).body(&[PR_REVIEW]),
    row("pr_reviews.get", Get, "/organizations/{org_id}/pr-reviews", V3, Organization, AtPath).query(&[PR_REVIEW, PR_REVIEW_COMMIT]),
    // enterprise.pr_reviews
    row("enterprise.pr_reviews.create", Post, "/enterprise/pr-reviews", V3, Enterprise, AtBody).mutates().spends(Immediate).takes(Json).body(&[PR_REVIEW, ORG_ID]).guards(&[guard_body("org_id")]),
    row("enterprise.pr_reviews.get", Get, "/enterprise/pr-reviews", V3, Enterprise, Nowhere).query(&[PR_REVIEW, PR_REVIEW_COMMIT]),
    // repositories
    row("repositories.list", Get, "/organizations/{org_id}/repositories", BETA, Organization, AtPath).pages(Cursor).query(&[FILTER_NAME, REPOSITORY_FILTERS]),
    row("repositories.indexing.list", Get, "/organizations/{org_id}/repositories/indexing", BETA, Organization, AtPath).pages(Cursor),
    row("repositories.indexing.bulk_set", Put, "/organizations/{org_id}/repositories/indexing", BETA, Organization, AtPath).mutates().takes(Json).body(&[INDEX_MANY]),
    row("repositories.indexing.bulk_delete", Delete, "/organizations/{org_id}/repositories/indexing", BETA, Organization, AtPath).mutates().takes(Json).body(&[UNINDEX_MANY]),
    row("repositories.indexing.get", Get, "/organizations/{org_id}/repositories/{repository_path}/indexing", BETA, Organization, AtPath),
    row("repositories.indexing.set", Put, "/organizations/{org_id}/repositories/{repository_path}/indexing", BETA, Organization, AtPath).mutates().takes(Json).body(&[INDEX]),
    row("repositories.indexing.delete", Delete, "/organizations/{org_id}/repositories/{repository_path}/indexing", BETA, Organization, AtPath).mutates(),
    row("repositories.indexing.branches.delete", Delete, "/organizations/{org_id}/repositories/{repository_path}/indexing/branches/{branch_name}", BETA, Organization, AtPath).mutates(),
    // snapshots
    row("snapshots.blueprints.list", Get, "/organizations/{org_id}/snapshot-setup/blueprints", BETA, Organization, AtPath).pages(Cursor).query(&[BLUEPRINT_FILTERS]),
    row("snapshots.blueprints.create", Post, "/organizations/{org_id}/snapshot-setup/blueprints", BETA, Organization, AtPath).mutates().takes(Json).body(&[BLUEPRINT]),
    row("snapshots.blueprints.get", Get, "/organizations/{org_id}/snapshot-setup/blueprints/{blueprint_id}", BETA, Organization, AtPath),
    row("snapshots.blueprints.update", Patch, "/organizations/{org_id}/snapshot-setup/blueprints/{blueprint_id}", BETA, Organization, AtPath).mutates().takes(Json),
    row("snapshots.blueprints.delete", Delete, "/organizations/{org_id}/snapshot-setup/blueprints/{blueprint_id}", BETA, Organization, AtPath).mutates(),
    row("snapshots.blueprints.contents.get", Get, "/organizations/{org_id}/snapshot-setup/blueprints/{blueprint_id}/contents", BETA, Organization, AtPath),
    row("snapshots.blueprints.files.list", Get, "/organizations/{org_id}/snapshot-setup/blueprints/{blueprint_id}/files", BETA, Organization, AtPath),
    row("snapshots.builds.list", Get, "/organizations/{org_id}/snapshot-setup/builds", BETA, Organization, AtPath).pages(Cursor).query(&[BUILD_FILTERS]),
    row("snapshots.builds.trigger", Post, "/organizations/{org_id}/snapshot-setup/builds", BETA, Organization, AtPath).mutates().takes(Json),
    row("snapshots.builds.get", Get, "/organizations/{org_id}/snapshot-setup/builds/{build_id}", BETA, Organization, AtPath),
    row("snapshots.builds.cancel", Post, "/organizations/{org_id}/snapshot-setup/builds/{build_id}/cancel", BETA, Organization, AtPath).mutates(),
    row("snapshots.builds.logs", Get, "/organizations/{org_id}/snapshot-setup/builds/{build_id}/logs", BETA, Organization, AtPath),
    row("snapshots.builds.pin", Post, "/organizations/{org_id}/snapshot-setup/builds/{build_id}/pin", BETA, Organization, AtPath).mutates(),
    row("snapshots.builds.unpin", Post, "/organizations/{org_id}/snapshot-setup/builds/{build_id}/unpin", BETA, Organization, AtPath).mutates(),
    // members
    row("members.users.list", Get, "/organizations/{org_id}/members/users", BETA, Organization, AtPath).pages(Cursor).query(&[EMAIL]),
    row("members.users.get", Get, "/organizations/{org_id}/members/users/{user_id}", BETA, Organization, AtPath),
    row("members.idp_users.list", Get, "/organizations/{org_id}/members/idp-users", BETA, Organization, AtPath).pages(Cursor).query(&[EMAIL]),
    // service_users
    row("service_users.provision", Post, "/organizations/{org_id}/service-users", BETA, Organization, AtPath).mutates().takes(Json).body(&[PROVISION]).reveals_once(),
    // enterprise.service_users
    row("enterprise.service_users.provision", Post, "/enterprise/service-users", BETA, Enterprise, Nowhere).mutates().takes(Json).body(&[PROVISION]).reveals_once(),
    row("enterprise.service_users.api_keys.list", Get, "/enterprise/service-users/{service_user_id}/api-keys", BETA, Enterprise, Nowhere).pages(Cursor),
    row("enterprise.service_users.api_keys.create", Post, "/enterprise/service-users/{service_user_id}/api-keys", BETA, Enterprise, Nowhere).mutates().takes(Json).body(&[API_KEY]).reveals_once(),
    row("enterprise.service_users.api_keys.rotate", Post, "/enterprise/service-users/{service_user_id}/api-keys/{api_key_id}/rotate", BETA, Enterprise, Nowhere).mutates().takes(Json).body(&[ROTATE]).guards(&[guard_body_or("revoke_current", False)]).reveals_once().locks_out(),
    row("enterprise.service_users.api_keys.revoke", Delete, "/enterprise/service-users/{service_user_id}/api-keys/{api_key_id}", BETA, Enterprise, Nowhere).mutates().locks_out(),
    // members
    row("members.service_users.create", Post, "/organizations/{org_id}/members/service-users", BETA, Organization, AtPath).mutates().takes(Json).body(&[EARLY_SERVICE_USER]).reveals_once(),
    // consumption
    row("consumption.daily", Get, "/organizations/{org_id}/consumption/daily", V3, Organization, AtPath).query(&[TIME]),
    row("consumption.daily.user", Get, "/organizations/{org_id}/consumption/daily/users/{user_id}", V3, Organization, AtPath).query(&[TIME]),
    row("consumption.daily.service_user", Get, "/organizations/{org_id}/consumption/daily/service-users/{service_user_id}", V3, Organization, AtPath).query(&[TIME]),
    row("consumption.daily.session", Get, "/organizations/{org_id}/consumption/daily/sessions/{session_id}", V3, Organization, AtPath).query(&[TIME]),
    // enterprise.consumption
    row("enterprise.consumption.cycles.list", Get, "/enterprise/consumption/cycles", BOTH, Enterprise, Nowhere).pages(Cursor),
    row("enterprise.consumption.daily", Get, "/enterprise/consumption/daily", BOTH, Enterprise, Nowhere).query(&[TIME]),
    row("enterprise.consumption.daily.organization", Get, "/enterprise/consumption/daily/organizations/{org_id}", BOTH, Enterprise, AtPath).query(&[TIME]),
    row("enterprise.consumption.daily.user", Get, "/enterprise/consumption/daily/users/{user_id}", BOTH, Enterprise, Nowhere).query(&[TIME]),
    row("enterprise.consumption.daily.service_user", Get, "/enterprise/consumption/daily/service-users/{service_user_id}", BOTH, Enterprise, Nowhere).query(&[TIME]),
    row("enterprise.consumption.daily.session", Get, "/enterprise/consumption/daily/sessions/{session_id}", BOTH, Enterprise, Nowhere).query(&[TIME]),
    row("enterprise.consumption.daily.organizations", Get, "/enterprise/consumption/daily/organizations", BETA, Enterprise, Nowhere).query(&[DATES]),
    // acu_limits
    row("acu_limits.devin.list", Get, "/enterprise/consumption/acu-limits/devin", BOTH, Enterprise, Nowhere).pages(Cursor),
    row("acu_limits.devin.organization.set", Put, "/enterprise/consumption/acu-limits/devin/organizations/{org_id}", BOTH, Enterprise, AtPath).mutates().takes(Json).body(&[CYCLE_LIMIT]),
    row("acu_limits.devin.organization.delete", Delete, "/enterprise/consumption/acu-limits/devin/organizations/{org_id}", BOTH, Enterprise, AtPath).mutates(),
    row("acu_limits.local_agent.list", Get, "/enterprise/consumption/acu-limits/local-agent", BOTH, Enterprise, Nowhere).pages(Cursor).query(&[ACU_LIMIT_SCOPE]),
    row("acu_limits.local_agent.set", Put, "/enterprise/consumption/acu-limits/local-agent", BOTH, Enterprise, Nowhere).mutates().takes(Json).body(&[CYCLE_LIMIT]),
    row("acu_limits.local_agent.delete", Delete, "/enterprise/consumption/acu-limits/local-agent", BOTH, Enterprise, Nowhere).mutates(),
    row("acu_limits.local_agent.user.set", Put, "/enterprise/consumption/acu-limits/local-agent/users/{user_id}", BOTH, Enterprise, Nowhere).mutates().takes(Json).body(&[CYCLE_LIMIT]),
    row("acu_limits.local_agent.user.delete", Delete, "/enterprise/consumption/acu-limits/local-agent/users/{user_id}", BOTH, Enterprise, Nowhere).mutates(),
    // org_group_limits
    row("org_group_limits.get", Get, "/enterprise/org-group-limits", BOTH, Enterprise, Nowhere),
    row("org_group_limits.replace", Put, "/enterprise/org-group-limits", BOTH, Enterprise, Nowhere).mutates().takes(Json).body(&[GROUPS]),
    // organizations
    row("organizations.list", Get, "/enterprise/organizations", BOTH, Enterprise, Nowhere).pages(Cursor).filtered(),
    row("organizations.create", Post, "/enterprise/organizations", BOTH, Enterprise, Nowhere).mutates().takes(Json).body(&[ORGANIZATION]),
    row("organizations.get", Get, "/enterprise/organizations/{org_id}", BOTH, Enterprise, AtPath),
    row("organizations.update", Patch, "/enterprise/organizations/{org_id}", BOTH, Enterprise, AtPath).mutates().takes(Json).body(&[ORGANIZATION]),
    row("organizations.delete", Delete, "/enterprise/organizations/{org_id}", BOTH, Enterprise, AtPath).mutates(),
    // enterprise.members
    row("enterprise.members.users.list", Get, "/enterprise/members/users", BOTH, Enterprise, Nowhere).pages(Cursor).query(&[EMAIL]),
    row("enterprise.members.users.invite", Post, "/enterprise/members/users", BOTH, Enterprise, Nowhere).mutates().takes(Json).body(&[INVITE]),
    row("enterprise.members.users.get", Get, "/enterprise/members/users/{user_id}", BOTH, Enterprise, Nowhere),
    row("enterprise.members.users.update", Patch, "/enterprise/members/users/{user_id}", BOTH, Enterprise, Nowhere).mutates().takes(Json).body(&[ROLE]),
    row("enterprise.members.users.delete", Delete, "/enterprise/members/users/{user_id}", BOTH, Enterprise, Nowhere).mutates(),
    row("enterprise.members.service_users.list", Get, "/enterprise/members/service-users", BOTH, Enterprise, Nowhere).pages(Cursor).query(&[INCLUDE_INACTIVE]),
    row("enterprise.members.service_users.get", Get, "/enterprise/members/service-users/{service_user_id}", BOTH, Enterprise, Nowhere),
    row("enterprise.members.service_users.assign", Post, "/enterprise/members/service-users/{service_user_id}", BOTH, Enterprise, Nowhere).mutates().takes(Json).body(&[ROLE]),
    row("enterprise.members.service_users.update", Patch, "/enterprise/members/service-users/{service_user_id}", BOTH, Enterprise, Nowhere).mutates().takes(Json).body(&[ROLE]).locks_out(),
    row("enterprise.members.service_users.delete", Delete, "/enterprise/members/service-users/{service_user_id}", BOTH, Enterprise, Nowhere).mutates().locks_out(),
    row("enterprise.members.idp_groups.list", Get, "/enterprise/members/idp-groups", BOTH, Enterprise, Nowhere).pages(Cursor),
    row("enterprise.members.idp_groups.get", Get, "/enterprise/members/idp-groups/{idp_group_name}", BOTH, Enterprise, Nowhere),
    row("enterprise.members.idp_groups.assign", Post, "/enterprise/members/idp-groups/{idp_group_name}", BOTH, Enterprise, Nowhere).mutates().takes(Json).body(&[ROLE]),
    row("enterprise.members.idp_groups.update", Patch, "/enterprise/members/idp-groups/{idp_group_name}", BOTH, Enterprise, Nowhere).mutates().takes(Json).body(&[ROLE]),
    row("enterprise.members.idp_groups.delete", Delete, "/enterprise/members/idp-groups/{idp_group_name}", BOTH, Enterprise, Nowhere).mutates(),
    row("enterprise.members.idp_users.list", Get, "/enterprise/members/idp-users", V3, Enterprise, Nowhere).pages(Cursor),
    // enterprise.idp_groups
    row("enterprise.idp_groups.list", Get, "/enterprise/idp-groups", BOTH, Enterprise, Nowhere).pages(Cursor),
    row("enterprise.idp_groups.register", Post, "/enterprise/idp-groups", BOTH, Enterprise, Nowhere).mutates().takes(Json).body(&[IDP_GROUPS]),
    row("enterprise.idp_groups.delete", Delete, "/enterprise/idp-groups/{idp_group_name}", BOTH, Enterprise, Nowhere).mutates(),
    // org_members
    row("org_members.users.list", Get, "/enterprise/organizations/{org_id}/members/users", BOTH, Enterprise, AtPath).pages(Cursor).query(&[EMAIL]),
    row("org_members.users.assign", Post, "/enterprise/organizations/{org_id}/members/users/{user_id}", BOTH, Enterprise, AtPath).mutates().takes(Json).body(&[ROLE]),
    row("org_members.users.update", Patch, "/enterprise/organizations/{org_id}/members/users/{user_id}", BOTH, Enterprise, AtPath).mutates().takes(Json).body(&[ROLE]),
    row("org_members.users.delete", Delete, "/enterprise/organizations/{org_id}/members/users/{user_id}", BOTH, Enterprise, AtPath).mutates(),
    row("org_members.service_users.list", Get, "/enterprise/organizations/{org_id}/members/service-users", BOTH, Enterprise, AtPath).pages(Cursor).query(&[INCLUDE_INACTIVE]),
    row("org_members.service_users.assign", Post, "/enterprise/organizations/{org_id}/members/service-users/{service_user_id}", BOTH, Enterprise, AtPath).mutates().takes(Json).body(&[ROLE]),
    row("org_members.service_users.update", Patch, "/enterprise/organizations/{org_id}/members/service-users/{service_user_id}", BOTH, Enterprise, AtPath).mutates().takes(Json).body(&[ROLE]).locks_out(),
    row("org_members.service_users.delete", Delete, "/enterprise/organizations/{org_id}/members/service-users/{service_user_id}", BOTH, Enterprise, AtPath).mutates().locks_out(),
    row("org_members.idp_groups.list", Get, "/enterprise/organizations/{org_id}/members/idp-groups", BOTH, Enterprise, AtPath).pages(Cursor),
    row("org_members.idp_groups.get", Get, "/enterprise/organizations/{org_id}/members/idp-groups/{idp_group_name}", BOTH, Enterprise, AtPath),
    row("org_members.idp_groups.assign", Post, "/enterprise/organizations/{org_id}/members/idp-groups/{idp_group_name}", BOTH, Enterprise, AtPath).mutates().takes(Json).body(&[ROLE]),
    row("org_members.idp_groups.update", Patch, "/enterprise/organizations/{org_id}/members/idp-groups/{idp_group_name}", BOTH, Enterprise, AtPath).mutates().takes(Json).body(&[ROLE]),
    row("org_members.idp_groups.delete", Delete, "/enterprise/organizations/{org_id}/members/idp-groups/{idp_group_name}", BOTH, Enterprise, AtPath).mutates(),
    row("org_members.idp_users.list", Get, "/enterprise/organizations/{org_id}/members/idp-users", V3, Enterprise, AtPath).pages(Cursor),
    // roles
    row("roles.list", Get, "/enterprise/roles", BOTH, Enterprise, Nowhere).pages(Cursor),
    // git
    row("git.connections.list", Get, "/enterprise/git-providers/connections", BOTH, Enterprise, Nowhere).pages(Cursor),
    row("git.connections.repositories.list", Get, "/enterprise/git-providers/connections/{connection_id}/repositories", V3, Enterprise, Nowhere).pages(Cursor).query(&[FILTER_NAME]),
    row("git.permissions.list", Get, "/enterprise/organizations/{org_id}/git-providers/permissions", BOTH, Enterprise, AtPath).pages(Cursor),
    row("git.permissions.create", Post, "/enterprise/organizations/{org_id}/git-providers/permissions", BOTH, Enterprise, AtPath).mutates().takes(Json).body(&[GIT_PERMISSIONS]),
    row("git.permissions.replace", Put, "/enterprise/organizations/{org_id}/git-providers/permissions", BOTH, Enterprise, AtPath).mutates().takes(Json).body(&[GIT_PERMISSIONS]),
    row("git.permissions.clear", Delete, "/enterprise/organizations/{org_id}/git-providers/permissions", BOTH, Enterprise, AtPath).mutates(),
    row("git.permissions.update", Patch, "/enterprise/organizations/{org_id}/git-providers/permissions/{git_permission_id}", V3, Enterprise, AtPath).mutates().takes(Json).body(&[GIT_PERMISSION]),
    row("git.permissions.delete", Delete, "/enterprise/organizations/{org_id}/git-providers/permissions/{git_permission_id}", BOTH, Enterprise, AtPath).mutates(),
    // org_tags
    row("org_tags.get", Get, "/enterprise/organizations/{org_id}/tags", BOTH, Enterprise, AtPath),
    row("org_tags.append", Post, "/enterprise/organizations/{org_id}/tags", BOTH, Enterprise, AtPath).mutates().takes(Json).body(&[ORG_TAGS]),
    row("org_tags.replace", Put, "/enterprise/organizations/{org_id}/tags", BOTH, Enterprise, AtPath).mutates().takes(Json).body(&[ORG_TAGS]),
    row("org_tags.clear", Delete, "/enterprise/organizations/{org_id}/tags", BOTH, Enterprise, AtPath).mutates(),
    row("org_tags.remove", Delete, "/enterprise/organizations/{org_id}/tags/{tag}", BOTH, Enterprise, AtPath).mutates(),
    row("org_tags.default.get", Get, "/enterprise/organizations/{org_id}/tags/default", BOTH, Enterprise, AtPath),
    row("org_tags.default.set", Put, "/enterprise/organizations/{org_id}/tags/default", BOTH, Enterprise, AtPath).mutates().takes(Json).body(&[DEFAULT_TAG]),
    row("org_tags.default.clear", Delete, "/enterprise/organizations/{org_id}/tags/default", BOTH, Enterprise, AtPath).mutates(),
    // ip_access_list
    row("ip_access_list.get", Get, "/enterprise/ip-access-list", BOTH, Enterprise, Nowhere),
    row("ip_access_list.append", Post, "/enterprise/ip-access-list", V3, Enterprise, Nowhere).mutates().takes(Json).body(&[IP_RANGES]).guards(&[guard_body("ip_ranges")]).locks_out(),
    row("ip_access_list.replace", Put, "/enterprise/ip-access-list", BOTH, Enterprise, Nowhere).mutates().takes(Json).body(&[IP_RANGES]).guards(&[guard_body("ip_ranges")]).locks_out(),
    row("ip_access_list.clear", Delete, "/enterprise/ip-access-list", BOTH, Enterprise, Nowhere).mutates(),
    // audit_logs
    row("audit_logs.list", Get, "/enterprise/audit-logs", BOTH, Enterprise, Nowhere).pages(Cursor).query(&[AUDIT_FILTERS, TIME]),
    row("audit_logs.organization.list", Get, "/enterprise/organizations/{org_id}/audit-logs", BOTH, Enterprise, AtPath).pages(Cursor).query(&[AUDIT_FILTERS, TIME]),
    // guardrails
    row("guardrails.violations.list", Get, "/enterprise/guardrail-violations", BETA, Enterprise, Nowhere).pages(Cursor).query(&[VIOLATION_FILTERS, TIME]),
    row("guardrails.violations.organization.list", Get, "/enterprise/organizations/{org_id}/guardrail-violations", BETA, Enterprise, AtPath).pages(Cursor).query(&[VIOLATION_FILTERS, TIME]),
    // hypervisors
    row("hypervisors.list", Get, "/enterprise/hypervisors", BOTH, Enterprise, Nowhere).pages(Cursor).query(&[STATUS]),
    // queue
    row("queue.get", Get, "/enterprise/queue", BOTH, Enterprise, Nowhere),
    // searches
    row("searches.enterprise.list", Get, "/enterprise/searches", BETA, Enterprise, Nowhere).pages(Cursor),
    row("searches.organization.list", Get, "/organizations/{org_id}/searches", BETA, Organization, AtPath).pages(Cursor),
    // enterprise.metrics
    row("enterprise.metrics.dau", Get, "/enterprise/metrics/dau", BOTH, Enterprise, AtQuery).query(&[TIME, ACTIVE_USERS, ORG_IDS]).guards(&[guard_query("org_ids")]),
    row("enterprise.metrics.wau", Get, "/enterprise/metrics/wau", BOTH, Enterprise, AtQuery).query(&[TIME, ACTIVE_USERS, ORG_IDS]).guards(&[guard_query("org_ids")]),
    row("enterprise.metrics.mau", Get, "/enterprise/metrics/mau", BOTH, Enterprise, AtQuery).query(&[TIME, ACTIVE_USERS, ORG_IDS]).guards(&[guard_query("org_ids")]),
    row("enterprise.metrics.active_users", Get, "/enterprise/metrics/active-users", BOTH, Enterprise, AtQuery).query(&[TIME, ACTIVE_USERS, ORG_IDS]).guards(&[guard_query("org_ids")]),
    row("enterprise.metrics.prs", Get, "/enterprise/metrics/prs", BOTH, Enterprise, AtQuery).query(&[TIME, BY_WHOM, ORG_IDS]).guards(&[guard_query("org_ids")]),
    row("enterprise.metrics.searches", Get, "/enterprise/metrics/searches", BOTH, Enterprise, AtQuery).query(&[TIME, ORG_IDS]).guards(&[guard_query("org_ids")]),
    row("enterprise.metrics.sessions", Get, "/enterprise/metrics/sessions", BOTH, Enterprise, AtQuery).query(&[TIME, BY_WHOM, ORG_IDS]).guards(&[guard_query("org_ids")]),
    row("enterprise.metrics.sessions_by_category", Get, "/enterprise/metrics/sessions-by-category", V3, Enterprise, AtQuery).query(&[TIME, ORG_IDS]).guards(&[guard_query("org_ids")]),
    row("enterprise.metrics.usage", Get, "/enterprise/metrics/usage", BOTH, Enterprise, Nowhere).query(&[TIME]),
    row("enterprise.metrics.organization.usage", Get, "/enterprise/organizations/{org_id}/metrics/usage", BOTH, Enterprise, AtPath).query(&[TIME]),
    // metrics
    row("metrics.dau", Get, "/organizations/{org_id}/metrics/dau", V3, Organization, AtPath).query(&[TIME, ACTIVE_USERS]),
    row("metrics.wau", Get, "/organizations/{org_id}/metrics/wau", V3, Organization, AtPath).query(&[TIME, ACTIVE_USERS]),
    row("metrics.mau", Get, "/organizations/{org_id}/metrics/mau", V3, Organization, AtPath).query(&[TIME, ACTIVE_USERS]),
    row("metrics.active_users", Get, "/organizations/{org_id}/metrics/active-users", V3, Organization, AtPath).query(&[TIME, ACTIVE_USERS]),
    row("metrics.prs", Get, "/organizations/{org_id}/metrics/prs", V3, Organization, AtPath).query(&[TIME, BY_WHOM]),
    row("metrics.searches", Get, "/organizations/{org_id}/metrics/searches", V3, Organization, AtPath).query(&[TIME]),
    row("metrics.sessions", Get, "/organizations/{org_id}/metrics/sessions", V3, Organization, AtPath).query(&[TIME, BY_WHOM]),
    row("metrics.usage", Get, "/organizations/{org_id}/metrics/usage", V3, Organization, AtPath).query(&[TIME]),
    // outposts
    row("outposts.list", Get, "/outposts", OPBETA, Account, Nowhere).pages(Cursor),
    row("outposts.create", Post, "/outposts", OPBETA, Account, Nowhere).mutates().takes(Json),
    row("outposts.delete", Delete, "/outposts/{outpost_id}", OPBETA, Account, Nowhere).mutates(),
    row("outposts.devins.list", Get, "/outposts/devins", OPBETA, Account, Nowhere).pages(Cursor),
    row("outposts.devins.get", Get, "/outposts/devins/{session_id}", OPBETA, Account, Nowhere),
    row("outposts.devins.claim", Post, "/outposts/devins/{session_id}/claim", OPBETA, Account, Nowhere).mutates().reveals_once(),
    row("outposts.devins.release", Post, "/outposts/devins/{session_id}/release", OPBETA, Account, Nowhere).mutates(),
];

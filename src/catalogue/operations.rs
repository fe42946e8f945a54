//! ONE ROW PER OPERATION: the file to edit for a new endpoint of Devin's.
//!
//! A row holds the path without its version prefix; `row` and its methods are
//! in the parent module. Source of every row: Devin's API reference, its
//! published SDKs and Terraform provider, as collected on 2026-11-24. Two rows
//! (`members.service_users.create`, `enterprise.consumption.daily.organizations`)
//! come from Devin's early v3beta1 usage page alone. The `/opbeta` rows are
//! known so that they can be refused by name.

use super::OrgAt::{AtBody, AtPath, AtQuery, Nowhere};
use super::Paging::{Cursor, Offset};
use super::Scope::{Account, Enterprise, Oneself, Organization};
use super::Spend::{Deferred, Immediate};
use super::Takes::{Json, Multipart};
use super::Verb::{Delete, Get, Patch, Post, Put};
use super::{BETA, BOTH, OPBETA, Operation, V3, body, query, row};

/// Every operation that Tollgate knows.
#[rustfmt::skip]
pub(super) const OPERATIONS: &[Operation] = &[
    // self
    row("self.get", Get, "/self", V3, Oneself, Nowhere),
    // enterprise.self
    row("enterprise.self.get", Get, "/enterprise/self", BOTH, Enterprise, Nowhere),
    // sessions
    row("sessions.list", Get, "/organizations/{org_id}/sessions", BOTH, Organization, AtPath).pages(Cursor),
    row("sessions.create", Post, "/organizations/{org_id}/sessions", BOTH, Organization, AtPath).mutates().spends(Immediate).takes(Json).guards(&[body("create_as_user_id"), body("bypass_approval"), body("session_links"), body("devin_mode"), body("secret_ids")]),
    row("sessions.get", Get, "/organizations/{org_id}/sessions/{devin_id}", BOTH, Organization, AtPath),
    row("sessions.terminate", Delete, "/organizations/{org_id}/sessions/{devin_id}", BOTH, Organization, AtPath).mutates(),
    row("sessions.archive", Post, "/organizations/{org_id}/sessions/{devin_id}/archive", BOTH, Organization, AtPath).mutates(),
    row("sessions.unarchive", Post, "/organizations/{org_id}/sessions/{devin_id}/unarchive", V3, Organization, AtPath).mutates(),
    row("sessions.attachments.list", Get, "/organizations/{org_id}/sessions/{devin_id}/attachments", BOTH, Organization, AtPath),
    row("sessions.messages.list", Get, "/organizations/{org_id}/sessions/{devin_id}/messages", BOTH, Organization, AtPath).pages(Cursor),
    row("sessions.messages.send", Post, "/organizations/{org_id}/sessions/{devin_id}/messages", BOTH, Organization, AtPath).mutates().spends(Immediate).takes(Json).guards(&[body("message_as_user_id")]),
    row("sessions.tags.get", Get, "/organizations/{org_id}/sessions/{devin_id}/tags", BOTH, Organization, AtPath),
    row("sessions.tags.append", Post, "/organizations/{org_id}/sessions/{devin_id}/tags", BOTH, Organization, AtPath).mutates().takes(Json),
    row("sessions.tags.replace", Put, "/organizations/{org_id}/sessions/{devin_id}/tags", BOTH, Organization, AtPath).mutates().takes(Json),
    row("sessions.insights.list", Get, "/organizations/{org_id}/sessions/insights", BOTH, Organization, AtPath).pages(Cursor),
    row("sessions.insights.get", Get, "/organizations/{org_id}/sessions/{devin_id}/insights", BOTH, Organization, AtPath),
    row("sessions.insights.generate", Post, "/organizations/{org_id}/sessions/{devin_id}/insights/generate", V3, Organization, AtPath).mutates(),
    row("sessions.events.list", Get, "/organizations/{org_id}/sessions/{devin_id}/events", V3, Organization, AtPath).pages(Cursor),
    row("sessions.events.details", Get, "/organizations/{org_id}/sessions/{devin_id}/events/details", V3, Organization, AtPath),
    row("sessions.events.search", Get, "/organizations/{org_id}/sessions/{devin_id}/events/search", V3, Organization, AtPath).pages(Cursor),
    // enterprise.sessions
    row("enterprise.sessions.list", Get, "/enterprise/sessions", BOTH, Enterprise, AtQuery).pages(Cursor).guards(&[query("org_ids")]),
    row("enterprise.sessions.get", Get, "/enterprise/sessions/{devin_id}", BOTH, Enterprise, AtQuery).guards(&[query("org_id")]),
    row("enterprise.sessions.attachments.list", Get, "/enterprise/sessions/{devin_id}/attachments", BOTH, Enterprise, AtQuery).guards(&[query("org_id")]),
    row("enterprise.sessions.messages.list", Get, "/enterprise/sessions/{devin_id}/messages", BOTH, Enterprise, AtQuery).pages(Cursor).guards(&[query("org_id")]),
    row("enterprise.sessions.messages.send", Post, "/enterprise/sessions/{devin_id}/messages", BOTH, Enterprise, AtQuery).mutates().spends(Immediate).takes(Json).guards(&[body("message_as_user_id"), query("org_id")]),
    row("enterprise.sessions.tags.get", Get, "/enterprise/sessions/{devin_id}/tags", BOTH, Enterprise, AtQuery).guards(&[query("org_id")]),
    row("enterprise.sessions.tags.append", Post, "/enterprise/sessions/{devin_id}/tags", BOTH, Enterprise, AtQuery).mutates().takes(Json).guards(&[query("org_id")]),
    row("enterprise.sessions.tags.replace", Put, "/enterprise/sessions/{devin_id}/tags", BOTH, Enterprise, AtQuery).mutates().takes(Json).guards(&[query("org_id")]),
    row("enterprise.sessions.insights.list", Get, "/enterprise/sessions/insights", BOTH, Enterprise, AtQuery).pages(Cursor).guards(&[query("org_ids")]),
    row("enterprise.sessions.insights.get", Get, "/enterprise/sessions/{devin_id}/insights", BOTH, Enterprise, AtQuery).guards(&[query("org_id")]),
    row("enterprise.sessions.insights.generate", Post, "/enterprise/sessions/{devin_id}/insights/generate", V3, Enterprise, AtQuery).mutates().guards(&[query("org_id")]),
    // attachments
    row("attachments.upload", Post, "/organizations/{org_id}/attachments", BOTH, Organization, AtPath).mutates().takes(Multipart),
    row("attachments.download", Get, "/organizations/{org_id}/attachments/{uuid}/{name}", BOTH, Organization, AtPath),
    // knowledge
    row("knowledge.notes.list", Get, "/organizations/{org_id}/knowledge/notes", BOTH, Organization, AtPath).pages(Cursor),
    row("knowledge.notes.create", Post, "/organizations/{org_id}/knowledge/notes", BOTH, Organization, AtPath).mutates().takes(Json),
    row("knowledge.notes.get", Get, "/organizations/{org_id}/knowledge/notes/{note_id}", V3, Organization, AtPath),
    row("knowledge.notes.update", Put, "/organizations/{org_id}/knowledge/notes/{note_id}", BOTH, Organization, AtPath).mutates().takes(Json),
    row("knowledge.notes.delete", Delete, "/organizations/{org_id}/knowledge/notes/{note_id}", BOTH, Organization, AtPath).mutates(),
    row("knowledge.folders.list", Get, "/organizations/{org_id}/knowledge/folders", V3, Organization, AtPath),
    // enterprise.knowledge
    row("enterprise.knowledge.notes.list", Get, "/enterprise/knowledge/notes", BOTH, Enterprise, Nowhere).pages(Cursor),
    row("enterprise.knowledge.notes.create", Post, "/enterprise/knowledge/notes", BOTH, Enterprise, Nowhere).mutates().takes(Json),
    row("enterprise.knowledge.notes.get", Get, "/enterprise/knowledge/notes/{note_id}", V3, Enterprise, Nowhere),
    row("enterprise.knowledge.notes.update", Put, "/enterprise/knowledge/notes/{note_id}", BOTH, Enterprise, Nowhere).mutates().takes(Json),
    row("enterprise.knowledge.notes.delete", Delete, "/enterprise/knowledge/notes/{note_id}", BOTH, Enterprise, Nowhere).mutates(),
    row("enterprise.knowledge.folders.list", Get, "/enterprise/knowledge/folders", V3, Enterprise, Nowhere),
    // playbooks
    row("playbooks.list", Get, "/organizations/{org_id}/playbooks", BOTH, Organization, AtPath).pages(Cursor),
    row("playbooks.create", Post, "/organizations/{org_id}/playbooks", BOTH, Organization, AtPath).mutates().takes(Json).guards(&[body("create_as_user_id")]),
    row("playbooks.get", Get, "/organizations/{org_id}/playbooks/{playbook_id}", BOTH, Organization, AtPath),
    row("playbooks.update", Put, "/organizations/{org_id}/playbooks/{playbook_id}", BOTH, Organization, AtPath).mutates().takes(Json),
    row("playbooks.delete", Delete, "/organizations/{org_id}/playbooks/{playbook_id}", BOTH, Organization, AtPath).mutates(),
    // enterprise.playbooks
    row("enterprise.playbooks.list", Get, "/enterprise/playbooks", BOTH, Enterprise, Nowhere).pages(Cursor),
    row("enterprise.playbooks.create", Post, "/enterprise/playbooks", BOTH, Enterprise, Nowhere).mutates().takes(Json),
    row("enterprise.playbooks.get", Get, "/enterprise/playbooks/{playbook_id}", BOTH, Enterprise, Nowhere),
    row("enterprise.playbooks.update", Put, "/enterprise/playbooks/{playbook_id}", BOTH, Enterprise, Nowhere).mutates().takes(Json),
    row("enterprise.playbooks.delete", Delete, "/enterprise/playbooks/{playbook_id}", BOTH, Enterprise, Nowhere).mutates(),
    // secrets
    row("secrets.list", Get, "/organizations/{org_id}/secrets", BOTH, Organization, AtPath).pages(Cursor),
    row("secrets.create", Post, "/organizations/{org_id}/secrets", BOTH, Organization, AtPath).mutates().takes(Json),
    row("secrets.delete", Delete, "/organizations/{org_id}/secrets/{secret_id}", BOTH, Organization, AtPath).mutates(),
    // schedules
    row("schedules.list", Get, "/organizations/{org_id}/schedules", BOTH, Organization, AtPath).pages(Offset),
    row("schedules.create", Post, "/organizations/{org_id}/schedules", BOTH, Organization, AtPath).mutates().spends(Deferred).takes(Json).guards(&[body("create_as_user_id"), body("bypass_approval")]),
    row("schedules.get", Get, "/organizations/{org_id}/schedules/{schedule_id}", BOTH, Organization, AtPath),
    row("schedules.update", Patch, "/organizations/{org_id}/schedules/{schedule_id}", BOTH, Organization, AtPath).mutates().spends(Deferred).takes(Json).guards(&[body("run_as_user_id"), body("bypass_approval")]),
    row("schedules.delete", Delete, "/organizations/{org_id}/schedules/{schedule_id}", BOTH, Organization, AtPath).mutates(),
    // automations
    row("automations.list", Get, "/organizations/{org_id}/automations", V3, Organization, AtPath).pages(Cursor),
    row("automations.create", Post, "/organizations/{org_id}/automations", V3, Organization, AtPath).mutates().spends(Deferred).takes(Json).guards(&[body("run_as")]).reveals_once(),
    row("automations.get", Get, "/organizations/{org_id}/automations/{automation_id}", V3, Organization, AtPath),
    row("automations.update", Patch, "/organizations/{org_id}/automations/{automation_id}", V3, Organization, AtPath).mutates().spends(Deferred).takes(Json).guards(&[body("run_as")]).reveals_once(),
    row("automations.delete", Delete, "/organizations/{org_id}/automations/{automation_id}", V3, Organization, AtPath).mutates(),
    row("automations.schemas.list", Get, "/organizations/{org_id}/automations/schemas", V3, Organization, AtPath),
    // code_scans
    row("code_scans.start", Post, "/organizations/{org_id}/code-scans", BOTH, Organization, AtPath).mutates().spends(Immediate).takes(Json),
    row("code_scans.list", Get, "/organizations/{org_id}/code-scans", BOTH, Organization, AtPath).pages(Cursor),
    row("code_scans.get", Get, "/organizations/{org_id}/code-scans/{scan_id}", BOTH, Organization, AtPath),
    row("code_scans.findings.list", Get, "/organizations/{org_id}/code-scans/findings", BOTH, Organization, AtPath).pages(Cursor),
    row("code_scans.metrics.get", Get, "/organizations/{org_id}/code-scans/metrics", BOTH, Organization, AtPath),
    row("code_scans.profiles.list", Get, "/organizations/{org_id}/code-scans/profiles", BOTH, Organization, AtPath).pages(Cursor),
    row("code_scans.profiles.get", Get, "/organizations/{org_id}/code-scans/profiles/{profile_id}", BOTH, Organization, AtPath),
    row("code_scans.findings.remediate", Post, "/organizations/{org_id}/code-scans/{scan_id}/findings/{finding_id}/remediate", BOTH, Organization, AtPath).mutates().spends(Immediate).takes(Json),
    row("code_scans.auto_scan.set", Post, "/organizations/{org_id}/code-scans/{scan_id}/auto-scan", BOTH, Organization, AtPath).mutates().spends(Deferred).takes(Json),
    row("code_scans.profile.set", Put, "/organizations/{org_id}/code-scans/{scan_id}/profile", BOTH, Organization, AtPath).mutates().takes(Json),
    // enterprise.code_scans
    row("enterprise.code_scans.findings.list", Get, "/enterprise/code-scans/findings", BOTH, Enterprise, Nowhere).pages(Cursor),
    row("enterprise.code_scans.metrics.get", Get, "/enterprise/code-scans/metrics", BOTH, Enterprise, Nowhere),
    row("enterprise.code_scans.findings.remediate", Post, "/enterprise/organizations/{org_id}/code-scans/{scan_id}/findings/{finding_id}/remediate", BOTH, Enterprise, AtPath).mutates().spends(Immediate).takes(Json),
    // pr_reviews
    row("pr_reviews.create", Post, "/organizations/{org_id}/pr-reviews", V3, Organization, AtPath).mutates().spends(Immediate).takes(Json),
    row("pr_reviews.get", Get, "/organizations/{org_id}/pr-reviews", V3, Organization, AtPath),
    // enterprise.pr_reviews
    row("enterprise.pr_reviews.create", Post, "/enterprise/pr-reviews", V3, Enterprise, AtBody).mutates().spends(Immediate).takes(Json).guards(&[body("org_id")]),
    row("enterprise.pr_reviews.get", Get, "/enterprise/pr-reviews", V3, Enterprise, Nowhere),
    // repositories
    row("repositories.list", Get, "/organizations/{org_id}/repositories", BETA, Organization, AtPath).pages(Cursor),
    row("repositories.indexing.list", Get, "/organizations/{org_id}/repositories/indexing", BETA, Organization, AtPath).pages(Cursor),
    row("repositories.indexing.bulk_set", Put, "/organizations/{org_id}/repositories/indexing", BETA, Organization, AtPath).mutates().takes(Json),
    row("repositories.indexing.bulk_delete", Delete, "/organizations/{org_id}/repositories/indexing", BETA, Organization, AtPath).mutates().takes(Json),
    row("repositories.indexing.get", Get, "/organizations/{org_id}/repositories/{repository_path}/indexing", BETA, Organization, AtPath),
    row("repositories.indexing.set", Put, "/organizations/{org_id}/repositories/{repository_path}/indexing", BETA, Organization, AtPath).mutates().takes(Json),
    row("repositories.indexing.delete", Delete, "/organizations/{org_id}/repositories/{repository_path}/indexing", BETA, Organization, AtPath).mutates(),
    row("repositories.indexing.branches.delete", Delete, "/organizations/{org_id}/repositories/{repository_path}/indexing/branches/{branch_name}", BETA, Organization, AtPath).mutates(),
    // snapshots
    row("snapshots.blueprints.list", Get, "/organizations/{org_id}/snapshot-setup/blueprints", BETA, Organization, AtPath).pages(Cursor),
    row("snapshots.blueprints.create", Post, "/organizations/{org_id}/snapshot-setup/blueprints", BETA, Organization, AtPath).mutates().takes(Json),
    row("snapshots.blueprints.get", Get, "/organizations/{org_id}/snapshot-setup/blueprints/{blueprint_id}", BETA, Organization, AtPath),
    row("snapshots.blueprints.update", Patch, "/organizations/{org_id}/snapshot-setup/blueprints/{blueprint_id}", BETA, Organization, AtPath).mutates().takes(Json),
    row("snapshots.blueprints.delete", Delete, "/organizations/{org_id}/snapshot-setup/blueprints/{blueprint_id}", BETA, Organization, AtPath).mutates(),
    row("snapshots.blueprints.contents.get", Get, "/organizations/{org_id}/snapshot-setup/blueprints/{blueprint_id}/contents", BETA, Organization, AtPath),
    row("snapshots.blueprints.files.list", Get, "/organizations/{org_id}/snapshot-setup/blueprints/{blueprint_id}/files", BETA, Organization, AtPath),
    row("snapshots.builds.list", Get, "/organizations/{org_id}/snapshot-setup/builds", BETA, Organization, AtPath).pages(Cursor),
    row("snapshots.builds.trigger", Post, "/organizations/{org_id}/snapshot-setup/builds", BETA, Organization, AtPath).mutates().takes(Json),
    row("snapshots.builds.get", Get, "/organizations/{org_id}/snapshot-setup/builds/{build_id}", BETA, Organization, AtPath),
    row("snapshots.builds.cancel", Post, "/organizations/{org_id}/snapshot-setup/builds/{build_id}/cancel", BETA, Organization, AtPath).mutates(),
    row("snapshots.builds.logs", Get, "/organizations/{org_id}/snapshot-setup/builds/{build_id}/logs", BETA, Organization, AtPath),
    row("snapshots.builds.pin", Post, "/organizations/{org_id}/snapshot-setup/builds/{build_id}/pin", BETA, Organization, AtPath).mutates(),
    row("snapshots.builds.unpin", Post, "/organizations/{org_id}/snapshot-setup/builds/{build_id}/unpin", BETA, Organization, AtPath).mutates(),
    // members
    row("members.users.list", Get, "/organizations/{org_id}/members/users", BETA, Organization, AtPath).pages(Cursor),
    row("members.users.get", Get, "/organizations/{org_id}/members/users/{user_id}", BETA, Organization, AtPath),
    row("members.idp_users.list", Get, "/organizations/{org_id}/members/idp-users", BETA, Organization, AtPath).pages(Cursor),
    // service_users
    row("service_users.provision", Post, "/organizations/{org_id}/service-users", BETA, Organization, AtPath).mutates().takes(Json).reveals_once(),
    // enterprise.service_users
    row("enterprise.service_users.provision", Post, "/enterprise/service-users", BETA, Enterprise, Nowhere).mutates().takes(Json).reveals_once(),
    row("enterprise.service_users.api_keys.list", Get, "/enterprise/service-users/{service_user_id}/api-keys", BETA, Enterprise, Nowhere).pages(Cursor),
    row("enterprise.service_users.api_keys.create", Post, "/enterprise/service-users/{service_user_id}/api-keys", BETA, Enterprise, Nowhere).mutates().takes(Json).reveals_once(),
    row("enterprise.service_users.api_keys.rotate", Post, "/enterprise/service-users/{service_user_id}/api-keys/{api_key_id}/rotate", BETA, Enterprise, Nowhere).mutates().takes(Json).guards(&[body("revoke_current")]).reveals_once(),
    row("enterprise.service_users.api_keys.revoke", Delete, "/enterprise/service-users/{service_user_id}/api-keys/{api_key_id}", BETA, Enterprise, Nowhere).mutates(),
    // members
    row("members.service_users.create", Post, "/organizations/{org_id}/members/service-users", BETA, Organization, AtPath).mutates().takes(Json).reveals_once(),
    // consumption
    row("consumption.daily", Get, "/organizations/{org_id}/consumption/daily", V3, Organization, AtPath),
    row("consumption.daily.user", Get, "/organizations/{org_id}/consumption/daily/users/{user_id}", V3, Organization, AtPath),
    row("consumption.daily.service_user", Get, "/organizations/{org_id}/consumption/daily/service-users/{service_user_id}", V3, Organization, AtPath),
    row("consumption.daily.session", Get, "/organizations/{org_id}/consumption/daily/sessions/{session_id}", V3, Organization, AtPath),
    // enterprise.consumption
    row("enterprise.consumption.cycles.list", Get, "/enterprise/consumption/cycles", BOTH, Enterprise, Nowhere).pages(Cursor),
    row("enterprise.consumption.daily", Get, "/enterprise/consumption/daily", BOTH, Enterprise, Nowhere),
    row("enterprise.consumption.daily.organization", Get, "/enterprise/consumption/daily/organizations/{org_id}", BOTH, Enterprise, AtPath),
    row("enterprise.consumption.daily.user", Get, "/enterprise/consumption/daily/users/{user_id}", BOTH, Enterprise, Nowhere),
    row("enterprise.consumption.daily.service_user", Get, "/enterprise/consumption/daily/service-users/{service_user_id}", BOTH, Enterprise, Nowhere),
    row("enterprise.consumption.daily.session", Get, "/enterprise/consumption/daily/sessions/{session_id}", BOTH, Enterprise, Nowhere),
    row("enterprise.consumption.daily.organizations", Get, "/enterprise/consumption/daily/organizations", BETA, Enterprise, Nowhere),
    // acu_limits
    row("acu_limits.devin.list", Get, "/enterprise/consumption/acu-limits/devin", BOTH, Enterprise, Nowhere).pages(Cursor),
    row("acu_limits.devin.organization.set", Put, "/enterprise/consumption/acu-limits/devin/organizations/{org_id}", BOTH, Enterprise, AtPath).mutates().takes(Json),
    row("acu_limits.devin.organization.delete", Delete, "/enterprise/consumption/acu-limits/devin/organizations/{org_id}", BOTH, Enterprise, AtPath).mutates(),
    row("acu_limits.local_agent.list", Get, "/enterprise/consumption/acu-limits/local-agent", BOTH, Enterprise, Nowhere).pages(Cursor),
    row("acu_limits.local_agent.set", Put, "/enterprise/consumption/acu-limits/local-agent", BOTH, Enterprise, Nowhere).mutates().takes(Json),
    row("acu_limits.local_agent.delete", Delete, "/enterprise/consumption/acu-limits/local-agent", BOTH, Enterprise, Nowhere).mutates(),
    row("acu_limits.local_agent.user.set", Put, "/enterprise/consumption/acu-limits/local-agent/users/{user_id}", BOTH, Enterprise, Nowhere).mutates().takes(Json),
    row("acu_limits.local_agent.user.delete", Delete, "/enterprise/consumption/acu-limits/local-agent/users/{user_id}", BOTH, Enterprise, Nowhere).mutates(),
    // org_group_limits
    row("org_group_limits.get", Get, "/enterprise/org-group-limits", BOTH, Enterprise, Nowhere),
    row("org_group_limits.replace", Put, "/enterprise/org-group-limits", BOTH, Enterprise, Nowhere).mutates().takes(Json),
    // organizations
    row("organizations.list", Get, "/enterprise/organizations", BOTH, Enterprise, Nowhere).pages(Cursor).filtered(),
    row("organizations.create", Post, "/enterprise/organizations", BOTH, Enterprise, Nowhere).mutates().takes(Json),
    row("organizations.get", Get, "/enterprise/organizations/{org_id}", BOTH, Enterprise, AtPath),
    row("organizations.update", Patch, "/enterprise/organizations/{org_id}", BOTH, Enterprise, AtPath).mutates().takes(Json),
    row("organizations.delete", Delete, "/enterprise/organizations/{org_id}", BOTH, Enterprise, AtPath).mutates(),
    // enterprise.members
    row("enterprise.members.users.list", Get, "/enterprise/members/users", BOTH, Enterprise, Nowhere).pages(Cursor),
    row("enterprise.members.users.invite", Post, "/enterprise/members/users", BOTH, Enterprise, Nowhere).mutates().takes(Json),
    row("enterprise.members.users.get", Get, "/enterprise/members/users/{user_id}", BOTH, Enterprise, Nowhere),
    row("enterprise.members.users.update", Patch, "/enterprise/members/users/{user_id}", BOTH, Enterprise, Nowhere).mutates().takes(Json),
    row("enterprise.members.users.delete", Delete, "/enterprise/members/users/{user_id}", BOTH, Enterprise, Nowhere).mutates(),
    row("enterprise.members.service_users.list", Get, "/enterprise/members/service-users", BOTH, Enterprise, Nowhere).pages(Cursor),
    row("enterprise.members.service_users.get", Get, "/enterprise/members/service-users/{service_user_id}", BOTH, Enterprise, Nowhere),
    row("enterprise.members.service_users.assign", Post, "/enterprise/members/service-users/{service_user_id}", BOTH, Enterprise, Nowhere).mutates().takes(Json),
    row("enterprise.members.service_users.update", Patch, "/enterprise/members/service-users/{service_user_id}", BOTH, Enterprise, Nowhere).mutates().takes(Json),
    row("enterprise.members.service_users.delete", Delete, "/enterprise/members/service-users/{service_user_id}", BOTH, Enterprise, Nowhere).mutates(),
    row("enterprise.members.idp_groups.list", Get, "/enterprise/members/idp-groups", BOTH, Enterprise, Nowhere).pages(Cursor),
    row("enterprise.members.idp_groups.get", Get, "/enterprise/members/idp-groups/{idp_group_name}", BOTH, Enterprise, Nowhere),
    row("enterprise.members.idp_groups.assign", Post, "/enterprise/members/idp-groups/{idp_group_name}", BOTH, Enterprise, Nowhere).mutates().takes(Json),
    row("enterprise.members.idp_groups.update", Patch, "/enterprise/members/idp-groups/{idp_group_name}", BOTH, Enterprise, Nowhere).mutates().takes(Json),
    row("enterprise.members.idp_groups.delete", Delete, "/enterprise/members/idp-groups/{idp_group_name}", BOTH, Enterprise, Nowhere).mutates(),
    row("enterprise.members.idp_users.list", Get, "/enterprise/members/idp-users", V3, Enterprise, Nowhere).pages(Cursor),
    // enterprise.idp_groups
    row("enterprise.idp_groups.list", Get, "/enterprise/idp-groups", BOTH, Enterprise, Nowhere).pages(Cursor),
    row("enterprise.idp_groups.register", Post, "/enterprise/idp-groups", BOTH, Enterprise, Nowhere).mutates().takes(Json),
    row("enterprise.idp_groups.delete", Delete, "/enterprise/idp-groups/{idp_group_name}", BOTH, Enterprise, Nowhere).mutates(),
    // org_members
    row("org_members.users.list", Get, "/enterprise/organizations/{org_id}/members/users", BOTH, Enterprise, AtPath).pages(Cursor),
    row("org_members.users.assign", Post, "/enterprise/organizations/{org_id}/members/users/{user_id}", BOTH, Enterprise, AtPath).mutates().takes(Json),
    row("org_members.users.update", Patch, "/enterprise/organizations/{org_id}/members/users/{user_id}", BOTH, Enterprise, AtPath).mutates().takes(Json),
    row("org_members.users.delete", Delete, "/enterprise/organizations/{org_id}/members/users/{user_id}", BOTH, Enterprise, AtPath).mutates(),
    row("org_members.service_users.list", Get, "/enterprise/organizations/{org_id}/members/service-users", BOTH, Enterprise, AtPath).pages(Cursor),
    row("org_members.service_users.assign", Post, "/enterprise/organizations/{org_id}/members/service-users/{service_user_id}", BOTH, Enterprise, AtPath).mutates().takes(Json),
    row("org_members.service_users.update", Patch, "/enterprise/organizations/{org_id}/members/service-users/{service_user_id}", BOTH, Enterprise, AtPath).mutates().takes(Json),
    row("org_members.service_users.delete", Delete, "/enterprise/organizations/{org_id}/members/service-users/{service_user_id}", BOTH, Enterprise, AtPath).mutates(),
    row("org_members.idp_groups.list", Get, "/enterprise/organizations/{org_id}/members/idp-groups", BOTH, Enterprise, AtPath).pages(Cursor),
    row("org_members.idp_groups.get", Get, "/enterprise/organizations/{org_id}/members/idp-groups/{idp_group_name}", BOTH, Enterprise, AtPath),
    row("org_members.idp_groups.assign", Post, "/enterprise/organizations/{org_id}/members/idp-groups/{idp_group_name}", BOTH, Enterprise, AtPath).mutates().takes(Json),
    row("org_members.idp_groups.update", Patch, "/enterprise/organizations/{org_id}/members/idp-groups/{idp_group_name}", BOTH, Enterprise, AtPath).mutates().takes(Json),
    row("org_members.idp_groups.delete", Delete, "/enterprise/organizations/{org_id}/members/idp-groups/{idp_group_name}", BOTH, Enterprise, AtPath).mutates(),
    row("org_members.idp_users.list", Get, "/enterprise/organizations/{org_id}/members/idp-users", V3, Enterprise, AtPath).pages(Cursor),
    // roles
    row("roles.list", Get, "/enterprise/roles", BOTH, Enterprise, Nowhere).pages(Cursor),
    // git
    row("git.connections.list", Get, "/enterprise/git-providers/connections", BOTH, Enterprise, Nowhere).pages(Cursor),
    row("git.connections.repositories.list", Get, "/enterprise/git-providers/connections/{connection_id}/repositories", V3, Enterprise, Nowhere).pages(Cursor),
    row("git.permissions.list", Get, "/enterprise/organizations/{org_id}/git-providers/permissions", BOTH, Enterprise, AtPath).pages(Cursor),
    row("git.permissions.create", Post, "/enterprise/organizations/{org_id}/git-providers/permissions", BOTH, Enterprise, AtPath).mutates().takes(Json),
    row("git.permissions.replace", Put, "/enterprise/organizations/{org_id}/git-providers/permissions", BOTH, Enterprise, AtPath).mutates().takes(Json),
    row("git.permissions.clear", Delete, "/enterprise/organizations/{org_id}/git-providers/permissions", BOTH, Enterprise, AtPath).mutates(),
    row("git.permissions.update", Patch, "/enterprise/organizations/{org_id}/git-providers/permissions/{git_permission_id}", V3, Enterprise, AtPath).mutates().takes(Json),
    row("git.permissions.delete", Delete, "/enterprise/organizations/{org_id}/git-providers/permissions/{git_permission_id}", BOTH, Enterprise, AtPath).mutates(),
    // org_tags
    row("org_tags.get", Get, "/enterprise/organizations/{org_id}/tags", BOTH, Enterprise, AtPath),
    row("org_tags.append", Post, "/enterprise/organizations/{org_id}/tags", BOTH, Enterprise, AtPath).mutates().takes(Json),
    row("org_tags.replace", Put, "/enterprise/organizations/{org_id}/tags", BOTH, Enterprise, AtPath).mutates().takes(Json),
    row("org_tags.clear", Delete, "/enterprise/organizations/{org_id}/tags", BOTH, Enterprise, AtPath).mutates(),
    row("org_tags.remove", Delete, "/enterprise/organizations/{org_id}/tags/{tag}", BOTH, Enterprise, AtPath).mutates(),
    row("org_tags.default.get", Get, "/enterprise/organizations/{org_id}/tags/default", BOTH, Enterprise, AtPath),
    row("org_tags.default.set", Put, "/enterprise/organizations/{org_id}/tags/default", BOTH, Enterprise, AtPath).mutates().takes(Json),
    row("org_tags.default.clear", Delete, "/enterprise/organizations/{org_id}/tags/default", BOTH, Enterprise, AtPath).mutates(),
    // ip_access_list
    row("ip_access_list.get", Get, "/enterprise/ip-access-list", BOTH, Enterprise, Nowhere),
    row("ip_access_list.append", Post, "/enterprise/ip-access-list", V3, Enterprise, Nowhere).mutates().takes(Json).guards(&[body("ip_ranges")]),
    row("ip_access_list.replace", Put, "/enterprise/ip-access-list", BOTH, Enterprise, Nowhere).mutates().takes(Json).guards(&[body("ip_ranges")]),
    row("ip_access_list.clear", Delete, "/enterprise/ip-access-list", BOTH, Enterprise, Nowhere).mutates(),
    // audit_logs
    row("audit_logs.list", Get, "/enterprise/audit-logs", BOTH, Enterprise, Nowhere).pages(Cursor),
    row("audit_logs.organization.list", Get, "/enterprise/organizations/{org_id}/audit-logs", BOTH, Enterprise, AtPath).pages(Cursor),
    // guardrails
    row("guardrails.violations.list", Get, "/enterprise/guardrail-violations", BETA, Enterprise, Nowhere).pages(Cursor),
    row("guardrails.violations.organization.list", Get, "/enterprise/organizations/{org_id}/guardrail-violations", BETA, Enterprise, AtPath).pages(Cursor),
    // hypervisors
    row("hypervisors.list", Get, "/enterprise/hypervisors", BOTH, Enterprise, Nowhere).pages(Cursor),
    // queue
    row("queue.get", Get, "/enterprise/queue", BOTH, Enterprise, Nowhere),
    // searches
    row("searches.enterprise.list", Get, "/enterprise/searches", BETA, Enterprise, Nowhere).pages(Cursor),
    row("searches.organization.list", Get, "/organizations/{org_id}/searches", BETA, Organization, AtPath).pages(Cursor),
    // enterprise.metrics
    row("enterprise.metrics.dau", Get, "/enterprise/metrics/dau", BOTH, Enterprise, Nowhere),
    row("enterprise.metrics.wau", Get, "/enterprise/metrics/wau", BOTH, Enterprise, Nowhere),
    row("enterprise.metrics.mau", Get, "/enterprise/metrics/mau", BOTH, Enterprise, Nowhere),
    row("enterprise.metrics.active_users", Get, "/enterprise/metrics/active-users", BOTH, Enterprise, Nowhere),
    row("enterprise.metrics.prs", Get, "/enterprise/metrics/prs", BOTH, Enterprise, Nowhere),
    row("enterprise.metrics.searches", Get, "/enterprise/metrics/searches", BOTH, Enterprise, Nowhere),
    row("enterprise.metrics.sessions", Get, "/enterprise/metrics/sessions", BOTH, Enterprise, Nowhere),
    row("enterprise.metrics.sessions_by_category", Get, "/enterprise/metrics/sessions-by-category", V3, Enterprise, Nowhere),
    row("enterprise.metrics.usage", Get, "/enterprise/metrics/usage", BOTH, Enterprise, Nowhere),
    row("enterprise.metrics.organization.usage", Get, "/enterprise/organizations/{org_id}/metrics/usage", BOTH, Enterprise, AtPath),
    // metrics
    row("metrics.dau", Get, "/organizations/{org_id}/metrics/dau", V3, Organization, AtPath),
    row("metrics.wau", Get, "/organizations/{org_id}/metrics/wau", V3, Organization, AtPath),
    row("metrics.mau", Get, "/organizations/{org_id}/metrics/mau", V3, Organization, AtPath),
    row("metrics.active_users", Get, "/organizations/{org_id}/metrics/active-users", V3, Organization, AtPath),
    row("metrics.prs", Get, "/organizations/{org_id}/metrics/prs", V3, Organization, AtPath),
    row("metrics.searches", Get, "/organizations/{org_id}/metrics/searches", V3, Organization, AtPath),
    row("metrics.sessions", Get, "/organizations/{org_id}/metrics/sessions", V3, Organization, AtPath),
    row("metrics.usage", Get, "/organizations/{org_id}/metrics/usage", V3, Organization, AtPath),
    // outposts
    row("outposts.list", Get, "/outposts", OPBETA, Account, Nowhere).pages(Cursor),
    row("outposts.create", Post, "/outposts", OPBETA, Account, Nowhere).mutates().takes(Json),
    row("outposts.delete", Delete, "/outposts/{outpost_id}", OPBETA, Account, Nowhere).mutates(),
    row("outposts.devins.list", Get, "/outposts/devins", OPBETA, Account, Nowhere).pages(Cursor),
    row("outposts.devins.get", Get, "/outposts/devins/{session_id}", OPBETA, Account, Nowhere),
    row("outposts.devins.claim", Post, "/outposts/devins/{session_id}/claim", OPBETA, Account, Nowhere).mutates().reveals_once(),
    row("outposts.devins.release", Post, "/outposts/devins/{session_id}/release", OPBETA, Account, Nowhere).mutates(),
];

//! Which paths there are, under which version prefixes, and who answers them (Devin's API
//! reference, operations). What is not in the table answers 404, as features do that are switched
//! off.

use http::{Method, StatusCode};

use super::answer::Reply;
use super::call::{Call, decode_segment};
use super::problem::Problem;
use super::state::World;
use super::{
    attachments, audit, consumption, conversation, enterprise, insights, members, notes,
    organizations, playbooks, repositories, schedules, secrets, service_users, sessions,
};

/// Does the work of one operation.
pub(super) type Handler = fn(&mut World, &Call) -> Reply;

/// The prefixes that an operation lives under.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum On {
    V3,
    Beta,
    Both,
}

type Row = (On, Method, &'static str, Handler);

const ORG: &str = "/organizations/{org_id}";
const ENT: &str = "/enterprise";
const ENT_ORG: &str = "/enterprise/organizations/{org_id}";

#[rustfmt::skip]
const STANDALONE: &[Row] = &[
    (On::V3, Method::GET, "/self", enterprise::who_am_i),
];

/// Rows that exist alike below an organization and below the enterprise.
#[rustfmt::skip]
const SHARED: &[Row] = &[
    (On::Both, Method::GET, "/sessions", sessions::list),
    (On::Both, Method::GET, "/sessions/insights", insights::list),
    (On::Both, Method::GET, "/sessions/{devin_id}", sessions::get),
    (On::Both, Method::GET, "/sessions/{devin_id}/attachments", attachments::of_session),
    (On::Both, Method::GET, "/sessions/{devin_id}/messages", conversation::list),
    (On::Both, Method::POST, "/sessions/{devin_id}/messages", conversation::send),
    (On::Both, Method::GET, "/sessions/{devin_id}/tags", conversation::tags),
    (On::Both, Method::POST, "/sessions/{devin_id}/tags", conversation::append_tags),
    (On::Both, Method::PUT, "/sessions/{devin_id}/tags", conversation::replace_tags),
    (On::Both, Method::GET, "/sessions/{devin_id}/insights", insights::get),
    (On::V3, Method::POST, "/sessions/{devin_id}/insights/generate", insights::generate),
    (On::Both, Method::GET, "/knowledge/notes", notes::list),
    (On::Both, Method::POST, "/knowledge/notes", notes::create),
    (On::V3, Method::GET, "/knowledge/notes/{note_id}", notes::get),
    (On::Both, Method::PUT, "/knowledge/notes/{note_id}", notes::update),
    (On::Both, Method::DELETE, "/knowledge/notes/{note_id}", notes::delete),
    (On::V3, Method::GET, "/knowledge/folders", notes::folders),
    (On::Both, Method::GET, "/playbooks", playbooks::list),
    (On::Both, Method::POST, "/playbooks", playbooks::create),
    (On::Both, Method::GET, "/playbooks/{playbook_id}", playbooks::get),
    (On::Both, Method::PUT, "/playbooks/{playbook_id}", playbooks::update),
    (On::Both, Method::DELETE, "/playbooks/{playbook_id}", playbooks::delete),
    (On::Beta, Method::POST, "/service-users", service_users::provision),
];

#[rustfmt::skip]
const ORGANIZATION: &[Row] = &[
    (On::Both, Method::POST, "/sessions", sessions::create),
    (On::Both, Method::DELETE, "/sessions/{devin_id}", sessions::terminate),
    (On::Both, Method::POST, "/sessions/{devin_id}/archive", sessions::archive),
    (On::V3, Method::POST, "/sessions/{devin_id}/unarchive", sessions::unarchive),
    (On::Both, Method::POST, "/attachments", attachments::upload),
    (On::Both, Method::GET, "/attachments/{uuid}/{name}", attachments::download),
    (On::Both, Method::GET, "/secrets", secrets::list),
    (On::Both, Method::POST, "/secrets", secrets::create),
    (On::Both, Method::DELETE, "/secrets/{secret_id}", secrets::delete),
    (On::Both, Method::GET, "/schedules", schedules::list),
    (On::Both, Method::POST, "/schedules", schedules::create),
    (On::Both, Method::GET, "/schedules/{schedule_id}", schedules::get),
    (On::Both, Method::PATCH, "/schedules/{schedule_id}", schedules::update),
    (On::Both, Method::DELETE, "/schedules/{schedule_id}", schedules::delete),
    (On::Beta, Method::GET, "/repositories", repositories::list),
    (On::Beta, Method::GET, "/repositories/indexing", repositories::list_indexing),
    (On::Beta, Method::PUT, "/repositories/indexing", repositories::set_many),
    (On::Beta, Method::DELETE, "/repositories/indexing", repositories::delete_many),
    (On::Beta, Method::GET, "/repositories/{*repository}", repositories::get),
    (On::Beta, Method::PUT, "/repositories/{*repository}", repositories::set),
    (On::Beta, Method::DELETE, "/repositories/{*repository}", repositories::delete),
    (On::Beta, Method::GET, "/members/users", members::list),
    (On::Beta, Method::GET, "/members/users/{user_id}", members::get),
    (On::Beta, Method::POST, "/members/service-users", service_users::create_early),
    (On::V3, Method::GET, "/consumption/daily", consumption::daily),
    (On::V3, Method::GET, "/consumption/daily/users/{user_id}", consumption::daily),
    (On::V3, Method::GET, "/consumption/daily/service-users/{service_user_id}", consumption::daily),
    (On::V3, Method::GET, "/consumption/daily/sessions/{devin_id}", consumption::daily),
];

#[rustfmt::skip]
const ENTERPRISE: &[Row] = &[
    (On::Both, Method::GET, "/self", enterprise::who_am_i),
    (On::Both, Method::GET, "/organizations", organizations::list),
    (On::Both, Method::POST, "/organizations", organizations::create),
    (On::Both, Method::GET, "/organizations/{org_id}", organizations::get),
    (On::Both, Method::PATCH, "/organizations/{org_id}", organizations::update),
    (On::Both, Method::DELETE, "/organizations/{org_id}", organizations::delete),
    (On::Both, Method::GET, "/consumption/cycles", consumption::cycles),
    (On::Both, Method::GET, "/consumption/daily", consumption::daily),
    (On::Beta, Method::GET, "/consumption/daily/organizations", consumption::by_organization),
    (On::Both, Method::GET, "/consumption/daily/organizations/{org_id}", consumption::daily),
    (On::Both, Method::GET, "/consumption/daily/users/{user_id}", consumption::daily),
    (On::Both, Method::GET, "/consumption/daily/service-users/{service_user_id}", consumption::daily),
    (On::Both, Method::GET, "/consumption/daily/sessions/{devin_id}", consumption::daily),
    (On::Both, Method::GET, "/audit-logs", audit::list),
    (On::Beta, Method::GET, "/service-users/{service_user_id}/api-keys", service_users::list_keys),
    (On::Beta, Method::POST, "/service-users/{service_user_id}/api-keys", service_users::create_key),
    (On::Beta, Method::POST, "/service-users/{service_user_id}/api-keys/{api_key_id}/rotate", service_users::rotate_key),
    (On::Beta, Method::DELETE, "/service-users/{service_user_id}/api-keys/{api_key_id}", service_users::revoke_key),
    (On::Both, Method::GET, "/members/service-users", service_users::list),
    (On::Both, Method::GET, "/members/service-users/{service_user_id}", service_users::get),
    (On::Both, Method::POST, "/members/service-users/{service_user_id}", service_users::assign),
    (On::Both, Method::PATCH, "/members/service-users/{service_user_id}", service_users::assign),
    (On::Both, Method::DELETE, "/members/service-users/{service_user_id}", service_users::delete),
    (On::Both, Method::GET, "/members/users", members::list),
    (On::Both, Method::POST, "/members/users", members::invite),
    (On::Both, Method::GET, "/members/users/{user_id}", members::get),
    (On::Both, Method::PATCH, "/members/users/{user_id}", members::assign),
    (On::Both, Method::DELETE, "/members/users/{user_id}", members::remove),
    (On::Both, Method::GET, "/roles", enterprise::roles),
    (On::Both, Method::GET, "/queue", enterprise::queue),
    (On::Both, Method::GET, "/hypervisors", enterprise::hypervisors),
];

#[rustfmt::skip]
const ENTERPRISE_ORGANIZATION: &[Row] = &[
    (On::Both, Method::GET, "/audit-logs", audit::list),
    (On::Both, Method::GET, "/tags", organizations::tags),
    (On::Both, Method::POST, "/tags", organizations::append_tags),
    (On::Both, Method::PUT, "/tags", organizations::replace_tags),
    (On::Both, Method::DELETE, "/tags", organizations::clear_tags),
    (On::Both, Method::DELETE, "/tags/{tag}", organizations::remove_tag),
    (On::Both, Method::GET, "/tags/default", organizations::default_tag),
    (On::Both, Method::PUT, "/tags/default", organizations::set_default_tag),
    (On::Both, Method::DELETE, "/tags/default", organizations::clear_default_tag),
    (On::Both, Method::GET, "/members/users", members::list),
    (On::Both, Method::POST, "/members/users/{user_id}", members::assign),
    (On::Both, Method::PATCH, "/members/users/{user_id}", members::assign),
    (On::Both, Method::DELETE, "/members/users/{user_id}", members::remove),
    (On::Both, Method::GET, "/members/service-users", service_users::list),
    (On::Both, Method::POST, "/members/service-users/{service_user_id}", service_users::assign),
    (On::Both, Method::PATCH, "/members/service-users/{service_user_id}", service_users::assign),
    (On::Both, Method::DELETE, "/members/service-users/{service_user_id}", service_users::delete),
];

/// Where a request leads.
pub(super) struct Target {
    pub(super) handler: Handler,
    pub(super) params: Vec<(String, String)>,
    pub(super) enterprise: bool,
}

struct Place {
    enterprise: bool,
    methods: Vec<(Method, Handler)>,
}

/// All paths, ready to be looked up.
pub(super) struct Routes(matchit::Router<Place>);

impl Routes {
    pub(super) fn new() -> Self {
        let mut places: Vec<(String, Place)> = Vec::new();
        let groups = [
            ("", STANDALONE),
            (ORG, SHARED),
            (ORG, ORGANIZATION),
            (ENT, SHARED),
            (ENT, ENTERPRISE),
            (ENT_ORG, ENTERPRISE_ORGANIZATION),
        ];
        for (base, rows) in groups {
            for (on, method, tail, handler) in rows {
                let versions: &[&str] = match on {
                    On::V3 => &["/v3"],
                    On::Beta => &["/v3beta1"],
                    On::Both => &["/v3", "/v3beta1"],
                };
                for version in versions {
                    let path = format!("{version}{base}{tail}");
                    let entry = (method.clone(), *handler);
                    match places.iter_mut().find(|(known, _)| *known == path) {
                        Some((_, place)) => place.methods.push(entry),
                        None => places.push((
                            path,
                            Place {
                                enterprise: base.starts_with(ENT),
                                methods: vec![entry],
                            },
                        )),
                    }
                }
            }
        }
        let mut router = matchit::Router::new();
        for (path, place) in places {
            // A clash cannot happen at run time: a unit test builds this very table.
            let inserted = router.insert(path, place);
            debug_assert!(inserted.is_ok(), "{inserted:?}");
        }
        Self(router)
    }

    /// Finds who answers; 404 for an unknown path, 405 for a known one with another method.
    pub(super) fn find(&self, method: &Method, path: &str) -> Result<Target, Problem> {
        let found = self.0.at(path).map_err(|_| Problem::no_such_path())?;
        let place = found.value;
        let mut methods = place.methods.iter();
        let (_, handler) = methods
            .find(|(known, _)| known == method)
            .ok_or_else(|| Problem::new(StatusCode::METHOD_NOT_ALLOWED, "Method Not Allowed"))?;
        let params = found.params.iter();
        Ok(Target {
            handler: *handler,
            params: params
                .map(|(name, value)| (name.to_owned(), decode_segment(value)))
                .collect(),
            enterprise: place.enterprise,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(method: Method, path: &str) -> StatusCode {
        match Routes::new().find(&method, path) {
            Ok(_) => StatusCode::OK,
            Err(problem) => problem.answer().status,
        }
    }

    #[test]
    fn methods_and_versions_are_told_apart() {
        let ok = StatusCode::OK;
        assert_eq!(status(Method::GET, "/v3/self"), ok);
        assert_eq!(status(Method::GET, "/v3beta1/self"), StatusCode::NOT_FOUND);
        assert_eq!(
            status(Method::GET, "/v3/organizations/o/sessions/insights"),
            ok
        );
        let playbook = "/v3/organizations/o/playbooks/p";
        assert_eq!(
            status(Method::PATCH, playbook),
            StatusCode::METHOD_NOT_ALLOWED
        );
        assert_eq!(status(Method::GET, "/v1/sessions"), StatusCode::NOT_FOUND);
        let unarchive = "/organizations/o/sessions/s/unarchive";
        assert_eq!(status(Method::POST, &format!("/v3{unarchive}")), ok);
        assert_eq!(
            status(Method::POST, &format!("/v3beta1{unarchive}")),
            StatusCode::NOT_FOUND
        );
    }

    #[test]
    fn parameters_are_decoded() {
        let path = "/v3beta1/organizations/o/repositories/acme%2Fweb/indexing";
        let target = Routes::new().find(&Method::GET, path).ok().unwrap();
        assert_eq!(target.params[1].1, "acme/web/indexing");
    }
}

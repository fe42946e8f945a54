//! Repositories and their indexing (Devin's API reference, repositories). A repository's path holds
//! slashes, sent raw or as `%2F`, in the middle of the request's path.

use serde_json::{Value, json};

use super::answer::{Answer, Reply};
use super::call::Call;
use super::clock::epoch;
use super::fields::Fields;
use super::page::page;
use super::problem::Problem;
use super::state::World;

/// What every organization is connected to.
const KNOWN: &[&str] = &["acme/web", "acme/platform/api", "acme/infra"];

/// Whether a repository is indexed.
#[derive(Debug)]
pub(super) struct Indexed {
    pub(super) org: String,
    pub(super) repository: String,
    pub(super) branches: Vec<String>,
}

fn indexed<'w>(world: &'w World, org: &str, repository: &str) -> Option<&'w Indexed> {
    let mut all = world.indexed.iter();
    all.find(|one| one.org == org && one.repository == repository)
}

/// What the indexing calls answer.
fn view(world: &World, org: &str, repository: &str) -> Value {
    let indexed = indexed(world, org, repository);
    json!({
        "repository_path": repository,
        "indexing_enabled": indexed.is_some(),
        "branches": indexed.map(|one| one.branches.as_slice()).unwrap_or_default(),
        "indexing_status": status(world, org, repository),
    })
}

/// The state of the jobs: in this fake they are done at once.
fn status(world: &World, org: &str, repository: &str) -> Value {
    let indexed = indexed(world, org, repository);
    let job = |branch: Option<&str>| {
        json!({
            "job_id": format!("job-{repository}"),
            "branch_name": branch,
            "commit": "0".repeat(40),
            "created_at": epoch(world.began),
            "status": "completed",
        })
    };
    let branches = indexed
        .map(|one| one.branches.as_slice())
        .unwrap_or_default();
    let jobs: Vec<Value> = branches.iter().map(|branch| job(Some(branch))).collect();
    json!({
        "indexing_enabled": indexed.is_some(),
        "latest_completed_search_index_job": jobs.first(),
        "latest_completed_wiki_index_job": jobs.first(),
        "latest_indexes": jobs,
    })
}

/// `GET …/repositories`
pub(super) fn list(world: &mut World, call: &Call) -> Reply {
    let org = world.organization(call)?.id.clone();
    let query = &call.query;
    let with_status = query.flag("load_indexing_status")?.unwrap_or(false);
    let (only, except) = (
        query.list("only_repo_paths"),
        query.list("exclude_repo_paths"),
    );
    let shown = KNOWN.iter().filter(|path| {
        only.as_ref().is_none_or(|only| only.contains(path))
            && !except.as_ref().is_some_and(|except| except.contains(path))
            && query
                .one("filter_name")
                .is_none_or(|part| path.contains(part))
    });
    let entries = shown.map(|path| {
        let item = json!({
            "repo_path": path,
            "repo_name": path.rsplit('/').next(),
            "repo_description": null,
            "repo_language": null,
            "provider_repository_id": format!("repository-{path}"),
            "git_connection_id": "git-connection-1",
            "git_connection_host": "github.com",
            "last_updated_at": epoch(world.began),
            "indexing_status": with_status.then(|| status(world, &org, path)),
        });
        ((*path).to_owned(), item)
    });
    page(entries.collect(), query)
}

/// `GET …/repositories/indexing`
pub(super) fn list_indexing(world: &mut World, call: &Call) -> Reply {
    let org = world.organization(call)?.id.clone();
    let own = world.indexed.iter().filter(|one| one.org == org);
    let entries = own.map(|one| (one.repository.clone(), view(world, &org, &one.repository)));
    page(entries.collect(), &call.query)
}

/// `PUT …/repositories/indexing`: a bare array out.
pub(super) fn set_many(world: &mut World, call: &Call) -> Reply {
    let org = world.organization(call)?.id.clone();
    let mut fields = Fields::new(call.object()?);
    if !fields.has("repositories") {
        fields.missing("repositories");
    }
    let mut wanted = Vec::new();
    for one in fields.objects("repositories").unwrap_or_default() {
        let mut one = Fields::new(one);
        let path = one.required_text("repository_path");
        let branches = one.texts("branch_names", 200).unwrap_or_default();
        one.finish()?;
        wanted.push((path, branches));
    }
    fields.finish()?;
    let mut bodies = Vec::new();
    for (path, branches) in wanted {
        switch(world, call, &org, &path, Some(branches));
        bodies.push(view(world, &org, &path));
    }
    Ok(Answer::ok(&Value::Array(bodies)))
}

/// `DELETE …/repositories/indexing`, with a body; a bare array out.
pub(super) fn delete_many(world: &mut World, call: &Call) -> Reply {
    let org = world.organization(call)?.id.clone();
    let mut fields = Fields::new(call.object()?);
    if !fields.has("repository_paths") {
        fields.missing("repository_paths");
    }
    let paths = fields.texts("repository_paths", 200).unwrap_or_default();
    fields.finish()?;
    let mut bodies = Vec::new();
    for path in &paths {
        switch(world, call, &org, path, None);
        bodies.push(view(world, &org, path));
    }
    Ok(Answer::ok(&Value::Array(bodies)))
}

/// `GET …/repositories/{repository_path}/indexing`
pub(super) fn get(world: &mut World, call: &Call) -> Reply {
    let org = world.organization(call)?.id.clone();
    let repository = repository(call)?;
    Ok(Answer::ok(&status(world, &org, repository)))
}

/// `PUT …/repositories/{repository_path}/indexing`
pub(super) fn set(world: &mut World, call: &Call) -> Reply {
    let org = world.organization(call)?.id.clone();
    let repository = repository(call)?;
    let mut fields = Fields::new(call.object_or_empty()?);
    let branches = fields.texts("branch_names", 200).unwrap_or_default();
    fields.finish()?;
    switch(world, call, &org, repository, Some(branches));
    Ok(Answer::ok(&view(world, &org, repository)))
}

/// `DELETE …/repositories/{repository_path}/indexing`, and of one branch below it
pub(super) fn delete(world: &mut World, call: &Call) -> Reply {
    let org = world.organization(call)?.id.clone();
    let rest = call.param("repository");
    if let Some((repository, branch)) = rest.split_once("/indexing/branches/") {
        let mut all = world.indexed.iter_mut();
        let indexed = all.find(|one| one.org == org && one.repository == repository);
        let indexed = indexed.ok_or_else(|| Problem::not_found("Repository"))?;
        indexed.branches.retain(|known| known != branch);
        world.log(call.now, "update_repo_indexing", Some(&org), json!({}));
        return Ok(Answer::ok(&view(world, &org, repository)));
    }
    let repository = repository(call)?;
    switch(world, call, &org, repository, None);
    Ok(Answer::ok(&view(world, &org, repository)))
}

/// Switches indexing on for some branches, or off. Doing it twice is no mistake.
fn switch(world: &mut World, call: &Call, org: &str, path: &str, on: Option<Vec<String>>) {
    world
        .indexed
        .retain(|one| one.org != org || one.repository != path);
    if let Some(branches) = on {
        world.indexed.push(Indexed {
            org: org.to_owned(),
            repository: path.to_owned(),
            branches,
        });
    }
    let data = json!({ "repository_path": path });
    world.log(call.now, "update_repo_indexing", Some(org), data);
}

fn repository(call: &Call) -> Result<&str, Problem> {
    let rest = call.param("repository");
    let repository = rest.strip_suffix("/indexing");
    repository
        .filter(|path| !path.is_empty())
        .ok_or_else(Problem::no_such_path)
}

//! People of the enterprise (Devin's API reference, members). The fake does not keep track of who
//! belongs to which organization: everybody belongs to all.

use serde_json::{Value, json};

use super::answer::{Answer, Reply};
use super::call::Call;
use super::enterprise::role;
use super::fields::Fields;
use super::ids;
use super::page::page;
use super::problem::Problem;
use super::state::World;

/// A person.
#[derive(Debug)]
pub(super) struct Person {
    pub(super) id: String,
    email: String,
    role: String,
}

impl Person {
    fn view(&self) -> Value {
        json!({
            "user_id": self.id,
            "id": self.id,
            "email": self.email,
            "name": self.email.split('@').next(),
            "role_assignments": [{
                "role": role(&self.role),
                "org_id": null,
            }],
        })
    }
}

/// Two members to begin with.
pub(super) fn seed() -> Vec<Person> {
    let person = |name: &str, role: &str| Person {
        id: format!("user-{name}"),
        email: format!("{name}@example.com"),
        role: role.to_owned(),
    };
    vec![
        person("aiko", "account_admin"),
        person("ben", "account_member"),
    ]
}

/// `GET …/members/users`, all scopes
pub(super) fn list(world: &mut World, call: &Call) -> Reply {
    world.scope(call)?;
    let email = call.query.one("email");
    let shown = world.people.iter();
    let shown = shown.filter(|person| email.is_none_or(|email| person.email == email));
    page(
        shown
            .map(|person| (person.id.clone(), person.view()))
            .collect(),
        &call.query,
    )
}

/// `GET …/members/users/{user_id}`, all scopes
pub(super) fn get(world: &mut World, call: &Call) -> Reply {
    world.scope(call)?;
    find(world, call).map(|person| Answer::ok(&person.view()))
}

/// `POST /enterprise/members/users`: invites; answers a bare array.
pub(super) fn invite(world: &mut World, call: &Call) -> Reply {
    let mut fields = Fields::new(call.object()?);
    if !fields.has("emails") {
        fields.missing("emails");
    }
    let emails = fields.texts("emails", 100).unwrap_or_default();
    let role = fields.text("enterprise_role_id");
    fields.finish()?;
    let role = role.unwrap_or_else(|| "account_member".to_owned());
    let mut invited = Vec::new();
    for email in emails {
        let person = Person {
            id: ids::fresh("user-"),
            email,
            role: role.clone(),
        };
        invited.push(person.view());
        world.people.push(person);
    }
    world.log(
        call.now,
        "add_enterprise_member",
        None,
        json!({ "count": invited.len() }),
    );
    Ok(Answer::ok(&Value::Array(invited)))
}

/// `PATCH …/members/users/{user_id}`, and `POST` below an organization
pub(super) fn assign(world: &mut World, call: &Call) -> Reply {
    let scope = world.scope(call)?;
    let mut fields = Fields::new(call.object()?);
    let role = fields.required_text("role_id");
    fields.finish()?;
    find(world, call)?.role = role;
    let data = json!({ "user_id": call.param("user_id") });
    world.log(call.now, "assign_roles", scope.as_deref(), data);
    get(world, call)
}

/// `DELETE …/members/users/{user_id}`
pub(super) fn remove(world: &mut World, call: &Call) -> Reply {
    let scope = world.scope(call)?;
    let body = find(world, call)?.view();
    let id = call.param("user_id");
    if scope.is_none() {
        world.people.retain(|person| person.id != id);
    }
    world.log(
        call.now,
        "delete_member",
        scope.as_deref(),
        json!({ "user_id": id }),
    );
    Ok(Answer::ok(&body))
}

fn find<'w>(world: &'w mut World, call: &Call) -> Result<&'w mut Person, Problem> {
    let id = call.param("user_id");
    let mut people = world.people.iter_mut();
    people
        .find(|person| person.id == id)
        .ok_or_else(|| Problem::not_found("User"))
}

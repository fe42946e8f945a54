//! Of a list of organizations, a caller sees those that its rules allow, and no sign of the others.

mod unusable;

use http::{Method, Request};
use serde_json::{Value, json};
use tollgate::fake_devin::{Fault, FaultKind, Recorded};

use crate::world::{Setup, World};

const LIST: &str = "/v3/enterprise/organizations";
const POLICY: &str = "
team: t
owner: t@acme.example
callers: { one: {}, three: {}, all: {} }
allow:
  - { name: one, callers: [one], operations: [organizations.list, organizations.get], organizations: [org-ds] }
  - { name: three, callers: [three], operations: [organizations.list], organizations: [org-ds, org-web, org-x] }
  - { name: all, callers: [all], operations: [organizations.list, organizations.get], organizations: any }
";

fn setup() -> Setup {
    Setup {
        policy: POLICY.to_owned(),
        ..Setup::default()
    }
}

/// A fake of this many organizations, of which the one at this place is `org-ds`.
fn among(count: usize, place: usize) -> Setup {
    let id = |number| match number == place {
        true => "org-ds".to_owned(),
        false => format!("org-hidden-{number}"),
    };
    Setup {
        organizations: (0..count).map(id).collect(),
        ..setup()
    }
}

fn ids(list: &Value, key: &str) -> Vec<String> {
    let items = list.as_array().unwrap();
    items
        .iter()
        .map(|item| item[key].as_str().unwrap().to_owned())
        .collect()
}

#[tokio::test]
async fn u10_a_caller_sees_its_own_organizations_in_both_shapes() {
    let world = World::with(setup()).await;
    for path in [LIST, "/v3beta1/enterprise/organizations"] {
        let answer = world.get("one", path).await;
        let list = answer.is_upstream(200).json();
        assert_eq!(ids(&list["items"], "org_id"), ["org-ds"]);
        assert_eq!(ids(&list["organizations"], "id"), ["org-ds"]);
        assert_eq!(list["has_next_page"], false);
        assert!(list["total"].is_null() && list["end_cursor"].is_null());
        let text = String::from_utf8_lossy(&answer.body).into_owned();
        assert!(!text.contains("org-web") && !text.contains("org-infra"));
        assert_eq!(answer.header("cache-control"), Some("no-store"));
        assert_eq!(answer.header("content-type"), Some("application/json"));
        let length = answer.body.len().to_string();
        assert_eq!(answer.header("content-length"), Some(length.as_str()));
        let line = world.last_line().await;
        assert_eq!(
            line["filtered"],
            json!({ "kept": 1, "dropped": 2, "pages": 1 })
        );
        assert_eq!(
            (&line["rule"], &line["answered_by"]),
            (&json!("t/one"), &json!("upstream"))
        );
    }
    let list = world.get("three", LIST).await.json();
    assert_eq!(ids(&list["items"], "org_id"), ["org-ds", "org-web"]);
    // Who may see everything gets Devin's own answer.
    let list = world.get("all", LIST).await.json();
    assert_eq!(
        (ids(&list["items"], "id").len(), &list["total"]),
        (3, &json!(3))
    );
    assert!(world.last_line().await["filtered"].is_null());
    world.finish().await;
}

#[tokio::test]
async fn g11_an_organization_of_others_is_as_one_that_is_not_there() {
    let world = World::with(setup()).await;
    let own = format!("{LIST}/org-ds");
    world.get("one", &own).await.is_upstream(200);
    let mut refusals = Vec::new();
    for id in ["org-web", "org-nobody"] {
        let answer = world.get("one", &format!("{LIST}/{id}")).await;
        let mut body = answer.is_problem(403, "organization-denied").json();
        body["instance"] = Value::Null;
        refusals.push(body.to_string().replace(id, "ID"));
    }
    assert_eq!(refusals[0], refusals[1]);
    assert_eq!(world.upstream().len(), 1);
    world.finish().await;
}

#[tokio::test]
async fn g11_a_guard_rail_hides_an_organization_from_who_may_see_any() {
    let rails = "deny:\n  - { name: not infra, operations: ['**'], organizations: [org-infra] }\n";
    let world = World::with(Setup {
        rails: rails.to_owned(),
        ..setup()
    })
    .await;
    let answer = world.get("all", LIST).await;
    let list = answer.is_upstream(200).json();
    assert_eq!(ids(&list["items"], "org_id"), ["org-ds", "org-web"]);
    assert_eq!(ids(&list["organizations"], "id"), ["org-ds", "org-web"]);
    assert!(list["total"].is_null());
    assert!(!String::from_utf8_lossy(&answer.body).contains("infra"));
    // It may be asked for what is there, and not for that one.
    world
        .get("all", &format!("{LIST}/org-web"))
        .await
        .is_upstream(200);
    world
        .get("all", &format!("{LIST}/org-infra"))
        .await
        .is_problem(403, "operation-denied");
    world.finish().await;
}

/// Reads a list to its end as Devin's clients do, who take an empty page for the end.
async fn walk(world: &World, first: Option<usize>) -> Vec<String> {
    let mut found = Vec::new();
    let mut after = String::new();
    loop {
        let first = first.map_or(String::new(), |it| format!("first={it}&"));
        let answer = world.get("one", &format!("{LIST}?{first}{after}")).await;
        let list = answer.is_upstream(200).json();
        let page = ids(&list["items"], "org_id");
        if page.is_empty() {
            assert_eq!(
                list["has_next_page"],
                json!(false),
                "an empty page in between"
            );
        }
        found.extend(page);
        if list["has_next_page"] == json!(false) {
            return found;
        }
        after = format!("after={}", list["end_cursor"].as_str().unwrap());
    }
}

#[tokio::test]
async fn g11_one_organization_among_500_is_found_whatever_the_size_of_pages() {
    for place in [0, 250, 499] {
        let world = World::with(among(500, place)).await;
        for first in [None, Some(10), Some(1), Some(200)] {
            assert_eq!(walk(&world, first).await, ["org-ds"], "{place} {first:?}");
        }
        for answer in world.lines().await {
            assert!(
                answer["filtered"]["pages"].as_u64().unwrap() <= 4,
                "{answer}"
            );
        }
        world.finish().await;
    }
}

#[tokio::test]
async fn further_pages_are_asked_for_with_the_callers_query() {
    let world = World::with(among(500, 499)).await;
    world
        .get("one", &format!("{LIST}?x=%41+b&first=10&y"))
        .await
        .is_upstream(200);
    let line = world.last_line().await;
    assert_eq!(
        line["filtered"],
        json!({ "kept": 1, "dropped": 499, "pages": 4 })
    );
    assert_eq!(
        (&line["upstream_attempts"], &line["upstream_status"]),
        (&json!(4), &json!(200))
    );
    let queries: Vec<String> = world
        .upstream()
        .into_iter()
        .filter_map(|it| it.query)
        .collect();
    assert_eq!(queries[0], "x=%41+b&first=10&y");
    assert_eq!(queries.len(), 4);
    for query in &queries[1..] {
        assert!(query.starts_with("x=%41+b&y&first=200&after="), "{query}");
    }
    world.finish().await;
}

/// Asks for the list with these headers, of one who sees some of it and one who sees all, and what Devin was asked.
async fn asked_with(world: &World, headers: &[(&str, &str)]) -> [Recorded; 2] {
    for caller in ["one", "all"] {
        let mut request = Request::builder()
            .method(Method::GET)
            .header("authorization", format!("Bearer {}", world.key(caller)))
            .header("accept", "application/json")
            .header("user-agent", "client/1");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        world.send(LIST, request, "").await.is_upstream(200);
    }
    let requests = world.upstream();
    assert_eq!(requests[0].header("accept"), Some("application/json"));
    assert_eq!(requests[0].header("user-agent"), Some("client/1"));
    assert!(requests[0].body.is_empty());
    requests.try_into().unwrap()
}

#[tokio::test]
async fn h8_what_the_gateway_reads_is_asked_for_plain() {
    let world = World::with(setup()).await;
    let special = [
        ("accept-encoding", "br, gzip;q=0"),
        ("content-type", "text/plain"),
        ("content-encoding", "gzip"),
    ];
    let [filtered, whole] = asked_with(&world, &special).await;
    for (name, value) in special {
        let wanted = (name == "accept-encoding").then_some("identity");
        assert_eq!(filtered.header(name), wanted, "{name}");
        // What is not filtered is asked for plain too: it is looked through for the token.
        assert_eq!(whole.header(name), wanted.or(Some(value)), "{name}");
    }
    world.finish().await;
}

#[tokio::test]
async fn h9_what_is_filtered_is_neither_a_part_nor_a_version_of_anything() {
    let world = World::with(setup()).await;
    let special = [
        ("range", "bytes=0-10"),
        ("if-none-match", "\"x\""),
        ("if-match", "*"),
        ("if-range", "\"x\""),
        ("if-modified-since", "Tue, 01 Jan 2030 00:00:00 GMT"),
        ("if-unmodified-since", "Tue, 01 Jan 2030 00:00:00 GMT"),
    ];
    let [filtered, whole] = asked_with(&world, &special).await;
    for (name, value) in special {
        assert_eq!(filtered.header(name), None, "{name}");
        // A range of anything could cut out a piece of the token that is not known for one.
        let goes_on = (!name.ends_with("range")).then_some(value);
        assert_eq!(whole.header(name), goes_on, "{name}");
    }
    // Nothing of the page's headers speaks of the bytes that came.
    let extra = [
        ("etag", "\"v\""),
        ("last-modified", "Tue, 01 Jan 2030 00:00:00 GMT"),
        ("cache-control", "max-age=600"),
        ("expires", "Tue, 01 Jan 2030 00:00:00 GMT"),
        ("age", "3"),
        ("vary", "accept"),
        ("link", "<?after=x>; rel=next"),
        ("accept-ranges", "bytes"),
    ];
    let pairs = extra.map(|(name, value)| (name.to_owned(), value.to_owned()));
    world
        .fake
        .inject(Fault::next(FaultKind::ExtraHeaders(pairs.into())));
    let answer = world.get("one", LIST).await;
    answer.is_upstream(200);
    for (name, _) in extra {
        let wanted = (name == "cache-control").then_some("no-store");
        assert_eq!(answer.header(name), wanted, "{name}");
    }
    world.finish().await;
}

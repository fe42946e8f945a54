//! Targets and what they are routed to (P): a path has one reading, which is the one that Devin gets.

use crate::attack::Back;
use crate::world::{Setup, World};

const SESSIONS: &str = "/v3/organizations/org-ds/sessions";
const REPOSITORIES: &str = "/v3beta1/organizations/org-ds/repositories";
const CLOSE: &str = "Connection: close\r\n\r\n";

const WIDE: &str = r#"
team: t
callers: { one: {} }
allow:
  - name: sessions
    operations: ["sessions.**", "org_tags.**", "repositories.**"]
    organizations: [org-ds]
    sessions: any
    uncapped: { acus: 1, per: run }
    body: { max_acu_limit: { default: 5 } }
    query: { first: { max: 50 } }
  - name: messages
    operations: [enterprise.sessions.messages.send]
    organizations: any
    sessions: any
    uncapped: { acus: 1, per: run }
    query: { org_id: { one_of: [org-ds] } }
  - name: enterprise
    operations: [enterprise.sessions.list]
    organizations: any
    sessions: any
    query: { org_ids: { one_of: [org-ds] } }
  - { name: self, operations: ["enterprise.self.get", self.get, "code_scans.**"], organizations: any }
"#;

async fn wide() -> World {
    World::with(Setup {
        policy: WIDE.to_owned(),
        ..Setup::default()
    })
    .await
}

impl World {
    async fn asks(&self, method: &str, target: impl AsRef<[u8]>) -> Back {
        let head = self.head(method, "\0");
        let (before, after) = head.split_once('\0').unwrap();
        let bytes = [
            before.as_bytes(),
            target.as_ref(),
            after.as_bytes(),
            CLOSE.as_bytes(),
        ];
        self.attack(bytes.concat()).await
    }

    /// Fails unless each of these is refused as no target, whether by us or by hyper, and Devin has seen nothing.
    async fn are_no_targets(&self, targets: &[&[u8]]) {
        for target in targets {
            let back = self.asks("GET", target).await;
            back.only(400);
            if back.text.contains("x-request-id") {
                back.refused(400, "target-invalid");
            }
        }
        assert!(self.upstream().is_empty());
    }

    async fn are_unknown(&self, targets: &[&str]) {
        for target in targets {
            let back = self.asks("GET", target).await;
            back.refused(404, "operation-unknown");
        }
        assert!(self.upstream().is_empty());
    }

    /// Fails unless this is served, as this operation, and Devin gets the very same target.
    async fn is_read_as(&self, method: &str, target: &str, operation: &str) {
        let before = self.upstream().len();
        self.asks(method, target).await;
        let line = self.last_line().await;
        assert_eq!(line["operation"], operation, "{target}: {line}");
        let seen = self.upstream();
        assert_eq!(seen.len(), before + 1, "{target}: {line}");
        assert_eq!(seen[before].target, target);
    }
}

#[tokio::test]
async fn p1_p2_dot_segments_in_every_spelling() {
    let world = World::start().await;
    world
        .are_no_targets(&[
            b"/v3/../v3/self",
            b"/..",
            b"/.",
            b"/v3/self/.",
            b"/v3/self/..",
            b"/./v3/self",
            b"/v3/organizations/org-web/../org-ds/sessions",
            b"/v3/%2e%2e/v3/self",
            b"/v3/%2E./self",
            b"/v3/.%2e/self",
            b"/v3/%2e/self",
            b"/v3/%252e%252e/self",
            b"/v3/%c0%ae%c0%ae/self",
            b"/v3/%u002e%u002e/self",
            b"/v3/%e0%80%ae/self",
        ])
        .await;
    world.finish().await;
}

#[tokio::test]
async fn p3_only_a_repositorys_path_holds_slashes() {
    let world = wide().await;
    world
        .are_no_targets(&[
            b"/v3/organizations/org-web%2forg-ds/sessions",
            b"/v3/organizations/org-ds%2Fsessions/sessions",
            b"/v3/organizations/org-ds/sessions/a%2fb",
            b"/v3/organizations/org-ds/sessions/a%5cb",
            b"/v3/organizations/org-ds/sessions/a\\b",
            b"/v3/organizations/org-ds/sessions/a%2f..%2fb",
            b"/v3beta1/organizations/org-ds/repositories/acme%2F..%2Fweb/indexing",
            b"/v3beta1/organizations/org-ds/repositories/acme%2F%2Fweb/indexing",
            b"/v3beta1/organizations/org-ds/repositories/acme%255cweb/indexing",
        ])
        .await;
    for path in ["acme/web", "acme%2Fweb", "acme%2fweb"] {
        let target = format!("{REPOSITORIES}/{path}/indexing");
        world
            .is_read_as("GET", &target, "repositories.indexing.get")
            .await;
    }
    // What could be a repository or a branch of one is neither.
    let hidden = format!("{REPOSITORIES}/a%2Findexing%2Fbranches%2Fb/indexing");
    let back = world.asks("DELETE", hidden).await;
    back.refused(400, "target-invalid");
    assert_eq!(world.upstream().len(), 3);
    world.finish().await;
}

#[tokio::test]
async fn p4_p5_empty_segments_and_parameters_of_segments() {
    let world = World::start().await;
    world
        .are_no_targets(&[
            b"//v3/self",
            b"//evil/v3/self",
            b"///",
            b"/v3//self",
            b"/v3/self/",
            b"/v3/organizations//sessions",
            b"/v3/self;x",
            b"/v3/self;jsessionid=1",
            b"/v3;a=b/self",
            b"/v3/organizations/org-ds;x=y/sessions",
            b"/v3/organizations/org-ds%3bx/sessions",
            b"/;/v3/self",
        ])
        .await;
    world.finish().await;
}

#[tokio::test]
async fn p6_ids_are_plain() {
    let world = World::start().await;
    world
        .are_no_targets(&[
            b"/v3/self%00",
            b"/v3/self%0a",
            b"/v3/self%0d%0aHost:%20evil",
            b"/v3/self%7f",
            b"/v3/self%",
            b"/v3/self%2",
            b"/v3/self%zz",
            b"/v3/s\xc3\xa9lf",
            b"/v3/organizations/org-ds/sessions/\xff",
            b"/v3/organizations/org-ds/sessions/a%e2%80%aeb",
            b"/v3/organizations/org-ds/sessions/a%ef%bc%8fb",
            b"/v3/organizations/org-ds/sessions/a%ef%bb%bfb",
            b"/v3/{self}",
            b"/v3/\"self\"",
            b"/v3/se|lf",
            b"/v3/self?x=\xc3\xa9",
        ])
        .await;
    // One alphabet for ids, so that no two spellings are one: no operation has another.
    world
        .are_unknown(&[
            "/v3/organizations/org-ds/sessions/%C3%A9",
            "/v3/organizations/org-ds/sessions/e%CC%81",
            "/v3/organizations/org-ds/sessions/a%20b",
            "/v3/organizations/org-ds/sessions/a:b",
            "/v3/organizations/org-ds/sessions/a@b",
            "/v3/organizations/org-d%C5%9B/sessions",
            "/v3/organizations/org.ds/sessions",
        ])
        .await;
    world.finish().await;
}

#[tokio::test]
async fn p7_the_gateway_is_nobodys_proxy() {
    let world = World::start().await;
    world
        .are_no_targets(&[
            b"http://evil/v3/self",
            b"https://api.devin.ai@evil/v3/self",
            b"http://x/v3/self",
            b"ftp://evil/v3/self",
            b"HTTP://x/v3/self",
            b"http:/v3/self",
            b"evil:80",
            b"evil",
            b"*",
            b"admin",
            b"@evil/v3/self",
            b"?/v3/self",
            b"#/v3/self",
        ])
        .await;
    world.finish().await;
}

#[tokio::test]
async fn p8_p9_other_spellings_and_prefixes_are_unknown() {
    let world = World::start().await;
    world
        .are_unknown(&[
            "/V3/self",
            "/V3BETA1/enterprise/self",
            "/v3/Self",
            "/v3beta1/Organizations/org-ds/sessions",
            "/v3beta1/%6frganizations/org-ds/sessions",
            "/%763/self",
            "/v3/sel%66",
            "/v1/sessions",
            "/v1/session/devin-1",
            "/v2/enterprise/sessions",
            "/beta/v2/enterprise",
            "/opbeta/outposts",
            "/v3/sessions",
            "/v3/organizations/sessions",
            "/v3beta1/v3/self",
            "/v3/v3/self",
            "/v4/self",
            "/",
        ])
        .await;
    world.finish().await;
}

#[tokio::test]
async fn p10_a_literal_is_never_an_id() {
    let world = wide().await;
    let tags = "/v3/enterprise/organizations/org-ds/tags";
    for (method, target, operation) in [
        (
            "GET",
            format!("{SESSIONS}/insights"),
            "sessions.insights.list",
        ),
        (
            "DELETE",
            format!("{tags}/default"),
            "org_tags.default.clear",
        ),
        ("DELETE", format!("{tags}/defaul"), "org_tags.remove"),
        (
            "GET",
            format!("{REPOSITORIES}/indexing"),
            "repositories.indexing.list",
        ),
    ] {
        world.is_read_as(method, &target, operation).await;
    }
    // A literal in disguise is no id either: Devin would decode it.
    let before = world.upstream().len();
    let disguised = format!("{SESSIONS}/%69nsights");
    let back = world.asks("GET", disguised).await;
    assert!([400, 404].contains(&back.statuses()[0]), "{}", back.text);
    let back = world.asks("DELETE", format!("{tags}/%64efault")).await;
    assert!([400, 404].contains(&back.statuses()[0]), "{}", back.text);
    assert_eq!(world.upstream().len(), before);
    world.finish().await;
}

#[tokio::test]
async fn p11_p12_the_organization_that_is_judged_is_the_one_that_is_used() {
    let world = wide().await;
    let list = "/v3/enterprise/sessions";
    for (target, status) in [
        (format!("{list}?org_ids=org-web"), 403),
        (format!("{list}?org%5Fids=org-web"), 403),
        (format!("{list}?org_ids=org-ds,org-web"), 403),
        (format!("{list}?org_ids=org-ds&org_ids=org-web"), 400),
        (format!("{list}?org_ids=org-ds&org%5fids=org-web"), 400),
        (format!("{list}?org_ids=org-ds;org_ids=org-web"), 400),
        (format!("{list}?org_ids[]=org-web"), 400),
        (format!("{list}?ORG_IDS=org-web"), 400),
        // Beside the path, for an operation that knows no such key.
        (format!("{SESSIONS}?org_id=org-web"), 403),
        (format!("{SESSIONS}?first=1e9"), 400),
        (format!("{SESSIONS}?first=1&first=2"), 400),
        (format!("{SESSIONS}?first=1&f%69rst=2"), 400),
        (format!("{SESSIONS}?first=999"), 403),
        (format!("{SESSIONS}?x={}", "a".repeat(64 * 1024)), 414),
        (format!("{SESSIONS}?x={}", "a".repeat(9 * 1024)), 414),
    ] {
        let back = world.asks("GET", &target).await;
        back.only(status);
    }
    let message = "{\"message\":\"x\"}";
    let length = format!(
        "Content-Type: application/json\r\nContent-Length: {}\r\n",
        message.len()
    );
    for (query, status) in [
        ("?org_id=org-web", 403),
        ("?org_id=org-ds&org_id=org-web", 400),
        ("?org_id[]=org-ds", 400),
    ] {
        let head = world.head("POST", &format!("{list}/devin-1/messages{query}"));
        let back = world
            .attack(format!("{head}{length}{CLOSE}{message}"))
            .await;
        back.only(status);
    }
    assert!(world.upstream().is_empty());
    world
        .asks("GET", format!("{list}?org_ids=org-ds"))
        .await
        .only(200);
    let seen = world.upstream();
    assert_eq!(seen.len(), 1);
    assert!(
        seen[0].target.contains("org_ids=org-ds"),
        "{}",
        seen[0].target
    );
    world.finish().await;
}

#[tokio::test]
async fn p14_the_request_line_says_what_is_asked() {
    let world = World::start().await;
    let head = world.head("GET", "/v3/self");
    for name in [
        "X-HTTP-Method-Override",
        "X-HTTP-Method",
        "X-Method-Override",
    ] {
        let back = world
            .attack(format!("{head}{name}: DELETE\r\n{CLOSE}"))
            .await;
        back.refused(400, "header-invalid").closes();
    }
    assert!(world.upstream().is_empty());
    let lines = "X-Original-URL: /v3/enterprise/self\r\nX-Rewrite-URL: /v3/enterprise/self\r\n\
                 X-Forwarded-Prefix: /v3\r\nX-Forwarded-Path: /v3/enterprise/self\r\nX-Original-Host: evil\r\n\
                 X-Forwarded-Uri: /v3/enterprise/self\r\nX-Original-Method: DELETE\r\n";
    world
        .attack(format!("{head}{lines}{CLOSE}"))
        .await
        .only(200);
    let seen = world.upstream();
    assert_eq!(
        (seen[0].target.as_str(), seen[0].method.as_str()),
        ("/v3/self", "GET")
    );
    let names = seen[0].headers.iter().map(|(name, _)| name.as_str());
    assert!(
        names
            .into_iter()
            .all(|it| !it.contains("original") && !it.contains("forwarded"))
    );
    // In the query it is a key like any other, and the method stays.
    world.asks("GET", "/v3/self?_method=DELETE").await;
    assert!(world.upstream().iter().all(|it| it.method == "GET"));
    world.finish().await;
}

#[tokio::test]
async fn p15_neither_head_nor_options() {
    let world = World::start().await;
    for method in ["HEAD", "OPTIONS"] {
        let origin = "Origin: https://evil\r\nAccess-Control-Request-Method: GET\r\n";
        let head = world.head(method, SESSIONS);
        let back = world.attack(format!("{head}{origin}{CLOSE}")).await;
        back.only(405);
        assert!(
            back.text.contains("\r\nallow: GET, POST\r\n"),
            "{}",
            back.text
        );
        assert!(!back.text.contains("access-control"), "{}", back.text);
        let (_, body) = back.text.split_once("\r\n\r\n").unwrap();
        assert_eq!(body.is_empty(), method == "HEAD", "{body}");
    }
    let head = world.head("GET", "/v3/self");
    let back = world
        .attack(format!("{head}Origin: https://evil\r\n{CLOSE}"))
        .await;
    back.only(200);
    assert!(!back.text.contains("access-control"), "{}", back.text);
    assert_eq!(world.upstream().len(), 1);
    world.finish().await;
}

#[tokio::test]
async fn p16_no_way_leads_to_the_operators_pages() {
    let world = World::start().await;
    for target in [
        "/.tollgate/../v3beta1/self",
        "/.tollgate/..",
        "/.tollgate/metrics",
        "/.tollgate/admin",
        "/.tollgate",
        "/.tollgate/",
        "/.tollgate/problems/../../metrics",
        "/.tollgate//whoami",
        "/.tollgate/%77hoami",
        "/.tollgate/whoami/",
        "/.tollgatex",
        "/%2e.tollgate",
        "/%2etollgate/whoami",
        "/metrics",
        "/healthz",
        "/readyz",
        "/debug/pprof",
    ] {
        let back = world.asks("GET", target).await;
        assert!(
            [400, 404].contains(&back.statuses()[0]),
            "{target}: {}",
            back.text
        );
    }
    assert!(world.upstream().is_empty());
    world.finish().await;
}

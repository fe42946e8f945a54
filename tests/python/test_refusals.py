"""What a user of requests can get wrong: each with its code, and nothing of it reaches Devin."""

from __future__ import annotations

import time

import pytest
import requests
from harness import WRONG_KEY, Demo

SELF = "/v3beta1/enterprise/self"


def check_refusal(demo: Demo, answer: requests.Response, status: int, code: str) -> dict:
    """An RFC 9457 answer of the gateway's own, with a page behind its `type`; the fake saw nothing."""
    assert answer.status_code == status, answer.text
    assert answer.headers["Content-Type"].split(";")[0] == "application/problem+json"
    assert answer.headers["Tollgate-Answered-By"] == "gateway"
    problem = answer.json()
    assert problem["type"] == f"/.tollgate/problems/{code}"
    assert problem["status"] == status
    assert isinstance(problem["title"], str) and problem["title"]
    assert isinstance(problem["detail"], str) and problem["detail"]
    assert answer.headers["X-Request-Id"]
    assert answer.headers["X-Request-Id"] in problem["instance"]
    for caller in demo.callers:
        assert caller.key not in answer.text
    assert demo.upstream() == []
    check_page(demo, problem["type"])
    return problem


def check_page(demo: Demo, path: str) -> None:
    page = demo.call("GET", path)
    assert page.status_code == 200
    assert page.headers["Content-Type"].split(";")[0] == "text/html"
    assert path.rsplit("/", 1)[-1] in page.text


def waits_forever(answer: requests.Response) -> bool:
    """Whether the answer tells Devin's own SDK that trying again is no use."""
    return answer.headers.get("x-should-retry") == "false"


# --- who are you?


def test_no_credential(demo):
    answer = demo.call("GET", SELF)
    check_refusal(demo, answer, 401, "credential-missing")
    assert answer.headers["WWW-Authenticate"].startswith("Bearer")


@pytest.mark.parametrize(
    "authorization",
    ["Basic dXNlcjpwYXNz", "Digest username=x", "Token something", "bearer-something"],
    ids=["basic", "digest", "token", "no-scheme"],
)
def test_wrong_scheme(demo, authorization):
    answer = demo.call("GET", SELF, headers={"Authorization": authorization})
    assert answer.status_code == 401
    assert answer.json()["type"].rsplit("/", 1)[-1] in ("credential-missing", "credential-invalid")
    check_refusal(demo, answer, 401, answer.json()["type"].rsplit("/", 1)[-1])
    assert "WWW-Authenticate" in answer.headers


@pytest.mark.parametrize(
    "key",
    [WRONG_KEY, "x", "tg_", "a.b.c", "x" * 4096],
    ids=["shaped like a key", "one letter", "only a prefix", "shaped like a JWT", "4 KiB"],
)
def test_unknown_key(demo, key):
    answer = demo.call("GET", SELF, key)
    check_refusal(demo, answer, 401, "credential-invalid")
    assert "WWW-Authenticate" in answer.headers
    assert waits_forever(answer)


def test_a_key_of_another_gateway(demo, fresh_demo):
    """Well formed, of the same caller, and still nobody here: only the digest decides."""
    stranger = fresh_demo()
    assert stranger.everything.key != demo.everything.key, "keys are fresh at every start"
    answer = demo.call("GET", SELF, stranger.everything.key)
    check_refusal(demo, answer, 401, "credential-invalid")


def test_a_key_with_one_letter_changed(demo):
    key = demo.everything.key
    changed = key[:-10] + ("A" if key[-10] != "A" else "B") + key[-9:]
    answer = demo.call("GET", SELF, changed)
    check_refusal(demo, answer, 401, "credential-invalid")
    assert changed not in answer.text


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE"])
def test_no_credential_on_what_changes_things(demo, method):
    organization = demo.everything.organizations[0]
    path = {
        "POST": f"/v3/organizations/{organization}/sessions",
        "PUT": f"/v3/organizations/{organization}/sessions/devin-1/tags",
        "DELETE": f"/v3/organizations/{organization}/sessions/devin-1",
    }[method]
    answer = demo.call(method, path, json={"prompt": "nobody asked"} if method != "DELETE" else None)
    check_refusal(demo, answer, 401, "credential-missing")


# --- what do you want?


@pytest.mark.parametrize(
    "path",
    [
        "/v1/sessions",
        "/v2/enterprise/organizations",
        "/beta/v2/sessions",
        "/opbeta/outposts",
        "/v3/organizations/sessions",
        "/v3beta1/enterprise/nothing-of-the-kind",
        "/v4/enterprise/self",
        "/enterprise/self",
        "/",
        "/.fake/requests",
        "/.tollgate/nothing-of-the-kind",
    ],
)
def test_unknown_path(demo, path):
    answer = demo.call("GET", path, demo.everything.key)
    check_refusal(demo, answer, 404, "operation-unknown")


def test_unknown_path_with_a_body(demo):
    answer = demo.call("POST", "/v1/sessions", demo.everything.key, json={"prompt": "the old way", "idempotent": True})
    check_refusal(demo, answer, 404, "operation-unknown")
    assert waits_forever(answer)


@pytest.mark.parametrize("method", ["DELETE", "PUT", "PATCH"])
def test_known_path_with_a_wrong_method(demo, method):
    answer = demo.call(method, SELF, demo.everything.key)
    check_refusal(demo, answer, 405, "method-unknown")
    assert "GET" in answer.headers["Allow"]


# --- may you?


def test_an_operation_that_no_rule_allows(demo):
    answer = demo.call("GET", SELF, demo.narrow.key)
    check_refusal(demo, answer, 403, "operation-denied")
    assert waits_forever(answer)


@pytest.mark.parametrize("version", ["v3", "v3beta1"])
def test_an_organization_outside_the_grant(demo, version):
    foreign = demo.foreign_organization()
    answer = demo.call("POST", f"/{version}/organizations/{foreign}/sessions", demo.narrow.key, json={"prompt": "x"})
    check_refusal(demo, answer, 403, "organization-denied")
    assert waits_forever(answer)


def test_an_organization_that_nobody_has(demo):
    """The same words as for one that exists: a refusal is no way to find out."""
    answer = demo.call("GET", "/v3/organizations/org-nobody/sessions", demo.narrow.key)
    check_refusal(demo, answer, 403, "organization-denied")


def test_an_organization_that_is_not_shown_is_refused_by_its_id(demo):
    """What the filtered list leaves out is no more there when it is asked for."""
    listed = demo.call("GET", "/v3/enterprise/organizations", demo.narrow.key)
    assert listed.headers["Tollgate-Answered-By"] == "upstream"
    assert [item["org_id"] for item in listed.json()["items"]] == demo.narrow.organizations
    demo.forget()
    for organization in [demo.foreign_organization(), "org-nobody"]:
        answer = demo.call("GET", f"/v3/enterprise/organizations/{organization}", demo.narrow.key)
        check_refusal(demo, answer, 403, "operation-denied")


# --- too often


def test_over_the_limit_and_a_retry_after_that_holds(fresh_demo):
    demo = fresh_demo()
    (organization, *_) = demo.throttled.organizations
    path = f"/v3/organizations/{organization}/sessions"
    demo.call("POST", path, demo.throttled.key, json={"prompt": "x", "max_acu_limit": 5}).raise_for_status()
    demo.call("GET", path, demo.throttled.key).raise_for_status()
    demo.forget()

    answer = demo.call("GET", path, demo.throttled.key)
    refused_at = time.monotonic()
    check_refusal(demo, answer, 429, "rate-limited")
    assert not waits_forever(answer)
    wait = int(answer.headers["Retry-After"])
    assert 1 <= wait <= 31

    # Others are not held up by one caller's limit.
    assert demo.call("GET", SELF, demo.everything.key).status_code == 200
    demo.forget()

    time.sleep(max(0.0, refused_at + wait - time.monotonic()))
    assert demo.call("GET", path, demo.throttled.key).status_code == 200
    assert len(demo.upstream()) == 1


# --- every answer


def test_every_answer_says_who_spoke_and_has_an_id_of_its_own(demo):
    answers = [
        demo.call("GET", SELF, demo.everything.key, headers={"X-Request-Id": "mine"}),
        demo.call("GET", SELF),
        demo.call("GET", "/nowhere", demo.everything.key),
        demo.call("GET", "/.tollgate/problems/rate-limited"),
    ]
    ids = [answer.headers["X-Request-Id"] for answer in answers]
    assert len(set(ids)) == len(ids)
    assert "mine" not in ids
    assert [answer.headers["Tollgate-Answered-By"] for answer in answers] == [
        "upstream",
        "gateway",
        "gateway",
        "gateway",
    ]


@pytest.mark.parametrize("path", ["/healthz", "/readyz"])
def test_admin_answers_without_a_key(demo, path):
    answer = demo.http.get(demo.admin_url + path, timeout=5)
    assert answer.status_code == 200
    # And only there: on the caller port it is an operation that nobody knows.
    assert demo.call("GET", path, demo.everything.key).status_code == 404


@pytest.mark.parametrize(
    "code",
    [
        "credential-missing",
        "credential-invalid",
        "credential-expired",
        "operation-denied",
        "organization-denied",
        "operation-unknown",
        "method-unknown",
        "header-invalid",
        "rate-limited",
        "upstream-unreachable",
        "upstream-credential-rejected",
        "upstream-timeout",
        "upstream-cooling-down",
    ],
)
def test_problem_page(demo, code):
    check_page(demo, f"/.tollgate/problems/{code}")
    assert demo.upstream() == []

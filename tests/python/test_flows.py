"""The nine flows of Devin's early v3beta1 usage page: scripts that know nothing of Tollgate.

Each runs as its user would run it, with only base URL and token changed. What it prints says that
the answer came back whole; what the fake recorded says what left the gateway.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time

import pytest
from harness import FLOWS, WRONG_KEY, Demo, Recorded, bare_environment

FLOW_SECONDS = 60


def run_flow(demo: Demo, name: str, token: str, organization: str | None = None) -> subprocess.CompletedProcess:
    environment = bare_environment() | {
        "DEVIN_BASE_URL": f"{demo.base_url}/v3beta1",
        "DEVIN_TOKEN": token,
        "PYTHONUTF8": "1",
    }
    if organization is not None:
        environment["DEVIN_ORG_ID"] = organization
    return subprocess.run(
        [sys.executable, str(FLOWS / f"{name}.py")],
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        encoding="utf-8",
        timeout=FLOW_SECONDS,
    )


def run_well(demo: Demo, name: str, organization: str | None = None) -> list[str]:
    """Runs a flow as the caller that may do everything; gives what it printed."""
    result = run_flow(demo, name, demo.everything.key, organization)
    assert result.returncode == 0, f"{name} ended with {result.returncode}:\n{result.stdout}\n{result.stderr}"
    return result.stdout.splitlines()


def forwarded(demo: Demo, method: str, target: str) -> Recorded:
    """The one request that the fake received, which must be this one."""
    recorded = demo.upstream()
    assert [(r.method, r.target) for r in recorded] == [(method, target)]
    check_credential(demo, recorded[0])
    return recorded[0]


def check_credential(demo: Demo, request: Recorded) -> None:
    """The shared token arrived, once; the caller's key did not, in no header and no body."""
    authorization = request.all("authorization")
    assert len(authorization) == 1, f"{request}: {len(authorization)} Authorization headers"
    assert authorization[0].startswith("Bearer ")
    keys = [caller.key for caller in demo.callers]
    for text in [request.target, request.body, *(value for _, value in request.headers)]:
        assert not any(key in text for key in keys), f"{request}: a caller's key went upstream"


def first_organization(demo: Demo) -> str:
    return demo.everything.organizations[0]


def test_who_am_i(demo):
    lines = run_well(demo, "who_am_i")
    assert len(lines) == 2
    assert re.fullmatch(r"name: \S.*", lines[0])
    assert re.fullmatch(r"role: \S.*", lines[1])
    forwarded(demo, "GET", "/v3beta1/enterprise/self")


def test_list_organizations(demo):
    lines = run_well(demo, "list_organizations")
    printed = [line.split(": ", 1)[0] for line in lines]
    assert set(demo.everything.organizations) <= set(printed)
    assert all(line.split(": ", 1)[1] for line in lines)
    forwarded(demo, "GET", "/v3beta1/enterprise/organizations")


def test_list_organizations_as_a_narrow_caller(demo):
    """The same script, and the caller's own organizations only: the early list's name is filtered too."""
    result = run_flow(demo, "list_organizations", demo.narrow.key)
    assert result.returncode == 0, result.stdout + result.stderr
    printed = [line.split(": ", 1)[0] for line in result.stdout.splitlines()]
    assert printed == demo.narrow.organizations
    request = forwarded(demo, "GET", "/v3beta1/enterprise/organizations")
    assert request.all("accept-encoding") == ["identity"]


@pytest.mark.parametrize("first", [None, 1, 2, 200])
def test_a_filtered_list_is_read_to_its_end(demo, first):
    """A loop that takes an empty page for the end, as many do, finds what is there and ends."""
    found, parameters = [], {} if first is None else {"first": first}
    while True:
        answer = demo.call("GET", "/v3/enterprise/organizations", demo.narrow.key, params=parameters)
        answer.raise_for_status()
        page = answer.json()
        found += [item["org_id"] for item in page["items"]]
        assert page["items"] or not page["has_next_page"]
        assert page["total"] is None
        if not page["has_next_page"]:
            break
        parameters["after"] = page["end_cursor"]
    assert found == demo.narrow.organizations


def test_create_organization(demo):
    (line,) = run_well(demo, "create_organization")
    organization = re.fullmatch(r"created: (\S+)", line).group(1)
    request = forwarded(demo, "POST", "/v3beta1/enterprise/organizations")
    # Byte for byte what requests made of the script's dict.
    assert request.body == json.dumps({"name": "開発チーム東京", "acu_limit": 1000})
    assert request.all("content-type") == ["application/json"]

    listed = run_well(demo, "list_organizations")
    assert f"{organization}: 開発チーム東京" in listed


def without_our_tag(body: str) -> str:
    """A create's body without the tag by which the gateway finds its session again; there is one in each."""
    bare, count = re.subn(r',"tags":\["tollgate\.[^"]*"\]|,"tollgate\.[^"]*"', "", body)
    assert count == 1, body
    return bare


def test_create_session(demo):
    organization = first_organization(demo)
    lines = run_well(demo, "create_session", organization)
    session = re.fullmatch(r"session: (\S+)", lines[0]).group(1)
    assert re.fullmatch(r"url: https?://\S+", lines[1])
    request = forwarded(demo, "POST", f"/v3beta1/organizations/{organization}/sessions")
    # A script that knows of no cap gets the grant's.
    body = json.loads(without_our_tag(request.body))
    assert body == {"prompt": "README.md の誤字を直してください", "max_acu_limit": 10}

    answer = demo.call("GET", f"/v3/organizations/{organization}/sessions/{session}", demo.everything.key)
    assert answer.status_code == 200
    assert answer.json()["session_id"] == session


def test_create_session_as_a_narrow_caller(demo):
    (organization,) = demo.narrow.organizations
    result = run_flow(demo, "create_session", demo.narrow.key, organization)
    assert result.returncode == 0, result.stderr
    assert result.stdout.startswith("session: ")
    forwarded(demo, "POST", f"/v3beta1/organizations/{organization}/sessions")


def test_consumption(demo):
    lines = run_well(demo, "consumption")
    assert lines
    for line in lines:
        assert re.fullmatch(r"\S.*: [0-9]+(\.[0-9]+)? ACUs", line), line
    forwarded(
        demo,
        "GET",
        "/v3beta1/enterprise/consumption/daily/organizations?start_date=2024-01-01&end_date=2024-01-31",
    )


def test_create_service_user(demo):
    organization = first_organization(demo)
    lines = run_well(demo, "create_service_user", organization)
    assert re.fullmatch(r"id: \S+", lines[0])
    one_time_key = re.fullmatch(r"api_key: (\S+)", lines[1]).group(1)
    demo.canaries.add(one_time_key)
    request = forwarded(demo, "POST", f"/v3beta1/organizations/{organization}/members/service-users")
    assert json.loads(request.body) == {"name": "CI/CD Bot", "role": "developer"}
    assert one_time_key not in request.all("authorization")[0]


def test_audit_log_all_pages(demo):
    # The fake starts with more entries of recent weeks than two pages hold; the newest is ours.
    organization = first_organization(demo)
    demo.call(
        "POST",
        f"/v3beta1/organizations/{organization}/sessions",
        demo.everything.key,
        json={"prompt": "an entry of the audit log"},
    ).raise_for_status()
    # The script asks for what is older than now, in whole seconds.
    time.sleep(1.5)
    demo.forget()

    *entries, summary = run_well(demo, "audit_log_pages")
    count, pages = map(int, re.fullmatch(r"(\d+) entries on (\d+) pages", summary).groups())
    assert len(entries) == count > 200
    assert pages >= 3
    for line in entries:
        assert re.fullmatch(r"\d+ [a-z_]+ org=\S+ by=\S+", line), line
    assert not any(line.endswith("by=None") for line in entries)
    assert any(f" create_session org={organization} " in line for line in entries)

    recorded = demo.upstream()
    assert len(recorded) == pages
    assert len({request.target for request in recorded}) == pages, "a page was asked for twice"
    for position, request in enumerate(recorded):
        check_credential(demo, request)
        assert request.method == "GET"
        assert re.match(r"/v3beta1/enterprise/audit-logs\?time_after=\d+&time_before=\d+&first=100", request.target)
        assert ("&after=" in request.target) == (position > 0)


def test_session_in_every_organization(demo):
    lines = run_well(demo, "session_in_every_organization")
    assert len(lines) >= len(demo.everything.organizations)
    assert not any("refused" in line for line in lines)
    listing, *creates = demo.upstream()
    assert listing.target == "/v3beta1/enterprise/organizations"
    assert len(creates) == len(lines)
    for request in creates:
        check_credential(demo, request)
        assert request.method == "POST"
    for organization in demo.everything.organizations:
        assert f"/v3beta1/organizations/{organization}/sessions" in [r.target for r in creates]


def test_session_in_every_organization_where_one_is_refused(demo):
    """Devin refuses one create; the script reports it and the rest go on, each of them once."""
    refusing = demo.everything.organizations[0]
    path = f"/v3beta1/organizations/{refusing}/sessions"
    demo.fault(kind="status", code=403, only={"method": "POST", "path": path})
    try:
        lines = run_well(demo, "session_in_every_organization")
    finally:
        demo.no_faults()
    refused = [line for line in lines if line.endswith(": refused (403)")]
    assert len(refused) == 1
    assert len(lines) >= len(demo.everything.organizations)
    creates = demo.upstream()[1:]
    assert len(creates) == len(lines) == len({request.target for request in creates})
    assert [request.status for request in creates if request.target == path] == [403]
    assert {request.status for request in creates if request.target != path} == {200}


def test_error_handling_lets_a_good_token_through(demo):
    (line,) = run_well(demo, "error_handling")
    assert re.fullmatch(r"\d+ organizations", line)


def test_error_handling_with_a_wrong_token(demo):
    result = run_flow(demo, "error_handling", WRONG_KEY)
    assert (result.returncode, result.stdout) == (1, "401: the token is wrong or has expired\n"), result.stderr
    assert demo.upstream() == []


def test_error_handling_without_the_right(demo):
    result = run_flow(demo, "error_handling", demo.caller("web-app").key)
    assert (result.returncode, result.stdout) == (
        1,
        "403: this service user does not have the right\n",
    ), result.stderr
    assert demo.upstream() == []


def test_error_handling_over_the_limit(fresh_demo):
    demo = fresh_demo()
    results = [run_flow(demo, "error_handling", demo.throttled.key) for _ in range(3)]
    assert [result.returncode for result in results] == [0, 0, 1], [result.stdout for result in results]
    assert results[2].stdout == "429: too many requests, slow down\n"
    # The third request stayed here.
    assert len(demo.upstream()) == 2


# With a cap: without one, the grant puts it in.
BODIES = {
    "raw Japanese": '{"prompt": "東京のテスト", "tags": ["夜間"], "max_acu_limit": 5}'.encode(),
    "escaped Japanese": json.dumps({"prompt": "東京のテスト", "max_acu_limit": 5}).encode(),
    "odd spacing and member order": b'{\n\t"title" : "x",\r\n  "max_acu_limit" :5,"prompt":"a\\u0041b\\/c" }\n',
    "a long prompt": json.dumps({"prompt": "long " * 20_000, "max_acu_limit": 5}).encode(),
    "an unknown member": b'{"prompt": "x", "max_acu_limit": 5, "idempotent": true, "nobody_knows_me": [1, 2.50, 1e3]}',
}


@pytest.mark.parametrize("name", BODIES)
def test_a_body_arrives_byte_for_byte(demo, name):
    organization = first_organization(demo)
    body = BODIES[name]
    answer = demo.call(
        "POST",
        f"/v3beta1/organizations/{organization}/sessions",
        demo.everything.key,
        data=body,
        headers={"Content-Type": "application/json"},
    )
    assert answer.status_code == 200, answer.text
    assert answer.headers["Tollgate-Answered-By"] == "upstream"
    request = forwarded(demo, "POST", f"/v3beta1/organizations/{organization}/sessions")
    assert without_our_tag(request.body).encode() == body


def test_a_refusal_of_devins_own_comes_back_unchanged(demo):
    """A create without a prompt is for Devin to refuse; the script sees Devin's words."""
    organization = first_organization(demo)
    answer = demo.call(
        "POST", f"/v3beta1/organizations/{organization}/sessions", demo.everything.key, json={"title": "no prompt"}
    )
    assert answer.status_code == 422
    assert answer.headers["Tollgate-Answered-By"] == "upstream"
    assert "detail" in answer.json()
    assert forwarded(demo, "POST", f"/v3beta1/organizations/{organization}/sessions").status == 422


def test_devin_refusing_our_token_is_never_the_callers_401(demo):
    """A script that reads 401 as "my token is wrong" must not be told so when the shared one is."""
    demo.fault(kind="reject_token")
    try:
        answer = demo.call("GET", "/v3beta1/enterprise/self", demo.everything.key)
    finally:
        demo.no_faults()
    assert answer.status_code == 502
    assert answer.headers["Tollgate-Answered-By"] == "gateway"
    assert answer.json()["type"] == "/.tollgate/problems/upstream-credential-rejected"

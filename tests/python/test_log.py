"""The access log of a demo: one line for every request, no secret in any, and a restart."""

from __future__ import annotations

import json

from harness import WRONG_KEY, Demo


def lines_by_request(text: str) -> dict[str, dict]:
    """The log's request lines by request id; every line of the file must be one JSON object."""
    found: dict[str, dict] = {}
    for line in text.splitlines():
        entry = json.loads(line)
        assert isinstance(entry, dict)
        if "request_id" not in entry:
            continue
        assert entry["request_id"] not in found, f"two lines for {entry['request_id']}"
        found[entry["request_id"]] = entry
    return found


def a_few_requests(demo: Demo) -> dict[str, dict]:
    """Runs one request of each kind; gives what their lines must say, by request id."""
    everything, narrow = demo.everything, demo.narrow
    (organization,) = narrow.organizations
    sessions = f"/v3/organizations/{organization}/sessions"
    foreign = f"/v3/organizations/{demo.foreign_organization()}/sessions"
    expected: dict[str, dict] = {}

    def request(method: str, path: str, key: str | None, says: dict, **more: object) -> None:
        answer = demo.call(method, path, key, **more)
        assert answer.status_code == says["status"], answer.text
        expected[answer.headers["X-Request-Id"]] = {"method": method} | says

    request(
        "GET",
        "/v3beta1/enterprise/self",
        everything.key,
        {"status": 200, "caller": everything.name, "decision": "allow", "operation": "enterprise.self.get"},
    )
    request(
        "POST",
        sessions,
        narrow.key,
        {"status": 200, "caller": narrow.name, "decision": "allow", "operation": "sessions.create"},
        json={"prompt": "write one line"},
    )
    request(
        "POST",
        foreign,
        narrow.key,
        {
            "status": 403,
            "caller": narrow.name,
            "decision": "deny",
            "operation": "sessions.create",
            "code": "organization-denied",
        },
        json={"prompt": "not mine"},
    )
    request("GET", sessions, WRONG_KEY, {"status": 401, "caller": None, "code": "credential-invalid"})
    request("GET", sessions, None, {"status": 401, "caller": None, "code": "credential-missing"})
    request("GET", "/v1/sessions", narrow.key, {"status": 404, "code": "operation-unknown"})
    request("DELETE", "/v3beta1/enterprise/self", everything.key, {"status": 405, "code": "method-unknown"})
    return expected


def check_log(demo: Demo, text: str, expected: dict[str, dict]) -> None:
    lines = lines_by_request(text)
    assert set(expected) <= set(lines), "a request left no line"
    for request_id, says in expected.items():
        line = lines[request_id]
        # A member that would be null may be left out.
        said = {name: line.get(name) for name in says}
        assert said == says
        if says["status"] == 200:
            assert line.get("code") is None
    demo.assert_no_canary("the access log", text)


def test_one_line_per_request_and_a_restart(fresh_demo, tmp_path):
    path = tmp_path / "access.jsonl"

    first = fresh_demo("--access-log", str(path))
    expected = a_few_requests(first)
    first.finish()
    text = path.read_text(encoding="utf-8")
    assert text.endswith("\n")
    check_log(first, text, expected)
    # These seven, and the one with which the test learnt the token.
    asked = [line for line in lines_by_request(text).values() if line["kind"] == "request"]
    assert len(asked) == len(expected) + 1

    # Again on the same file: it works as the first time, and what was written stays.
    second = fresh_demo("--access-log", str(path))
    assert {caller.key for caller in second.callers}.isdisjoint(caller.key for caller in first.callers)
    more = a_few_requests(second)
    second.finish()
    after = path.read_text(encoding="utf-8")
    assert after.startswith(text), "a restart changed lines that were written before"
    check_log(second, after, expected | more)
    first.assert_no_canary("the access log", after)


def test_without_a_file_the_lines_go_to_stderr(fresh_demo):
    demo = fresh_demo()
    expected = a_few_requests(demo)
    demo.finish()
    objects = [line for line in demo.stderr().splitlines() if line.startswith("{")]
    check_log(demo, "\n".join(objects), expected)

"""Bodies through the gateway: what Python's own JSON reader makes of what is sent on is what it made of what came."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from test_refusals import check_refusal

SUITE = "json/JSONTestSuite/test_parsing"


def unique(pairs: list[tuple[str, object]]) -> dict:
    """An object, if it has no key twice: Python alone takes the last."""
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key stands twice")
    return found


def vectors() -> list[Path]:
    folder = os.environ.get("TOLLGATE_TESTDATA")
    return sorted((Path(folder) / SUITE).glob("*.json")) if folder else []


def create(demo, body: bytes, content_type: str = "application/json"):
    caller = demo.everything
    path = f"/v3/organizations/{caller.organizations[0]}/sessions"
    return demo.call("POST", path, caller.key, data=body, headers={"Content-Type": content_type})


@pytest.mark.skipif(not vectors(), reason="TOLLGATE_TESTDATA is not set")
def test_b6_python_reads_the_same_body_on_both_sides(demo):
    refused = forwarded = 0
    for path in vectors():
        bytes_ = path.read_bytes()
        # As the body itself, and as a member's value.
        for body in (bytes_, b'{"prompt": "x", "structured_output_schema": ' + bytes_ + b"}"):
            demo.forget()
            answer = create(demo, body)
            assert answer.status_code < 500, path.name
            seen = demo.upstream()
            if answer.headers["Tollgate-Answered-By"] == "gateway":
                assert answer.status_code in (400, 403), (path.name, answer.text)
                assert seen == [], path.name
                refused += 1
                continue
            assert not path.name.startswith("n_"), path.name
            forwarded += 1
            if not body:
                continue
            came = json.loads(body, object_pairs_hook=unique)
            went = json.loads(seen[0].body, object_pairs_hook=unique)
            assert {name: went[name] for name in came} == came, path.name
            assert set(went) - set(came) <= {"secret_ids", "tags", "max_acu_limit"}, path.name
    assert refused > 200 and forwarded > 40, (refused, forwarded)


@pytest.mark.parametrize(
    ("body", "code", "status"),
    [
        (b'{"prompt": "x", "prompt": "y"}', "body-invalid", 400),
        (b'{"prompt": "x"} trailing', "body-invalid", 400),
        (b"\xef\xbb\xbf{}", "body-invalid", 400),
        (b'{"prompt": "\xff"}', "body-invalid", 400),
        (b"[" * 100_000, "body-invalid", 400),
        (b'{"prompt": "x", "create_as_user_id": "user-1"}', "field-denied", 403),
    ],
    ids=["twice", "trailing", "mark", "bytes", "deep", "guarded"],
)
def test_b1_b9_a_body_that_is_refused(demo, body, code, status):
    check_refusal(demo, create(demo, body), status, code)


def test_b7_b8_a_body_that_cannot_be_judged(demo):
    check_refusal(demo, create(demo, b"prompt=x", "application/x-www-form-urlencoded"), 415, "body-unsupported")
    caller = demo.everything
    answer = demo.call(
        "POST",
        f"/v3/organizations/{caller.organizations[0]}/sessions",
        caller.key,
        data=b"\x1f\x8b",
        headers={"Content-Type": "application/json", "Content-Encoding": "gzip"},
    )
    check_refusal(demo, answer, 415, "body-unsupported")

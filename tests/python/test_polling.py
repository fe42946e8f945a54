"""Polling with `requests`, as scripts do: many at once are one request to Devin."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import requests

POLLERS = 20


def test_scripts_that_poll_the_same_session_at_once_are_one_request(demo):
    key, organization = demo.everything.key, demo.everything.organizations[0]
    sessions = f"/v3/organizations/{organization}/sessions"
    created = demo.call("POST", sessions, key, json={"prompt": "poll me", "max_acu_limit": 1})
    created.raise_for_status()
    path = f"{sessions}/{created.json()['session_id']}"
    demo.forget()
    demo.fault(kind="latency", ms=2000, only={"method": "GET", "path": path})

    def poll(_: int) -> requests.Response:
        return requests.get(demo.base_url + path, headers={"Authorization": f"Bearer {key}"}, timeout=20)

    with ThreadPoolExecutor(POLLERS) as pool:
        answers = list(pool.map(poll, range(POLLERS)))
    demo.no_faults()
    assert {answer.status_code for answer in answers} == {200}
    assert len({answer.content for answer in answers}) == 1
    how = sorted(answer.headers["Tollgate-Cache"] for answer in answers)
    assert how == ["miss"] + ["shared"] * (POLLERS - 1)
    assert len({answer.headers["X-Request-Id"] for answer in answers}) == POLLERS
    assert len(demo.upstream()) == 1

"""Limits as scripts meet them: told with every answer, waited for, and kept to by whoever obeys `Retry-After`."""

from __future__ import annotations

import json
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
import requests
from harness import HTTP_SECONDS, SERVES, process, tollgate_binary

CONFIG = """
listen: [{{ tcp: "127.0.0.1:0" }}]
admin: {{ tcp: "127.0.0.1:0" }}
upstream: {{ base_url: "{upstream}", token: {{ env: DEVIN_SERVICE_USER_TOKEN }} }}
policies: policies
access_log: {{ to: file, path: access.log }}
"""

POLICY = """
team: t
callers: {{ one: {{ keys: [{{ id: one1, sha256: "{digest}" }}] }} }}
allow:
  - {{ name: run, operations: ["sessions.**"], organizations: [org-ds], body: {{ max_acu_limit: {{ default: 5 }} }} }}
  - {{ name: self, operations: [self.get], organizations: any }}
limits:
  - {{ name: waits, per: caller, operations: [self.get], rate: 20/s, burst: 2, wait: 5s }}
  - {{ name: refuses, per: caller, operations: [sessions.list], rate: 1/s, burst: 1 }}
  - {{ name: running, per: caller, sessions: 1 }}
"""

SESSIONS = "/v3/organizations/org-ds/sessions"


class Served:
    def __init__(self, address: str, folder, key: str):
        self.address, self.folder = f"http://{address}", folder
        self.session = requests.Session()
        self.session.trust_env = False
        self.session.headers["Authorization"] = f"Bearer {key}"

    def call(self, method: str, path: str, **more) -> requests.Response:
        return self.session.request(method, self.address + path, timeout=HTTP_SECONDS, **more)


@pytest.fixture
def served(tmp_path):
    command = [tollgate_binary(), "keys", "new", "one1", "--output", "json"]
    key = json.loads(subprocess.run(command, capture_output=True, check=True, cwd=tmp_path).stdout)
    (tmp_path / "policies").mkdir()
    (tmp_path / "policies" / "t.yaml").write_text(POLICY.format(digest=key["sha256"]))
    fake = process(tmp_path, "fake-devin", "--listen", "127.0.0.1:0", ready=r"(http://127\.0\.0\.1:\d+)")
    with fake as upstream:
        (tmp_path / "tollgate.yaml").write_text(CONFIG.format(upstream=upstream))
        with process(tmp_path, "serve", ready=SERVES) as address:
            yield Served(address, tmp_path, key["key"])


def test_a_burst_waits_and_none_of_it_is_refused(served):
    with ThreadPoolExecutor(10) as pool:
        answers = list(pool.map(lambda _: served.call("GET", "/v3/self"), range(10)))
    assert {answer.status_code for answer in answers} == {200}
    assert {answer.headers["RateLimit-Policy"] for answer in answers} == {'"t/waits";q=20;w=1'}
    assert all(answer.headers["RateLimit"].startswith('"t/waits";r=') for answer in answers)


def test_whoever_obeys_retry_after_is_not_refused_twice(served):
    refusals = 0
    for _ in range(4):
        answer = served.call("GET", SESSIONS)
        if answer.status_code == 429:
            refusals += 1
            told = answer.json()
            assert (told["type"], told["limit"]) == ("/.tollgate/problems/rate-limited", "t/refuses")
            assert answer.headers["RateLimit"].startswith('"t/refuses";r=0;t=')
            time.sleep(int(answer.headers["Retry-After"]))
            answer = served.call("GET", SESSIONS)
        assert answer.status_code == 200, answer.text
    assert refusals >= 2


def test_one_session_at_a_time(served):
    first = served.call("POST", SESSIONS, json={"prompt": "one"})
    assert first.status_code == 200, first.text
    refused = served.call("POST", SESSIONS, json={"prompt": "two"})
    assert (refused.status_code, refused.headers["Retry-After"]) == (429, "30")
    assert refused.json()["type"] == "/.tollgate/problems/sessions-at-limit"
    assert "x-should-retry" not in refused.headers
    path = f"{SESSIONS}/{first.json()['session_id']}"
    assert served.call("POST", f"{path}/messages", json={"message": "go on"}).status_code == 200
    assert served.call("DELETE", path).status_code == 200
    for _ in range(100):
        if (second := served.call("POST", SESSIONS, json={"prompt": "two"})).status_code == 200:
            break
        time.sleep(0.05)
    assert second.status_code == 200, second.text

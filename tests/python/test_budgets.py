"""Budgets as an operator runs them: a served gateway, its webhook, and what spreadsheets and callers get."""

from __future__ import annotations

import csv
import hashlib
import hmac
import http.server
import io
import json
import queue
import re
import subprocess
import threading

import pytest
import requests
from harness import HTTP_SECONDS, SERVES, bare_environment, process, tollgate_binary

KEY = "0123456789abcdef0123456789abcdef"

CONFIG = """
listen: [{{ tcp: "127.0.0.1:0" }}]
admin: {{ tcp: "127.0.0.1:0", unix: admin.sock }}
upstream: {{ base_url: "{upstream}", token: {{ env: DEVIN_SERVICE_USER_TOKEN }} }}
policies: policies
access_log: {{ to: file, path: access.log }}
alerts: {{ webhook: "{webhook}", key: {{ env: WEBHOOK_KEY }} }}
"""

POLICY = """
team: t
callers: {{ one: {{ keys: [{{ id: one1, sha256: "{digest}" }}] }} }}
allow:
  - name: run
    operations: [sessions.create]
    organizations: [org-ds]
    body: {{ max_acu_limit: {{ default: 5 }} }}
budgets:
  - {{ name: day, per: caller, acus: 10, every: day, alert_at: [50%] }}
"""


class Webhook:
    """Answers 503 to the first request and 200 to the others, and keeps what it was sent."""

    def __init__(self):
        self.sent: queue.Queue = queue.Queue()
        outer, answers = self, iter([503])

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                outer.sent.put((self.headers["Tollgate-Signature"], body))
                self.send_response(next(answers, 200))
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self.server.server_port}/hook"


@pytest.fixture
def served(tmp_path):
    """A gateway in front of a fake Devin, with a webhook: its address, its folder, the caller's key, the webhook."""
    webhook = Webhook()
    made = subprocess.run(
        [tollgate_binary(), "keys", "new", "one1", "--output", "json"], capture_output=True, check=True, cwd=tmp_path
    )
    key = json.loads(made.stdout)
    (tmp_path / "policies").mkdir()
    (tmp_path / "policies" / "t.yaml").write_text(POLICY.format(digest=key["sha256"]))
    fake = process(tmp_path, "fake-devin", "--listen", "127.0.0.1:0", ready=r"(http://127\.0\.0\.1:\d+)")
    with fake as upstream:
        (tmp_path / "tollgate.yaml").write_text(CONFIG.format(upstream=upstream, webhook=webhook.url))
        with process(tmp_path, "serve", ready=SERVES, WEBHOOK_KEY=KEY) as address:
            yield f"http://{address}", tmp_path, key["key"], webhook
    webhook.server.shutdown()


def tollgate(folder, *arguments: str) -> str:
    done = subprocess.run(
        [tollgate_binary(), *arguments], capture_output=True, text=True, cwd=folder, env=bare_environment(), timeout=HTTP_SECONDS
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_budget_is_spent_alerted_shown_and_raised(served):
    address, folder, key, webhook = served
    session = requests.Session()
    session.trust_env = False
    session.headers["Authorization"] = f"Bearer {key}"

    def create(prompt: str) -> requests.Response:
        path = f"{address}/v3/organizations/org-ds/sessions"
        return session.post(path, json={"prompt": prompt}, timeout=HTTP_SECONDS)

    answer = create("one")
    assert answer.status_code == 200, answer.text
    assert answer.headers["Tollgate-Acu-Cap"] == "5"

    # Half of the budget is held: the webhook is told, and once more since it failed, with the same id.
    bodies = set()
    for _ in range(2):
        signature, body = webhook.sent.get(timeout=HTTP_SECONDS)
        at, mac = re.fullmatch(r"t=(\d+),v1=([0-9a-f]{64})", signature).groups()
        signed = hmac.new(KEY.encode(), f"{at}.".encode() + body, hashlib.sha256).hexdigest()
        assert hmac.compare_digest(mac, signed)
        bodies.add(body)
    (body,) = bodies
    told = json.loads(body)
    assert (told["kind"], told["budget"], told["account"], told["threshold"]) == ("threshold", "t/day", "one", 50)

    (row,) = csv.DictReader(io.StringIO(tollgate(folder, "budget", "show", "--output", "csv")))
    assert (row["budget"], row["account"], row["held"], row["remaining"]) == ("t/day", "one", "5", "5")
    own = session.get(f"{address}/.tollgate/budgets", timeout=HTTP_SECONDS).json()["budgets"]
    assert [(it["budget"], it["held"], it["remaining"]) for it in own] == [("t/day", 5, 5)]

    assert create("two").status_code == 200
    refused = create("three")
    assert (refused.status_code, refused.json()["type"]) == (402, "/.tollgate/problems/budget-exhausted")
    said = tollgate(folder, "budget", "raise", "t/day", "--acus", "5", "--until", "1h", "--reason", "a test")
    assert said.startswith("t/day (all accounts): 5 ACUs until "), said
    assert create("four").status_code == 200
    assert json.loads(tollgate(folder, "budget", "verify", "--output", "json"))["sound"] is True

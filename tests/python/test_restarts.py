"""Restarts under load: over sockets that outlive the process, as systemd passes them, and without them."""

from __future__ import annotations

import collections
import fcntl
import json
import os
import signal
import socket
import subprocess
import threading
import time

import pytest
import requests
from harness import HTTP_SECONDS, START_SECONDS, STOP_SECONDS, TOKEN, bare_environment, process, tollgate_binary

RESTARTS = 50

CONFIG = """
listen: [{{ tcp: "{callers}" }}]
admin: {{ tcp: "{admin}" }}
upstream: {{ base_url: "{upstream}", token: {{ env: DEVIN_SERVICE_USER_TOKEN }} }}
policies: policies
access_log: {{ to: file, path: access.log }}
settle: {{ every: 1s }}
"""

POLICY = """
team: t
callers: {{ one: {{ keys: [{{ id: one1, sha256: "{digest}" }}] }} }}
allow:
  - name: run
    operations: [sessions.create, sessions.list]
    organizations: [org-ds]
    sessions: own
    body: {{ max_acu_limit: {{ default: 5 }} }}
budgets:
  - {{ name: month, per: caller, acus: 1000000, every: month }}
"""


def listening() -> socket.socket:
    """A socket that listens, at a number that no process passes it on as."""
    with socket.create_server(("127.0.0.1", 0), backlog=1024) as opened:
        return socket.socket(fileno=fcntl.fcntl(opened, fcntl.F_DUPFD_CLOEXEC, 20))


def address(of: socket.socket) -> str:
    return "{}:{}".format(*of.getsockname())


class Site:
    """A folder with settings and policies in front of a fake Devin, and the processes that serve it."""

    def __init__(self, folder, upstream: str, sockets: list[socket.socket]):
        self.folder, self.sockets = folder, sockets
        made = subprocess.run([tollgate_binary(), "keys", "new", "one1", "--output", "json"], capture_output=True, check=True)
        key = json.loads(made.stdout)
        self.key = key["key"]
        (folder / "policies").mkdir()
        (folder / "policies" / "t.yaml").write_text(POLICY.format(digest=key["sha256"]))
        callers, admin = (address(it) for it in sockets)
        self.url, self.admin = f"http://{callers}", f"http://{admin}"
        config = CONFIG.format(callers=callers, admin=admin, upstream=upstream)
        (folder / "tollgate.yaml").write_text(config)
        # Where the processes say that they are ready.
        self.told = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.told.bind(str(folder / "notify.sock"))
        self.told.settimeout(START_SECONDS)

    def start(self, passing: bool) -> subprocess.Popen:
        """Starts a process and waits until it has told that it is ready."""
        environment = bare_environment() | {
            "DEVIN_SERVICE_USER_TOKEN": TOKEN,
            "RUST_LOG": "info",
            "NOTIFY_SOCKET": str(self.folder / "notify.sock"),
        }
        passed = {}
        if passing:
            environment["LISTEN_FDS"] = str(len(self.sockets))

            def pass_on():
                for number, it in enumerate(self.sockets):
                    os.dup2(it.fileno(), 3 + number)

            passed = {"preexec_fn": pass_on, "pass_fds": tuple(range(3, 3 + len(self.sockets)))}
        with (self.folder / "serve.stderr").open("ab") as stderr:
            running = subprocess.Popen(
                [tollgate_binary(), "serve"], stdout=subprocess.DEVNULL, stderr=stderr, cwd=self.folder, env=environment, **passed
            )
        try:
            while b"READY=1" not in self.told.recv(1024):
                pass
        except TimeoutError:
            pytest.fail((self.folder / "serve.stderr").read_text())
        return running

    def has_the_ledger(self):
        """Waits until the only process that runs may spend: then the restart is over."""
        with requests.Session() as session:
            session.trust_env = False
            while session.get(f"{self.admin}/readyz", timeout=HTTP_SECONDS).json()["spending"]["store"]:
                time.sleep(0.01)

    def log(self) -> list[dict]:
        """The lines of callers' requests; the gateway's own to Devin are beside them."""
        lines = [json.loads(line) for line in (self.folder / "access.log").read_text().splitlines()]
        return [line for line in lines if line["kind"] == "request"]


@pytest.fixture
def site(tmp_path):
    sockets = [listening(), listening()]
    with process(tmp_path, "fake-devin", "--listen", "127.0.0.1:0", ready=r"(http://127\.0\.0\.1:\d+)") as upstream:
        yield Site(tmp_path, upstream, sockets)
    for it in sockets:
        it.close()


class Load:
    """Clients that ask one request after the other until they are told to end."""

    def __init__(self, site: Site):
        self.site = site
        self.done = threading.Event()
        self.answers: collections.Counter = collections.Counter()
        self.ids: list[str] = []
        self.failures: list[str] = []
        self.lock = threading.Lock()
        clients = [self.lists_on_one, self.lists_on_one, self.lists_anew, self.creates]
        self.threads = [threading.Thread(target=self.loop, args=[make]) for make in clients]
        for thread in self.threads:
            thread.start()

    def session(self) -> requests.Session:
        session = requests.Session()
        session.trust_env = False
        session.headers["Authorization"] = f"Bearer {self.site.key}"
        return session

    def loop(self, make):
        ask = make()
        while not self.done.is_set():
            try:
                answer = ask()
            except requests.RequestException as error:
                with self.lock:
                    self.failures.append(repr(error))
                continue
            with self.lock:
                self.answers[answer.status_code] += 1
                self.ids.append(answer.headers["X-Request-Id"])
                if answer.status_code != 200:
                    self.failures.append(answer.text)

    def lists_on_one(self):
        session, url = self.session(), f"{self.site.url}/v3/organizations/org-ds/sessions"
        return lambda: session.get(url, timeout=HTTP_SECONDS)

    def lists_anew(self):
        url = f"{self.site.url}/v3/organizations/org-ds/sessions"

        def ask():
            with self.session() as session:
                return session.get(url, timeout=HTTP_SECONDS)

        return ask

    def creates(self):
        session, url = self.session(), f"{self.site.url}/v3/organizations/org-ds/sessions"
        numbers = iter(range(1_000_000))

        def ask():
            time.sleep(0.02)
            return session.post(url, json={"prompt": f"number {next(numbers)}"}, timeout=HTTP_SECONDS)

        return ask

    def end(self):
        self.done.set()
        for thread in self.threads:
            thread.join()


def ends(running: subprocess.Popen):
    running.send_signal(signal.SIGTERM)
    assert running.wait(timeout=STOP_SECONDS) == 0


def test_a11_fifty_restarts_by_socket_passing_and_no_failed_request(site):
    running = site.start(passing=True)
    load = Load(site)
    try:
        began = time.monotonic()
        for _ in range(RESTARTS):
            following = site.start(passing=True)
            ends(running)
            running = following
            site.has_the_ledger()
        took = time.monotonic() - began
    finally:
        load.end()
        ends(running)
    print(f"{RESTARTS} restarts in {took:.1f} s, {dict(load.answers)}")
    assert load.failures == []
    assert load.answers[200] > RESTARTS
    # Both processes of each hand-over wrote into the same file.
    assert collections.Counter(load.ids) == collections.Counter(line["request_id"] for line in site.log())


def test_a11_terminated_under_load_every_request_is_answered_or_visibly_cut_and_has_its_line(site):
    for it in site.sockets:
        it.close()
    for _ in range(5):
        running = site.start(passing=False)
        load = Load(site)
        time.sleep(0.3)
        ends(running)
        load.end()
        # Whoever came after the listener was closed was refused; nobody got half an answer.
        assert load.answers.keys() <= {200}, load.failures
        for failure in load.failures:
            assert "Connection refused" in failure or "Connection reset" in failure or "without response" in failure, failure
        lines = [line["request_id"] for line in site.log()]
        (site.folder / "access.log").unlink()
        assert len(lines) == len(set(lines))
        assert set(load.ids) <= set(lines), "an answer without its line"
        assert len(lines) <= len(load.ids) + 4, "of each client, one may have left without its answer"

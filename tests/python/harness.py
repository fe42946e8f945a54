"""One running `tollgate demo`, and what a test asks of it.

The demo is the gateway in front of its fake Devin, in one process. The fake records every request
that reaches it; `Demo.upstream()` reads that recording, and "nothing was forwarded" is an empty one.
"""

from __future__ import annotations

import contextlib
import json
import os
import queue
import re
import signal
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import requests

START_SECONDS = 20
STOP_SECONDS = 20
HTTP_SECONDS = 20

PROJECT = Path(__file__).resolve().parents[2]
FLOWS = PROJECT / "tests" / "flows"

WRONG_KEY = "tg_nobody_this-is-no-key"

# What a gateway of a test's own has as the shared token.
TOKEN = "fake-devin-token"
# What `serve` says when callers can come, and where.
SERVES = r" ready callers=\[([^\],]+)"


def tollgate_binary() -> Path:
    """The binary under test; a missing one is a failure, never a skip."""
    path = Path(os.environ.get("TOLLGATE_BIN", PROJECT / "target" / "debug" / "tollgate")).resolve()
    if not os.access(path, os.X_OK):
        raise RuntimeError(f"there is no program at {path}: run `cargo build`, or let TOLLGATE_BIN name the binary")
    return path


def bare_environment() -> dict[str, str]:
    """This environment without what would send a client elsewhere than to the URL it is given."""
    return {
        name: value
        for name, value in os.environ.items()
        if not name.lower().endswith("_proxy") and not name.startswith(("DEVIN_", "TOLLGATE_"))
    }


@contextlib.contextmanager
def process(folder: Path, *arguments: str, ready: str, **environment: str) -> Iterator[str]:
    """A process of the binary, from its line that says it is ready."""
    environment = bare_environment() | {"DEVIN_SERVICE_USER_TOKEN": TOKEN, "RUST_LOG": "info"} | environment
    running = subprocess.Popen(
        [tollgate_binary(), *arguments], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=folder, env=environment
    )
    lines: queue.Queue = queue.Queue()
    threading.Thread(target=lambda: [lines.put(line) for line in running.stdout], daemon=True).start()
    try:
        before = ""
        while not (found := re.search(ready, before)):
            before += lines.get(timeout=START_SECONDS)
        yield found.group(1)
        running.terminate()
        assert running.wait(timeout=STOP_SECONDS) == 0
    finally:
        running.kill()
        running.wait()


class Recorded:
    """One request as the fake Devin received it."""

    def __init__(self, entry: dict):
        self.method: str = entry["method"]
        self.target: str = entry["target"]
        self.headers: list[tuple[str, str]] = [(name.lower(), value) for name, value in entry["headers"]]
        self.body: str = entry["body"] or ""
        self.status: int = entry["status"]

    def all(self, name: str) -> list[str]:
        return [value for header, value in self.headers if header == name.lower()]

    def __repr__(self) -> str:
        return f"<{self.method} {self.target} -> {self.status}>"


class Caller:
    """A sample caller: its key works until its demo stops."""

    def __init__(self, entry: dict):
        self.name: str = entry["name"]
        self.team: str = entry["team"]
        self.key: str = entry["key"]
        self.organizations: list[str] = entry["organizations"]

    def __repr__(self) -> str:
        return f"<caller {self.name}>"


class Demo:
    """A running `tollgate demo`; made by `Demo.start`, ended by `stop`."""

    def __init__(self, process: subprocess.Popen, stdout: queue.Queue, stderr_path: Path, ready: dict):
        self.process = process
        self._stdout = stdout
        self.stderr_path = stderr_path
        self.finished = False
        self.base_url: str = ready["base_url"].rstrip("/")
        self.admin_url: str = ready["admin_url"].rstrip("/")
        self.upstream_url: str = ready["upstream_url"].rstrip("/")
        self.callers = [Caller(entry) for entry in ready["callers"]]
        # Whatever must never stand in a log: filled as the tests see more of it.
        self.canaries: set[str] = {caller.key for caller in self.callers}
        self.http = requests.Session()
        self.http.trust_env = False

    @staticmethod
    def start(folder: Path, *arguments: str, command: list[str] | None = None, **popen: object) -> Demo:
        """Starts a demo and waits for its one line; `command` replaces the program, for a sandbox."""
        folder.mkdir(parents=True, exist_ok=True)
        stderr_path = folder / "demo.stderr"
        command = command or [str(tollgate_binary())]
        # At trace level, so that the search for canaries sees the most that could be logged.
        environment = bare_environment() | {"RUST_LOG": "trace"}
        with stderr_path.open("wb") as stderr:
            process = subprocess.Popen(
                [*command, "demo", "--output", "json", *arguments],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=stderr,
                cwd=folder,
                env=environment,
                **popen,
            )
        lines: queue.Queue = queue.Queue()

        def pump() -> None:
            for line in process.stdout:
                lines.put(line)
            lines.put(None)

        threading.Thread(target=pump, daemon=True).start()
        try:
            line = lines.get(timeout=START_SECONDS)
        except queue.Empty:
            line = None
        if line is None:
            process.kill()
            process.wait()
            raise RuntimeError(
                f"the demo gave no line within {START_SECONDS} s (exit code {process.returncode}); it said:\n"
                + stderr_path.read_text(errors="replace")[-4000:]
            )
        return Demo(process, lines, stderr_path, json.loads(line))

    # --- callers

    @property
    def everything(self) -> Caller:
        """The caller that may run all nine flows: the one listed first."""
        return self.callers[0]

    @property
    def throttled(self) -> Caller:
        """Two requests at once, then one each 30 seconds."""
        return self.caller("throttled")

    def caller(self, name: str) -> Caller:
        for caller in self.callers:
            if caller.name == name:
                return caller
        raise AssertionError(f"the demo lists no caller {name!r}: {self.callers}")

    @property
    def narrow(self) -> Caller:
        """A caller of one organization, which may not do what needs the whole enterprise."""
        for caller in self.callers[1:]:
            if caller.name != "throttled" and len(caller.organizations) == 1:
                return caller
        raise AssertionError(f"the demo lists no caller with one organization: {self.callers}")

    def foreign_organization(self) -> str:
        """An organization that exists and that the narrow caller may not use."""
        for organization in self.everything.organizations:
            if organization not in self.narrow.organizations:
                return organization
        raise AssertionError("the narrow caller may use every organization")

    # --- requests

    def call(self, method: str, path: str, key: str | None = None, **more: object) -> requests.Response:
        """A request to the gateway; with `key`, as a bearer token."""
        headers = dict(more.pop("headers", {}))
        if key is not None:
            headers["Authorization"] = f"Bearer {key}"
        return self.http.request(
            method, self.base_url + path, headers=headers, timeout=HTTP_SECONDS, allow_redirects=False, **more
        )

    # --- the fake's control side

    def upstream(self) -> list[Recorded]:
        """What the fake Devin has received since `forget`, without what the gateway asks by itself."""
        answer = self.http.get(f"{self.upstream_url}/.fake/requests", timeout=HTTP_SECONDS)
        answer.raise_for_status()
        recorded = [Recorded(entry) for entry in answer.json()]
        for request in recorded:
            for value in request.all("authorization"):
                self.canaries.add(value.split(" ", 1)[-1])
        return [request for request in recorded if request.all("user-agent") != ["tollgate"]]

    def forget(self) -> None:
        """Starts the fake's recording anew; what it held has been looked through for its token."""
        self.upstream()
        self.http.delete(f"{self.upstream_url}/.fake/requests", timeout=HTTP_SECONDS).raise_for_status()

    def fault(self, **fault: object) -> None:
        """Orders a fault of the fake for the next request that it applies to."""
        self.http.post(f"{self.upstream_url}/.fake/faults", json=fault, timeout=HTTP_SECONDS).raise_for_status()

    def begin_elsewhere(self, organization: str) -> None:
        """A session that nobody creates through the gateway."""
        form = {"org": organization}
        self.http.post(f"{self.upstream_url}/.fake/sessions", json=form, timeout=HTTP_SECONDS).raise_for_status()

    def no_faults(self) -> None:
        self.http.delete(f"{self.upstream_url}/.fake/faults", timeout=HTTP_SECONDS).raise_for_status()

    def service_token(self) -> str:
        """The token that the gateway puts on, as the fake received it."""
        self.forget()
        self.call("GET", "/v3beta1/enterprise/self", self.everything.key).raise_for_status()
        (request,) = self.upstream()
        (value,) = request.all("authorization")
        return value.removeprefix("Bearer ")

    # --- the end

    def stop(self) -> int:
        """Ends the demo as an operator would, and returns its exit code."""
        self.http.close()
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(timeout=STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise AssertionError(f"the demo did not end within {STOP_SECONDS} s of SIGTERM") from None

    def kill(self) -> None:
        """Leaves no process behind, whatever went wrong; does nothing after `finish`."""
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()

    def further_stdout(self) -> list[str]:
        """What the demo printed after its one line; call it after `stop`."""
        lines = []
        while (line := self._stdout.get(timeout=HTTP_SECONDS)) is not None:
            lines.append(line.decode(errors="replace"))
        return lines

    def stderr(self) -> str:
        return self.stderr_path.read_text(encoding="utf-8", errors="replace")

    def finish(self) -> None:
        """Stops the demo and checks what every run must keep: exit 0, one line on stdout, no leak."""
        self.finished = True
        if self.process.poll() is not None:
            raise AssertionError(
                f"the demo ended by itself with {self.process.returncode}; it said:\n" + self.stderr()[-4000:]
            )
        self.upstream()
        code = self.stop()
        assert code == 0, f"the demo ended with {code}; it said:\n{self.stderr()[-4000:]}"
        assert self.further_stdout() == []
        self.assert_no_canary("the demo's stderr", self.stderr())

    def assert_no_canary(self, where: str, text: str) -> None:
        """No key and no token stands in `text`; a failure does not print one either."""
        assert len(self.canaries) > len(self.callers), "the service token was never seen: the search would be blind"
        leaked = [canary for canary in self.canaries if canary in text]
        names = [caller.name for caller in self.callers if caller.key in leaked]
        if leaked:
            raise AssertionError(f"{where} holds {len(leaked)} secrets (of callers: {names or 'none'})")

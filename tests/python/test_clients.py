"""Published Devin clients through Tollgate, unchanged, with only base URL and token set.

Each lives in an environment of its own, which `tests/run` makes and names in TOLLGATE_CLIENTS.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
from pathlib import Path

import pytest
from harness import WRONG_KEY, Caller, Demo, bare_environment
from test_flows import check_credential

CLIENT_SECONDS = 90
SCRIPTS = Path(__file__).parent / "clients"
SDKS = ["devinai-0.1.0", "devinai-0.0.3"]
CLI = "devin-cli-1.5.1"


def program(client: str, name: str) -> str:
    folder = os.environ.get("TOLLGATE_CLIENTS")
    if not folder:
        pytest.fail("TOLLGATE_CLIENTS does not say where the clients are installed: tests/run sets it")
    path = Path(folder) / client / "bin" / name
    if not path.exists():
        pytest.fail(f"{client} is not installed: there is no {path}")
    return str(path)


def run(arguments: list[str], environment: dict[str, str], folder: Path) -> subprocess.CompletedProcess:
    return subprocess.run(
        arguments,
        env=bare_environment() | {"HOME": str(folder), "PYTHONUTF8": "1"} | environment,
        cwd=folder,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        encoding="utf-8",
        timeout=CLIENT_SECONDS,
    )


# --- devinai: Devin's own SDK


def run_sdk(client: str, script: str, demo: Demo, key: str, organization: str, folder: Path, **settings: str) -> dict:
    environment = {
        "DEVIN_SDK_BASE_URL": demo.base_url,
        "DEVIN_SDK_API_KEY": key,
        "DEVIN_ORG_ID": organization,
    } | settings
    result = run([program(client, "python"), str(SCRIPTS / script)], environment, folder)
    assert result.returncode == 0, result.stdout + result.stderr
    return json.loads(result.stdout)


@pytest.mark.parametrize("client", SDKS)
def test_sdk_session(demo, client, tmp_path):
    organization = demo.everything.organizations[0]
    seen = run_sdk(client, "devinai_session.py", demo, demo.everything.key, organization, tmp_path)
    assert seen["version"] == client.removeprefix("devinai-")
    assert seen["url"].startswith("http")
    ours = [tag for tag in seen["tags"] if tag.startswith("tollgate.")]
    assert len(ours) == 1
    assert sorted(set(seen["tags"]) - set(ours)) == ["sdk", "テスト"]
    assert seen["created"] in seen["listed"]
    assert seen["read"] == seen["told"] == seen["created"]
    assert seen["read_status"]
    assert "続けてください" in seen["messages"]

    recorded = demo.upstream()
    prefix = f"/v3/organizations/{organization}/sessions"
    assert [request.method for request in recorded] == ["POST", "GET", "GET", "POST", "GET"]
    assert all(request.target.startswith(prefix) for request in recorded)
    for request in recorded:
        check_credential(demo, request)
        assert request.status == 200
    body = json.loads(recorded[0].body)
    assert body == {"prompt": "SDK から始めたセッション", "tags": ["sdk", "テスト", *ours], "max_acu_limit": 3}
    # The SDK joins arrays with a comma, which is for Devin to read, not for a gateway to change.
    assert re.search(r"tags=sdk(%2C|,)%E3%83%86%E3%82%B9%E3%83%88", recorded[1].target, re.IGNORECASE)


@pytest.mark.parametrize("client", SDKS)
def test_sdk_narrow_caller(demo, client, tmp_path):
    (organization,) = demo.narrow.organizations
    seen = run_sdk(client, "devinai_session.py", demo, demo.narrow.key, organization, tmp_path)
    assert seen["read"] == seen["created"]


@pytest.mark.parametrize("client", SDKS)
def test_m6_sdk_gets_the_one_session_whose_answer_is_late(fresh_demo, client, tmp_path):
    """Left to itself the SDK gives up, asks again, and has made two sessions."""
    demo = fresh_demo()
    organization = demo.everything.organizations[0]
    demo.fault(kind="latency", ms=1500, only={"method": "POST", "path": "/v3/organizations/"})
    seen = run_sdk(client, "devinai_late.py", demo, demo.everything.key, organization, tmp_path, TIMEOUT="0.6")
    assert seen["requests"] > 1, "the answer was not late"
    assert [request.method for request in demo.upstream()] == ["POST"]
    listed = demo.call("GET", f"/v3/organizations/{organization}/sessions", demo.everything.key).json()
    assert seen["created"] in [session["session_id"] for session in listed["items"]]


@pytest.mark.parametrize("client", SDKS)
@pytest.mark.parametrize(("size", "count"), [("1", "1"), ("200", "1"), ("2", "3")])
def test_g11_sdk_finds_its_own_sessions_among_500(fresh_demo, client, size, count, tmp_path):
    demo = fresh_demo()
    (own,) = demo.narrow.organizations
    for _ in range(500):
        demo.begin_elsewhere(own)
    seen = run_sdk(client, "devinai_pages.py", demo, demo.narrow.key, own, tmp_path, SIZE=size, COUNT=count)
    assert seen["listed"] == seen["created"][::-1]
    assert set(seen["totals"]) == {None}


@pytest.mark.parametrize("size", ["1", "200"])
def test_sdk_lists_its_own_organizations(demo, size, tmp_path):
    """Only the older SDK has the enterprise's operations."""
    (organization,) = demo.narrow.organizations
    script, client = "devinai_organizations.py", "devinai-0.0.3"
    seen = run_sdk(client, script, demo, demo.narrow.key, organization, tmp_path, SIZE=size)
    assert seen["organizations"] == [organization]
    assert seen["totals"] == [None] * len(seen["totals"])
    for request in demo.upstream():
        check_credential(demo, request)

    seen = run_sdk(client, script, demo, demo.everything.key, organization, tmp_path, SIZE=size)
    assert set(demo.everything.organizations) <= set(seen["organizations"])


def check_problem(seen: dict, error: str, status: int, code: str) -> None:
    """The SDK raised the right exception, and a user can read the problem from it."""
    assert (seen["error"], seen["status"]) == (error, status), seen
    assert seen["body"]["type"] == f"/.tollgate/problems/{code}"
    assert seen["body"]["status"] == status
    assert isinstance(seen["body"]["detail"], str)
    assert seen["headers"]["tollgate-answered-by"] == "gateway"


@pytest.mark.parametrize("client", SDKS)
def test_sdk_wrong_key(demo, client, tmp_path):
    organization = demo.everything.organizations[0]
    seen = run_sdk(client, "devinai_error.py", demo, WRONG_KEY, organization, tmp_path)
    check_problem(seen, "AuthenticationError", 401, "credential-invalid")
    assert seen["requests"] == 1, "the SDK tried again"
    assert demo.upstream() == []


@pytest.mark.parametrize("client", SDKS)
def test_sdk_foreign_organization(demo, client, tmp_path):
    seen = run_sdk(client, "devinai_error.py", demo, demo.narrow.key, demo.foreign_organization(), tmp_path)
    check_problem(seen, "PermissionDeniedError", 403, "organization-denied")
    assert seen["requests"] == 1, "the SDK tried again"
    assert demo.upstream() == []


@pytest.mark.parametrize("client", SDKS)
def test_sdk_over_the_limit(fresh_demo, client, tmp_path):
    demo = fresh_demo()
    (organization, *_) = demo.throttled.organizations
    seen = run_sdk(
        client, "devinai_error.py", demo, demo.throttled.key, organization, tmp_path, CALLS="3", MAX_RETRIES="0"
    )
    check_problem(seen, "RateLimitError", 429, "rate-limited")
    assert 1 <= int(seen["headers"]["retry-after"]) <= 31
    # Who has no session yet is answered without Devin.
    assert demo.upstream() == []


@pytest.mark.skipif(
    os.environ.get("TOLLGATE_DEEP") != "1", reason="waits out a limit of half a minute: tests/run --deep"
)
def test_sdk_waits_as_it_is_told(fresh_demo, tmp_path):
    """Left to its own retries, the SDK heeds Retry-After, and its second request gets through."""
    demo = fresh_demo()
    (organization, *_) = demo.throttled.organizations
    seen = run_sdk("devinai-0.1.0", "devinai_error.py", demo, demo.throttled.key, organization, tmp_path, CALLS="3")
    assert seen["error"] is None, seen
    assert seen["requests"] == 2
    assert 1 <= seen["seconds"] <= 35


# --- devin-cli: what people use in a shell


class Cli:
    """The `devin` command, as one caller with a home folder of its own."""

    def __init__(self, demo: Demo, key: str, organization: str, folder: Path):
        self.folder = folder
        self.environment = {
            "DEVIN_BASE_URL": f"{demo.base_url}/v3",
            "DEVIN_API_TOKEN": key,
            "DEVIN_ORG_ID": organization,
            "DEVIN_CONFIG_FILE": str(folder / "devin.json"),
            # One line stays one line.
            "COLUMNS": "400",
            "NO_COLOR": "1",
            "TERM": "dumb",
        }

    def run(self, *arguments: str) -> subprocess.CompletedProcess:
        return run([program(CLI, "devin"), *arguments], self.environment, self.folder)

    def well(self, *arguments: str) -> str:
        result = self.run(*arguments)
        assert result.returncode == 0, result.stdout + result.stderr
        return result.stdout


@pytest.fixture
def cli(demo, tmp_path):
    def of(caller: Caller | str, organization: str, with_demo: Demo = demo) -> Cli:
        key = caller if isinstance(caller, str) else caller.key
        return Cli(with_demo, key, organization, tmp_path)

    return of


def test_cli_session(demo, cli):
    organization = demo.everything.organizations[0]
    devin = cli(demo.everything, organization)
    created = devin.well("sessions", "create", "start from the shell", "--title", "殻", "--max-acu", "2")
    session = re.search(r"Session created:\s+(\S+)", created).group(1)

    listed = json.loads(devin.well("sessions", "list", "--json"))
    assert session in [entry["session_id"] for entry in listed["items"]]

    read = json.loads(devin.well("sessions", "get", session, "--json"))
    assert (read["session_id"], read["title"]) == (session, "殻")

    devin.well("sessions", "message", "go on, please", "--id", session)
    # devin-cli looks for a member `messages`, which v3 does not have: its list is empty whoever
    # answers, so what it wrote is read back with a plain request.
    devin.well("sessions", "messages", session, "--json")
    recorded = demo.upstream()
    path = f"/v3/organizations/{organization}/sessions/{session}/messages"
    listed = demo.call("GET", path, demo.everything.key).json()["items"]
    assert "go on, please" in [entry["message"] for entry in listed]

    prefix = f"/v3/organizations/{organization}/sessions"
    assert [request.method for request in recorded] == ["POST", "GET", "GET", "POST", "GET"]
    for request in recorded:
        assert request.target.startswith(prefix)
        check_credential(demo, request)
        assert request.status == 200
    assert json.loads(recorded[0].body)["prompt"] == "start from the shell"
    assert json.loads(recorded[0].body)["max_acu_limit"] == 2


def test_cli_lists_its_own_organizations(demo, cli):
    (organization,) = demo.narrow.organizations
    listed = cli(demo.narrow, organization).well("enterprise", "list-orgs")
    assert f'"org_id": "{organization}"' in listed
    assert demo.foreign_organization() not in listed


def test_cli_wrong_key(demo, cli):
    result = cli(WRONG_KEY, demo.everything.organizations[0]).run("sessions", "list")
    assert result.returncode != 0
    assert "401" in result.stdout + result.stderr
    assert demo.upstream() == []


def test_cli_foreign_organization(demo, cli):
    """The CLI shows `detail`, so a user reads whose refusal it is."""
    organization = demo.foreign_organization()
    result = cli(demo.narrow, organization).run("sessions", "list")
    assert result.returncode != 0
    said = " ".join((result.stdout + result.stderr).split())
    assert "403" in said
    detail = demo.call("GET", f"/v3/organizations/{organization}/sessions", demo.narrow.key).json()["detail"]
    assert " ".join(detail.split()) in said
    assert demo.upstream() == []


def test_cli_over_the_limit(fresh_demo, cli):
    demo = fresh_demo()
    (organization, *_) = demo.throttled.organizations
    devin = cli(demo.throttled, organization, demo)
    devin.well("sessions", "list")
    devin.well("sessions", "list")
    result = devin.run("sessions", "list")
    assert result.returncode != 0
    assert "429" in result.stdout + result.stderr
    # Who has no session yet is answered without Devin.
    assert demo.upstream() == []

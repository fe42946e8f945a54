"""The container image's root tree, run without a container engine: not root, and read-only.

The tree comes from the script that the Dockerfile calls. The host's glibc and CA certificates, bound
read-only, stand in for the distroless base; bubblewrap stands in for the engine.
"""

from __future__ import annotations

import os
import re
import shutil
import stat
import subprocess
import tempfile
from pathlib import Path

import pytest
from harness import PROJECT, Demo, bare_environment, tollgate_binary

NONROOT = 65532
CA_FILES = Path("/etc/ssl/certs/ca-certificates.crt")


def as_nonroot() -> dict:
    """How a process is started as `nonroot` where we are root; elsewhere we are not root already."""
    if os.getuid() == 0:
        return {"user": NONROOT, "group": NONROOT, "extra_groups": []}
    return {}


def build_tree(out: Path) -> Path:
    """The tree as the Dockerfile builds it, with a stand-in for the bill of materials."""
    bill = out.parent / "sbom.json"
    bill.write_text("{}")
    subprocess.run(
        [
            str(PROJECT / "deploy" / "image-root"),
            str(tollgate_binary()),
            str(PROJECT / "policies"),
            str(out),
            str(bill),
        ],
        check=True,
        env=bare_environment(),
    )
    return out


def listing(tree: Path) -> list[tuple]:
    """Everything in a tree: path, mode, owner, time, content."""
    found = []
    for path in sorted(tree.rglob("*")):
        status = path.lstat()
        content = path.read_bytes() if path.is_file() else None
        found.append((path.relative_to(tree), stat.filemode(status.st_mode), status.st_uid, status.st_mtime, content))
    return found


@pytest.fixture
def folder():
    """A folder that another user may enter, which pytest's own temporary folders are not."""
    path = Path(tempfile.mkdtemp(prefix="tollgate-image-"))
    path.chmod(0o755)
    yield path
    shutil.rmtree(path)


def test_the_tree_is_what_it_should_be_and_the_same_each_time(folder):
    first = listing(build_tree(folder / "first"))
    second = listing(build_tree(folder / "second"))
    assert first == second

    modes = {str(path): mode for path, mode, *_ in first}
    assert modes["usr/local/bin/tollgate"] == "-rwxr-xr-x"
    assert modes["var/lib/tollgate"] == "drwxr-x---"
    assert modes["usr/share/doc/tollgate/sbom.cdx.json"] == "-rw-r--r--"
    # No setuid or setgid, nothing that is neither file nor folder, and nothing that could hold a secret.
    assert {mode[0] for mode in modes.values()} == {"-", "d"}
    assert not any("s" in mode.lower() for mode in modes.values()), "something runs as another than who starts it"
    suspicious = re.compile(r"\.(key|pem|p12|db|env)$|token|secret|id_rsa")
    assert not [path for path in modes if suspicious.search(path)]
    policies = [path for path in modes if path.startswith("etc/tollgate/policies/") and path.endswith(".yaml")]
    assert policies and all(modes[path] == "-rw-r--r--" for path in policies)
    assert not any("w" in mode[4:] for mode in modes.values()), "something is writable by others than its owner"


def test_a_full_folder_is_not_built_over(folder):
    (folder / "out").mkdir()
    (folder / "out" / "precious").write_text("kept")
    result = subprocess.run(
        [str(PROJECT / "deploy" / "image-root"), str(tollgate_binary()), str(PROJECT / "policies"), folder / "out"],
        capture_output=True,
        encoding="utf-8",
    )
    assert result.returncode == 1
    assert "not empty" in result.stderr
    assert os.listdir(folder / "out") == ["precious"]


def libraries(binary: Path) -> list[Path]:
    """The shared libraries that the base image has to bring: glibc's and gcc's."""
    listed = subprocess.run(["ldd", str(binary)], check=True, capture_output=True, encoding="utf-8").stdout
    found = [Path(name) for name in re.findall(r"(/\S+) \(0x", listed)]
    assert found, listed
    base = re.compile(r"(ld-linux.*|lib(c|m|dl|pthread|rt|gcc_s|resolv))\.so\.\d+")
    foreign = [path.name for path in found if not base.fullmatch(path.name)]
    assert not foreign, f"the distroless base has no {foreign}"
    return found


def sandbox(root: Path, binds: list[Path]) -> list[str]:
    """bubblewrap with the tree as a read-only root, no capability, and the host's loopback."""
    command = [
        "bwrap",
        "--unshare-all",
        "--share-net",
        "--uid",
        str(NONROOT),
        "--gid",
        str(NONROOT),
        "--cap-drop",
        "ALL",
        "--die-with-parent",
        "--new-session",
        # As in a container: the program is PID 1 and handles SIGTERM itself.
        "--as-pid-1",
        "--ro-bind",
        str(root),
        "/",
        "--proc",
        "/proc",
        "--dev",
        "/dev",
    ]
    for path in binds:
        command += ["--ro-bind", str(path.resolve()), str(path)]
    return [*command, "--chdir", "/var/lib/tollgate"]


def prepare(folder: Path) -> tuple[Path, list[Path]]:
    """The tree with the mount points that the base image would have."""
    root = build_tree(folder / "root")
    binds = libraries(root / "usr/local/bin/tollgate")
    if CA_FILES.exists():
        binds.append(CA_FILES)
    for path in binds:
        point = root / path.relative_to("/")
        point.parent.mkdir(parents=True, exist_ok=True)
        point.touch()
    for name in ("proc", "dev"):
        (root / name).mkdir()
    return root, binds


def why_no_sandbox() -> str | None:
    """Why bubblewrap cannot make namespaces here, in its own words."""
    if shutil.which("bwrap") is None:
        return "bubblewrap is not installed"
    tried = subprocess.run(
        ["bwrap", "--unshare-all", "--share-net", "--uid", str(NONROOT), "--ro-bind", "/", "/", "true"],
        capture_output=True,
        encoding="utf-8",
        **as_nonroot(),
    )
    if tried.returncode == 0:
        return None
    return f"bubblewrap cannot make namespaces here: {tried.stderr.strip()}"


def child_of(process: subprocess.Popen) -> int:
    """The sandboxed program: bubblewrap's one child."""
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    assert len(children) == 1, children
    return int(children[0])


def test_the_tree_runs_read_only_and_not_as_root(folder, tmp_path):
    reason = why_no_sandbox()
    if reason is not None:
        # `-ra` shows this at the end of every run.
        pytest.skip(f"NOT RUN: the image's root tree in a sandbox: {reason}")

    root, binds = prepare(folder)
    command = [*sandbox(root, binds), "/usr/local/bin/tollgate"]
    demo = Demo.start(tmp_path / "sandboxed", command=command, **as_nonroot())
    try:
        inside = child_of(demo.process)
        mounts = Path(f"/proc/{inside}/mountinfo").read_text().splitlines()
        (root_options,) = [line.split()[5] for line in mounts if line.split()[4] == "/"]
        assert "ro" in root_options.split(",")
        status = Path(f"/proc/{inside}/status").read_text()
        expected = NONROOT if os.getuid() == 0 else os.getuid()
        assert re.search(r"^Uid:\s+(\d+)", status, re.MULTILINE).group(1) == str(expected)
        assert re.search(r"^CapEff:\s+0+$", status, re.MULTILINE)

        demo.canaries.add(demo.service_token())
        answer = demo.call("GET", "/v3beta1/enterprise/self", demo.everything.key)
        assert answer.status_code == 200
        assert answer.headers["Tollgate-Answered-By"] == "upstream"

        healthy = subprocess.run(
            [*command, "health", "--admin", demo.admin_url], capture_output=True, timeout=30, **as_nonroot()
        )
        assert healthy.returncode == 0, healthy.stderr
        # SIGTERM goes to the program, as an engine sends it to PID 1, and not to the sandbox around it.
        os.kill(inside, 15)
        assert demo.process.wait(timeout=20) == 0, demo.stderr()[-2000:]

        sick = subprocess.run(
            [*command, "health", "--admin", demo.admin_url], capture_output=True, timeout=30, **as_nonroot()
        )
        assert sick.returncode != 0, "health is content with a gateway that has stopped"
        demo.assert_no_canary("the demo's stderr", demo.stderr())
    finally:
        demo.kill()

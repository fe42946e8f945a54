"""The JSON Schemas against a public validator: what editors say of files is what `tollgate check` says.

A schema sees one file and no names. A rejected sample whose first line begins with `# semantic:` holds
a mistake that it cannot see; all others it has to refuse, unless YAML itself does.
"""

from __future__ import annotations

import json
import subprocess

import jsonschema
import pytest
import yaml
import yaml12
from harness import PROJECT, bare_environment, tollgate_binary

SAMPLES = PROJECT / "tests" / "policies"
SEMANTIC = "# semantic:"


def validator(kind: str) -> jsonschema.Draft202012Validator:
    schema = json.loads((PROJECT / "docs" / "schemas" / f"{kind}.schema.json").read_text())
    jsonschema.Draft202012Validator.check_schema(schema)
    return jsonschema.Draft202012Validator(schema)


@pytest.fixture(scope="module")
def schemas():
    return {kind: validator(kind) for kind in ("policy", "test", "config")}


def samples(kind: str) -> list[tuple[str, list]]:
    """Each sample's name with its files; a folder is one sample."""
    found = []
    for path in sorted((SAMPLES / kind).iterdir()):
        files = [path] if path.suffix == ".yaml" else sorted(path.rglob("*.yaml"))
        if files:
            found.append((path.stem, files))
    return found


def complaints(schema: jsonschema.Draft202012Validator, text: str) -> list[str]:
    """What is wrong with a document: for YAML, or for the schema."""
    try:
        document = yaml12.load(text)
    except yaml.YAMLError as error:
        return [f"YAML: {error}"]
    return [f"{'/'.join(map(str, it.path))}: {it.message}" for it in schema.iter_errors(document)]


def test_the_command_prints_the_copies_in_docs():
    for kind in ("policy", "test", "config"):
        printed = subprocess.run(
            [tollgate_binary(), "schema", kind], capture_output=True, check=True, text=True, env=bare_environment()
        ).stdout
        assert printed == (PROJECT / "docs" / "schemas" / f"{kind}.schema.json").read_text()


@pytest.mark.parametrize(("name", "files"), samples("accepted"))
def test_accepted_policies_are_valid(schemas, name, files):
    for file in files:
        assert complaints(schemas["policy"], file.read_text()) == [], file


@pytest.mark.parametrize(("name", "files"), samples("rejected"))
def test_rejected_policies_are_invalid_or_marked(schemas, name, files):
    texts = [file.read_text() for file in files]
    found = [complaint for text in texts for complaint in complaints(schemas["policy"], text)]
    if texts[0].startswith(SEMANTIC):
        assert found == [], f"{name} is marked as what a schema cannot see, and is seen"
    else:
        assert found, f"{name} is valid: refuse it, or mark it with `{SEMANTIC}`"


def test_there_are_samples_of_both_sorts():
    marked = [files[0].read_text().startswith(SEMANTIC) for _, files in samples("rejected")]
    assert marked.count(True) > 30
    assert marked.count(False) > 60
    assert len(samples("accepted")) > 30


def shipped() -> list[tuple[str, str]]:
    """The sample policies, their tests and the sample configuration, with the schema of each."""
    found = [("config", "deploy/tollgate.yaml")]
    for path in sorted((PROJECT / "policies").rglob("*.yaml")):
        kind = "test" if path.name.endswith(".test.yaml") else "policy"
        found.append((kind, str(path.relative_to(PROJECT))))
    return found


@pytest.mark.parametrize(("kind", "path"), shipped())
def test_what_we_ship_is_valid_and_names_its_schema(schemas, kind, path):
    text = (PROJECT / path).read_text()
    assert complaints(schemas[kind], text) == []
    line = text.splitlines()[0]
    assert line == f"# yaml-language-server: $schema=../docs/schemas/{kind}.schema.json"


TESTS = {
    "by request": (True, "{ caller: a, tests: [{ request: GET /v3/self, decision: allow, rule: web/who }] }"),
    "by operation": (
        True,
        "{ tests: [{ name: x, caller: a, operation: sessions.create, organization: org-a, query: 'a=1', body: { prompt: x },"
        " decision: deny, code: field-denied, field: body.prompt, shadow: { decision: allow, rule: web/run } }] }",
    ),
    "what is forwarded": (
        True,
        "{ caller: a, tests: [{ request: POST /v3/organizations/o/sessions, body_text: '{}', decision: allow, forwarded: {},"
        " forwarded_query: '', shadow: none }] }",
    ),
    "told at the head": (True, "{ caller: a, operation: self.get, decision: allow, tests: [{ name: x }, { operation: enterprise.self.get }] }"),
    "a method that no operation has": (True, "{ caller: a, tests: [{ request: OPTIONS /v3/self, decision: deny }] }"),
    "no caller": (False, "{ tests: [{ request: GET /v3/self, decision: allow }] }"),
    "no test": (False, "{ caller: a, tests: [] }"),
    "no decision": (False, "{ caller: a, tests: [{ request: GET /v3/self }] }"),
    "neither": (False, "{ caller: a, tests: [{ decision: allow }] }"),
    "both": (False, "{ caller: a, tests: [{ request: GET /v3/self, operation: self.get, decision: allow }] }"),
    "two bodies": (False, "{ caller: a, tests: [{ request: POST /v3/x, body: {}, body_text: '{}', decision: allow }] }"),
    "unknown operation": (False, "{ caller: a, tests: [{ operation: session.get, decision: allow }] }"),
    "unknown code": (False, "{ caller: a, tests: [{ request: GET /v3/self, decision: deny, code: denied }] }"),
    "unknown field": (False, "{ caller: a, tests: [{ request: GET /v3/self, decision: deny, status: 403 }] }"),
    "unknown decision": (False, "{ caller: a, tests: [{ request: GET /v3/self, decision: maybe }] }"),
    "query twice": (False, "{ caller: a, tests: [{ request: GET /v3/self, query: a=1, decision: allow }] }"),
    "no method": (False, "{ caller: a, tests: [{ request: /v3/self, decision: allow }] }"),
}


@pytest.mark.parametrize(("is_good", "text"), TESTS.values(), ids=TESTS)
def test_tests_of_policies_are_valid_or_not(schemas, is_good, text):
    assert (complaints(schemas["test"], text) == []) == is_good


UPSTREAM = "upstream: { base_url: https://api.devin.ai, token: { env: DEVIN_TOKEN } }\n"
JWKS = '{ "keys": [{ "kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo" }] }'
ISSUER = "{ name: ci, issuer: https://ci.example, audiences: [tollgate], algorithms: [EdDSA], jwks: { file: jwks.json } }"

# Each with what the binary says, too.
CONFIGS = {
    "smallest": (True, UPSTREAM + "policies: policies\n"),
    "everything": (
        True,
        'listen: [{ tcp: "127.0.0.1:8080" }, { tcp: "[::1]:8080" }]\n'
        'admin: { tcp: "127.0.0.1:9090" }\n'
        "upstream:\n"
        '  base_url: "http://127.0.0.1:9/"\n'
        "  token: { file: token }\n"
        "  timeouts: { connect: 500ms, first_byte: 1m 30s, total: 5m }\n"
        f"identity: {{ issuers: [{ISSUER}] }}\n"
        "policies: policies\n"
        "access_log: { to: file, path: access.log, max_mib: 10, keep: 0 }\n",
    ),
    "a ledger, a socket and alerts": (
        True,
        UPSTREAM + "policies: policies\nadmin: { unix: admin.sock }\nstore: 'sqlite:x.db'\ntag_key: { file: key }\n"
        "restricted_tags: [org-x]\nsettle: { every: 5s, quiet: 1m, unknown_after: 15m, pace: 100ms }\n"
        "alerts: { webhook: 'https://hooks.example/a?b=c', key: { env: HOOK } }\n",
    ),
    "alerts to this machine": (True, UPSTREAM + "policies: policies\nalerts: { webhook: 'http://127.0.0.1:9', key: { file: k } }\n"),
    "alerts in the clear": (False, UPSTREAM + "policies: policies\nalerts: { webhook: 'http://x.example/', key: { file: k } }\n"),
    "alerts without a key": (False, UPSTREAM + "policies: policies\nalerts: { webhook: 'https://x.example/' }\n"),
    "alerts with two keys": (
        False,
        UPSTREAM + "policies: policies\nalerts: { webhook: 'https://x.example/', key: { file: k, env: K } }\n",
    ),
    "a proxy": (True, UPSTREAM.replace(" } }", " }, proxy: 'http://proxy.corp:3128' }") + "policies: policies\n"),
    "a proxy with credentials": (
        True,
        UPSTREAM.replace(" } }", " }, proxy: { url: 'http://[::1]:3128/', user: gate, password: { file: p } } }") + "policies: policies\n",
    ),
    "a proxy for alerts": (
        True,
        UPSTREAM + "policies: policies\n"
        "alerts: { webhook: 'https://x.example/', key: { file: k }, proxy: { url: 'http://proxy.corp:3128' } }\n",
    ),
    "a proxy without a port": (False, UPSTREAM.replace(" } }", " }, proxy: 'http://proxy.corp' }") + "policies: policies\n"),
    "a proxy over TLS": (False, UPSTREAM.replace(" } }", " }, proxy: 'https://proxy.corp:3128' }") + "policies: policies\n"),
    "a proxy with the password itself": (
        False,
        UPSTREAM.replace(" } }", " }, proxy: 'http://gate:word@proxy.corp:3128' }") + "policies: policies\n",
    ),
    "a proxy with a name alone": (
        False,
        UPSTREAM.replace(" } }", " }, proxy: { url: 'http://proxy.corp:3128', user: gate } }") + "policies: policies\n",
    ),
    "another store": (False, UPSTREAM + "policies: policies\nstore: 'redis:x'\n"),
    "log to standard output": (True, UPSTREAM + "policies: policies\naccess_log: { to: stdout }\n"),
    "no upstream": (False, "policies: policies\n"),
    "no policies": (False, UPSTREAM),
    "unknown field": (False, UPSTREAM + "policies: policies\nlisen: []\n"),
    "not yet": (False, UPSTREAM + "policies: policies\nmode: shadow\n"),
    "http to elsewhere": (False, UPSTREAM.replace("https:", "http:") + "policies: policies\n"),
    "a path": (False, UPSTREAM.replace(".ai", ".ai/v3") + "policies: policies\n"),
    "a user": (False, UPSTREAM.replace("//", "//user:word@") + "policies: policies\n"),
    "the token itself": (False, UPSTREAM.replace("{ env: DEVIN_TOKEN }", "not-a-real-token") + "policies: policies\n"),
    "two tokens": (False, UPSTREAM.replace("DEVIN_TOKEN", "DEVIN_TOKEN, file: token") + "policies: policies\n"),
    "a variable in lower case": (False, UPSTREAM.replace("DEVIN_TOKEN", "devin_token") + "policies: policies\n"),
    "a time without a unit": (False, UPSTREAM.replace(" } }", " }, timeouts: { total: 300 } }") + "policies: policies\n"),
    "a port alone": (False, UPSTREAM + "policies: policies\nlisten: [{ tcp: 8080 }]\n"),
    "no listener": (False, UPSTREAM + "policies: policies\nlisten: []\n"),
    "a file without a path": (False, UPSTREAM + "policies: policies\naccess_log: { to: file }\n"),
    "a path for standard output": (False, UPSTREAM + "policies: policies\naccess_log: { to: stdout, path: x }\n"),
    "an issuer without keys": (
        False,
        UPSTREAM + f"policies: policies\nidentity: {{ issuers: [{ISSUER.replace(', jwks: { file: jwks.json }', '')}] }}\n",
    ),
    "a symmetric algorithm": (
        False,
        UPSTREAM + f"policies: policies\nidentity: {{ issuers: [{ISSUER.replace('EdDSA', 'HS256')}] }}\n",
    ),
    "large policies": (True, UPSTREAM + "policies: { folder: policies, max_nodes: 100000000 }\n"),
    "small policies": (True, UPSTREAM + "policies: { folder: policies, max_nodes: 1000 }\n"),
    "a folder by its name": (True, UPSTREAM + "policies: { folder: policies }\n"),
    "policies without a folder": (False, UPSTREAM + "policies: { max_nodes: 5000 }\n"),
    "policies too small for any": (False, UPSTREAM + "policies: { folder: policies, max_nodes: 999 }\n"),
    "policies too large for any": (False, UPSTREAM + "policies: { folder: policies, max_nodes: 100000001 }\n"),
    "policies of about so many nodes": (False, UPSTREAM + "policies: { folder: policies, max_nodes: many }\n"),
    "policies with an unknown field": (False, UPSTREAM + "policies: { folder: policies, max_node: 5000 }\n"),
    "policies as a list": (False, UPSTREAM + "policies: [policies]\n"),
}


@pytest.mark.parametrize(("is_good", "text"), CONFIGS.values(), ids=CONFIGS)
def test_configurations_are_valid_where_the_binary_takes_them(schemas, tmp_path, is_good, text):
    (tmp_path / "tollgate.yaml").write_text(text)
    (tmp_path / "jwks.json").write_text(JWKS)
    (tmp_path / "policies").mkdir()
    (tmp_path / "policies" / "web.yaml").write_text("team: web\n")
    checked = subprocess.run(
        [tollgate_binary(), "check", "--config", "tollgate.yaml"],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env=bare_environment(),
    )
    assert (checked.returncode == 0) == is_good, checked.stderr
    assert (complaints(schemas["config"], text) == []) == is_good, complaints(schemas["config"], text)

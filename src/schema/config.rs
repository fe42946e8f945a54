//! The schema of `tollgate.yaml`.

use serde_json::{Value, json};

use super::{DIALECT, duration, mapping, text_of};
use crate::catalogue::OperationIx;
use crate::pipeline::authenticate::Algorithm;
use crate::settings::{MOST, MOST_STREAMS};

const ADDRESS: &str = r"^([0-9]{1,3}(\.[0-9]{1,3}){3}|\[[0-9A-Fa-f:.]+(%[0-9]+)?\]):[0-9]{1,5}$";
/// https anywhere, http to this machine; no user, path or query.
const BASE_URL: &str = r"^([Hh][Tt][Tt][Pp][Ss]://[^/?#@]+|[Hh][Tt][Tt][Pp]://(localhost|127(\.[0-9]{1,3}){3}|\[[0-9A-Fa-f:.]+\])(:[0-9]+)?)/?$";

/// https anywhere, http to this machine; no user.
const WEBHOOK: &str = r"^([Hh][Tt][Tt][Pp][Ss]://[^/?#@]+|[Hh][Tt][Tt][Pp]://(localhost|127(\.[0-9]{1,3}){3}|\[[0-9A-Fa-f:.]+\])(:[0-9]+)?)([/?].*)?$";

/// http, a host and a port; no user, path or query.
const PROXY: &str = r"^[Hh][Tt][Tt][Pp]://[^/?#@]+:[1-9][0-9]{0,4}/?$";

pub(super) fn schema() -> Value {
    let mut schema = mapping(
        "How the process runs. Relative paths are relative to this file.",
        &["upstream", "policies"],
        json!({
            "listen": {
                "description": "Where callers connect. Left out: 127.0.0.1:8080.",
                "type": "array",
                "minItems": 1,
                "items": address("One address for callers."),
            },
            "admin": mapping("Where operators connect.", &[], json!({
                "tcp": text_of("An IP address and a port. Left out: 127.0.0.1:9090.", ADDRESS),
                "unix": text_of("A socket for the operator's orders, such as tollgate-admin.sock; its file is its owner's.", "."),
            })),
            "upstream": upstream(),
            "identity": mapping("Whose tokens are believed.", &[], json!({
                "issuers": {
                    "description": "Issuers of tokens that policies can name.",
                    "type": "array",
                    "items": issuer(),
                },
            })),
            "policies": {
                "description": "The folder of policies.",
                "anyOf": [
                    { "type": "string" },
                    mapping("The folder of policies, and how large each file may be.", &["folder"], json!({
                        "folder": { "description": "The folder.", "type": "string" },
                        "max_nodes": {
                            "description": "The most values, lists and mappings of one file.",
                            "type": "integer", "minimum": 1_000, "maximum": 100_000_000,
                        },
                    })),
                ],
            },
            "access_log": access_log(),
            "limits": limits(),
            "trusted_proxies": {
                "description": "Peers whose X-Forwarded-For the access log believes: 10.0.0.0/8, 127.0.0.1. Left out: none.",
                "type": "array",
                "items": { "type": "string", "pattern": r"^[0-9A-Fa-f:.]+(/[0-9]{1,3})?$" },
            },
            "store": text_of("The ledger's file. Left out: sqlite:tollgate.db.", "^sqlite:.+"),
            "tag_key": source("What tags on sessions are signed with; at least 32 characters. Left out: a file that is made beside the ledger."),
            "restricted_tags": {
                "description": "Organizations whose allowed tags leave out ours: sessions there are created one at a time.",
                "type": "array",
                "items": { "type": "string" },
            },
            "settle": mapping("How what is held is settled: 15s, 1m, 15m.", &[], json!({
                "every": duration("From one round to the next. Left out: 15s."),
                "quiet": duration("How far apart a session has to be seen at rest twice. Left out: 60s."),
                "unknown_after": duration("How long after a lost attempt's end its absence says something. Left out: 15m."),
                "pace": duration("From one request to Devin to the next. Left out: 500ms."),
            })),
            "alerts": mapping("Who is told of alarms, and of thresholds of budgets that were passed.", &["webhook", "key"], json!({
                "webhook": text_of("An https address without a user. http is for this machine only.", WEBHOOK),
                "key": source("Where the key is that alerts are signed with, of at least 32 characters; never the key itself."),
                "ca": mapping("Certificate authorities to trust beside the system's.", &["file"], json!({
                    "file": file("A PEM file."),
                })),
                "proxy": proxy(),
            })),
        }),
    );
    if let Value::Object(schema) = &mut schema {
        schema.insert("$schema".to_owned(), DIALECT.into());
        schema.insert(
            "title".to_owned(),
            "The configuration of Tollgate: tollgate.yaml".into(),
        );
    }
    schema
}

fn address(description: &str) -> Value {
    mapping(
        description,
        &["tcp"],
        json!({
            "tcp": text_of("An IP address and a port, such as \"127.0.0.1:8080\".", ADDRESS),
            "tls": mapping("TLS, and nothing else, there. Left out: plain HTTP.", &["cert", "key"], json!({
                "cert": file("A PEM file: the chain, the server's own certificate first. Read again when it changes."),
                "key": file("A PEM file: its private key, not encrypted."),
            })),
        }),
    )
}

fn file(description: &str) -> Value {
    json!({ "description": description, "type": "string" })
}

fn upstream() -> Value {
    mapping(
        "Devin's API.",
        &["base_url", "token"],
        json!({
            "base_url": text_of("A scheme and a host: https://api.devin.ai. http is for this machine only.", BASE_URL),
            "ca": mapping("Certificate authorities to trust beside the system's.", &["file"], json!({
                "file": file("A PEM file."),
            })),
            "proxy": proxy(),
            "token": source("Where the shared token is; never the token itself."),
            "rate": text_of("Requests that never leave faster for Devin: 5/s, 300/min, 1000/h. Left out: only what Devin refuses is learned.", r"^[0-9]+ */ *(s|sec|second|min|minute|h|hour)$"),
            "shares": {
                "description": "How much of Devin's rate each team gets while others want theirs, by the team's name. Left out: 1.",
                "type": "object",
                "additionalProperties": { "type": "integer", "minimum": 1, "maximum": 1_000 },
            },
            "wait": duration("How long a request may wait for its turn, at most 60s. Left out: 2s."),
            "timeouts": mapping("How long is waited for Devin: 500ms, 3s, 5m.", &[], json!({
                "connect": duration("For a connection. Left out: 3s."),
                "first_byte": duration("For the beginning of an answer. Left out: 60s."),
                "total": duration("For all of an answer. Left out: 300s."),
            })),
        }),
    )
}

fn proxy() -> Value {
    let url = || text_of("http://, a host and a port.", PROXY);
    json!({
        "description": "A proxy on the way out, which opens tunnels (CONNECT). Left out: none; variables of the environment are not read.",
        "anyOf": [
            url(),
            mapping("A proxy.", &["url"], json!({ "url": url() })),
            mapping("A proxy that wants credentials.", &["url", "user", "password"], json!({
                "url": url(),
                "user": text_of("The name that it wants.", "^[^:]+$"),
                "password": source("Where the password is; never the password itself."),
            })),
        ],
    })
}

fn limits() -> Value {
    let most = |description: &str, most: i64| json!({ "description": description, "type": "integer", "minimum": 1, "maximum": most });
    mapping(
        "How much is taken on at once, and how long clients are waited for.",
        &[],
        json!({
            "connections": most("Connections of callers in all. Left out: 10000.", MOST),
            "connections_per_peer": most("Connections from one address, of IPv6 from one /64. Left out: 1024.", MOST),
            "requests": most("Requests in flight in all; beyond them 503. Left out: 1024.", MOST),
            "requests_per_caller": most("Of these, those of one caller. Left out: 256.", MOST),
            "streams": most("Streams of one HTTP/2 connection. Left out: 128.", MOST_STREAMS),
            "sizes": sizes(),
            "times": mapping("How long clients are waited for, from 10ms to 1h.", &[], json!({
                "head": duration("For a request's head. Left out: 10s."),
                "idle": duration("Between two requests of a connection. Left out: 75s."),
                "body_idle": duration("For the next piece of a body. Left out: 30s."),
                "body": duration("For all of a body that is read before it goes on. Left out: 60s."),
                "upload": duration("For all of a body that streams by. Left out: 5m."),
                "write": duration("For a client to take anything of its answer. Left out: 60s."),
                "handshake": duration("For TLS, where a listener speaks it. Left out: 5s."),
                "drain": duration("For what is in flight when the process is told to stop. Left out: 30s."),
            })),
        }),
    )
}

fn sizes() -> Value {
    let size = |description: &str| text_of(description, super::policy::SIZE);
    let of_operation = mapping(
        "Sizes of one operation.",
        &[],
        json!({
            "request": size("The body of its request."),
            "answer": size("Its answer."),
        }),
    );
    mapping(
        "How large bodies may be: 512KiB, 20MiB, 1GiB.",
        &[],
        json!({
            "body": size("The body of a request, but forms. Left out: 4MiB."),
            "upload": size("A form. Left out: 100MiB."),
            "answer": size("An answer of Devin's. Left out: 256MiB."),
            "operations": {
                "description": "What is otherwise of single operations, by their ids.",
                "type": "object",
                "propertyNames": { "enum": OperationIx::served().map(|it| it.row().id).collect::<Vec<_>>() },
                "additionalProperties": of_operation,
            },
        }),
    )
}

/// Where a secret is.
fn source(description: &str) -> Value {
    json!({
        "description": description,
        "oneOf": [
            mapping("In a file; a token's is read again when it changes.", &["file"], json!({
                "file": file("The file."),
            })),
            mapping("In an environment variable.", &["env"], json!({
                "env": text_of("The variable's name.", "^[A-Z0-9_]+$"),
            })),
        ],
    })
}

fn issuer() -> Value {
    let texts = |description: &str, items: Value| json!({ "description": description, "type": "array", "minItems": 1, "items": items });
    mapping(
        "One issuer of tokens.",
        &["name", "issuer", "audiences", "algorithms", "jwks"],
        json!({
            "name": { "description": "What policies call it.", "type": "string" },
            "issuer": { "description": "Exactly the token's `iss`.", "type": "string" },
            "audiences": texts("One of them must be in the token's `aud`.", json!({ "type": "string" })),
            "algorithms": texts("The algorithms that tokens may be signed with.", json!({ "enum": Algorithm::NAMES })),
            "jwks": mapping("The issuer's public keys.", &["file"], json!({
                "file": file("A JSON Web Key Set."),
            })),
        }),
    )
}

fn access_log() -> Value {
    json!({
        "description": "Where the access log goes. Left out: standard output.",
        "oneOf": [
            mapping("To standard output.", &["to"], json!({ "to": { "const": "stdout" } })),
            mapping("To a file.", &["to", "path"], json!({
                "to": { "const": "file" },
                "path": file("The file."),
                "max_mib": {
                    "description": "The size at which a new file is begun. Left out: 100.",
                    "type": "integer", "minimum": 1, "maximum": 1 << 20,
                },
                "keep": {
                    "description": "How many old files are kept. Left out: 5.",
                    "type": "integer", "minimum": 0, "maximum": 1_000,
                },
            })),
        ],
    })
}

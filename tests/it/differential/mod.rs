//! Two readers of one path: what was judged, what is logged and what Devin gets are the same, for a hundred thousand
//! targets that were operations' before something was done to them.

mod readers;
mod targets;

use std::collections::HashMap;

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tollgate::catalogue::OperationIx;
use tollgate::fake_devin::Recorded;

use self::readers::{READERS, decoded};
use crate::simulation::dice::Dice;
use crate::world::{Setup, World};

/// Everything in one organization, and nothing in another; what an enterprise's operations are about is told by a query.
const POLICY: &str = r#"
team: t
callers: { one: {} }
allow:
  - { name: all, operations: ["**"], organizations: [org-ds], sessions: any, uncapped: { acus: 1, per: run } }
  - { name: twins, operations: ["enterprise.sessions.**"], organizations: any, sessions: any, uncapped: { acus: 1, per: run }, query: { org_id: { one_of: [org-ds] }, org_ids: { one_of: [org-ds] } } }
  - { name: self, operations: [self.get, enterprise.self.get], organizations: any }
"#;
/// So many go to one world; what it has seen and logged is looked through once.
const IN_A_WORLD: usize = 5_000;
/// So many are sent before the first answer is read.
const AT_ONCE: usize = 50;

/// How many targets: a hundred thousand in any run, and a million with `TOLLGATE_DEEP`.
fn targets() -> usize {
    match std::env::var_os("TOLLGATE_DEEP") {
        Some(_) => 1_000_000,
        None => 100_000,
    }
}

/// One answer of a connection.
struct Reply {
    status: u16,
    id: Option<String>,
}

/// Reads one answer, if one comes.
async fn reply(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> Option<Reply> {
    let end = read_to(stream, buffer, b"\r\n\r\n", 0).await?;
    let head = String::from_utf8_lossy(&buffer[..end]).to_ascii_lowercase();
    let field = |name: &str| {
        let mut lines = head.lines().filter_map(|it| it.split_once(": "));
        lines.find_map(|(it, value)| (it == name).then(|| value.to_owned()))
    };
    let body = match field("content-length") {
        Some(length) => end + length.parse::<usize>().unwrap(),
        None if field("transfer-encoding").is_some() => {
            read_to(stream, buffer, b"\r\n0\r\n\r\n", end - 2).await?
        }
        None => end,
    };
    while buffer.len() < body {
        if stream.read_buf(buffer).await.ok()? == 0 {
            return None;
        }
    }
    let answer = Reply {
        status: head[9..12].parse().unwrap(),
        id: field("x-request-id"),
    };
    buffer.drain(..body);
    Some(answer)
}

/// Where this ends, behind `from`.
async fn read_to(
    stream: &mut TcpStream,
    buffer: &mut Vec<u8>,
    end: &[u8],
    from: usize,
) -> Option<usize> {
    loop {
        let unread = buffer.get(from..).unwrap_or_default();
        if let Some(at) = unread.windows(end.len()).position(|it| it == end) {
            return Some(from + at + end.len());
        }
        if stream.read_buf(buffer).await.ok()? == 0 {
            return None;
        }
    }
}

/// Sends these one behind the other, on as many connections as that takes, and hands out the answer to each.
async fn ask(world: &World, asked: &[(&'static str, String)]) -> Vec<Reply> {
    let key = world.key("one");
    let mut replies: Vec<Reply> = Vec::new();
    while replies.len() < asked.len() {
        let mut stream = TcpStream::connect(world.gateway).await.unwrap();
        stream.set_nodelay(true).unwrap();
        let mut buffer = Vec::new();
        'connection: while replies.len() < asked.len() {
            let batch = asked.iter().skip(replies.len()).take(AT_ONCE);
            let mut bytes = String::new();
            for (method, target) in batch.clone() {
                let body = match *method {
                    "GET" | "DELETE" => "\r\n",
                    _ => {
                        "Content-Type: application/json\r\nContent-Length: 14\r\n\r\n{\"prompt\":\"x\"}"
                    }
                };
                bytes += &format!(
                    "{method} {target} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {key}\r\n{body}"
                );
            }
            if stream.write_all(bytes.as_bytes()).await.is_err() {
                break;
            }
            for _ in batch {
                match reply(&mut stream, &mut buffer).await {
                    Some(reply) => replies.push(reply),
                    // What the parser refuses ends its connection; those behind it were not read.
                    None => break 'connection,
                }
            }
        }
    }
    replies
}

/// Whether this operation's path, with something for each parameter, is this one: written anew, without the
/// catalogue's router.
fn is_path_of(operation: OperationIx, decoded: &str, organization: &Value) -> bool {
    let pattern: Vec<&str> = operation.row().path.split('/').skip(1).collect();
    let path: Vec<&str> = decoded.split('/').skip(2).collect();
    fits(&pattern, &path, organization)
}

fn fits(pattern: &[&str], path: &[&str], organization: &Value) -> bool {
    let Some((first, pattern)) = pattern.split_first() else {
        return path.is_empty();
    };
    // A repository's and a branch's name hold slashes.
    let most = match *first {
        "{repository_path}" | "{branch_name}" => path.len(),
        _ => path.len().min(1),
    };
    (1..=most).any(|it| {
        let (value, rest) = path.split_at(it);
        let is_it = match *first {
            "{org_id}" => organization == value[0],
            name => name.starts_with('{') || name == value[0],
        };
        is_it && fits(pattern, rest, organization)
    })
}

/// Fails unless a request is the same to everybody, or nothing to Devin. Whether Devin has seen it.
fn compare(target: &str, reply: &Reply, line: Option<&Value>, seen: Option<&Recorded>) -> bool {
    let Some(line) = line else {
        // The parser's refusal, which has no line of a request's.
        assert!(
            reply.status == 400 && reply.id.is_none() && seen.is_none(),
            "{target}"
        );
        return false;
    };
    // A fragment is dropped where the request line is read, before anybody judges anything.
    let target = target.split('#').next().unwrap_or(target);
    let (path, query) = target
        .split_once('?')
        .map_or((target, None), |(path, query)| (path, Some(query)));
    let Some(seen) = seen else {
        let is_refused = (400..=501).contains(&reply.status) && reply.status != 500;
        assert!(
            is_refused && line["upstream_attempts"] == 0,
            "{target}: {line}"
        );
        return false;
    };
    assert_eq!(line["path"], path, "{target}");
    assert_eq!((seen.target.as_str(), seen.path.as_str()), (target, path));
    assert_eq!(seen.query.as_deref(), query);
    let plain = decoded(path);
    for (how, read) in READERS {
        assert_eq!(
            read(path),
            plain,
            "{target}: one who {how} reads another path"
        );
    }
    let name = line["operation"].as_str().unwrap();
    let operation = OperationIx::served()
        .find(|it| it.row().id == name)
        .unwrap();
    assert!(
        is_path_of(operation, &plain, &line["organization"]),
        "{target}: {line}"
    );
    assert!(
        !plain.contains("org-web") || plain.contains("/repositories/"),
        "{target}: {line}"
    );
    true
}

/// Sends so many to a world of their own. How many of them were served.
async fn a_world(dice: &Dice, count: usize) -> usize {
    let world = World::with(Setup {
        policy: POLICY.to_owned(),
        silent: true,
        ..Setup::default()
    })
    .await;
    let asked: Vec<_> = (0..count).map(|_| targets::tried(dice)).collect();
    let replies = ask(&world, &asked).await;
    world.sent(replies.iter().filter(|it| it.id.is_some()).count());
    let lines = world.lines().await;
    let lines = lines.iter().filter(|it| it["kind"] == "request");
    let lines: HashMap<&str, &Value> = lines
        .map(|it| (it["request_id"].as_str().unwrap(), it))
        .collect();
    let upstream = world.upstream();
    let seen: HashMap<&str, &Recorded> = upstream
        .iter()
        .map(|it| (it.header("x-request-id").unwrap(), it))
        .collect();
    assert_eq!(seen.len(), upstream.len(), "one request each");
    let mut served = 0;
    for ((_, target), reply) in asked.iter().zip(&replies) {
        let line = reply.id.as_deref().map(|id| lines[id]);
        let seen = reply.id.as_deref().and_then(|id| seen.get(id).copied());
        served += usize::from(compare(target, reply, line, seen));
    }
    world.finish().await;
    served
}

/// Half of all targets, from a seed.
fn half(seed: u64) -> usize {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let dice = Dice::new(seed);
    let worlds = targets() / 2 / IN_A_WORLD;
    (0..worlds)
        .map(|_| runtime.block_on(a_world(&dice, IN_A_WORLD)))
        .sum()
}

#[test]
fn g2_g10_one_path_for_policy_log_and_devin() {
    let begun = tokio::time::Instant::now();
    let served: usize = std::thread::scope(|scope| {
        let halves = [7, 8].map(|seed| scope.spawn(move || half(seed)));
        halves.map(|it| it.join().unwrap()).iter().sum()
    });
    let tried = targets();
    assert!(served > tried / 20 && served < tried, "{served}");
    eprintln!("{served} of {tried} were served, in {:?}", begun.elapsed());
}

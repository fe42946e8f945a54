//! Published requests over a raw socket: once as they are, and once aimed at operations, with a credential.

use std::collections::BTreeSet;

use base64::Engine;
use serde_json::Value;

use super::corpus;
use super::wire::{Became, Entry, send};
use crate::world::World;

/// The beginning of the path of a whole request, to stand where none may be read.
const HIDDEN: &str = "/v3/organizations/org-ds/sessions/devin-hidden";
const TAGS: &str = "/v3/enterprise/organizations/org-ds/tags";

/// The operation that a method of a corpus is aimed at; reads have a target of their own, since equal ones are one.
fn target(method: &str, number: usize) -> String {
    match method {
        "POST" | "PUT" => TAGS.to_owned(),
        _ => format!("/v3/organizations/org-ds/sessions/devin-{number}"),
    }
}

/// What a request line lacks to be one that is served, as lines behind it.
fn credentials(world: &World, method: &str, has_host: bool) -> String {
    let host = if has_host { "" } else { "Host: x\r\n" };
    let media = match method {
        "POST" | "PUT" => "Content-Type: application/json\r\n",
        _ => "",
    };
    format!(
        "Authorization: Bearer {}\r\n{host}{media}",
        world.key("one")
    )
}

/// Every request line of these bytes, aimed at an operation.
fn aimed(world: &World, bytes: &[u8], number: usize) -> Vec<u8> {
    let has_host = String::from_utf8_lossy(bytes).contains("\nHost:");
    let mut aimed = Vec::new();
    for line in bytes.split_inclusive(|it| *it == b'\n') {
        let text = String::from_utf8_lossy(line);
        if text.starts_with("Content-Type: application/x-www-form") {
            continue;
        }
        let mut words = text.splitn(3, ' ');
        let (method, rest) = (words.next().unwrap_or(""), words.nth(1).unwrap_or(""));
        let is_method = !method.is_empty() && method.bytes().all(|it| it.is_ascii_uppercase());
        if is_method && rest.starts_with("HTTP/1.") && rest.ends_with('\n') {
            let target = target(method, number);
            let more = credentials(world, method, has_host);
            aimed.extend(format!("{method} {target} {rest}{more}").bytes());
        } else {
            aimed.extend(line);
        }
    }
    aimed
}

/// Where llhttp refuses and hyper does not: one request all the same, with framing of ours, and the connection ends
/// with it or the next is judged by a credential of its own.
const MORE_LENIENT: [&str; 2] = ["No extension after semicolon", "Space after chunk header"];

/// Where llhttp has a whole request and we have none: a body where none belongs, a coding that is not served, and a
/// request whose body llhttp's test leaves out.
const MORE_STRICT: [&str; 4] = [
    "Content-Length reset when no body is received",
    "Funky `Content-Length` with body",
    "POST with `chunked` as last transfer-encoding",
    "POST with `chunked` as last transfer-encoding (multiple headers)",
];

#[tokio::test]
async fn f6_f7_llhttps_requests_are_never_more_than_it_sees() {
    let Some(path) = corpus("http/llhttp-requests.json") else {
        return;
    };
    let tests: Vec<Value> = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    let world = World::start().await;
    let mut entries = Vec::new();
    for (at, test) in tests.iter().enumerate() {
        let base64 = base64::prelude::BASE64_STANDARD;
        let bytes = base64.decode(test["input_b64"].as_str().unwrap()).unwrap();
        entries.push(Entry::new(format!("{at} as it is"), bytes.clone()));
        entries.push(Entry::new(format!("{at} aimed"), aimed(&world, &bytes, at)));
    }
    let mut lenient = BTreeSet::new();
    let mut strict = BTreeSet::new();
    let (mut refused, mut served) = (0, 0);
    for became in send(&world, entries).await {
        became.is_sound();
        let (at, way) = became.entry.name.split_once(' ').unwrap();
        let test = &tests[at.parse::<usize>().unwrap()];
        let title = test["title"].as_str().unwrap();
        if way == "as it is" {
            assert!(became.seen.is_empty(), "{title}");
            let is_served = became.statuses().iter().any(|it| *it < 400);
            assert!(!is_served, "{title}: {}", became.back.text);
            continue;
        }
        // Cases with a leniency of llhttp's turned on say nothing of what a strict reader sees.
        let is_strict = test["type"] == "request";
        let messages = usize::try_from(test["messages"].as_u64().unwrap()).unwrap();
        if is_strict && became.finished() > messages {
            // One that is clean, and no second one.
            assert_eq!(became.seen.len(), 1, "{title}: {:?}", became.seen);
            lenient.insert(title);
        }
        assert!(became.finished() <= messages.max(1), "{title}");
        if is_strict && test["expect"] == "ok" {
            match became.finished() == messages {
                true => served += messages,
                false => {
                    let statuses = became.statuses();
                    assert!(statuses.iter().all(|it| *it >= 400), "{title}");
                    strict.insert(title);
                }
            }
        } else if became.finished() == 0 {
            refused += 1;
        }
    }
    assert_eq!(lenient, BTreeSet::from(MORE_LENIENT));
    assert_eq!(strict, BTreeSet::from(MORE_STRICT));
    assert!(refused > 40 && served > 10, "{refused} {served}");
    world.finish().await;
}

/// A character of these files is a byte, but for what no byte is.
fn latin(text: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    for letter in text.chars() {
        match u8::try_from(u32::from(letter)) {
            Ok(byte) => bytes.push(byte),
            Err(_) => bytes.extend(letter.to_string().bytes()),
        }
    }
    bytes
}

fn text(value: &Value) -> String {
    value
        .as_str()
        .map_or_else(|| value.to_string(), str::to_owned)
}

/// A request of http-desync-guardian, with a body that fits and a whole request behind it.
fn guarded(world: &World, test: &Value, number: usize, is_aimed: bool) -> Vec<u8> {
    let method = test["method"].as_str().unwrap();
    let uri = test["uri"].as_str().unwrap();
    let plain = target(method, number);
    let uri = match is_aimed {
        true => uri
            .replace("/foo/bar", &plain)
            .replace("/endpoint_a", &plain),
        false => uri.to_owned(),
    };
    let mut bytes = latin(&format!("{method} {uri} {}\r\n", text(&test["version"])));
    bytes.extend(credentials(world, method, false).bytes());
    let mut length = None;
    let mut is_chunked = false;
    for header in test["headers"].as_array().unwrap_or(&Vec::new()) {
        let (name, value) = (text(&header["name"]), text(&header["value"]));
        if name.contains("Content-Length") {
            let digits: String = value.chars().filter(char::is_ascii_digit).collect();
            length = digits.parse::<usize>().ok();
        }
        is_chunked |= name.contains("Transfer-Encoding");
        bytes.extend(latin(&format!("{name}: {value}\r\n")));
    }
    bytes.extend(b"\r\n");
    let json = "{\"tags\":[\"a\"]}";
    let body = match (is_chunked, length) {
        (true, _) => format!("{:x}\r\n{json}\r\n0\r\n\r\n", json.len()),
        (false, Some(length)) if length > 0 => format!("{json:<length$}"),
        (false, _) => String::new(),
    };
    bytes.extend(body.bytes());
    let hidden = format!("{HIDDEN}-{number}-{is_aimed}");
    bytes.extend(format!("{}\r\n", world.head("GET", &hidden)).bytes());
    bytes
}

/// What is compliant by its files and refused here all the same, by what we answer: names with an underscore, codings
/// beside `chunked`, and targets of other forms.
fn is_refused_here(test: &Value) -> bool {
    let names = test["headers"].as_array().cloned().unwrap_or_default();
    let odd = |it: &Value| {
        text(&it["name"]).contains('_')
            || (it["name"] == "Transfer-Encoding" && it["value"] != "chunked")
    };
    names.iter().any(odd) || !text(&test["uri"]).starts_with("/foo/bar")
}

#[tokio::test]
async fn f1_f4_f5_what_a_desync_guardian_calls_severe_is_one_request_or_none() {
    let Some(folder) = corpus("http/http-desync-guardian") else {
        return;
    };
    let world = World::start().await;
    let mut tests: Vec<Value> = Vec::new();
    let mut entries = Vec::new();
    for path in super::files(folder) {
        if path.extension().is_none_or(|it| it != "yaml") {
            continue;
        }
        let file = std::fs::read_to_string(&path).unwrap();
        tests.extend(serde_saphyr::from_str::<Vec<Value>>(&file).unwrap());
    }
    for (at, test) in tests.iter().enumerate() {
        for is_aimed in [true, false] {
            let bytes = guarded(&world, test, at, is_aimed);
            entries.push(Entry::new(format!("{at} {is_aimed}"), bytes));
        }
    }
    let mut by_tier = [0; 4];
    for became in send(&world, entries).await {
        became.is_sound();
        let (at, is_aimed) = became.entry.name.split_once(' ').unwrap();
        let test = &tests[at.parse::<usize>().unwrap()];
        let is_aimed = is_aimed == "true";
        tier(test, is_aimed, &became, &mut by_tier);
    }
    assert!(by_tier.iter().all(|it| *it > 5), "{by_tier:?}");
    world.finish().await;
}

fn tier(test: &Value, is_aimed: bool, became: &Became, by_tier: &mut [usize; 4]) {
    let name = text(&test["name"]);
    let is_hidden_served = became.seen.iter().any(|it| it.path.starts_with(HIDDEN));
    let statuses = became.statuses();
    let about = format!("{name}: {:?} {}", became.seen, became.back.text);
    match test["expected"]["tier"].as_str().unwrap() {
        "Compliant" => {
            by_tier[0] += 1;
            if is_refused_here(test) || !is_aimed {
                assert!((400..=501).contains(&statuses[0]), "{about}");
            } else {
                // Both work; behind a chunked one nothing more is read.
                assert_eq!(became.finished(), statuses.len(), "{about}");
                assert!(statuses.len() == 2 || became.is_closed, "{about}");
            }
        }
        "Acceptable" => {
            by_tier[1] += 1;
            assert!(became.seen.len() <= 2, "{about}");
        }
        "Ambiguous" => {
            by_tier[2] += 1;
            assert!(became.is_closed && statuses.len() <= 1, "{about}");
            assert!(!is_hidden_served, "{about}");
        }
        "Severe" => {
            by_tier[3] += 1;
            assert!(!is_hidden_served, "{about}");
            assert!(became.is_closed && statuses.len() <= 1, "{about}");
            assert!(statuses.iter().all(|it| *it < 500), "{about}");
        }
        other => panic!("{other} is no tier"),
    }
}

#[tokio::test]
async fn f13_fuzzdbs_methods_are_not_sent_on() {
    let Some(path) = corpus("http/fuzzdb/http-protocol-methods.txt") else {
        return;
    };
    let world = World::start().await;
    let file = std::fs::read_to_string(path).unwrap();
    let methods: Vec<&str> = file.lines().filter(|it| !it.is_empty()).collect();
    let entry = |method: &&str| {
        let head = world.head(method, "/v3/self");
        let end = "Connection: close\r\n\r\n";
        Entry::new(*method, format!("{head}{end}{}", world.hidden()))
    };
    let entries = methods.iter().map(entry).collect();
    for became in send(&world, entries).await {
        became.is_sound();
        let method = became.entry.name.as_str();
        let statuses = became.statuses();
        match method {
            "GET" => assert_eq!((statuses, became.seen.len()), (vec![200], 1)),
            _ => {
                assert!(became.seen.is_empty(), "{method}");
                let is_refused = [[405], [501], [400]].iter().any(|it| statuses == it);
                assert!(is_refused, "{method}: {}", became.back.text);
                // Of a target that the method has in another form, the parser says so.
                assert!(statuses != [400] || method == "CONNECT", "{method}");
            }
        }
    }
    assert!(methods.len() > 40, "{}", methods.len());
    world.finish().await;
}

#[tokio::test]
async fn h7_fuzzdbs_header_names_do_no_harm() {
    let Some(folder) = corpus("http/fuzzdb") else {
        return;
    };
    let world = World::start().await;
    let mut entries = Vec::new();
    for file in [
        "http-request-header-field-names.txt",
        "http-response-header-field-names.txt",
    ] {
        let file = std::fs::read_to_string(folder.join(file)).unwrap();
        for name in file.lines().filter(|it| !it.is_empty()) {
            for value in ["x", "0", "close, Authorization"] {
                let target = format!("/v3/organizations/org-ds/sessions/devin-{}", entries.len());
                let head = world.head("GET", &target);
                let bytes = format!("{head}{name}: {value}\r\nConnection: close\r\n\r\n");
                entries.push(Entry::new(format!("{name}: {value}"), bytes));
            }
        }
    }
    let passed = [
        "accept",
        "accept-encoding",
        "accept-language",
        "content-encoding",
        "content-type",
        "user-agent",
        "range",
        "if-match",
        "if-none-match",
        "if-modified-since",
        "if-unmodified-since",
        "if-range",
    ];
    let mut served = 0;
    for became in send(&world, entries).await {
        became.is_sound();
        let name = &became.entry.name;
        assert_eq!(became.statuses().len(), 1, "{name}: {}", became.back.text);
        assert!(became.seen.len() <= 1, "{name}");
        let (header, _) = name.split_once(": ").unwrap();
        let header = header.to_ascii_lowercase();
        for request in &became.seen {
            served += 1;
            let ours = ["authorization", "host", "via", "x-request-id"].contains(&header.as_str());
            let goes = request.header(&header).is_some();
            assert!(
                !goes || ours || passed.contains(&header.as_str()),
                "{name}: {:?}",
                request.headers
            );
        }
    }
    assert!(served > 150, "{served}");
    world.finish().await;
}

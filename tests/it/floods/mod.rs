//! Floods of HTTP/2 (R3, R4), frame by frame: the connection ends or costs a bounded amount, what was taken back leaves
//! little work at Devin, and whoever else is there is served meanwhile.

mod flood;

use std::time::Duration;

use http::Method;
use tollgate::fake_devin::{Fault, FaultKind};

use self::flood::{
    CONTINUATION, ENHANCE_YOUR_CALM, Ended, PING, PRIORITY, SETTINGS, Step, WINDOW_UPDATE, flood,
    flood_by,
};
use crate::attack::{DATA, HEADERS, RST_STREAM, frame};
use crate::overload::GENEROUS;
use crate::world::{Setup, World};

const CANCEL: [u8; 4] = [0, 0, 0, 8];
/// More than any of these floods may make the process take, in KiB: a connection's own bounds are 1 MiB of bodies and
/// 64 KiB of an answer for each of 128 streams; the rest is what the allocator and the other client use.
const MEMORY: usize = 64 * 1024;
/// So much of control frames is more than the gateway takes without anything that gets on, and a socket holds.
const TOO_MUCH: usize = 16 * 1024 * 1024;

async fn world() -> World {
    World::with(Setup {
        // h2 traces each frame.
        silent: true,
        ..Setup::default()
    })
    .await
}

impl World {
    /// The head of a request that is served, on this stream.
    fn h2_asks(&self, stream: u32, method: &str, path: &str, ends: bool) -> Vec<u8> {
        let bearer = format!("Bearer {}", self.key("one"));
        let mut fields = vec![
            (&b":method"[..], method.as_bytes()),
            (b":scheme", b"http"),
            (b":authority", b"x"),
            (b":path", path.as_bytes()),
            (b"authorization", bearer.as_bytes()),
        ];
        if method == "POST" {
            fields.push((b"content-type", b"application/json"));
        }
        self.h2_head(stream, ends, &fields)
    }

    /// A read that no other one is like.
    fn h2_reads(&self, stream: u32) -> Vec<u8> {
        let path = format!("/v3/organizations/org-ds/sessions/devin-{stream}");
        self.h2_asks(stream, "GET", &path, true)
    }
}

/// Something that happens to all that floods ask Devin for, and to nothing that is asked beside.
fn of_floods(world: &World, kind: FaultKind) {
    let path = "/v3/organizations/org-ds/sessions/".to_owned();
    world.fake.inject(Fault {
        only: Some((Method::GET, path)),
        ..Fault::always(kind)
    });
}

/// The numbers of a client's streams.
fn streams(count: u32) -> impl Iterator<Item = u32> {
    (0..count).map(|it| 2 * it + 1)
}

impl Ended {
    /// Fails unless the connection was ended, nobody else has suffered, and memory is bounded.
    #[track_caller]
    fn was_cut(&self) -> &Self {
        assert!(self.is_closed, "{self:?}");
        self.did_no_harm()
    }

    #[track_caller]
    fn did_no_harm(&self) -> &Self {
        assert!(self.beside > 0, "{self:?}");
        assert!(self.memory < MEMORY, "{self:?}");
        eprintln!(
            "{} bytes, {} heads, {} resets, {} lines, {} KiB, {} beside, GOAWAY {:?}, {:?}",
            self.sent,
            self.heads,
            self.resets,
            self.lines.len(),
            self.memory,
            self.beside,
            self.goaway,
            self.said
        );
        self
    }
}

#[tokio::test]
async fn r3_rapid_resets_end_the_connection_and_leave_devin_alone() {
    let world = world().await;
    let frames = streams(20_000).map(|stream| {
        let mut frames = world.h2_reads(stream);
        frames.extend(frame(RST_STREAM, 0, stream, &CANCEL));
        frames
    });
    let ended = flood(&world, GENEROUS, frames).await;
    ended.was_cut();
    assert_eq!(ended.goaway, Some(ENHANCE_YOUR_CALM));
    let seen = world.upstream().len() - ended.beside;
    assert!(seen <= 200, "{seen} requests went to Devin");
    world.finish().await;
}

#[tokio::test]
async fn r3_requests_that_are_taken_back_once_begun_end_the_connection_too() {
    let world = world().await;
    // Devin takes its time for all but what is asked beside.
    let slow = FaultKind::Latency(Duration::from_secs(1));
    of_floods(&world, slow);
    // Each is begun before it is taken back, so that h2 has nothing to count.
    let steps = streams(2_000).flat_map(|stream| {
        [
            Step::Frames(world.h2_reads(stream)),
            Step::Pause(Duration::from_millis(1)),
            Step::Frames(frame(RST_STREAM, 0, stream, &CANCEL)),
        ]
    });
    let ended = flood_by(&world, GENEROUS, steps).await;
    ended.was_cut();
    assert_eq!(
        ended.said.as_deref(),
        Some("too many requests that were taken back")
    );
    let seen = world.upstream().len() - ended.beside;
    assert!(seen <= 600, "{seen} requests went to Devin");
    world.finish().await;
}

#[tokio::test]
async fn r3_resets_that_a_client_provokes_end_the_connection() {
    for mistake in [
        // A window that grows by nothing, one that grows too far, and data behind the end.
        |stream: u32| frame(WINDOW_UPDATE, 0, stream, &[0; 4]),
        |stream: u32| frame(WINDOW_UPDATE, 0, stream, &[0x7f, 0xff, 0xff, 0xff]),
        |stream: u32| frame(DATA, 0, stream, b"x"),
        |stream: u32| frame(PRIORITY, 0, stream, &[0; 4]),
    ] {
        let world = world().await;
        let frames = streams(20_000).map(|stream| {
            let mut frames = world.h2_reads(stream);
            frames.extend(mistake(stream));
            frames
        });
        let ended = flood(&world, GENEROUS, frames).await;
        ended.was_cut();
        let seen = world.upstream().len() - ended.beside;
        assert!(seen <= 600, "{seen} requests went to Devin");
        world.finish().await;
    }
}

#[tokio::test]
async fn r3_a_head_without_end_ends_the_connection() {
    let world = world().await;
    for piece in [&b""[..], &[0, 1, b'a', 1, b'b'], &[0; 5]] {
        let head = world.h2_reads(1);
        // Its `HEADERS` without the flag that says it is whole.
        let begin = frame(HEADERS, 0x1, 1, &head[9..]);
        let more = (0..100_000).map(|_| frame(CONTINUATION, 0, 1, piece));
        let ended = flood(&world, GENEROUS, std::iter::once(begin).chain(more)).await;
        ended.was_cut();
        assert!(
            ended.goaway.is_some() && ended.lines.is_empty(),
            "{ended:?}"
        );
    }
    world.finish().await;
}

#[tokio::test]
async fn r3_control_frames_without_end_end_the_connection() {
    let world = world().await;
    let settings = |id: u8, value: u32| {
        let mut setting = vec![0, id];
        setting.extend(value.to_be_bytes());
        frame(SETTINGS, 0, 0, &setting)
    };
    for (what, frames) in [
        ("PING", frame(PING, 0, 0, &[0; 8])),
        ("its answer", frame(PING, 1, 0, &[0; 8])),
        ("SETTINGS", frame(SETTINGS, 0, 0, &[])),
        (
            "a table's size",
            [settings(1, 0), settings(1, 4096)].concat(),
        ),
        (
            "a window's size",
            [settings(4, 0), settings(4, 65_535)].concat(),
        ),
        ("PRIORITY", frame(PRIORITY, 0, 1, &[0, 0, 0, 3, 1])),
        ("an unknown frame", frame(0xfa, 0, 0, &[0; 8])),
        ("a large unknown frame", frame(0xfa, 0, 0, &[0; 16_000])),
    ] {
        let times = TOO_MUCH / frames.len();
        let ended = flood(&world, GENEROUS, std::iter::repeat_n(frames, times)).await;
        eprint!("{what}: ");
        ended.was_cut();
        assert!(ended.sent < TOO_MUCH, "{what}: {ended:?}");
        assert!(
            ended.said.is_some() || ended.goaway.is_some(),
            "{what}: {ended:?}"
        );
    }
    world.finish().await;
}

#[tokio::test]
async fn r3_control_frames_beside_a_request_end_the_connection_too() {
    let mut world = world().await;
    world.upstream_faulty();
    of_floods(&world, FaultKind::Hang);
    let one = frame(WINDOW_UPDATE, 0, 0, &[0, 0, 0, 1]);
    let begin = world.h2_reads(1);
    let more = std::iter::repeat_n(one, TOO_MUCH / 13);
    let ended = flood(&world, GENEROUS, std::iter::once(begin).chain(more)).await;
    ended.was_cut();
    assert_eq!(ended.lines.len(), 1);
    world.finish().await;
}

#[tokio::test]
async fn r3_data_of_next_to_nothing_ends_the_connection() {
    let world = world().await;
    for piece in [&b""[..], b"x"] {
        let path = "/v3/organizations/org-ds/sessions";
        let begin = world.h2_asks(1, "POST", path, false);
        let more = (0..1_000_000).map(|_| frame(DATA, 0, 1, piece));
        let ended = flood(&world, GENEROUS, std::iter::once(begin).chain(more)).await;
        // What is read as fast as it comes is bounded by the size of a body.
        ended.did_no_harm();
        assert!(ended.is_closed || ended.resets > 0, "{ended:?}");
        assert!(world.upstream().iter().all(|it| it.path == "/v3/self"));
    }
    world.finish().await;
}

#[tokio::test]
async fn r4_headers_that_unpack_to_much_more_end_the_connection() {
    let world = world().await;
    // A header of 4,000 bytes in the table, and then its number again and again.
    let mut block = world.h2_reads(1)[9..].to_vec();
    block.extend([0x40, 1, b'x', 127, 0xa1, 0x1e]);
    block.extend([b'a'; 4_000]);
    block.resize(block.len() + 8_000, 0x80 | 62);
    let begin = frame(HEADERS, 0x5, 1, &block);
    let ended = flood(&world, GENEROUS, std::iter::once(begin)).await;
    ended.was_cut();
    assert_eq!(ended.goaway, Some(ENHANCE_YOUR_CALM));
    // Within the parser's bound, but not within ours: they are refused, each with the reason.
    let heads = streams(100).map(|stream| {
        let mut block = world.h2_reads(stream)[9..].to_vec();
        for at in 0..10 {
            block.extend([0, 2, b'x', b'0' + at, 127, 0xa1, 0x1e]);
            block.extend([b'a'; 4_000]);
        }
        let (first, rest) = block.split_at(16_000);
        let mut frames = frame(HEADERS, 0x1, stream, first);
        let (second, third) = rest.split_at(16_000);
        frames.extend(frame(CONTINUATION, 0, stream, second));
        frames.extend(frame(CONTINUATION, 0x4, stream, third));
        frames
    });
    let ended = flood(&world, Duration::from_millis(700), heads).await;
    ended.did_no_harm();
    assert!(!ended.is_closed && ended.heads == 100, "{ended:?}");
    assert!(ended.lines.iter().all(|it| it["status"] == 431));
    assert!(world.upstream().iter().all(|it| it.path == "/v3/self"));
    world.finish().await;
}

#[tokio::test]
async fn r4_a_table_of_headers_that_changes_all_the_time_is_as_small_as_ever() {
    let world = world().await;
    // Every head puts forty new headers into the table, which has room for four thousand bytes.
    let heads = streams(1_000).map(|stream| {
        let mut block = world.h2_reads(stream)[9..].to_vec();
        for at in 0..40 {
            let name = format!("x-{stream}-{at}");
            block.extend([0x40, u8::try_from(name.len()).unwrap()]);
            block.extend(name.bytes());
            block.extend([100]);
            block.extend([b'a'; 100]);
        }
        frame(HEADERS, 0x5, stream, &block)
    });
    let ended = flood(&world, Duration::from_secs(3), heads).await;
    ended.did_no_harm();
    assert!(ended.lines.iter().all(|it| it["status"] != 500));
    world.finish().await;
}

#[tokio::test]
async fn r3_more_streams_than_are_allowed_are_refused_before_they_are_requests() {
    let mut world = world().await;
    world.upstream_faulty();
    of_floods(&world, FaultKind::Hang);
    let ended = flood(
        &world,
        Duration::from_millis(700),
        streams(1_000).map(|it| world.h2_reads(it)),
    )
    .await;
    ended.did_no_harm();
    assert!(ended.lines.len() <= 128, "{}", ended.lines.len());
    assert!(ended.resets > 0 || ended.is_closed);
    world.finish().await;
}

#[tokio::test]
async fn r3_numbers_of_streams_that_run_out_or_go_back_end_the_connection() {
    let world = world().await;
    let last = 0x7fff_ffff;
    for second in [1, last, last - 2, 2] {
        let frames = [world.h2_reads(last), world.h2_reads(second)];
        let ended = flood(&world, GENEROUS, frames.into_iter()).await;
        ended.was_cut();
        assert!(ended.goaway.is_some_and(|it| it != 0), "{ended:?}");
        assert!(ended.lines.len() <= 1);
    }
    world.finish().await;
}

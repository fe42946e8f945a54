//! Where Devin is: several addresses, some of them dead; names that lead elsewhere; certificates of others.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::future::{Ready, ready};
use hyper_util::client::legacy::connect::dns::Name;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tollgate::fake_devin::{Fault, FaultKind};
use tollgate::pipeline::upstream::{Connector, Timeouts, Upstream};
use tower::Service;

use super::tls::{Ca, Place};
use super::{DEVIN, SESSIONS, pinned};
use crate::world::{Setup, World};

/// Says where a host is: each time the next of these, the last one for ever. Ports are those of the addresses asked for.
#[derive(Clone)]
struct Says {
    next: Arc<Mutex<VecDeque<Vec<SocketAddr>>>>,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Says {
    fn these(answers: &[&[&str]]) -> Self {
        let at = |host: &&str| SocketAddr::new(host.parse().unwrap(), 0);
        let answers = answers.iter().map(|it| it.iter().map(at).collect());
        Self {
            next: Arc::new(Mutex::new(answers.collect())),
            asked: Arc::default(),
        }
    }

    /// The names that were asked for.
    fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }
}

impl Service<Name> for Says {
    type Response = std::vec::IntoIter<SocketAddr>;
    type Error = Infallible;
    type Future = Ready<Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, name: Name) -> Self::Future {
        self.asked.lock().unwrap().push(name.as_str().to_owned());
        let mut next = self.next.lock().unwrap();
        let answer = match next.len() {
            0 | 1 => next.front().cloned().unwrap_or_default(),
            _ => next.pop_front().unwrap(),
        };
        ready(Ok(answer.into_iter()))
    }
}

/// An address that swallows what is sent to it: its queue of connections is full, and nobody takes one.
async fn black_hole(at: SocketAddr) -> (TcpListener, Vec<TcpStream>) {
    let socket = match at {
        SocketAddr::V4(_) => TcpSocket::new_v4().unwrap(),
        SocketAddr::V6(_) => TcpSocket::new_v6().unwrap(),
    };
    socket.bind(at).unwrap();
    let listener = socket.listen(1).unwrap();
    let mut filling = Vec::new();
    while let Ok(Ok(stream)) =
        tokio::time::timeout(Duration::from_millis(200), TcpStream::connect(at)).await
    {
        filling.push(stream);
    }
    (listener, filling)
}

fn timeouts(connect: Duration) -> Timeouts {
    Timeouts {
        connect,
        ..Setup::default().timeouts
    }
}

/// A world whose Devin is at this port of wherever the resolver says.
async fn at_port(port: u16, says: &Says, ca: &Ca, timeouts: Timeouts) -> World {
    renewed(port, says, ca, timeouts, Duration::from_secs(60)).await
}

async fn renewed(port: u16, says: &Says, ca: &Ca, timeouts: Timeouts, renew: Duration) -> World {
    let setup = Setup {
        timeouts,
        pinned: pinned(DEVIN, port),
        ..Setup::default()
    };
    let roots = [ca.root.clone()];
    let connector = Connector::resolving(says.clone(), &roots, timeouts.connect, None).unwrap();
    let upstream = Upstream::over(connector, timeouts).renewing_after(renew);
    let counted = upstream.counted();
    let world = World::around(setup, |_| upstream).await;
    world.metrics.show_upstream(counted);
    world
}

#[tokio::test]
async fn r17_a_dead_address_leaves_time_for_the_next_one() {
    let ca = Ca::of(&[DEVIN]);
    // Of one family one after the other, each with its part of the time; of two, the other one after 300 ms.
    for dead in ["127.0.0.2", "::1"] {
        let fake = Place::default();
        let alive = ca.terminate("127.0.0.1:0", &fake).await;
        let hole = SocketAddr::new(dead.parse().unwrap(), alive.port());
        let _swallows = black_hole(hole).await;
        let says = Says::these(&[&[dead, "127.0.0.1"]]);
        let connect = Duration::from_secs(3);
        let world = at_port(alive.port(), &says, &ca, timeouts(connect)).await;
        fake.set(world.fake_address).unwrap();
        world.get("one", SESSIONS).await.is_upstream(200);
        // Within one attempt: nothing was tried again.
        let line = world.last_line().await;
        assert_eq!(line["upstream_attempts"], 1, "{line}");
        assert_eq!(says.asked(), [DEVIN]);
        world.finish().await;
    }
}

#[tokio::test]
async fn r17_where_all_addresses_are_dead_it_is_said_in_time() {
    let ca = Ca::of(&[DEVIN]);
    let (_swallows, port) = {
        let free = TcpListener::bind("127.0.0.2:0").await.unwrap();
        let at = free.local_addr().unwrap();
        drop(free);
        (black_hole(at).await, at.port())
    };
    let says = Says::these(&[&["127.0.0.2"]]);
    let connect = timeouts(Duration::from_millis(400));
    let mut world = at_port(port, &says, &ca, connect).await;
    world.upstream_faulty();
    let answer = world.post("one", SESSIONS, super::PROMPT).await;
    answer.is_problem(504, "upstream-timeout");
    assert!(answer.header("x-should-retry").is_none());
    let line = world.last_line().await;
    assert_eq!(line["cause"], "no connection in time", "{line}");
    assert!(world.ledger.unsure().await.unwrap().is_empty());
    world.finish().await;
}

#[tokio::test]
async fn u2_each_connection_asks_anew_where_the_host_is() {
    let ca = Ca::of(&[DEVIN]);
    let fake = Place::default();
    let here = ca.terminate("127.0.0.1:0", &fake).await;
    let there = format!("127.0.0.2:{}", here.port());
    let says = Says::these(&[&["127.0.0.1"], &["127.0.0.2"], &["127.0.0.3"]]);
    let connect = timeouts(Duration::from_secs(2));
    let mut world = at_port(here.port(), &says, &ca, connect).await;
    fake.set(world.fake_address).unwrap();
    world.upstream_faulty();
    world.get("one", SESSIONS).await.is_upstream(200);
    world.get("one", SESSIONS).await.is_upstream(200);
    assert_eq!(says.asked().len(), 1, "an open connection is used again");
    // Its end, and the name leads elsewhere: to another end with the same certificate, and then to nobody.
    ca.terminate(&there, &fake).await;
    world.fake.inject(Fault::next(FaultKind::ResetBeforeWork));
    world.get("one", SESSIONS).await;
    world.get("one", SESSIONS).await.is_upstream(200);
    assert_eq!(says.asked().len(), 2);
    world.fake.inject(Fault::next(FaultKind::ResetBeforeWork));
    world.get("one", SESSIONS).await;
    let answer = world.get("one", SESSIONS).await;
    answer.is_problem(502, "upstream-unreachable");
    assert!(says.asked().len() > 2);
    world.finish().await;
}

#[tokio::test]
async fn u2_a_busy_connection_does_not_live_for_ever() {
    let ca = Ca::of(&[DEVIN]);
    let fake = Place::default();
    let here = ca.terminate("127.0.0.1:0", &fake).await;
    let says = Says::these(&[&["127.0.0.1"]]);
    let connect = timeouts(Duration::from_secs(2));
    let renew = Duration::from_millis(300);
    let world = renewed(here.port(), &says, &ca, connect, renew).await;
    fake.set(world.fake_address).unwrap();
    world.get("one", SESSIONS).await.is_upstream(200);
    // What is under way when the connection is given up ends as ever.
    let slow = Duration::from_millis(300);
    let slow = Fault::next(FaultKind::SlowBody { chunk_delay: slow });
    world.fake.inject(slow);
    let others = async {
        tokio::time::sleep(Duration::from_millis(400)).await;
        // The first of these still goes over the old one, the second over another.
        world.get("one", "/v3/self").await.is_upstream(200);
        world.get("one", "/v3/self").await.is_upstream(200);
        assert_eq!(says.asked().len(), 2);
        let open = world.gauge("tollgate_upstream_connections");
        assert_eq!(open, 2, "the old one still has an answer to end");
    };
    let (slow, ()) = tokio::join!(world.get("one", SESSIONS), others);
    slow.is_upstream(200).json();
    world
        .gauge_becomes("tollgate_upstream_connections", 1)
        .await;
    world.finish().await;
}

#[tokio::test]
async fn u2_another_hosts_certificate_gets_no_token() {
    // One that is trusted, for another host: whoever changes where the name leads has no other.
    let (ours, other) = (Ca::of(&[DEVIN]), Ca::of(&["evil.test"]));
    for (ca, is_ours) in [(&ours, true), (&other, false)] {
        let fake = Place::default();
        let at = ca.terminate("127.0.0.1:0", &fake).await;
        let says = Says::these(&[&["127.0.0.1"]]);
        let connect = timeouts(Duration::from_secs(2));
        let mut world = at_port(at.port(), &says, ca, connect).await;
        fake.set(world.fake_address).unwrap();
        let answer = world.get("one", SESSIONS).await;
        if is_ours {
            answer.is_upstream(200);
            let wanted = format!("{DEVIN}:{}", at.port());
            let requests = world.upstream();
            assert_eq!(requests[0].header("host").unwrap_or(&wanted), wanted);
        } else {
            world.upstream_faulty();
            answer.is_problem(502, "upstream-unreachable");
            let line = world.last_line().await;
            let cause = line["cause"].as_str().unwrap().to_lowercase();
            assert!(cause.contains("certificate"), "{cause}");
            assert!(world.upstream().is_empty());
        }
        // The name that was asked for in clear is the configured one, whoever is at the other end.
        assert!(ca.asked_for().iter().all(|it| it == DEVIN));
        assert!(!ca.asked_for().is_empty());
        world.finish().await;
    }
}

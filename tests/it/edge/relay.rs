//! A wire between the gateway and the fake, which breaks as it is told.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::tls::Place;

/// How an answer goes through it. Counts are of bytes; those below zero are counted from the end of what was written
/// at once.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Way {
    /// As it came.
    Whole,
    /// So much, then a reset.
    Resets(isize),
    /// So much, then an end.
    Ends(isize),
    /// So much, and then nothing, for ever.
    Stalls(isize),
    /// So much, and then a byte each time.
    Drips(isize, Duration),
}

/// The wire.
#[derive(Clone)]
pub(crate) struct Relay {
    pub(crate) at: SocketAddr,
    way: Arc<Mutex<Way>>,
}

impl Relay {
    /// To this place, once it is known.
    pub(crate) async fn to(place: &Place) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let relay = Self {
            at: listener.local_addr().unwrap(),
            way: Arc::new(Mutex::new(Way::Whole)),
        };
        let (way, place) = (Arc::clone(&relay.way), Arc::clone(place));
        tokio::spawn(async move {
            while let Ok((here, _)) = listener.accept().await {
                let (way, place) = (Arc::clone(&way), Arc::clone(&place));
                tokio::spawn(async move {
                    let there = TcpStream::connect(place.get().unwrap()).await.unwrap();
                    carry(here, there, &way).await;
                });
            }
        });
        relay
    }

    /// From now on.
    pub(crate) fn goes(&self, way: Way) {
        *self.way.lock().unwrap() = way;
    }
}

async fn carry(here: TcpStream, there: TcpStream, way: &Mutex<Way>) {
    let ((mut from_here, mut to_here), (mut from_there, mut to_there)) =
        (here.into_split(), there.into_split());
    let asking = async move {
        let _ = tokio::io::copy(&mut from_here, &mut to_there).await;
    };
    let answering = async move {
        let mut buffer = vec![0; 64 * 1024];
        while let Ok(length @ 1..) = from_there.read(&mut buffer).await {
            let way = *way.lock().unwrap();
            let answer = &buffer[..length];
            let so_many = |count: isize| match count {
                0.. => count.unsigned_abs().min(length),
                _ => length.saturating_sub(count.unsigned_abs()),
            };
            let (count, resets) = match way {
                Way::Whole => (length, false),
                Way::Resets(count) => (so_many(count), true),
                Way::Ends(count) | Way::Stalls(count) | Way::Drips(count, _) => {
                    (so_many(count), false)
                }
            };
            if to_here.write_all(&answer[..count]).await.is_err() {
                return false;
            }
            match way {
                Way::Whole => {}
                Way::Resets(_) | Way::Ends(_) => {
                    // What was written has left by then.
                    tokio::time::sleep(Duration::from_millis(30)).await;
                    if resets {
                        to_here.as_ref().set_zero_linger().unwrap();
                    }
                    return true;
                }
                Way::Stalls(_) => std::future::pending().await,
                Way::Drips(_, pause) => {
                    for byte in &answer[count..] {
                        tokio::time::sleep(pause).await;
                        if to_here.write_all(&[*byte]).await.is_err() {
                            return false;
                        }
                    }
                }
            }
        }
        true
    };
    // Whichever side ends, both do.
    tokio::select! {
        () = asking => {}
        _ = answering => {}
    }
}

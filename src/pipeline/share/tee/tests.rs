//! Several readers of one answer, and what they do to each other.

use std::sync::atomic::{AtomicUsize, Ordering};

use http_body_util::{BodyExt, StreamBody};
use tokio::sync::mpsc;

use super::*;

/// What the tee has told.
#[derive(Debug, Default)]
struct Told {
    reserved: AtomicUsize,
    closed: AtomicUsize,
    whole: Mutex<Option<Bytes>>,
}

/// Has room for so many bytes.
struct Room(Arc<Told>, usize);

impl Host for Room {
    fn reserve(&mut self, bytes: usize) -> bool {
        let fits = self.0.reserved.load(Ordering::Relaxed) + bytes <= self.1;
        if fits {
            self.0.reserved.fetch_add(bytes, Ordering::Relaxed);
        }
        fits
    }
    fn release(&mut self, bytes: usize) {
        self.0.reserved.fetch_sub(bytes, Ordering::Relaxed);
    }
    fn close(&mut self) {
        self.0.closed.fetch_add(1, Ordering::Relaxed);
    }
    fn whole(&mut self, body: &mut dyn FnMut() -> Bytes) {
        *self.0.whole.lock().unwrap() = Some(body());
    }
}

type Sender = mpsc::UnboundedSender<Result<Frame<Bytes>, BoxError>>;

struct Shared(Arc<Tee>);

impl AsRef<Tee> for Shared {
    fn as_ref(&self) -> &Tee {
        &self.0
    }
}

/// A tee of ten bytes at most, with a body that the test sends.
fn tee(room: usize) -> (Sender, Arc<Tee>, Arc<Told>) {
    let (sender, mut receiver) = mpsc::unbounded_channel();
    let stream = futures_util::stream::poll_fn(move |cx| receiver.poll_recv(cx));
    let told = Arc::new(Told::default());
    let host = Box::new(Room(Arc::clone(&told), room));
    let tee = Tee::new(
        StreamBody::new(stream).boxed_unsync(),
        None,
        host,
        10,
        false,
    );
    (sender, Arc::new(tee), told)
}

fn first(tee: &Arc<Tee>) -> First<Shared> {
    First::new(Shared(Arc::clone(tee)))
}

fn send(sender: &Sender, text: &'static str) {
    let frame = Frame::data(Bytes::from_static(text.as_bytes()));
    sender.send(Ok(frame)).unwrap();
}

async fn piece(first: &mut First<Shared>) -> Bytes {
    let frame = first.frame().await.unwrap().unwrap();
    frame.into_data().unwrap()
}

#[tokio::test(start_paused = true)]
async fn the_first_streams_and_the_others_get_it_whole() {
    let (sender, tee, told) = tee(100);
    let mut one = first(&tee);
    let others: Vec<_> = (0..3)
        .map(|_| {
            let tee = Arc::clone(&tee);
            tokio::spawn(async move { tee.end().await })
        })
        .collect();
    send(&sender, "ab");
    assert_eq!(piece(&mut one).await, "ab", "it waits for nothing");
    tokio::task::yield_now().await;
    assert!(others.iter().all(|it| !it.is_finished()));
    send(&sender, "cd");
    drop(sender);
    assert_eq!(piece(&mut one).await, "cd");
    assert!(one.frame().await.is_none() && one.is_end_stream());
    for other in others {
        assert_eq!(
            other.await.unwrap(),
            End::Whole(Bytes::from_static(b"abcd"))
        );
    }
    assert_eq!(told.whole.lock().unwrap().as_deref(), Some(&b"abcd"[..]));
    assert_eq!(told.reserved.load(Ordering::Relaxed), 4);
    drop((one, tee));
    assert_eq!(told.reserved.load(Ordering::Relaxed), 0);
}

#[tokio::test(start_paused = true)]
async fn whoever_leaves_holds_up_nobody() {
    let (sender, tee, _) = tee(100);
    let mut one = first(&tee);
    let (waiting, left) = (Arc::clone(&tee), Arc::clone(&tee));
    let follower = tokio::spawn(async move { waiting.end().await });
    let leaver = tokio::spawn(async move { left.end().await });
    send(&sender, "ab");
    assert_eq!(piece(&mut one).await, "ab");
    // All of them have drawn, and whoever drew last goes, as the first one does.
    tokio::task::yield_now().await;
    leaver.abort();
    let _ = leaver.await;
    drop(one);
    send(&sender, "cd");
    drop(sender);
    assert_eq!(
        follower.await.unwrap(),
        End::Whole(Bytes::from_static(b"abcd"))
    );
}

#[tokio::test(start_paused = true)]
async fn a_first_client_that_reads_nothing_holds_up_nobody() {
    let (sender, tee, _) = tee(100);
    let mut one = first(&tee);
    send(&sender, "ab");
    send(&sender, "cd");
    drop(sender);
    assert_eq!(tee.end().await, End::Whole(Bytes::from_static(b"abcd")));
    assert_eq!(piece(&mut one).await, "ab");
    assert_eq!(piece(&mut one).await, "cd");
    assert!(one.frame().await.is_none());
}

#[tokio::test(start_paused = true)]
async fn what_is_too_large_goes_to_the_first_alone() {
    for room in [100, 5] {
        let (sender, tee, told) = tee(room);
        let mut one = first(&tee);
        send(&sender, "12345");
        let follower = Arc::clone(&tee);
        let follower = tokio::spawn(async move { follower.end().await });
        assert_eq!(piece(&mut one).await, "12345");
        send(&sender, "678901");
        assert_eq!(follower.await.unwrap(), End::Alone);
        assert_eq!(
            told.closed.load(Ordering::Relaxed),
            1,
            "nobody joins it any more"
        );
        send(&sender, "234567890");
        drop(sender);
        assert_eq!(piece(&mut one).await, "678901");
        assert_eq!(piece(&mut one).await, "234567890");
        assert!(one.frame().await.is_none() && one.is_end_stream());
        assert_eq!(told.whole.lock().unwrap().as_deref(), None);
        assert_eq!(told.reserved.load(Ordering::Relaxed), 0, "no byte is kept");
    }
}

#[tokio::test(start_paused = true)]
async fn half_an_answer_is_none() {
    let (sender, tee, told) = tee(100);
    let mut one = first(&tee);
    send(&sender, "ab");
    assert_eq!(piece(&mut one).await, "ab");
    sender.send(Err(DeadlineExceeded.into())).unwrap();
    let End::Broken { is_late: true, .. } = tee.end().await else {
        panic!("it broke off");
    };
    let error = one.frame().await.unwrap().unwrap_err();
    assert!(error.is::<DeadlineExceeded>(), "as it was");
    assert!(one.frame().await.is_none() && !one.is_end_stream());
    assert_eq!(told.closed.load(Ordering::Relaxed), 1);
    assert_eq!(told.whole.lock().unwrap().as_deref(), None);
}

/// Knows its length, and not that it has ended before it is asked again: as over HTTP/2.
struct Forgetful(Option<Bytes>);

impl http_body::Body for Forgetful {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        Poll::Ready(self.0.take().map(|it| Ok(Frame::data(it))))
    }
    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.0.as_ref().map_or(0, |it| it.len() as u64))
    }
}

#[tokio::test(start_paused = true)]
async fn the_last_byte_of_a_known_length_is_the_end() {
    let told = Arc::new(Told::default());
    let host = Box::new(Room(Arc::clone(&told), 100));
    let body = Forgetful(Some(Bytes::from_static(b"abc"))).boxed_unsync();
    let tee = Arc::new(Tee::new(body, None, host, 10, false));
    let mut one = first(&tee);
    assert!(!one.is_end_stream());
    assert_eq!(piece(&mut one).await, "abc");
    assert!(one.is_end_stream());
    assert_eq!(told.whole.lock().unwrap().as_deref(), Some(&b"abc"[..]));
}

#[tokio::test(start_paused = true)]
async fn a_known_length_stays_known_and_ends_by_itself() {
    let told = Arc::new(Told::default());
    let host = Box::new(Room(Arc::clone(&told), 100));
    let tee = Tee::new(crate::body::full("abc"), None, host, 10, false);
    let tee = Arc::new(tee);
    let mut one = first(&tee);
    assert_eq!(one.size_hint().exact(), Some(3));
    assert_eq!(piece(&mut one).await, "abc");
    // Nobody asks again after the last byte.
    assert!(one.is_end_stream());
    assert_eq!(one.size_hint().exact(), Some(0));
    assert_eq!(told.whole.lock().unwrap().as_deref(), Some(&b"abc"[..]));
}

//! The well-behaved caller: one kept connection, a fixed pace, and the time that each answer takes.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::http1;

/// Longer than this, an answer is none.
const PATIENCE: Duration = Duration::from_secs(10);

/// A caller at work; it stops when this is dropped.
pub(crate) struct Caller {
    stop: Arc<AtomicBool>,
    samples: Arc<Mutex<Vec<Sample>>>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Clone, Copy)]
struct Sample {
    due: Instant,
    /// From when it was due to its answer.
    since_due: Duration,
    /// From when it was sent.
    took: Duration,
    is_good: bool,
}

/// How a caller fared for a while.
#[derive(Clone, Copy, Default)]
pub(crate) struct Window {
    pub(crate) requests: usize,
    pub(crate) failed: usize,
    /// In milliseconds.
    pub(crate) p50: f64,
    pub(crate) p99: f64,
    pub(crate) longest: f64,
    /// The same of the times since requests were due: where answers take longer than the pace allows, they add up.
    pub(crate) p99_since_due: f64,
}

impl Caller {
    /// Sends so many requests a second from now on.
    pub(crate) fn start(address: SocketAddr, key: &str, pace: f64) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let samples = Arc::new(Mutex::new(Vec::new()));
        let (is_over, noted, key) = (Arc::clone(&stop), Arc::clone(&samples), key.to_owned());
        let thread = std::thread::spawn(move || {
            let (begun, mut connection) = (Instant::now(), None);
            for n in 0_u32.. {
                if is_over.load(Ordering::Relaxed) {
                    break;
                }
                // One that is late makes the next ones late: they were due all the same, and wait since then.
                let due = begun + Duration::from_secs_f64(f64::from(n) / pace);
                std::thread::sleep(due.saturating_duration_since(Instant::now()));
                let sent = Instant::now();
                let asked = ask(&mut connection, address, &http1::read(&key, n));
                let (since_due, took) = (due.elapsed(), sent.elapsed());
                if asked.is_err() {
                    connection = None;
                }
                noted.lock().unwrap().push(Sample {
                    due,
                    since_due,
                    took,
                    is_good: asked.is_ok_and(|status| status == 200),
                });
            }
        });
        Self {
            stop,
            samples,
            thread: Some(thread),
        }
    }

    /// How it fared with the requests that were due then.
    pub(crate) fn window(&self, from: Instant, to: Instant) -> Window {
        let samples = self.samples.lock().unwrap();
        let samples = samples.iter().filter(|it| it.due >= from && it.due < to);
        let (mut took, mut since_due, mut failed) = (Vec::new(), Vec::new(), 0);
        for sample in samples {
            took.push(sample.took.as_secs_f64() * 1_000.0);
            since_due.push(sample.since_due.as_secs_f64() * 1_000.0);
            failed += usize::from(!sample.is_good);
        }
        took.sort_by(f64::total_cmp);
        since_due.sort_by(f64::total_cmp);
        Window {
            requests: took.len(),
            failed,
            p50: at(&took, 0.5),
            p99: at(&took, 0.99),
            longest: at(&took, 1.0),
            p99_since_due: at(&since_due, 0.99),
        }
    }
}

/// The time that this share is not above.
fn at(sorted: &[f64], share: f64) -> f64 {
    let rank = (sorted.len() as f64 * share) as usize;
    let rank = rank.min(sorted.len().saturating_sub(1));
    sorted.get(rank).copied().unwrap_or_default()
}

impl Drop for Caller {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn ask(kept: &mut Option<TcpStream>, address: SocketAddr, request: &[u8]) -> io::Result<u16> {
    let stream = match kept {
        Some(stream) => stream,
        None => {
            let stream = TcpStream::connect_timeout(&address, PATIENCE)?;
            stream.set_nodelay(true)?;
            stream.set_read_timeout(Some(PATIENCE))?;
            stream.set_write_timeout(Some(PATIENCE))?;
            kept.insert(stream)
        }
    };
    stream.write_all(request)?;
    let mut answer = Vec::with_capacity(4_096);
    let mut buffer = [0; 4_096];
    loop {
        let read = stream.read(&mut buffer)?;
        if read == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        answer.extend_from_slice(&buffer[..read]);
        if let Some(head) = http1::head(&answer)
            && answer.len() >= head.length + head.body
        {
            return Ok(head.status);
        }
    }
}

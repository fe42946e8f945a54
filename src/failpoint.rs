//! Points at which a test ends the process, to see that the next one repairs what this one left (G8).
//!
//! Only with the feature `failpoints`, which no release has: otherwise [`reach`] is empty. A point is armed by
//! `TOLLGATE_FAILPOINT=name` or `name:n`: the process dies when it is reached for the first, or the `n`th, time. It
//! dies as by SIGKILL: nothing is flushed, closed or dropped.
//!
//! | point | where |
//! |---|---|
//! | `hold-before-commit` | a hold is written, and not on the disk |
//! | `hold-after-commit` | it is on the disk, and nobody has been told |
//! | `sent-before-answer` | Devin has begun to answer, and nothing of it has been read |
//! | `answer-before-settle` | the answer has been read, and not written down |
//! | `in-settle` | the answer is being written down, and not on the disk |
//! | `in-reconcile` | what Devin said of a session is being written down, and is not on the disk |

/// A point.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Point {
    /// A hold is written, and not on the disk.
    HoldBeforeCommit,
    /// A hold is on the disk, and nobody has been told.
    HoldAfterCommit,
    /// Devin has begun to answer, and nothing of it has been read.
    SentBeforeAnswer,
    /// The answer has been read, and not written down.
    AnswerBeforeSettle,
    /// The answer is being written down, and not on the disk.
    InSettle,
    /// What Devin said of a session is being written down, and is not on the disk.
    InReconcile,
}

impl Point {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::HoldBeforeCommit,
        Self::HoldAfterCommit,
        Self::SentBeforeAnswer,
        Self::AnswerBeforeSettle,
        Self::InSettle,
        Self::InReconcile,
    ];

    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::HoldBeforeCommit => "hold-before-commit",
            Self::HoldAfterCommit => "hold-after-commit",
            Self::SentBeforeAnswer => "sent-before-answer",
            Self::AnswerBeforeSettle => "answer-before-settle",
            Self::InSettle => "in-settle",
            Self::InReconcile => "in-reconcile",
        }
    }
}

/// The process is at this point, and may end here.
#[cfg(feature = "failpoints")]
pub fn reach(point: Point) {
    use std::sync::LazyLock;
    use std::sync::atomic::{AtomicU32, Ordering};

    /// The point that is armed, and how many times it is still passed.
    static ARMED: LazyLock<Option<(String, AtomicU32)>> = LazyLock::new(|| {
        #[expect(clippy::disallowed_methods, reason = "no setting: no release has it")]
        let text = std::env::var("TOLLGATE_FAILPOINT").ok()?;
        let (name, times) = text.split_once(':').unwrap_or((&text, "1"));
        Some((name.to_owned(), AtomicU32::new(times.parse().ok()?)))
    });
    if let Some((name, times)) = &*ARMED
        && name == point.name()
        && times.fetch_sub(1, Ordering::SeqCst) == 1
    {
        std::process::abort();
    }
}

/// The process is at this point.
#[cfg(not(feature = "failpoints"))]
pub const fn reach(_: Point) {}

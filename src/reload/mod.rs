//! Policies that change while the process runs: looked for, read whole, taken or refused.
//!
//! An edge, beside the request path. Every second the files' [`Fingerprint`] is
//! taken; when it has changed and then stood still, or when somebody asks
//! (SIGHUP), the folder is read and compiled on a thread that no request needs.
//! What makes up a whole set without a mistake becomes the [`Current`] one; of
//! anything else nothing is taken, so that a file that cannot be read never
//! switches a guard off. The settings are not read again: the issuers' names are
//! those of the start. What they name is: [`Files`].
//!
//! Deliberately absent: the kernel's notifications of changes. Mounted folders
//! swap links and network folders give none; a look at a few files is cheap.

mod files;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use tokio::sync::Notify;

use crate::clock::Clock;
use crate::document::{Budget, Report, Span};
use crate::ledger::{Aliases, Ledger};
use crate::metrics::Metrics;
use crate::policy::{Fingerprint, Policy, PolicyFiles, compile};
use crate::ruleset::{Change, Current, Refused};
use crate::serve::Systemd;

pub(crate) use files::bounded;
pub use files::{Files, Renew};

/// How often the files are looked at.
const INTERVAL: Duration = Duration::from_secs(1);
/// How long they must stand still before they are read: somebody may be writing.
const STILL: Duration = Duration::from_millis(200);
/// How many looks after a change they are read once more: on a file system whose clock ticks every two seconds, a
/// second change may have left no mark of its own.
const ONCE_MORE: u32 = 4;
/// How often a reading is tried anew when the files change in the middle of it.
const TRIES: usize = 10;
/// The pause after a reload that was asked for: however often one is asked for, others get to run.
const PAUSE: Duration = Duration::from_millis(100);
/// How many mistakes of a set are shown.
const SHOWN: usize = 100;
/// How many characters of each. A file's own text stands in it, and may be as long as the file.
const SHOWN_OF_EACH: usize = 500;

/// What came of a reading.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Another set runs now.
    Replaced,
    /// The files are what runs.
    Unchanged,
    /// The files hold mistakes, and what ran runs on.
    Refused,
    /// The files change too fast to be read, or the ledger cannot be told of them now: it is tried again.
    Restless,
}

/// Keeps the policies of a process those of a folder.
#[derive(Debug)]
pub struct Reload {
    folder: Arc<Path>,
    budget: Budget,
    issuers: Arc<[String]>,
    policies: Current,
    metrics: Metrics,
    clock: Arc<dyn Clock>,
    /// Is told what callers and teams are called now.
    ledger: Option<Ledger>,
    files: Files,
    systemd: Systemd,
    watch: Watch,
    /// What was refused last, to know it again.
    refused: Option<(PolicyFiles, String)>,
}

/// What the last looks have seen.
#[derive(Debug, Default)]
struct Watch {
    seen: Option<Fingerprint>,
    /// How many looks have seen the same since.
    unchanged: u32,
}

impl Watch {
    /// Whether what is seen now is to be read.
    fn saw(&mut self, now: Fingerprint) -> bool {
        if self.seen.as_ref() == Some(&now) {
            self.unchanged = self.unchanged.saturating_add(1);
        } else {
            self.seen = Some(now);
            self.unchanged = 0;
        }
        matches!(self.unchanged, 1 | ONCE_MORE)
    }

    /// What is there now is looked at as if it were new.
    fn forget(&mut self) {
        self.seen = None;
    }

    fn pause(&self) -> Duration {
        let has_just_changed = self.seen.is_some() && self.unchanged == 0;
        if has_just_changed { STILL } else { INTERVAL }
    }
}

/// A folder, as it was read.
struct Reading {
    files: PolicyFiles,
    policy: Option<Policy>,
    report: Report,
    /// Every file was read. What was not may be readable at the next look, without a mark of the change.
    is_whole: bool,
    /// Nothing changed in the meantime.
    is_steady: bool,
}

impl Reload {
    /// From this folder, with files as large as `budget` says, for these policies. `issuers` are the names of the
    /// configured ones.
    pub fn new(
        folder: PathBuf,
        budget: Budget,
        issuers: impl IntoIterator<Item = String>,
        policies: Current,
        metrics: Metrics,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self {
            folder: folder.into(),
            budget,
            issuers: issuers.into_iter().collect(),
            policies,
            metrics,
            clock,
            ledger: None,
            files: Files::default(),
            systemd: Systemd,
            watch: Watch::default(),
            refused: None,
        }
    }

    /// Telling this ledger what callers and teams are called, before each set that is taken.
    #[must_use]
    pub fn telling(mut self, ledger: Ledger) -> Self {
        self.ledger = Some(ledger);
        self
    }

    /// And these files beside the policies.
    #[must_use]
    pub fn with_files(mut self, files: Files) -> Self {
        self.files = files;
        self
    }

    /// Looks at the folder and the files until the end of the process, and reads them whenever `asked` says so.
    /// Requests to do so that come while one is carried out are one.
    pub async fn follow(mut self, asked: Arc<Notify>) {
        loop {
            tokio::select! {
                () = asked.notified() => {
                    self.systemd.reloading();
                    // Before the policies: these may name a caller whose key has just come.
                    self.look_at_files(true).await;
                    self.now().await;
                    self.systemd.ready();
                    tokio::time::sleep(PAUSE).await;
                }
                () = tokio::time::sleep(self.watch.pause()) => {
                    self.look_at_files(false).await;
                    self.look().await;
                }
            }
        }
    }

    async fn look_at_files(&mut self, is_asked: bool) {
        let mut files = std::mem::take(&mut self.files);
        let looked = tokio::task::spawn_blocking(move || {
            files.look(is_asked);
            files
        });
        match looked.await {
            Ok(files) => self.files = files,
            Err(error) => {
                tracing::error!(%error, "token, keys and certificates are followed no longer")
            }
        }
    }

    /// Looks whether the files have changed, and reads them if they have and then stood still.
    async fn look(&mut self) -> Option<Outcome> {
        let folder = Arc::clone(&self.folder);
        let seen = tokio::task::spawn_blocking(move || Fingerprint::of(&folder)).await;
        if !self.watch.saw(seen.ok()?) {
            return None;
        }
        let reading = self.read().await;
        if !reading.is_whole {
            self.watch.forget();
        }
        let outcome = self.take(reading, false).await;
        if outcome == Outcome::Restless {
            self.watch.forget();
        }
        Some(outcome)
    }

    /// Reads the files at once, whether they seem to have changed or not.
    pub async fn now(&mut self) -> Outcome {
        // Whoever asks has just written, perhaps within the same tick of the file system's clock.
        self.watch.forget();
        for _ in 0..TRIES {
            let reading = self.read().await;
            let outcome = self.take(reading, true).await;
            if outcome != Outcome::Restless {
                return outcome;
            }
            tokio::time::sleep(STILL).await;
        }
        tracing::warn!("the policies could not be taken now; they are looked at again");
        Outcome::Restless
    }

    async fn read(&self) -> Reading {
        let (folder, issuers) = (Arc::clone(&self.folder), Arc::clone(&self.issuers));
        let budget = self.budget;
        let reading = tokio::task::spawn_blocking(move || {
            Reading::since(&Fingerprint::of(&folder), &folder, budget, &issuers)
        });
        reading.await.unwrap_or_else(|_panic| {
            // A bug of ours, which is in the log: like any other mistake, it takes nothing away from what runs.
            let mut report = Report::default();
            let source = report.add_source(self.folder.display().to_string(), "");
            report.error(
                Span::start_of(source),
                "the folder cannot be read: a bug of the gateway's",
            );
            Reading {
                files: PolicyFiles::default(),
                policy: None,
                report,
                is_whole: true,
                is_steady: true,
            }
        })
    }

    /// Makes what was read the set that runs, or says why not.
    async fn take(&mut self, reading: Reading, is_asked: bool) -> Outcome {
        if !reading.is_steady {
            return Outcome::Restless;
        }
        let Some(policy) = reading.policy else {
            self.refuse(reading.files, &reading.report, is_asked);
            return Outcome::Refused;
        };
        self.refused = None;
        let old = self.policies.load().policy().hash().to_owned();
        if policy.hash() == old {
            if self.policies.confirm() {
                tracing::info!(policy = old, "the policies are again those in use");
            } else if is_asked {
                tracing::info!(policy = old, "the policies have not changed");
            }
            return Outcome::Unchanged;
        }
        // Before the first request is judged by the new names: under a name that the ledger does not know, nothing would
        // have been spent yet.
        if let Some(ledger) = &self.ledger
            && let Err(error) = ledger.rename(Aliases::of(&policy)).await
        {
            tracing::error!(%error, "the policies are not taken yet: the ledger cannot be told of their names");
            return Outcome::Restless;
        }
        let (new, callers) = (policy.hash().to_owned(), policy.callers().count());
        let change = self.policies.replace(policy, self.clock.now());
        self.metrics.policy_replaced();
        tracing::info!(old, new, callers, "the policies were replaced");
        tell(&change);
        Outcome::Replaced
    }

    fn refuse(&mut self, files: PolicyFiles, report: &Report, is_asked: bool) {
        let text = report.plain();
        let is_known = self
            .refused
            .as_ref()
            .is_some_and(|(known, said)| *known == files && *said == text);
        if is_known && !is_asked {
            return;
        }
        self.policies.refuse(Refused {
            at: self.clock.now(),
            count: report.len(),
            mistakes: shown(report),
        });
        let in_use = self.policies.load().policy().hash().to_owned();
        let mistakes = report.count();
        if is_known {
            tracing::error!(in_use, mistakes, "the policies are refused as before");
            return;
        }
        tracing::error!(
            in_use,
            mistakes,
            "the policies were refused; those in use stay"
        );
        for mistake in text.lines().take(SHOWN) {
            tracing::error!("{}", cut(mistake));
        }
        self.refused = Some((files, text));
    }
}

/// Says which rules, budgets and callers came and went: a file of guard rails that is no longer read is no mistake, and nothing else tells.
fn tell(change: &Change) {
    let Change {
        at: _,
        added,
        removed,
        changed,
        loses_guard,
    } = change;
    let (came, went, others) = (added.count, removed.count, changed.count);
    let (added, removed, changed) = (&added.rules, &removed.rules, &changed.rules);
    if *loses_guard {
        tracing::warn!(
            went,
            ?removed,
            came,
            ?added,
            ?changed,
            "a deny rule, a guard rail's bounds or a budget no longer hold"
        );
    } else if came + went + others > 0 {
        tracing::info!(
            went,
            ?removed,
            came,
            ?added,
            ?changed,
            "rules, budgets or callers came, went or changed"
        );
    }
}

/// The first mistakes, as the operator's port shows them.
fn shown(report: &Report) -> Vec<Value> {
    let mut all = report.json();
    let mut first = all.as_array_mut().map(std::mem::take).unwrap_or_default();
    first.truncate(SHOWN);
    for mistake in &mut first {
        for (_, field) in mistake.as_object_mut().into_iter().flatten() {
            if let Some(text) = field.as_str() {
                *field = Value::String(cut(text));
            }
        }
    }
    first
}

fn cut(text: &str) -> String {
    match text.char_indices().nth(SHOWN_OF_EACH) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or("")),
        None => text.to_owned(),
    }
}

impl Reading {
    fn since(before: &Fingerprint, folder: &Path, budget: Budget, issuers: &[String]) -> Self {
        let mut report = Report::default();
        let files = PolicyFiles::read(folder, budget, &mut report);
        let is_whole = report.is_clean();
        let issuers: Vec<&str> = issuers.iter().map(String::as_str).collect();
        let policy = compile(&files, &issuers, &mut report);
        Self {
            policy: policy.filter(|_| report.is_clean()),
            files,
            report,
            is_whole,
            is_steady: Fingerprint::of(folder) == *before,
        }
    }
}

#[cfg(test)]
mod tests;

//! What was answered to requests with an `Idempotency-Key`, and which attempts an earlier process left open.
//!
//! Answers are no entries: nothing is added up of them, and they go after a day.

use std::collections::HashSet;
use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension, params};

use super::handle::Ledger;
use super::store::{Aliases, micros};
use super::writer::Work;
use super::{HoldId, Resolution, StoreError};
use crate::pipeline::attempts::{
    Fingerprint, KEPT, Kept, Key, MAX_KEYS, Progress, Record, Records, Stored, Unresolved,
};

/// How many expired answers are taken out with each new one.
const SWEPT: i64 = 64;
/// How many keys are remembered of all callers together.
const MAX_ALL: usize = 200_000;

impl Records for Ledger {
    fn find<'a>(
        &'a self,
        caller: &'a str,
        key: &'a Key,
        now: Timestamp,
    ) -> Stored<'a, Option<Record>> {
        let (caller, key) = (self.caller_today(caller), key.clone());
        Box::pin(self.reading(move |connection| find(connection, &caller, key.as_str(), now)))
    }

    fn begin<'a>(
        &'a self,
        caller: &'a str,
        key: &'a Key,
        fingerprint: Fingerprint,
        hold: HoldId,
        now: Timestamp,
    ) -> Stored<'a, bool> {
        let (caller, key) = (self.caller_today(caller), key.clone());
        Box::pin(async move {
            // Counted beside the writer: a few more than the bound do no harm, a slow writer does.
            let counted = caller.clone();
            let has_room = self
                .reading(move |connection| has_room(connection, &counted, MAX_KEYS, MAX_ALL, now))
                .await?;
            if !has_room {
                return Ok(false);
            }
            let write = move |work: &mut Work<'_>| {
                let connection = &work.store.connection;
                sweep(connection, now)?;
                begin(connection, &caller, key.as_str(), &fingerprint, hold, now)
            };
            self.0.writer.write(write).await?;
            Ok(true)
        })
    }

    fn finish<'a>(&'a self, caller: &'a str, key: &'a Key, end: Progress) -> Stored<'a, ()> {
        let (caller, key) = (self.caller_today(caller), key.clone());
        let write =
            move |work: &mut Work<'_>| finish(&work.store.connection, &caller, key.as_str(), &end);
        Box::pin(async move { self.0.writer.write(write).await })
    }

    fn forget<'a>(&'a self, caller: &'a str, key: &'a Key) -> Stored<'a, ()> {
        let (caller, key) = (self.caller_today(caller), key.clone());
        let write = move |work: &mut Work<'_>| {
            let sql = "DELETE FROM answers WHERE caller = ?1 AND key = ?2";
            let mut one = work.store.connection.prepare_cached(sql)?;
            one.execute([caller.as_str(), key.as_str()])?;
            Ok(())
        };
        Box::pin(async move { self.0.writer.write(write).await })
    }

    fn alone(&self) -> Stored<'_, ()> {
        Box::pin(self.0.writer.in_time())
    }

    fn unresolved(&self) -> Stored<'_, Vec<Unresolved>> {
        Box::pin(async move {
            let mut all = self.now_unresolved().await?;
            // The reconciler may have been faster than the first request: what it has found out is whoever repeats'.
            for it in self.0.left_behind.get().into_iter().flatten() {
                if !all.contains(it) {
                    all.push(it.clone());
                }
            }
            for it in &mut all {
                it.caller = self.caller_today(&it.caller).into();
            }
            Ok(all)
        })
    }

    fn resolved(&self, hold: HoldId) -> Stored<'_, Resolution> {
        Box::pin(Self::resolved(self, hold))
    }
}

impl Ledger {
    /// The attempts without a key whose outcome is not known now, under the names of then.
    pub(super) async fn now_unresolved(&self) -> Result<Vec<Unresolved>, StoreError> {
        let named = self.reading(named).await?;
        let unsure = self.unsure().await?.into_iter();
        Ok(unsure
            .filter(|it| !named.contains(&it.hold))
            .map(|it| Unresolved {
                caller: it.caller.into(),
                fingerprint: it.fingerprint,
                hold: it.hold,
            })
            .collect())
    }

    /// A caller's name of today: keys are kept under it.
    fn caller_today(&self, caller: &str) -> String {
        let aliases = self.0.aliases.load();
        let today = aliases.callers.get(caller);
        today.map_or_else(|| caller.to_owned(), |it| it.to_string())
    }
}

impl Work<'_> {
    /// From now on callers and teams have these names: what they had is theirs.
    pub(super) fn rename(&mut self, aliases: Arc<Aliases>) -> Result<(), StoreError> {
        rename(&self.store.connection, &aliases)?;
        self.store.payers.rename(aliases);
        self.store.balances.clear();
        Ok(())
    }
}

/// Gives the keys of callers who were called otherwise before to those of today. A key that both have used is today's.
fn rename(connection: &Connection, aliases: &Aliases) -> Result<(), StoreError> {
    let sql = "UPDATE OR IGNORE answers SET caller = ?2 WHERE caller = ?1";
    let mut one = connection.prepare_cached(sql)?;
    for (old, new) in &aliases.callers {
        one.execute([&**old, &**new])?;
    }
    Ok(())
}

/// What was begun after this has not expired.
fn cutoff(now: Timestamp) -> i64 {
    micros(now.checked_sub(KEPT).unwrap_or(Timestamp::MIN))
}

fn find(
    connection: &Connection,
    caller: &str,
    key: &str,
    now: Timestamp,
) -> Result<Option<Record>, StoreError> {
    let sql = "SELECT fingerprint, hold, progress, status, headers, body, session FROM answers \
               WHERE caller = ?1 AND key = ?2 AND at > ?3";
    let mut one = connection.prepare_cached(sql)?;
    let found = one.query_row(params![caller, key, cutoff(now)], |row| {
        let hold: [u8; 16] = row.get(1)?;
        let progress: String = row.get(2)?;
        let progress = match progress.as_str() {
            "begun" => Progress::Begun(HoldId(uuid::Uuid::from_bytes(hold))),
            "answered" => Progress::Answered(Kept {
                status: StatusCode::from_u16(row.get(3)?).unwrap_or_default(),
                headers: headers(&row.get::<_, String>(4)?),
                body: Bytes::from(row.get::<_, Vec<u8>>(5)?),
            }),
            _ => Progress::Withheld {
                session: row.get(6)?,
            },
        };
        Ok(Record {
            fingerprint: row.get(0)?,
            progress,
        })
    });
    Ok(found.optional()?)
}

/// Whether there is room for another key of this caller: it may have so many, and all together so many.
fn has_room(
    connection: &Connection,
    caller: &str,
    most: usize,
    most_in_all: usize,
    now: Timestamp,
) -> Result<bool, StoreError> {
    let sql = "SELECT (SELECT count(*) FROM answers WHERE caller = ?1 AND at > ?2), \
               (SELECT count(*) FROM answers WHERE at > ?2)";
    let mut one = connection.prepare_cached(sql)?;
    let count = |it: i64| usize::try_from(it).unwrap_or(usize::MAX);
    Ok(one.query_row(params![caller, cutoff(now)], |row| {
        Ok(count(row.get(0)?) < most && count(row.get(1)?) < most_in_all)
    })?)
}

fn sweep(connection: &Connection, now: Timestamp) -> Result<(), StoreError> {
    let sql = "DELETE FROM answers WHERE id IN (SELECT id FROM answers WHERE at <= ?1 ORDER BY at LIMIT ?2)";
    let mut expired = connection.prepare_cached(sql)?;
    expired.execute([cutoff(now), SWEPT])?;
    Ok(())
}

fn begin(
    connection: &Connection,
    caller: &str,
    key: &str,
    fingerprint: &Fingerprint,
    hold: HoldId,
    now: Timestamp,
) -> Result<(), StoreError> {
    // One that has expired, or whose hold came to nothing, may still stand there.
    let sql = "INSERT OR REPLACE INTO answers (caller, key, at, fingerprint, hold, progress) \
               VALUES (?1, ?2, ?3, ?4, ?5, 'begun')";
    let mut one = connection.prepare_cached(sql)?;
    let (at, hold) = (micros(now), &hold.0.as_bytes()[..]);
    one.execute(params![caller, key, at, &fingerprint[..], hold])?;
    Ok(())
}

fn finish(
    connection: &Connection,
    caller: &str,
    key: &str,
    end: &Progress,
) -> Result<(), StoreError> {
    let sql = "UPDATE answers SET progress = ?3, status = ?4, headers = ?5, body = ?6, session = ?7 \
               WHERE caller = ?1 AND key = ?2";
    let mut one = connection.prepare_cached(sql)?;
    match end {
        Progress::Begun(_) => return Ok(()),
        Progress::Answered(kept) => one.execute(params![
            caller,
            key,
            "answered",
            kept.status.as_u16(),
            text(&kept.headers),
            &kept.body[..],
            None::<String>
        ])?,
        Progress::Withheld { session } => one.execute(params![
            caller,
            key,
            "withheld",
            None::<u16>,
            None::<String>,
            None::<Vec<u8>>,
            session
        ])?,
    };
    Ok(())
}

/// The holds that a key tells of.
fn named(connection: &Connection) -> Result<HashSet<HoldId>, StoreError> {
    let mut all = connection.prepare_cached("SELECT hold FROM answers WHERE progress = 'begun'")?;
    let holds = all.query_map([], |row| {
        let hold: [u8; 16] = row.get(0)?;
        Ok(HoldId(uuid::Uuid::from_bytes(hold)))
    })?;
    Ok(holds.collect::<Result<_, _>>()?)
}

fn text(headers: &HeaderMap) -> String {
    let pairs: Vec<(&str, &str)> = headers
        .iter()
        .filter_map(|(name, value)| Some((name.as_str(), value.to_str().ok()?)))
        .collect();
    serde_json::to_string(&pairs).unwrap_or_default()
}

/// Only a damaged file has what is no header.
fn headers(text: &str) -> HeaderMap {
    let pairs: Vec<(String, String)> = serde_json::from_str(text).unwrap_or_default();
    pairs
        .iter()
        .filter_map(|(name, value)| {
            let name = HeaderName::from_bytes(name.as_bytes()).ok()?;
            Some((name, HeaderValue::from_str(value).ok()?))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use jiff::SignedDuration;

    use super::super::{Options, tag};
    use super::*;

    fn key(text: &str) -> Key {
        Key::parse(text.as_bytes()).unwrap()
    }

    fn answer() -> Progress {
        let mut kept = Kept::record(Bytes::from_static(b"{\"session_id\":\"devin-1\"}"));
        kept.status = StatusCode::CREATED;
        Progress::Answered(kept)
    }

    #[tokio::test]
    async fn i3_i4_an_answer_outlives_the_process_for_a_day_and_for_its_caller() {
        let folder = tempfile::tempdir().unwrap();
        let options = Options {
            path: folder.path().join("l.db"),
            tag_key: tag::TagKey::new(&[1; 32]).unwrap(),
            quiet: Duration::from_secs(60),
            hand_over: Duration::from_millis(200),
        };
        let now = Timestamp::from_second(1_790_000_000).unwrap();
        let hold = HoldId::new();
        let ledger = Ledger::open(options.clone()).await.unwrap();
        let records: &dyn Records = &ledger;
        assert_eq!(records.find("a", &key("k"), now).await.unwrap(), None);
        for name in ["k", "l", "m", "n"] {
            let begun = records.begin("a", &key(name), [7; 32], hold, now).await;
            assert!(begun.unwrap());
        }
        records.finish("a", &key("l"), answer()).await.unwrap();
        let session = Some("devin-1".to_owned());
        let withheld = Progress::Withheld { session };
        records
            .finish("a", &key("m"), withheld.clone())
            .await
            .unwrap();
        records.forget("a", &key("n")).await.unwrap();
        ledger.close().await;

        let ledger = Ledger::open(options).await.unwrap();
        let records: &dyn Records = &ledger;
        let last = now + SignedDuration::from_hours(24) - SignedDuration::from_micros(1);
        for (name, expected) in [
            ("k", Some(Progress::Begun(hold))),
            ("l", Some(answer())),
            ("m", Some(withheld)),
            ("n", None),
        ] {
            let found = records.find("a", &key(name), last).await.unwrap();
            let record = |progress| Record {
                fingerprint: [7; 32],
                progress,
            };
            assert_eq!(found, expected.map(record), "{name}");
            assert_eq!(records.find("b", &key(name), last).await.unwrap(), None);
        }
        let over = now + SignedDuration::from_hours(24);
        assert_eq!(records.find("a", &key("l"), over).await.unwrap(), None);
        // The key is free, and what has expired goes.
        let begun = records.begin("a", &key("l"), [8; 32], hold, over).await;
        assert!(begun.unwrap());
        let left = ledger.reading(|connection| {
            Ok(
                connection.query_row("SELECT count(*) FROM answers", [], |row| {
                    row.get::<_, i64>(0)
                })?,
            )
        });
        assert_eq!(left.await.unwrap(), 1);
    }

    #[tokio::test]
    async fn i3_l9_a_caller_keeps_its_keys_under_another_name() {
        let now = Timestamp::from_second(1_790_000_000).unwrap();
        let ledger = Ledger::temporary(Duration::from_secs(60)).await.unwrap();
        let records: &dyn Records = &ledger;
        let hold = HoldId::new();
        for name in ["k", "l"] {
            let begun = records.begin("old", &key(name), [7; 32], hold, now).await;
            assert!(begun.unwrap());
        }
        records.finish("old", &key("k"), answer()).await.unwrap();
        let mut aliases = Aliases::default();
        aliases.callers.insert("old".into(), "new".into());
        ledger.rename(aliases).await.unwrap();
        let found = records.find("new", &key("k"), now).await.unwrap();
        assert_eq!(found.unwrap().progress, answer());
        // One that was under way when the policy changed ends under the old name.
        records.finish("old", &key("l"), answer()).await.unwrap();
        let found = records.find("new", &key("l"), now).await.unwrap();
        assert_eq!(found.unwrap().progress, answer());
    }

    #[tokio::test]
    async fn i7_keys_are_bounded_by_caller_and_in_all() {
        let now = Timestamp::from_second(1_790_000_000).unwrap();
        let ledger = Ledger::temporary(Duration::from_secs(60)).await.unwrap();
        let records: &dyn Records = &ledger;
        for (caller, name) in [("a", "k"), ("a", "l"), ("b", "k")] {
            let hold = HoldId::new();
            let begun = records.begin(caller, &key(name), [7; 32], hold, now).await;
            assert!(begun.unwrap());
        }
        for (caller, most, in_all, wanted) in [
            ("a", 2, 9, false),
            ("a", 3, 9, true),
            ("b", 2, 9, true),
            ("b", 2, 3, false),
            ("c", 1, 3, false),
            ("c", 1, 4, true),
        ] {
            let has = ledger
                .reading(move |connection| has_room(connection, caller, most, in_all, now))
                .await;
            assert_eq!(has.unwrap(), wanted, "{caller} {most} {in_all}");
        }
    }

    #[tokio::test]
    async fn i8_a_hold_that_was_never_taken_is_absent() {
        let ledger = Ledger::temporary(Duration::from_secs(60)).await.unwrap();
        let records: &dyn Records = &ledger;
        let found = records.resolved(HoldId::new()).await.unwrap();
        assert_eq!(found, Resolution::Absent);
    }
}

//! What happens in the month: what callers ask for, what goes wrong, and what nobody asked for.

use std::collections::HashSet;
use std::time::Duration;

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use http::{Method, Request, StatusCode};
use http_body_util::{BodyExt, Full};
use jiff::SignedDuration;
use serde_json::{Value, json};
use tollgate::budget::Payer;
use tollgate::clock::Clock;
use tollgate::fake_devin::{Change, Elsewhere, Ending, Fault, FaultKind, Tuning};
use tollgate::ledger::Aliases;

use super::policies::{callers, names};
use super::{Month, ORGANIZATIONS, TOTAL};

/// A request of a caller's, and what it is for.
pub(super) enum Ask {
    Create {
        organization: &'static str,
        cap: Option<u32>,
    },
    Message {
        session: String,
        organization: String,
    },
    Terminate {
        session: String,
        organization: String,
    },
}

impl Month {
    pub(super) fn payer(&self, caller: usize, organization: &str) -> Payer {
        let (caller, team) = names(caller, self.edits);
        Payer {
            organization: organization.into(),
            team: team.into(),
            caller: caller.into(),
        }
    }

    /// A caller of the same team as the one who created a session.
    pub(super) fn mate(&mut self, session: &str) -> usize {
        let aliases = Aliases::of(self.boot().policies.load().policy());
        let team = aliases.today(self.truth.payer(session)).team;
        let mates: Vec<usize> = (0..callers())
            .filter(|ix| *names(*ix, self.edits).1 == *team)
            .collect();
        *self.dice.one(&mates).unwrap()
    }

    pub(super) async fn send(
        &self,
        number: usize,
        caller: usize,
        ask: &Ask,
    ) -> (StatusCode, Value) {
        let (method, path, body) = match ask {
            Ask::Create { organization, cap } => (
                Method::POST,
                format!("/v3/organizations/{organization}/sessions"),
                json!({ "prompt": format!("task {number}"), "max_acu_limit": cap }),
            ),
            Ask::Message {
                session,
                organization,
            } => (
                Method::POST,
                format!("/v3/organizations/{organization}/sessions/{session}/messages"),
                json!({ "message": format!("go on {number}") }),
            ),
            Ask::Terminate {
                session,
                organization,
            } => (
                Method::DELETE,
                format!("/v3/organizations/{organization}/sessions/{session}"),
                Value::Null,
            ),
        };
        let mut body = body;
        if body["max_acu_limit"].is_null()
            && let Some(body) = body.as_object_mut()
        {
            body.remove("max_acu_limit");
        }
        let body = if body.is_null() {
            String::new()
        } else {
            body.to_string()
        };
        let request = Request::builder()
            .method(method)
            .uri(format!("http://{}{path}", self.boot().address))
            .header(
                "authorization",
                format!("Bearer {}", self.keys[caller].expose()),
            )
            .header("content-type", "application/json")
            .body(Full::new(Bytes::from(body)));
        let answer = self.client.request(request.unwrap()).await.unwrap();
        let status = answer.status();
        let body = answer.into_body().collect().await.unwrap().to_bytes();
        (status, serde_json::from_slice(&body).unwrap_or(Value::Null))
    }

    pub(super) fn note(&mut self, caller: usize, ask: &Ask, status: StatusCode, body: &Value) {
        match (ask, status.as_u16()) {
            (_, 402) => self.refused += 1,
            (Ask::Create { organization, .. }, 200) => {
                let id = body["session_id"].as_str().unwrap();
                let payer = self.payer(caller, organization);
                self.truth.created(bare(id), payer);
            }
            (Ask::Message { session, .. }, 200) => self.truth.woken(session),
            (Ask::Terminate { .. }, 200) => {}
            _ => panic!("{status}: {body}"),
        }
    }

    /// What callers ask for at one moment, all at once.
    pub(super) async fn busy(&mut self, creates: usize) {
        let mut asks = Vec::new();
        for _ in 0..creates {
            let cap = match self.dice.roll(3) {
                0 => None,
                _ => Some(self.dice.roll(5) as u32 + 1),
            };
            let organization = ORGANIZATIONS[self.dice.roll(2) as usize];
            let caller = self.dice.roll(callers() as u64) as usize;
            asks.push((caller, Ask::Create { organization, cap }));
        }
        let living = self.truth.living(&self.fake);
        let mut chosen = HashSet::new();
        for _ in 0..creates {
            // Mostly what was begun not long ago.
            let newest = living.len().saturating_sub(creates * 20);
            let from = if self.dice.roll(4) == 0 {
                &living[..]
            } else {
                &living[newest..]
            };
            let Some(it) = self.dice.one(from) else {
                continue;
            };
            if !chosen.insert(it.id.clone()) {
                continue;
            }
            let (session, organization) = (it.id.clone(), it.org.clone());
            let ask = match self.dice.roll(6) {
                0 => Ask::Terminate {
                    session,
                    organization,
                },
                _ => Ask::Message {
                    session,
                    organization,
                },
            };
            asks.push((self.mate(&it.id), ask));
        }
        let first = self.said;
        self.said += asks.len();
        let this = &*self;
        let answers: Vec<_> = stream::iter(asks.iter().enumerate())
            .map(|(ix, (caller, ask))| async move { this.send(first + ix, *caller, ask).await })
            .buffered(16)
            .collect()
            .await;
        for ((caller, ask), (status, body)) in asks.iter().zip(&answers) {
            self.note(*caller, ask, *status, body);
        }
    }

    /// A create or a message whose answer never comes; Devin has carried it out, or has never had it.
    pub(super) async fn unlucky(&mut self) {
        let was_done = self.dice.roll(2) == 0;
        let kind = if was_done {
            FaultKind::ResetAfterWork
        } else {
            FaultKind::ResetBeforeWork
        };
        let living = self.truth.living(&self.fake);
        let message = self
            .dice
            .one(&living)
            .filter(|it| !self.truth.is_open(&it.id))
            .cloned();
        let (caller, ask) = match message.filter(|_| self.dice.roll(2) == 0) {
            Some(it) => (
                self.mate(&it.id),
                Ask::Message {
                    session: it.id,
                    organization: it.org,
                },
            ),
            None => (
                self.dice.roll(callers() as u64) as usize,
                Ask::Create {
                    organization: "org-ds",
                    cap: Some(1),
                },
            ),
        };
        let before = self.fake.truth().len();
        self.fake.inject(Fault::next(kind));
        self.said += 1;
        let (status, body) = self.send(self.said - 1, caller, &ask).await;
        self.fake.clear_faults();
        if status == StatusCode::PAYMENT_REQUIRED {
            self.refused += 1;
            return;
        }
        assert_eq!(status, StatusCode::BAD_GATEWAY, "{body}");
        let (now, deadline) = (self.clock.now(), self.clock.up() + TOTAL);
        match ask {
            Ask::Create { organization, .. } => {
                let payer = self.payer(caller, organization);
                if was_done {
                    let all = self.fake.truth();
                    assert_eq!(all.len(), before + 1);
                    self.truth.created(&all.last().unwrap().id, payer);
                } else {
                    self.truth.lost(payer, now, 1, deadline);
                }
            }
            Ask::Message { session, .. } if was_done => self.truth.woken(&session),
            Ask::Message { session, .. } => {
                let all = self.fake.truth();
                let it = all.iter().find(|it| it.id == session).unwrap();
                let acus = u32::try_from(it.cap.unwrap()).unwrap();
                let payer = self.truth.payer(&session).clone();
                self.truth.unsettled(&session);
                self.truth.lost(payer, now, acus, deadline);
            }
            Ask::Terminate { .. } => panic!("it is not asked for"),
        }
    }

    /// What happens without a call of the API: all of it is over when the reconciler goes round again.
    pub(super) fn elsewhere(&mut self, count: usize) {
        let short = |parent: Option<String>, org: Option<String>| Elsewhere {
            parent,
            org,
            acus_per_minute: Some(0.311),
            work_minutes: Some(8.0),
            ..Elsewhere::default()
        };
        let living = self.truth.living(&self.fake);
        let mut chosen = HashSet::new();
        for _ in 0..count {
            let Some(it) = self.dice.one(&living).cloned() else {
                return;
            };
            if !chosen.insert(it.id.clone()) {
                continue;
            }
            match self.dice.roll(4) {
                // Only what sleeps, is settled, and works no longer than until then.
                0 => {
                    let works_briefly = it.created as i64 % 2 == 0;
                    let sleeps = it.status == "suspended" && !self.truth.is_open(&it.id);
                    if works_briefly && sleeps && !self.truth.has_lost() {
                        assert!(self.fake.wake_elsewhere(&it.id, "from the web"));
                    }
                }
                1 => {
                    let child = self.fake.begin_elsewhere(short(Some(it.id), None)).unwrap();
                    // And a child's child.
                    if self.dice.roll(2) == 0 {
                        self.fake.begin_elsewhere(short(Some(child), None)).unwrap();
                    }
                }
                // Nobody's.
                2 => {
                    self.fake
                        .begin_elsewhere(short(None, Some(it.org)))
                        .unwrap();
                }
                _ => {
                    if self.dice.roll(3) == 0 {
                        let ends = Some(Ending::Error);
                        self.fake.change(
                            &it.id,
                            Change {
                                ends,
                                ..Change::default()
                            },
                        );
                    }
                }
            }
        }
    }

    /// Time goes by, on all clocks. What is created at an even second works briefly, at an odd one long.
    pub(super) fn wait(&mut self) {
        let minutes = 25 + self.dice.roll(350) as i64;
        let second = self.clock.now().as_second() + minutes * 60;
        let works_briefly = self.dice.roll(2) == 0;
        let odd = i64::from(!works_briefly);
        let by = minutes * 60 + (odd - second.rem_euclid(2));
        self.clock.advance(SignedDuration::from_secs(by));
        self.fake.advance(Duration::from_secs(by as u64));
        let (acus, minutes) = if works_briefly {
            (0.237, 8.0)
        } else {
            (0.019, 240.0)
        };
        self.fake.tune(&Tuning {
            acus_per_minute: Some(acus),
            work_minutes: Some(minutes),
            ..Tuning::default()
        });
    }
}

fn bare(id: &str) -> &str {
    id.strip_prefix("devin-").unwrap_or(id)
}

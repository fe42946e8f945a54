//! What makes two reads the same, and what they are about. Pure.

use std::sync::Arc;

use http::header::{CACHE_CONTROL, PRAGMA, USER_AGENT};
use http::{HeaderMap, HeaderName};

use crate::ledger::SessionId;
use crate::ledger::is_same_organization;
use crate::pipeline::Permitted;
use crate::pipeline::credential::FORWARDED;

/// Of the headers that go to Devin, those that only say who asks, and how often.
const SAYING_WHO: [HeaderName; 2] = [
    USER_AGENT,
    HeaderName::from_static("x-stainless-retry-count"),
];

/// The headers that go to Devin and can change its answer: all others.
fn telling() -> impl Iterator<Item = &'static HeaderName> {
    let all = FORWARDED.iter();
    all.filter(|name| !SAYING_WHO.contains(name))
}

/// Everything on which the answer to a read depends, whole: nothing is digested, so that two reads with one key are
/// one read. The caller and the policy set with the grant that lets it through are parts of it (U6).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Key(Arc<[u8]>);

impl Key {
    /// Of a read that is permitted, with these headers.
    pub(super) fn of(permitted: &Permitted, headers: &HeaderMap) -> Self {
        let policy = permitted.policy();
        Self::new(
            policy.caller(permitted.caller()).name(),
            policy.hash(),
            policy.grant_name(permitted.grant()),
            &permitted.path_and_query(),
            headers,
        )
    }

    /// Of these parts. Each stands behind its length, so that none can look like two.
    pub fn new(caller: &str, policy: &str, grant: &str, target: &str, headers: &HeaderMap) -> Self {
        let mut all = Vec::with_capacity(256);
        let mut part = |bytes: &[u8]| {
            all.extend_from_slice(&(bytes.len() as u64).to_be_bytes());
            all.extend_from_slice(bytes);
        };
        for text in [caller, policy, grant, target] {
            part(text.as_bytes());
        }
        for name in telling() {
            for value in headers.get_all(name) {
                part(name.as_str().as_bytes());
                part(value.as_bytes());
            }
        }
        Self(all.into())
    }

    /// How many bytes it has.
    pub fn length(&self) -> usize {
        self.0.len()
    }
}

/// What a request is about: so much of it as says which answers a change may make stale.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct About {
    /// The organization of the path; none where the path names none, and any may be meant.
    pub organization: Option<Box<str>>,
    /// The session of the path, in its bare form; none where it names none, or nothing that can be one.
    pub session: Option<SessionId>,
}

impl About {
    /// Of a request that is permitted.
    pub(super) fn of(permitted: &Permitted) -> Self {
        Self {
            organization: permitted.organization().map(Into::into),
            session: permitted.session().and_then(SessionId::parse),
        }
    }

    /// Whether a change of this may show in an answer about that. Only what is surely of another organization, or of
    /// another session, is not touched: lists, and whatever names neither, always are.
    pub fn touches(&self, answer: &Self) -> bool {
        let other_organization = match (&self.organization, &answer.organization) {
            (Some(mine), Some(theirs)) => !is_same_organization(mine, theirs),
            (Some(_) | None, _) => false,
        };
        let other_session = match (&self.session, &answer.session) {
            (Some(mine), Some(theirs)) => mine != theirs,
            (Some(_) | None, _) => false,
        };
        !other_organization && !other_session
    }
}

/// Whether the client wants no answer that was given before (RFC 9111 sections 5.2.1 and 5.4).
pub(super) fn wants_fresh(headers: &HeaderMap) -> bool {
    let values = headers.get_all(CACHE_CONTROL).iter();
    let mut words = values
        .chain(headers.get_all(PRAGMA))
        .filter_map(|it| it.to_str().ok())
        .flat_map(|it| it.split(','))
        .map(str::trim);
    words.any(|it| {
        ["no-cache", "no-store", "max-age=0"]
            .iter()
            .any(|word| it.eq_ignore_ascii_case(word))
    })
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn headers(all: &[(&str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in all {
            let name: HeaderName = name.parse().unwrap();
            headers.append(name, HeaderValue::from_str(value).unwrap());
        }
        headers
    }

    #[test]
    fn u6_whatever_can_change_an_answer_is_in_the_key() {
        let none = HeaderMap::new();
        let key = Key::new("one", "hash", "t/read", "/v3/x?a=1", &none);
        assert_eq!(key, Key::new("one", "hash", "t/read", "/v3/x?a=1", &none));
        let same = headers(&[("user-agent", "x"), ("x-stainless-retry-count", "1")]);
        assert_eq!(key, Key::new("one", "hash", "t/read", "/v3/x?a=1", &same));
        for (caller, policy, grant, target) in [
            ("two", "hash", "t/read", "/v3/x?a=1"),
            ("one", "hash2", "t/read", "/v3/x?a=1"),
            ("one", "hash", "t/other", "/v3/x?a=1"),
            ("one", "hash", "t/read", "/v3/x?a=2"),
            ("one", "hash", "t/read", "/v3/x"),
            // No part can look like its neighbour's beginning.
            ("onehash", "", "t/read", "/v3/x?a=1"),
        ] {
            assert_ne!(key, Key::new(caller, policy, grant, target, &none));
        }
        let mut seen = vec![key];
        for name in telling() {
            for value in ["a", "b"] {
                let one = headers(&[(name.as_str(), value)]);
                seen.push(Key::new("one", "hash", "t/read", "/v3/x?a=1", &one));
            }
        }
        seen.sort();
        seen.dedup();
        assert_eq!(seen.len(), 1 + 2 * (FORWARDED.len() - SAYING_WHO.len()));
    }

    #[test]
    fn a_change_touches_its_session_and_every_list() {
        let about = |organization: Option<&str>, session: Option<&str>| About {
            organization: organization.map(Into::into),
            session: session.and_then(SessionId::parse),
        };
        let (mine, other) = (
            about(Some("org-a"), Some("devin-1")),
            about(Some("org-a"), Some("2")),
        );
        let list = about(Some("org-a"), None);
        let elsewhere = about(Some("org-b"), None);
        let everywhere = about(None, None);
        assert!(mine.touches(&about(Some("a"), Some("1"))));
        assert!(mine.touches(&about(None, Some("1"))));
        assert!(mine.touches(&list) && mine.touches(&everywhere));
        assert!(!mine.touches(&other) && !mine.touches(&elsewhere));
        // A create names no session, and could change what any answer of the organization says.
        assert!(list.touches(&mine) && list.touches(&other) && list.touches(&everywhere));
        assert!(!list.touches(&elsewhere));
        assert!(everywhere.touches(&mine) && everywhere.touches(&elsewhere));
    }

    #[test]
    fn whoever_wants_a_fresh_answer_says_so() {
        assert!(wants_fresh(&headers(&[(
            "cache-control",
            "max-age=9, No-Cache"
        )])));
        assert!(wants_fresh(&headers(&[("pragma", "no-cache")])));
        assert!(!wants_fresh(&headers(&[("cache-control", "max-age=60")])));
        assert!(!wants_fresh(&HeaderMap::new()));
    }
}

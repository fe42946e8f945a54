//! From one page to the next: the query that asks for it.

use std::collections::HashSet;

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

use crate::target::decode_form;

/// The most elements of a page that Devin gives.
pub const LARGEST: usize = 200;
/// How many it gives who does not say.
pub(super) const USUAL: usize = 100;

/// How a list is read on, page by page.
#[derive(Clone, Debug)]
pub struct Paging {
    /// The query of the first page.
    query: String,
    /// Whether further pages may be as large as they can be.
    enlarges: bool,
    /// The cursors that were asked for; one that comes again would go on for ever.
    seen: HashSet<String>,
}

impl Paging {
    /// From the query of the first page. `at_most`: how many elements of the whole list can be shown; none where
    /// that has no bound.
    pub fn new(query: Option<&str>, at_most: Option<usize>) -> Self {
        let query = query.unwrap_or_default();
        let size = match values(query, "first").as_slice() {
            [] => Some(USUAL),
            [one] => one.parse().ok().filter(|it| (1..=LARGEST).contains(it)),
            _ => None,
        };
        // Whatever a larger page holds, no more of it can be shown than the caller has asked for.
        let enlarges = at_most
            .zip(size)
            .is_some_and(|(at_most, size)| at_most <= size);
        Self {
            query: query.to_owned(),
            enlarges,
            seen: values(query, "after").into_iter().collect(),
        }
    }

    /// The query of the page behind this cursor. None if it has been asked for before.
    pub fn next(&mut self, cursor: &str) -> Option<String> {
        if !self.seen.insert(cursor.to_owned()) {
            return None;
        }
        let is_ours = |pair: &str| {
            key(pair).is_some_and(|key| key == "after" || (self.enlarges && key == "first"))
        };
        let mut pairs: Vec<String> = pairs(&self.query)
            .filter(|pair| !is_ours(pair))
            .map(str::to_owned)
            .collect();
        if self.enlarges {
            pairs.push(format!("first={LARGEST}"));
        }
        let cursor = utf8_percent_encode(cursor, NON_ALPHANUMERIC);
        pairs.push(format!("after={cursor}"));
        Some(pairs.join("&"))
    }
}

pub(super) fn pairs(query: &str) -> impl Iterator<Item = &str> {
    query.split('&').filter(|pair| !pair.is_empty())
}

pub(super) fn key(pair: &str) -> Option<String> {
    let (key, _) = pair.split_once('=').unwrap_or((pair, ""));
    Some(decode_form(key)?.into_owned())
}

/// All values of a key. One that is not UTF-8 counts as empty text, which is neither a size nor a cursor.
pub(super) fn values(query: &str, wanted: &str) -> Vec<String> {
    pairs(query)
        .filter(|pair| key(pair).is_some_and(|key| key == wanted))
        .map(|pair| {
            let (_, value) = pair.split_once('=').unwrap_or((pair, ""));
            decode_form(value).unwrap_or_default().into_owned()
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn only_the_cursor_of_a_query_changes() {
        for (query, wanted) in [
            (None, "after=c"),
            (Some(""), "after=c"),
            (Some("first=10"), "first=10&after=c"),
            (Some("after=old"), "after=c"),
            (
                Some("a=%41&after=old&b=x+y&first=10&&after=older"),
                "a=%41&b=x+y&first=10&after=c",
            ),
            (Some("%61fter=old&aft%65r&x"), "x&after=c"),
            // Neither of these is Devin's key.
            (
                Some("After=1&after[]=2&%ff=3"),
                "After=1&after[]=2&%ff=3&after=c",
            ),
        ] {
            assert_eq!(
                Paging::new(query, None).next("c").as_deref(),
                Some(wanted),
                "{query:?}"
            );
        }
    }

    #[test]
    fn pages_are_enlarged_where_no_more_can_be_shown_than_was_asked_for() {
        for (query, at_most, wanted) in [
            (Some("first=10&x=1"), Some(10), "x=1&first=200&after=c"),
            (Some("f%69rst=10"), Some(1), "first=200&after=c"),
            (Some("first=10"), Some(11), "first=10&after=c"),
            (Some("first=10"), None, "first=10&after=c"),
            (None, Some(100), "first=200&after=c"),
            (None, Some(101), "after=c"),
            (Some("first=200"), Some(200), "first=200&after=c"),
            // What nobody can say of is left to Devin.
            (Some("first=201"), Some(1), "first=201&after=c"),
            (Some("first=0"), Some(0), "first=0&after=c"),
            (Some("first="), Some(1), "first=&after=c"),
            (Some("first=-1"), Some(1), "first=-1&after=c"),
            (Some("first=1e1"), Some(1), "first=1e1&after=c"),
            (Some("first=%ff"), Some(1), "first=%ff&after=c"),
            (Some("first=5&first=9"), Some(1), "first=5&first=9&after=c"),
        ] {
            assert_eq!(
                Paging::new(query, at_most).next("c").as_deref(),
                Some(wanted),
                "{query:?}"
            );
        }
    }

    #[test]
    fn u12_a_cursor_that_comes_again_is_not_followed() {
        let mut paging = Paging::new(Some("after=%61+b"), None);
        assert_eq!(paging.next("a b"), None);
        assert_eq!(paging.next("c").as_deref(), Some("after=c"));
        assert_eq!(paging.next("d").as_deref(), Some("after=d"));
        assert_eq!(paging.next("c"), None);
    }

    proptest! {
        #[test]
        fn p12_a_cursor_is_one_value_of_the_query_whatever_it_says(query in "([ab=&]{0,3}|after=x|&){0,4}", cursor in "\\PC{1,12}") {
            if let Some(next) = Paging::new(Some(&query), None).next(&cursor) {
                prop_assert!(next.is_ascii());
                prop_assert_eq!(values(&next, "after"), vec![cursor]);
                prop_assert!(crate::target::Target::parse("/v3", Some(&next)).is_ok());
            }
        }
    }
}

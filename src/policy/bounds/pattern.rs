//! Anchored wildcards: `acme/*` is all that begins with `acme/`, and nothing else.

/// A pattern over whole values, in which `*` stands for any text, also none.
///
/// Matching takes time in proportion to the value's length: there is no way back that is tried again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern(Box<str>);

impl Pattern {
    /// Of this text.
    pub fn new(text: &str) -> Self {
        Self(text.into())
    }

    /// As it stands in the policy.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether the whole value is of this form.
    pub fn is_match(&self, value: &str) -> bool {
        let mut pieces = self.0.split('*');
        // Without a `*` there is one piece, and it is everything.
        let first = pieces.next().unwrap_or_default();
        let Some(mut rest) = value.strip_prefix(first) else {
            return false;
        };
        let Some(last) = pieces.next_back() else {
            return rest.is_empty();
        };
        for piece in pieces {
            // The first place is as good as any later one: what follows has the more room.
            let Some((_, after)) = rest.split_once(piece) else {
                return false;
            };
            rest = after;
        }
        rest.ends_with(last)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_pattern_is_anchored_at_both_ends() {
        let is = |pattern: &str, value: &str| Pattern::new(pattern).is_match(value);
        assert!(is("acme/*", "acme/x") && is("acme/*", "acme/"));
        assert!(!is("acme/*", "xacme/x") && !is("acme/*", "acm"));
        assert!(is("*", "") && is("a*b*c", "abbc") && is("a*b*c", "a-b-b-c"));
        assert!(!is("a*b*c", "acb") && !is("ab*ba", "aba"));
        assert!(is("x", "x") && !is("x", "xx") && !is("", "x") && is("", ""));
    }

    proptest! {
        #[test]
        fn it_is_what_the_slow_way_says(pattern in "[ab*]{0,6}", value in "[ab]{0,8}") {
            fn slow(pattern: &[u8], value: &[u8]) -> bool {
                match (pattern.split_first(), value.split_first()) {
                    (None, None) => true,
                    (Some((b'*', rest)), _) => slow(rest, value) || value.split_first().is_some_and(|(_, after)| slow(pattern, after)),
                    (Some((one, rest)), Some((other, after))) => one == other && slow(rest, after),
                    _ => false,
                }
            }
            prop_assert_eq!(Pattern::new(&pattern).is_match(&value), slow(pattern.as_bytes(), value.as_bytes()));
        }
    }
}

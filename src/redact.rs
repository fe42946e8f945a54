//! Credentials in places where none should be. Pure.
//!
//! Callers put keys in paths and user agents, authors paste tokens into files.
//! What looks like a key of ours, a token of Devin's or a JWT is neither logged
//! nor shown in a message.

use std::borrow::Cow;

const BEGINNINGS: [&str; 3] = ["tg_", "cog_", "eyJ"];
/// What is shorter is a prefix in a text, not a credential.
const SHORTEST: usize = 20;

/// The text with `[redacted]` for each credential.
pub fn redact(text: &str) -> Cow<'_, str> {
    replace(text, |_| "[redacted]".to_owned())
}

/// The text with a `*` for each byte of each credential, so that places in it stay what they are.
pub fn mask(text: &str) -> Cow<'_, str> {
    replace(text, |credential| "*".repeat(credential.len()))
}

fn replace(text: &str, with: impl Fn(&str) -> String) -> Cow<'_, str> {
    if !BEGINNINGS.iter().any(|it| text.contains(it)) {
        return Cow::Borrowed(text);
    }
    let is_of_one = |it: char| it.is_ascii_alphanumeric() || matches!(it, '_' | '-' | '.');
    let mut out = String::with_capacity(text.len());
    for word in text.split_inclusive(|it| !is_of_one(it)) {
        let body = word.trim_end_matches(|it| !is_of_one(it));
        let at = BEGINNINGS.iter().filter_map(|it| body.find(it)).min();
        match at.and_then(|at| body.split_at_checked(at)) {
            Some((before, credential)) if credential.len() >= SHORTEST => {
                out.push_str(before);
                out.push_str(&with(credential));
                out.push_str(word.get(body.len()..).unwrap_or(""));
            }
            Some(_) | None => out.push_str(word),
        }
    }
    Cow::Owned(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn u8_what_looks_like_a_credential_is_replaced_and_nothing_else() {
        let key = format!("tg_a-b_{}", "x".repeat(49));
        let jwt = format!("eyJ{}.eyJ{}.sig", "a".repeat(40), "b".repeat(40));
        assert_eq!(
            redact(&format!("a {key}, {jwt}!")),
            "a [redacted], [redacted]!"
        );
        assert_eq!(redact("tg_, eyJ/cog_x ü"), "tg_, eyJ/cog_x ü");
        let text = format!("ü: \"{key}\"\n");
        assert_eq!(mask(&text).len(), text.len());
        assert!(!mask(&text).contains("xx"));
    }
}

//! The tag that finds a session again: `tollgate.<hold>.<caller>.<cap>.<mac>` (L5). Pure.
//!
//! Devin has no idempotency key; a create whose answer is lost is looked for by this tag. The MAC is over all of it and
//! the organization, with a key that is kept apart from the ledger: nobody who can only write tags can make one.

use std::fmt;
use std::sync::Arc;

use aws_lc_rs::hmac;

use super::HoldId;
use crate::acu::Cap;

/// What tags of ours begin with; callers' tags must not.
pub const PREFIX: &str = "tollgate.";

/// How many bytes of the MAC stand in a tag.
const MAC: usize = 16;

/// What a key is known by: the MAC of these bytes.
const SELF: &[u8] = b"tollgate tag key";

/// The key that tags are signed with.
#[derive(Clone)]
pub struct TagKey {
    key: Arc<hmac::Key>,
    /// By which it is known again; none of one that passes with its process.
    fingerprint: Option<Arc<str>>,
}

impl fmt::Debug for TagKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TagKey")
    }
}

/// What a tag says, once its MAC was found good.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tag {
    /// The hold that the session was created under.
    pub hold: HoldId,
    /// The caller's name then.
    pub caller: Box<str>,
    /// The cap that Devin was told.
    pub cap: Cap,
}

fn hex<'b>(bytes: impl Iterator<Item = &'b u8>) -> String {
    bytes.map(|it| format!("{it:02x}")).collect()
}

impl TagKey {
    /// Of these bytes. `None` of fewer than 32.
    pub fn new(bytes: &[u8]) -> Option<Self> {
        (bytes.len() >= 32).then(|| {
            let key = Arc::new(hmac::Key::new(hmac::HMAC_SHA256, bytes));
            let mac = hmac::sign(&key, SELF);
            let fingerprint = hex(mac.as_ref().iter().take(MAC)).into();
            Self {
                key,
                fingerprint: Some(fingerprint),
            }
        })
    }

    /// A new one that nobody knows again, of the system's random bytes. `None` if it gives none.
    pub fn random() -> Option<Self> {
        let mut key = [0; 32];
        aws_lc_rs::rand::fill(&mut key).ok()?;
        Some(Self {
            fingerprint: None,
            ..Self::new(&key)?
        })
    }

    /// What it is known by, and cannot be made from; none of one that is nobody's tomorrow.
    pub fn fingerprint(&self) -> Option<&str> {
        self.fingerprint.as_deref()
    }

    /// The tag of a session in this organization.
    pub fn tag(&self, tag: &Tag, organization: &str) -> String {
        let said = format!("{PREFIX}{}.{}.{}", tag.hold, tag.caller, tag.cap);
        let mac = self.mac(&said, organization);
        format!("{said}.{}", hex(mac.iter()))
    }

    /// Reads a tag. `None` if it is none of ours: of another form, or with a MAC that is not good for it here.
    pub fn read(&self, text: &str, organization: &str) -> Option<Tag> {
        let (said, mac) = text.rsplit_once('.')?;
        let wanted = self.mac(said, organization);
        let mac: Option<Vec<u8>> = (mac.len() == 2 * MAC && mac.is_ascii())
            .then(|| {
                let pairs = mac.as_bytes().chunks(2);
                let byte = |pair: &[u8]| {
                    let lower = pair
                        .iter()
                        .all(|it| matches!(it, b'0'..=b'9' | b'a'..=b'f'));
                    let text = std::str::from_utf8(pair).ok().filter(|_| lower)?;
                    u8::from_str_radix(text, 16).ok()
                };
                pairs.map(byte).collect()
            })
            .flatten();
        aws_lc_rs::constant_time::verify_slices_are_equal(&mac?, &wanted).ok()?;
        let (hold, rest) = said.strip_prefix(PREFIX)?.split_once('.')?;
        // A caller's name can have dots; the cap behind it has none.
        let (caller, cap) = rest.rsplit_once('.')?;
        Some(Tag {
            hold: HoldId(uuid::Uuid::try_parse(hold).ok()?),
            caller: caller.into(),
            cap: Cap::new(cap.parse().ok()?)?,
        })
    }

    fn mac(&self, said: &str, organization: &str) -> Vec<u8> {
        let mut context = hmac::Context::with_key(&self.key);
        context.update(&(said.len() as u64).to_be_bytes());
        context.update(said.as_bytes());
        context.update(organization.as_bytes());
        context.sign().as_ref().iter().take(MAC).copied().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tag() -> Tag {
        Tag {
            hold: HoldId(uuid::Uuid::from_u128(7)),
            caller: "ds.ci-1".into(),
            cap: Cap::new(20).unwrap(),
        }
    }

    #[test]
    fn b12_only_a_tag_with_our_mac_for_this_organization_is_ours() {
        let key = TagKey::new(&[7; 32]).unwrap();
        let text = key.tag(&tag(), "org-a");
        assert!(
            text.starts_with("tollgate.00000000000000000000000000000007.ds.ci-1.20."),
            "{text}"
        );
        assert_eq!(key.read(&text, "org-a"), Some(tag()));
        assert_eq!(key.read(&text, "org-b"), None);
        assert_eq!(TagKey::new(&[8; 32]).unwrap().read(&text, "org-a"), None);
        for bad in [
            text.replace(".20.", ".200."),
            text.replace("ds.ci-1", "ds.ci-2"),
            text.to_uppercase(),
            format!("{text}0"),
            text.replace("tollgate.", "tollgate"),
            String::from("tollgate."),
            String::from("team:other"),
            String::new(),
        ] {
            assert_eq!(key.read(&bad, "org-a"), None, "{bad}");
        }
        assert!(TagKey::new(&[7; 31]).is_none());
    }
}

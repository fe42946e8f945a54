//! Bodies as they are judged and changed: JSON with one meaning. Pure; fuzzed.
//!
//! A governed body is parsed once, strictly, and written once. Whatever two
//! readers could read in two ways is refused: `serde_json` alone keeps the last
//! of duplicate keys without a word, whichever way they are spelled, and an
//! upstream may keep the first. What no rule touches is copied byte for byte,
//! so that a number like `1.10` or 2^80 and the white space stay as they came.
//!
//! [`Document::parse`] checks the whole, [`Node`]s descend into it level by
//! level, [`Edits`] change it.
//!
//! Deliberately absent: reading a body into a [`serde_json::Value`] directly.
//! It takes an object whose first key is `$serde_json::private::RawValue` for
//! the value that is spelled in it; [`Node::to_value`] has no such key.

mod check;
mod document;
mod edits;
mod object;
#[cfg(test)]
mod tests;

pub use check::{Invalid, MAX_DEPTH};
pub use document::{Document, Kind, Node};
pub use edits::Edits;
pub use object::{NoObject, Object};

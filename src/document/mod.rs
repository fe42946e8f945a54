//! YAML files as trees with positions, and what is wrong with them.
//!
//! `tollgate.yaml` and every policy file go through here once, at load: bytes
//! become a [`Node`] tree in which each value knows its place, the tree is read
//! through [`Table`]s that collect every mistake, and a [`Report`] shows all of
//! them with file, line, column, snippet and the nearest right word.
//!
//! Why a tree of our own: derived `serde` structs stop at the first mistake,
//! and a platform team that fixes one typo a deploy is not served. Why strict:
//! a second document, an alias, a duplicate key or `enabled: yes` all mean
//! something else to some other YAML reader, and policies are security.
//!
//! Deliberately absent: anchors, aliases, merge keys, tags and includes.

mod budget;
mod rate;
mod report;
mod size;
mod table;
mod time;
mod tree;

pub use budget::Budget;
pub(crate) use rate::rate;
pub use report::{Diagnostic, Report, SourceId, nearest};
pub(crate) use size::size;
pub use table::Table;
pub(crate) use time::{USUAL, duration, spelled};
pub use tree::{Node, Span, Value, parse};

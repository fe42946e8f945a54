//! t
pub mod document;
pub mod catalogue;
pub mod target;
pub mod policy;

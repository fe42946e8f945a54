//! What a caller sees of a list of organizations, or of sessions. Pure.
//!
//! Stage 12 of the request path fetches the pages; here one page becomes what
//! the caller may see of it ([`filter`]), and one query the query of the next
//! page ([`Paging`]). A list of [`sessions`] is asked for by their ids.
//!
//! Deliberately absent: passing on what is not understood. A page that is no
//! list, or could be read in two ways, is an error; a member of the page that
//! is not known, and an element that does not say which organization it is
//! about, are left out.

mod page;
mod paging;
pub mod sessions;

pub use page::{Filtered, Unfilterable, filter};
pub use paging::{LARGEST, Paging};

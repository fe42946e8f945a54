//! Stage 4b: is there room for another request?
//!
//! Behind the access log and the border, so that whoever is refused has a line
//! and a reason; before everything that costs anything. Nobody waits here: what
//! is too much is refused at once. The gateway's own pages have places of their
//! own, so that they answer while there are none for anything else.

use super::pages::OWN;
use super::problem::Arrived;
use super::stage::Stage;
use crate::capacity::{OWN_PAGES, Room};
use crate::exchange::Exchange;
use crate::rejection::Rejection;

/// Gives requests their places.
#[derive(Clone, Debug)]
pub struct Admit {
    requests: Room,
    own_pages: Room,
}

impl Admit {
    /// In this room.
    pub fn new(requests: Room) -> Self {
        Self {
            requests,
            own_pages: Room::new(OWN_PAGES),
        }
    }
}

impl Stage<Arrived> for Admit {
    type Out = Arrived;

    fn judge(&self, exchange: Exchange<Arrived>) -> Result<Exchange<Arrived>, Rejection> {
        if exchange.trail.no_line.get().is_some() {
            return Err(Rejection::Overloaded(
                "The access log takes nothing, and as many requests wait for it as may",
            ));
        }
        let is_own = exchange.request.uri().path().starts_with(OWN);
        let room = if is_own {
            &self.own_pages
        } else {
            &self.requests
        };
        let Some(place) = room.enter() else {
            return Err(Rejection::Overloaded(
                "As many requests are in flight as may be at once",
            ));
        };
        let _ = exchange.trail.place.set(place);
        Ok(exchange)
    }
}

//! A request and what has been proved about it.
//!
//! The middle of the stack passes [`Exchange<P>`]: each deciding stage takes one
//! proof and gives the next, `Arrived → Classified → Identified → Permitted`. A
//! proof's fields are private to the stage that makes it, so "could a request
//! reach Devin without being authorized?" is answered by reading one signature:
//! the credential stage takes [`Permitted`](crate::pipeline::Permitted), and
//! nothing else makes one.

use std::sync::Arc;

use http::Request;

use crate::body::Body;
use crate::trail::Trail;

/// A request on its way, with the proof `P`.
#[derive(Debug)]
pub struct Exchange<P> {
    /// The request, without its credential once the caller is known.
    pub request: Request<Body>,
    /// What the access log will say.
    pub trail: Arc<Trail>,
    /// What has been proved.
    pub proof: P,
}

impl<P> Exchange<P> {
    /// The same request with a further proof.
    pub fn prove<Q>(self, proof: impl FnOnce(P) -> Q) -> Exchange<Q> {
        Exchange {
            request: self.request,
            trail: self.trail,
            proof: proof(self.proof),
        }
    }
}

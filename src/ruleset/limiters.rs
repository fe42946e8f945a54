//! Which limits each request of a policy set is taken from.
//!
//! What is left of them stands in [`Limits`], which all sets share. A set that follows another goes on with the
//! meters of limits that have not changed, so that a reload gives nobody a fresh burst.

use std::collections::HashMap;
use std::sync::Arc;

use crate::catalogue::OperationIx;
use crate::limits::{Account, Charge, Limits, Meter};
use crate::policy::{CallerIx, Policy};

/// The limits of one policy set that are of a rate.
#[derive(Debug)]
pub struct Limiters {
    limits: Limits,
    /// In the order of the policy's limits; none for one that is of no rate.
    meters: Vec<Option<Arc<Meter>>>,
}

impl Limiters {
    /// Of this set, with all of them unused.
    pub fn new(policy: &Policy) -> Self {
        Self::build(policy, Limits::new(), &[])
    }

    /// Of this set; a limit that `self` has as well goes on as it is, for both.
    pub fn followed_by(&self, policy: &Policy) -> Self {
        Self::build(policy, self.limits.clone(), &self.meters)
    }

    fn build(policy: &Policy, limits: Limits, known: &[Option<Arc<Meter>>]) -> Self {
        let known = known.iter().flatten();
        let known: HashMap<&str, &Meter> = known.map(|it| (&**it.name(), &**it)).collect();
        let meters = policy.limits().map(|(_, limit)| {
            let meter = match known.get(&*limit.name).filter(|it| it.is_of(limit)) {
                Some(meter) => meter.followed_by(limit),
                None => limits.meter(limit),
            };
            meter.map(Arc::new)
        });
        Self {
            meters: meters.collect(),
            limits,
        }
    }

    /// What is left of them.
    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    /// What a request by this caller is taken from. `about` is its operation, and the organization that its path
    /// names; none for a caller's own pages.
    pub fn charges(
        &self,
        policy: &Policy,
        caller: CallerIx,
        about: Option<(OperationIx, Option<&str>)>,
    ) -> Vec<Charge> {
        let known = policy.caller(caller);
        let charges = policy.limits_of(caller).filter_map(|(ix, limit)| {
            let meter = self.meters.get(ix.get())?.as_ref()?;
            let covers = match about {
                Some((operation, _)) => limit.covers(operation),
                None => limit.operations.is_none(),
            };
            let account = Account::of(limit.per, known.team(), known.name(), about)?;
            covers.then(|| Charge {
                meter: Arc::clone(meter),
                account,
            })
        });
        charges.collect()
    }
}

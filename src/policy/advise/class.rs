//! Callers with the same rules: what is true of one is true of all.

use std::collections::HashMap;

use super::super::decide::forbids;
use super::{CallerIx, Effect, Organizations, Policy, Rule, RuleIx};
use crate::catalogue::{OperationIx, OperationSet};

pub(super) struct Class<'p> {
    pub(super) callers: Vec<CallerIx>,
    pub(super) rules: Vec<(RuleIx, &'p Rule)>,
    /// The live deny rules.
    denies: Vec<&'p Rule>,
    /// What they refuse everywhere.
    denied: OperationSet,
    /// What they refuse for single organizations.
    listed: OperationSet,
}

pub(super) fn classes(policy: &Policy) -> Vec<Class<'_>> {
    let mut places: HashMap<&[RuleIx], usize> = HashMap::new();
    let mut classes: Vec<Class<'_>> = Vec::new();
    for (caller, ix) in policy.callers.iter().zip(policy.caller_ixs()) {
        let place = *places.entry(&caller.rules).or_insert_with(|| {
            classes.push(Class::new(policy.rules_of(caller).collect()));
            classes.len() - 1
        });
        if let Some(class) = classes.get_mut(place) {
            class.callers.push(ix);
        }
    }
    classes
}

impl<'p> Class<'p> {
    fn new(rules: Vec<(RuleIx, &'p Rule)>) -> Self {
        let mut class = Self {
            callers: Vec::new(),
            denies: rules
                .iter()
                .map(|(_, rule)| *rule)
                .filter(|rule| rule.effect == Effect::Deny && !rule.shadow)
                .collect(),
            rules,
            denied: OperationSet::default(),
            listed: OperationSet::default(),
        };
        for deny in &class.denies {
            match deny.organizations {
                Organizations::Any => class.denied.extend(&deny.operations),
                Organizations::Only(_) => class.listed.extend(&deny.operations),
            }
        }
        class
    }

    /// The grants that count.
    pub(super) fn live_grants(&self) -> impl Iterator<Item = (RuleIx, &'p Rule)> {
        self.grants().filter(|(_, rule)| !rule.shadow)
    }

    /// The grants, also those that are only tried.
    pub(super) fn grants(&self) -> impl Iterator<Item = (RuleIx, &'p Rule)> {
        self.of(Effect::Allow)
    }

    /// The rules of this effect.
    pub(super) fn of(&self, effect: Effect) -> impl Iterator<Item = (RuleIx, &'p Rule)> {
        let rules = self.rules.iter().copied();
        rules.filter(move |(_, rule)| rule.effect == effect)
    }

    /// What a grant lets through of these operations, at least for one organization.
    pub(super) fn left_open(&self, grant: &Rule, operations: &OperationSet) -> OperationSet {
        let open = operations.clone().without(&self.denied);
        let mut shut = OperationSet::default();
        for ix in open.clone().and(&self.listed).iter() {
            if self.lists_shut(grant, ix) {
                shut.insert(ix);
            }
        }
        open.without(&shut)
    }

    /// Whether deny rules for single organizations refuse all that the grant has of an operation.
    fn lists_shut(&self, grant: &Rule, ix: OperationIx) -> bool {
        let row = ix.row();
        let mut denies = self
            .denies
            .iter()
            .filter(|deny| deny.operations.contains(ix));
        if !row.names_organization() && !row.filtered {
            return denies.any(|deny| forbids(deny, row, None));
        }
        match &grant.organizations {
            Organizations::Any => false,
            Organizations::Only(ids) => {
                let denies: Vec<&&Rule> = denies.collect();
                let is_denied = |id: &String| denies.iter().any(|deny| deny.organizations.has(id));
                ids.iter().all(is_denied)
            }
        }
    }

    /// A deny rule that takes away of these operations.
    pub(super) fn denier(&self, operations: &OperationSet) -> Option<&'p Rule> {
        let mut denies = self.denies.iter().copied();
        denies.find(|deny| deny.operations.meets(operations))
    }
}

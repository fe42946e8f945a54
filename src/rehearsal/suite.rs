//! All tests of a policy set, and the rules that they reach.

use std::collections::HashMap;
use std::sync::Arc;

use serde_json::Value;

use super::cases::Case;
use super::expected::{Mismatch, got_json};
use crate::policy::{Effect, Policy};

/// What became of one test.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// Everything that is not as expected: nothing, where the test passes.
    pub mismatches: Vec<Mismatch>,
    /// What the gateway would say, as JSON.
    pub got: Value,
    /// What the caller would be told, of a refusal.
    pub told: Option<String>,
}

/// A rule, and how many tests it decided.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reached {
    /// The rule's name.
    pub rule: Arc<str>,
    /// What it does.
    pub effect: Effect,
    /// The tests that it had a part in.
    pub tests: usize,
}

/// What became of all tests.
#[derive(Clone, Debug)]
pub struct Suite {
    /// In the order of the tests.
    pub outcomes: Vec<Outcome>,
    /// In the order of the rules.
    pub rules: Vec<Reached>,
}

/// Runs tests of a policy set.
pub fn run(cases: &[Case], policy: &Policy) -> Suite {
    let mut reached: HashMap<Arc<str>, usize> = HashMap::new();
    let mut outcomes = Vec::with_capacity(cases.len());
    for case in cases {
        let verdict = case.request.judge(policy);
        for rule in case.request.deciders(policy, &verdict) {
            *reached.entry(rule).or_default() += 1;
        }
        outcomes.push(Outcome {
            mismatches: case.expected.compare(&case.request, &verdict),
            got: got_json(&case.request, &verdict),
            told: verdict.refusal.map(|it| it.detail),
        });
    }
    let rules = policy.rules().map(|rule| Reached {
        rule: Arc::clone(rule.name()),
        effect: rule.effect(),
        tests: reached.get(rule.name()).copied().unwrap_or_default(),
    });
    Suite {
        outcomes,
        rules: rules.collect(),
    }
}

impl Suite {
    /// How many tests pass.
    pub fn passed(&self) -> usize {
        let passes = |it: &&Outcome| it.mismatches.is_empty();
        self.outcomes.iter().filter(passes).count()
    }

    /// The rules that no test reaches.
    pub fn unreached(&self) -> impl Iterator<Item = &Reached> {
        self.rules.iter().filter(|it| it.tests == 0)
    }
}

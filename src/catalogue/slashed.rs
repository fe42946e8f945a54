//! The repository rows, whose parameters hold slashes.
//!
//! Matched from the end, over the decoded pieces: whoever decodes before routing
//! sees these, whoever routes first sees others. Only where all agree there is
//! one reading; a path with two is refused.

use super::OperationIx;
use super::router::{MAX_NAME, Missed, Parameters, is_id, parameter_name};
use crate::target::Segment;

/// The rows below `/organizations/{org_id}/repositories/`.
#[derive(Debug, Default)]
pub(super) struct Slashed(Vec<(Vec<Part>, OperationIx)>);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    Literal(&'static str),
    /// One or more segments.
    Slashed(&'static str),
}

impl Slashed {
    /// Adds a row by what stands behind `repositories/`.
    pub(super) fn add(&mut self, tail: &'static str, operation: OperationIx) {
        self.0.push((parts(tail), operation));
    }

    /// The repository rows. Every way to read the path is tried; two readings are none.
    pub(super) fn read(
        &self,
        tail: &[Segment<'_>],
    ) -> Result<(Vec<OperationIx>, Parameters), Missed> {
        let [organizations, org, repositories, rest @ ..] = tail else {
            return Err(Missed::Path);
        };
        if organizations.raw() != "organizations"
            || repositories.raw() != "repositories"
            || !is_id(org.decoded())
        {
            return Err(Missed::Path);
        }
        // Whoever decodes before routing sees these pieces, whoever routes first sees others: only where all
        // agree there is one reading.
        let pieces: Vec<Piece<'_>> = rest
            .iter()
            .flat_map(|segment| {
                let is_plain = segment.raw() == segment.decoded();
                segment
                    .decoded()
                    .split('/')
                    .map(move |text| Piece { text, is_plain })
            })
            .collect();
        let mut readings: Vec<Reading> = Vec::new();
        let mut operations = Vec::new();
        for (parts, operation) in &self.0 {
            for reading in read_slashed(parts, &pieces) {
                operations.push(*operation);
                if !readings
                    .iter()
                    .any(|it| it.parameters == reading.parameters)
                {
                    readings.push(reading);
                }
            }
        }
        match (readings.pop(), readings.is_empty()) {
            (Some(reading), true) if reading.is_plain => {
                let mut parameters = reading.parameters;
                parameters.insert(0, ("org_id", org.decoded().to_owned()));
                Ok((operations, parameters))
            }
            (Some(_), false) => Err(Missed::Ambiguous),
            // A literal in another spelling is not that literal.
            (Some(_) | None, _) => Err(Missed::Path),
        }
    }
}

fn parts(tail: &'static str) -> Vec<Part> {
    let part = |segment| parameter_name(segment).map_or(Part::Literal(segment), Part::Slashed);
    tail.split('/').map(part).collect()
}

/// A piece of a path between decoded slashes.
#[derive(Clone, Copy, Debug)]
struct Piece<'a> {
    text: &'a str,
    /// Whether it stood there as it is, with real slashes around it.
    is_plain: bool,
}

#[derive(Clone, Debug)]
struct Reading {
    parameters: Parameters,
    /// Whether every literal stood there as it is.
    is_plain: bool,
}

/// Every way in which these pieces fit these parts.
fn read_slashed(parts: &[Part], rest: &[Piece<'_>]) -> Vec<Reading> {
    let Some((part, later)) = parts.split_first() else {
        let end = Reading {
            parameters: Vec::new(),
            is_plain: true,
        };
        return if rest.is_empty() {
            vec![end]
        } else {
            Vec::new()
        };
    };
    match part {
        Part::Literal(literal) => match rest.split_first() {
            Some((first, rest)) if first.text == *literal => {
                let mut found = read_slashed(later, rest);
                for reading in &mut found {
                    reading.is_plain &= first.is_plain;
                }
                found
            }
            Some(_) | None => Vec::new(),
        },
        Part::Slashed(name) => {
            let mut found = Vec::new();
            for length in 1..=rest.len() {
                let (mine, rest) = rest.split_at(length);
                let value = mine.iter().map(|it| it.text).collect::<Vec<_>>().join("/");
                if value.len() > MAX_NAME {
                    break;
                }
                for mut reading in read_slashed(later, rest) {
                    reading.parameters.insert(0, (*name, value.clone()));
                    found.push(reading);
                }
            }
            found
        }
    }
}

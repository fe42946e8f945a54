//! `identity:`: whose tokens are believed, and with which keys.

use std::path::Path;

use crate::document::{Node, Report, Span, Table};
use crate::pipeline::authenticate::{Algorithm, Issuer, Keys};

/// The issuers, each with its place.
pub(super) fn read(node: &Node, folder: &Path, report: &mut Report) -> Vec<(Issuer, Span)> {
    let Some(mut table) = Table::new("`identity:`", node, report) else {
        return Vec::new();
    };
    let items = table
        .list("issuers", report)
        .map_or(&[][..], |(items, _)| items);
    let mut issuers: Vec<(Issuer, Span)> = Vec::new();
    for item in items {
        let Some(issuer) = issuer(item, folder, report) else {
            continue;
        };
        for (other, first) in &issuers {
            if other.name == issuer.name {
                report
                    .error(
                        item.span,
                        format!("the issuer name `{}` is used twice", issuer.name),
                    )
                    .also(*first, "first here");
            }
            let shared = issuer
                .audiences
                .iter()
                .any(|it| other.audiences.contains(it));
            if other.issuer == issuer.issuer && shared {
                report
                    .error(
                        item.span,
                        format!(
                            "the issuer `{}` stands twice with a common audience",
                            issuer.issuer
                        ),
                    )
                    .also(*first, "first here")
                    .help("a token must be for one of them only: make the audiences disjoint");
            }
        }
        issuers.push((issuer, item.span));
    }
    table.finish(report);
    issuers
}

fn issuer(node: &Node, folder: &Path, report: &mut Report) -> Option<Issuer> {
    let mut table = Table::new("an issuer", node, report)?;
    let name = table.require_text("name", report);
    let issuer = table.require_text("issuer", report);
    let audiences = words(&mut table, "audiences", report);
    let algorithms = words(&mut table, "algorithms", report);
    let algorithms: Option<Vec<Algorithm>> = algorithms.map(|names| {
        names
            .iter()
            .filter_map(|(name, span)| {
                let found = Algorithm::named(name);
                if found.is_none() {
                    report
                        .error(
                            *span,
                            format!("`{}` is no algorithm for tokens here", name.escape_debug()),
                        )
                        .suggest(name, Algorithm::NAMES);
                }
                found
            })
            .collect()
    });
    let keys = match table.take("jwks") {
        Some(node) => jwks(node, folder, report),
        None => {
            report
                .error(
                    node.span,
                    "discovery of an issuer's keys is not supported yet",
                )
                .help("give the keys: jwks: { file: keys.json }");
            None
        }
    };
    if let (Some(algorithms), Some(keys)) = (&algorithms, &keys)
        && !keys.has_any(algorithms)
    {
        report.error(
            node.span,
            "no key of this issuer is for one of its `algorithms:`",
        );
    }
    table.finish(report);
    Some(Issuer {
        name: name?.0.to_owned(),
        issuer: issuer?.0.to_owned(),
        audiences: audiences?.into_iter().map(|(text, _)| text).collect(),
        algorithms: algorithms?,
        keys: keys?,
    })
}

/// A list of texts that must be there and must not be empty.
fn words(
    table: &mut Table<'_>,
    name: &'static str,
    report: &mut Report,
) -> Option<Vec<(String, Span)>> {
    let Some((items, span)) = table.list(name, report) else {
        table.miss(name, format!("an issuer needs a list `{name}:`"), None);
        return None;
    };
    if items.is_empty() {
        report.error(span, format!("`{name}:` is an empty list"));
    }
    let text = |item: &Node| {
        item.as_text(name, report)
            .map(|text| (text.to_owned(), item.span))
    };
    Some(items.iter().filter_map(text).collect())
}

fn jwks(node: &Node, folder: &Path, report: &mut Report) -> Option<Keys> {
    let mut table = Table::new("`jwks:`", node, report)?;
    for field in ["url", "ca", "bearer"] {
        table.not_yet(field, report);
    }
    let found = table.require_text("file", report).and_then(|(text, span)| {
        Keys::open(folder.join(text))
            .map_err(|message| report.error(span, message))
            .ok()
    });
    table.finish(report);
    found
}

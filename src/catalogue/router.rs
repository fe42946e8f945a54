//! From a target to its operation, and to nothing else.
//!
//! matchit finds the path; what it cannot say is added here: literal segments
//! beat parameters (an id that equals a sibling literal is no id), parameters
//! have shapes, and the repository rows, whose parameters hold slashes, are
//! matched from the end, with exactly one possible reading.

use std::collections::{HashMap, HashSet};

use super::slashed::Slashed;
use super::{Operation, OperationIx, OrgAt, SESSION_PARAMETERS, Verb, Version};
use crate::target::{Segment, Target};

/// The longest id in a path, in bytes.
const MAX_ID: usize = 128;
/// The longest free parameter (a file's, group's, tag's, repository's or branch's name), in bytes.
pub(super) const MAX_NAME: usize = 1024;
/// The path below which parameters may hold slashes.
const SLASHED: &str = "/organizations/{org_id}/repositories/";

/// The catalogue, ready to be asked.
#[derive(Debug)]
pub struct Catalogue {
    paths: matchit::Router<usize>,
    rows: Vec<Vec<Row>>,
    slashed: Slashed,
}

#[derive(Debug)]
struct Row {
    operation: OperationIx,
    parameters: Vec<Parameter>,
}

#[derive(Debug)]
struct Parameter {
    /// Its place among the segments behind the version prefix.
    at: usize,
    name: &'static str,
    /// The literals that stand at the same place in other rows: none of them is an id.
    siblings: Vec<&'static str>,
}

/// Parameter names and decoded values, in the order of the path.
pub type Parameters = Vec<(&'static str, String)>;

/// An operation, and what its path named.
#[derive(Clone, Debug)]
pub struct Found {
    /// Which operation it is.
    pub operation: OperationIx,
    /// The version prefix it was called under.
    pub version: Version,
    /// Parameter names and decoded values, in the order of the path.
    pub parameters: Parameters,
}

impl Found {
    /// A parameter's decoded value.
    pub fn parameter(&self, name: &str) -> Option<&str> {
        let found = self.parameters.iter().find(|(it, _)| *it == name);
        found.map(|(_, value)| value.as_str())
    }

    /// The organization that the path names.
    pub fn organization(&self) -> Option<&str> {
        self.parameter("org_id")
    }

    /// The session that the path names.
    pub fn session(&self) -> Option<&str> {
        SESSION_PARAMETERS
            .iter()
            .find_map(|name| self.parameter(name))
    }
}

/// Why there is no operation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Missed {
    /// No row has this path.
    Path,
    /// A row has this path, under another version prefix.
    Version,
    /// Rows have this path, with these methods.
    Method(Vec<Verb>),
    /// The worker queue: known, and never served.
    Refused(&'static str),
    /// A repository path with two readings, or a slash where none may be.
    Ambiguous,
}

impl Catalogue {
    /// Builds the routes.
    ///
    /// # Panics
    /// Never: a table whose rows collide fails the unit tests of this module.
    pub fn new() -> Self {
        let mut catalogue = Self {
            paths: matchit::Router::new(),
            rows: Vec::new(),
            slashed: Slashed::default(),
        };
        let literals = literals();
        let mut known: HashMap<String, usize> = HashMap::new();
        for ix in OperationIx::all() {
            let row = ix.row();
            if let Some(tail) = row.path.strip_prefix(SLASHED)
                && tail.contains('{')
            {
                catalogue.slashed.add(tail, ix);
                continue;
            }
            let pattern = anonymous(row.path);
            let at = *known.entry(pattern.clone()).or_insert_with(|| {
                catalogue.rows.push(Vec::new());
                catalogue.rows.len() - 1
            });
            if let Some(rows) = catalogue.rows.get_mut(at) {
                if rows.is_empty() {
                    let inserted = catalogue.paths.insert(pattern, at);
                    debug_assert!(inserted.is_ok(), "{}: {inserted:?}", row.id);
                }
                rows.push(Row {
                    operation: ix,
                    parameters: parameters(row, &literals),
                });
            }
        }
        catalogue
    }

    /// The operation that this method and target are.
    ///
    /// # Errors
    /// See [`Missed`]; every one of them is a refusal.
    pub fn find(&self, method: &http::Method, target: &Target) -> Result<Found, Missed> {
        let segments: Vec<Segment<'_>> = target.segments().collect();
        let Some((prefix, tail)) = segments.split_first() else {
            return Err(Missed::Path);
        };
        let version = match prefix.raw() {
            "v3" => Version::V3,
            "v3beta1" => Version::V3Beta1,
            "opbeta" => Version::Opbeta,
            _ => return Err(Missed::Path),
        };
        let path = target
            .path()
            .strip_prefix('/')
            .and_then(|path| path.strip_prefix(prefix.raw()));
        if let Ok(matched) = self.paths.at(path.unwrap_or_default()) {
            let rows = self.rows.get(*matched.value).map_or(&[][..], Vec::as_slice);
            let fitting: Vec<&Row> = rows.iter().filter(|row| row.fits(tail)).collect();
            if fitting.is_empty() && tail.iter().any(|segment| segment.decoded().contains('/')) {
                return Err(Missed::Ambiguous);
            }
            let ix = choose(fitting.iter().map(|row| row.operation), method, version)?;
            let chosen = fitting.iter().find(|row| row.operation == ix);
            return Ok(Found {
                operation: ix,
                version,
                parameters: chosen.map_or_else(Vec::new, |row| row.read(tail)),
            });
        }
        let (operations, parameters) = self.slashed.read(tail)?;
        Ok(Found {
            operation: choose(operations.into_iter(), method, version)?,
            version,
            parameters,
        })
    }
}

/// Of the operations with this path, the one with this method and version.
fn choose(
    operations: impl Iterator<Item = OperationIx> + Clone,
    method: &http::Method,
    version: Version,
) -> Result<OperationIx, Missed> {
    let here = operations
        .clone()
        .filter(|ix| ix.row().versions.has(version));
    if version == Version::Opbeta {
        let known = here.clone().next();
        return Err(known.map_or(Missed::Path, |ix| Missed::Refused(ix.row().id)));
    }
    if let Some(found) = here.clone().find(|ix| ix.row().verb.method() == *method) {
        return Ok(found);
    }
    let verbs: Vec<Verb> = here.map(|ix| ix.row().verb).collect();
    if !verbs.is_empty() {
        return Err(Missed::Method(verbs));
    }
    Err(if operations.clone().any(|ix| ix.row().is_served()) {
        Missed::Version
    } else {
        Missed::Path
    })
}

impl Default for Catalogue {
    fn default() -> Self {
        Self::new()
    }
}

impl Row {
    /// Whether every parameter has its shape, and is no literal of a sibling's.
    fn fits(&self, tail: &[Segment<'_>]) -> bool {
        self.parameters.iter().all(|parameter| {
            tail.get(parameter.at).is_some_and(|segment| {
                let value = segment.decoded();
                !parameter.siblings.contains(&value) && has_shape(parameter.name, value)
            })
        })
    }

    fn read(&self, tail: &[Segment<'_>]) -> Parameters {
        let value = |at: usize| {
            tail.get(at)
                .map_or_else(String::new, |segment| segment.decoded().to_owned())
        };
        self.parameters
            .iter()
            .map(|it| (it.name, value(it.at)))
            .collect()
    }
}

fn has_shape(name: &str, value: &str) -> bool {
    match name {
        "name" | "tag" | "idp_group_name" => value.len() <= MAX_NAME && !value.contains('/'),
        _ => is_id(value),
    }
}

/// Ids have had several prefixes over the years, and one alphabet.
pub(super) fn is_id(value: &str) -> bool {
    (1..=MAX_ID).contains(&value.len())
        && value
            .bytes()
            .all(|it| it.is_ascii_alphanumeric() || it == b'-' || it == b'_')
}

/// Parameter names differ between rows that share a path; matchit must not see them.
fn anonymous(path: &str) -> String {
    let mut out = String::new();
    for (at, segment) in segments(path).enumerate() {
        out.push('/');
        match parameter_name(segment) {
            Some(_) => out += &format!("{{p{at}}}"),
            None => out += segment,
        }
    }
    out
}

fn parameters(
    row: &Operation,
    literals: &HashMap<String, HashSet<&'static str>>,
) -> Vec<Parameter> {
    let mut found = Vec::new();
    let mut beginning = String::new();
    for (at, segment) in segments(row.path).enumerate() {
        if let Some(name) = parameter_name(segment) {
            let siblings = literals.get(&beginning);
            found.push(Parameter {
                at,
                name,
                siblings: siblings.into_iter().flatten().copied().collect(),
            });
            beginning.push_str("/{}");
        } else {
            beginning.push('/');
            beginning.push_str(segment);
        }
    }
    found
}

/// The literals that stand behind each beginning of a path, parameters taken as equal.
fn literals() -> HashMap<String, HashSet<&'static str>> {
    let mut found: HashMap<String, HashSet<&'static str>> = HashMap::new();
    for ix in OperationIx::all() {
        let mut beginning = String::new();
        for segment in segments(ix.row().path) {
            if parameter_name(segment).is_some() {
                beginning.push_str("/{}");
            } else {
                found.entry(beginning.clone()).or_default().insert(segment);
                beginning.push('/');
                beginning.push_str(segment);
            }
        }
    }
    found
}

fn segments(path: &str) -> impl Iterator<Item = &str> {
    path.split('/').skip(1)
}

pub(super) fn parameter_name(segment: &str) -> Option<&str> {
    segment.strip_prefix('{')?.strip_suffix('}')
}

impl Operation {
    /// Whether the path names the organization.
    pub fn names_organization(&self) -> bool {
        self.org_at == OrgAt::AtPath
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn find(method: &str, path: &str) -> Result<Found, Missed> {
        let target = Target::parse(path, None).unwrap_or_else(|error| panic!("{path}: {error}"));
        Catalogue::new().find(&method.parse().unwrap(), &target)
    }

    fn id(method: &str, path: &str) -> String {
        match find(method, path) {
            Ok(found) => found.operation.row().id.to_owned(),
            Err(missed) => format!("{missed:?}"),
        }
    }

    #[test]
    fn every_row_is_reached_by_its_own_path_and_by_no_other_row() {
        let catalogue = Catalogue::new();
        for ix in OperationIx::all() {
            let row = ix.row();
            let path = row.path.replace('{', "x-").replace('}', "");
            for version in [Version::V3, Version::V3Beta1, Version::Opbeta] {
                let target = Target::parse(&format!("/{}{path}", version.prefix()), None).unwrap();
                let found = catalogue.find(&row.verb.method(), &target);
                if row.versions.has(version) && row.is_served() {
                    let found =
                        found.unwrap_or_else(|missed| panic!("{} {path}: {missed:?}", row.id));
                    assert_eq!(found.operation.row().id, row.id, "{path}");
                    let named: Vec<&str> = found.parameters.iter().map(|(name, _)| *name).collect();
                    let wanted: Vec<&str> = segments(row.path).filter_map(parameter_name).collect();
                    assert_eq!(named, wanted, "{path}");
                } else {
                    assert!(found.is_err(), "{} {path}", row.id);
                }
            }
        }
    }

    #[test]
    fn p10_literals_beat_parameters() {
        assert_eq!(
            id("GET", "/v3/organizations/o/sessions/insights"),
            "sessions.insights.list"
        );
        assert_eq!(
            id("GET", "/v3/organizations/o/sessions/insights/messages"),
            "Path"
        );
        assert_eq!(
            id("DELETE", "/v3/organizations/o/sessions/insights"),
            "Method([Get])"
        );
        assert_eq!(id("GET", "/v3/organizations/o/sessions/%69nsights"), "Path");
        assert_eq!(
            id("DELETE", "/v3/enterprise/organizations/o/tags/default"),
            "org_tags.default.clear"
        );
        assert_eq!(
            id("DELETE", "/v3/enterprise/organizations/o/tags/other"),
            "org_tags.remove"
        );
        assert_eq!(
            id("GET", "/v3/organizations/o/code-scans/findings"),
            "code_scans.findings.list"
        );
    }

    #[test]
    fn p3_repository_paths_hold_slashes_and_have_one_reading() {
        let base = "/v3beta1/organizations/o/repositories";
        let found = find("GET", &format!("{base}/acme/web/indexing")).unwrap();
        assert_eq!(found.parameter("repository_path"), Some("acme/web"));
        let found = find("GET", &format!("{base}/acme%2Fweb/indexing")).unwrap();
        assert_eq!(found.parameter("repository_path"), Some("acme/web"));
        let found = find(
            "DELETE",
            &format!("{base}/acme/web/indexing/branches/feat/x"),
        )
        .unwrap();
        assert_eq!(
            found.operation.row().id,
            "repositories.indexing.branches.delete"
        );
        assert_eq!(found.parameter("branch_name"), Some("feat/x"));
        assert_eq!(
            id("GET", &format!("{base}/indexing")),
            "repositories.indexing.list"
        );
        assert_eq!(
            id("GET", &format!("{base}/acme/indexing/indexing")),
            "repositories.indexing.get"
        );
        assert_eq!(
            id("DELETE", &format!("{base}/a/indexing/branches/b/indexing")),
            "Ambiguous"
        );
        assert_eq!(
            id(
                "DELETE",
                &format!("{base}/a/indexing/branches/b/indexing/branches/c")
            ),
            "Ambiguous"
        );
        assert_eq!(id("GET", &format!("{base}/acme/web")), "Path");
        // An encoded slash cannot hide a second reading, nor an encoded letter a literal.
        let hidden = format!("{base}/acme%2Fweb%2Findexing%2Fbranches%2Frel/indexing");
        assert_eq!(id("DELETE", &hidden), "Ambiguous");
        assert_eq!(
            id(
                "DELETE",
                &format!("{base}/acme/indexing/branches/b%2Findexing")
            ),
            "Ambiguous"
        );
        assert_eq!(id("GET", &format!("{base}/acme/web/%69ndexing")), "Path");
        assert_eq!(id("GET", &format!("{base}/acme/web%2Findexing")), "Path");
        assert_eq!(id("GET", "/v3/organizations/o%2Fp/sessions"), "Ambiguous");
        assert_eq!(id("GET", "/v3/organizations/o/sessions/a%2Fb"), "Ambiguous");
    }

    #[test]
    fn p8_p9_other_prefixes_and_spellings_are_unknown() {
        for path in [
            "/",
            "/v1/sessions",
            "/v2/enterprise/x",
            "/beta/v2/x",
            "/V3BETA1/enterprise/self",
            "/v3beta1/v3/self",
            "/v3beta1/Organizations/o/sessions",
            "/v3beta1/%6frganizations/o/sessions",
            "/v3/organizations/sessions",
            "/v3",
            "/v3/organizations",
            "/metrics",
            "/opbeta/nothing",
        ] {
            assert_eq!(id("GET", path), "Path", "{path}");
        }
        assert_eq!(id("GET", "/v3beta1/self"), "Version");
        assert_eq!(id("GET", "/opbeta/outposts"), "Refused(\"outposts.list\")");
        assert_eq!(id("GET", "/v3/outposts"), "Path");
    }

    #[test]
    fn f13_methods_are_exact() {
        assert_eq!(id("POST", "/v3/enterprise/self"), "Method([Get])");
        assert_eq!(id("HEAD", "/v3/enterprise/self"), "Method([Get])");
        assert_eq!(id("get", "/v3/enterprise/self"), "Method([Get])");
        assert_eq!(
            id("TRACE", "/v3/organizations/o/sessions"),
            "Method([Get, Post])"
        );
    }
}

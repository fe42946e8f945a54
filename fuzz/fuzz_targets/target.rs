//! Request targets: what is accepted rebuilds to itself, and the operation found for it has its very path.

#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::{Corpus, fuzz_target};
use tollgate::catalogue::{Catalogue, Found, OperationIx};
use tollgate::target::Target;

static CATALOGUE: LazyLock<Catalogue> = LazyLock::new(Catalogue::new);

fuzz_target!(|input: &str| -> Corpus {
    let (path, query) = input
        .split_once('?')
        .map_or((input, None), |(path, query)| (path, Some(query)));
    let Ok(target) = Target::parse(path, query) else {
        return Corpus::Keep;
    };
    assert_eq!(target.path_and_query(), input);
    assert_eq!(target.path(), path);
    assert_eq!(target.query(), query);
    assert_eq!(
        Target::parse(target.path(), target.query()),
        Ok(target.clone())
    );
    let raw: String = target
        .segments()
        .map(|it| format!("/{}", it.raw()))
        .collect();
    assert!(raw == path || path == "/");
    let decoded: String = target
        .segments()
        .map(|it| format!("/{}", it.decoded()))
        .collect();
    for piece in decoded.split('/').skip(1) {
        assert!(!matches!(piece, "" | "." | ".."), "{piece:?}");
        assert!(!piece.contains(['%', '\\', ';', '?', '#']), "{piece:?}");
        assert!(!piece.contains(char::is_control), "{piece:?}");
    }

    let mut found = Vec::new();
    for method in ["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"] {
        let method = method.parse().expect("it is a method");
        if let Ok(it) = CATALOGUE.find(&method, &target) {
            assert_eq!(it.operation.row().verb.method(), method);
            assert_eq!(spelled(&it), decoded);
            found.push(it);
        }
    }
    // Methods differ, the path has one reading.
    for pair in found.windows(2) {
        let values = |it: &Found| -> Vec<_> {
            let values = it.parameters.iter();
            values.map(|(_, value)| value.clone()).collect()
        };
        assert_eq!(values(&pair[0]), values(&pair[1]));
    }
    Corpus::Keep
});

/// The path that an operation has with these parameters.
fn spelled(found: &Found) -> String {
    let operation: OperationIx = found.operation;
    let mut path = format!("/{}", found.version.prefix());
    let mut parameters = found.parameters.iter();
    for segment in operation.row().path.split('/').skip(1) {
        path.push('/');
        if segment.starts_with('{') {
            let (name, value) = parameters.next().expect("a value for each parameter");
            assert_eq!(segment, format!("{{{name}}}"));
            path.push_str(value);
        } else {
            path.push_str(segment);
        }
    }
    assert!(parameters.next().is_none());
    path
}

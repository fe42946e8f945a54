//! What a release is made of and how it is shipped (A14, A15), as far as files can say it.
//!
//! `.ci/run` does the rest with the tools themselves: cargo-deny, cargo-audit, hadolint, and the bill of materials, which
//! fails if it is not exactly what is built. tests/python runs the image's tree read-only and not as root.

const MANIFEST: &str = include_str!("../../Cargo.toml");
const CI: &str = include_str!("../../.ci/run");
const TESTS: &str = include_str!("../run");
const DENY: &str = include_str!("../../.cargo/deny.toml");
const DOCKERFILE: &str = include_str!("../../Dockerfile");
const IGNORED: &str = include_str!("../../.dockerignore");
const BUILD: &str = include_str!("../../deploy/build");
const IMAGE_ROOT: &str = include_str!("../../deploy/image-root");

/// A recipe's lines: without comments, with what a backslash continues.
fn instructions(recipe: &str) -> Vec<String> {
    let lines: Vec<&str> = recipe
        .lines()
        .filter(|line| !line.trim_start().starts_with('#') && !line.trim().is_empty())
        .collect();
    let whole = lines.join("\n").replace("\\\n", " ");
    whole.lines().map(str::to_owned).collect()
}

#[test]
fn a14_every_crate_is_locked_and_of_the_one_registry() {
    for (name, lock) in [
        ("Cargo.lock", include_str!("../../Cargo.lock")),
        ("fuzz/Cargo.lock", include_str!("../../fuzz/Cargo.lock")),
    ] {
        let packages: Vec<&str> = lock.split("[[package]]\n").skip(1).collect();
        assert!(packages.len() > 100, "{name}");
        for package in packages {
            let ours = ["name = \"tollgate\"", "name = \"tollgate-fuzz\""];
            if ours.iter().any(|it| package.starts_with(it)) {
                assert!(!package.contains("source = "), "{name}: {package}");
                continue;
            }
            assert!(
                package.contains(
                    "source = \"registry+https://github.com/rust-lang/crates.io-index\"\n"
                ),
                "{name}: {package}"
            );
            let checksum = package.split_once("checksum = \"").map(|it| it.1);
            let digest = checksum.and_then(|it| it.split('"').next()).unwrap();
            assert_eq!(digest.len(), 64, "{name}: {package}");
        }
    }
    // And nobody builds, tests or ships anything but what is locked.
    for (name, script) in [
        ("Dockerfile", DOCKERFILE),
        ("deploy/build", BUILD),
        (".ci/run", CI),
        ("tests/run", TESTS),
    ] {
        for line in instructions(script) {
            let builds = [
                "cargo build",
                "cargo test",
                "cargo install",
                "cargo clippy",
                "cargo doc",
                "cargo nextest run",
            ];
            if builds.iter().any(|it| line.contains(it)) {
                assert!(line.contains("--locked"), "{name}: {line}");
            }
        }
    }
}

#[test]
fn a14_what_must_not_come_in_is_refused_by_the_checks_that_run() {
    for line in [
        "cargo deny --locked check bans licenses sources",
        "audit=(--deny unsound --deny unmaintained --deny yanked)",
        "for lock in Cargo.lock fuzz/Cargo.lock; do",
        "    cargo audit --file \"$lock\" \"${audit[@]}\"",
        "hadolint Dockerfile",
    ] {
        assert!(CI.lines().any(|it| it == line), ".ci/run: {line}");
    }
    assert!(CI.contains("deploy/sbom \"$scratch/$name.json\""));
    assert!(MANIFEST.contains("\nunsafe_code = \"forbid\"\n"));
    let banned = |name: &str| DENY.contains(&format!("{{ crate = \"{name}\", reason = "));
    for second in [
        "ring",
        "openssl",
        "openssl-sys",
        "boring",
        "native-tls",
        "rsa",
        "reqwest",
        "serde_yaml",
        "serde_yml",
        "chrono",
        "webpki-roots",
    ] {
        assert!(banned(second), "{second}");
    }
    for line in [
        "unknown-registry = \"deny\"",
        "unknown-git = \"deny\"",
        "allow-git = []",
        "wildcards = \"deny\"",
        "unused-allowed-license = \"deny\"",
        "allow-build-scripts = [",
        "all-features = true",
    ] {
        assert!(DENY.lines().any(|it| it == line), "deny.toml: {line}");
    }
}

#[test]
fn a15_the_image_is_not_root_and_holds_no_shell_and_no_secret() {
    let lines = instructions(DOCKERFILE);
    let stages: Vec<usize> = (0..lines.len())
        .filter(|at| lines[*at].starts_with("FROM "))
        .collect();
    assert_eq!(stages.len(), 2, "one to build, one to ship");
    let shipped = &lines[stages[1]..];
    let word = |name: &str| -> Vec<&str> {
        let all = lines.iter().chain(shipped);
        all.filter_map(|line| line.strip_prefix(name)).collect()
    };
    // Both by a tag, and for a release by a digest.
    for image in word("ARG ") {
        let (_, tag) = image.split_once('=').unwrap();
        assert!(tag.contains(':') && !tag.ends_with(":latest"), "{image}");
    }
    assert!(
        word("ARG ")
            .iter()
            .any(|it| it.contains("distroless") && it.ends_with(":nonroot"))
    );
    // What is shipped runs nothing while it is made, and takes only the tree that the script built.
    let made: Vec<&String> = shipped
        .iter()
        .filter(|it| it.starts_with("COPY") || it.starts_with("ADD") || it.starts_with("RUN"))
        .collect();
    assert_eq!(made, ["COPY --from=build /image-root/ /"]);
    // By number, so that an orchestrator can tell; no form that needs a shell.
    assert!(
        shipped.iter().any(|it| it == "USER 65532:65532"),
        "{shipped:#?}"
    );
    for name in ["ENTRYPOINT ", "CMD ", "HEALTHCHECK "] {
        let line = shipped.iter().find(|it| it.starts_with(name)).unwrap();
        let (_, form) = line
            .split_once(if name == "HEALTHCHECK " { "CMD " } else { name })
            .unwrap();
        assert!(form.trim_start().starts_with("[\""), "{line}");
    }
    for line in &lines {
        let secret = ["TOKEN", "SECRET", "PASSWORD", "cog_", "--mount=type=secret"];
        assert!(!secret.iter().any(|it| line.contains(it)), "{line}");
        assert!(!line.contains("curl ") && !line.contains("wget "), "{line}");
        assert!(!line.starts_with("ENV "), "{line}");
    }
    // What could be secret never comes into the build: all is left out but what it reads.
    let mut kept = IGNORED.lines().filter(|it| !it.starts_with('#'));
    assert_eq!(kept.next(), Some("*"));
    for never in ["**/*.pem", "**/*.key", "**/*.db", "**/.env*"] {
        assert!(IGNORED.lines().any(|it| it == never), "{never}");
    }
    // The tree: nothing that others may write, one folder that the process may.
    assert!(IMAGE_ROOT.contains("umask 022"));
    assert!(IMAGE_ROOT.contains("install -d -m 0750 \"$out/var/lib/tollgate\""));
    for line in instructions(IMAGE_ROOT)
        .iter()
        .filter(|it| it.contains("install "))
    {
        let mode = line.split("-m ").nth(1).and_then(|it| it.get(..4)).unwrap();
        assert!(["0755", "0644", "0750"].contains(&mode), "{line}");
    }
}

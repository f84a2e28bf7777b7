//! The house rules that a compiler does not know: arrows between crates, a first line that says what a file is for, links
//! that lead somewhere, files that hold one concept.

#![allow(clippy::unwrap_used, reason = "a test says what it expects by failing")]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// A file that is longer holds a second concept.
const LINES_MAX: usize = 700;

/// What each crate may depend on. Arrows run one way; tests and benches may use what they like.
const ARROWS: [(&str, &[&str]); 14] = [
    ("cairn-core", &[]),
    ("cairn-bench", &["cairn-core"]),
    ("cairn-journal", &["cairn-core"]),
    ("cairn-cluster", &["cairn-core"]),
    ("cairn-erasure", &["cairn-core"]),
    ("cairn-storage-node", &["cairn-core", "cairn-journal"]),
    ("cairn-machine", &["cairn-core"]),
    ("cairn-oplog", &["cairn-core", "cairn-journal"]),
    ("cairn-rows", &["cairn-core", "cairn-journal"]),
    ("cairn-metadata", &["cairn-core", "cairn-journal", "cairn-machine", "cairn-oplog", "cairn-rows"]),
    ("cairn-placement", &["cairn-core", "cairn-erasure", "cairn-machine", "cairn-metadata"]),
    ("cairn-gateway", &["cairn-core", "cairn-erasure", "cairn-machine", "cairn-metadata", "cairn-placement"]),
    ("cairn-repair", &["cairn-core", "cairn-erasure", "cairn-machine", "cairn-metadata", "cairn-placement"]),
    ("cairn-harness", &["cairn", "cairn-core"]),
];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Every tracked kind of file below the project, without what is built or fetched.
fn files(ending: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut open = vec![root().to_owned()];
    while let Some(dir) = open.pop() {
        for entry in fs::read_dir(&dir).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_str().unwrap();
            if path.is_dir() {
                if !["target", ".git", "cairn-data"].contains(&name) {
                    open.push(path);
                }
            } else if name.ends_with(ending) {
                found.push(path);
            }
        }
    }
    found.sort();
    assert!(!found.is_empty(), "no file ends in {ending}");
    found
}

fn shown(path: &Path) -> String {
    path.strip_prefix(root()).unwrap().display().to_string()
}

#[test]
fn arrows_between_crates_run_one_way() {
    let allowed: BTreeMap<_, _> = ARROWS.into_iter().collect();
    let mut seen = 0;
    for manifest in files("Cargo.toml") {
        let text = fs::read_to_string(&manifest).unwrap();
        let name = text.lines().find_map(|line| line.strip_prefix("name = \"")?.strip_suffix('"')).unwrap();
        if name == "cairn" {
            continue;
        }
        let allowed = allowed.get(name).unwrap_or_else(|| panic!("{name} has no line in ARROWS"));
        let section = text.split("[dependencies]").nth(1).unwrap_or_default().split("\n[").next().unwrap_or_default();
        for dependency in section.lines().filter_map(|line| line.split(['.', ' ']).next()) {
            if dependency == "cairn" || dependency.starts_with("cairn-") {
                assert!(allowed.contains(&dependency), "{name} must not depend on {dependency}");
            }
        }
        seen += 1;
    }
    assert_eq!(seen, ARROWS.len());
}

#[test]
fn every_file_says_what_it_is_for_and_holds_one_concept() {
    let mut wrong = Vec::new();
    for path in files(".rs") {
        let text = fs::read_to_string(&path).unwrap();
        if !text.starts_with("//!") {
            wrong.push(format!("{} does not begin with //!", shown(&path)));
        }
        let lines = text.lines().count();
        if lines > LINES_MAX {
            wrong.push(format!("{} has {lines} lines", shown(&path)));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn links_in_the_documents_lead_somewhere() {
    let mut broken = Vec::new();
    for path in files(".md") {
        let text = fs::read_to_string(&path).unwrap();
        for target in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            let file = target.split('#').next().unwrap();
            let outside = file.is_empty() || file.contains("://");
            if !outside && !path.parent().unwrap().join(file).exists() {
                broken.push(format!("{}: {target}", shown(&path)));
            }
        }
    }
    assert!(broken.is_empty(), "{broken:#?}");
}

#[test]
fn every_crate_has_a_readme() {
    for manifest in files("Cargo.toml") {
        let readme = manifest.with_file_name("README.md");
        assert!(readme.exists(), "{} is missing", shown(&readme));
    }
}

#[test]
fn decisions_are_numbered_without_gaps() {
    let mut numbers: Vec<u32> = files(".md")
        .iter()
        .filter(|path| path.parent().unwrap().ends_with("docs/adr"))
        .map(|path| path.file_name().unwrap().to_str().unwrap()[..4].parse().unwrap())
        .collect();
    numbers.sort_unstable();
    assert_eq!(numbers, (1..=numbers.len() as u32).collect::<Vec<_>>());
}

//! Real clients against a fresh server: what people do on their first day.

#![allow(clippy::unwrap_used, reason = "a test says what it expects by failing")]

mod boto3;
mod command_line;
mod load;
mod metrics;
mod model;
mod other_clients;
mod rust_sdk;
mod sdk;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use cairn_harness::clients::Clients;
use cairn_harness::server::Launch;

/// The program under test.
const CAIRN: &str = env!("CARGO_BIN_EXE_cairn");

/// The clients, unless they are skipped.
fn clients() -> Option<&'static Clients> {
    Clients::get(Path::new(env!("CARGO_TARGET_TMPDIR")))
}

/// A fresh server's launch in a directory of its own.
fn fresh(dir: &tempfile::TempDir) -> Launch {
    Launch::dev(CAIRN, &dir.path().join("data"))
}

/// Runs a client to its end and returns what it printed; panics with all it said when it failed.
fn run(command: &mut std::process::Command) -> String {
    let output = command.output().expect("the client starts");
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{command:?} ended with {}\n{out}\n{err}", output.status);
    out.into_owned()
}

/// Relative path to content of every file below a directory.
fn tree(root: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut open = vec![root.to_owned()];
    while let Some(dir) = open.pop() {
        for entry in fs::read_dir(&dir).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                open.push(path);
            } else {
                let name = path.strip_prefix(root).unwrap().to_str().unwrap().to_owned();
                found.insert(name, fs::read(&path).unwrap());
            }
        }
    }
    found
}

//! aws-cli, as the README's tour uses it.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;

use cairn_harness::server::Server;
use cairn_harness::{Seed, seed};
use rand::RngExt;

use crate::{clients, fresh, run};

fn aws(server: &Server) -> Option<Command> {
    let key = server.credentials();
    let mut command = clients()?.aws();
    command
        .env("AWS_ACCESS_KEY_ID", key.access_key)
        .env("AWS_SECRET_ACCESS_KEY", key.secret_key)
        .env("AWS_DEFAULT_REGION", "us-east-1")
        .env("AWS_CONFIG_FILE", "/dev/null")
        .env("AWS_EC2_METADATA_DISABLED", "true")
        .args(["--endpoint-url", server.endpoint()]);
    Some(command)
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

#[test]
fn a_tree_of_a_thousand_files_goes_up_and_comes_down() {
    let home = tempfile::tempdir().unwrap();
    let server = fresh(&home).start();
    let Some(mut make) = aws(&server) else { return };
    let aws = || aws(&server).expect("the clients are there: the first command was made");
    run(make.args(["s3", "mb", "s3://tree"]));
    let mut generator = Seed::take("a tree goes up and comes down").generator();
    let (up, down) = (home.path().join("up"), home.path().join("down"));
    for number in 0..1000 {
        let dir = up.join(format!("dir {}/ü{}", number % 10, number % 3));
        fs::create_dir_all(&dir).unwrap();
        let length = generator.random_range(0..8192);
        fs::write(dir.join(format!("file+{number}.txt")), seed::bytes(&mut generator, length)).unwrap();
    }
    run(aws().args(["s3", "sync", "--only-show-errors"]).arg(&up).arg("s3://tree/t"));
    run(aws().args(["s3", "sync", "--only-show-errors", "s3://tree/t"]).arg(&down));
    assert!(tree(&up) == tree(&down), "what came down is not what went up");
    let listed = run(aws().args(["s3", "ls", "--recursive", "s3://tree"]));
    assert_eq!(listed.lines().count(), 1000);
    // A second sync finds nothing to do: sizes and times are given back as they should be.
    let again = run(aws().args(["s3", "sync"]).arg(&up).arg("s3://tree/t"));
    assert_eq!(again.trim(), "");
    run(aws().args(["s3", "rm", "--recursive", "--only-show-errors", "s3://tree"]));
    let left = run(aws().args(["s3", "ls", "--summarize", "s3://tree"]));
    assert!(left.contains("Total Objects: 0"), "{left}");
    run(aws().args(["s3", "rb", "s3://tree"]));
    assert_eq!(run(aws().args(["s3", "ls"])).trim(), "");
}

#[test]
fn a_wrong_key_and_no_key_are_refused() {
    let home = tempfile::tempdir().unwrap();
    let server = fresh(&home).start();
    let Some(mut wrong) = aws(&server) else { return };
    let refused = wrong.env("AWS_SECRET_ACCESS_KEY", "wrong").args(["s3", "ls"]).output().unwrap();
    assert!(!refused.status.success());
    assert!(String::from_utf8_lossy(&refused.stderr).contains("SignatureDoesNotMatch"));
    let anonymous = aws(&server).unwrap().args(["--no-sign-request", "s3", "ls"]).output().unwrap();
    assert!(String::from_utf8_lossy(&anonymous.stderr).contains("AccessDenied"));
}

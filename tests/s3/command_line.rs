//! aws-cli, as the README's tour uses it.

use std::fs;
use std::io::{BufReader, BufWriter, Read, Write};
use std::path::Path;
use std::process::Command;

use cairn_harness::server::Server;
use cairn_harness::{Seed, seed};
use rand::RngExt;
use sha2::{Digest, Sha256};

use crate::{clients, fresh, run, tree};

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

/// The SHA-256 of a file.
fn sha256(path: &Path) -> String {
    let mut file = BufReader::new(fs::File::open(path).unwrap());
    let (mut hash, mut block) = (Sha256::new(), vec![0; 1 << 20]);
    loop {
        match file.read(&mut block).unwrap() {
            0 => return hex::encode(hash.finalize()),
            count => hash.update(&block[..count]),
        }
    }
}

#[test]
fn a_gibibyte_goes_up_and_comes_down_in_parts() {
    let home = tempfile::tempdir().unwrap();
    let server = fresh(&home).start();
    let Some(mut make) = aws(&server) else { return };
    let aws = || aws(&server).expect("the clients are there: the first command was made");
    run(make.args(["s3", "mb", "s3://large"]));
    let (up, down) = (home.path().join("up"), home.path().join("down"));
    let mut generator = Seed::take("a gibibyte goes up and comes down").generator();
    let mut file = BufWriter::new(fs::File::create(&up).unwrap());
    for _ in 0..1024 {
        file.write_all(&seed::bytes(&mut generator, 1 << 20)).unwrap();
    }
    file.into_inner().unwrap();
    run(aws().args(["s3", "cp", "--only-show-errors"]).arg(&up).arg("s3://large/gibibyte"));
    let head = run(aws().args(["s3api", "head-object", "--bucket", "large", "--key", "gibibyte", "--query", "ETag"]));
    // aws-cli's parts have 8 MiB.
    assert!(head.contains("-128"), "it did not go up in parts: {head}");
    run(aws().args(["s3", "cp", "--only-show-errors", "s3://large/gibibyte"]).arg(&down));
    assert_eq!(sha256(&up), sha256(&down));
    // On the server: a move is a copy and a delete.
    run(aws().args(["s3", "mv", "--only-show-errors", "s3://large/gibibyte", "s3://large/moved"]));
    let listed = run(aws().args(["s3", "ls", "s3://large"]));
    assert!(listed.contains("1073741824 moved") && listed.lines().count() == 1, "{listed}");
    run(aws().args(["s3", "rb", "--force", "s3://large"]));
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

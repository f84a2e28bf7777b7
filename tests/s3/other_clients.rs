//! Clients that not everyone has at hand, each only where `CAIRN_CLIENTS` names it:
//! `CAIRN_CLIENTS=rclone,restic,s3cmd,duckdb,delta,js,go cargo test ... --test s3 other_clients`.
//!
//! rclone and restic are found on the path. s3cmd, DuckDB and Delta tables are installed from `other_clients/python.txt`, the
//! JavaScript SDK by npm from `other_clients/package.json`, that for Go by go from `other_clients/go`, all below the target
//! directory.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use cairn_harness::server::Server;
use cairn_harness::{Seed, seed};
use rand::RngExt;

use crate::{fresh, run, tree};

/// Whether a client is wanted; says aloud when it is not.
fn wanted(client: &str) -> bool {
    let wanted = std::env::var("CAIRN_CLIENTS").unwrap_or_default();
    let wanted = wanted.split(',').any(|name| name.trim() == client);
    if !wanted {
        eprintln!("SKIPPED: {client}, because CAIRN_CLIENTS does not name it");
    }
    wanted
}

fn sources() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/s3/other_clients")
}

/// Where clients are installed.
fn installed() -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join("other_clients")
}

/// A command that knows the server's key from its environment.
fn with_key(mut command: Command, server: &Server) -> Command {
    let key = server.credentials();
    command
        .env("AWS_ACCESS_KEY_ID", key.access_key)
        .env("AWS_SECRET_ACCESS_KEY", key.secret_key)
        .env("AWS_DEFAULT_REGION", "us-east-1")
        .env("AWS_REGION", "us-east-1")
        .env("AWS_CONFIG_FILE", "/dev/null")
        .env("AWS_EC2_METADATA_DISABLED", "true")
        .env("PYTHONDONTWRITEBYTECODE", "1")
        // A bundle of certificates is of no use without TLS, and rclone refuses to take one.
        .env_remove("AWS_CA_BUNDLE");
    command
}

/// A tree of files of all sizes up to some that go by multipart upload.
fn make_tree(root: &Path, test: &str) {
    let mut generator = Seed::take(test).generator();
    for number in 0..200 {
        let dir = root.join(format!("dir {}/ü{}", number % 10, number % 3));
        fs::create_dir_all(&dir).unwrap();
        let length = if number % 50 == 0 { 21 << 20 } else { generator.random_range(0..50_000) };
        fs::write(dir.join(format!("file+{number}.bin")), seed::bytes(&mut generator, length)).unwrap();
    }
}

/// The Python that has the clients of Python, installed once.
fn python() -> Command {
    let (dir, wanted) = (installed().join("python"), sources().join("python.txt"));
    let stamp = dir.join("installed.txt");
    let pins = fs::read_to_string(&wanted).unwrap();
    if !fs::read_to_string(&stamp).is_ok_and(|installed| installed == pins) {
        run(Command::new("python3").args(["-m", "venv", "--clear"]).arg(&dir));
        run(Command::new(dir.join("bin/python")).args(["-m", "pip", "install", "--quiet", "-r"]).arg(&wanted));
        fs::write(stamp, pins).unwrap();
    }
    Command::new(dir.join("bin/python"))
}

/// One of the scripts of Python.
fn python_script(name: &str) -> Command {
    let mut command = python();
    command.arg(sources().join(name));
    command
}

/// Runs a client that does everything by itself against a fresh server; the command takes the server's address.
fn script(client: &str, command: impl FnOnce() -> Command) {
    if !wanted(client) {
        return;
    }
    let home = tempfile::tempdir().unwrap();
    let server = fresh(&home).start();
    let said = run(with_key(command(), &server).arg(server.endpoint()));
    assert!(said.trim_end().ends_with("all of it holds"), "{said}");
}

#[test]
fn rclone() {
    if !wanted("rclone") {
        return;
    }
    let home = tempfile::tempdir().unwrap();
    let server = fresh(&home).start();
    let (up, down) = (home.path().join("up"), home.path().join("down"));
    make_tree(&up, "rclone");
    let rclone = || {
        let mut command = with_key(Command::new("rclone"), &server);
        command.env("RCLONE_CONFIG", "/dev/null").env("RCLONE_CONFIG_CAIRN_TYPE", "s3");
        command.env("RCLONE_CONFIG_CAIRN_PROVIDER", "Other").env("RCLONE_CONFIG_CAIRN_ENV_AUTH", "true");
        command.env("RCLONE_CONFIG_CAIRN_ENDPOINT", server.endpoint());
        command.args(["--s3-upload-cutoff", "10M", "--s3-chunk-size", "5M", "--retries", "1"]);
        command
    };
    run(rclone().arg("mkdir").arg("cairn:tree"));
    run(rclone().arg("sync").arg(&up).arg("cairn:tree/t"));
    run(rclone().args(["check", "--download"]).arg(&up).arg("cairn:tree/t"));
    run(rclone().args(["sync", "cairn:tree/t"]).arg(&down));
    assert!(tree(&up) == tree(&down), "what came down is not what went up");
    // On the server: copies, and times that are kept by replacing the metadata of a copy onto itself.
    run(rclone().args(["copy", "cairn:tree/t", "cairn:tree/copy"]));
    run(rclone().args(["check", "cairn:tree/t", "cairn:tree/copy"]));
    run(rclone().args(["touch", "--timestamp", "2020-01-02T03:04:05", "cairn:tree/copy/dir 1/ü1/file+1.bin"]));
    let listed = run(rclone().args(["lsl", "cairn:tree/copy/dir 1/ü1/file+1.bin"]));
    assert!(listed.contains("2020-01-02 03:04:05"), "{listed}");
    run(rclone().args(["purge", "cairn:tree"]));
    assert_eq!(run(rclone().args(["lsd", "cairn:"])).trim(), "");
}

#[test]
fn restic_backs_up_checks_and_restores() {
    if !wanted("restic") {
        return;
    }
    let home = tempfile::tempdir().unwrap();
    let server = fresh(&home).start();
    let (up, down) = (home.path().join("up"), home.path().join("down"));
    make_tree(&up, "restic");
    let restic = || {
        let mut command = with_key(Command::new("restic"), &server);
        command.env("RESTIC_PASSWORD", "a password").env("RESTIC_CACHE_DIR", home.path().join("cache"));
        command.arg("--repo").arg(format!("s3:{}/backups/one", server.endpoint()));
        command
    };
    run(restic().arg("init"));
    run(restic().arg("backup").arg("--quiet").arg(&up));
    fs::remove_file(up.join("dir 1/ü1/file+1.bin")).unwrap();
    run(restic().arg("backup").arg("--quiet").arg(&up));
    run(restic().args(["forget", "--keep-last", "1", "--prune", "--quiet"]));
    run(restic().args(["check", "--read-data", "--quiet"]));
    run(restic().args(["restore", "latest", "--quiet", "--target"]).arg(&down));
    let restored = down.join(up.strip_prefix("/").unwrap());
    assert!(tree(&up) == tree(&restored), "what was restored is not what was backed up");
}

#[test]
fn s3cmd() {
    if !wanted("s3cmd") {
        return;
    }
    let home = tempfile::tempdir().unwrap();
    let server = fresh(&home).start();
    let (up, down) = (home.path().join("up"), home.path().join("down"));
    make_tree(&up, "s3cmd");
    fs::create_dir_all(&down).unwrap();
    let host = server.endpoint().trim_start_matches("http://").to_owned();
    let key = server.credentials();
    let s3cmd = |version_2: bool| {
        let program = python();
        let mut command = Command::new(program.get_program());
        command.arg(installed().join("python/bin/s3cmd")).args(["--config", "/dev/null", "--no-ssl", "--quiet"]);
        command.args(["--host", &host, "--host-bucket", &host, "--access_key", &key.access_key]);
        command.args(["--secret_key", &key.secret_key, "--multipart-chunk-size-mb", "5"]);
        if version_2 {
            command.arg("--signature-v2");
        }
        command
    };
    for version_2 in [false, true] {
        let below = format!("s3://tree/{version_2}/");
        if !version_2 {
            run(s3cmd(version_2).args(["mb", "s3://tree"]));
        }
        run(s3cmd(version_2).arg("sync").arg(format!("{}/", up.display())).arg(&below));
        let down = down.join(version_2.to_string());
        fs::create_dir_all(&down).unwrap();
        run(s3cmd(version_2).arg("sync").arg(&below).arg(format!("{}/", down.display())));
        assert!(tree(&up) == tree(&down), "what came down is not what went up");
        run(s3cmd(version_2).args(["cp", "--recursive", &below, &format!("s3://tree/copy-{version_2}/")]));
    }
    run(s3cmd(false).args(["rb", "--recursive", "--force", "s3://tree"]));
}

#[test]
fn duckdb() {
    script("duckdb", || python_script("parquet.py"));
}

#[test]
fn delta_tables() {
    script("delta", || python_script("delta.py"));
}

#[test]
fn the_javascript_sdk() {
    let node = || {
        let dir = installed().join("js");
        fs::create_dir_all(&dir).unwrap();
        for name in ["package.json", "sdk.mjs"] {
            fs::copy(sources().join(name), dir.join(name)).unwrap();
        }
        run(Command::new("npm").args(["install", "--no-audit", "--no-fund", "--silent"]).current_dir(&dir));
        let mut node = Command::new("node");
        // The script stands beside its packages, where node looks for them.
        node.arg(dir.join("sdk.mjs"));
        node
    };
    script("js", node);
}

#[test]
fn the_sdk_for_go() {
    let go = || {
        let (dir, program) = (sources().join("go"), installed().join("go/client"));
        run(Command::new("go").args(["build", "-mod=readonly", "-o"]).arg(&program).arg(".").current_dir(dir));
        Command::new(program)
    };
    script("go", go);
}

//! Bad input and bad surroundings at a start: one clear line, an exit code, nothing damaged.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use cairn_harness::server::Launch;

use crate::CAIRN;
use crate::workload::BUCKET;

/// One line, a non-zero exit code, and the words that say what is wrong.
fn refused(launch: &Launch, words: &[&str]) {
    let (status, said) = launch.start_refused();
    assert!(!status.success(), "it started");
    for word in words {
        assert!(said.contains(word), "{word:?} is missing in: {said}");
    }
    assert_eq!(said.trim_end().lines().count(), 1, "more than one line: {said}");
}

#[test]
fn a_start_is_ready_in_under_a_second() {
    let home = tempfile::tempdir().unwrap();
    let launch = Launch::dev(CAIRN, &home.path().join("data"));
    // The best of three: the machine that runs the tests has other things to do.
    let best = (0..3).map(|_| {
        let server = launch.start();
        let took = server.took_to_start();
        let (_, status) = server.stop();
        assert!(status.success(), "a server that is asked to end ends well: {status}");
        took
    });
    let best = best.min().unwrap();
    assert!(best < Duration::from_secs(1), "{best:?}");
}

#[test]
fn bad_flags_and_addresses() {
    let home = tempfile::tempdir().unwrap();
    let dir = home.path().join("data");
    let (status, said) = Launch::dev(CAIRN, &dir).args(&["--no-such-flag"]).start_refused();
    assert_eq!(status.code(), Some(2), "{said}");
    let (status, said) = Launch::dev(CAIRN, &dir).args(&["--drives", "0"]).start_refused();
    assert_eq!(status.code(), Some(2), "{said}");
    assert!(!dir.exists(), "a refused command line touches nothing");
}

#[test]
fn a_second_server_on_the_same_directory() {
    let home = tempfile::tempdir().unwrap();
    let launch = Launch::dev(CAIRN, &home.path().join("data"));
    let server = launch.start();
    refused(&launch, &["in use"]);
    drop(server);
}

#[test]
fn foreign_unwritable_and_damaged_directories() {
    let home = tempfile::tempdir().unwrap();
    let foreign = home.path().join("foreign");
    fs::create_dir_all(foreign.join("drive-1")).unwrap();
    fs::write(foreign.join("drive-1/holiday.jpg"), b"mine").unwrap();
    refused(&Launch::dev(CAIRN, &foreign), &["drive-1", "holiday.jpg"]);
    assert_eq!(fs::read(foreign.join("drive-1/holiday.jpg")).unwrap(), b"mine");
    assert!(!foreign.join("drive-2").exists(), "a refused start makes no directory");

    let file = home.path().join("file");
    fs::write(&file, b"").unwrap();
    refused(&Launch::dev(CAIRN, &file), &["file"]);

    let dir = home.path().join("damaged");
    let launch = Launch::dev(CAIRN, &dir);
    launch.start().stop();
    let json = dir.join("drive-3/drive.json");
    let kept = fs::read(&json).unwrap();
    fs::write(&json, b"{\"format\": ").unwrap();
    refused(&launch, &["drive-3"]);
    let newer = String::from_utf8(kept.clone()).unwrap().replacen("\"format\": 1", "\"format\": 999", 1);
    assert_ne!(newer.as_bytes(), kept, "the format stands in drive.json");
    fs::write(&json, newer).unwrap();
    refused(&launch, &["drive-3", "999"]);
    fs::write(&json, &kept).unwrap();
    launch.start().stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn credentials_come_back_from_the_log_and_give_way_to_the_environment() {
    let home = tempfile::tempdir().unwrap();
    let dir = home.path().join("data");
    let launch = Launch::dev(CAIRN, &dir);
    let server = launch.start();
    let first = server.credentials();
    server.s3().make_bucket(BUCKET).await.ok();
    server.stop();
    let file = dir.join("credentials.json");
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    fs::remove_file(&file).unwrap();
    let server = launch.start();
    assert_eq!(server.credentials(), first, "the log has the truth");
    server.stop();
    let chosen =
        launch.clone().env("CAIRN_ROOT_ACCESS_KEY", "chosen-key").env("CAIRN_ROOT_SECRET_KEY", "chosen-secret-key");
    let server = chosen.start();
    assert_eq!(server.credentials().access_key, "chosen-key");
    server.s3().request("HEAD", &format!("/{BUCKET}"), "", &[], bytes::Bytes::new()).await.ok();
    let replaced = cairn_harness::S3::new(server.endpoint(), first);
    assert_eq!(replaced.get(BUCKET, "x").await.status(), Some(403), "the key that was replaced is good no more");
    server.stop();
    refused(&launch.clone().env("CAIRN_ROOT_ACCESS_KEY", "half"), &["CAIRN_ROOT_SECRET_KEY"]);
}

#[test]
fn status_speaks_to_people_and_to_programs() {
    let home = tempfile::tempdir().unwrap();
    let launch = Launch::dev(CAIRN, &home.path().join("data"));
    let server = launch.start();
    server.wait_until_redundant(Duration::from_secs(60));
    let (text, code) = server.ask(&["status"]);
    assert_eq!(code, 0, "{text}");
    assert!(text.contains("4+2"), "{text}");
    let (json, _) = server.ask(&["status", "--json"]);
    let status: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(status["fully_redundant"], true);
    let (json, code) = server.ask(&["drive", "ls", "--json"]);
    let drives: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!((drives.as_array().map(Vec::len), code), (Some(6), 0));
    for drive in drives.as_array().unwrap() {
        let engine = &drive["engine"];
        let of = |name: &str| engine[name].as_u64().unwrap();
        assert_eq!(of("live_bytes") + of("dead_bytes") + of("free_bytes"), drive["allocated_bytes"].as_u64().unwrap());
        assert!(engine["latencies"]["list"]["count"].as_u64().unwrap() > 0, "the census has asked: {engine}");
        assert_eq!(engine["scrub"]["pass"], 1, "an empty drive was scrubbed at once: {engine}");
    }
    let (text, _) = server.ask(&["drive", "ls"]);
    assert!(text.contains("SCRUB") && text.contains("pass 1 done"), "{text}");
}

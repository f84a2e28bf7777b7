//! What Prometheus is told by a fresh server, and what whoever asks for its health hears.

use std::collections::BTreeSet;
use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;

use bytes::Bytes;

use crate::fresh;

/// Asks as a scraper does; the status, the content type, and the body.
fn get(address: &str, method: &str, path: &str) -> (u16, String, String) {
    let host = address.trim_start_matches("http://").split('/').next().unwrap();
    let mut stream = TcpStream::connect(host).unwrap();
    write!(stream, "{method} {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    let of_type = head.lines().find_map(|line| line.strip_prefix("content-type: ")).unwrap_or_default();
    (status, of_type.to_owned(), body.to_owned())
}

/// The value of one line.
fn value(text: &str, line: &str) -> f64 {
    let found = text.lines().find_map(|told| told.strip_prefix(line)?.strip_prefix(' '));
    found.unwrap_or_else(|| panic!("no {line} in\n{text}")).parse().unwrap()
}

#[tokio::test]
async fn a_scraper_hears_what_was_asked_and_how_safe_it_is() {
    let home = tempfile::tempdir().unwrap();
    let server = fresh(&home).args(&["--metrics", "127.0.0.1:0"]).start();
    let address = server.metrics();
    assert!(address.ends_with("/metrics"), "{address}");
    let s3 = server.s3();
    s3.request("PUT", "/stones", "", &[], Bytes::new()).await.ok();
    for key in 0..3 {
        s3.request("PUT", &format!("/stones/{key}"), "", &[], Bytes::from(vec![7; 1000])).await.ok();
    }
    s3.request("GET", "/stones/1", "", &[], Bytes::new()).await.ok();
    assert_eq!(s3.request("GET", "/stones/none", "", &[], Bytes::new()).await.status(), Some(404));

    let (status, of_type, text) = get(&address, "GET", "/metrics");
    assert_eq!(status, 200);
    assert!(of_type.starts_with("application/openmetrics-text"), "{of_type}");
    assert_eq!(text.lines().last(), Some("# EOF"));
    assert_eq!(value(&text, "cairn_requests_total{operation=\"PutObject\",status=\"200\"}"), 3.0);
    assert_eq!(value(&text, "cairn_requests_total{operation=\"GetObject\",status=\"404\"}"), 1.0);
    assert_eq!(value(&text, "cairn_request_seconds_count{operation=\"GetObject\"}"), 2.0);
    assert_eq!(value(&text, "cairn_received_bytes_total"), 3000.0);
    assert!(value(&text, "cairn_sent_bytes_total") >= 1000.0);
    assert_eq!(value(&text, "cairn_requests_under_way"), 0.0);
    assert_eq!((value(&text, "cairn_ready"), value(&text, "cairn_status_known")), (1.0, 1.0));
    assert_eq!((value(&text, "cairn_objects"), value(&text, "cairn_stored_bytes")), (3.0, 3000.0));
    assert_eq!(value(&text, "cairn_metadata_survives_drives"), 2.0);
    assert!(value(&text, "process_resident_memory_bytes") > 1e6);
    let sound = |line: &&str| line.starts_with("cairn_drive_sound{") && line.ends_with(" 1");
    assert_eq!(text.lines().filter(sound).count(), 6);
    assert_eq!(text.lines().filter(|line| line.starts_with("cairn_engine_chunks{")).count(), 6);
    let key = server.credentials();
    assert!(!text.contains(&key.access_key) && !text.contains(&key.secret_key));
    every_name_is_documented(&text);
}

#[tokio::test]
async fn buckets_are_listed_with_what_they_hold() {
    let home = tempfile::tempdir().unwrap();
    let server = fresh(&home).start();
    let s3 = server.s3();
    let (nothing, code) = server.ask(&["bucket", "ls"]);
    assert_eq!((nothing.as_str(), code), ("there are no buckets\n", 0));
    for bucket in ["stones", "shells"] {
        s3.request("PUT", &format!("/{bucket}"), "", &[], Bytes::new()).await.ok();
    }
    let on = "<VersioningConfiguration><Status>Enabled</Status></VersioningConfiguration>";
    s3.request("PUT", "/shells", "versioning=", &[], Bytes::from(on)).await.ok();
    for body in [&b"one"[..], b"three"] {
        s3.request("PUT", "/shells/a", "", &[], Bytes::from(body)).await.ok();
    }
    s3.request("DELETE", "/shells/a", "", &[], Bytes::new()).await.ok();
    let (listed, code) = server.ask(&["bucket", "ls", "--json"]);
    assert_eq!(code, 0);
    let listed: serde_json::Value = serde_json::from_str(&listed).unwrap();
    let names: Vec<_> = listed.as_array().unwrap().iter().map(|bucket| bucket["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["shells", "stones"]);
    let (usage, code) = server.ask(&["bucket", "usage", "shells", "--json"]);
    let usage: serde_json::Value = serde_json::from_str(&usage).unwrap();
    assert_eq!(code, 0);
    assert_eq!((&usage["objects"], &usage["versions"], &usage["bytes"]), (&0.into(), &3.into(), &8.into()), "{usage}");
    assert_eq!(usage["versioning"], "enabled");
    let (table, _) = server.ask(&["bucket", "ls"]);
    assert!(table.lines().nth(1).is_some_and(|line| line.contains("shells") && line.contains("8 B")), "{table}");
    assert_eq!(server.ask(&["bucket", "usage", "none"]).1, 1, "a bucket that is not there is said");
}

/// Names of metrics, as their types are declared.
fn every_name_is_documented(text: &str) {
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/operations");
    let page = fs::read_to_string(docs.join("metrics.md")).unwrap();
    let told: BTreeSet<&str> =
        text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next()).collect();
    let missing: Vec<_> = told.iter().filter(|name| !page.contains(&format!("`{name}`"))).collect();
    assert!(missing.is_empty(), "docs/operations/metrics.md does not say what these are: {missing:?}");
    let board = fs::read_to_string(docs.join("dashboard.json")).unwrap();
    let board: serde_json::Value = serde_json::from_str(&board).unwrap();
    let mut asked = 0;
    for panel in board["panels"].as_array().unwrap() {
        for target in panel["targets"].as_array().unwrap() {
            let expression = target["expr"].as_str().unwrap();
            for name in expression.split(|c: char| !c.is_ascii_alphanumeric() && c != '_') {
                if name.starts_with("cairn_") || name.starts_with("process_") {
                    let base = ["_total", "_bucket", "_count", "_sum"]
                        .iter()
                        .fold(name, |name, suffix| name.strip_suffix(suffix).unwrap_or(name));
                    assert!(page.contains(&format!("`{base}`")), "the dashboard asks for {name}, which nobody tells");
                    asked += 1;
                }
            }
        }
    }
    assert!(asked > 10, "the dashboard shows something");
}

#[tokio::test]
async fn health_is_said_in_words_where_s3_is_served_and_where_metrics_are() {
    let home = tempfile::tempdir().unwrap();
    let server = fresh(&home).args(&["--metrics", "127.0.0.1:0"]).start();
    let metrics = server.metrics();
    for address in [server.endpoint(), &metrics] {
        assert_eq!(get(address, "GET", "/health/live").0, 200);
        let (status, _, said) = get(address, "GET", "/health/ready");
        assert_eq!((status, said.as_str()), (200, "ready\n"), "{address}");
    }
    assert_eq!(get(&metrics, "GET", "/").0, 404);
    assert_eq!(get(&metrics, "POST", "/metrics").0, 405);
    // Where S3 is served, that is the name of a bucket.
    assert_eq!(get(server.endpoint(), "GET", "/metrics").0, 404);
    let program = server.program().to_owned();
    let script = std::process::Command::new(program).args(["completions", "bash"]).output().unwrap();
    assert!(String::from_utf8_lossy(&script.stdout).contains("_cairn"));
}

//! `cairn bench` against a fresh server, and against what is none.

use std::process::Command;

use cairn_harness::server::Server;
use serde_json::Value;

use crate::{CAIRN, fresh};

/// Runs a load, with flags that keep it short; its report, its exit code and what it said.
fn bench(server: &Server, line: &str) -> (Value, i32, String) {
    let key = server.credentials();
    let output = Command::new(CAIRN)
        .args(["bench"])
        .args(line.split(' '))
        .args(["--endpoint", server.endpoint(), "--json"])
        .env("AWS_ACCESS_KEY_ID", key.access_key)
        .env("AWS_SECRET_ACCESS_KEY", &key.secret_key)
        .output()
        .unwrap();
    let (out, said) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(!out.contains(&key.secret_key) && !said.contains(&key.secret_key), "the secret was printed");
    (serde_json::from_str(&out).unwrap_or_default(), output.status.code().unwrap(), said.into_owned())
}

async fn buckets(server: &Server) -> String {
    let answer = server.s3().request("GET", "/", "", &[], bytes::Bytes::new()).await;
    String::from_utf8(answer.ok().to_vec()).unwrap()
}

#[tokio::test]
async fn every_load_has_figures_and_leaves_nothing() {
    let home = tempfile::tempdir().unwrap();
    let server = fresh(&home).start();
    for line in [
        "put --size 4KiB --concurrency 8 --duration 500ms",
        "put --size 0 --concurrency 2 --objects 50",
        "put --size 100KiB --concurrency 2 --objects 20 --sign-body",
        "get --size 300KiB --concurrency 4 --objects 20 --duration 500ms --verify",
        "stat --size 1KiB --concurrency 4 --objects 20 --duration 300ms",
        "list --size 1 --concurrency 2 --objects 1500 --duration 500ms",
        "delete --size 1KiB --concurrency 4 --objects 200",
        "mixed --size 20KiB --concurrency 6 --objects 60 --duration 1s --verify --threads 2",
        "multipart --size 6MiB --concurrency 2 --objects 6",
    ] {
        let (report, code, said) = bench(&server, line);
        assert_eq!(code, 0, "{line}: {said} {report}");
        assert_eq!(report["errors"], 0, "{line}: {report}");
        for figure in ["objects_per_second", "p50_ms", "p99_ms", "max_ms", "seconds"] {
            assert!(report[figure].as_f64().unwrap() > 0.0, "{line}: {figure} in {report}");
        }
        let moves =
            !line.contains("stat") && !line.contains("list") && !line.contains("delete") && !line.contains("--size 0");
        assert_eq!(report["mib_per_second"].as_f64().unwrap() > 0.0, moves, "{line}: {report}");
        if line.contains("--verify") {
            assert_eq!(report["verified"], report["by_operation"]["get"]["operations"], "{line}: {report}");
        }
        match line.split(' ').next().unwrap() {
            "delete" => assert_eq!(report["objects"], 200, "each once"),
            "multipart" => assert_eq!((&report["objects"], &report["bytes"]), (&6.into(), &(36 << 20).into())),
            "mixed" => assert_eq!(report["by_operation"].as_object().unwrap().len(), 4, "{report}"),
            _ => {}
        }
    }
    let left = buckets(&server).await;
    assert!(!left.contains("<Name>"), "{left}");
}

#[tokio::test]
async fn only_what_the_run_made_is_removed_and_only_if_it_may_be() {
    let home = tempfile::tempdir().unwrap();
    let server = fresh(&home).start();
    let s3 = server.s3();
    s3.make_bucket("mine").await.ok();
    s3.put("mine", "precious", "p".into()).await.ok();
    let (_, code, said) = bench(&server, "put --size 10 --concurrency 2 --objects 10 --bucket mine");
    assert_eq!(code, 0, "{said}");
    let listed = s3.request("GET", "/mine", "list-type=2", &[], bytes::Bytes::new()).await.ok();
    let listed = String::from_utf8(listed.to_vec()).unwrap();
    assert!(listed.contains("<Key>precious</Key>") && listed.matches("<Key>").count() == 1, "{listed}");

    let (_, code, said) = bench(&server, "put --size 10 --concurrency 2 --objects 10 --keep");
    assert_eq!(code, 0, "{said}");
    assert!(said.contains("stays in bucket cairn-bench-"), "{said}");
    assert!(buckets(&server).await.contains("<Name>cairn-bench-"));
}

#[tokio::test]
async fn what_goes_wrong_is_said_in_one_line() {
    let home = tempfile::tempdir().unwrap();
    let server = fresh(&home).start();
    for (line, expected) in [
        ("put --concurrency 0", "--concurrency must be"),
        ("stat --verify", "--verify means nothing to stat"),
        ("multipart --size 0", "makes 0 parts"),
    ] {
        let (report, code, said) = bench(&server, line);
        assert_eq!((report, code), (Value::Null, 1), "{line}");
        assert!(said.contains(expected) && said.lines().count() == 1, "{line}: {said}");
    }
    let run = |endpoint: &str, secret: &str| {
        let line =
            ["bench", "put", "--objects", "1", "--concurrency", "1", "--endpoint", endpoint, "--access-key", "AKID"];
        let output = Command::new(CAIRN).args(line).args(["--secret-key", secret]).output().unwrap();
        assert_eq!(output.status.code(), Some(1));
        String::from_utf8(output.stderr).unwrap()
    };
    let refused = run(server.endpoint(), "a secret of nobody");
    assert!(refused.contains("InvalidAccessKeyId") && !refused.contains("of nobody"), "{refused}");
    // A port that was free a moment ago: nobody answers there.
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let silent = run(&format!("http://{free}"), "x");
    assert!(silent.contains("refused"), "{silent}");
    assert!(run("https://127.0.0.1:1", "x").contains("TLS"));
}

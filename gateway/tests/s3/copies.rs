//! Copies over HTTP: nothing moves, and yet the copy is an object of its own.

use crate::support::Server;
use crate::support::client::{Answer, Ask, Http};
use cairn_core::units::{KIB, MIB};
use cairn_erasure::testing::bytes_of;
use cairn_gateway::GatewayConfig;

async fn server() -> Server {
    let server = Server::start().await;
    server.http.put("/bucket", "").await.ok();
    server.http.put("/other", "").await.ok();
    server
}

fn copy<'a>(http: &'a Http, source: &str, target: &str) -> Ask<'a> {
    http.ask("PUT", target).header("x-amz-copy-source", source)
}

async fn versions(http: &Http, bucket: &str, status: &str) {
    let body = format!("<VersioningConfiguration><Status>{status}</Status></VersioningConfiguration>");
    http.put(&format!("/{bucket}?versioning="), body).await.ok();
}

fn has(answer: &Answer, header: &str) -> bool {
    answer.headers.contains_key(header)
}

#[tokio::test(flavor = "multi_thread")]
async fn every_size_is_copied_without_a_byte_moving() {
    let config = GatewayConfig { extent_bytes_max: MIB, memory_bytes_max: 64 * MIB, ..GatewayConfig::default() };
    let server = Server::with(6, config).await;
    let http = &server.http;
    http.put("/bucket", "").await.ok();
    http.put("/other", "").await.ok();
    // Nothing, many to a stripe, a few extents of its own, a manifest.
    for size in [0, 100, 64 * KIB, 5 * MIB + 7, 40 * MIB + 1] {
        let body = bytes_of(size, size as usize);
        let put = http.put("/bucket/source", body.clone()).await.ok();
        let stripes = server.count(cairn_machine::Table::Stripe);
        for target in ["/bucket/copy", "/other/copy"] {
            let copied = copy(http, "/bucket/source", target).send().await.ok();
            assert_eq!(copied.xml("ETag").unwrap().replace("&quot;", "\""), put.header("etag"), "{size}");
            assert!(copied.xml("LastModified").is_some());
            assert!(!has(&copied, "x-amz-version-id") && !has(&copied, "x-amz-copy-source-version-id"));
        }
        assert_eq!(server.count(cairn_machine::Table::Stripe), stripes, "{size}: nothing was written");
        server.check();
        http.delete("/bucket/source").await.ok();
        for target in ["/bucket/copy", "/other/copy"] {
            let got = http.get(target).await.ok();
            assert!(got.body == body, "{size}: the copy stays when its source goes");
            assert_eq!(got.header("etag"), put.header("etag"));
            http.delete(target).await.ok();
        }
        server.check();
    }
}

#[tokio::test]
async fn directives_say_what_is_copied() {
    let server = server().await;
    let http = &server.http;
    let put = http.ask("PUT", "/bucket/source").body("text");
    let put = put.header("content-type", "text/plain").header("cache-control", "no-store");
    put.header("x-amz-meta-colour", "green").header("x-amz-tagging", "a=1&b=2").send().await.ok();
    let tags = async |key: &str| http.get(&format!("/{key}?tagging=")).await.ok().all("Key");

    // Without a directive everything comes along, whatever else is said.
    let all = copy(http, "/bucket/source", "/other/all").header("content-type", "image/png");
    all.header("x-amz-meta-shape", "round").header("x-amz-tagging", "c=3").send().await.ok();
    let got = http.get("/other/all").await.ok();
    assert_eq!((got.header("content-type"), got.header("cache-control")), ("text/plain", "no-store"));
    assert_eq!((got.header("x-amz-meta-colour"), has(&got, "x-amz-meta-shape")), ("green", false));
    assert_eq!((got.header("x-amz-tagging-count"), tags("other/all").await), ("2", vec!["a".into(), "b".to_owned()]));

    let metadata = copy(http, "/bucket/source", "/other/metadata").header("x-amz-metadata-directive", "REPLACE");
    metadata.header("content-type", "image/png").header("x-amz-meta-shape", "round").send().await.ok();
    let got = http.get("/other/metadata").await.ok();
    assert_eq!((got.header("content-type"), has(&got, "cache-control")), ("image/png", false));
    assert_eq!((got.header("x-amz-meta-shape"), has(&got, "x-amz-meta-colour")), ("round", false));
    assert_eq!(tags("other/metadata").await, ["a", "b"]);

    let retagged = copy(http, "/bucket/source", "/other/tags").header("x-amz-tagging-directive", "REPLACE");
    retagged.header("x-amz-tagging", "c=3").send().await.ok();
    assert_eq!(tags("other/tags").await, ["c"]);
    assert_eq!(http.get("/other/tags").await.ok().header("x-amz-meta-colour"), "green");
    copy(http, "/bucket/source", "/other/none").header("x-amz-tagging-directive", "REPLACE").send().await.ok();
    assert!(tags("other/none").await.is_empty());

    for name in ["x-amz-metadata-directive", "x-amz-tagging-directive"] {
        let wrong = copy(http, "/bucket/source", "/other/wrong").header(name, "MOVE");
        wrong.send().await.refused(400, "InvalidArgument");
    }
    let class = |class: &str| copy(http, "/bucket/source", "/other/class").header("x-amz-storage-class", class);
    class("STANDARD").send().await.ok();
    class("GLACIER").send().await.refused(400, "InvalidStorageClass");
    server.check();
}

#[tokio::test]
async fn a_copy_onto_itself_must_change_something() {
    let server = server().await;
    let http = &server.http;
    http.put("/bucket/k", "text").await.ok();
    copy(http, "/bucket/k", "/bucket/k").send().await.refused(400, "InvalidRequest");
    let changed = copy(http, "/bucket/k", "/bucket/k").header("x-amz-metadata-directive", "REPLACE");
    changed.header("x-amz-meta-colour", "green").send().await.ok();
    let got = http.get("/bucket/k").await.ok();
    assert_eq!((&*got.body, got.header("x-amz-meta-colour")), (&b"text"[..], "green"));
    server.check();

    versions(http, "bucket", "Enabled").await;
    let old = http.put("/bucket/k", "old").await.ok().header("x-amz-version-id").to_owned();
    http.put("/bucket/k", "new").await.ok();
    copy(http, "/bucket/k", "/bucket/k").send().await.refused(400, "InvalidRequest");
    let restored = copy(http, &format!("/bucket/k?versionId={old}"), "/bucket/k").send().await.ok();
    assert_eq!(restored.header("x-amz-copy-source-version-id"), old);
    assert_ne!(restored.header("x-amz-version-id"), old);
    assert_eq!(&*http.get("/bucket/k").await.ok().body, b"old", "an older version is the newest again");
    server.check();
}

#[tokio::test]
async fn any_version_is_copied_and_markers_are_not() {
    let server = server().await;
    let http = &server.http;
    http.put("/bucket/k", "null").await.ok();
    versions(http, "bucket", "Enabled").await;
    let one = http.put("/bucket/k", "one").await.ok().header("x-amz-version-id").to_owned();
    let two = http.put("/bucket/k", "two").await.ok().header("x-amz-version-id").to_owned();
    for (id, body) in [("null", "null"), (one.as_str(), "one"), (two.as_str(), "two")] {
        let copied = copy(http, &format!("/bucket/k?versionId={id}"), "/other/k").send().await.ok();
        assert_eq!((copied.header("x-amz-copy-source-version-id"), has(&copied, "x-amz-version-id")), (id, false));
        assert_eq!(&*http.get("/other/k").await.ok().body, body.as_bytes());
    }
    let newest = copy(http, "/bucket/k", "/other/k").send().await.ok();
    assert_eq!(newest.header("x-amz-copy-source-version-id"), two);
    versions(http, "other", "Enabled").await;
    assert!(has(&copy(http, "/bucket/k", "/other/k").send().await.ok(), "x-amz-version-id"));
    let marker = http.delete("/bucket/k").await.ok().header("x-amz-version-id").to_owned();
    copy(http, "/bucket/k", "/other/k").send().await.refused(404, "NoSuchKey");
    let named = copy(http, &format!("/bucket/k?versionId={marker}"), "/other/k").send().await;
    named.refused(400, "InvalidRequest");
    copy(http, "/bucket/k?versionId=made-up", "/other/k").send().await.refused(400, "InvalidArgument");
    copy(http, "/other/k?versionId=null", "/bucket/k").send().await.ok();
    server.check();
}

#[tokio::test]
async fn a_source_is_named_in_every_way_that_clients_know() {
    let server = server().await;
    let http = &server.http;
    for (path, source) in [
        ("/bucket/plain", "bucket/plain"),
        ("/bucket/plain", "/bucket/plain"),
        ("/bucket/plain", "%2Fbucket%2Fplain"),
        ("/bucket/a%20b%2Bc", "/bucket/a%20b%2Bc"),
        ("/bucket/a%2Bb", "/bucket/a+b"),
        ("/bucket/%C3%A4/x", "/bucket/%C3%A4/x"),
        ("/bucket/what%3Fx%3D1", "/bucket/what%3Fx%3D1"),
        ("/bucket/100%25", "/bucket/100%25"),
        ("/bucket//lead", "/bucket//lead"),
        ("/bucket/./dot/../x", "/bucket/./dot/../x"),
    ] {
        http.put(path, path.to_owned()).await.ok();
        copy(http, source, "/other/copy").send().await.ok();
        assert_eq!(&*http.get("/other/copy").await.ok().body, path.as_bytes(), "{source}");
    }
    copy(http, "/nobody/k", "/other/k").send().await.refused(404, "NoSuchBucket");
    copy(http, "/bucket/plain", "/nobody/k").send().await.refused(404, "NoSuchBucket");
    copy(http, "/bucket/never", "/other/k").send().await.refused(404, "NoSuchKey");
    for malformed in ["bucket", "/", "/bucket/%zz%ff"] {
        let answer = copy(http, malformed, "/other/k").send().await;
        assert!(answer.status.is_client_error(), "{malformed}: {answer:?}");
    }
    let point = "arn:aws:s3:us-east-1:123456789012:accesspoint/point/object/k";
    copy(http, point, "/other/k").send().await.refused(501, "NotImplemented");
    // A header that was added on the way is not signed.
    let put = http.ask("PUT", "/other/copy").body("");
    let (request, _) = put.signed();
    let request = request.header("x-amz-copy-source", "/bucket/plain");
    let answer = http.send(request.body(http_body_util::Full::default()).unwrap()).await;
    assert_eq!(answer.status, 403, "{answer:?}");
}

#[tokio::test]
async fn conditions_of_source_and_target_are_kept_apart() {
    let server = server().await;
    let http = &server.http;
    let tag = http.put("/bucket/source", "text").await.ok().header("etag").to_owned();
    let (past, future) = ("Sun, 06 Nov 1994 08:49:37 GMT", "Fri, 06 Nov 2093 08:49:37 GMT");
    for (conditions, copied) in [
        (&[("x-amz-copy-source-if-match", tag.as_str())][..], true),
        (&[("x-amz-copy-source-if-match", "\"other\"")], false),
        (&[("x-amz-copy-source-if-none-match", tag.as_str())], false),
        (&[("x-amz-copy-source-if-none-match", "\"other\"")], true),
        (&[("x-amz-copy-source-if-modified-since", past)], true),
        (&[("x-amz-copy-source-if-unmodified-since", past)], false),
        (&[("x-amz-copy-source-if-unmodified-since", future)], true),
        (&[("x-amz-copy-source-if-match", &tag), ("x-amz-copy-source-if-unmodified-since", past)], true),
        (&[("x-amz-copy-source-if-none-match", &tag), ("x-amz-copy-source-if-modified-since", past)], false),
    ] {
        let ask = conditions
            .iter()
            .fold(copy(http, "/bucket/source", "/other/copy"), |ask, (name, value)| ask.header(name, value));
        let answer = ask.send().await;
        if copied {
            answer.ok();
        } else {
            answer.refused(412, "PreconditionFailed");
        }
    }
    let target = |name: &str, value: &str| copy(http, "/bucket/source", "/other/copy").header(name, value);
    target("if-none-match", "*").send().await.refused(412, "PreconditionFailed");
    target("if-match", "\"other\"").send().await.refused(412, "PreconditionFailed");
    target("if-match", &tag).send().await.ok();
    copy(http, "/bucket/source", "/other/new").header("if-none-match", "*").send().await.ok();
    copy(http, "/bucket/source", "/other/never").header("if-match", "*").send().await.refused(404, "NoSuchKey");
    server.check();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_checksum_of_another_kind_is_computed_from_the_bytes() {
    let server = server().await;
    let http = &server.http;
    let body = bytes_of(1, (3 * MIB + 5) as usize);
    let put = http.ask("PUT", "/bucket/source").header("x-amz-checksum-algorithm", "CRC32").body(body.clone());
    let crc32 = put.send().await.ok().header("x-amz-checksum-crc32").to_owned();
    let kept = copy(http, "/bucket/source", "/other/kept").send().await.ok();
    assert_eq!(kept.xml("ChecksumCRC32").as_deref(), Some(crc32.as_str()));
    let asked = copy(http, "/bucket/source", "/other/asked").header("x-amz-checksum-algorithm", "SHA256").send().await;
    let sha256 = asked.ok().xml("ChecksumSHA256").unwrap();
    let expected = base64::Engine::encode(
        &base64::engine::general_purpose::STANDARD,
        <sha2::Sha256 as sha2::Digest>::digest(&body),
    );
    assert_eq!(sha256, expected);
    let got = http.ask("GET", "/other/asked").header("x-amz-checksum-mode", "ENABLED").send().await.ok();
    assert_eq!((got.header("x-amz-checksum-sha256"), has(&got, "x-amz-checksum-crc32")), (expected.as_str(), false));
    assert!(got.body == body);
    let unknown = copy(http, "/bucket/source", "/other/k").header("x-amz-checksum-algorithm", "CRC9");
    unknown.send().await.refused(400, "InvalidRequest");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_source_that_changes_meanwhile_is_copied_whole_or_not_at_all() {
    let server = server().await;
    let http = server.http.clone();
    http.put("/bucket/source", "0".repeat(1000)).await.ok();
    let writer = tokio::spawn({
        let http = http.clone();
        async move {
            for round in 0..60 {
                http.put("/bucket/source", char::from(b'0' + round % 10).to_string().repeat(1000)).await.ok();
            }
        }
    });
    let mut copied = 0;
    while !writer.is_finished() {
        let answer = copy(&http, "/bucket/source", "/other/copy").send().await;
        if answer.status == 503 {
            continue;
        }
        let tag = answer.ok().xml("ETag").unwrap().replace("&quot;", "\"");
        let got = http.get("/other/copy").await.ok();
        assert_eq!(got.header("etag"), tag);
        assert!(got.body.len() == 1000 && got.body.iter().all(|byte| *byte == got.body[0]), "{got:?}");
        copied += 1;
    }
    writer.await.unwrap();
    assert!(copied > 0);
    server.check();
}

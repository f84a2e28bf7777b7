//! Requests over HTTP: who may ask, what is refused and how, and bodies that are not what they promise.

use std::time::Duration;

use crate::support::signer::{Signer, unsigned_chunks};
use crate::support::{ACCESS_KEY, OTHER_KEY, OTHER_SECRET, SECRET_KEY, Server};

async fn bucket() -> Server {
    let server = Server::start().await;
    server.http.put("/bucket", "").await.ok();
    server
}

#[tokio::test]
async fn only_right_signatures_get_in() {
    let server = bucket().await;
    server.http.put("/bucket/k", "x").await.ok();
    let ask = || server.http.ask("GET", "/bucket/k");
    let anonymous = ask().anonymous().send().await;
    anonymous.refused(403, "AccessDenied");
    assert_eq!(anonymous.xml("Resource").as_deref(), Some("/bucket/k"));
    assert_eq!(anonymous.xml("RequestId").as_deref(), Some(anonymous.header("x-amz-request-id")));
    assert_eq!(anonymous.header("server"), "Cairn");
    ask().signer(Signer::new(ACCESS_KEY, "wrong")).send().await.refused(403, "SignatureDoesNotMatch");
    ask().signer(Signer::new("AKIDNOBODY", "x")).send().await.refused(403, "InvalidAccessKeyId");
    let mut late = Signer::new(ACCESS_KEY, SECRET_KEY);
    late.time -= Duration::from_secs(3600);
    ask().signer(late).send().await.refused(403, "RequestTimeTooSkewed");
    // A right signature, and no right.
    ask().signer(Signer::new(OTHER_KEY, OTHER_SECRET)).send().await.refused(403, "AccessDenied");
    ask().send().await.ok();
}

#[tokio::test]
async fn presigned_urls() {
    let server = bucket().await;
    let http = &server.http;
    let plain = |method: &'static str, target: String| http.ask(method, &target).anonymous();
    let query = http.signer.presigned("PUT", &http.host, "/bucket/k", 60);
    plain("PUT", format!("/bucket/k?{query}")).body("hello").send().await.ok();
    let query = http.signer.presigned("GET", &http.host, "/bucket/k", 60);
    assert_eq!(plain("GET", format!("/bucket/k?{query}")).send().await.ok().body, "hello");
    plain("PUT", format!("/bucket/k?{query}")).body("x").send().await.refused(403, "SignatureDoesNotMatch");
    let mut early = http.signer.clone();
    early.time -= Duration::from_secs(120);
    let query = early.presigned("GET", &http.host, "/bucket/k", 60);
    plain("GET", format!("/bucket/k?{query}")).send().await.refused(403, "AccessDenied");
    let query = http.signer.presigned("GET", &http.host, "/bucket/k", 8 * 24 * 3600);
    plain("GET", format!("/bucket/k?{query}")).send().await.refused(400, "AuthorizationQueryParametersError");
    // A header that changes what happens must be signed.
    let query = http.signer.presigned("PUT", &http.host, "/bucket/k", 60);
    let added = plain("PUT", format!("/bucket/k?{query}")).header("x-amz-copy-source", "/bucket/other").send().await;
    added.refused(403, "AccessDenied");
}

#[tokio::test]
async fn what_is_not_built_says_so_and_does_nothing() {
    let server = bucket().await;
    let http = &server.http;
    http.put("/bucket/k", "x").await.ok();
    for (method, target) in [
        ("DELETE", "/bucket?madeUp="),
        ("DELETE", "/bucket?analytics="),
        ("PUT", "/bucket?website="),
        ("PUT", "/bucket/k?renameObject="),
        ("PUT", "/bucket/k?x-id=PutObject&torrent="),
        ("GET", "/bucket/k?torrent="),
        ("POST", "/bucket/k"),
    ] {
        http.ask(method, target).send().await.refused(501, "NotImplemented");
    }
    for (name, value) in [
        ("x-amz-server-side-encryption", "AES256"),
        ("x-amz-copy-source-range", "bytes=0-1"),
        ("x-amz-acl", "aws-exec-read"),
        ("x-amz-website-redirect-location", "/"),
        ("x-amz-checksum-sha512", "x"),
    ] {
        http.ask("PUT", "/bucket/other").header(name, value).send().await.refused(501, "NotImplemented");
    }
    let class = http.ask("PUT", "/bucket/other").header("x-amz-storage-class", "GLACIER").send().await;
    class.refused(400, "InvalidStorageClass");
    assert_eq!(http.get("/bucket/k").await.ok().body, "x", "nothing was deleted or overwritten");
    http.get("/bucket/other").await.refused(404, "NoSuchKey");
    let form = http.ask("POST", "/bucket").header("content-type", "multipart/form-data; boundary=x").anonymous();
    let form = form.body("--x--").send().await;
    assert!(form.status.is_client_error() || form.status == 501, "{form:?}");
}

#[tokio::test]
async fn errors_have_their_codes() {
    let server = bucket().await;
    let http = &server.http;
    http.get("/nobody/k").await.refused(404, "NoSuchBucket");
    http.get("/bucket/k").await.refused(404, "NoSuchKey");
    let unread = http.put("/nobody/k", "x").await;
    unread.refused(404, "NoSuchBucket");
    assert_eq!(unread.header("connection"), "close", "a body that nobody read stands before the next request");
    assert!(!http.get("/bucket/k").await.headers.contains_key("connection"));
    http.delete("/nobody").await.refused(404, "NoSuchBucket");
    http.put("/Bad_Name", "").await.refused(400, "InvalidBucketName");
    http.put("/bucket", "").await.ok();
    http.put(&format!("/bucket/{}", "k".repeat(1025)), "x").await.refused(400, "KeyTooLongError");
    http.get("/bucket/k?versionId=madeup").await.refused(400, "InvalidArgument");
    let head = http.ask("HEAD", "/bucket/k").send().await;
    assert_eq!((head.status.as_u16(), head.body.len()), (404, 0));
    assert!(head.headers.contains_key("x-amz-request-id"));
    http.delete("/bucket/k").await.ok();
    http.put("/bucket/k", "x").await.ok();
    http.delete("/bucket").await.refused(409, "BucketNotEmpty");
    assert_eq!(http.delete("/bucket/k").await.status, 204);
    assert_eq!(http.delete("/bucket").await.status, 204);
    http.ask("HEAD", "/bucket").send().await;
}

#[tokio::test]
async fn bodies_that_are_not_what_was_promised() {
    let server = bucket().await;
    let put = || server.http.ask("PUT", "/bucket/k").body("123456789");
    put().header("content-md5", "JfnnlDI7RTiF9RgfG2JNCw==").send().await.ok();
    put().header("content-md5", "AAAAAAAAAAAAAAAAAAAAAA==").send().await.refused(400, "BadDigest");
    put().header("content-md5", "AAAA").send().await.refused(400, "InvalidDigest");
    put().header("x-amz-checksum-crc32", "AAAAAA==").send().await.refused(400, "BadDigest");
    let kept = put().header("x-amz-checksum-crc32", "y/Q5Jg==").send().await.ok();
    assert_eq!(kept.header("x-amz-checksum-crc32"), "y/Q5Jg==");
    let wrong = put().payload(&crate::support::signer::hash(b"else")).send().await;
    wrong.refused(400, "XAmzContentSHA256Mismatch");
    let got = server.http.ask("GET", "/bucket/k").header("x-amz-checksum-mode", "ENABLED").send().await.ok();
    assert_eq!((got.header("x-amz-checksum-crc32"), got.header("x-amz-checksum-type")), ("y/Q5Jg==", "FULL_OBJECT"));
    let silent = server.http.get("/bucket/k").await.ok();
    assert!(!silent.headers.contains_key("x-amz-checksum-crc32"));
    let listed = server.http.get("/bucket?list-type=2").await.ok();
    assert_eq!(listed.xml("ChecksumAlgorithm").as_deref(), Some("CRC32"));
}

#[tokio::test]
async fn documents_that_are_not_what_was_promised() {
    let server = bucket().await;
    server.http.put("/bucket/k", "x").await.ok();
    let document = "<Delete><Object><Key>k</Key></Object></Delete>";
    let delete = || server.http.ask("POST", "/bucket?delete=").body(document);
    delete().header("content-md5", "AAAAAAAAAAAAAAAAAAAAAA==").send().await.refused(400, "BadDigest");
    delete().header("x-amz-checksum-crc32", "AAAAAA==").send().await.refused(400, "BadDigest");
    let wrong = delete().payload(&crate::support::signer::hash(b"else")).send().await;
    wrong.refused(400, "XAmzContentSHA256Mismatch");
    assert_eq!(server.http.get("/bucket/k").await.ok().body, "x", "none of them did anything");
    assert_eq!(delete().send().await.ok().all("Key"), ["k"]);
}

#[tokio::test]
async fn bodies_in_chunks() {
    let server = bucket().await;
    let body: Vec<u8> = (0..200_000u32).map(|number| number as u8).collect();
    let length = body.len().to_string();
    let crc = {
        let digest = crc_fast::checksum(crc_fast::CrcAlgorithm::Crc32IsoHdlc, &body) as u32;
        base64::Engine::encode(&base64::engine::general_purpose::STANDARD, digest.to_be_bytes())
    };
    let put = |payload: &str| {
        let ask = server.http.ask("PUT", "/bucket/k").payload(payload).header("content-encoding", "aws-chunked");
        ask.header("x-amz-decoded-content-length", &length)
    };
    let signed = || put("STREAMING-AWS4-HMAC-SHA256-PAYLOAD");
    signed().send_chunks(|signer, seed| signer.signed_chunks(seed, &body, 65536, &[])).await.ok();
    let got = server.http.get("/bucket/k").await.ok();
    assert!(got.body == body);
    assert!(!got.headers.contains_key("content-encoding"), "how it travelled is not what it is");
    let forged = signed().send_chunks(|signer, seed| {
        let mut chunks = signer.signed_chunks(seed, &body, 65536, &[]);
        chunks[70_000] ^= 1;
        chunks
    });
    forged.await.refused(403, "SignatureDoesNotMatch");
    let cut = signed().send_chunks(|signer, seed| signer.signed_chunks(seed, &body[..65536], 65536, &[]));
    cut.await.refused(400, "IncompleteBody");
    let long = [&body[..], b"more"].concat();
    let overlong = signed().send_chunks(|signer, seed| signer.signed_chunks(seed, &long, 65536, &[]));
    overlong.await.refused(400, "IncompleteBody");

    let with_trailer = |payload| put(payload).header("x-amz-trailer", "x-amz-checksum-crc32");
    let signed_trailer = || with_trailer("STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER");
    let trailer = [("x-amz-checksum-crc32", &*crc)];
    signed_trailer().send_chunks(|signer, seed| signer.signed_chunks(seed, &body, 65536, &trailer)).await.ok();
    let unsigned = || with_trailer("STREAMING-UNSIGNED-PAYLOAD-TRAILER");
    let stored = unsigned().send_chunks(|_, _| unsigned_chunks(&body, 65536, &trailer)).await.ok();
    assert_eq!(stored.header("x-amz-checksum-crc32"), crc);
    let wrong = [("x-amz-checksum-crc32", "AAAAAA==")];
    unsigned().send_chunks(|_, _| unsigned_chunks(&body, 65536, &wrong)).await.refused(400, "BadDigest");
    let missing = unsigned().send_chunks(|_, _| unsigned_chunks(&body, 65536, &[])).await;
    missing.refused(400, "MalformedTrailerError");
}

#[tokio::test]
async fn a_length_is_demanded() {
    let server = bucket().await;
    let (request, _) = server.http.ask("PUT", "/bucket/k").payload("UNSIGNED-PAYLOAD").signed();
    let frames =
        futures::stream::iter([Ok::<_, std::io::Error>(http_body::Frame::data(bytes::Bytes::from_static(b"x")))]);
    let request = request.body(http_body_util::StreamBody::new(frames)).unwrap();
    let client: hyper_util::client::legacy::Client<_, _> =
        hyper_util::client::legacy::Client::builder(hyper_util::rt::TokioExecutor::new()).build_http();
    let answer = client.request(request).await.unwrap();
    assert_eq!(answer.status(), 411);
}

#[tokio::test]
async fn virtual_hosts_name_buckets() {
    let server = bucket().await;
    let port = server.address.port();
    let host = format!("bucket.localhost:{port}");
    let put = server.http.ask("PUT", "/k").header("host", &host).body("x").send().await;
    put.ok();
    assert_eq!(server.http.get("/bucket/k").await.ok().body, "x");
    for key in ["/.cairn/v1/status", "/health/live"] {
        server.http.ask("PUT", key).header("host", &host).body("an object").send().await.ok();
        assert_eq!(server.http.ask("GET", key).header("host", &host).send().await.ok().body, "an object");
        server.http.ask("GET", key).header("host", &host).anonymous().send().await.refused(403, "AccessDenied");
    }
    let plain = server.http.ask("GET", "/").header("host", &format!("localhost:{port}")).send().await.ok();
    assert_eq!(plain.all("Name"), ["bucket"]);
}

#[tokio::test]
async fn the_administration_is_for_root_keys() {
    let server = Server::start().await;
    let target = "/.cairn/v1/status?all=1";
    let root = server.http.get(target).await.ok();
    assert_eq!(root.body, r#"{"asked": "GET status?all=1", "bytes": 0}"#);
    assert_eq!(root.header("content-type"), "application/json");
    server.http.ask("GET", target).anonymous().send().await.refused(403, "AccessDenied");
    let other = server.http.ask("GET", target).signer(Signer::new(OTHER_KEY, OTHER_SECRET)).send().await;
    other.refused(403, "AccessDenied");
}

#[tokio::test]
async fn health_needs_no_signature_and_shadows_no_object() {
    let server = Server::start().await;
    for path in ["/health/live", "/health/ready"] {
        assert_eq!(server.http.ask("GET", path).anonymous().send().await.status, 200);
    }
    server.http.put("/health", "").await.ok();
    server.http.put("/health/live", "an object").await.ok();
    assert_eq!(server.http.get("/health/live").await.ok().body, "an object");
}

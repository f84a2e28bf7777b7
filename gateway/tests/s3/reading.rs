//! What reads answer: ranges and conditions as clients really send them, parts, checksums, attributes.

use crate::support::Server;
use crate::support::client::Answer;

const BODY: &str = "123456789";
const TAG: &str = "25f9e794323b453885f5181f1b624d0b";

async fn bucket() -> Server {
    let server = Server::start().await;
    server.http.put("/bucket", "").await.ok();
    server.http.put("/bucket/k", BODY).await.ok();
    server.http.put("/bucket/empty", "").await.ok();
    server
}

async fn with(server: &Server, method: &str, target: &str, headers: &[(&str, &str)]) -> Answer {
    let mut ask = server.http.ask(method, target);
    for (name, value) in headers {
        ask = ask.header(name, value);
    }
    ask.send().await
}

#[tokio::test]
async fn a_range_that_is_none_means_the_whole_object() {
    let server = bucket().await;
    for (range, status, length) in [
        ("bytes=0-0", 206, 1),
        ("bytes=7-", 206, 2),
        ("bytes=-3", 206, 3),
        ("bytes=0-99", 206, 9),
        ("bytes=5-2", 200, 9),
        ("bytes=0-1,4-5", 200, 9),
        ("bytes=x", 200, 9),
        ("lines=1-2", 200, 9),
        ("bytes", 200, 9),
    ] {
        for method in ["GET", "HEAD"] {
            let got = with(&server, method, "/bucket/k", &[("range", range)]).await.ok();
            assert_eq!((got.status.as_u16(), got.header("content-length")), (status, &*length.to_string()), "{range}");
            assert_eq!(got.headers.contains_key("content-range"), status == 206, "{range}");
            assert_eq!(got.header("accept-ranges"), "bytes");
        }
    }
    for range in ["bytes=9-", "bytes=-0"] {
        let outside = with(&server, "GET", "/bucket/k", &[("range", range)]).await;
        outside.refused(416, "InvalidRange");
        assert_eq!(outside.header("content-range"), "bytes */9");
    }
}

#[tokio::test]
async fn conditions_are_lists_and_dates_of_any_form() {
    let server = bucket().await;
    let (listed, weak) = (format!("\"x, y\", \"{TAG}\""), format!("W/\"{TAG}\""));
    let now = with(&server, "HEAD", "/bucket/k", &[]).await.ok().header("last-modified").to_owned();
    for (name, value, status) in [
        ("if-match", TAG, 200),
        ("if-match", &*listed, 200),
        ("if-match", "\"a\", \"b\"", 412),
        ("if-match", &*weak, 412),
        ("if-match", "*", 200),
        ("if-none-match", &*listed, 304),
        ("if-none-match", &*weak, 304),
        ("if-none-match", "*", 304),
        ("if-none-match", "\"a\",\"b\"", 200),
        ("if-modified-since", &*now, 304),
        ("if-modified-since", "Sunday, 06-Nov-94 08:49:37 GMT", 200),
        ("if-modified-since", "Wed Nov 16 08:49:37 1994", 200),
        ("if-modified-since", "not a date", 200),
        ("if-unmodified-since", &*now, 200),
        ("if-unmodified-since", "Sunday, 06-Nov-94 08:49:37 GMT", 412),
        ("if-unmodified-since", "not a date", 200),
    ] {
        for method in ["GET", "HEAD"] {
            let got = with(&server, method, "/bucket/k", &[(name, value)]).await;
            assert_eq!(got.status.as_u16(), status, "{method} {name}: {value}");
            assert_eq!(got.headers.contains_key("etag"), status != 412, "{method} {name}: {value}");
        }
    }
    // A list beside a range, a version and another condition: nothing else of the request is lost on the way.
    let several = [("if-match", &*listed), ("range", "bytes=1-2"), ("if-none-match", "\"z\"")];
    let got = with(&server, "GET", "/bucket/k?versionId=null&response-cache-control=no-store", &several).await.ok();
    assert_eq!((got.status.as_u16(), &got.body[..]), (206, &b"23"[..]));
    assert_eq!((got.header("cache-control"), got.header("x-amz-version-id")), ("no-store", "null"));
}

#[tokio::test]
async fn an_object_without_parts_is_its_first_part() {
    let server = bucket().await;
    for method in ["GET", "HEAD"] {
        let first = with(&server, method, "/bucket/k?partNumber=1", &[("x-amz-checksum-mode", "ENABLED")]).await.ok();
        assert_eq!((first.status.as_u16(), first.header("content-range")), (206, "bytes 0-8/9"));
        assert_eq!(first.header("x-amz-checksum-crc64nvme"), "rosUhgp5mIg=");
        assert!(!first.headers.contains_key("x-amz-mp-parts-count"));
        let empty = with(&server, method, "/bucket/empty?partNumber=1", &[]).await.ok();
        assert_eq!((empty.status.as_u16(), empty.header("content-length")), (200, "0"));
        assert_eq!(with(&server, method, "/bucket/k?partNumber=2", &[]).await.status.as_u16(), 416);
    }
    with(&server, "GET", "/bucket/k?partNumber=2", &[]).await.refused(416, "InvalidPartNumber");
    for number in ["0", "-1", "10001", "x", "99999999999"] {
        let refused = with(&server, "GET", &format!("/bucket/k?partNumber={number}"), &[]).await;
        refused.refused(400, "InvalidArgument");
    }
    with(&server, "GET", "/bucket/k?partNumber=1", &[("range", "bytes=0-1")]).await.refused(400, "InvalidRequest");
}

#[tokio::test]
async fn every_body_has_a_checksum_that_whole_reads_tell() {
    let server = bucket().await;
    let told = |answer: &Answer, name: &str| answer.headers.contains_key(name);
    let mode = [("x-amz-checksum-mode", "ENABLED")];
    let whole = with(&server, "GET", "/bucket/k", &mode).await.ok();
    assert_eq!(whole.header("x-amz-checksum-crc64nvme"), "rosUhgp5mIg=");
    assert_eq!(whole.header("x-amz-checksum-type"), "FULL_OBJECT");
    let silent = with(&server, "GET", "/bucket/k", &[]).await.ok();
    assert!(!told(&silent, "x-amz-checksum-crc64nvme"));
    let part = with(&server, "GET", "/bucket/k", &[mode[0], ("range", "bytes=0-3")]).await.ok();
    assert!(!told(&part, "x-amz-checksum-crc64nvme"), "it is not the checksum of a part");
    let head = with(&server, "HEAD", "/bucket/k", &mode).await.ok();
    assert_eq!(head.header("x-amz-checksum-crc64nvme"), "rosUhgp5mIg=");
    let asked = server.http.ask("PUT", "/bucket/asked").header("x-amz-checksum-algorithm", "SHA1").body(BODY);
    assert_eq!(asked.send().await.ok().header("x-amz-checksum-sha1"), "98O8HYCOBHMq32eZZczDTKeuNEE=");
    for kind in ["md5", "sha512", "xxhash64", "xxhash3", "xxhash128"] {
        let put = server.http.ask("PUT", "/bucket/new").header(&format!("x-amz-checksum-{kind}"), "AAAA").body(BODY);
        put.send().await.refused(501, "NotImplemented");
    }
}

#[tokio::test]
async fn attributes_are_told_as_asked() {
    let server = bucket().await;
    let ask = |target: &'static str, attributes: &'static str| {
        let server = &server;
        async move { with(server, "GET", target, &[("x-amz-object-attributes", attributes)]).await }
    };
    let all = ask("/bucket/k?attributes", "ETag,Checksum,ObjectParts,StorageClass,ObjectSize").await.ok();
    assert_eq!(all.xml("ETag").as_deref(), Some(TAG), "without quotes, as AWS writes it here");
    assert_eq!(all.xml("ChecksumCRC64NVME").as_deref(), Some("rosUhgp5mIg="));
    assert_eq!(all.xml("ChecksumType").as_deref(), Some("FULL_OBJECT"));
    assert_eq!((all.xml("StorageClass").as_deref(), all.xml("ObjectSize").as_deref()), (Some("STANDARD"), Some("9")));
    assert_eq!(all.xml("ObjectParts"), None);
    assert!(all.headers.contains_key("last-modified"));
    let one = ask("/bucket/k?attributes&versionId=null", "ObjectSize").await.ok();
    assert_eq!((one.xml("ETag"), one.xml("ObjectSize").as_deref()), (None, Some("9")));
    assert_eq!(one.header("x-amz-version-id"), "null");
    ask("/bucket/k?attributes", "ETag,Colour").await.refused(400, "InvalidArgument");
    ask("/bucket/k?attributes", " ").await.refused(400, "InvalidRequest");
    with(&server, "GET", "/bucket/k?attributes", &[]).await.refused(400, "InvalidRequest");
    ask("/bucket/nothing?attributes", "ETag").await.refused(404, "NoSuchKey");
    ask("/nobody/k?attributes", "ETag").await.refused(404, "NoSuchBucket");
}

#[tokio::test]
async fn answers_can_be_overridden() {
    let server = bucket().await;
    let target = "/bucket/k?response-cache-control=no-cache&response-content-disposition=attachment%3B%20filename%3D%22a%22\
                  &response-content-encoding=gzip&response-content-language=de&response-content-type=text%2Fplain\
                  &response-expires=Thu%2C%2001%20Dec%202033%2016%3A00%3A00%20GMT";
    for method in ["GET", "HEAD"] {
        let got = with(&server, method, target, &[]).await.ok();
        for (name, value) in [
            ("cache-control", "no-cache"),
            ("content-disposition", "attachment; filename=\"a\""),
            ("content-encoding", "gzip"),
            ("content-language", "de"),
            ("content-type", "text/plain"),
            ("expires", "Thu, 01 Dec 2033 16:00:00 GMT"),
        ] {
            assert_eq!(got.header(name), value, "{method}");
        }
    }
}

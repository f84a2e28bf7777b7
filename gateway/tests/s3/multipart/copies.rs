//! Parts of bytes that other objects have.

use base64::Engine as _;
use cairn_erasure::testing::bytes_of;
use cairn_machine::Table;

use super::{PART, Upload, range, same, server, server_of_short_extents, tag};

#[tokio::test(flavor = "multi_thread")]
async fn ranges_of_anything_become_parts() {
    let server = server_of_short_extents().await;
    let http = &server.http;
    // A source of parts with manifests, extents in rows and a packed one.
    let bodies = [bytes_of(1, 40 << 20), bytes_of(2, PART + 77), bytes_of(3, 5000)];
    let source = Upload::begin(http, "/bucket/source").await;
    for (body, number) in bodies.iter().zip(1..) {
        source.part(number, body.clone()).await.ok();
    }
    source.complete(&bodies.iter().zip(1..).map(|(body, number)| (number, tag(body))).collect::<Vec<_>>()).await.ok();
    let whole = bodies.concat();
    let chunks = server.count(Table::Stripe);
    let upload = Upload::begin(http, "/bucket/k").await;
    let (border, end) = (40 << 20, whole.len());
    let ranges = [
        (0, end),                      // all of it: over a row, in pages
        (3 << 20, (3 << 20) + PART),   // within one part, beginning between extents
        (123, 123 + 9 * (1 << 20)),    // more extents than a row names
        (border - 100, border + PART), // over a border of parts
        (border + PART + 70, end),     // the end
        (7, 8),                        // one byte
    ];
    let mut expected = Vec::new();
    let mut parts = Vec::new();
    for (&(from, to), number) in ranges.iter().zip(1u16..) {
        let copied = upload.copy(number, "/bucket/source", Some((from as u64, to as u64 - 1))).await.ok();
        assert_eq!(copied.xml("ETag"), Some(tag(&whole[from..to])), "{from}..{to}");
        if to - from >= PART || number == 6 {
            parts.push((number, tag(&whole[from..to])));
            expected.extend_from_slice(&whole[from..to]);
        }
    }
    assert_eq!(server.count(Table::Stripe), chunks, "no byte has moved");
    server.check();
    upload.complete(&parts).await.ok();
    // The source may go: the bytes are counted.
    http.delete("/bucket/source").await.ok();
    same(&http.get("/bucket/k").await, &expected);
    let at = end + PART - 1;
    same(&range(http, "/bucket/k", at, at + 2).await, &expected[at..at + 2]);
    server.check();
}

/// A range of more extents than one page names, whose source has them in the parts of parts.
#[tokio::test(flavor = "multi_thread")]
async fn long_ranges_are_copied_in_pages() {
    let server = server_of_short_extents().await;
    let http = &server.http;
    let body = bytes_of(1, 50 << 20);
    http.put("/bucket/source", body.clone()).await.ok();
    let chained = Upload::begin(http, "/bucket/chained").await;
    let mut parts = Vec::new();
    for number in 1..=6 {
        let copied = chained.copy(number, "/bucket/source", Some((5, (50 << 20) - 6))).await.ok();
        parts.push((number, copied.xml("ETag").unwrap()));
    }
    chained.complete(&parts).await.ok();
    let piece = &body[5..(50 << 20) - 5];
    let whole = [piece; 6].concat();
    let upload = Upload::begin(http, "/bucket/k").await;
    let copied = upload.copy(1, "/bucket/chained", Some((1, whole.len() as u64 - 2))).await.ok();
    let expected = &whole[1..whole.len() - 1];
    assert_eq!(copied.xml("ETag"), Some(tag(expected)));
    upload.complete(&[(1, tag(expected))]).await.ok();
    same(&http.get("/bucket/k").await, expected);
    server.check();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_known_of_a_whole_object_is_known_of_its_copy() {
    let server = server().await;
    let http = &server.http;
    let body = bytes_of(1, PART);
    let put = http.ask("PUT", "/bucket/source").body(body.clone()).header("x-amz-checksum-algorithm", "CRC32");
    let put = put.send().await.ok();
    let crc32 = put.header("x-amz-checksum-crc32").to_owned();
    let begin = http.ask("POST", "/bucket/k?uploads=").header("x-amz-checksum-algorithm", "CRC32");
    let upload = Upload::begun(http, "/bucket/k", begin).await;
    let known = upload.copy(1, "bucket/source", None).await.ok();
    let range = upload.copy(2, "bucket/source", Some((0, PART as u64 - 1))).await.ok();
    let part = upload.copy(3, "bucket/source", Some((0, 9))).await.ok();
    assert_eq!((known.xml("ETag"), known.xml("ChecksumCRC32")), (Some(tag(&body)), Some(crc32.clone())));
    assert_eq!((range.xml("ETag"), range.xml("ChecksumCRC32")), (Some(tag(&body)), Some(crc32)));
    let crc = u32::try_from(crc_fast::checksum(crc_fast::CrcAlgorithm::Crc32IsoHdlc, &body[..10])).unwrap();
    let crc = base64::engine::general_purpose::STANDARD.encode(crc.to_be_bytes());
    assert_eq!((part.xml("ETag"), part.xml("ChecksumCRC32")), (Some(tag(&body[..10])), Some(crc)));
    // Onto the key that is being uploaded, too, and of nothing.
    http.put("/bucket/k", "").await.ok();
    let empty = upload.copy(4, "bucket/k", None).await.ok();
    assert_eq!(empty.xml("ETag"), Some(tag(b"")));
    let parts = [(1, tag(&body)), (2, tag(&body)), (4, tag(b""))];
    upload.complete(&parts).await.ok();
    same(&http.get("/bucket/k").await, &[&body[..], &body].concat());
    server.check();
}

#[tokio::test(flavor = "multi_thread")]
async fn versions_and_conditions_of_sources() {
    let server = server().await;
    let http = &server.http;
    let enabled = "<VersioningConfiguration><Status>Enabled</Status></VersioningConfiguration>";
    http.put("/bucket?versioning=", enabled).await.ok();
    let old = http.put("/bucket/source", "old").await.ok().header("x-amz-version-id").to_owned();
    let new = http.put("/bucket/source", "new").await.ok().header("x-amz-version-id").to_owned();
    let upload = Upload::begin(http, "/bucket/k").await;
    let copied = upload.copy(1, &format!("/bucket/source?versionId={old}"), None).await.ok();
    assert_eq!((copied.xml("ETag"), copied.header("x-amz-copy-source-version-id")), (Some(tag(b"old")), &*old));
    let copied = upload.copy(1, "/bucket/source", None).await.ok();
    assert_eq!((copied.xml("ETag"), copied.header("x-amz-copy-source-version-id")), (Some(tag(b"new")), &*new));
    for (name, value, holds) in [
        ("if-match", tag(b"new"), true),
        ("if-match", tag(b"old"), false),
        ("if-none-match", tag(b"new"), false),
        ("if-none-match", tag(b"old"), true),
        ("if-modified-since", "Sun, 06 Nov 1994 08:49:37 GMT".to_owned(), true),
        ("if-unmodified-since", "Sun, 06 Nov 1994 08:49:37 GMT".to_owned(), false),
    ] {
        let ask = upload.ask("PUT", "partNumber=2").header("x-amz-copy-source", "/bucket/source");
        let answer = ask.header(&format!("x-amz-copy-source-{name}"), &value).send().await;
        match holds {
            true => drop(answer.ok()),
            false => answer.refused(412, "PreconditionFailed"),
        }
    }
    let marker = http.delete("/bucket/source").await.ok().header("x-amz-version-id").to_owned();
    upload.copy(3, "/bucket/source", None).await.refused(404, "NoSuchKey");
    upload.copy(3, &format!("/bucket/source?versionId={marker}"), None).await.refused(400, "InvalidRequest");
    server.check();
}

#[tokio::test(flavor = "multi_thread")]
async fn sources_and_ranges_that_are_none_are_refused() {
    let server = server().await;
    let http = &server.http;
    http.put("/bucket/source", "12345").await.ok();
    let upload = Upload::begin(http, "/bucket/k").await;
    let with = |range: &str| {
        let ask = upload.ask("PUT", "partNumber=1").header("x-amz-copy-source", "/bucket/source");
        ask.header("x-amz-copy-source-range", range)
    };
    for range in ["0-2", "bytes=0", "bytes=hello-world", "bytes=0-bar", "bytes=hello-", "bytes=0-2,3-5", "bytes=4-3"] {
        with(range).send().await.refused(400, "InvalidArgument");
    }
    for range in ["bytes=0-5", "bytes=0-21", "bytes=5-5", "bytes=99-100"] {
        with(range).send().await.refused(416, "InvalidRange");
    }
    upload.copy(1, "/bucket/nobody", None).await.refused(404, "NoSuchKey");
    upload.copy(1, "/nobody/source", None).await.refused(404, "NoSuchBucket");
    upload.copy(0, "/bucket/source", None).await.refused(400, "InvalidArgument");
    let aborted = Upload::begin(http, "/bucket/k").await;
    aborted.abort().await;
    aborted.copy(1, "/bucket/source", None).await.refused(404, "NoSuchUpload");
    assert!(upload.list("").await.ok().all("PartNumber").is_empty());
}

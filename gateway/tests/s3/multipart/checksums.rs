//! Checksums of parts and of what they become.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use cairn_erasure::testing::bytes_of;
use sha2::{Digest, Sha256};

use super::{PART, Upload, server, tag};
use crate::support::client::Answer;
use crate::support::signer::unsigned_chunks;

fn crc32(bytes: &[u8]) -> String {
    let crc = crc_fast::checksum(crc_fast::CrcAlgorithm::Crc32IsoHdlc, bytes);
    BASE64.encode(u32::try_from(crc).unwrap().to_be_bytes())
}

fn crc64(bytes: &[u8]) -> String {
    BASE64.encode(crc_fast::checksum(crc_fast::CrcAlgorithm::Crc64Nvme, bytes).to_be_bytes())
}

fn sha256(bytes: &[u8]) -> String {
    BASE64.encode(Sha256::digest(bytes))
}

async fn head(upload: &Upload) -> Answer {
    upload.http.ask("HEAD", &upload.target).header("x-amz-checksum-mode", "ENABLED").send().await.ok()
}

async fn begin(server: &crate::support::Server, key: &str, headers: &[(&str, &str)]) -> Upload {
    let (target, query) = (format!("/bucket/{key}"), format!("/bucket/{key}?uploads="));
    let ask = headers.iter().fold(server.http.ask("POST", &query), |ask, (name, value)| ask.header(name, value));
    Upload::begun(&server.http, &target, ask).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_composite_checksum_is_over_those_of_the_parts() {
    let server = server().await;
    let upload = begin(&server, "k", &[("x-amz-checksum-algorithm", "SHA256")]).await;
    let bodies = [bytes_of(1, PART), bytes_of(2, 1000)];
    let mut parts = Vec::new();
    for (body, number) in bodies.iter().zip(1u16..) {
        let answer = upload.ask("PUT", &format!("partNumber={number}")).body(body.clone());
        // The second comes without, and is computed.
        let answer = if number == 1 { answer.header("x-amz-checksum-sha256", &sha256(body)) } else { answer };
        let answer = answer.send().await.ok();
        assert_eq!(answer.header("x-amz-checksum-sha256"), sha256(body));
        parts.push((number, tag(body), format!("<ChecksumSHA256>{}</ChecksumSHA256>", sha256(body))));
    }
    let listed = upload.list("").await.ok();
    assert_eq!(listed.all("ChecksumSHA256"), bodies.each_ref().map(|body| sha256(body)));
    assert_eq!(
        (listed.xml("ChecksumAlgorithm").as_deref(), listed.xml("ChecksumType").as_deref()),
        (Some("SHA256"), Some("COMPOSITE"))
    );
    let other = upload.ask("PUT", "partNumber=3").body("x").header("x-amz-checksum-crc32", &crc32(b"x"));
    other.send().await.refused(400, "InvalidRequest");
    let digests = bodies.each_ref().map(Sha256::digest).concat();
    let composite = format!("{}-2", sha256(&digests));
    for (name, value) in [
        ("x-amz-checksum-sha256", "bad"),
        ("x-amz-checksum-sha256", &*sha256(b"other")),
        ("x-amz-checksum-sha256", &*composite.replace("-2", "-3")),
        ("x-amz-checksum-crc32", &*crc32(b"x")),
        ("x-amz-checksum-type", "FULL_OBJECT"),
    ] {
        upload.completing_with(&parts).header(name, value).send().await.refused(400, "BadDigest");
    }
    let mut wrong = parts.clone();
    wrong[0].2 = format!("<ChecksumSHA256>{}</ChecksumSHA256>", sha256(b"other"));
    upload.completing_with(&wrong).send().await.refused(400, "InvalidPart");
    wrong[0].2 = format!("<ChecksumCRC32>{}</ChecksumCRC32>", crc32(&bodies[0]));
    upload.completing_with(&wrong).send().await.refused(400, "InvalidPart");
    let right = upload.completing_with(&parts).header("x-amz-checksum-sha256", &composite);
    let completed = right.header("x-amz-checksum-type", "COMPOSITE").send().await.ok();
    assert_eq!(
        (completed.xml("ChecksumSHA256"), completed.xml("ChecksumType").as_deref()),
        (Some(composite.clone()), Some("COMPOSITE"))
    );
    let head = head(&upload).await;
    assert_eq!((head.header("x-amz-checksum-sha256"), head.header("x-amz-checksum-type")), (&*composite, "COMPOSITE"));
    for (number, body) in bodies.iter().enumerate() {
        let part = server.http.ask("GET", &format!("/bucket/k?partNumber={}", number + 1));
        let part = part.header("x-amz-checksum-mode", "ENABLED").send().await.ok();
        let said = (part.header("x-amz-checksum-sha256"), part.header("x-amz-checksum-type"));
        assert_eq!(said, (&*sha256(body), "COMPOSITE"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_checksum_is_that_of_the_whole() {
    let server = server().await;
    let bodies = [bytes_of(1, PART), bytes_of(2, PART + 1), bytes_of(3, 1)];
    let whole = bodies.concat();
    let full = ("x-amz-checksum-type", "FULL_OBJECT");
    for (key, headers, name, expected) in [
        ("default", &[][..], "x-amz-checksum-crc64nvme", crc64(&whole)),
        ("crc64", &[("x-amz-checksum-algorithm", "CRC64NVME")], "x-amz-checksum-crc64nvme", crc64(&whole)),
        ("crc32", &[("x-amz-checksum-algorithm", "CRC32"), full], "x-amz-checksum-crc32", crc32(&whole)),
    ] {
        let upload = begin(&server, key, headers).await;
        let mut parts = Vec::new();
        for (body, number) in bodies.iter().zip(1u16..) {
            upload.part(number, body.clone()).await.ok().header(name);
            parts.push((number, tag(body)));
        }
        upload.completing(&parts).header(name, "AAAAAA==").send().await.refused(400, "BadDigest");
        let completed = upload.completing(&parts).header(name, &expected).send().await.ok();
        assert_eq!(completed.xml("ChecksumType").as_deref(), Some("FULL_OBJECT"));
        let head = head(&upload).await;
        assert_eq!((head.header(name), head.header("x-amz-checksum-type")), (&*expected, "FULL_OBJECT"), "{key}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_checksum_may_come_behind_a_part() {
    let server = server().await;
    let upload = begin(&server, "k", &[("x-amz-checksum-algorithm", "CRC32")]).await;
    let body = bytes_of(1, 300_000);
    let send = |digest: String| {
        let ask = upload
            .ask("PUT", "partNumber=1")
            .payload("STREAMING-UNSIGNED-PAYLOAD-TRAILER")
            .header("x-amz-decoded-content-length", &body.len().to_string())
            .header("content-encoding", "aws-chunked")
            .header("x-amz-trailer", "x-amz-checksum-crc32");
        let body = body.clone();
        ask.send_chunks(move |_, _| unsigned_chunks(&body, 65_536, &[("x-amz-checksum-crc32", &digest)]))
    };
    send(crc32(b"other")).await.refused(400, "BadDigest");
    assert!(upload.list("").await.ok().all("PartNumber").is_empty());
    assert_eq!(send(crc32(&body)).await.ok().header("x-amz-checksum-crc32"), crc32(&body));
    let digest = BASE64.decode(crc32(&body)).unwrap();
    let completed = upload.complete(&[(1, tag(&body))]).await.ok();
    assert_eq!(completed.xml("ChecksumCRC32"), Some(format!("{}-1", crc32(&digest))));
}

#[tokio::test(flavor = "multi_thread")]
async fn kinds_and_types_that_do_not_go_together_are_refused() {
    let server = server().await;
    for headers in [
        &[("x-amz-checksum-algorithm", "SHA1"), ("x-amz-checksum-type", "FULL_OBJECT")][..],
        &[("x-amz-checksum-algorithm", "CRC64NVME"), ("x-amz-checksum-type", "COMPOSITE")],
        &[("x-amz-checksum-algorithm", "MD4")],
        &[("x-amz-checksum-type", "COMPOSITE")],
    ] {
        let ask = server.http.ask("POST", "/bucket/k?uploads=");
        let ask = headers.iter().fold(ask, |ask, (name, value)| ask.header(name, value));
        ask.send().await.refused(400, "InvalidRequest");
    }
    assert!(server.http.get("/bucket?uploads=").await.ok().all("UploadId").is_empty());
}

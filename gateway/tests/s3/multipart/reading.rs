//! Objects that were uploaded in parts, read by the number of a part and described part by part.

use bytes::Bytes;

use super::{PART, Upload, server, tag};
use crate::support::client::Answer;

/// Parts 2, 5 and 9 of an upload: numbers are the client's.
const NUMBERS: [u16; 3] = [2, 5, 9];

fn bodies() -> [Bytes; 3] {
    [vec![1; PART].into(), vec![2; PART + 1].into(), Bytes::from_static(b"the last")]
}

async fn uploaded(upload: &Upload) {
    let mut parts = Vec::new();
    for (number, body) in NUMBERS.into_iter().zip(bodies()) {
        parts.push((number, tag(&body)));
        upload.part(number, body).await.ok();
    }
    upload.complete(&parts).await.ok();
}

#[tokio::test(flavor = "multi_thread")]
async fn each_part_is_read_by_its_number() {
    let server = server().await;
    uploaded(&Upload::begin(&server.http, "/bucket/k").await).await;
    let size: usize = bodies().iter().map(Bytes::len).sum();
    let ask = |method: &'static str, number: u16| {
        let http = server.http.clone();
        async move {
            let ask = http.ask(method, &format!("/bucket/k?partNumber={number}"));
            ask.header("x-amz-checksum-mode", "ENABLED").send().await
        }
    };
    let mut at = 0;
    for (number, body) in NUMBERS.into_iter().zip(bodies()) {
        let got = ask("GET", number).await.ok();
        assert_eq!((got.status.as_u16(), got.header("x-amz-mp-parts-count")), (206, "3"));
        assert!(got.body == body, "part {number}");
        assert_eq!(got.header("content-range"), format!("bytes {at}-{}/{size}", at + body.len() - 1));
        let crc = crc_fast::checksum(crc_fast::CrcAlgorithm::Crc64Nvme, &body).to_be_bytes();
        let crc = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, crc);
        assert_eq!(got.header("x-amz-checksum-crc64nvme"), crc, "the part's own");
        let head = ask("HEAD", number).await.ok();
        assert_eq!((head.status.as_u16(), head.header("content-length")), (206, &*body.len().to_string()));
        at += body.len();
    }
    for number in [1, 3, 10, 10_000] {
        ask("GET", number).await.refused(416, "InvalidPartNumber");
    }
    assert!(!server.http.get("/bucket/k").await.ok().headers.contains_key("x-amz-mp-parts-count"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_part_of_a_composite_checksum_says_so() {
    let server = server().await;
    let begin = server.http.ask("POST", "/bucket/k?uploads=").header("x-amz-checksum-algorithm", "SHA256");
    uploaded(&Upload::begun(&server.http, "/bucket/k", begin).await).await;
    for target in ["/bucket/k", "/bucket/k?partNumber=5"] {
        let got = server.http.ask("HEAD", target).header("x-amz-checksum-mode", "ENABLED").send().await.ok();
        assert_eq!(got.header("x-amz-checksum-type"), "COMPOSITE", "{target}");
        assert_eq!(got.header("x-amz-checksum-sha256").ends_with("-3"), target == "/bucket/k", "{target}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn parts_are_told_in_pages() {
    let server = server().await;
    uploaded(&Upload::begin(&server.http, "/bucket/k").await).await;
    let page = |headers: &'static [(&'static str, &'static str)]| {
        let http = server.http.clone();
        async move {
            let mut ask =
                http.ask("GET", "/bucket/k?attributes").header("x-amz-object-attributes", "ObjectParts,ObjectSize");
            for (name, value) in headers {
                ask = ask.header(name, value);
            }
            ask.send().await
        }
    };
    let told = |answer: &Answer| {
        let of = |name: &str| answer.xml(name).unwrap_or_default();
        (answer.all("PartNumber").join(" "), of("IsTruncated"), of("NextPartNumberMarker"), of("PartsCount"))
    };
    let expected =
        |numbers: &str, more: &str, next: &str| (numbers.to_owned(), more.to_owned(), next.to_owned(), "3".to_owned());
    let all = page(&[]).await.ok();
    assert_eq!(told(&all), expected("2 5 9", "false", "9"));
    assert_eq!(all.all("Size"), bodies().map(|body| body.len().to_string()));
    assert_eq!(all.all("ChecksumCRC64NVME").len(), 3);
    let first = page(&[("x-amz-max-parts", "2")]).await.ok();
    assert_eq!(told(&first), expected("2 5", "true", "5"));
    let last = page(&[("x-amz-max-parts", "2"), ("x-amz-part-number-marker", "5")]).await.ok();
    assert_eq!(told(&last), expected("9", "false", "9"));
    let behind = page(&[("x-amz-part-number-marker", "9")]).await.ok();
    assert_eq!(told(&behind), expected("", "false", "9"));
    page(&[("x-amz-max-parts", "-1")]).await.refused(400, "InvalidArgument");
    page(&[("x-amz-part-number-marker", "x")]).await.refused(400, "InvalidArgument");
}

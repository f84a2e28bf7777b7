//! The AWS SDK for Rust: the daily operations, conditional writes, presigned URLs, checksums, multipart uploads and copies.

use std::time::Duration;

use aws_sdk_s3::Client;
use aws_sdk_s3::presigning::PresigningConfig;
use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::{
    BucketVersioningStatus, ChecksumAlgorithm, ChecksumMode, CompletedMultipartUpload, CompletedPart, Delete,
    MetadataDirective, ObjectIdentifier, VersioningConfiguration,
};
use bytes::Bytes;
use cairn_harness::{Seed, seed};
use md5::{Digest, Md5};

use crate::fresh;
use crate::sdk::{client, refusal};

const MIB: usize = 1 << 20;

/// Runs a test against a bucket of a fresh server.
async fn with_bucket<F: Future<Output = ()>>(test: impl FnOnce(Client) -> F) {
    let home = tempfile::tempdir().unwrap();
    let server = fresh(&home).start();
    let s3 = client(&server);
    s3.create_bucket().bucket("daily").send().await.unwrap();
    test(s3).await;
}

fn etag(body: &[u8]) -> String {
    format!("\"{}\"", hex::encode(Md5::digest(body)))
}

async fn read(body: ByteStream) -> Bytes {
    body.collect().await.unwrap().into_bytes()
}

#[tokio::test]
async fn the_daily_operations() {
    with_bucket(|s3| async move {
        let mut generator = Seed::take("the Rust SDK's daily operations").generator();
        for size in [0, 1, 4096, MIB, MIB + 1, 17 * MIB] {
            let body = seed::bytes(&mut generator, size);
            let put = s3.put_object().bucket("daily").key("k").metadata("colour", "blue").body(body.clone().into());
            assert_eq!(put.send().await.unwrap().e_tag(), Some(etag(&body).as_str()));
            let got = s3.get_object().bucket("daily").key("k").send().await.unwrap();
            assert_eq!(got.content_length(), Some(size as i64));
            assert_eq!(got.metadata().unwrap()["colour"], "blue");
            assert!(read(got.body).await == body, "{size} bytes came back changed");
            if size > 0 {
                let got = s3
                    .get_object()
                    .bucket("daily")
                    .key("k")
                    .range(format!("bytes={}-", size / 2))
                    .send()
                    .await
                    .unwrap();
                assert!(read(got.body).await == body[size / 2..]);
            }
        }
        for number in 0..25 {
            s3.put_object().bucket("daily").key(format!("list/{}/{number:02}", number % 3)).send().await.unwrap();
        }
        let mut pages = s3.list_objects_v2().bucket("daily").prefix("list/").into_paginator().page_size(7).send();
        let mut keys = Vec::new();
        while let Some(page) = pages.next().await {
            keys.extend(page.unwrap().contents().iter().map(|object| object.key().unwrap().to_owned()));
        }
        assert_eq!(keys.len(), 25);
        assert!(keys.is_sorted());
        let folders = s3.list_objects_v2().bucket("daily").prefix("list/").delimiter("/").send().await.unwrap();
        let folders: Vec<_> = folders.common_prefixes().iter().filter_map(|prefix| prefix.prefix()).collect();
        assert_eq!(folders, ["list/0/", "list/1/", "list/2/"]);

        let missing = s3.get_object().bucket("daily").key("nothing").send().await.unwrap_err();
        assert!(missing.as_service_error().unwrap().is_no_such_key());
        assert_eq!(refusal(missing), (404, "NoSuchKey".into()));
        let missing = s3.head_object().bucket("daily").key("nothing").send().await.unwrap_err();
        assert!(missing.as_service_error().unwrap().is_not_found());
        let full = s3.delete_bucket().bucket("daily").send().await.unwrap_err();
        assert_eq!(refusal(full), (409, "BucketNotEmpty".into()));

        keys.push("k".into());
        let objects = keys.iter().map(|key| ObjectIdentifier::builder().key(key).build().unwrap()).collect();
        let delete = Delete::builder().set_objects(Some(objects)).build().unwrap();
        let deleted = s3.delete_objects().bucket("daily").delete(delete).send().await.unwrap();
        assert_eq!((deleted.deleted().len(), deleted.errors().len()), (26, 0));
        s3.delete_bucket().bucket("daily").send().await.unwrap();
    })
    .await;
}

#[tokio::test]
async fn one_of_32_writers_makes_the_object() {
    with_bucket(|s3| async move {
        for round in 0..4 {
            let key = format!("once-{round}");
            let writers = (0..32).map(|writer| {
                let (s3, key) = (s3.clone(), key.clone());
                tokio::spawn(async move {
                    let body = Bytes::from(format!("writer {writer}"));
                    let put = s3.put_object().bucket("daily").key(key).if_none_match("*").body(body.clone().into());
                    put.send().await.map(|_| body).map_err(refusal)
                })
            });
            // All are spawned before the first is waited for.
            let writers: Vec<_> = writers.collect();
            let mut won = Vec::new();
            for writer in writers {
                match writer.await.unwrap() {
                    Ok(body) => won.push(body),
                    Err(refused) => assert_eq!(refused, (412, "PreconditionFailed".into())),
                }
            }
            assert_eq!(won.len(), 1, "exactly one may win");
            let got = s3.get_object().bucket("daily").key(&key).send().await.unwrap();
            assert_eq!(read(got.body).await, won[0], "what is there is what the winner wrote");
        }
    })
    .await;
}

#[tokio::test]
async fn conditions() {
    with_bucket(|s3| async move {
        let put = |body: &'static [u8]| s3.put_object().bucket("daily").key("k").body(Bytes::from_static(body).into());
        let first = put(b"1").send().await.unwrap().e_tag.unwrap();
        assert_eq!(refusal(put(b"2").if_none_match("*").send().await.unwrap_err()).0, 412);
        let second = put(b"2").if_match(&first).send().await.unwrap().e_tag.unwrap();
        assert_eq!(refusal(put(b"3").if_match(&first).send().await.unwrap_err()), (412, "PreconditionFailed".into()));
        let absent = s3.put_object().bucket("daily").key("absent").if_match(&first).send().await.unwrap_err();
        assert_eq!(refusal(absent), (404, "NoSuchKey".into()));
        let get = || s3.get_object().bucket("daily").key("k");
        assert_eq!(read(get().if_match(&second).send().await.unwrap().body).await, "2");
        assert_eq!(refusal(get().if_match(&first).send().await.unwrap_err()).0, 412);
        assert_eq!(refusal(get().if_none_match(&second).send().await.unwrap_err()).0, 304);
        let delete = s3.delete_object().bucket("daily").key("k").if_match(&first).send().await.unwrap_err();
        assert_eq!(refusal(delete), (412, "PreconditionFailed".into()));
        s3.delete_object().bucket("daily").key("k").if_match(&second).send().await.unwrap();
        assert_eq!(refusal(get().send().await.unwrap_err()).0, 404);
    })
    .await;
}

#[tokio::test]
async fn presigned_urls() {
    with_bucket(|s3| async move {
        let hour = || PresigningConfig::expires_in(Duration::from_secs(3600)).unwrap();
        let put = s3.put_object().bucket("daily").key("dir/ü +%").presigned(hour()).await.unwrap();
        let answer = cairn_harness::s3::unsigned("PUT", put.uri(), Bytes::from_static(b"by url")).await;
        answer.ok();
        let get = s3.get_object().bucket("daily").key("dir/ü +%").presigned(hour()).await.unwrap();
        assert_eq!(cairn_harness::s3::unsigned("GET", get.uri(), Bytes::new()).await.ok(), "by url");
        for (method, url) in [("GET", get.uri().replace("dir", "die")), ("DELETE", get.uri().to_owned())] {
            assert_eq!(
                cairn_harness::s3::unsigned(method, &url, Bytes::new()).await.status(),
                Some(403),
                "{method} {url}"
            );
        }
    })
    .await;
}

#[tokio::test]
async fn checksums() {
    with_bucket(|s3| async move {
        let body = Bytes::from_static(b"summed");
        for kind in [
            ChecksumAlgorithm::Crc32,
            ChecksumAlgorithm::Crc32C,
            ChecksumAlgorithm::Crc64Nvme,
            ChecksumAlgorithm::Sha1,
            ChecksumAlgorithm::Sha256,
        ] {
            let put =
                s3.put_object().bucket("daily").key("k").checksum_algorithm(kind.clone()).body(body.clone().into());
            let put = put.send().await.unwrap();
            // The SDK compares what it gets with the checksum that comes with it.
            let get =
                s3.get_object().bucket("daily").key("k").checksum_mode(ChecksumMode::Enabled).send().await.unwrap();
            let found = [
                (put.checksum_crc32(), get.checksum_crc32()),
                (put.checksum_crc32_c(), get.checksum_crc32_c()),
                (put.checksum_crc64_nvme(), get.checksum_crc64_nvme()),
                (put.checksum_sha1(), get.checksum_sha1()),
                (put.checksum_sha256(), get.checksum_sha256()),
            ];
            let given: Vec<_> = found.iter().filter(|(_, got)| got.is_some()).collect();
            assert!(given.len() == 1 && given[0].0 == given[0].1, "{kind}: {found:?}");
            assert_eq!(read(get.body).await, body);
        }
        let wrong = s3.put_object().bucket("daily").key("k").checksum_crc32("AAAAAA==").body(body.into());
        assert_eq!(refusal(wrong.send().await.unwrap_err()), (400, "BadDigest".into()));
    })
    .await;
}

#[tokio::test]
async fn a_multipart_upload() {
    with_bucket(|s3| async move {
        let mut generator = Seed::take("the Rust SDK's multipart upload").generator();
        let upload =
            s3.create_multipart_upload().bucket("daily").key("parts").metadata("colour", "blue").send().await.unwrap();
        let id = upload.upload_id().unwrap();
        let bodies = [
            seed::bytes(&mut generator, 5 * MIB),
            seed::bytes(&mut generator, 6 * MIB + 1),
            seed::bytes(&mut generator, 9),
        ];
        let mut parts = Vec::new();
        let mut tags = Md5::new();
        // Numbers with gaps, sent in another order.
        for (number, body) in [(7, &bodies[2]), (2, &bodies[0]), (5, &bodies[1])] {
            let part = s3
                .upload_part()
                .bucket("daily")
                .key("parts")
                .upload_id(id)
                .part_number(number)
                .body(body.clone().into());
            let sent = part.send().await.unwrap();
            assert_eq!(sent.e_tag(), Some(etag(body).as_str()));
            parts.push(
                CompletedPart::builder()
                    .part_number(number)
                    .set_e_tag(sent.e_tag)
                    .set_checksum_crc32(sent.checksum_crc32)
                    .build(),
            );
        }
        for body in &bodies {
            tags.update(Md5::digest(body));
        }
        let listed = s3.list_parts().bucket("daily").key("parts").upload_id(id).send().await.unwrap();
        let sizes: Vec<_> =
            listed.parts().iter().map(|part| (part.part_number().unwrap(), part.size().unwrap())).collect();
        assert_eq!(sizes, [(2, 5 * MIB as i64), (5, 6 * MIB as i64 + 1), (7, 9)]);
        let uploads = s3.list_multipart_uploads().bucket("daily").send().await.unwrap();
        assert_eq!(uploads.uploads().iter().map(|upload| upload.key().unwrap()).collect::<Vec<_>>(), ["parts"]);
        let complete = |parts: Vec<CompletedPart>| {
            let parts = CompletedMultipartUpload::builder().set_parts(Some(parts)).build();
            s3.complete_multipart_upload().bucket("daily").key("parts").upload_id(id).multipart_upload(parts).send()
        };
        let disorder = complete(parts.clone()).await.unwrap_err();
        assert_eq!(refusal(disorder), (400, "InvalidPartOrder".into()));
        parts.sort_by_key(|part| part.part_number());
        let done = complete(parts).await.unwrap();
        assert_eq!(done.e_tag(), Some(format!("\"{}-3\"", hex::encode(tags.finalize())).as_str()));
        let got = s3.get_object().bucket("daily").key("parts").send().await.unwrap();
        assert_eq!(got.metadata().unwrap()["colour"], "blue");
        assert!(read(got.body).await == bodies.concat());
        let part = s3.get_object().bucket("daily").key("parts").part_number(5).send().await.unwrap();
        assert_eq!(part.parts_count(), Some(3));
        assert!(read(part.body).await == bodies[1], "a part keeps the number under which it was sent");
        let gone = s3.list_parts().bucket("daily").key("parts").upload_id(id).send().await.unwrap_err();
        assert_eq!(refusal(gone), (404, "NoSuchUpload".into()));

        let upload = s3.create_multipart_upload().bucket("daily").key("aborted").send().await.unwrap();
        let id = upload.upload_id().unwrap();
        let part =
            s3.upload_part().bucket("daily").key("aborted").upload_id(id).part_number(1).body(bodies[2].clone().into());
        part.send().await.unwrap();
        s3.abort_multipart_upload().bucket("daily").key("aborted").upload_id(id).send().await.unwrap();
        assert!(s3.list_multipart_uploads().bucket("daily").send().await.unwrap().uploads().is_empty());
        assert_eq!(refusal(s3.get_object().bucket("daily").key("aborted").send().await.unwrap_err()).0, 404);
    })
    .await;
}

#[tokio::test]
async fn copies_and_versions() {
    with_bucket(|s3| async move {
        let on = VersioningConfiguration::builder().status(BucketVersioningStatus::Enabled).build();
        s3.put_bucket_versioning().bucket("daily").versioning_configuration(on).send().await.unwrap();
        let mut versions = Vec::new();
        for body in ["one", "two"] {
            let put = s3.put_object().bucket("daily").key("k").metadata("body", body).body(Bytes::from(body).into());
            versions.push(put.send().await.unwrap().version_id.unwrap());
        }
        let marker = s3.delete_object().bucket("daily").key("k").send().await.unwrap();
        assert_eq!(marker.delete_marker(), Some(true));
        assert_eq!(
            refusal(s3.get_object().bucket("daily").key("k").send().await.unwrap_err()),
            (404, "NoSuchKey".into())
        );
        let source = format!("daily/k?versionId={}", versions[0]);
        let copied = s3.copy_object().bucket("daily").key("copy").copy_source(&source).send().await.unwrap();
        assert_eq!(copied.copy_source_version_id(), Some(versions[0].as_str()));
        let got = s3.get_object().bucket("daily").key("copy").send().await.unwrap();
        assert_eq!(got.metadata().unwrap()["body"], "one");
        assert_eq!(read(got.body).await, "one");
        let copy =
            s3.copy_object().bucket("daily").key("copy").copy_source(format!("daily/k?versionId={}", versions[1]));
        copy.metadata_directive(MetadataDirective::Replace).metadata("new", "yes").send().await.unwrap();
        let head = s3.head_object().bucket("daily").key("copy").send().await.unwrap();
        assert_eq!(head.metadata().unwrap().get("new").map(String::as_str), Some("yes"));
        assert_eq!(head.metadata().unwrap().get("body"), None);
        let listed = s3.list_object_versions().bucket("daily").prefix("k").send().await.unwrap();
        let found: Vec<_> = listed.versions().iter().map(|version| version.version_id().unwrap()).collect();
        assert_eq!(found, [versions[1].as_str(), versions[0].as_str()], "the newest stands first");
        assert_eq!(listed.delete_markers()[0].version_id(), marker.version_id());
        s3.delete_object().bucket("daily").key("k").version_id(marker.version_id().unwrap()).send().await.unwrap();
        assert_eq!(read(s3.get_object().bucket("daily").key("k").send().await.unwrap().body).await, "two");
    })
    .await;
}

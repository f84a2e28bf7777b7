//! Uploads that are begun, listed, filled, completed and aborted.

use cairn_core::units::MIB;
use cairn_erasure::testing::bytes_of;
use cairn_machine::{Operation, Table};

use super::{PART, Upload, range, same, server, server_of_short_extents, tag, tag_of_parts};

#[tokio::test(flavor = "multi_thread")]
async fn an_object_comes_in_parts_in_any_order() {
    let server = server().await;
    let http = &server.http;
    let begin = http
        .ask("POST", "/bucket/a/key?uploads=")
        .header("content-type", "text/bla")
        .header("cache-control", "no-cache")
        .header("x-amz-meta-colour", "green")
        .header("x-amz-tagging", "a=1&b=2");
    let upload = Upload::begun(http, "/bucket/a/key", begin).await;
    let bodies = [bytes_of(1, PART), bytes_of(2, PART + 1), bytes_of(3, 10)];
    let (first, second, third) = tokio::join!(
        upload.part(7, bodies[1].clone()),
        upload.part(10_000, bodies[2].clone()),
        upload.part(2, bodies[0].clone())
    );
    for (answer, body) in [(&first, &bodies[1]), (&second, &bodies[2]), (&third, &bodies[0])] {
        assert_eq!((answer.status.as_u16(), answer.header("etag")), (200, tag(body).as_str()), "{answer:?}");
    }
    http.get("/bucket/a/key").await.refused(404, "NoSuchKey");
    assert!(http.get("/bucket?list-type=2").await.ok().all("Key").is_empty());
    let listed = upload.list("").await.ok();
    let owner = http.get("/").await.ok().xml("ID").unwrap();
    assert!(listed.xml("Initiator").unwrap().contains(&format!("<ID>{owner}</ID>")));
    assert_eq!(listed.all("PartNumber"), ["2", "7", "10000"]);
    assert_eq!(listed.all("Size"), [PART.to_string(), (PART + 1).to_string(), "10".to_owned()]);
    assert_eq!(listed.all("ETag"), [tag(&bodies[0]), tag(&bodies[1]), tag(&bodies[2])]);
    let parts = [(2, tag(&bodies[0])), (7, tag(&bodies[1])), (10_000, tag(&bodies[2]))];
    let completed = upload.complete(&parts).await.ok();
    let expected = tag_of_parts(bodies.iter().map(|body| &body[..]));
    assert_eq!(completed.xml("ETag"), Some(expected.clone()));
    assert_eq!(completed.xml("Location"), Some(format!("http://{}/bucket/a/key", http.host)));
    let whole = [&bodies[0][..], &bodies[1], &bodies[2]].concat();
    let got = http.get("/bucket/a/key").await;
    same(&got, &whole);
    for (header, value) in [
        ("etag", expected.as_str()),
        ("content-type", "text/bla"),
        ("cache-control", "no-cache"),
        ("x-amz-meta-colour", "green"),
        ("x-amz-tagging-count", "2"),
    ] {
        assert_eq!(got.header(header), value);
    }
    for (from, to) in
        [(PART - 1, PART + 1), (2 * PART - 5, whole.len()), (0, 1), (2 * PART, 2 * PART + 2), (1, 2 * PART + 3)]
    {
        same(&range(http, "/bucket/a/key", from, to).await, &whole[from..to]);
    }
    for (number, body) in [(2, &bodies[0]), (7, &bodies[1]), (10_000, &bodies[2])] {
        let part = http.get(&format!("/bucket/a/key?partNumber={number}")).await;
        same(&part, body);
        assert_eq!((part.status.as_u16(), part.header("x-amz-mp-parts-count")), (206, "3"));
    }
    http.get("/bucket/a/key?partNumber=3").await.refused(416, "InvalidPartNumber");
    let again = upload.complete(&parts).await.ok();
    assert_eq!((again.xml("ETag"), again.xml("Key").as_deref()), (Some(expected), Some("a/key")));
    upload.list("").await.refused(404, "NoSuchUpload");
    upload.part(1, "x").await.refused(404, "NoSuchUpload");
    http.put("/bucket/a/key", "another").await.ok();
    upload.complete(&parts).await.refused(404, "NoSuchUpload");
    server.check();
    http.delete("/bucket/a/key").await.ok();
    server.check();
}

#[tokio::test(flavor = "multi_thread")]
async fn long_parts_have_manifests_and_short_ones_share_stripes() {
    let server = server_of_short_extents().await;
    let http = &server.http;
    let upload = Upload::begin(http, "/bucket/k").await;
    // Over a page of 32 extents, over a row of 8, in one row, packed, and nothing at all.
    let bodies: Vec<_> =
        [40, 9, 5].into_iter().zip(1..).map(|(mib, seed)| bytes_of(seed, mib * MIB as usize)).collect();
    let mut parts = Vec::new();
    for (body, number) in bodies.iter().zip(1..) {
        parts.push((number, upload.part(number, body.clone()).await.ok().header("etag").to_owned()));
    }
    let last = bytes_of(9, 700_000);
    parts.push((4, upload.part(4, last.clone()).await.ok().header("etag").to_owned()));
    upload.part(5, "").await.ok();
    upload.complete(&parts).await.ok();
    let whole = [&bodies[0][..], &bodies[1], &bodies[2], &last].concat();
    same(&http.get("/bucket/k").await, &whole);
    for at in [MIB as usize, 32 << 20, 40 << 20, 49 << 20, 54 << 20] {
        same(&range(http, "/bucket/k", at - 3, at + 3).await, &whole[at - 3..at + 3]);
    }
    same(&range(http, "/bucket/k", 39 << 20, 50 << 20).await, &whole[39 << 20..50 << 20]);
    server.check();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_part_is_put_again_and_the_last_one_counts() {
    let server = server_of_short_extents().await;
    let upload = Upload::begin(&server.http, "/bucket/k").await;
    for seed in 1..=3 {
        upload.part(1, bytes_of(seed, 10 << 20)).await.ok();
        server.check();
    }
    let listed = upload.list("").await.ok();
    assert_eq!(listed.all("ETag"), [tag(&bytes_of(3, 10 << 20))]);
    upload.complete(&[(1, tag(&bytes_of(1, 10 << 20)))]).await.refused(400, "InvalidPart");
    upload.complete(&[(1, tag(&bytes_of(3, 10 << 20)))]).await.ok();
    same(&server.http.get("/bucket/k").await, &bytes_of(3, 10 << 20));
    server.check();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_aborted_upload_is_gone() {
    let server = server().await;
    let http = &server.http;
    let upload = Upload::begin(http, "/bucket/k").await;
    let other = Upload::begin(http, "/bucket/k").await;
    let part = upload.part(1, "part").await.ok().header("etag").to_owned();
    other.part(1, "other").await.ok();
    let aborted = upload.abort().await;
    assert_eq!(aborted.status.as_u16(), 204);
    upload.abort().await.refused(404, "NoSuchUpload");
    upload.list("").await.refused(404, "NoSuchUpload");
    upload.part(2, "late").await.refused(404, "NoSuchUpload");
    upload.complete(&[(1, part)]).await.refused(404, "NoSuchUpload");
    let listed = http.get("/bucket?uploads=").await.ok();
    assert_eq!(listed.all("UploadId"), std::slice::from_ref(&other.id));
    other.complete(&[(1, tag(b"other"))]).await.ok();
    same(&http.get("/bucket/k").await, b"other");
    for (key, id) in [("k", "made-up"), ("other", &upload.id), ("k", "00000000000000ff0000")] {
        let named = Upload { target: format!("/bucket/{key}"), id: id.to_owned(), http: http.clone() };
        named.abort().await.refused(404, "NoSuchUpload");
        named.part(1, "x").await.refused(404, "NoSuchUpload");
        named.complete(&[(1, tag(b"x"))]).await.refused(404, "NoSuchUpload");
    }
    let nowhere = Upload { target: "/nobody/k".into(), ..upload };
    nowhere.part(1, "x").await.refused(404, "NoSuchBucket");
    http.ask("POST", "/nobody/k?uploads=").send().await.refused(404, "NoSuchBucket");
    http.get("/nobody?uploads=").await.refused(404, "NoSuchBucket");
    server.check();
}

#[tokio::test(flavor = "multi_thread")]
async fn parts_are_listed_in_pages() {
    let server = server().await;
    let upload = Upload::begin(&server.http, "/bucket/k").await;
    for number in [1, 2, 5, 9, 10_000] {
        upload.part(number, format!("part {number}")).await.ok();
    }
    let mut seen = Vec::new();
    let mut marker = "0".to_owned();
    loop {
        let page = upload.list(&format!("max-parts=2&part-number-marker={marker}")).await.ok();
        assert_eq!((page.xml("MaxParts").as_deref(), page.xml("PartNumberMarker")), (Some("2"), Some(marker)));
        seen.extend(page.all("PartNumber"));
        marker = page.xml("NextPartNumberMarker").unwrap();
        if page.xml("IsTruncated").unwrap() == "false" {
            break;
        }
    }
    assert_eq!(seen, ["1", "2", "5", "9", "10000"]);
    assert!(upload.list("part-number-marker=10000").await.ok().all("PartNumber").is_empty());
    assert!(upload.list("part-number-marker=2147483647").await.ok().all("PartNumber").is_empty());
    let none = upload.list("max-parts=0").await.ok();
    assert_eq!((none.all("PartNumber").len(), none.xml("IsTruncated").as_deref()), (0, Some("false")));
    upload.list("max-parts=-1").await.refused(400, "InvalidArgument");
    upload.list("part-number-marker=-1").await.refused(400, "InvalidArgument");
    upload.list("max-parts=many").await.refused(400, "InvalidArgument");
}

#[tokio::test(flavor = "multi_thread")]
async fn uploads_are_listed_in_pages() {
    let server = server().await;
    let http = &server.http;
    let mut begun = Vec::new();
    for key in ["a", "a", "b/1", "b/2", "c", "d%20d"] {
        begun.push((key.to_owned(), begin(http, key).await));
    }
    let all = http.get("/bucket?uploads=").await.ok();
    let found: Vec<_> = all.all("Key").into_iter().zip(all.all("UploadId")).collect();
    let mut expected = begun.clone();
    expected.iter_mut().for_each(|(key, _)| *key = key.replace("%20", " "));
    assert_eq!(found, expected);
    assert_eq!(all.all("StorageClass"), ["STANDARD"; 6]);
    let (mut seen, mut query) = (Vec::new(), String::new());
    loop {
        let page = http.get(&format!("/bucket?delimiter=%2F&max-uploads=1{query}&uploads=")).await.ok();
        seen.extend(page.all("UploadId"));
        seen.extend(page.all("CommonPrefixes"));
        if page.xml("IsTruncated").unwrap() == "false" {
            break;
        }
        let id = page.xml("NextUploadIdMarker").unwrap_or_default();
        query = format!("&key-marker={}&upload-id-marker={id}", page.xml("NextKeyMarker").unwrap().replace('/', "%2F"));
    }
    let ids: Vec<_> = begun.iter().map(|(_, id)| id.clone()).collect();
    let prefix = "<Prefix>b/</Prefix>".to_owned();
    assert_eq!(seen, [&ids[0], &ids[1], &prefix, &ids[4], &ids[5]].map(String::clone));
    let behind = http.get("/bucket?key-marker=a&uploads=").await.ok();
    assert_eq!(behind.all("UploadId"), ids[2..], "behind all uploads of the key");
    let below = http.get("/bucket?encoding-type=url&prefix=d&uploads=").await.ok();
    assert_eq!((below.all("Key"), below.xml("EncodingType").as_deref()), (vec!["d%20d".to_owned()], Some("url")));
    http.get("/bucket?key-marker=a&upload-id-marker=made-up&uploads=").await.refused(400, "InvalidArgument");
    http.get("/bucket?max-uploads=-1&uploads=").await.refused(400, "InvalidArgument");
}

async fn begin(http: &crate::support::client::Http, key: &str) -> String {
    http.ask("POST", &format!("/bucket/{key}?uploads=")).send().await.ok().xml("UploadId").unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_part_that_breaks_off_leaves_nothing() {
    use tokio::io::AsyncWriteExt;
    let server = server_of_short_extents().await;
    let upload = Upload::begin(&server.http, "/bucket/k").await;
    let body = bytes_of(1, 60 << 20);
    let (request, _) = upload.ask("PUT", "partNumber=1").payload("UNSIGNED-PAYLOAD").signed();
    let request = request.body(()).unwrap();
    let target = request.uri().path_and_query().unwrap();
    let mut head = format!("PUT {target} HTTP/1.1\r\ncontent-length: {}\r\n", body.len());
    for (name, value) in request.headers() {
        head.push_str(&format!("{name}: {}\r\n", value.to_str().unwrap()));
    }
    let mut connection = tokio::net::TcpStream::connect(server.address).await.unwrap();
    connection.write_all(format!("{head}\r\n").as_bytes()).await.unwrap();
    connection.write_all(&body[..50 << 20]).await.unwrap();
    drop(connection);
    // A page had been committed: the manifest is given up, and says so.
    let given_up = async {
        while server.count(Table::Retirement) == 0 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(10), given_up).await.unwrap();
    assert!(upload.list("").await.ok().all("PartNumber").is_empty());
    upload.part(1, "again").await.ok();
    upload.complete(&[(1, tag(b"again"))]).await.ok();
    same(&server.http.get("/bucket/k").await, b"again");
    server.check();
}

/// A gateway that starts again, or whose session the log has ended, goes on with what others have begun.
#[tokio::test(flavor = "multi_thread")]
async fn an_upload_outlives_the_session_that_began_it() {
    let server = server_of_short_extents().await;
    let upload = Upload::begin(&server.http, "/bucket/k").await;
    let bodies = [bytes_of(1, 12 << 20), bytes_of(2, 10 << 20)];
    upload.part(1, bodies[0].clone()).await.ok();
    let id = server.metadata.session();
    let ended = server.metadata.propose(vec![Operation::EndSession { id, last_renewal: None }]).await;
    ended.unwrap();
    let put = async {
        // What was written under the old session is refused, and whole again when it is repeated.
        while let answer = upload.part(2, bodies[1].clone()).await
            && !answer.status.is_success()
        {
            answer.refused(503, "SlowDown");
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(10), put).await.unwrap();
    assert_ne!(server.metadata.session(), id);
    upload.complete(&[(1, tag(&bodies[0])), (2, tag(&bodies[1]))]).await.ok();
    same(&server.http.get("/bucket/k").await, &bodies.concat());
    server.check();
}

#[tokio::test(flavor = "multi_thread")]
async fn parts_that_are_not_what_was_promised_are_refused() {
    let server = server().await;
    let upload = Upload::begin(&server.http, "/bucket/k").await;
    for number in ["0", "10001", "-1", "x", ""] {
        let answer = upload.ask("PUT", &format!("partNumber={number}")).body("x").send().await;
        answer.refused(400, "InvalidArgument");
    }
    let part = || upload.ask("PUT", "partNumber=1").body("body");
    part().header("content-md5", "rL0Y20zC+Fzt72VPzMSk2A==").send().await.refused(400, "BadDigest");
    part().header("x-amz-checksum-crc32", "AAAAAA==").send().await.refused(400, "BadDigest");
    part().header("x-amz-meta-late", "x").send().await.refused(501, "NotImplemented");
    part().header("x-amz-storage-class", "STANDARD").send().await.refused(501, "NotImplemented");
    part().anonymous().send().await.refused(403, "AccessDenied");
    assert!(upload.list("").await.ok().all("PartNumber").is_empty());
    server.http.ask("PUT", "/bucket/k?partNumber=1").body("x").send().await.refused(501, "NotImplemented");
    server.http.get("/bucket/k").await.refused(404, "NoSuchKey");
}

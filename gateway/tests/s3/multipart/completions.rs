//! Completions that are right, wrong, conditional and long.

use cairn_erasure::testing::bytes_of;
use cairn_machine::Table;

use super::{PART, Upload, range, same, server, tag};

#[tokio::test(flavor = "multi_thread")]
async fn what_does_not_fit_the_parts_is_refused() {
    let server = server().await;
    let http = &server.http;
    let upload = Upload::begin(http, "/bucket/k").await;
    let large = bytes_of(1, PART);
    for (number, body) in [(1, large.clone()), (2, "small".into()), (3, large.clone())] {
        upload.part(number, body).await.ok();
    }
    let (large, small, wrong) = (tag(&large), tag(b"small"), tag(b"other"));
    let named =
        |parts: &[(u16, &String)]| parts.iter().map(|(number, tag)| (*number, (*tag).clone())).collect::<Vec<_>>();
    for (parts, code) in [
        (named(&[]), "MalformedXML"),
        (named(&[(3, &large), (1, &large)]), "InvalidPartOrder"),
        (named(&[(1, &large), (1, &wrong)]), "InvalidPart"),
        (named(&[(1, &wrong)]), "InvalidPart"),
        (named(&[(4, &large)]), "InvalidPart"),
        (named(&[(1, &large), (9_999, &large)]), "InvalidPart"),
        (named(&[(1, &large), (2, &small), (3, &large)]), "EntityTooSmall"),
        (named(&[(2, &small), (3, &large)]), "EntityTooSmall"),
        (named(&[(10_001, &small)]), "InvalidArgument"),
        (vec![(1, "made up".to_owned())], "InvalidPart"),
        (vec![(1, large.replace('"', "") + "-1")], "InvalidPart"),
    ] {
        upload.complete(&parts).await.refused(400, code);
    }
    for xml in ["", "<CompleteMultipartUpload/>", "<Other/>", "not xml", "<CompleteMultipartUpload><Part>"] {
        upload.ask("POST", "").body(xml).send().await.refused(400, "MalformedXML");
    }
    let right = named(&[(1, &wrong), (1, &large), (2, &small)]);
    let sized = |size: &str| upload.completing(&right).header("x-amz-mp-object-size", size);
    sized("5").send().await.refused(400, "InvalidRequest");
    sized("-5").send().await.refused(400, "InvalidArgument");
    http.get("/bucket/k").await.refused(404, "NoSuchKey");
    server.check();
    // Some of the parts, tags without quotes.
    let bare: Vec<_> = right.iter().map(|(number, tag)| (*number, tag.replace('"', ""))).collect();
    upload.completing(&bare).header("x-amz-mp-object-size", &(PART + 5).to_string()).send().await.ok();
    same(&http.get("/bucket/k").await, &[&bytes_of(1, PART)[..], b"small"].concat());
    server.check();
    let empty = Upload::begin(http, "/bucket/empty").await;
    empty.part(1, "").await.ok();
    empty.complete(&[(1, tag(b""))]).await.ok();
    let got = http.get("/bucket/empty").await;
    same(&got, b"");
    assert!(got.header("etag").ends_with("-1\""));
    server.check();
}

#[tokio::test(flavor = "multi_thread")]
async fn conditions_are_judged_when_the_version_is_made() {
    let server = server().await;
    let http = &server.http;
    let old = http.put("/bucket/k", "old").await.ok().header("etag").to_owned();
    let upload = Upload::begin(http, "/bucket/k").await;
    upload.part(1, "new").await.ok();
    let parts = [(1, tag(b"new"))];
    let with = |name: &str, value: &str| upload.completing(&parts).header(name, value);
    with("if-none-match", "*").send().await.refused(412, "PreconditionFailed");
    with("if-match", &tag(b"other")).send().await.refused(412, "PreconditionFailed");
    same(&http.get("/bucket/k").await, b"old");
    assert_eq!(upload.list("").await.ok().all("PartNumber"), ["1"], "the upload is as it was");
    http.delete("/bucket/k").await.ok();
    with("if-match", &old).send().await.refused(404, "NoSuchKey");
    http.put("/bucket/k", "old").await.ok();
    with("if-match", &old).send().await.ok();
    same(&http.get("/bucket/k").await, b"new");
    // The attempts that came to nothing left nothing that waits for them.
    let given_up = async {
        while server.count(Table::Retirement) < 3 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(10), given_up).await.unwrap();
    server.check();
}

/// Parts by the hundreds take several pages and several entries of the log.
#[tokio::test(flavor = "multi_thread")]
async fn hundreds_of_parts_are_one_object() {
    const PARTS: u16 = 600;
    let server = server().await;
    let http = &server.http;
    let sources = [bytes_of(1, PART), bytes_of(2, PART + 13)];
    for (source, name) in sources.iter().zip(["one", "two"]) {
        http.put(&format!("/bucket/{name}"), source.clone()).await.ok();
    }
    let upload = Upload::begin(http, "/bucket/k").await;
    let which = |number: u16| usize::from(number.is_multiple_of(3));
    let mut parts = Vec::new();
    // Numbers with gaps, so that a page of numbers and a page of parts are not the same.
    for number in (1..=PARTS).map(|number| 7 * number) {
        let name = ["one", "two"][which(number)];
        let copied = upload.copy(number, &format!("/bucket/{name}"), None).await.ok();
        parts.push((number, copied.xml("ETag").unwrap()));
        assert_eq!(parts.last().unwrap().1, tag(&sources[which(number)]));
    }
    upload.complete(&parts).await.ok();
    let mut offsets = vec![0];
    for (number, _) in &parts {
        offsets.push(offsets.last().unwrap() + sources[which(*number)].len());
    }
    let head = http.ask("HEAD", "/bucket/k").send().await.ok();
    assert_eq!(head.header("content-length"), offsets.last().unwrap().to_string());
    assert!(head.header("etag").ends_with("-600\""));
    for at in [1, 63, 64, 65, 256, 257, 599] {
        let (before, behind) = (which(parts[at - 1].0), which(parts[at].0));
        let got = range(http, "/bucket/k", offsets[at] - 50, offsets[at] + 50).await;
        same(&got, &[&sources[before][sources[before].len() - 50..], &sources[behind][..50]].concat());
    }
    server.check();
}

#[tokio::test(flavor = "multi_thread")]
async fn versions_are_kept_and_named() {
    let server = server().await;
    let http = &server.http;
    let enabled = "<VersioningConfiguration><Status>Enabled</Status></VersioningConfiguration>";
    http.put("/bucket?versioning=", enabled).await.ok();
    let mut ids = Vec::new();
    for body in ["one", "two"] {
        let upload = Upload::begin(http, "/bucket/k").await;
        upload.part(1, body).await.ok();
        let parts = [(1, tag(body.as_bytes()))];
        let id = upload.complete(&parts).await.ok().header("x-amz-version-id").to_owned();
        assert_eq!(upload.complete(&parts).await.ok().header("x-amz-version-id"), id);
        ids.push(id);
    }
    for (id, body) in ids.iter().zip(["one", "two"]) {
        same(&http.get(&format!("/bucket/k?versionId={id}")).await, body.as_bytes());
    }
    http.delete(&format!("/bucket/k?versionId={}", ids[1])).await.ok();
    same(&http.get("/bucket/k").await, b"one");
    server.check();
}

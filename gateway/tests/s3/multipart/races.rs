//! Many at once: completions, parts that are put again, sources that change.

use cairn_erasure::testing::bytes_of;
use futures::future::join_all;

use super::{PART, Upload, same, server, tag};

#[tokio::test(flavor = "multi_thread")]
async fn of_many_completions_there_is_one_version() {
    let server = server().await;
    let http = &server.http;
    let enabled = "<VersioningConfiguration><Status>Enabled</Status></VersioningConfiguration>";
    http.put("/bucket?versioning=", enabled).await.ok();
    let upload = Upload::begin(http, "/bucket/k").await;
    let body = bytes_of(1, PART);
    upload.part(1, body.clone()).await.ok();
    upload.part(2, "end").await.ok();
    let parts = [(1, tag(&body)), (2, tag(b"end"))];
    let answers = join_all((0..32).map(|_| upload.complete(&parts))).await;
    let ids: Vec<_> = answers.into_iter().map(|answer| answer.ok().header("x-amz-version-id").to_owned()).collect();
    assert!(ids.iter().all(|id| *id == ids[0]), "{ids:?}");
    assert_eq!(http.get("/bucket?versions=").await.ok().all("VersionId"), [ids[0].clone()]);
    same(&http.get("/bucket/k").await, &[&body[..], b"end"].concat());
    server.check();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_part_that_is_put_while_completing_is_in_whole_or_not_at_all() {
    let server = server().await;
    for round in 0..20 {
        let upload = Upload::begin(&server.http, &format!("/bucket/{round}")).await;
        let (old, new) = (bytes_of(1, 100_000), bytes_of(2, 100_001));
        upload.part(1, old.clone()).await.ok();
        let parts = [(1, tag(&old))];
        let (put, completed) = tokio::join!(upload.part(1, new.clone()), upload.complete(&parts));
        match completed.status.as_u16() {
            200 => same(&server.http.get(&upload.target).await, &old),
            _ => {
                completed.refused(400, "InvalidPart");
                put.ok();
                upload.complete(&[(1, tag(&new))]).await.ok();
                same(&server.http.get(&upload.target).await, &new);
            }
        }
    }
    // The same bytes again are another part, and the same object.
    for round in 0..20 {
        let upload = Upload::begin(&server.http, &format!("/bucket/same-{round}")).await;
        upload.part(1, "same").await.ok();
        let parts = [(1, tag(b"same"))];
        let (_, completed) = tokio::join!(upload.part(1, "same"), upload.complete(&parts));
        completed.ok();
    }
    server.check();
}

#[tokio::test(flavor = "multi_thread")]
async fn completing_and_aborting_are_one_or_the_other() {
    let server = server().await;
    for round in 0..20 {
        let upload = Upload::begin(&server.http, &format!("/bucket/{round}")).await;
        upload.part(1, "part").await.ok();
        let parts = [(1, tag(b"part"))];
        let (aborted, completed) = tokio::join!(upload.abort(), upload.complete(&parts));
        match aborted.status.as_u16() {
            204 => {
                completed.refused(404, "NoSuchUpload");
                server.http.get(&upload.target).await.refused(404, "NoSuchKey");
            }
            _ => {
                aborted.refused(404, "NoSuchUpload");
                completed.ok();
                same(&server.http.get(&upload.target).await, b"part");
            }
        }
    }
    server.check();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_source_that_changes_is_looked_at_again() {
    let server = server().await;
    let upload = Upload::begin(&server.http, "/bucket/k").await;
    let bodies = [bytes_of(1, 200_000), bytes_of(2, 200_000)];
    server.http.put("/bucket/source", bodies[0].clone()).await.ok();
    for round in 0..20 {
        let put = server.http.put("/bucket/source", bodies[round % 2].clone());
        let (put, copied) = tokio::join!(put, upload.copy(1, "/bucket/source", Some((0, 99_999))));
        put.ok();
        let etag = copied.ok().xml("ETag").unwrap();
        assert!(bodies.iter().any(|body| tag(&body[..100_000]) == etag), "a mixture");
    }
    server.check();
}

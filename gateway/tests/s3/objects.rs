//! Objects over HTTP: what is put is what is got, whatever its size, its way in, and the drives that fail meanwhile.

use crate::support::Server;
use std::time::Duration;

use bytes::Bytes;
use cairn_core::units::{KIB, MIB};
use cairn_core::{ChunkStore, DriveId};
use cairn_erasure::testing::{DriveFault, bytes_of};
use cairn_gateway::GatewayConfig;
use cairn_machine::rows::topology::{DriveLedgerRow, DriveState};
use cairn_machine::{Operation, Outcome, Row, Table};
use http_body_util::{BodyExt, StreamBody};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use md5::{Digest, Md5};

fn tag(bytes: &[u8]) -> String {
    format!("\"{}\"", hex::encode(Md5::digest(bytes)))
}

fn count(server: &Server, table: Table) -> usize {
    server.count(table)
}

async fn bucket(config: GatewayConfig) -> Server {
    let server = Server::with(6, config).await;
    server.http.put("/bucket", "").await.ok();
    server
}

fn small_memory() -> GatewayConfig {
    GatewayConfig { memory_bytes_max: 64 * MIB, ..GatewayConfig::default() }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_size_comes_back_equal() {
    let server = bucket(small_memory()).await;
    for size in [0, 1, 100, 4096, 64 * KIB - 1, 64 * KIB, 64 * KIB + 1, MIB - 1, MIB, MIB + 1, 5 * MIB + 7, 17 * MIB] {
        let body = bytes_of(size, size as usize);
        let path = format!("/bucket/of/{size}");
        let put = server.http.put(&path, body.clone()).await.ok();
        assert_eq!(put.header("etag"), tag(&body));
        let got = server.http.get(&path).await.ok();
        assert!(got.body == body, "{size} bytes");
        assert_eq!(got.header("etag"), tag(&body));
        assert_eq!(got.header("content-length"), size.to_string());
        assert_eq!(got.header("content-type"), "binary/octet-stream");
        let head = server.http.ask("HEAD", &path).send().await.ok();
        assert_eq!(head.header("content-length"), size.to_string());
        assert!(head.body.is_empty());
    }
    assert_eq!(count(&server, Table::Manifest), 0, "these are short enough for their own rows");
    server.check();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_long_object_has_a_manifest_and_comes_back_equal() {
    let config = GatewayConfig { extent_bytes_max: MIB, ..small_memory() };
    let server = bucket(config).await;
    let body = bytes_of(1, (70 * MIB + 1234) as usize);
    server.http.put("/bucket/long", body.clone()).await.ok();
    assert_eq!((count(&server, Table::Manifest), count(&server, Table::ManifestPage)), (1, 3));
    let got = server.http.get("/bucket/long").await.ok();
    assert!(got.body == body);
    for range in [0..10, MIB - 1..MIB + 1, 31 * MIB..34 * MIB + 5, 70 * MIB..70 * MIB + 1234] {
        let asked = format!("bytes={}-{}", range.start, range.end - 1);
        let part = server.http.ask("GET", "/bucket/long").header("range", &asked).send().await.ok();
        assert_eq!(part.status, 206);
        assert!(part.body == body.slice(range.start as usize..range.end as usize), "{asked}");
        assert_eq!(part.header("content-range"), format!("bytes {}-{}/{}", range.start, range.end - 1, body.len()));
    }
    server.check();
    server.http.delete("/bucket/long").await.ok();
    server.check();
    server.http.get("/bucket/long").await.refused(404, "NoSuchKey");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_goes_with_an_object_comes_back_with_it() {
    let server = bucket(small_memory()).await;
    let put = server.http.ask("PUT", "/bucket/a%20key/%C3%A4").body("text");
    let put = put
        .header("content-type", "text/plain")
        .header("content-encoding", "gzip")
        .header("content-language", "de")
        .header("content-disposition", "attachment")
        .header("cache-control", "no-store")
        .header("expires", "Thu, 01 Dec 2033 16:00:00 GMT")
        .header("x-amz-meta-colour", "green")
        .header("x-amz-storage-class", "STANDARD")
        .header("x-amz-acl", "private");
    put.send().await.ok();
    for method in ["GET", "HEAD"] {
        let got = server.http.ask(method, "/bucket/a%20key/%C3%A4").send().await.ok();
        for (name, value) in [
            ("content-type", "text/plain"),
            ("content-encoding", "gzip"),
            ("content-language", "de"),
            ("content-disposition", "attachment"),
            ("cache-control", "no-store"),
            ("expires", "Thu, 01 Dec 2033 16:00:00 GMT"),
            ("x-amz-meta-colour", "green"),
            ("accept-ranges", "bytes"),
        ] {
            assert_eq!(got.header(name), value, "{method}");
        }
        assert!(got.headers.contains_key("last-modified"));
        assert!(!got.headers.contains_key("x-amz-version-id"), "versions were never kept here");
    }
    let got = server.http.get("/bucket/a%20key/%C3%A4?response-content-type=image%2Fpng").await.ok();
    assert_eq!(got.header("content-type"), "image/png");
    let too_much = server.http.ask("PUT", "/bucket/k").header("x-amz-meta-a", &"x".repeat(2048)).send().await;
    too_much.refused(400, "MetadataTooLarge");
}

#[tokio::test(flavor = "multi_thread")]
async fn ranges_and_conditions() {
    let server = bucket(small_memory()).await;
    let body = bytes_of(3, 1000);
    server.http.put("/bucket/k", body.clone()).await.ok();
    let ask = |name: &'static str, value: String| {
        let http = server.http.clone();
        async move { http.ask("GET", "/bucket/k").header(name, &value).send().await }
    };
    let suffix = ask("range", "bytes=-10".into()).await.ok();
    assert_eq!((suffix.status.as_u16(), &suffix.body[..]), (206, &body[990..]));
    let outside = ask("range", "bytes=1000-".into()).await;
    outside.refused(416, "InvalidRange");
    assert_eq!(outside.header("content-range"), "bytes */1000");
    ask("if-match", "\"other\"".into()).await.refused(412, "PreconditionFailed");
    let known = ask("if-none-match", tag(&body)).await;
    assert_eq!((known.status.as_u16(), known.body.len()), (304, 0));
    assert_eq!(known.header("etag"), tag(&body));
    let stale = server.http.ask("GET", "/bucket/k").header("range", "bytes=0-1").header("if-range", "\"x\"");
    assert_eq!(stale.send().await.ok().body, body);
    let head = server.http.ask("HEAD", "/bucket/k").header("range", "bytes=0-1").send().await.ok();
    assert_eq!((head.status.as_u16(), head.header("content-length")), (206, "2"));
    server.http.put("/bucket/empty", "").await.ok();
    server.http.ask("GET", "/bucket/empty").header("range", "bytes=0-1").send().await.refused(416, "InvalidRange");
}

#[tokio::test(flavor = "multi_thread")]
async fn of_many_that_create_one_key_exactly_one_does() {
    let server = bucket(small_memory()).await;
    let tries = (0..20).map(|number: u32| {
        let http = server.http.clone();
        async move { http.ask("PUT", "/bucket/k").header("if-none-match", "*").body(number.to_string()).send().await }
    });
    let answers = futures::future::join_all(tries).await;
    let won: Vec<_> = answers.iter().filter(|answer| answer.status.is_success()).collect();
    assert_eq!(won.len(), 1);
    answers
        .iter()
        .filter(|answer| !answer.status.is_success())
        .for_each(|lost| lost.refused(412, "PreconditionFailed"));
    let got = server.http.get("/bucket/k").await.ok();
    assert_eq!(got.header("etag"), won[0].header("etag"));
    let mismatched = server.http.ask("PUT", "/bucket/k").header("if-match", "\"other\"").body("x").send().await;
    mismatched.refused(412, "PreconditionFailed");
    let matched = server.http.ask("PUT", "/bucket/k").header("if-match", got.header("etag")).body("x").send().await;
    matched.ok();
    let absent = server.http.ask("PUT", "/bucket/absent").header("if-match", "\"other\"").body("x").send().await;
    absent.refused(404, "NoSuchKey");
    server.check();
}

#[tokio::test(flavor = "multi_thread")]
async fn small_objects_share_stripes() {
    let server = bucket(small_memory()).await;
    let puts = (0..300u64).map(|number| {
        let http = server.http.clone();
        async move { http.put(&format!("/bucket/{number}"), bytes_of(number, 3000)).await.ok() }
    });
    futures::future::join_all(puts).await;
    let stripes = count(&server, Table::Stripe);
    assert!(stripes < 150, "{stripes} stripes for 300 objects that came together");
    for number in 0..300u64 {
        let got = server.http.get(&format!("/bucket/{number}")).await.ok();
        assert!(got.body == bytes_of(number, 3000), "object {number}");
    }
    server.check();
}

#[tokio::test(flavor = "multi_thread")]
async fn reads_go_around_as_many_drives_as_may_be_lost() {
    let server = bucket(small_memory()).await;
    // Large enough for a stripe of its own; what is smaller stands in the metadata and needs no drive.
    let (small, large) = (bytes_of(1, 100_000), bytes_of(2, (9 * MIB) as usize));
    server.http.put("/bucket/tiny", "t").await.ok();
    server.http.put("/bucket/small", small.clone()).await.ok();
    server.http.put("/bucket/large", large.clone()).await.ok();
    for failed in [[1, 2], [3, 4], [5, 6], [1, 6]] {
        server.fail(failed, DriveFault::Unavailable);
        assert!(server.http.get("/bucket/small").await.ok().body == small, "without {failed:?}");
        assert!(server.http.get("/bucket/large").await.ok().body == large, "without {failed:?}");
        server.fail(failed, None);
    }
    assert!(!server.faults.take().is_empty(), "what was decoded around is reported");
    server.fail(1..=6, DriveFault::Unavailable);
    server.http.get("/bucket/large").await.refused(503, "InternalError");
    server.http.get("/bucket/small").await.refused(503, "InternalError");
    assert!(server.http.get("/bucket/tiny").await.ok().body == "t");
}

#[tokio::test(flavor = "multi_thread")]
async fn writes_keep_their_safety_or_are_refused() {
    let server = bucket(small_memory()).await;
    for (failed, number) in [(1..=1, 1), (1..=2, 2), (1..=3, 3)] {
        server.fail(failed.clone(), DriveFault::Unavailable);
        let body = bytes_of(number, (2 * MIB) as usize);
        server.http.put(&format!("/bucket/{number}"), body.clone()).await.ok();
        server.http.put(&format!("/bucket/small{number}"), body.slice(..100_000)).await.ok();
        server.fail(failed, None);
        // Two other drives may be lost afterwards, as if nothing had been wrong while it was written.
        server.fail([5, 6], DriveFault::Unavailable);
        assert!(server.http.get(&format!("/bucket/{number}")).await.ok().body == body);
        assert!(server.http.get(&format!("/bucket/small{number}")).await.ok().body == body.slice(..100_000));
        server.fail([5, 6], None);
    }
    server.fail(1..=4, DriveFault::Unavailable);
    server.http.put("/bucket/refused", bytes_of(1, 100_000)).await.refused(503, "ServiceUnavailable");
    server.http.put("/bucket/refused", bytes_of(1, 2 << 20)).await.refused(503, "ServiceUnavailable");
    server.http.get("/bucket/refused").await.refused(404, "NoSuchKey");
    // The metadata is as safe as ever, and so is what stands in it.
    server.http.put("/bucket/tiny", "t").await.ok();
    assert!(server.http.get("/bucket/tiny").await.ok().body == "t");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_stands_in_the_metadata_needs_no_drive_not_even_at_first() {
    // No stripe was written yet, so nothing is known of the drives but that they do not answer.
    let server = bucket(small_memory()).await;
    server.fail(1..=6, DriveFault::Unavailable);
    server.http.put("/bucket/tiny", "t").await.ok();
    assert!(server.http.get("/bucket/tiny").await.ok().body == "t");
    server.http.put("/bucket/small", bytes_of(1, 100_000)).await.refused(503, "ServiceUnavailable");
    server.http.put("/bucket/large", bytes_of(1, 2 << 20)).await.refused(503, "ServiceUnavailable");
    server.fail(1..=6, None);
    server.http.put("/bucket/large", bytes_of(1, 2 << 20)).await.ok();
    server.check();
}

#[tokio::test(flavor = "multi_thread")]
async fn new_data_follows_the_drives_that_the_log_calls_active() {
    let server = bucket(small_memory()).await;
    let drive = DriveId(3);
    let from = DriveState::Active;
    let drained = Operation::SetDriveState { drive, from, to: DriveState::Draining };
    assert_eq!(server.metadata.propose(vec![drained]).await.unwrap(), [Outcome::Done]);
    for number in 0..20u64 {
        server.http.put(&format!("/bucket/{number}"), bytes_of(number, 70_000)).await.ok();
    }
    server.http.put("/bucket/large", bytes_of(99, (3 * MIB) as usize)).await.ok();
    assert!(server.drives.drive(drive).names().is_empty(), "a draining drive takes nothing");
    server.check();
}

/// Puts an object of several extents, draining a drive between the first of them and the commit; the answer's status.
async fn put_while_draining(server: &Server, body: &Bytes) -> (u16, DriveId) {
    let length = body.len().to_string();
    let ask = server.http.ask("PUT", "/bucket/k").payload("UNSIGNED-PAYLOAD").header("content-length", &length);
    let (request, _) = ask.signed();
    let (sender, frames) = tokio::sync::mpsc::channel::<Bytes>(1);
    let frames = futures::stream::unfold(frames, |mut frames| async {
        let frame = frames.recv().await?;
        Some((Ok::<_, std::io::Error>(http_body::Frame::data(frame)), frames))
    });
    let client: Client<_, _> = Client::builder(TokioExecutor::new()).build_http();
    let request = request.body(StreamBody::new(Box::pin(frames))).unwrap();
    let answer = tokio::spawn(async move { client.request(request).await.unwrap() });
    let half = body.len() / 2;
    sender.send(body.slice(..half)).await.unwrap();
    let written = async {
        loop {
            if let Some(drive) = server.drives.each.iter().find(|drive| !drive.names().is_empty()) {
                break drive.drive();
            }
            tokio::task::yield_now().await;
        }
    };
    let drive = tokio::time::timeout(Duration::from_secs(10), written).await.unwrap();
    let drained = Operation::SetDriveState { drive, from: DriveState::Active, to: DriveState::Draining };
    assert_eq!(server.metadata.propose(vec![drained]).await.unwrap(), [Outcome::Done]);
    sender.send(body.slice(half..)).await.unwrap();
    drop(sender);
    (answer.await.unwrap().status().as_u16(), drive)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_drive_that_is_drained_under_a_write_takes_no_part_in_its_commit() {
    let config = GatewayConfig { extent_bytes_max: MIB, ..small_memory() };
    let server = Server::with(7, config.clone()).await;
    server.http.put("/bucket", "").await.ok();
    let body = bytes_of(1, (6 * MIB) as usize);
    let (status, drained) = put_while_draining(&server, &body).await;
    assert_eq!(status, 200);
    assert!(server.http.get("/bucket/k").await.ok().body == body);
    let named = DriveLedgerRow::get(&server.metadata.read_stale(), &drained).unwrap().unwrap_or_default();
    assert_eq!(named.chunks, 0, "what was written there is named elsewhere");
    server.check();

    // With no drive to spare the write is refused, and whole again when it is repeated.
    let server = bucket(config).await;
    let (status, _) = put_while_draining(&server, &body).await;
    assert_eq!(status, 503);
    server.http.put("/bucket/k", body.clone()).await.ok();
    assert!(server.http.get("/bucket/k").await.ok().body == body);
    server.check();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_read_that_fails_midway_breaks_the_connection() {
    let config = GatewayConfig { extent_bytes_max: MIB, ..small_memory() };
    let server = bucket(config).await;
    let body = bytes_of(1, (60 * MIB) as usize);
    server.http.put("/bucket/k", body.clone()).await.ok();
    let (request, _) = server.http.ask("GET", "/bucket/k").signed();
    let answer = server.http.client.request(request.body(http_body_util::Full::default()).unwrap()).await.unwrap();
    assert_eq!(answer.status(), 200);
    server.fail(1..=3, DriveFault::Unavailable);
    let mut received = Vec::new();
    let mut incoming = answer.into_body();
    let ended = loop {
        match incoming.frame().await {
            None => break "cleanly",
            Some(Err(_)) => break "with an error",
            Some(Ok(frame)) => received.extend_from_slice(&frame.into_data().unwrap()),
        }
    };
    assert_eq!(ended, "with an error");
    assert!(received.len() < body.len() && body.starts_with(&received), "what came is right, and less than all");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_breaks_off_leaves_nothing() {
    use tokio::io::AsyncWriteExt;
    let config = GatewayConfig { extent_bytes_max: MIB, ..small_memory() };
    let server = bucket(config).await;
    let body = bytes_of(1, (80 * MIB) as usize);
    let (request, _) = server.http.ask("PUT", "/bucket/k").payload("UNSIGNED-PAYLOAD").signed();
    let request = request.body(()).unwrap();
    let mut head = format!("PUT /bucket/k HTTP/1.1\r\ncontent-length: {}\r\n", body.len());
    for (name, value) in request.headers() {
        head.push_str(&format!("{name}: {}\r\n", value.to_str().unwrap()));
    }
    let mut connection = tokio::net::TcpStream::connect(server.address).await.unwrap();
    connection.write_all(format!("{head}\r\n").as_bytes()).await.unwrap();
    connection.write_all(&body[..(70 * MIB) as usize]).await.unwrap();
    drop(connection);
    server.http.get("/bucket/k").await.refused(404, "NoSuchKey");
    // A page had been committed: the manifest is given up, and says so.
    let given_up = async {
        while count(&server, Table::Retirement) == 0 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), given_up).await.unwrap();
    server.http.put("/bucket/k", Bytes::from_static(b"again")).await.ok();
    server.check();
}

#[tokio::test(flavor = "multi_thread")]
async fn running_requests_finish_when_the_server_stops() {
    let mut server = bucket(small_memory()).await;
    let body = bytes_of(1, (20 * MIB) as usize);
    let put = tokio::spawn({
        let (http, body) = (server.http.clone(), body.clone());
        async move { http.put("/bucket/k", body).await }
    });
    tokio::task::yield_now().await;
    let cut = server.stop().await;
    assert_eq!(cut, 0);
    if let Ok(answer) = put.await {
        answer.ok();
    }
}

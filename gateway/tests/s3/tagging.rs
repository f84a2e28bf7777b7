//! Tags over HTTP, of objects, versions and buckets.

use crate::support::Server;
use crate::support::client::{Answer, Http};

async fn server() -> Server {
    let server = Server::start().await;
    server.http.put("/bucket", "").await.ok();
    server
}

fn set(tags: &[(&str, &str)]) -> String {
    let tags = tags.iter().map(|(name, value)| format!("<Tag><Key>{name}</Key><Value>{value}</Value></Tag>"));
    format!("<Tagging><TagSet>{}</TagSet></Tagging>", tags.collect::<String>())
}

async fn put(http: &Http, target: &str, tags: &[(&str, &str)]) -> Answer {
    let body = set(tags);
    let digest = crate::support::md5(&body);
    http.ask("PUT", target).header("content-md5", &digest).body(body).send().await
}

async fn tags(http: &Http, target: &str) -> Vec<(String, String)> {
    let answer = http.get(target).await.ok();
    answer.all("Key").into_iter().zip(answer.all("Value")).collect()
}

fn pairs(tags: &[(&str, &str)]) -> Vec<(String, String)> {
    tags.iter().map(|&(name, value)| (name.to_owned(), value.to_owned())).collect()
}

#[tokio::test]
async fn an_object_is_tagged_when_it_is_put_and_later() {
    let server = server().await;
    let http = &server.http;
    let made = http.ask("PUT", "/bucket/k").header("x-amz-tagging", "foo=bar&bar&a+b=%C3%A4").body("text");
    let made = made.send().await.ok();
    assert_eq!(tags(http, "/bucket/k?tagging=").await, pairs(&[("a b", "ä"), ("bar", ""), ("foo", "bar")]));
    let before = http.get("/bucket/k").await.ok();
    assert_eq!(before.header("x-amz-tagging-count"), "3");
    put(http, "/bucket/k?tagging=", &[("z", "1"), ("y", "2")]).await.ok();
    assert_eq!(tags(http, "/bucket/k?tagging=").await, pairs(&[("y", "2"), ("z", "1")]));
    let head = http.ask("HEAD", "/bucket/k").send().await.ok();
    assert_eq!((head.header("x-amz-tagging-count"), head.header("etag")), ("2", made.header("etag")));
    assert_eq!(head.header("last-modified"), before.header("last-modified"), "tags are no new version");
    assert_eq!(http.delete("/bucket/k?tagging=").await.ok().status, 204);
    assert!(tags(http, "/bucket/k?tagging=").await.is_empty());
    assert!(!http.get("/bucket/k").await.ok().headers.contains_key("x-amz-tagging-count"));
    assert_eq!(&*http.get("/bucket/k").await.ok().body, b"text");
    server.check();
}

#[tokio::test]
async fn what_is_no_tag_is_refused_and_changes_nothing() {
    let server = server().await;
    let http = &server.http;
    http.ask("PUT", "/bucket/k").header("x-amz-tagging", "a=1").body("text").send().await.ok();
    let names: Vec<String> = (0..11).map(|number| number.to_string()).collect();
    let eleven: Vec<(&str, &str)> = names.iter().map(|name| (name.as_str(), "")).collect();
    let (long_name, long_value) = ("n".repeat(129), "v".repeat(257));
    for refused in [&eleven[..], &[(&long_name, "")], &[("n", &*long_value)], &[("n", "1"), ("n", "2")], &[("", "x")]] {
        put(http, "/bucket/k?tagging=", refused).await.refused(400, "InvalidTag");
    }
    http.put("/bucket/k?tagging=", "<Tagging></Tagging>").await.refused(400, "MalformedXML");
    for (header, code) in [("a=1&a=2", "InvalidTag"), ("a=%zz", "InvalidArgument"), ("aws:a=1", "InvalidTag")] {
        let ask = http.ask("PUT", "/bucket/other").header("x-amz-tagging", header).body("text");
        ask.send().await.refused(400, code);
    }
    assert_eq!(tags(http, "/bucket/k?tagging=").await, pairs(&[("a", "1")]));
    http.get("/bucket/other?tagging=").await.refused(404, "NoSuchKey");
    put(http, "/bucket/other?tagging=", &[("a", "1")]).await.refused(404, "NoSuchKey");
    http.delete("/bucket/other?tagging=").await.refused(404, "NoSuchKey");
    put(http, "/nobody/k?tagging=", &[("a", "1")]).await.refused(404, "NoSuchBucket");
    put(http, "/bucket/k?tagging=", &eleven[..10]).await.ok();
}

#[tokio::test]
async fn each_version_has_its_own_tags() {
    let server = server().await;
    let http = &server.http;
    http.put("/bucket/k", "null").await.ok();
    http.put("/bucket?versioning=", "<VersioningConfiguration><Status>Enabled</Status></VersioningConfiguration>")
        .await
        .ok();
    let old = http.put("/bucket/k", "old").await.ok().header("x-amz-version-id").to_owned();
    let new = http.put("/bucket/k", "new").await.ok().header("x-amz-version-id").to_owned();
    for (id, value) in [("null", "0"), (old.as_str(), "1"), (new.as_str(), "2")] {
        let answer = put(http, &format!("/bucket/k?tagging=&versionId={id}"), &[("n", value)]).await.ok();
        assert_eq!(answer.header("x-amz-version-id"), id);
    }
    for (id, value) in [("null", "0"), (old.as_str(), "1"), (new.as_str(), "2")] {
        assert_eq!(tags(http, &format!("/bucket/k?tagging=&versionId={id}")).await, pairs(&[("n", value)]));
    }
    let newest = http.get("/bucket/k?tagging=").await.ok();
    assert_eq!(newest.header("x-amz-version-id"), new);
    assert_eq!(http.delete(&format!("/bucket/k?tagging=&versionId={old}")).await.ok().header("x-amz-version-id"), old);
    assert!(tags(http, &format!("/bucket/k?tagging=&versionId={old}")).await.is_empty());
    let marker = http.delete("/bucket/k").await.ok().header("x-amz-version-id").to_owned();
    put(http, "/bucket/k?tagging=", &[("a", "1")]).await.refused(404, "NoSuchKey");
    let named = format!("/bucket/k?tagging=&versionId={marker}");
    put(http, &named, &[("a", "1")]).await.refused(405, "MethodNotAllowed");
    http.get(&named).await.refused(405, "MethodNotAllowed");
    put(http, "/bucket/never?tagging=&versionId=null", &[("a", "1")]).await.refused(404, "NoSuchVersion");
    server.check();
}

#[tokio::test]
async fn a_bucket_is_tagged() {
    let server = server().await;
    let http = &server.http;
    http.get("/bucket?tagging=").await.refused(404, "NoSuchTagSet");
    put(http, "/bucket?tagging=", &[("team", "store"), ("cost", "")]).await.ok();
    assert_eq!(tags(http, "/bucket?tagging=").await, pairs(&[("cost", ""), ("team", "store")]));
    let names: Vec<String> = (0..51).map(|number| number.to_string()).collect();
    let many: Vec<(&str, &str)> = names.iter().map(|name| (name.as_str(), "")).collect();
    put(http, "/bucket?tagging=", &many).await.refused(400, "InvalidTag");
    put(http, "/bucket?tagging=", &many[..50]).await.ok();
    assert_eq!(tags(http, "/bucket?tagging=").await.len(), 50);
    assert_eq!(http.delete("/bucket?tagging=").await.ok().status, 204);
    http.delete("/bucket?tagging=").await.ok();
    http.get("/bucket?tagging=").await.refused(404, "NoSuchTagSet");
    put(http, "/bucket?tagging=", &[("a", "1")]).await.ok();
    http.delete("/bucket").await.ok();
    http.put("/bucket", "").await.ok();
    http.get("/bucket?tagging=").await.refused(404, "NoSuchTagSet");
    http.get("/nobody?tagging=").await.refused(404, "NoSuchBucket");
    server.check();
}

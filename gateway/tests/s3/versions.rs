//! Versions over HTTP: kept, listed, read and deleted one by one, and the marks that deletes leave.

use crate::support::Server;
use crate::support::client::{Answer, Http};

fn asked(status: &str) -> String {
    format!("<VersioningConfiguration><Status>{status}</Status></VersioningConfiguration>")
}

async fn versioned() -> Server {
    let server = Server::start().await;
    server.http.put("/bucket", "").await.ok();
    set(&server.http, "Enabled").await;
    server
}

async fn set(http: &Http, status: &str) {
    http.put("/bucket?versioning=", asked(status)).await.ok();
    assert_eq!(http.get("/bucket?versioning=").await.ok().xml("Status").as_deref(), Some(status));
}

async fn put(http: &Http, key: &str, body: &str) -> String {
    http.put(&format!("/bucket/{key}"), body.to_owned()).await.ok().header("x-amz-version-id").to_owned()
}

fn has(answer: &Answer, header: &str) -> bool {
    answer.headers.contains_key(header)
}

/// The versions of a listing, as key, id, whether newest.
fn versions(listed: &Answer, element: &str) -> Vec<(String, String, bool)> {
    let field = |text: &str, name: &str| {
        let rest = text.split(&format!("<{name}>")).nth(1).unwrap();
        rest.split(&format!("</{name}>")).next().unwrap().to_owned()
    };
    let entry = |text: &String| (field(text, "Key"), field(text, "VersionId"), field(text, "IsLatest") == "true");
    listed.all(element).iter().map(entry).collect()
}

#[tokio::test]
async fn versions_are_switched_on_and_suspended() {
    let server = Server::start().await;
    let http = &server.http;
    http.put("/bucket", "").await.ok();
    let never = http.get("/bucket?versioning=").await.ok();
    assert_eq!(never.xml("Status"), None, "never switched on");
    assert!(!has(&http.put("/bucket/k", "x").await.ok(), "x-amz-version-id"));
    assert!(!has(&http.get("/bucket/k").await.ok(), "x-amz-version-id"));
    assert!(!has(&http.delete("/bucket/k").await.ok(), "x-amz-version-id"));
    set(http, "Enabled").await;
    set(http, "Suspended").await;
    set(http, "Enabled").await;
    http.put("/bucket?versioning=", asked("Off")).await.refused(400, "MalformedXML");
    let none = "<VersioningConfiguration></VersioningConfiguration>";
    http.put("/bucket?versioning=", none).await.refused(400, "IllegalVersioningConfigurationException");
    let mfa =
        "<VersioningConfiguration><Status>Enabled</Status><MfaDelete>Enabled</MfaDelete></VersioningConfiguration>";
    http.put("/bucket?versioning=", mfa).await.refused(501, "NotImplemented");
    http.put("/nobody?versioning=", asked("Enabled")).await.refused(404, "NoSuchBucket");
    http.get("/nobody?versioning=").await.refused(404, "NoSuchBucket");
}

#[tokio::test]
async fn each_version_is_read_and_deleted_by_its_id() {
    let server = versioned().await;
    let http = &server.http;
    let ids = [put(http, "k", "one").await, put(http, "k", "two").await, put(http, "k", "three").await];
    for (id, body) in ids.iter().zip(["one", "two", "three"]) {
        let got = http.get(&format!("/bucket/k?versionId={id}")).await.ok();
        assert_eq!((&*got.body, got.header("x-amz-version-id")), (body.as_bytes(), id.as_str()));
    }
    assert_eq!(http.get("/bucket/k").await.ok().header("x-amz-version-id"), ids[2]);
    let gone = http.delete(&format!("/bucket/k?versionId={}", ids[2])).await.ok();
    assert_eq!((gone.header("x-amz-version-id"), has(&gone, "x-amz-delete-marker")), (ids[2].as_str(), false));
    assert_eq!(&*http.get("/bucket/k").await.ok().body, b"two", "the one before is the newest again");
    http.get(&format!("/bucket/k?versionId={}", ids[2])).await.refused(404, "NoSuchVersion");
    let again = http.delete(&format!("/bucket/k?versionId={}", ids[2])).await.ok();
    assert_eq!(again.header("x-amz-version-id"), ids[2], "what is not there is named all the same");
    http.get("/bucket/k?versionId=made-up").await.refused(400, "InvalidArgument");
    http.delete("/bucket/k?versionId=made-up").await.refused(400, "InvalidArgument");
    http.get("/bucket/k?versionId=null").await.refused(404, "NoSuchVersion");
    server.check();
}

#[tokio::test]
async fn a_delete_leaves_a_marker_that_can_be_taken_away() {
    let server = versioned().await;
    let http = &server.http;
    let id = put(http, "k", "one").await;
    let deleted = http.delete("/bucket/k").await.ok();
    let marker = deleted.header("x-amz-version-id").to_owned();
    assert_eq!((deleted.status.as_u16(), deleted.header("x-amz-delete-marker")), (204, "true"));
    for method in ["GET", "HEAD"] {
        let newest = http.ask(method, "/bucket/k").send().await;
        assert_eq!((newest.status.as_u16(), newest.header("x-amz-delete-marker")), (404, "true"), "{method}");
        assert_eq!(newest.header("x-amz-version-id"), marker);
        let named = http.ask(method, &format!("/bucket/k?versionId={marker}")).send().await;
        assert_eq!((named.status.as_u16(), named.header("x-amz-delete-marker")), (405, "true"), "{method}");
        assert_eq!((named.header("allow"), named.header("x-amz-version-id")), ("DELETE", marker.as_str()));
        assert!(has(&named, "last-modified"));
    }
    http.get("/bucket/k").await.refused(404, "NoSuchKey");
    http.get(&format!("/bucket/k?versionId={marker}")).await.refused(405, "MethodNotAllowed");
    assert_eq!(&*http.get(&format!("/bucket/k?versionId={id}")).await.ok().body, b"one");
    assert!(http.get("/bucket?list-type=2").await.ok().all("Key").is_empty());
    http.delete("/bucket").await.refused(409, "BucketNotEmpty");
    let undone = http.delete(&format!("/bucket/k?versionId={marker}")).await.ok();
    assert_eq!((undone.header("x-amz-delete-marker"), undone.header("x-amz-version-id")), ("true", marker.as_str()));
    assert_eq!(&*http.get("/bucket/k").await.ok().body, b"one");
    http.delete(&format!("/bucket/k?versionId={id}")).await.ok();
    http.delete("/bucket").await.ok();
    server.check();
}

#[tokio::test]
async fn the_null_version_is_replaced_while_versions_are_suspended() {
    let server = Server::start().await;
    let http = &server.http;
    http.put("/bucket", "").await.ok();
    http.put("/bucket/k", "before").await.ok();
    set(http, "Enabled").await;
    assert_eq!(http.get("/bucket/k").await.ok().header("x-amz-version-id"), "null");
    let kept = put(http, "k", "kept").await;
    set(http, "Suspended").await;
    assert!(!has(&http.put("/bucket/k", "null 1").await.ok(), "x-amz-version-id"));
    http.put("/bucket/k", "null 2").await.ok();
    let got = http.get("/bucket/k?versionId=null").await.ok();
    assert_eq!((&*got.body, got.header("x-amz-version-id")), (&b"null 2"[..], "null"));
    let listed = http.get("/bucket?versions=").await.ok();
    let expected = [("k".to_owned(), "null".to_owned(), true), ("k".to_owned(), kept.clone(), false)];
    assert_eq!(versions(&listed, "Version"), expected);
    let deleted = http.delete("/bucket/k").await.ok();
    assert_eq!((deleted.header("x-amz-delete-marker"), deleted.header("x-amz-version-id")), ("true", "null"));
    let listed = http.get("/bucket?versions=").await.ok();
    assert_eq!(versions(&listed, "DeleteMarker"), [("k".to_owned(), "null".to_owned(), true)]);
    assert_eq!(versions(&listed, "Version"), [("k".to_owned(), kept.clone(), false)]);
    http.delete("/bucket/k?versionId=null").await.ok();
    assert_eq!(&*http.get("/bucket/k").await.ok().body, b"kept");
    server.check();
}

#[tokio::test]
async fn versions_are_listed_page_by_page() {
    let server = versioned().await;
    let http = &server.http;
    let mut expected = Vec::new();
    for key in ["a", "b/1", "b/2", "c"] {
        let mut ids = Vec::new();
        for body in ["x", "y", "z"] {
            ids.insert(0, put(http, key, body).await);
        }
        expected.extend(ids.into_iter().enumerate().map(|(at, id)| (key.to_owned(), id, at == 0)));
    }
    let all = http.get("/bucket?versions=").await.ok();
    assert_eq!(versions(&all, "Version"), expected);
    assert_eq!((all.all("StorageClass").len(), all.all("Owner").len(), all.all("Size")[0].as_str()), (12, 12, "1"));
    for limit in 1..=13 {
        let (mut shown, mut next, mut pages) = (Vec::new(), String::new(), 0);
        loop {
            let page = http.get(&format!("/bucket?{next}max-keys={limit}&versions=")).await.ok();
            shown.extend(versions(&page, "Version"));
            pages += 1;
            let Some(key) = page.xml("NextKeyMarker") else { break };
            let version = page.xml("NextVersionIdMarker").unwrap();
            next = format!("key-marker={}&version-id-marker={version}&", key.replace('/', "%2F"));
        }
        assert_eq!(shown, expected, "{limit}");
        assert_eq!(pages, 12usize.div_ceil(limit));
    }
    let folded = http.get("/bucket?delimiter=%2F&max-keys=4&versions=").await.ok();
    assert_eq!((versions(&folded, "Version").len(), folded.all("CommonPrefixes").len()), (3, 1));
    assert_eq!((folded.xml("NextKeyMarker").as_deref(), folded.xml("NextVersionIdMarker")), (Some("b/"), None));
    let rest = http.get("/bucket?delimiter=%2F&key-marker=b%2F&versions=").await.ok();
    assert_eq!(versions(&rest, "Version"), expected[9..]);
    let below = http.get("/bucket?prefix=b%2F&versions=").await.ok();
    assert_eq!(versions(&below, "Version"), expected[3..9]);
    let behind = http.get("/bucket?key-marker=a&versions=").await.ok();
    assert_eq!(versions(&behind, "Version"), expected[3..]);
    let none = http.get("/bucket?max-keys=0&versions=").await.ok();
    assert_eq!((versions(&none, "Version").len(), none.xml("IsTruncated").as_deref()), (0, Some("false")));
    http.get("/bucket?version-id-marker=x&versions=").await.refused(400, "InvalidArgument");
    http.get("/bucket?key-marker=a&version-id-marker=&versions=").await.refused(400, "InvalidArgument");
    http.get("/bucket?key-marker=a&version-id-marker=made-up&versions=").await.refused(400, "InvalidArgument");
    http.get("/nobody?versions=").await.refused(404, "NoSuchBucket");
}

#[tokio::test]
async fn a_page_goes_on_behind_the_null_version() {
    let server = versioned().await;
    let http = &server.http;
    let oldest = put(http, "a", "oldest").await;
    set(http, "Suspended").await;
    http.put("/bucket/a", "null").await.ok();
    http.put("/bucket/b", "null").await.ok();
    set(http, "Enabled").await;
    let newest = put(http, "a", "newest").await;
    let all = http.get("/bucket?versions=").await.ok();
    let null = |key: &str, latest| (key.to_owned(), "null".to_owned(), latest);
    let expected = [("a".into(), newest.clone(), true), null("a", false), ("a".into(), oldest, false), null("b", true)];
    assert_eq!(versions(&all, "Version"), expected);
    let page = http.get("/bucket?max-keys=2&versions=").await.ok();
    for marker in ["null".to_owned(), page.xml("NextVersionIdMarker").unwrap()] {
        let rest = http.get(&format!("/bucket?key-marker=a&version-id-marker={marker}&versions=")).await.ok();
        assert_eq!(versions(&rest, "Version"), expected[2..], "{marker}");
    }
    http.delete("/bucket/a?versionId=null").await.ok();
    let gone = http.get("/bucket?key-marker=a&version-id-marker=null&versions=").await.ok();
    assert_eq!(versions(&gone, "Version"), expected[2..], "nobody knows where it stood, and nothing is passed over");
}

#[tokio::test]
async fn many_versions_are_deleted_at_once() {
    let server = versioned().await;
    let http = &server.http;
    let ids = [put(http, "k", "one").await, put(http, "k", "two").await];
    let ask = |objects: String| {
        let body = format!("<Delete>{objects}</Delete>");
        let digest = crate::support::md5(&body);
        http.ask("POST", "/bucket?delete=").header("content-md5", &digest).body(body)
    };
    let named = |id: &str| format!("<Object><Key>k</Key><VersionId>{id}</VersionId></Object>");
    let marked = ask("<Object><Key>k</Key></Object>".into()).send().await.ok();
    let marker = marked.xml("DeleteMarkerVersionId").unwrap();
    assert_eq!((marked.xml("DeleteMarker").as_deref(), marked.xml("VersionId")), (Some("true"), None));
    for _ in 0..2 {
        let all = ask([named(&ids[0]), named(&marker), named(&ids[1])].concat()).send().await.ok();
        assert_eq!(all.all("VersionId"), [&ids[0], &marker, &ids[1]].map(Clone::clone));
        assert!(all.all("Error").is_empty());
    }
    let bad = ask(named("made-up")).send().await.ok();
    assert_eq!(bad.all("Code"), ["InvalidArgument"]);
    assert!(versions(&http.get("/bucket?versions=").await.ok(), "Version").is_empty());
    http.delete("/bucket").await.ok();
    server.check();
}

#[tokio::test]
async fn conditions_of_a_delete_mean_the_version_that_is_named() {
    let server = versioned().await;
    let http = &server.http;
    let old = http.put("/bucket/k", "one").await.ok();
    let (tag, id) = (old.header("etag").to_owned(), old.header("x-amz-version-id").to_owned());
    put(http, "k", "two two").await;
    let delete = |target: &str, name: &str, value: &str| http.ask("DELETE", target).header(name, value);
    let named = format!("/bucket/k?versionId={id}");
    delete("/bucket/k", "if-match", &tag).send().await.refused(412, "PreconditionFailed");
    delete(&named, "x-amz-if-match-size", "7").send().await.refused(412, "PreconditionFailed");
    delete(&named, "if-match", &tag).send().await.ok();
    // Size and time of what is gone are no reason to fail; a tag is.
    delete(&named, "x-amz-if-match-size", "7").send().await.ok();
    delete(&named, "if-match", &tag).send().await.refused(404, "NoSuchKey");
    delete("/bucket/never", "if-match", "*").send().await.refused(404, "NoSuchKey");
    http.delete("/bucket/k").await.ok();
    for (name, value) in [("if-match", "*"), ("x-amz-if-match-size", "7")] {
        delete("/bucket/k", name, value).send().await.refused(412, "PreconditionFailed");
    }
    server.check();
}

//! Buckets and listings over HTTP.

use crate::support::{Server, md5};
use cairn_gateway::bucket::url_encoding;

async fn filled(keys: &[&str]) -> Server {
    let server = Server::start().await;
    server.http.put("/bucket", "").await.ok();
    for key in keys {
        server.http.put(&format!("/bucket/{}", url_encoding::encode(key)), "x").await.ok();
    }
    server
}

#[tokio::test]
async fn buckets_come_and_go() {
    let server = Server::start().await;
    let http = &server.http;
    assert_eq!(http.put("/first", "").await.ok().header("location"), "/first");
    http.put("/second", "").await.ok();
    let listed = http.get("/").await.ok();
    assert_eq!(listed.all("Name"), ["first", "second"]);
    assert_eq!(listed.xml("ID").unwrap().len(), 64);
    let page = http.get("/?max-buckets=1").await.ok();
    assert_eq!(page.all("Name"), ["first"]);
    let token = page.xml("ContinuationToken").unwrap();
    let rest = http.get(&format!("/?continuation-token={token}&max-buckets=1")).await.ok();
    assert_eq!((rest.all("Name"), rest.xml("ContinuationToken")), (vec!["second".to_owned()], None));
    assert_eq!(http.get("/?prefix=s").await.ok().all("Name"), ["second"]);
    assert_eq!(http.ask("HEAD", "/first").send().await.ok().header("x-amz-bucket-region"), "us-east-1");
    assert_eq!(http.ask("HEAD", "/third").send().await.status, 404);
    let location = http.get("/first?location=").await.ok();
    assert!(String::from_utf8_lossy(&location.body).contains("LocationConstraint"));
    http.delete("/first").await.ok();
    assert_eq!(http.get("/").await.ok().all("Name"), ["second"]);
    let constraint =
        "<CreateBucketConfiguration><LocationConstraint>eu-west-1</LocationConstraint></CreateBucketConfiguration>";
    http.put("/third", constraint).await.ok();
}

#[tokio::test]
async fn listings_page_through_keys_and_common_prefixes() {
    let keys = ["a", "b/1", "b/2", "b/c/3", "c", "d/1", "e", "ä"];
    let server = filled(&keys).await;
    let http = &server.http;
    let all = http.get("/bucket?list-type=2").await.ok();
    assert_eq!(all.all("Key"), keys);
    assert_eq!(all.xml("KeyCount").as_deref(), Some("8"));
    for limit in 1..=7 {
        let (mut keys, mut prefixes, mut token) = (Vec::new(), Vec::new(), String::new());
        loop {
            let page = http.get(&format!("/bucket?{token}delimiter=%2F&list-type=2&max-keys={limit}")).await.ok();
            keys.extend(page.all("Key"));
            prefixes.extend(
                page.all("CommonPrefixes").iter().map(|text| text.replace("<Prefix>", "").replace("</Prefix>", "")),
            );
            let count: usize = page.xml("KeyCount").unwrap().parse().unwrap();
            assert!(count <= limit);
            match page.xml("NextContinuationToken") {
                Some(next) => token = format!("continuation-token={next}&"),
                None => break assert_eq!(page.xml("IsTruncated").as_deref(), Some("false")),
            }
        }
        assert_eq!(
            (keys, prefixes),
            (vec!["a".into(), "c".into(), "e".into(), "ä".to_owned()], vec!["b/".into(), "d/".to_owned()]),
            "{limit}"
        );
    }
    let mut marker = String::new();
    let mut shown = Vec::new();
    loop {
        let page = http.get(&format!("/bucket?delimiter=%2F&{marker}max-keys=1")).await.ok();
        shown.extend(page.all("Key"));
        shown.extend(page.all("CommonPrefixes"));
        match page.xml("NextMarker") {
            Some(next) => marker = format!("marker={}&", next.replace('/', "%2F").replace('ä', "%C3%A4")),
            None => break,
        }
    }
    assert_eq!(shown.len(), 6, "{shown:?}");
    let below = http.get("/bucket?delimiter=%2F&list-type=2&prefix=b%2F").await.ok();
    assert_eq!((below.all("Key"), below.all("CommonPrefixes").len()), (vec!["b/1".to_owned(), "b/2".to_owned()], 1));
    let after = http.get("/bucket?fetch-owner=true&list-type=2&start-after=d%2F1").await.ok();
    assert_eq!(after.all("Key"), ["e", "ä"]);
    assert_eq!(after.all("Owner").len(), 2);
    let none = http.get("/bucket?list-type=2&max-keys=0").await.ok();
    assert_eq!((none.all("Key").len(), none.xml("IsTruncated").as_deref()), (0, Some("false")));
    http.get("/bucket?list-type=2&max-keys=-1").await.refused(400, "InvalidArgument");
    let empty = http.get("/bucket?continuation-token=&list-type=2").await.ok();
    assert_eq!(empty.all("Key").len(), 8, "an empty token is none");
    http.get("/bucket?continuation-token=x&list-type=2").await.refused(400, "InvalidArgument");
    http.get("/nobody?list-type=2").await.refused(404, "NoSuchBucket");
}

#[tokio::test]
async fn listings_encode_what_xml_cannot_carry() {
    let server = filled(&["a b+c", "x/\u{1}y", "z&<>"]).await;
    let listed = server.http.get("/bucket?delimiter=%2F&encoding-type=url&list-type=2").await.ok();
    assert_eq!(listed.all("Key"), ["a%20b%2Bc", "z%26%3C%3E"]);
    assert_eq!(listed.xml("EncodingType").as_deref(), Some("url"));
    let plain = server.http.get("/bucket?list-type=2&prefix=z").await.ok();
    assert_eq!(plain.all("Key"), ["z&amp;&lt;&gt;"]);
    server.http.get("/bucket?encoding-type=base64&list-type=2").await.refused(400, "InvalidArgument");
}

#[tokio::test]
async fn many_are_deleted_at_once() {
    let server = filled(&["a", "b", "c"]).await;
    let list = |keys: &[&str], quiet: bool| {
        let objects: String = keys.iter().map(|key| format!("<Object><Key>{key}</Key></Object>")).collect();
        format!("<Delete>{objects}<Quiet>{quiet}</Quiet></Delete>")
    };
    let ask = |body: String| {
        let digest = md5(&body);
        server.http.ask("POST", "/bucket?delete=").header("content-md5", &digest).body(body)
    };
    let loud = ask(list(&["a", "never there"], false)).send().await.ok();
    assert_eq!(loud.all("Key"), ["a", "never there"]);
    let quiet = ask(list(&["b"], true)).send().await.ok();
    assert!(quiet.all("Key").is_empty());
    let body = list(&["c"], false);
    let wrong = server.http.ask("POST", "/bucket?delete=").header("content-md5", &md5("else")).body(body.clone());
    wrong.send().await.refused(400, "BadDigest");
    let wrong = server.http.ask("POST", "/bucket?delete=").payload(&crate::support::signer::hash(b"else")).body(body);
    wrong.send().await.refused(400, "XAmzContentSHA256Mismatch");
    assert_eq!(server.http.get("/bucket?list-type=2").await.ok().all("Key"), ["c"], "what was refused deleted nothing");
    let partly = ask(list(&["c", &"k".repeat(1025)], false)).send().await.ok();
    assert_eq!((partly.all("Code"), partly.all("Deleted").len()), (vec!["KeyTooLongError".to_owned()], 1));
    let keys: Vec<String> = (0..1000).map(|number| format!("{number:0>1000}")).collect();
    let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
    assert_eq!(ask(list(&keys, false)).send().await.ok().all("Deleted").len(), 1000);
    let too_many = [&keys[..], &["x"]].concat();
    ask(list(&too_many, false)).send().await.refused(400, "MalformedXML");
    ask("<Delete></Delete>".into()).send().await.refused(400, "MalformedXML");
    ask("no xml".into()).send().await.refused(400, "MalformedXML");
}

#[tokio::test]
async fn a_bucket_goes_with_the_uploads_that_nobody_finished() {
    let server = filled(&["k"]).await;
    let http = &server.http;
    let begin = async |count: usize| {
        let view = server.metadata.read_stale();
        let name = cairn_core::BucketName::new("bucket").unwrap();
        let (bucket, _) = cairn_metadata::query::bucket_by_name(&view, &name).unwrap().unwrap();
        let begun = |number: usize| cairn_machine::Operation::CreateUpload {
            bucket,
            key: cairn_core::ObjectKey::new(format!("upload/{number}")).unwrap(),
            initiator: crate::support::ACCESS_KEY.into(),
            profile: cairn_machine::rows::profile::ProfileId::STANDARD,
            headers: Default::default(),
            metadata: Vec::new(),
            tags: None,
            checksum: None,
            lock: None,
            acl: None,
        };
        server.metadata.propose((0..count).map(begun).collect()).await.unwrap();
    };
    begin(600).await;
    http.delete("/bucket").await.refused(409, "BucketNotEmpty");
    assert_eq!(server.count(cairn_machine::Table::Upload), 600, "a bucket that stays keeps its uploads");
    http.delete("/bucket/k").await.ok();
    http.delete("/bucket").await.ok();
    assert_eq!(server.count(cairn_machine::Table::Upload), 0);
    http.get("/bucket?list-type=2").await.refused(404, "NoSuchBucket");
    server.check();
}

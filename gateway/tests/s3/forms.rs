//! Uploads by form, as browsers send them.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;

use crate::support::client::{Answer, Http};
use crate::support::{ACCESS_KEY, SECRET_KEY, Server, signer_v2};

const BOUNDARY: &str = "----boundary of a form";

async fn server() -> Server {
    let server = Server::start().await;
    server.http.put("/bucket", "").await.ok();
    server
}

/// A form with these fields, and a file behind them.
fn form(fields: &[(&str, &str)], name: &str, file: &[u8], behind: &str) -> Vec<u8> {
    let mut body = Vec::new();
    for (field, value) in fields {
        let part = format!("--{BOUNDARY}\r\nContent-Disposition: form-data; name=\"{field}\"\r\n\r\n{value}\r\n");
        body.extend_from_slice(part.as_bytes());
    }
    let head = "Content-Disposition: form-data; name=\"file\"; filename=";
    body.extend_from_slice(format!("--{BOUNDARY}\r\n{head}\"{name}\"\r\n\r\n").as_bytes());
    body.extend_from_slice(file);
    body.extend_from_slice(format!("\r\n--{BOUNDARY}{behind}").as_bytes());
    body
}

async fn post(http: &Http, target: &str, body: impl Into<Bytes>) -> Answer {
    let kind = format!("multipart/form-data; boundary=\"{BOUNDARY}\"");
    http.ask("POST", target).anonymous().header("content-type", &kind).body(body).send().await
}

fn policy(conditions: &str) -> String {
    BASE64.encode(format!("{{\"expiration\": \"2100-01-01T00:00:00Z\", \"conditions\": {conditions}}}"))
}

/// The fields, and those that sign them with version 2.
fn signed<'a>(fields: &[(&'a str, &'a str)], policy: &'a str, signature: &'a str) -> Vec<(&'a str, &'a str)> {
    [fields, &[("AWSAccessKeyId", ACCESS_KEY), ("Policy", policy), ("signature", signature)]].concat()
}

const CONDITIONS: &str = r#"[{"bucket": "bucket"}, ["starts-with", "$key", "user/"], ["starts-with", "$Content-Type", "text/"],
    ["starts-with", "$x-amz-meta-colour", ""], ["starts-with", "$tagging", ""], ["starts-with", "$success_action_status", ""],
    ["content-length-range", 0, 3000000]]"#;

#[tokio::test]
async fn a_signed_form_makes_the_object_it_describes() {
    let server = server().await;
    let http = &server.http;
    let policy = policy(CONDITIONS);
    let signature = signer_v2::sign(SECRET_KEY, &policy);
    let tagging = "<Tagging><TagSet><Tag><Key>a b</Key><Value>1&amp;2</Value></Tag></TagSet></Tagging>";
    let no_tags = "<Tagging><TagSet/></Tagging>";
    let fields = |tagging| {
        [
            ("key", "user/${filename}"),
            ("Content-Type", "text/plain"),
            ("x-amz-meta-colour", "green"),
            ("tagging", tagging),
            ("success_action_status", "201"),
        ]
    };
    let body = form(&signed(&fields(no_tags), &policy, &signature), "C:\\it is.txt", b"the file", "--\r\n");
    let made = post(http, "/bucket", body).await.ok();
    assert_eq!((made.status.as_u16(), made.xml("Key").as_deref()), (201, Some("user/it is.txt")));
    assert_eq!(made.xml("Bucket").as_deref(), Some("bucket"));
    let read = http.get("/bucket/user/it%20is.txt").await.ok();
    assert_eq!((&*read.body, read.header("content-type")), (&b"the file"[..], "text/plain"));
    assert_eq!(read.header("x-amz-meta-colour"), "green");
    assert_eq!((Some(read.header("etag")), made.header("etag")), (made.xml("ETag").as_deref(), read.header("etag")));
    let refused = form(&signed(&fields(tagging), &policy, &signature), "tags", b"x", "--");
    post(http, "/bucket", refused).await.refused(400, "InvalidTag");
    let tagging = tagging.replace("1&amp;2", "ä+1");
    let body = form(&signed(&fields(&tagging), &policy, &signature), "tags", b"x", "--");
    post(http, "/bucket/", body).await.ok();
    let tags = http.get("/bucket/user/tags?tagging=").await.ok();
    assert_eq!((tags.all("Key"), tags.all("Value")), (vec!["a b".to_owned()], vec!["ä+1".to_owned()]));
    server.check();
}

#[tokio::test]
async fn a_policy_is_judged_on_the_key_that_is_made() {
    let server = server().await;
    let http = &server.http;
    let send = async |conditions: &str, key: &str, name: &str| {
        let policy =
            policy(&format!(r#"[{{"bucket": "bucket"}}, {conditions}, ["starts-with", "$x-amz-meta-of", ""]]"#));
        let signature = signer_v2::sign(SECRET_KEY, &policy);
        let fields = [("key", key), ("x-amz-meta-of", "${filename}")];
        post(http, "/bucket", form(&signed(&fields, &policy, &signature), name, b"x", "--")).await
    };
    let begins = r#"["starts-with", "$key", "foo"]"#;
    assert_eq!(send(begins, "${filename}", "foo.txt").await.ok().status, 204);
    assert_eq!(http.get("/bucket/foo.txt").await.ok().header("x-amz-meta-of"), "foo.txt");
    send(begins, "${filename}", "bar.txt").await.refused(403, "AccessDenied");
    send(r#"["starts-with", "$key", "${filename}"]"#, "${filename}", "bar.txt").await.refused(403, "AccessDenied");
    send(r#"{"key": "foo"}"#, "${filename}", "").await.refused(400, "InvalidArgument");
    http.get("/bucket/bar.txt").await.refused(404, "NoSuchKey");
    server.check();
}

#[tokio::test]
async fn a_form_that_asks_for_encryption_makes_nothing() {
    let server = server().await;
    let http = &server.http;
    for name in ["x-amz-server-side-encryption", "x-amz-server-side-encryption-customer-algorithm"] {
        let conditions = format!(r#"[{{"bucket": "bucket"}}, {{"key": "k"}}, ["starts-with", "${name}", ""]]"#);
        let policy = policy(&conditions);
        let signature = signer_v2::sign(SECRET_KEY, &policy);
        let body = form(&signed(&[("key", "k"), (name, "AES256")], &policy, &signature), "f", b"x", "--");
        post(http, "/bucket", body).await.refused(501, "NotImplemented");
    }
    http.get("/bucket/k").await.refused(404, "NoSuchKey");
    server.check();
}

#[tokio::test]
async fn files_of_every_length_arrive_whole() {
    let server = server().await;
    let http = &server.http;
    let policy = policy(r#"[{"bucket": "bucket"}, ["starts-with", "$key", ""]]"#);
    let signature = signer_v2::sign(SECRET_KEY, &policy);
    let behind = [
        "--\r\n".to_owned(),
        format!("\r\nContent-Disposition: form-data; name=\"submit\"\r\n\r\nsend\r\n--{BOUNDARY}--\r\n"),
        format!("\r\nContent-Disposition: form-data; name=\"x\"\r\n\r\n{}\r\n--{BOUNDARY}--", "x".repeat(2 << 20)),
    ];
    for length in [0, 1, 70_000, (1 << 20) - 1, 1 << 20, (1 << 20) + 1, 5 << 20] {
        let file: Vec<u8> = (0..length).map(|at: usize| (at * 31 % 251) as u8).collect();
        for behind in &behind {
            let body = form(&signed(&[("key", "k")], &policy, &signature), "f", &file, behind);
            assert_eq!(post(http, "/bucket", body).await.ok().status, 204, "{length}");
            assert!(http.get("/bucket/k").await.ok().body == file, "{length} bytes and {} behind them", behind.len());
        }
    }
    server.check();
}

#[tokio::test]
async fn version_4_signs_forms_too() {
    let server = server().await;
    let http = &server.http;
    let credential = http.signer.credential();
    let (stamp, algorithm) = (http.signer.stamp(), "AWS4-HMAC-SHA256");
    let policy = policy(&format!(
        r#"[{{"bucket": "bucket"}}, {{"key": "k"}}, {{"x-amz-credential": "{credential}"}}, {{"x-amz-date": "{stamp}"}},
            {{"x-amz-algorithm": "{algorithm}"}}]"#
    ));
    let signature = http.signer.sign(&policy);
    let fields = |signature| {
        [
            ("key", "k"),
            ("x-amz-credential", credential.as_str()),
            ("x-amz-date", &stamp),
            ("x-amz-algorithm", algorithm),
            ("policy", &policy),
            ("x-amz-signature", signature),
        ]
    };
    post(http, "/bucket", form(&fields(&signature), "f", b"x", "--")).await.ok();
    assert_eq!(&*http.get("/bucket/k").await.ok().body, b"x");
    let wrong = "0".repeat(64);
    post(http, "/bucket", form(&fields(&wrong), "f", b"y", "--")).await.refused(403, "SignatureDoesNotMatch");
}

#[tokio::test]
async fn what_nobody_signed_or_allowed_makes_nothing() {
    let server = server().await;
    let http = &server.http;
    http.put("/other", "").await.ok();
    let policy = policy(CONDITIONS);
    let signature = signer_v2::sign(SECRET_KEY, &policy);
    let wrong = signer_v2::sign("another secret", &policy);
    let sound = [
        ("key", "user/k"),
        ("Content-Type", "text/plain"),
        ("x-amz-meta-colour", ""),
        ("tagging", "<Tagging><TagSet/></Tagging>"),
        ("success_action_status", "200"),
    ];
    let with = |fields: &[(&str, &str)], signature: &str| form(&signed(fields, &policy, signature), "f", b"x", "--");
    let changed = |name: &str, value: &'static str| {
        let fields = sound.map(|field| if field.0 == name { (field.0, value) } else { field });
        with(&fields, &signature)
    };
    post(http, "/bucket", form(&sound, "f", b"x", "--")).await.refused(403, "AccessDenied");
    post(http, "/bucket", with(&sound, &wrong)).await.refused(403, "SignatureDoesNotMatch");
    post(http, "/other", with(&sound, &signature)).await.refused(403, "AccessDenied");
    post(http, "/bucket", changed("key", "elsewhere/k")).await.refused(403, "AccessDenied");
    post(http, "/bucket", changed("Content-Type", "image/png")).await.refused(403, "AccessDenied");
    post(http, "/bucket", with(&sound[1..], &signature)).await.refused(400, "InvalidArgument");
    let more = [&sound[..], &[("acl", "private")]].concat();
    post(http, "/bucket", with(&more, &signature)).await.refused(403, "AccessDenied");
    let long = form(&signed(&sound, &policy, &signature), "f", &vec![7; 3_000_001], "--");
    post(http, "/bucket", long).await.refused(400, "EntityTooLarge");
    let cut = with(&sound, &signature);
    post(http, "/bucket", cut[..cut.len() - 4].to_vec()).await.refused(400, "IncompleteBody");
    post(http, "/bucket", "no form").await.refused(400, "MalformedPOSTRequest");
    post(http, "/bucket/k", with(&sound, &signature)).await.refused(405, "MethodNotAllowed");
    post(http, "/bucket?uploads=", with(&sound, &signature)).await.refused(501, "NotImplemented");
    let endless = form(&[("key", &"k".repeat(40_000))], "f", b"x", "--");
    post(http, "/bucket", endless).await.refused(400, "MaxPostPreDataLengthExceededError");
    let listed = http.get("/bucket").await.ok();
    assert!(listed.all("Key").is_empty(), "{listed:?}");
    post(http, "/bucket", with(&sound, &signature)).await.ok();
    server.check();
}

//! Invariant 12 over HTTP: what is locked stays, and says so.

use crate::support::client::{Answer, Http};
use crate::support::{Server, md5};

const UNTIL: &str = "2093-01-01T00:00:00Z";

async fn server() -> Server {
    let server = Server::start().await;
    let made = server.http.ask("PUT", "/bucket").header("x-amz-bucket-object-lock-enabled", "true");
    made.send().await.ok();
    server
}

async fn put(http: &Http, target: &str, body: &str) -> Answer {
    http.ask("PUT", target).header("content-md5", &md5(body)).body(body.to_owned()).send().await
}

fn retention(mode: &str, until: &str) -> String {
    format!("<Retention><Mode>{mode}</Mode><RetainUntilDate>{until}</RetainUntilDate></Retention>")
}

fn configuration(rule: &str) -> String {
    format!("<ObjectLockConfiguration><ObjectLockEnabled>Enabled</ObjectLockEnabled>{rule}</ObjectLockConfiguration>")
}

const ONE_DAY: &str = "<Rule><DefaultRetention><Mode>GOVERNANCE</Mode><Days>1</Days></DefaultRetention></Rule>";

#[tokio::test]
async fn a_locked_bucket_keeps_versions_and_says_what_holds() {
    let server = server().await;
    let http = &server.http;
    assert_eq!(http.get("/bucket?versioning=").await.ok().xml("Status").as_deref(), Some("Enabled"));
    let suspend = "<VersioningConfiguration><Status>Suspended</Status></VersioningConfiguration>";
    put(http, "/bucket?versioning=", suspend).await.refused(409, "InvalidBucketState");
    put(http, "/bucket?object-lock=", &configuration(ONE_DAY)).await.ok();
    let told = http.get("/bucket?object-lock=").await.ok();
    assert_eq!((told.xml("Mode").as_deref(), told.xml("Days").as_deref()), (Some("GOVERNANCE"), Some("1")));
    http.put("/bucket/k", "text").await.ok();
    let head = http.ask("HEAD", "/bucket/k").send().await.ok();
    assert_eq!(head.header("x-amz-object-lock-mode"), "GOVERNANCE");
    // Other buckets are not locked before they keep versions, and nobody is told that they are.
    http.put("/other", "").await.ok();
    http.put("/other/k", "text").await.ok();
    http.get("/other?object-lock=").await.refused(404, "ObjectLockConfigurationNotFoundError");
    put(http, "/other?object-lock=", &configuration("")).await.refused(409, "InvalidBucketState");
    let again = http.ask("PUT", "/other").header("x-amz-bucket-object-lock-enabled", "true").send().await;
    again.refused(409, "BucketAlreadyOwnedByYou");
    put(http, "/other/k?retention=", &retention("GOVERNANCE", UNTIL)).await.refused(400, "InvalidRequest");
    put(http, "/other/k?legal-hold=", "<LegalHold><Status>ON</Status></LegalHold>")
        .await
        .refused(400, "InvalidRequest");
    http.get("/other/k?retention=").await.refused(400, "InvalidRequest");
    let held = http.ask("PUT", "/other/k").header("x-amz-object-lock-legal-hold", "ON").body("x").send().await;
    held.refused(400, "InvalidRequest");
    assert_eq!(&*http.get("/other/k").await.ok().body, b"text");
    server.check();
}

#[tokio::test]
async fn what_is_retained_goes_only_for_who_may_bypass_it() {
    let server = server().await;
    let http = &server.http;
    let put_with = |mode: &'static str| {
        http.ask("PUT", "/bucket/k")
            .header("x-amz-object-lock-mode", mode)
            .header("x-amz-object-lock-retain-until-date", UNTIL)
            .body("text")
    };
    let governed = put_with("GOVERNANCE").send().await.ok().header("x-amz-version-id").to_owned();
    let complied = put_with("COMPLIANCE").send().await.ok().header("x-amz-version-id").to_owned();
    put_with("governance").send().await.refused(400, "InvalidArgument");
    let delete = |version: &str| http.ask("DELETE", &format!("/bucket/k?versionId={version}"));
    let bypass = "x-amz-bypass-governance-retention";
    delete(&governed).send().await.refused(403, "AccessDenied");
    delete(&complied).header(bypass, "true").send().await.refused(403, "AccessDenied");
    let told = http.get(&format!("/bucket/k?retention=&versionId={governed}")).await.ok();
    assert_eq!(told.xml("Mode").as_deref(), Some("GOVERNANCE"));
    // Of many, those that are locked stay, each with its reason.
    let listed = format!(
        "<Delete><Object><Key>k</Key><VersionId>{governed}</VersionId></Object><Object><Key>other</Key></Object></Delete>"
    );
    let many = http.ask("POST", "/bucket?delete=").header("content-md5", &md5(&listed)).body(listed);
    let many = many.send().await.ok();
    assert_eq!((many.all("Code"), many.all("DeleteMarker").len()), (vec!["AccessDenied".to_owned()], 1));
    let target = format!("/bucket/k?retention=&versionId={governed}");
    put(http, &target, &retention("GOVERNANCE", "2092-01-01T00:00:00Z")).await.refused(403, "AccessDenied");
    put(http, &target, &retention("GOVERNANCE", "2094-01-01T00:00:00Z")).await.ok();
    put(http, &target, &retention("GOVERNANCE", "2001-01-01T00:00:00Z")).await.refused(400, "InvalidArgument");
    put(http, &target, &retention("made up", UNTIL)).await.refused(400, "MalformedXML");
    assert_eq!(delete(&governed).header(bypass, "true").send().await.status, 204);
    http.get(&format!("/bucket/k?versionId={governed}")).await.refused(404, "NoSuchVersion");
    assert_eq!(&*http.get(&format!("/bucket/k?versionId={complied}")).await.ok().body, b"text");
    http.delete("/bucket").await.refused(409, "BucketNotEmpty");
    server.check();
}

#[tokio::test]
async fn a_hold_is_put_told_and_lifted() {
    let server = server().await;
    let http = &server.http;
    let hold = |status: &str| format!("<LegalHold><Status>{status}</Status></LegalHold>");
    let begun = http.ask("POST", "/bucket/k?uploads=").header("x-amz-object-lock-legal-hold", "ON").send().await.ok();
    let upload = begun.xml("UploadId").unwrap();
    let part = http.put(&format!("/bucket/k?partNumber=1&uploadId={upload}"), "text").await.ok();
    let parts = format!(
        "<CompleteMultipartUpload><Part><PartNumber>1</PartNumber><ETag>{}</ETag></Part></CompleteMultipartUpload>",
        part.header("etag").replace('"', "&quot;")
    );
    let done = http.ask("POST", &format!("/bucket/k?uploadId={upload}")).body(parts).send().await.ok();
    let version = done.header("x-amz-version-id").to_owned();
    let target = format!("/bucket/k?versionId={version}");
    http.delete(&target).await.refused(403, "AccessDenied");
    assert_eq!(http.get("/bucket/k?legal-hold=").await.ok().xml("Status").as_deref(), Some("ON"));
    assert_eq!(http.get("/bucket/k").await.ok().header("x-amz-object-lock-legal-hold"), "ON");
    http.get("/bucket/k?retention=").await.refused(404, "NoSuchObjectLockConfiguration");
    put(http, "/bucket/k?legal-hold=", &hold("made up")).await.refused(400, "MalformedXML");
    put(http, "/bucket/k?legal-hold=", &hold("OFF")).await.ok();
    assert_eq!(http.get("/bucket/k?legal-hold=").await.ok().xml("Status").as_deref(), Some("OFF"));
    assert_eq!(http.delete(&target).await.status, 204);
    server.check();
}

//! What a bucket cannot have over HTTP: clients hear that it has none, and nothing is configured in silence.

use crate::support::Server;

#[tokio::test]
async fn what_cannot_be_configured_is_not_there() {
    let server = Server::start().await;
    let http = &server.http;
    http.put("/bucket", "").await.ok();
    http.put("/bucket/k", "text").await.ok();
    for (what, code) in [
        ("policy", "NoSuchBucketPolicy"),
        ("publicAccessBlock", "NoSuchPublicAccessBlockConfiguration"),
        ("ownershipControls", "OwnershipControlsNotFoundError"),
        ("cors", "NoSuchCORSConfiguration"),
        ("encryption", "ServerSideEncryptionConfigurationNotFoundError"),
        ("lifecycle", "NoSuchLifecycleConfiguration"),
        ("website", "NoSuchWebsiteConfiguration"),
        ("replication", "ReplicationConfigurationNotFoundError"),
    ] {
        http.get(&format!("/bucket?{what}=")).await.refused(404, code);
        assert_eq!(http.delete(&format!("/bucket?{what}=")).await.status, 204, "{what}");
        http.get(&format!("/nobody?{what}=")).await.refused(404, "NoSuchBucket");
        http.delete(&format!("/nobody?{what}=")).await.refused(404, "NoSuchBucket");
        http.put(&format!("/bucket?{what}="), "<Wish/>").await.refused(501, "NotImplemented");
    }
    http.get("/bucket?object-lock=").await.refused(404, "ObjectLockConfigurationNotFoundError");
    http.get("/bucket/k?retention=").await.refused(400, "InvalidRequest");
    http.get("/bucket/k?legal-hold=").await.refused(400, "InvalidRequest");
    for what in ["logging", "notification", "accelerate"] {
        let answer = http.get(&format!("/bucket?{what}=")).await.ok();
        assert!(answer.all("Status").is_empty() && answer.all("LoggingEnabled").is_empty(), "{answer:?}");
        http.put(&format!("/bucket?{what}="), "<Wish/>").await.refused(501, "NotImplemented");
    }
    assert_eq!(http.get("/bucket?requestPayment=").await.ok().xml("Payer").as_deref(), Some("BucketOwner"));
    assert_eq!(http.get("/bucket?policyStatus=").await.ok().xml("IsPublic").as_deref(), Some("false"));
    http.get("/bucket?madeUp=").await.refused(501, "NotImplemented");
    assert_eq!(
        http.get("/bucket?list-type=2").await.ok().all("Key"),
        ["k"],
        "the bucket and its object are still there"
    );
}

#[tokio::test]
async fn the_owner_has_all_rights_and_nobody_else_gets_any() {
    let server = Server::start().await;
    let http = &server.http;
    http.put("/bucket", "").await.ok();
    http.put("/bucket/k", "text").await.ok();
    let owner = http.get("/").await.ok().xml("ID").unwrap();
    for target in ["/bucket?acl=", "/bucket/k?acl="] {
        let acl = http.get(target).await.ok();
        assert_eq!(acl.all("Permission"), ["FULL_CONTROL"], "{target}");
        assert_eq!(acl.all("ID"), [owner.as_str(), owner.as_str()]);
        http.ask("PUT", target).header("x-amz-acl", "private").send().await.ok();
        http.ask("PUT", target).header("x-amz-acl", "public-read").send().await.refused(501, "NotImplemented");
        http.ask("PUT", target).header("x-amz-grant-read", "id=x").send().await.refused(501, "NotImplemented");
        http.ask("PUT", target).send().await.refused(400, "MissingSecurityHeader");
        let list = |grantee: &str, permission: &str| {
            format!(
                r#"<AccessControlPolicy xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Owner><ID>{owner}</ID></Owner>
                <AccessControlList><Grant><Grantee xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"
                xsi:type="CanonicalUser"><ID>{grantee}</ID></Grantee><Permission>{permission}</Permission></Grant>
                </AccessControlList></AccessControlPolicy>"#
            )
        };
        http.put(target, list(&owner, "FULL_CONTROL")).await.ok();
        http.put(target, list(&owner, "READ")).await.refused(501, "NotImplemented");
        http.put(target, list("somebody", "FULL_CONTROL")).await.refused(400, "InvalidArgument");
        http.ask("PUT", target).header("x-amz-acl", "made-up").send().await.refused(400, "InvalidArgument");
    }
    http.get("/nobody?acl=").await.refused(404, "NoSuchBucket");
    http.get("/bucket/never?acl=").await.refused(404, "NoSuchKey");
    http.ask("PUT", "/bucket/never?acl=").header("x-amz-acl", "private").send().await.refused(404, "NoSuchKey");
}

#[tokio::test]
async fn a_lock_is_not_promised() {
    let server = Server::start().await;
    let http = &server.http;
    http.put("/bucket", "").await.ok();
    http.put("/bucket/k", "text").await.ok();
    let put = async |target: &str, body: &str| {
        http.ask("PUT", target).header("content-md5", &crate::support::md5(body)).body(body.to_owned()).send().await
    };
    let lock = "<ObjectLockConfiguration><ObjectLockEnabled>Enabled</ObjectLockEnabled></ObjectLockConfiguration>";
    put("/bucket?object-lock=", lock).await.refused(409, "InvalidBucketState");
    let retention =
        "<Retention><Mode>GOVERNANCE</Mode><RetainUntilDate>2093-01-01T00:00:00Z</RetainUntilDate></Retention>";
    put("/bucket/k?retention=", retention).await.refused(400, "InvalidRequest");
    put("/bucket/k?legal-hold=", "<LegalHold><Status>ON</Status></LegalHold>").await.refused(400, "InvalidRequest");
}

//! What a bucket cannot have over HTTP: clients hear that it has none, and nothing is configured in silence.

use crate::support::Server;

#[tokio::test]
async fn what_cannot_be_configured_is_not_there() {
    let server = Server::start().await;
    let http = &server.http;
    http.put("/bucket", "").await.ok();
    http.put("/bucket/k", "text").await.ok();
    for (what, code) in [
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

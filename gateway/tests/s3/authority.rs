//! Who may do what over HTTP: owners, users, the public; lists, policies, and what is kept from the public.

use cairn_core::ClusterId;
use cairn_gateway::authority::user_id;

use crate::support::client::{Answer, Ask, Http};
use crate::support::signer::Signer;
use crate::support::{OTHER_KEY, OTHER_SECRET, Server, md5};

const EVERYONE: &str = "http://acs.amazonaws.com/groups/global/AllUsers";

/// A server with a bucket of root's, and an object in it.
async fn server() -> Server {
    let server = Server::start().await;
    server.http.put("/bucket", "").await.ok();
    server.http.put("/bucket/k", "text").await.ok();
    server
}

/// As somebody who is not root.
fn other(ask: Ask<'_>) -> Ask<'_> {
    ask.signer(Signer::new(OTHER_KEY, OTHER_SECRET))
}

fn other_id() -> String {
    user_id(ClusterId(5), OTHER_KEY)
}

async fn put(ask: Ask<'_>, body: &str) -> Answer {
    ask.header("content-md5", &md5(body)).body(body.to_owned()).send().await
}

async fn as_other(http: &Http, method: &str, target: &str) -> Answer {
    other(http.ask(method, target)).send().await
}

async fn as_nobody(http: &Http, method: &str, target: &str) -> Answer {
    http.ask(method, target).anonymous().send().await
}

fn policy(effect: &str, principal: &str, action: &str, resource: &str, condition: &str) -> String {
    format!(
        r#"{{"Version": "2012-10-17", "Statement": [{{"Effect": "{effect}", "Principal": {principal}, "Action": "{action}",
            "Resource": "arn:aws:s3:::{resource}"{condition}}}]}}"#
    )
}

#[tokio::test]
async fn what_is_private_is_for_its_owner_and_root() {
    let server = server().await;
    let http = &server.http;
    for (method, target) in [
        ("GET", "/bucket"),
        ("HEAD", "/bucket"),
        ("GET", "/bucket?versions="),
        ("GET", "/bucket/k"),
        ("GET", "/bucket/never"),
        ("GET", "/bucket?acl="),
        ("GET", "/bucket/k?acl="),
        ("GET", "/bucket/k?tagging="),
        ("GET", "/bucket?policy="),
        ("PUT", "/bucket/new"),
        ("PUT", "/bucket/k?acl="),
        ("PUT", "/bucket?policy="),
        ("DELETE", "/bucket/k"),
        ("DELETE", "/bucket"),
        ("POST", "/bucket/new?uploads="),
    ] {
        for answer in [as_other(http, method, target).await, as_nobody(http, method, target).await] {
            assert_eq!(answer.status, 403, "{method} {target}: {answer:?}");
        }
    }
    as_nobody(http, "GET", "/").await.refused(403, "AccessDenied");
    as_nobody(http, "PUT", "/mine").await.refused(403, "AccessDenied");
    as_nobody(http, "GET", "/nobody/k").await.refused(404, "NoSuchBucket");
    // A copy reads what it copies.
    as_other(http, "PUT", "/mine").await.ok();
    let copy = || http.ask("PUT", "/mine/copy").header("x-amz-copy-source", "/bucket/k");
    other(copy()).send().await.refused(403, "AccessDenied");
    copy().send().await.ok();
    // Everybody sees their own buckets, and root all of them.
    assert_eq!(as_other(http, "GET", "/").await.ok().all("Name"), ["mine"]);
    assert_eq!(http.get("/").await.ok().all("Name"), ["bucket", "mine"]);
    assert_eq!(as_other(http, "GET", "/").await.ok().xml("ID"), Some(other_id()));
    as_other(http, "PUT", "/bucket").await.refused(409, "BucketAlreadyExists");
    as_other(http, "PUT", "/mine").await.ok();
    as_other(http, "GET", "/mine/copy").await.ok();
    assert_eq!(&*http.get("/bucket/k").await.ok().body, b"text");
}

#[tokio::test]
async fn lists_let_in_whom_they_name() {
    let server = server().await;
    let http = &server.http;
    let canned = |target: &'static str, list: &'static str| http.ask("PUT", target).header("x-amz-acl", list);
    canned("/bucket?acl=", "public-read").send().await.ok();
    assert_eq!(as_nobody(http, "GET", "/bucket").await.ok().all("Key"), ["k"]);
    as_nobody(http, "GET", "/bucket/k").await.refused(403, "AccessDenied");
    as_nobody(http, "GET", "/bucket/never").await.refused(404, "NoSuchKey");
    as_nobody(http, "PUT", "/bucket/new").await.refused(403, "AccessDenied");
    canned("/bucket/k?acl=", "public-read").send().await.ok();
    assert_eq!(&*as_nobody(http, "GET", "/bucket/k").await.ok().body, b"text");
    let ranged = http.ask("GET", "/bucket/k").anonymous().header("range", "bytes=0-0,2-2");
    assert_eq!(&*ranged.send().await.ok().body, b"text", "mended, and nobody's all the same");
    as_nobody(http, "GET", "/bucket/k?response-content-type=a").await.refused(400, "InvalidRequest");
    as_nobody(http, "GET", "/bucket/k?acl=").await.refused(403, "AccessDenied");
    canned("/bucket/k?acl=", "authenticated-read").send().await.ok();
    as_nobody(http, "GET", "/bucket/k").await.refused(403, "AccessDenied");
    as_other(http, "GET", "/bucket/k").await.ok();
    canned("/bucket/k?acl=", "private").send().await.ok();
    as_other(http, "GET", "/bucket/k").await.refused(403, "AccessDenied");
    // Others write, and own what they wrote; the owner of the bucket may delete it.
    canned("/bucket?acl=", "public-read-write").send().await.ok();
    other(http.ask("PUT", "/bucket/theirs")).body("mine").send().await.ok();
    as_other(http, "GET", "/bucket/theirs").await.ok();
    let acl = as_other(http, "GET", "/bucket/theirs?acl=").await.ok();
    assert_eq!((acl.all("ID"), acl.all("Permission")), (vec![other_id(), other_id()], vec!["FULL_CONTROL".to_owned()]));
    as_nobody(http, "GET", "/bucket/theirs").await.refused(403, "AccessDenied");
    let given = other(http.ask("PUT", "/bucket/given")).header("x-amz-grant-read", &format!("uri=\"{EVERYONE}\""));
    given.body("for all").send().await.ok();
    assert_eq!(&*as_nobody(http, "GET", "/bucket/given").await.ok().body, b"for all");
    as_other(http, "GET", "/bucket/given?acl=").await.ok();
    assert_eq!(as_nobody(http, "DELETE", "/bucket/given").await.status, 204);
    canned("/bucket?acl=", "made-up").send().await.refused(400, "InvalidArgument");
    http.ask("PUT", "/bucket?acl=").send().await.refused(400, "MissingSecurityHeader");
    let unknown = http.ask("PUT", "/bucket?acl=").header("x-amz-grant-read", "id=nobody");
    unknown.send().await.refused(400, "InvalidArgument");
    server.check();
}

#[tokio::test]
async fn a_list_is_set_and_told_as_a_document() {
    let server = server().await;
    let http = &server.http;
    let owner = http.get("/").await.ok().xml("ID").unwrap();
    let document = |grantee: &str, permission: &str| {
        format!(
            r#"<AccessControlPolicy xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Owner><ID>{owner}</ID></Owner>
            <AccessControlList><Grant><Grantee xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"
            xsi:type="CanonicalUser"><ID>{grantee}</ID></Grantee><Permission>{permission}</Permission></Grant>
            </AccessControlList></AccessControlPolicy>"#
        )
    };
    for target in ["/bucket?acl=", "/bucket/k?acl="] {
        let told = http.get(target).await.ok();
        assert_eq!((told.all("Permission"), told.all("ID")), (vec!["FULL_CONTROL".to_owned()], vec![owner.clone(); 2]));
        http.put(target, document(&other_id(), "READ_ACP")).await.ok();
        let told = as_other(http, "GET", target).await.ok();
        assert_eq!(
            (told.all("Permission"), told.all("ID")),
            (vec!["READ_ACP".to_owned()], vec![other_id(), owner.clone()])
        );
        as_other(http, "PUT", target).await.refused(403, "AccessDenied");
        http.put(target, document("somebody", "READ")).await.refused(400, "InvalidArgument");
        http.put(target, document(&owner, "MADE_UP")).await.refused(400, "MalformedACLError");
        http.put(target, document(&other_id(), "WRITE_ACP")).await.ok();
        other(http.ask("PUT", target)).header("x-amz-acl", "private").send().await.ok();
        as_other(http, "GET", target).await.refused(403, "AccessDenied");
    }
    http.get("/nobody?acl=").await.refused(404, "NoSuchBucket");
    http.get("/bucket/never?acl=").await.refused(404, "NoSuchKey");
}

#[tokio::test]
async fn policies_allow_and_deny() {
    let server = server().await;
    let http = &server.http;
    as_other(http, "PUT", "/mine").await.ok();
    other(http.ask("PUT", "/mine/a/1")).body("one").send().await.ok();
    other(http.ask("PUT", "/mine/b/1")).body("two").send().await.ok();
    as_other(http, "GET", "/mine?policy=").await.refused(404, "NoSuchBucketPolicy");
    let public = policy("Allow", "\"*\"", "s3:GetObject", "mine/a/*", "");
    put(other(http.ask("PUT", "/mine?policy=")), &public).await.ok();
    assert_eq!(&*as_other(http, "GET", "/mine?policy=").await.ok().body, public.as_bytes());
    assert_eq!(as_other(http, "GET", "/mine?policyStatus=").await.ok().xml("IsPublic").as_deref(), Some("true"));
    assert_eq!(&*as_nobody(http, "GET", "/mine/a/1").await.ok().body, b"one");
    as_nobody(http, "GET", "/mine/b/1").await.refused(403, "AccessDenied");
    as_nobody(http, "GET", "/mine/a/never").await.refused(403, "AccessDenied");
    as_nobody(http, "GET", "/mine").await.refused(403, "AccessDenied");
    // A denial counts for the owner too, but nobody is locked out of the policy itself.
    let denial = policy("Deny", "\"*\"", "s3:*", "*", "").replace("arn:aws:s3:::*", "*");
    put(other(http.ask("PUT", "/mine?policy=")), &denial).await.ok();
    as_other(http, "GET", "/mine/a/1").await.refused(403, "AccessDenied");
    as_other(http, "GET", "/mine").await.refused(403, "AccessDenied");
    http.get("/mine/a/1").await.ok();
    assert_eq!(as_other(http, "DELETE", "/mine?policy=").await.status, 204);
    as_other(http, "GET", "/mine/a/1").await.ok();
    let condition = r#", "Condition": {"IpAddress": {"aws:SourceIp": "127.0.0.0/8"}}"#;
    put(http.ask("PUT", "/bucket?policy="), &policy("Allow", "\"*\"", "s3:PutObject", "bucket/in/*", condition))
        .await
        .ok();
    http.ask("PUT", "/bucket/in/k").anonymous().body("x").send().await.ok();
    http.ask("PUT", "/bucket/out").anonymous().body("x").send().await.refused(403, "AccessDenied");
    let tagged = http.ask("PUT", "/bucket/in/k").anonymous().header("x-amz-tagging", "a=1").body("x");
    tagged.send().await.refused(403, "AccessDenied");
    // Of many that are to be deleted each is judged.
    let user = format!(r#"{{"AWS": "arn:aws:iam::1:user/{OTHER_KEY}"}}"#);
    put(http.ask("PUT", "/bucket?policy="), &policy("Allow", &user, "s3:DeleteObject", "bucket/in/*", "")).await.ok();
    let listed = "<Delete><Object><Key>in/k</Key></Object><Object><Key>k</Key></Object></Delete>";
    let many = put(other(http.ask("POST", "/bucket?delete=")), listed).await.ok();
    assert_eq!((many.all("Key"), many.all("Code")), (vec!["in/k".into(), "k".into()], vec!["AccessDenied".to_owned()]));
    assert_eq!(http.get("/bucket").await.ok().all("Key"), ["k"]);
    put(http.ask("POST", "/bucket?delete=").anonymous(), listed).await.refused(403, "AccessDenied");
    put(http.ask("PUT", "/bucket?policy="), "{}").await.refused(400, "MalformedPolicy");
    put(http.ask("PUT", "/bucket?policy="), &public).await.refused(400, "MalformedPolicy");
    server.check();
}

#[tokio::test]
async fn whether_a_key_is_there_is_told_to_whoever_may_list_it() {
    let server = server().await;
    let http = &server.http;
    let condition = r#", "Condition": {"StringLike": {"s3:prefix": "public/*"}}"#;
    put(http.ask("PUT", "/bucket?policy="), &policy("Allow", "\"*\"", "s3:ListBucket", "bucket", condition)).await.ok();
    as_other(http, "GET", "/bucket?prefix=public%2F").await.ok();
    as_other(http, "GET", "/bucket").await.refused(403, "AccessDenied");
    for (target, status) in [("/bucket/public/never", 404), ("/bucket/never", 403), ("/bucket/k", 403)] {
        for method in ["GET", "HEAD"] {
            assert_eq!(as_other(http, method, target).await.status, status, "{method} {target}");
        }
    }
    let but = r#", "Condition": {"StringNotLike": {"s3:prefix": "secret/*"}}"#;
    put(http.ask("PUT", "/bucket?policy="), &policy("Allow", "\"*\"", "s3:ListBucket", "bucket", but)).await.ok();
    as_other(http, "GET", "/bucket/secret/never").await.refused(403, "AccessDenied");
    as_other(http, "GET", "/bucket/open/never").await.refused(404, "NoSuchKey");
}

#[tokio::test]
async fn a_condition_of_a_write_is_for_whoever_may_read() {
    let server = server().await;
    let http = &server.http;
    let allow = |actions: &str| policy("Allow", "\"*\"", actions, "bucket/*", "");
    let tag = http.get("/bucket/k").await.ok().header("etag").to_owned();
    let put_if = |tag: &str| other(http.ask("PUT", "/bucket/k")).header("if-match", tag).body("text");
    let delete_if = |name: &'static str, value: &str| other(http.ask("DELETE", "/bucket/k")).header(name, value);
    let listed = format!("<Delete><Object><Key>k</Key><ETag>{}</ETag></Object></Delete>", tag.replace('"', "&quot;"));
    put(http.ask("PUT", "/bucket?policy="), &allow("s3:PutObject")).await.ok();
    put_if(&tag).send().await.refused(403, "AccessDenied");
    let absent = other(http.ask("PUT", "/bucket/k")).header("if-none-match", "*").body("text");
    absent.send().await.refused(412, "PreconditionFailed");
    put(http.ask("PUT", "/bucket?policy="), &allow("s3:DeleteObject")).await.ok();
    for (name, value) in [("if-match", tag.as_str()), ("if-match", "\"x\""), ("x-amz-if-match-size", "4")] {
        delete_if(name, value).send().await.refused(403, "AccessDenied");
    }
    let many = put(other(http.ask("POST", "/bucket?delete=")), &listed).await.ok();
    assert_eq!(many.all("Code"), ["AccessDenied"]);
    put(http.ask("PUT", "/bucket?policy="), &allow("s3:*")).await.ok();
    put_if("\"x\"").send().await.refused(412, "PreconditionFailed");
    put_if(&tag).send().await.ok();
    delete_if("x-amz-if-match-size", "5").send().await.refused(412, "PreconditionFailed");
    let many = put(other(http.ask("POST", "/bucket?delete=")), &listed).await.ok();
    assert_eq!((many.all("Key"), many.all("Code").len()), (vec!["k".to_owned()], 0));
}

#[tokio::test]
async fn what_somebody_puts_into_the_bucket_of_another_is_shown_as_theirs() {
    let server = server().await;
    let http = &server.http;
    let owner = http.get("/").await.ok().xml("ID").unwrap();
    http.ask("PUT", "/bucket?acl=").header("x-amz-acl", "public-read-write").send().await.ok();
    other(http.ask("PUT", "/bucket/theirs")).body("x").send().await.ok();
    let begun = other(http.ask("POST", "/bucket/theirs?uploads=")).send().await.ok().xml("UploadId").unwrap();
    for target in ["/bucket", "/bucket?list-type=2&fetch-owner=true", "/bucket?versions="] {
        let page = http.get(target).await.ok();
        assert_eq!(
            (page.all("Key"), page.all("ID")),
            (vec!["k".into(), "theirs".into()], vec![owner.clone(), other_id()])
        );
    }
    for target in ["/bucket?uploads=".to_owned(), format!("/bucket/theirs?uploadId={begun}")] {
        let page = http.get(&target).await.ok();
        assert_eq!(page.all("ID"), [other_id(), other_id()], "{target}: who began it and who will own it");
        assert_eq!(page.all("DisplayName"), vec![format!("user-{}", &other_id()[..8]); 2]);
    }
}

#[tokio::test]
async fn the_public_is_kept_out() {
    let server = server().await;
    let http = &server.http;
    http.get("/bucket?publicAccessBlock=").await.refused(404, "NoSuchPublicAccessBlockConfiguration");
    http.ask("PUT", "/bucket?acl=").header("x-amz-acl", "public-read").send().await.ok();
    put(http.ask("PUT", "/bucket?policy="), &policy("Allow", "\"*\"", "s3:GetObject", "bucket/*", "")).await.ok();
    as_nobody(http, "GET", "/bucket").await.ok();
    as_nobody(http, "GET", "/bucket/k").await.ok();
    let block = "<PublicAccessBlockConfiguration><BlockPublicAcls>true</BlockPublicAcls><IgnorePublicAcls>true\
                 </IgnorePublicAcls><BlockPublicPolicy>true</BlockPublicPolicy><RestrictPublicBuckets>true\
                 </RestrictPublicBuckets></PublicAccessBlockConfiguration>";
    put(http.ask("PUT", "/bucket?publicAccessBlock="), block).await.ok();
    let told = http.get("/bucket?publicAccessBlock=").await.ok();
    assert_eq!(told.xml("RestrictPublicBuckets").as_deref(), Some("true"));
    as_nobody(http, "GET", "/bucket").await.refused(403, "AccessDenied");
    as_nobody(http, "GET", "/bucket/k").await.refused(403, "AccessDenied");
    assert_eq!(http.get("/bucket?policyStatus=").await.ok().xml("IsPublic").as_deref(), Some("false"));
    for target in ["/bucket?acl=", "/bucket/k?acl=", "/bucket/new"] {
        let public = http.ask("PUT", target).header("x-amz-acl", "public-read");
        public.send().await.refused(403, "AccessDenied");
    }
    let public = policy("Allow", "\"*\"", "s3:PutObject", "bucket/*", "");
    put(http.ask("PUT", "/bucket?policy="), &public).await.refused(403, "AccessDenied");
    assert_eq!(http.delete("/bucket?publicAccessBlock=").await.status, 204);
    as_nobody(http, "GET", "/bucket/k").await.ok();
}

#[tokio::test]
async fn where_the_owner_owns_all_lists_count_for_nothing() {
    let server = server().await;
    let http = &server.http;
    http.get("/bucket?ownershipControls=").await.refused(404, "OwnershipControlsNotFoundError");
    http.ask("PUT", "/bucket/k?acl=").header("x-amz-acl", "public-read").send().await.ok();
    let controls = |rule: &str| {
        format!("<OwnershipControls><Rule><ObjectOwnership>{rule}</ObjectOwnership></Rule></OwnershipControls>")
    };
    put(http.ask("PUT", "/bucket?ownershipControls="), &controls("BucketOwnerEnforced")).await.ok();
    let told = http.get("/bucket?ownershipControls=").await.ok();
    assert_eq!(told.xml("ObjectOwnership").as_deref(), Some("BucketOwnerEnforced"));
    as_nobody(http, "GET", "/bucket/k").await.refused(403, "AccessDenied");
    let refused = http.ask("PUT", "/bucket/k?acl=").header("x-amz-acl", "public-read").send().await;
    refused.refused(400, "AccessControlListNotSupported");
    // Only what is so anyway may be said of an object, and nothing may be set.
    let owner = http.get("/").await.ok().xml("ID").unwrap();
    for (name, value, taken) in [
        ("x-amz-acl", "bucket-owner-full-control", true),
        ("x-amz-grant-full-control", &*format!("id={owner}"), true),
        ("x-amz-acl", "private", false),
        ("x-amz-acl", "bucket-owner-read", false),
        ("x-amz-grant-full-control", &*format!("id={}", other_id()), false),
        ("x-amz-grant-read", &*format!("id={owner}"), false),
    ] {
        let made = http.ask("PUT", "/bucket/new").header(name, value).body("x").send().await;
        let begun = http.ask("POST", "/bucket/new?uploads=").header(name, value).send().await;
        for answer in [made, begun] {
            if taken {
                answer.ok();
            } else {
                answer.refused(400, "AccessControlListNotSupported");
            }
        }
        for target in ["/bucket?acl=", "/bucket/k?acl="] {
            let set = http.ask("PUT", target).header(name, value).send().await;
            set.refused(400, "AccessControlListNotSupported");
        }
    }
    let told = http.get("/bucket/k?acl=").await.ok();
    assert_eq!((told.all("ID"), told.all("Permission")), (vec![owner.clone(); 2], vec!["FULL_CONTROL".to_owned()]));
    put(http.ask("PUT", "/bucket?ownershipControls="), &controls("MadeUp")).await.refused(400, "MalformedXML");
    assert_eq!(http.delete("/bucket?ownershipControls=").await.status, 204);
    as_nobody(http, "GET", "/bucket/k").await.ok();
    let made = http.ask("PUT", "/enforced").header("x-amz-object-ownership", "BucketOwnerEnforced");
    made.header("x-amz-acl", "public-read").send().await.refused(400, "InvalidBucketAclWithObjectOwnership");
}

#[tokio::test]
async fn users_are_made_and_removed_by_root() {
    let server = server().await;
    let http = &server.http;
    let made = http.ask("POST", "/.cairn/v1/users").send().await.ok();
    let user: serde_json::Value = serde_json::from_slice(&made.body).unwrap();
    let text = |name: &str| user[name].as_str().unwrap().to_owned();
    let signer = || Signer::new(&text("access_key"), &text("secret_key"));
    let as_new = |method: &'static str, target: &'static str| http.ask(method, target).signer(signer());
    assert_eq!(as_new("GET", "/").send().await.ok().xml("ID"), Some(text("id")));
    as_new("GET", "/bucket/k").send().await.refused(403, "AccessDenied");
    as_new("POST", "/.cairn/v1/users").send().await.refused(403, "AccessDenied");
    let listed = http.get("/.cairn/v1/users").await.ok();
    let listed = String::from_utf8(listed.body.to_vec()).unwrap();
    assert!(listed.contains(&text("id")) && !listed.contains(&text("secret_key")), "{listed}");
    let target = format!("/.cairn/v1/users/{}", text("access_key"));
    assert_eq!(http.delete(&target).await.status, 204);
    assert_eq!(http.delete(&target).await.status, 404);
    as_new("GET", "/").send().await.refused(403, "InvalidAccessKeyId");
}

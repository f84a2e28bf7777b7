//! Who gets in with a signature of version 2, headers in signed addresses, and what is judged before any signature.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use cairn_gateway::GatewayConfig;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::support::client::Answer;
use crate::support::signer_v2::{authorization, query};
use crate::support::{ACCESS_KEY, SECRET_KEY, Server};

async fn bucket() -> Server {
    let server = Server::start().await;
    server.http.put("/bucket", "").await.ok();
    server.http.put("/bucket/k", "hello").await.ok();
    server
}

fn now() -> SystemTime {
    cairn_core::Clock::wall(&*cairn_core::clock::SystemClock::start()).to_system()
}

fn seconds(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH).unwrap().as_secs()
}

/// Asks with a header of version 2. What is signed stands behind the date.
async fn by_header(
    server: &Server,
    method: &str,
    target: &str,
    time: SystemTime,
    signed: &str,
    secret: &str,
) -> Answer {
    let date = httpdate::fmt_http_date(time);
    let authorization = authorization(ACCESS_KEY, secret, &format!("{method}\n\n\n{date}\n{signed}"));
    let ask = server.http.ask(method, target).anonymous();
    ask.header("date", &date).header("authorization", &authorization).send().await
}

/// Asks with an address of version 2. `more` is added to the query behind the signature.
async fn by_address(server: &Server, method: &str, path: &str, expires: u64, signed: &str, more: &str) -> Answer {
    let query = query(ACCESS_KEY, SECRET_KEY, expires, &format!("{method}\n\n\n{expires}\n{signed}"));
    server.http.ask(method, &format!("{path}?{query}{more}")).anonymous().send().await
}

#[tokio::test]
async fn version_2_by_header() {
    let server = bucket().await;
    let get = |signed: &'static str, time, secret| by_header(&server, "GET", "/bucket/k", time, signed, secret);
    assert_eq!(get("/bucket/k", now(), SECRET_KEY).await.ok().body, "hello");
    let wrong = get("/bucket/k", now(), "wrong").await;
    wrong.refused(403, "SignatureDoesNotMatch");
    assert_eq!(wrong.xml("Resource").as_deref(), Some("/bucket/k"));
    get("/bucket/other", now(), SECRET_KEY).await.refused(403, "SignatureDoesNotMatch");
    let late = now() - Duration::from_secs(16 * 60);
    get("/bucket/k", late, SECRET_KEY).await.refused(403, "RequestTimeTooSkewed");
    let listed = by_header(&server, "GET", "/bucket?list-type=2&prefix=k", now(), "/bucket", SECRET_KEY).await.ok();
    assert_eq!(listed.all("Key"), ["k"]);
    by_header(&server, "GET", "/bucket?location", now(), "/bucket?location", SECRET_KEY).await.ok();
    by_header(&server, "GET", "/bucket?location", now(), "/bucket", SECRET_KEY)
        .await
        .refused(403, "SignatureDoesNotMatch");
    let hidden = by_header(&server, "DELETE", "/bucket/k?tagging&tagging", now(), "/bucket/k", SECRET_KEY).await;
    hidden.refused(400, "InvalidArgument");
    let unsigned = by_header(&server, "GET", "/bucket/k?attributes", now(), "/bucket/k", SECRET_KEY).await;
    unsigned.refused(403, "AccessDenied");
    let admin = by_header(&server, "GET", "/.cairn/v1/status", now(), "/.cairn/v1/status", SECRET_KEY).await;
    assert!(admin.status.is_client_error(), "{admin:?}");
}

#[tokio::test]
async fn version_2_in_addresses() {
    let server = bucket().await;
    let soon = seconds(now()) + 60;
    assert_eq!(by_address(&server, "GET", "/bucket/k", soon, "/bucket/k", "").await.ok().body, "hello");
    by_address(&server, "DELETE", "/bucket/k", soon, "/bucket/other", "").await.refused(403, "SignatureDoesNotMatch");
    let past = seconds(now()) - 60;
    by_address(&server, "GET", "/bucket/k", past, "/bucket/k", "").await.refused(403, "AccessDenied");
    let overridden = "&response-content-type=text%2Fplain";
    let signed = "/bucket/k?response-content-type=text/plain";
    let got = by_address(&server, "GET", "/bucket/k", soon, signed, overridden).await.ok();
    assert_eq!(got.header("content-type"), "text/plain");
    by_address(&server, "GET", "/bucket/k", soon, "/bucket/k", overridden).await.refused(403, "SignatureDoesNotMatch");
    by_address(&server, "DELETE", "/bucket/k", soon, "/bucket/k", "&renameObject").await.refused(403, "AccessDenied");
    // Headers of a PUT stand in the address, signed like headers.
    let meta = "x-amz-meta-colour:green\n/bucket/new";
    by_address(&server, "PUT", "/bucket/new", soon, meta, "&x-amz-meta-colour=green").await.ok();
    assert_eq!(server.http.get("/bucket/new").await.ok().header("x-amz-meta-colour"), "green");
    by_address(&server, "PUT", "/bucket/new", soon, meta, "&x-amz-meta-colour=red")
        .await
        .refused(403, "SignatureDoesNotMatch");
    // A bucket made this way knows who made it.
    by_address(&server, "PUT", "/second", soon, "/second", "").await.ok();
    // The host names the bucket: it is signed in front of the path.
    let host = format!("bucket.localhost:{}", server.address.port());
    let query = query(ACCESS_KEY, SECRET_KEY, soon, &format!("GET\n\n\n{soon}\n/bucket/k"));
    let got = server.http.ask("GET", &format!("/k?{query}")).anonymous().header("host", &host).send().await.ok();
    assert_eq!(got.body, "hello");
}

#[tokio::test]
async fn version_2_can_be_switched_off() {
    let config = GatewayConfig { signature_v2: false, memory_bytes_max: 64 << 20, ..GatewayConfig::default() };
    let server = Server::with(6, config).await;
    by_header(&server, "GET", "/", now(), "/", SECRET_KEY).await.refused(400, "InvalidRequest");
    by_address(&server, "GET", "/", seconds(now()) + 60, "/", "").await.refused(400, "InvalidRequest");
    server.http.get("/").await.ok();
}

#[tokio::test]
async fn one_way_of_signing_and_no_more() {
    let server = bucket().await;
    server.http.ask("GET", "/bucket/k?Signature=x").send().await.refused(400, "InvalidArgument");
    let presigned = server.http.signer.presigned("GET", &server.http.host, "/bucket/k", 60);
    server.http.ask("GET", &format!("/bucket/k?{presigned}")).send().await.refused(400, "InvalidArgument");
    let basic = server.http.ask("GET", "/bucket/k").anonymous().header("authorization", "Basic eDp5").send().await;
    basic.refused(400, "InvalidArgument");
    let form = server.http.ask("POST", "/bucket").anonymous().header("content-type", "multipart/form-data; boundary=x");
    form.body("--x--").send().await.refused(400, "IncorrectNumberOfFilesInPostRequest");
    let form = server.http.ask("POST", "/bucket").header("content-type", "multipart/form-data; boundary=x");
    form.body("--x--").send().await.refused(400, "InvalidRequest");
}

#[tokio::test]
async fn any_region_or_the_configured_one() {
    let config = GatewayConfig { memory_bytes_max: 64 << 20, ..GatewayConfig::default() };
    let anywhere = Server::with(6, config.clone()).await;
    let here = Server::with(6, GatewayConfig { region: Some("eu-north-7".into()), ..config }).await;
    for (region, anywhere_ok, here_ok) in
        [("us-east-1", true, false), ("eu-north-7", true, true), ("auto", true, false)]
    {
        for (server, expected) in [(&anywhere, anywhere_ok), (&here, here_ok)] {
            let mut signer = server.http.signer.clone();
            signer.region = region.into();
            let by_header = server.http.ask("GET", "/").signer(signer.clone()).send().await;
            let query = signer.presigned("GET", &server.http.host, "/", 60);
            let presigned = server.http.ask("GET", &format!("/?{query}")).anonymous().send().await;
            for answer in [by_header, presigned] {
                if expected {
                    answer.ok();
                } else {
                    answer.refused(400, "AuthorizationHeaderMalformed");
                }
            }
        }
    }
}

#[tokio::test]
async fn headers_in_signed_addresses_of_version_4() {
    let server = bucket().await;
    let address = |method: &'static str, path: &str, more: &str| {
        let query = server.http.signer.presigned_with(method, &server.http.host, path, 60, more);
        server.http.ask(method, &format!("{path}?{query}")).anonymous()
    };
    // What the JavaScript SDK makes of a GET, and of a PUT with metadata and a checksum.
    let got = address("GET", "/bucket/k", "&x-amz-checksum-mode=ENABLED&x-id=GetObject").send().await.ok();
    assert!(got.headers.contains_key("x-amz-checksum-crc64nvme"));
    let more = "&x-amz-meta-colour=dark%20green&x-amz-checksum-crc32=y%2FQ5Jg%3D%3D&x-amz-sdk-checksum-algorithm=CRC32";
    let put = address("PUT", "/bucket/new", more).body("123456789").send().await.ok();
    assert_eq!(put.header("x-amz-checksum-crc32"), "y/Q5Jg==");
    address("PUT", "/bucket/new", more).body("12345678").send().await.refused(400, "BadDigest");
    assert_eq!(server.http.get("/bucket/new").await.ok().header("x-amz-meta-colour"), "dark green");
    let acl = address("PUT", "/bucket/new", "&x-amz-acl=aws-exec-read").body("x").send().await;
    assert_eq!(acl.status.as_u16(), 501, "what is not built is refused there too: {acl:?}");
    let query = server.http.signer.presigned_with("GET", &server.http.host, "/bucket/k", 60, "");
    let added =
        server.http.ask("GET", &format!("/bucket/k?{query}&x-amz-checksum-mode=ENABLED")).anonymous().send().await;
    added.refused(403, "SignatureDoesNotMatch");
    // Conditions that s3s cannot read, in an address and by header: the signature is verified all the same.
    let ranged = address("GET", "/bucket/k", "").header("range", "bytes=3-1").send().await.ok();
    assert_eq!((ranged.status.as_u16(), &ranged.body[..]), (200, &b"hello"[..]));
    let forged = server.http.ask("GET", "/bucket/k").header("range", "bytes=3-1");
    let forged = forged.signer(crate::support::signer::Signer::new(ACCESS_KEY, "wrong")).send().await;
    forged.refused(403, "SignatureDoesNotMatch");
    let anonymous = server.http.ask("GET", "/bucket/k").header("range", "bytes=3-1").anonymous().send().await;
    anonymous.refused(403, "AccessDenied");
}

#[tokio::test]
async fn overrides_are_not_for_strangers() {
    let server = bucket().await;
    let stranger = server.http.ask("GET", "/bucket/k?response-content-type=text%2Fhtml").anonymous().send().await;
    stranger.refused(400, "InvalidRequest");
}

#[tokio::test]
async fn methods_that_s3_does_not_know() {
    let server = bucket().await;
    for (method, status, code) in
        [("PATCH", 405, "MethodNotAllowed"), ("MADEUP", 405, "MethodNotAllowed"), ("OPTIONS", 400, "BadRequest")]
    {
        let answer = server.http.ask(method, "/bucket/k").send().await;
        answer.refused(status, code);
        assert!(answer.headers.contains_key("x-amz-request-id") && answer.headers.contains_key("x-amz-id-2"));
    }
}

/// Sends bytes and reads what comes back until the server closes or says nothing more for a moment.
async fn raw(server: &Server, bytes: &[u8]) -> String {
    let mut connection = tokio::net::TcpStream::connect(server.address).await.unwrap();
    connection.write_all(bytes).await.unwrap();
    let mut said = vec![0; 64 * 1024];
    let mut length = 0;
    loop {
        let read = tokio::time::timeout(Duration::from_secs(5), connection.read(&mut said[length..])).await;
        let Ok(Ok(more)) = read else { break };
        length += more;
        let text = String::from_utf8_lossy(&said[..length]);
        if more == 0 || text.contains("</Error>") || text.contains("100 Continue") || text.contains("content-length: 0")
        {
            break;
        }
    }
    String::from_utf8_lossy(&said[..length]).into_owned()
}

fn head(method: &str, target: &str, headers: &http::HeaderMap, more: &str) -> String {
    let mut head = format!("{method} {target} HTTP/1.1\r\n{more}");
    for (name, value) in headers {
        head.push_str(&format!("{name}: {}\r\n", value.to_str().unwrap()));
    }
    head + "\r\n"
}

#[tokio::test]
async fn who_may_not_is_told_before_the_body_is_sent() {
    let server = bucket().await;
    let expect = "expect: 100-continue\r\ncontent-length: 1000000\r\n";
    let ask = |payload: &str| server.http.ask("PUT", "/bucket/k2").payload(payload).signed().0.body(()).unwrap();
    let right = ask("UNSIGNED-PAYLOAD");
    let said = raw(&server, head("PUT", "/bucket/k2", right.headers(), expect).as_bytes()).await;
    assert!(said.starts_with("HTTP/1.1 100 Continue"), "{said}");
    let mut wrong = right.headers().clone();
    let forged = wrong["authorization"].to_str().unwrap().replace("Signature=", "Signature=0000");
    wrong.insert("authorization", forged.parse().unwrap());
    let said = raw(&server, head("PUT", "/bucket/k2", &wrong, expect).as_bytes()).await;
    assert!(said.starts_with("HTTP/1.1 403") && said.contains("SignatureDoesNotMatch"), "{said}");
    let anonymous = format!("host: {}\r\n{expect}", server.http.host);
    let said = raw(&server, head("PUT", "/bucket/k2", &http::HeaderMap::new(), &anonymous).as_bytes()).await;
    assert!(said.starts_with("HTTP/1.1 403") && said.contains("<Code>AccessDenied</Code>"), "{said}");
    // What is not built is refused at the same point.
    let refused = server.http.ask("PUT", "/bucket/k2").header("x-amz-acl", "aws-exec-read").payload("UNSIGNED-PAYLOAD");
    let refused = refused.signed().0.body(()).unwrap();
    let said = raw(&server, head("PUT", "/bucket/k2", refused.headers(), expect).as_bytes()).await;
    assert!(said.starts_with("HTTP/1.1 501"), "{said}");
}

#[tokio::test]
async fn heads_that_are_too_long() {
    let server = bucket().await;
    let host = format!("host: {}\r\n", server.http.host);
    let long = format!("{host}x-filler: {}\r\n", "x".repeat(20_000));
    let said = raw(&server, head("GET", "/bucket/k", &http::HeaderMap::new(), &long).as_bytes()).await;
    assert!(said.starts_with("HTTP/1.1 400") && said.contains("RequestHeaderSectionTooLarge"), "{said}");
    // Beyond these, HTTP itself ends the conversation, with a status where it still can.
    let many: String = (0..1000).map(|number| format!("x-{number}: y\r\n")).collect();
    let said =
        raw(&server, head("GET", "/bucket/k", &http::HeaderMap::new(), &format!("{host}{many}")).as_bytes()).await;
    assert!(said.is_empty() || said.starts_with("HTTP/1.1 431"), "{said}");
    let target = format!("/bucket/{}", "k".repeat(70_000));
    let said = raw(&server, head("GET", &target, &http::HeaderMap::new(), &host).as_bytes()).await;
    assert!(said.is_empty() || said.starts_with("HTTP/1.1 414"), "{said}");
    let metadata =
        (0..200).fold(server.http.ask("PUT", "/bucket/m"), |ask, n| ask.header(&format!("x-amz-meta-{n}"), "y"));
    metadata.send().await.ok();
    server.http.get("/bucket/k").await.ok();
}

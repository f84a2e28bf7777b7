//! Pages in browsers: what they are told before a request, and beside its answer.

use crate::support::client::{Answer, Http};
use crate::support::{Server, md5};

const RULES: &str = "<CORSConfiguration><CORSRule><ID>one</ID><AllowedMethod>GET</AllowedMethod>\
    <AllowedOrigin>https://*.example.org</AllowedOrigin><AllowedHeader>x-amz-*</AllowedHeader>\
    <ExposeHeader>ETag</ExposeHeader><MaxAgeSeconds>60</MaxAgeSeconds></CORSRule><CORSRule><AllowedMethod>PUT</AllowedMethod>\
    <AllowedOrigin>*</AllowedOrigin></CORSRule></CORSConfiguration>";

async fn server() -> Server {
    let server = Server::start().await;
    server.http.put("/bucket", "").await.ok();
    server.http.put("/bucket/k", "text").await.ok();
    server
}

async fn put(http: &Http, rules: &str) -> Answer {
    http.ask("PUT", "/bucket?cors=").header("content-md5", &md5(rules)).body(rules.to_owned()).send().await
}

async fn preflight(http: &Http, target: &str, headers: &[(&str, &str)]) -> Answer {
    let ask = http.ask("OPTIONS", target).anonymous();
    headers.iter().fold(ask, |ask, (name, value)| ask.header(name, value)).send().await
}

fn said(answer: &Answer, name: &str) -> Option<String> {
    answer.headers.get(name).map(|value| value.to_str().unwrap().to_owned())
}

#[tokio::test]
async fn rules_are_put_told_and_taken_away() {
    let server = server().await;
    let http = &server.http;
    http.get("/bucket?cors=").await.refused(404, "NoSuchCORSConfiguration");
    put(http, RULES).await.ok();
    let told = http.get("/bucket?cors=").await.ok();
    assert_eq!(told.all("AllowedMethod"), ["GET", "PUT"]);
    assert_eq!(told.all("AllowedOrigin"), ["https://*.example.org", "*"]);
    assert_eq!((told.xml("ID").as_deref(), told.xml("MaxAgeSeconds").as_deref()), (Some("one"), Some("60")));
    put(http, &RULES.replace("PUT", "MADEUP")).await.refused(400, "InvalidRequest");
    put(http, "<CORSConfiguration></CORSConfiguration>").await.refused(400, "MalformedXML");
    assert_eq!(http.delete("/bucket?cors=").await.status, 204);
    http.get("/bucket?cors=").await.refused(404, "NoSuchCORSConfiguration");
    assert_eq!(http.delete("/bucket?cors=").await.status, 204);
    http.get("/nobody?cors=").await.refused(404, "NoSuchBucket");
    server.check();
}

#[tokio::test]
async fn a_browser_is_told_what_it_may_do() {
    let server = server().await;
    let http = &server.http;
    let origin = ("origin", "https://a.example.org");
    let method = |method| ("access-control-request-method", method);
    let get = preflight(http, "/bucket/k", &[origin, method("GET")]).await;
    get.refused(403, "AccessForbidden");
    put(http, RULES).await.ok();
    preflight(http, "/bucket/k", &[]).await.refused(400, "BadRequest");
    preflight(http, "/bucket/k", &[origin]).await.refused(400, "BadRequest");
    let wanted = ("access-control-request-headers", "X-Amz-Date, x-amz-meta-a");
    let may = preflight(http, "/bucket/k?X-Amz-Signature=x", &[origin, method("GET"), wanted]).await.ok();
    assert_eq!(said(&may, "access-control-allow-origin").as_deref(), Some("https://a.example.org"));
    assert_eq!(said(&may, "access-control-allow-methods").as_deref(), Some("GET"));
    assert_eq!(said(&may, "access-control-allow-headers").as_deref(), Some("x-amz-date, x-amz-meta-a"));
    assert_eq!(said(&may, "access-control-max-age").as_deref(), Some("60"));
    assert_eq!(said(&may, "access-control-allow-credentials").as_deref(), Some("true"));
    let any = preflight(http, "/bucket/k", &[("origin", "http://b"), method("PUT")]).await.ok();
    assert_eq!(said(&any, "access-control-allow-origin").as_deref(), Some("*"));
    assert_eq!(said(&any, "access-control-allow-credentials"), None);
    for refused in [
        &[("origin", "https://example.org"), method("GET")][..],
        &[origin, method("DELETE")],
        &[origin, method("GET"), ("access-control-request-headers", "authorization")],
    ] {
        preflight(http, "/bucket/k", refused).await.refused(403, "AccessForbidden");
    }
    preflight(http, "/nobody/k", &[origin, method("GET")]).await.refused(403, "AccessForbidden");
}

#[tokio::test]
async fn a_browser_is_told_who_may_see_the_answer() {
    let server = server().await;
    let http = &server.http;
    put(http, RULES).await.ok();
    let with = |origin: &'static str| http.ask("GET", "/bucket/k").header("origin", origin);
    let seen = with("https://a.example.org").send().await.ok();
    assert_eq!(said(&seen, "access-control-allow-origin").as_deref(), Some("https://a.example.org"));
    assert_eq!(said(&seen, "access-control-expose-headers").as_deref(), Some("ETag"));
    assert!(said(&seen, "vary").unwrap().contains("Origin"));
    assert_eq!(said(&with("http://b").send().await.ok(), "access-control-allow-origin"), None);
    assert_eq!(said(&http.get("/bucket/k").await.ok(), "access-control-allow-origin"), None);
    // The rules give no right to anything, and an answer that is an error may be seen, too.
    let denied = with("https://a.example.org").anonymous().send().await;
    denied.refused(403, "AccessDenied");
    assert_eq!(said(&denied, "access-control-allow-origin").as_deref(), Some("https://a.example.org"));
}

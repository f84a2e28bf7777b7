//! Against the examples of the protocol's own documentation, and everything that must not pass.

use http::{Method, Request};

use super::*;

const KEY: &str = "AKIAIOSFODNN7EXAMPLE";
const SECRET: &str = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY";

/// Tue, 27 Mar 2007 19:36:42 GMT.
const NOW: WallTime = WallTime(1_175_024_202_000);
const DATE: &str = "Tue, 27 Mar 2007 19:36:42 +0000";

fn head(method: Method, target: &str, headers: &[(&str, &str)]) -> request::Parts {
    let mut request = Request::builder().method(method).uri(target);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.body(()).unwrap().into_parts().0
}

fn code(result: S3Result<impl Sized>) -> String {
    match result {
        Ok(_) => "ok".to_owned(),
        Err(error) => error.code().as_str().to_owned(),
    }
}

#[test]
fn the_documented_examples_verify() {
    let list = "/?prefix=photos&max-keys=50&marker=puppy";
    for (method, target, bucket, date, more, signature) in [
        (Method::GET, "/photos/puppy.jpg", Some("awsexamplebucket1"), DATE, None, "qgk2+6Sv9/oM7G3qLEjTH1a1l1g="),
        (
            Method::PUT,
            "/photos/puppy.jpg",
            Some("awsexamplebucket1"),
            "Tue, 27 Mar 2007 21:15:45 +0000",
            Some(("content-type", "image/jpeg")),
            "iqRzw+ileNPu1fhspnRs8nOjjIA=",
        ),
        (
            Method::GET,
            list,
            Some("awsexamplebucket1"),
            "Tue, 27 Mar 2007 19:42:41 +0000",
            None,
            "m0WP8eCtspQl5Ahe6L1SozdX9YA=",
        ),
        (
            Method::GET,
            "/?acl",
            Some("awsexamplebucket1"),
            "Tue, 27 Mar 2007 19:44:46 +0000",
            None,
            "82ZHiFIjc+WbcwFKGUVEQspPn+0=",
        ),
        (
            Method::GET,
            "/dictionary/fran%C3%A7ais/pr%c3%a9f%c3%a8re",
            None,
            "Wed, 28 Mar 2007 01:49:49 +0000",
            None,
            "DNEZGsoieTZ92F3bUfSPQcbGmlM=",
        ),
    ] {
        let authorization = format!("AWS {KEY}:{signature}");
        let mut headers = vec![("date", date), ("authorization", &authorization)];
        headers.extend(more);
        let mut head = head(method, target, &headers);
        let carried = Carried::of(&head, bucket, moment(date).unwrap()).unwrap();
        assert_eq!(carried.access_key, KEY);
        carried.verify(SECRET).unwrap_or_else(|_| panic!("{target}: {:?}", carried.strings_to_sign));
        assert_eq!(code(carried.verify("another")), "SignatureDoesNotMatch");
        carried.take_out(&mut head);
        assert!(!head.headers.contains_key("authorization"));
        let expected = if target == list { "/?marker=puppy&max-keys=50&prefix=photos" } else { target };
        assert_eq!(head.uri.to_string(), expected, "nothing else is lost");
    }
}

#[test]
fn a_signed_address_carries_headers_and_loses_its_signature() {
    let target = "/b/k?AWSAccessKeyId=K&Expires=1175139620&Signature=AAAA&x-amz-meta-a=1%202&content-type=text%2Fplain\
                  &versionId=x%2Fy&x-id=GetObject";
    let mut head = head(Method::PUT, target, &[("x-amz-meta-b", " 3 ")]);
    let carried = Carried::of(&head, None, NOW).unwrap();
    let expected = "PUT\n\ntext/plain\n1175139620\nx-amz-meta-a:1 2\nx-amz-meta-b:3\n/b/k?versionId=x/y";
    assert_eq!(carried.strings_to_sign, [expected]);
    carried.take_out(&mut head);
    assert_eq!(head.uri.to_string(), "/b/k?versionId=x%2Fy&x-id=GetObject");
    assert_eq!(head.headers["x-amz-meta-a"], "1 2");
    assert_eq!(head.headers["content-type"], "text/plain");
}

#[test]
fn wrong_dates_and_expiries_are_refused() {
    let signed = |dates: &[(&str, &str)]| {
        let headers: Vec<_> = dates.iter().copied().chain([("authorization", "AWS K:AAAA")]).collect();
        code(Carried::of(&head(Method::GET, "/b/k", &headers), None, NOW))
    };
    for (dates, expected) in [
        (&[("date", DATE)][..], "ok"),
        (&[("date", "Tue, 27 Mar 2007 19:36:42 GMT")], "ok"),
        (&[("date", "Tue, 27 Mar 2007 19:51:42 GMT")], "ok"),
        (&[("date", "Tue, 27 Mar 2007 19:51:43 GMT")], "RequestTimeTooSkewed"),
        (&[("date", "Tue, 27 Mar 2007 19:21:41 GMT")], "RequestTimeTooSkewed"),
        (&[("x-amz-date", DATE)], "ok"),
        (&[("x-amz-date", "20070327T193642Z")], "ok"),
        // The date that is signed decides, not the other one.
        (&[("x-amz-date", "20070328T193642Z"), ("date", DATE)], "RequestTimeTooSkewed"),
        (&[("x-amz-date", DATE), ("date", "Tue, 27 Mar 1997 19:36:42 GMT")], "ok"),
        (&[], "AccessDenied"),
        (&[("date", "")], "AccessDenied"),
        (&[("date", "Bad Date")], "AccessDenied"),
        (&[("x-amz-date", "Tue, 07 Jul 1950 21:53:04 GMT")], "AccessDenied"),
        (&[("x-amz-date", "Tue, 07 Jul 2030 21:53:04 GMT")], "RequestTimeTooSkewed"),
        (&[("x-amz-date", "Sat, 27 Mar 2007 19:36:42 GMT")], "ok"),
        (&[("date", DATE), ("date", DATE)], "InvalidRequest"),
    ] {
        assert_eq!(signed(dates), expected, "{dates:?}");
    }
    for (query, expected) in [
        ("AWSAccessKeyId=K&Expires=1175024202&Signature=AAAA", "ok"),
        ("AWSAccessKeyId=K&Expires=1175024201&Signature=AAAA", "AccessDenied"),
        ("AWSAccessKeyId=K&Expires=-1&Signature=AAAA", "AccessDenied"),
        ("AWSAccessKeyId=K&Expires=soon&Signature=AAAA", "AccessDenied"),
        ("AWSAccessKeyId=K&Signature=AAAA", "AccessDenied"),
        ("Expires=1175024202&Signature=AAAA", "AccessDenied"),
        ("AWSAccessKeyId=K&Expires=1175024202&Signature=AAAA&Expires=9999999999", "InvalidArgument"),
        ("AWSAccessKeyId=K&Expires=1175024202&Signature=%FF", "InvalidURI"),
        ("AWSAccessKeyId=K&Expires=1175024202&Signature=***", "SignatureDoesNotMatch"),
    ] {
        let head = head(Method::GET, &format!("/b/k?{query}"), &[]);
        assert_eq!(code(Carried::of(&head, None, NOW)), expected, "{query}");
    }
}

#[test]
fn what_is_not_signed_decides_nothing() {
    let of = |query: &str, headers: &[(&str, &str)]| {
        let query = format!("/b/k?AWSAccessKeyId=K&Expires=1175139620&Signature=AAAA{query}");
        Carried::of(&head(Method::PUT, &query, headers), None, NOW)
    };
    for (query, headers, expected) in [
        ("&prefix=a&x-id=PutObject", &[][..], "ok"),
        ("&attributes", &[], "AccessDenied"),
        ("&retention", &[], "AccessDenied"),
        ("&legal-hold=", &[], "AccessDenied"),
        ("&renameObject", &[], "AccessDenied"),
        ("&encryption", &[], "AccessDenied"),
        ("&%61ttributes", &[], "AccessDenied"),
        // Twice is how a parameter hides from what is signed.
        ("&tagging&tagging", &[], "InvalidArgument"),
        ("&tagging&%74agging", &[], "InvalidArgument"),
        ("", &[("content-type", "a"), ("content-type", "b")], "InvalidRequest"),
        ("", &[("content-md5", "a"), ("content-md5", "b")], "InvalidRequest"),
        ("", &[("x-amz-content-sha256", "STREAMING-UNSIGNED-PAYLOAD-TRAILER")], "InvalidRequest"),
        ("", &[("x-amz-content-sha256", "UNSIGNED-PAYLOAD")], "ok"),
        ("", &[("x-amz-decoded-content-length", "5")], "InvalidRequest"),
        ("&x-amz-acl=private", &[("x-amz-acl", "public-read")], "InvalidArgument"),
        ("&x-amz-acl=a%0Ab", &[], "InvalidArgument"),
    ] {
        assert_eq!(code(of(query, headers)), expected, "{query} {headers:?}");
    }
    let plain = of("", &[]).unwrap().strings_to_sign;
    for (query, headers) in [
        ("&tagging", &[][..]),
        ("&versionId=1", &[]),
        ("&uploadId=1&partNumber=2", &[]),
        ("&response-content-type=text%2Fhtml", &[]),
        ("&x-amz-copy-source=%2Fb%2Fother", &[]),
        ("&content-type=text%2Fhtml", &[]),
        ("", &[("x-amz-copy-source", "/b/other")]),
        ("", &[("x-amz-meta-a", "b")]),
        ("", &[("content-type", "text/html")]),
        ("", &[("content-md5", "x")]),
    ] {
        assert_ne!(of(query, headers).unwrap().strings_to_sign, plain, "{query} {headers:?}");
    }
}

#[test]
fn malformed_authorization_is_refused() {
    for sent in ["AWS ", "AWS K", "AWS :AAAA", "AWS K:"] {
        let head = head(Method::GET, "/b/k", &[("date", DATE), ("authorization", sent)]);
        assert_eq!(code(Carried::of(&head, None, NOW)), "InvalidArgument", "{sent}");
    }
}

#[test]
fn a_bucket_by_its_path_is_signed_with_a_slash_or_without() {
    let strings = |target: &str, bucket| {
        let head =
            head(Method::GET, target, &[("date", "Tue, 27 Mar 2007 19:36:42 +0000"), ("authorization", "AWS k:AAAA")]);
        let now = moment("Tue, 27 Mar 2007 19:36:42 +0000").unwrap();
        let carried = Carried::of(&head, bucket, now).unwrap();
        let resource = |signed: &String| signed.rsplit('\n').next().unwrap().to_owned();
        carried.strings_to_sign.iter().map(resource).collect::<Vec<_>>()
    };
    assert_eq!(strings("/photos?uploads", None), ["/photos?uploads", "/photos/?uploads"]);
    assert_eq!(strings("/photos/", None), ["/photos/"]);
    assert_eq!(strings("/photos/k", None), ["/photos/k"]);
    assert_eq!(strings("/", None), ["/"]);
    assert_eq!(strings("/k", Some("photos")), ["/photos/k"]);
}

#[test]
fn lists_are_sorted_as_they_are_signed() {
    assert!(SIGNED.is_sorted() && HARMLESS.is_sorted());
    assert!(SIGNED.iter().all(|name| !HARMLESS.contains(name)));
}

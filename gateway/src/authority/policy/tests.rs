//! What policies say, and which of them are refused.

use cairn_core::WallTime;
use http::{HeaderMap, Uri};

use super::*;

fn user(name: &str) -> Identity {
    Identity::User { id: format!("{name:0>64}"), access_key: format!("AK{name}"), root: false }
}

fn policy(statements: &str) -> S3Result<Policy> {
    Policy::parse(&format!(r#"{{"Version": "2012-10-17", "Statement": [{statements}]}}"#), "bucket")
}

const ALLOW: &str =
    r#"{"Effect": "Allow", "Principal": "*", "Action": "s3:GetObject", "Resource": "arn:aws:s3:::bucket/a*"}"#;

fn facts<'r>(uri: &'r Uri, headers: &'r HeaderMap, identity: &'r Identity) -> Facts<'r> {
    let (peer, now) = (Some("10.1.2.3".parse().unwrap()), WallTime(1_767_268_800_000));
    let tags = Some(vec![("team".into(), "a".into())]);
    Facts { operation: "GetObject", uri, headers, identity, peer, now, tags, listed: None }
}

fn effect(policy: &Policy, identity: &Identity, action: &str, resource: &str) -> Effect {
    let (uri, headers) = (Uri::from_static("/?prefix=a/b"), HeaderMap::new());
    policy.effect(identity, action, resource, &facts(&uri, &headers, identity))
}

#[test]
fn what_is_not_understood_is_refused() {
    for document in ["", "[]", "{}", r#"{"Statement": []}"#, r#"{"Version": "2020-01-01", "Statement": []}"#] {
        assert_eq!(Policy::parse(document, "bucket").unwrap_err().code().as_str(), "MalformedPolicy", "{document}");
    }
    policy(ALLOW).unwrap();
    for (part, wrong) in [
        (r#""Allow""#, r#""Maybe""#),
        (r#""Principal""#, r#""NotPrincipal""#),
        (r#""Principal": "*""#, r#""Principal": "nobody""#),
        (r#""Principal": "*""#, r#""Principal": {"AWS": "arn:aws:iam::1:user/*"}"#),
        (r#""Principal": "*""#, r#""Principal": {"Service": "x"}"#),
        (r#""Principal": "*", "#, ""),
        ("s3:GetObject", "ec2:Run"),
        ("arn:aws:s3:::bucket/a*", "arn:aws:s3:::other/a*"),
        ("arn:aws:s3:::bucket/a*", "bucket"),
        ("bucket/a*", "bucket/${aws:username}/*"),
        (r#"a*""#, r#"a*", "Wish": 1"#),
        (r#"a*""#, r#"a*", "Condition": {"StringIs": {"s3:prefix": "a"}}"#),
        (r#"a*""#, r#"a*", "Condition": {"StringEquals": {"aws:MadeUp": "a"}}"#),
        (r#"a*""#, r#"a*", "Condition": {"StringEquals": {"s3:prefix": []}}"#),
        (r#"a*""#, r#"a*", "Condition": {"IpAddress": {"aws:SourceIp": "10.0.0.0/33"}}"#),
        (r#"a*""#, r#"a*", "Condition": {"NumericLessThan": {"s3:max-keys": "many"}}"#),
        (r#"a*""#, r#"a*", "Condition": {"Null": {"s3:prefix": "maybe"}}"#),
    ] {
        let statement = ALLOW.replace(part, wrong);
        assert_ne!(statement, ALLOW);
        assert_eq!(policy(&statement).unwrap_err().code().as_str(), "MalformedPolicy", "{statement}");
    }
    let long = format!("{{\"Id\": \"{}\"}}", "x".repeat(POLICY_BYTES_MAX));
    assert_eq!(Policy::parse(&long, "bucket").unwrap_err().code().as_str(), "MalformedPolicy");
}

#[test]
fn statements_speak_where_all_of_them_fits_and_denial_counts_more() {
    let deny = r#"{"Effect": "Deny", "Principal": {"AWS": ["arn:aws:iam::9:user/AKb"]}, "Action": ["s3:Get*"], "Resource": "arn:aws:s3:::bucket/*"}"#;
    let but = format!(
        r#"{{"Effect": "Deny", "NotPrincipal": {{"CanonicalUser": "{:0>64}"}}, "Action": "s3:PutObject", "Resource": "arn:aws:s3:::bucket/*"}}"#,
        "a"
    );
    let policy = policy(&[ALLOW, deny, &but].join(",")).unwrap();
    for (identity, action, resource, expected) in [
        (Identity::Anonymous, "GetObject", "bucket/abc", Effect::Allow),
        (user("a"), "GetObject", "bucket/abc", Effect::Allow),
        (user("a"), "getobject", "bucket/abc", Effect::Allow),
        (user("a"), "GetObject", "bucket/b", Effect::Silent),
        (user("a"), "GetObjectVersion", "bucket/abc", Effect::Silent),
        (user("b"), "GetObject", "bucket/abc", Effect::Deny),
        (user("b"), "GetObjectAcl", "bucket/b", Effect::Deny),
        (user("a"), "PutObject", "bucket/abc", Effect::Silent),
        (user("b"), "PutObject", "bucket/abc", Effect::Deny),
        (Identity::Anonymous, "PutObject", "bucket/abc", Effect::Deny),
    ] {
        assert_eq!(effect(&policy, &identity, action, resource), expected, "{identity:?} {action} {resource}");
    }
    assert!(policy.may_allow(&user("a"), "GetObject") && !policy.may_allow(&user("a"), "PutObject"));
}

#[test]
fn conditions_hold_or_not() {
    let (uri, mut headers) = (Uri::from_static("/?prefix=a/b&max-keys=5"), HeaderMap::new());
    headers.insert("x-amz-acl", "public-read".parse().unwrap());
    headers.insert("x-amz-tagging", "one=1&two=2".parse().unwrap());
    let identity = user("a");
    let facts = facts(&uri, &headers, &identity);
    for (condition, expected) in [
        (r#"{"StringEquals": {"s3:prefix": ["x", "a/b"]}}"#, true),
        (r#"{"StringEquals": {"s3:PREFIX": "a/B"}}"#, false),
        (r#"{"StringEqualsIgnoreCase": {"s3:prefix": "A/B"}}"#, true),
        (r#"{"StringLike": {"s3:prefix": "a/?"}}"#, true),
        (r#"{"StringNotLike": {"s3:prefix": ["x*", "a/*"]}}"#, false),
        (r#"{"StringNotEquals": {"s3:delimiter": "/"}}"#, true),
        (r#"{"StringEquals": {"s3:delimiter": "/"}}"#, false),
        (r#"{"StringEqualsIfExists": {"s3:delimiter": "/"}}"#, true),
        (r#"{"StringEqualsIfExists": {"s3:prefix": "/"}}"#, false),
        (r#"{"Null": {"s3:delimiter": true}}"#, true),
        (r#"{"Null": {"s3:prefix": "true"}}"#, false),
        (r#"{"NumericLessThanEquals": {"s3:max-keys": 5}}"#, true),
        (r#"{"NumericLessThan": {"s3:max-keys": 5}}"#, false),
        (r#"{"DateLessThan": {"aws:CurrentTime": "2026-01-01T12:00:01Z"}}"#, true),
        (r#"{"DateGreaterThan": {"aws:CurrentTime": "2026-01-01T12:00:00Z"}}"#, false),
        (r#"{"Bool": {"aws:SecureTransport": false}}"#, true),
        (r#"{"IpAddress": {"aws:SourceIp": ["192.168.0.0/16", "10.0.0.0/8"]}}"#, true),
        (r#"{"IpAddress": {"aws:SourceIp": "10.1.2.4"}}"#, false),
        (r#"{"NotIpAddress": {"aws:SourceIp": "10.1.2.0/24"}}"#, false),
        (r#"{"IpAddress": {"aws:SourceIp": "::/0"}}"#, false),
        (r#"{"StringEquals": {"s3:x-amz-acl": "public-read"}}"#, true),
        (r#"{"StringEquals": {"s3:ExistingObjectTag/team": "a"}}"#, true),
        (r#"{"StringEquals": {"s3:ExistingObjectTag/Team": "a"}}"#, false),
        (r#"{"StringEquals": {"s3:RequestObjectTag/two": "2"}}"#, true),
        (r#"{"ForAllValues:StringEquals": {"s3:RequestObjectTagKeys": ["one", "two"]}}"#, true),
        (r#"{"ForAllValues:StringEquals": {"s3:RequestObjectTagKeys": ["one"]}}"#, false),
        (r#"{"ForAnyValue:StringEquals": {"s3:RequestObjectTagKeys": ["one"]}}"#, true),
        (r#"{"StringEquals": {"s3:prefix": "a/b"}, "Bool": {"aws:SecureTransport": true}}"#, false),
    ] {
        for (allows, effect) in [(true, Effect::Allow), (false, Effect::Deny)] {
            let statement = ALLOW.replace(r#"a*""#, &format!(r#"a*", "Condition": {condition}"#));
            let statement = if allows { statement } else { statement.replace("Allow", "Deny") };
            let found = policy(&statement).unwrap().effect(&identity, "GetObject", "bucket/a", &facts);
            assert_eq!(found, if expected { effect } else { Effect::Silent }, "{condition}");
        }
    }
}

#[test]
fn what_is_not_known_allows_nothing_and_denies() {
    let (uri, headers, identity) = (Uri::from_static("/"), HeaderMap::new(), user("a"));
    let facts = Facts { operation: "PutObjectTagging", ..facts(&uri, &headers, &identity) };
    let statement = ALLOW.replace(r#"a*""#, r#"a*", "Condition": {"StringEquals": {"s3:RequestObjectTag/k": "v"}}"#);
    let effect = |statement: &str| policy(statement).unwrap().effect(&identity, "GetObject", "bucket/a", &facts);
    assert_eq!(effect(&statement), Effect::Silent);
    assert_eq!(effect(&statement.replace("Allow", "Deny")), Effect::Deny);
}

#[test]
fn the_public_is_everybody_from_everywhere() {
    let public = |condition: &str| policy(&ALLOW.replace(r#"a*""#, &format!(r#"a*"{condition}"#))).unwrap().is_public();
    assert!(public(""));
    assert!(public(r#", "Condition": {"StringEquals": {"s3:prefix": "a"}}"#));
    assert!(public(r#", "Condition": {"IpAddress": {"aws:SourceIp": "0.0.0.0/0"}}"#));
    assert!(!public(r#", "Condition": {"IpAddress": {"aws:SourceIp": "10.0.0.0/32"}}"#));
    assert!(!policy(&ALLOW.replace("Allow", "Deny")).unwrap().is_public());
    let one = ALLOW.replace(r#""*""#, r#"{"AWS": "arn:aws:iam::9:user/AKa"}"#);
    assert!(!policy(&one).unwrap().is_public());
}

#[test]
fn patterns_have_stars_and_question_marks() {
    for (pattern, text, expected) in [
        ("*", "", true),
        ("a*b*c", "a-b-b-c", true),
        ("a*b*c", "a-b-b", false),
        ("?", "ä", true),
        ("?", "", false),
        ("a", "ab", false),
        ("**a", "a", true),
        ("*a*a*a*a*a*b", &"a".repeat(200), false),
    ] {
        assert_eq!(fits(pattern, text), expected, "{pattern} {text}");
    }
}

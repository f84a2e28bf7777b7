//! Conditions of requests. Those of reads are decided here; those of writes are only translated: they are judged inside
//! the state machine, when the write is applied.

use std::time::UNIX_EPOCH;

use cairn_core::WallTime;
use cairn_machine::operation::{Conditions, EtagCondition};
use cairn_machine::rows::object::Etag;
use http::{HeaderMap, HeaderValue, header};
use s3s::dto::{ETag, ETagCondition as Sent, Timestamp};
use s3s::{S3Result, s3_error};

use crate::fault::Fault;

/// What a read asks of the version it finds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ReadConditions {
    /// `If-Match`.
    pub if_match: Option<EtagCondition>,
    /// `If-None-Match`.
    pub if_none_match: Option<EtagCondition>,
    /// `If-Modified-Since`, in seconds since 1970.
    pub if_modified_since: Option<u64>,
    /// `If-Unmodified-Since`, in seconds since 1970.
    pub if_unmodified_since: Option<u64>,
}

impl ReadConditions {
    /// Reads them from the headers whose names begin with this prefix: nothing for a read, `x-amz-copy-source-` for the
    /// source of a copy. A date that is none is no condition, as RFC 9110 says.
    pub fn from_headers(headers: &HeaderMap, prefix: &str) -> Self {
        let name = |name: header::HeaderName| format!("{prefix}{name}");
        let date = |sent: header::HeaderName| {
            let mut values = headers.get_all(name(sent)).iter();
            let (only, None) = (values.next()?, values.next()) else { return None };
            seconds_of_text(only.to_str().ok()?)
        };
        Self {
            if_match: tags(headers, &name(header::IF_MATCH), Comparison::Strong),
            if_none_match: tags(headers, &name(header::IF_NONE_MATCH), Comparison::Weak),
            if_modified_since: date(header::IF_MODIFIED_SINCE),
            if_unmodified_since: date(header::IF_UNMODIFIED_SINCE),
        }
    }

    /// Decides in the order of RFC 9110, section 13.2.2: a tag outweighs the date that goes with it.
    pub fn judge(&self, etag: &Etag, modified: WallTime) -> Result<(), Fault> {
        let seconds = modified.as_millis() / 1000;
        if let Some(wanted) = &self.if_match {
            if !matches(wanted, etag) {
                return Err(Fault::PreconditionFailed);
            }
        } else if self.if_unmodified_since.is_some_and(|since| seconds > since) {
            return Err(Fault::PreconditionFailed);
        }
        let known = match (&self.if_none_match, self.if_modified_since) {
            (Some(known), _) => matches(known, etag),
            (None, Some(since)) => seconds <= since,
            (None, None) => false,
        };
        if known { Err(Fault::NotModified { etag: *etag, modified }) } else { Ok(()) }
    }
}

/// `If-Range`: the part is only wanted of the version that the client has the rest of.
pub fn range_applies(headers: &HeaderMap, etag: &Etag, modified: WallTime) -> bool {
    let Some(condition) = headers.get(header::IF_RANGE) else { return true };
    let Ok(condition) = condition.to_str() else { return false };
    match seconds_of_text(condition) {
        Some(known) => known == modified.as_millis() / 1000,
        None => matches(&EtagCondition::OneOf(list(condition, Comparison::Strong)), etag),
    }
}

/// Whether a weak tag counts. It says that two versions mean the same, not that their bytes are equal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Comparison {
    Strong,
    Weak,
}

/// The condition that a header's lists of tags make, over all lines of it. Tags that cannot be ours are left out.
fn tags(headers: &HeaderMap, name: &str, comparison: Comparison) -> Option<EtagCondition> {
    let mut lines = headers.get_all(name).iter().peekable();
    lines.peek()?;
    let mut known = Vec::new();
    for line in lines.map(HeaderValue::to_str) {
        match line.map(str::trim) {
            Ok("*") => return Some(EtagCondition::Any),
            Ok(line) => known.extend(list(line, comparison)),
            Err(_) => {}
        }
    }
    Some(EtagCondition::OneOf(known))
}

/// The tags in one line: quoted, weak, or bare, as many clients send them.
fn list(line: &str, comparison: Comparison) -> Vec<Etag> {
    let mut known = Vec::new();
    let mut rest = line;
    loop {
        rest = rest.trim_start_matches([' ', '\t', ',']);
        if rest.is_empty() {
            return known;
        }
        let (weak, unmarked) = match rest.strip_prefix("W/") {
            Some(unmarked) => (true, unmarked),
            None => (false, rest),
        };
        let tag = match unmarked.strip_prefix('"') {
            Some(quoted) => {
                let Some((tag, behind)) = quoted.split_once('"') else { return known };
                rest = behind;
                tag
            }
            None => {
                let (tag, behind) = unmarked.split_once(',').unwrap_or((unmarked, ""));
                rest = behind;
                tag.trim_end()
            }
        };
        if !weak || comparison == Comparison::Weak {
            known.extend(parse(tag));
        }
    }
}

fn matches(condition: &EtagCondition, etag: &Etag) -> bool {
    match condition {
        EtagCondition::Any => true,
        EtagCondition::OneOf(tags) => tags.contains(etag),
    }
}

/// A date in any of the forms that HTTP knows.
fn seconds_of_text(text: &str) -> Option<u64> {
    let time = httpdate::parse_http_date(text.trim()).ok()?;
    Some(time.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs())
}

fn seconds_of(time: &Timestamp) -> u64 {
    let time = time::OffsetDateTime::from(time.clone());
    u64::try_from(time.unix_timestamp()).unwrap_or(0)
}

/// A tag of ours: 32 hexadecimal digits, and a number of parts behind some. Any other tag is nobody's.
pub fn parse(tag: &str) -> Option<Etag> {
    let (digits, parts) = match tag.split_once('-') {
        Some((digits, parts)) => (digits, Some(parts.parse().ok()?)),
        None => (tag, None),
    };
    let mut md5 = [0; 16];
    hex::decode_to_slice(digits, &mut md5).ok()?;
    Some(Etag { md5, parts })
}

/// What a condition of a write means to the state machine. A tag that cannot be ours matches no version.
fn condition(sent: &Sent) -> EtagCondition {
    match sent {
        Sent::Any => EtagCondition::Any,
        Sent::ETag(tag) => EtagCondition::OneOf(parse(tag.value()).into_iter().collect()),
    }
}
/// The conditions of a PUT.
pub fn of_put(if_match: Option<&Sent>, if_none_match: Option<&Sent>) -> S3Result<Conditions> {
    Ok(Conditions {
        if_match: if_match.map(condition),
        if_none_match: if_none_match.map(condition),
        ..Conditions::default()
    })
}

/// The conditions of a DELETE.
pub fn of_delete(if_match: Option<&Sent>, size: Option<i64>, modified: Option<&Timestamp>) -> S3Result<Conditions> {
    let size = size.map(u64::try_from).transpose();
    let size = size.map_err(|_| s3_error!(InvalidArgument, "A negative size."))?;
    let modified = modified.map(|time| WallTime(seconds_of(time) * 1000));
    Ok(Conditions { if_match: if_match.map(condition), if_none_match: None, size, modified })
}

/// The condition that a tag alone makes, as in the list of a DeleteObjects.
pub fn of_tag(tag: &ETag) -> Sent {
    Sent::ETag(tag.clone())
}

#[cfg(test)]
mod tests {
    use core::fmt::Display;

    use http::HeaderName;
    use s3s::dto::TimestampFormat;

    use super::*;

    const TAG: &str = "25f9e794323b453885f5181f1b624d0b";

    /// Sun, 06 Nov 1994 08:49:37.500 GMT: the half second must not count.
    const MODIFIED: WallTime = WallTime(784_111_777_500);
    const SAME: &str = "Sun, 06 Nov 1994 08:49:37 GMT";
    const LATER: &str = "Sun, 06 Nov 1994 08:49:38 GMT";
    const EARLIER: &str = "Sun, 06 Nov 1994 08:49:36 GMT";

    fn headers(prefix: &str, sent: &[(&str, &dyn Display)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in sent {
            let name = HeaderName::try_from(format!("{prefix}{name}")).unwrap();
            headers.append(name, value.to_string().parse().unwrap());
        }
        headers
    }

    fn verdict(prefix: &str, sent: &[(&str, &dyn Display)]) -> &'static str {
        let conditions = ReadConditions::from_headers(&headers(prefix, sent), prefix);
        match conditions.judge(&parse(TAG).unwrap(), MODIFIED) {
            Ok(()) => "200",
            Err(Fault::PreconditionFailed) => "412",
            Err(Fault::NotModified { .. }) => "304",
            Err(other) => panic!("{other}"),
        }
    }

    #[test]
    fn reads_are_judged_as_rfc_9110_says() {
        let quoted = format!("\"{TAG}\"");
        let (weak, listed) = (format!("W/{quoted}"), format!("\"x, y\" ,{quoted},\"z\""));
        type Case<'a> = (&'a [(&'a str, &'a dyn Display)], &'a str);
        let cases: &[Case<'_>] = &[
            (&[], "200"),
            (&[("if-match", &quoted)], "200"),
            (&[("if-match", &TAG)], "200"),
            (&[("if-match", &"\"other\"")], "412"),
            (&[("if-match", &"*")], "200"),
            (&[("if-match", &weak)], "412"),
            (&[("if-match", &listed)], "200"),
            (&[("if-match", &"\"x\""), ("if-match", &quoted)], "200"),
            (&[("if-match", &"")], "412"),
            (&[("if-none-match", &quoted)], "304"),
            (&[("if-none-match", &weak)], "304"),
            (&[("if-none-match", &listed)], "304"),
            (&[("if-none-match", &format!("x, {TAG}"))], "304"),
            (&[("if-none-match", &"*")], "304"),
            (&[("if-none-match", &"\"other\"")], "200"),
            (&[("if-none-match", &format!("\"unclosed, {TAG}"))], "200"),
            (&[("if-modified-since", &SAME)], "304"),
            (&[("if-modified-since", &EARLIER)], "200"),
            (&[("if-modified-since", &"Sunday, 06-Nov-94 08:49:37 GMT")], "304"),
            (&[("if-modified-since", &"Sun Nov  6 08:49:37 1994")], "304"),
            (&[("if-modified-since", &"yesterday")], "200"),
            (&[("if-modified-since", &SAME), ("if-modified-since", &SAME)], "200"),
            (&[("if-unmodified-since", &SAME)], "200"),
            (&[("if-unmodified-since", &EARLIER)], "412"),
            (&[("if-unmodified-since", &"never")], "200"),
            (&[("if-match", &quoted), ("if-unmodified-since", &EARLIER)], "200"),
            (&[("if-none-match", &"\"other\""), ("if-modified-since", &LATER)], "200"),
            (&[("if-none-match", &quoted), ("if-modified-since", &EARLIER)], "304"),
        ];
        for (sent, expected) in cases {
            let shown: Vec<_> = sent.iter().map(|(name, value)| format!("{name}: {value}")).collect();
            assert_eq!(verdict("", sent), *expected, "{shown:?}");
            assert_eq!(verdict("x-amz-copy-source-", sent), *expected, "of a source: {shown:?}");
        }
    }

    #[test]
    fn a_part_is_only_given_of_the_version_that_the_client_has() {
        let quoted = format!("\"{TAG}\"");
        for (sent, applies) in [
            (None, true),
            (Some(quoted.clone()), true),
            (Some(format!("W/{quoted}")), false),
            (Some("\"other\"".into()), false),
            (Some(SAME.into()), true),
            (Some(LATER.into()), false),
        ] {
            let sent = sent.map(|sent| headers("", &[("if-range", &sent)])).unwrap_or_default();
            assert_eq!(range_applies(&sent, &parse(TAG).unwrap(), MODIFIED), applies, "{sent:?}");
        }
    }

    #[test]
    fn only_our_tags_are_tags() {
        assert_eq!(parse(&format!("{TAG}-12")).unwrap().parts, Some(12));
        for foreign in ["", "abc", &TAG[1..], &format!("{TAG}-"), &format!("{TAG}-x"), &format!("{TAG}-99999999")] {
            assert_eq!(parse(foreign), None, "{foreign}");
        }
    }

    #[test]
    fn conditions_of_writes_are_translated() {
        let foreign = Sent::ETag(ETag::Strong("foreign".into()));
        assert_eq!(of_put(Some(&foreign), None).unwrap().if_match, Some(EtagCondition::OneOf(vec![])));
        assert_eq!(of_put(None, Some(&Sent::Any)).unwrap().if_none_match, Some(EtagCondition::Any));
        assert_eq!(of_put(None, Some(&foreign)).unwrap().if_none_match, Some(EtagCondition::OneOf(vec![])));
        assert!(of_put(None, None).unwrap().is_empty());
        let date = Timestamp::parse(TimestampFormat::HttpDate, SAME).unwrap();
        let deleted = of_delete(None, Some(5), Some(&date)).unwrap();
        assert_eq!((deleted.size, deleted.modified), (Some(5), Some(WallTime(784_111_777_000))));
    }
}

//! Conditions of requests. Those of reads are decided here; those of writes are only translated: they are judged inside
//! the state machine, when the write is applied.

use cairn_core::WallTime;
use cairn_machine::operation::{Conditions, EtagCondition};
use cairn_machine::rows::object::Etag;
use s3s::dto::{ETag, ETagCondition as Sent, Timestamp};
use s3s::{S3Result, s3_error};

use crate::fault::Fault;

/// What a read asks of the version it finds.
#[derive(Debug, Clone, Default)]
pub struct ReadConditions {
    /// `If-Match`.
    pub if_match: Option<Sent>,
    /// `If-None-Match`.
    pub if_none_match: Option<Sent>,
    /// `If-Modified-Since`.
    pub if_modified_since: Option<Timestamp>,
    /// `If-Unmodified-Since`.
    pub if_unmodified_since: Option<Timestamp>,
}

impl ReadConditions {
    /// Decides in the order of RFC 9110, section 13.2.2: a tag outweighs the date that goes with it.
    pub fn judge(&self, etag: &Etag, modified: WallTime) -> Result<(), Fault> {
        let seconds = modified.as_millis() / 1000;
        if let Some(wanted) = &self.if_match {
            if !matches(wanted, etag) {
                return Err(Fault::PreconditionFailed);
            }
        } else if self.if_unmodified_since.as_ref().is_some_and(|since| seconds > seconds_of(since)) {
            return Err(Fault::PreconditionFailed);
        }
        let known = match (&self.if_none_match, &self.if_modified_since) {
            (Some(known), _) => matches(known, etag),
            (None, Some(since)) => seconds <= seconds_of(since),
            (None, None) => false,
        };
        if known { Err(Fault::NotModified { etag: *etag, modified }) } else { Ok(()) }
    }
}

fn matches(sent: &Sent, etag: &Etag) -> bool {
    match sent {
        Sent::Any => true,
        Sent::ETag(sent) => parse(sent.value()).as_ref() == Some(etag),
    }
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
    if matches!(if_none_match, Some(Sent::ETag(_))) {
        return Err(s3_error!(NotImplemented, "If-None-Match of a PUT is only implemented for *."));
    }
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
    use s3s::dto::TimestampFormat;

    use super::*;

    const TAG: &str = "25f9e794323b453885f5181f1b624d0b";

    fn date(text: &str) -> Option<Timestamp> {
        Some(Timestamp::parse(TimestampFormat::HttpDate, text).unwrap())
    }

    fn verdict(conditions: &ReadConditions) -> &'static str {
        // Sun, 06 Nov 1994 08:49:37.500 GMT: the half second must not count.
        match conditions.judge(&parse(TAG).unwrap(), WallTime(784_111_777_500)) {
            Ok(()) => "200",
            Err(Fault::PreconditionFailed) => "412",
            Err(Fault::NotModified { .. }) => "304",
            Err(other) => panic!("{other}"),
        }
    }

    #[test]
    fn reads_are_judged_as_rfc_9110_says() {
        let tag = |tag: &str| Some(Sent::ETag(ETag::Strong(tag.into())));
        let (same, later, earlier) =
            ("Sun, 06 Nov 1994 08:49:37 GMT", "Sun, 06 Nov 1994 08:49:38 GMT", "Sun, 06 Nov 1994 08:49:36 GMT");
        let none = ReadConditions::default;
        for (conditions, expected) in [
            (none(), "200"),
            (ReadConditions { if_match: tag(TAG), ..none() }, "200"),
            (ReadConditions { if_match: tag("other"), ..none() }, "412"),
            (ReadConditions { if_match: Some(Sent::Any), ..none() }, "200"),
            (ReadConditions { if_none_match: tag(TAG), ..none() }, "304"),
            (ReadConditions { if_none_match: Some(Sent::ETag(ETag::Weak(TAG.into()))), ..none() }, "304"),
            (ReadConditions { if_none_match: tag("other"), ..none() }, "200"),
            (ReadConditions { if_modified_since: date(same), ..none() }, "304"),
            (ReadConditions { if_modified_since: date(earlier), ..none() }, "200"),
            (ReadConditions { if_unmodified_since: date(same), ..none() }, "200"),
            (ReadConditions { if_unmodified_since: date(earlier), ..none() }, "412"),
            (ReadConditions { if_match: tag(TAG), if_unmodified_since: date(earlier), ..none() }, "200"),
            (ReadConditions { if_none_match: tag("other"), if_modified_since: date(later), ..none() }, "200"),
            (ReadConditions { if_none_match: tag(TAG), if_modified_since: date(earlier), ..none() }, "304"),
        ] {
            assert_eq!(verdict(&conditions), expected, "{conditions:?}");
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
        assert_eq!(of_put(None, Some(&foreign)).unwrap_err().code().as_str(), "NotImplemented");
        assert!(of_put(None, None).unwrap().is_empty());
        let deleted = of_delete(None, Some(5), date("Sun, 06 Nov 1994 08:49:37 GMT").as_ref()).unwrap();
        assert_eq!((deleted.size, deleted.modified), (Some(5), Some(WallTime(784_111_777_000))));
    }
}

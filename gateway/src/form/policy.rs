//! The policy of a form: what its signer allows whoever sends it to say.
//!
//! ```text
//! {"expiration": "2026-01-01T12:00:00.000Z",
//!  "conditions": [{"acl": "private"}, ["eq", "$key", "a"], ["starts-with", "$key", "a"], ["content-length-range", 0, 9]]}
//! ```
//! It fails closed: a document that is not understood as a whole is refused, each condition must hold, and each field of
//! the form must be named by one. The names of fields are compared without their case, all values with it.

use core::ops::RangeInclusive;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use cairn_core::WallTime;
use cairn_core::units::PUT_BYTES_MAX;
use s3s::{S3Error, S3ErrorCode, S3Result, s3_error};
use serde_json::Value;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::parts::Form;
use crate::digest;
use crate::names;

/// What is demanded of one field.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Condition {
    /// The name in lower case.
    field: String,
    value: String,
    prefix: bool,
}

/// A policy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    expires: WallTime,
    conditions: Vec<Condition>,
    /// How many bytes the file may have.
    pub length: RangeInclusive<u64>,
}

fn invalid(message: &str) -> S3Error {
    let code = S3ErrorCode::Custom("InvalidPolicyDocument".into());
    let mut error = S3Error::with_message(code, format!("Invalid Policy: {message}"));
    error.set_status_code(http::StatusCode::BAD_REQUEST);
    error
}

fn refused(message: &str) -> S3Error {
    s3_error!(AccessDenied, "Invalid according to Policy: {}", names::xml_text(message.to_owned()))
}

/// Reads a policy as a form carries it.
pub fn parse(encoded: &str) -> S3Result<Policy> {
    let document = BASE64.decode(encoded.trim()).map_err(|_| invalid("it is not base64."))?;
    let document: Value = serde_json::from_slice(&document).map_err(|_| invalid("Invalid JSON."))?;
    let Value::Object(mut members) = document else { return Err(invalid("it is no object.")) };
    let expires = members.remove("expiration").ok_or_else(|| invalid("Policy missing expiration."))?;
    let expires = expires.as_str().and_then(moment).ok_or_else(|| invalid("Invalid 'expiration' value."))?;
    let list = members.remove("conditions").ok_or_else(|| invalid("Policy missing conditions."))?;
    let Value::Array(list) = list else { return Err(invalid("Invalid 'conditions' value: must be a List.")) };
    if let Some(name) = members.keys().next() {
        return Err(invalid(&names::xml_text(format!("Unexpected: '{name}'"))));
    }
    let mut policy = Policy { expires, conditions: Vec::with_capacity(list.len()), length: 0..=PUT_BYTES_MAX };
    list.iter().try_for_each(|condition| policy.add(condition))?;
    Ok(policy)
}

/// A moment in the one form that S3 takes, in UTC.
fn moment(text: &str) -> Option<WallTime> {
    let utc = text.ends_with('Z') && text.as_bytes().get(10) == Some(&b'T');
    let time = utc.then(|| OffsetDateTime::parse(text, &Rfc3339).ok()).flatten()?;
    Some(WallTime(u64::try_from(time.unix_timestamp_nanos() / 1_000_000).ok()?))
}

/// A length: a number, or a text that is one.
fn length(value: &Value) -> Option<u64> {
    value.as_u64().or_else(|| value.as_str()?.parse().ok())
}

impl Policy {
    fn add(&mut self, condition: &Value) -> S3Result<()> {
        match condition {
            Value::Object(pairs) => {
                let mut pairs = pairs.iter();
                let (Some((field, Value::String(value))), None) = (pairs.next(), pairs.next()) else {
                    return Err(invalid(
                        "Invalid Simple-Condition: Simple-Conditions must have exactly one property specified.",
                    ));
                };
                self.demand(field, value, false);
                Ok(())
            }
            Value::Array(triple) => {
                let [Value::String(operator), first, second] = triple.as_slice() else {
                    return Err(invalid("Invalid Condition: a list of three is expected."));
                };
                let operator = operator.to_ascii_lowercase();
                match (operator.as_str(), first, second) {
                    ("content-length-range", least, most) => {
                        let range = length(least).zip(length(most)).filter(|(least, most)| least <= most);
                        let (least, most) = range.ok_or_else(|| invalid("Invalid content-length-range."))?;
                        // Each condition must hold, so of several ranges the bytes that all allow.
                        self.length = least.max(*self.length.start())..=most.min(*self.length.end());
                        Ok(())
                    }
                    ("eq" | "starts-with", Value::String(field), Value::String(value)) => {
                        let field = field.strip_prefix('$').ok_or_else(|| {
                            invalid("Invalid Condition: the name of a field begins with a dollar sign.")
                        })?;
                        self.demand(field, value, operator == "starts-with");
                        Ok(())
                    }
                    _ => Err(invalid("Invalid Condition: it is not known.")),
                }
            }
            _ => Err(invalid("Invalid Condition: neither an object nor a list.")),
        }
    }

    fn demand(&mut self, field: &str, value: &str, prefix: bool) {
        let (field, value) = (field.to_ascii_lowercase(), value.to_owned());
        self.conditions.push(Condition { field, value, prefix });
    }

    /// Whether a form may say what it says, to this bucket, now.
    pub fn judge(&self, form: &Form, bucket: &str, now: WallTime) -> S3Result<()> {
        if now > self.expires {
            return Err(refused("Policy expired."));
        }
        for Condition { field, value, prefix } in &self.conditions {
            // The bucket is where the form was sent, whatever a field of it says.
            let sent = if field == "bucket" { Some(bucket) } else { form.field(field) };
            let holds = sent.is_some_and(|sent| if *prefix { sent.starts_with(value) } else { sent == value });
            if !holds {
                let operator = if *prefix { "starts-with" } else { "eq" };
                return Err(refused(&format!("Policy Condition failed: [\"{operator}\", \"${field}\", \"{value}\"]")));
            }
        }
        let named = |name: &str| self.conditions.iter().any(|condition| condition.field == name);
        let fields = form.fields.iter().map(|(name, _)| name.as_str()).chain(["bucket"]);
        match fields.filter(|name| !needs_no_condition(name)).find(|name| !named(name)) {
            Some(extra) => Err(refused(&format!("Extra input fields: {extra}"))),
            None => Ok(()),
        }
    }
}

/// Fields that say who signed, that are to be ignored, or that only let a file be refused: a checksum of it.
fn needs_no_condition(name: &str) -> bool {
    let checksum = name.strip_prefix("x-amz-checksum-").and_then(digest::kind_named).is_some();
    matches!(name, "awsaccesskeyid" | "signature" | "x-amz-signature" | "policy")
        || name.starts_with("x-ignore-")
        || checksum
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: WallTime = WallTime(1_767_268_800_000);

    fn policy(conditions: &str) -> S3Result<Policy> {
        document(&format!("{{\"expiration\": \"2026-01-01T12:00:00.000Z\", \"conditions\": {conditions}}}"))
    }

    fn document(text: &str) -> S3Result<Policy> {
        parse(&BASE64.encode(text))
    }

    fn form(fields: &[(&str, &str)]) -> Form {
        let fields = fields.iter().map(|&(name, value)| (name.to_owned(), value.to_owned())).collect();
        Form { fields, ..Form::default() }
    }

    fn code<T>(result: S3Result<T>) -> Option<String> {
        result.err().map(|error| error.code().as_str().to_owned())
    }

    #[test]
    fn what_is_not_understood_is_refused() {
        for text in [
            "",
            "[]",
            "{\"conditions\": []}",
            "{\"expiration\": \"2026-01-01T12:00:00Z\"}",
            "{\"EXPIRATION\": \"2026-01-01T12:00:00Z\", \"conditions\": []}",
            "{\"expiration\": \"2026-01-01T12:00:00Z\", \"CONDITIONS\": []}",
            "{\"expiration\": \"2026-01-01T12:00:00Z\", \"conditions\": [], \"more\": 1}",
            "{\"expiration\": \"2026-01-01 12:00:00Z\", \"conditions\": []}",
            "{\"expiration\": \"2026-01-01T12:00:00+00:00\", \"conditions\": []}",
            "{\"expiration\": 5, \"conditions\": []}",
        ] {
            assert_eq!(code(document(text)).as_deref(), Some("InvalidPolicyDocument"), "{text}");
        }
        for conditions in [
            "{}",
            "[{}]",
            "[{\"a\": \"1\", \"b\": \"2\"}]",
            "[{\"a\": 1}]",
            "[[\"eq\", \"key\", \"a\"]]",
            "[[\"ends-with\", \"$key\", \"a\"]]",
            "[[\"eq\", \"$key\"]]",
            "[[\"content-length-range\", 0]]",
            "[[\"content-length-range\", -1, 0]]",
            "[[\"content-length-range\", 2, 1]]",
            "[5]",
        ] {
            assert_eq!(code(policy(conditions)).as_deref(), Some("InvalidPolicyDocument"), "{conditions}");
        }
        assert_eq!(code(parse("?")).as_deref(), Some("InvalidPolicyDocument"));
    }

    #[test]
    fn each_condition_must_hold_and_each_field_be_named() {
        let sound = &[("key", "user/a"), ("acl", "private"), ("policy", "x"), ("x-ignore-me", "y")][..];
        let conditions = "[{\"bucket\": \"b\"}, [\"starts-with\", \"$Key\", \"user/\"], {\"aCL\": \"private\"}]";
        let judged = |conditions: &str, fields: &[(&str, &str)], bucket: &str, now: u64| {
            code(policy(conditions).unwrap().judge(&form(fields), bucket, WallTime(NOW.0 + now)))
        };
        assert_eq!(judged(conditions, sound, "b", 0), None);
        let denied = Some("AccessDenied".to_owned());
        assert_eq!(judged(conditions, sound, "b", 1), denied, "expired");
        assert_eq!(judged(conditions, sound, "c", 0), denied, "another bucket");
        assert_eq!(judged(conditions, &[("key", "User/a"), ("acl", "private")], "b", 0), denied, "values have a case");
        assert_eq!(judged(conditions, &[("key", "user/a")], "b", 0), denied, "a field is missing");
        let more = [sound, &[("x-amz-meta-a", "1")]].concat();
        assert_eq!(judged(conditions, &more, "b", 0), denied, "a field too many");
        let checksum = [sound, &[("x-amz-checksum-crc32", "AAAAAA==")]].concat();
        assert_eq!(judged(conditions, &checksum, "b", 0), None, "a checksum allows nothing");
        let algorithm = [sound, &[("x-amz-checksum-type", "FULL_OBJECT")]].concat();
        assert_eq!(judged(conditions, &algorithm, "b", 0), denied);
        let anywhere = "[[\"starts-with\", \"$key\", \"\"]]";
        assert_eq!(judged(anywhere, &[("key", "k")], "b", 0), denied, "no bucket is named");
        let lying = [sound, &[("bucket", "b")]].concat();
        assert_eq!(judged(conditions, &lying, "c", 0), denied, "the bucket is where the form was sent");
    }

    #[test]
    fn lengths_are_bounded_by_all_ranges() {
        let of = |conditions: &str| policy(conditions).unwrap().length;
        assert_eq!(of("[]"), 0..=PUT_BYTES_MAX);
        assert_eq!(of("[[\"content-length-range\", 5, \"9\"]]"), 5..=9);
        assert_eq!(of("[[\"content-length-range\", 5, 9], [\"Content-Length-Range\", 1, 7]]"), 5..=7);
    }
}

//! Tags of objects and buckets: the two ways in which clients write them, and what they may be.
//!
//! Tags are a set. They are kept sorted, so that equal sets are shown equally, however they were written.

use s3s::dto::Tag;
use s3s::{S3Result, s3_error};

use crate::bucket::url_encoding;

/// The most tags of an object.
pub const OBJECT_TAGS_MAX: usize = 10;

/// The most tags of a bucket.
pub const BUCKET_TAGS_MAX: usize = 50;

/// The longest name, in characters.
const NAME_CHARS_MAX: usize = 128;

/// The longest value, in characters.
const VALUE_CHARS_MAX: usize = 256;

/// What the names of AWS's own tags begin with.
const RESERVED: &str = "aws:";

/// Names and values.
pub type Tags = Vec<(String, String)>;

/// What `x-amz-tagging` says: the query part of an URL.
pub fn of_header(text: &str) -> S3Result<Tags> {
    let malformed = || s3_error!(InvalidArgument, "The header x-amz-tagging is no list of URL-encoded parameters.");
    let mut tags = Tags::new();
    for pair in text.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let name = url_encoding::decode(name).ok_or_else(malformed)?;
        let value = url_encoding::decode(value).ok_or_else(malformed)?;
        tags.push((name.into_owned(), value.into_owned()));
    }
    checked(tags, OBJECT_TAGS_MAX)
}

/// What a `TagSet` says.
pub fn of_set(set: Vec<Tag>, most: usize) -> S3Result<Tags> {
    let pair = |tag: Tag| match (tag.key, tag.value) {
        (Some(name), value) => Ok((name, value.unwrap_or_default())),
        (None, _) => Err(s3_error!(MalformedXML)),
    };
    checked(set.into_iter().map(pair).collect::<S3Result<_>>()?, most)
}

/// Tags as a `TagSet`.
pub fn shown(tags: Tags) -> Vec<Tag> {
    tags.into_iter().map(|(name, value)| Tag { key: Some(name), value: Some(value) }).collect()
}

fn checked(mut tags: Tags, most: usize) -> S3Result<Tags> {
    if tags.len() > most {
        return Err(s3_error!(InvalidTag, "There may be at most {most} tags."));
    }
    for (name, value) in &tags {
        if name.is_empty() || name.chars().count() > NAME_CHARS_MAX || !name.chars().all(is_allowed) {
            return Err(s3_error!(InvalidTag, "The TagKey you have provided is invalid"));
        }
        if value.chars().count() > VALUE_CHARS_MAX || !value.chars().all(is_allowed) {
            return Err(s3_error!(InvalidTag, "The TagValue you have provided is invalid"));
        }
        if name.starts_with(RESERVED) {
            return Err(s3_error!(InvalidTag, "System tags cannot be added/updated by requester"));
        }
    }
    tags.sort_unstable();
    if tags.windows(2).any(|pair| pair[0].0 == pair[1].0) {
        return Err(s3_error!(InvalidTag, "Cannot provide multiple Tags with the same key"));
    }
    Ok(tags)
}

/// Letters, digits and spaces of any script, and these.
fn is_allowed(char: char) -> bool {
    char.is_alphanumeric() || char == ' ' || (char.is_whitespace() && !char.is_control()) || "_.:/=+-@".contains(char)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs(pairs: &[(&str, &str)]) -> Tags {
        pairs.iter().map(|&(name, value)| (name.to_owned(), value.to_owned())).collect()
    }

    fn set(pairs: &[(&str, &str)]) -> Vec<Tag> {
        shown(self::pairs(pairs))
    }

    fn code<T>(result: S3Result<T>) -> Option<String> {
        result.err().map(|error| error.code().as_str().to_owned())
    }

    #[test]
    fn a_header_is_read_as_a_query() {
        for (text, tags) in [
            ("", &[][..]),
            ("foo=bar&bar", &[("bar", ""), ("foo", "bar")]),
            ("a+b=c%20d&%C3%A4=%3D", &[("a b", "c d"), ("ä", "=")]),
            ("k=a=b", &[("k", "a=b")]),
        ] {
            assert_eq!(of_header(text).unwrap(), pairs(tags), "{text}");
        }
        assert_eq!(of_header("%C3%A4=a%2Bb").unwrap(), pairs(&[("ä", "a+b")]));
        for malformed in ["a%2", "a=%zz", "%ff=x"] {
            assert_eq!(code(of_header(malformed)).as_deref(), Some("InvalidArgument"), "{malformed}");
        }
    }

    #[test]
    fn what_is_no_tag_is_refused() {
        let long = |count: usize| "ä".repeat(count);
        let many: Vec<_> = (0..11).map(|n| (n.to_string(), String::new())).collect();
        let many: Vec<_> = many.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        assert_eq!(of_set(set(&[(&long(128), &long(256))]), OBJECT_TAGS_MAX).unwrap().len(), 1);
        assert_eq!(of_set(set(&many), BUCKET_TAGS_MAX).unwrap().len(), 11);
        for refused in [
            &[("", "x")][..],
            &[(&*long(129), "")],
            &[("a", &*long(257))],
            &[("a", "1"), ("a", "2")],
            &[("aws:a", "")],
            &[("a", "&")],
            &[("a\u{1}", "")],
            &many,
        ] {
            assert_eq!(code(of_set(set(refused), OBJECT_TAGS_MAX)).as_deref(), Some("InvalidTag"), "{refused:?}");
        }
        let nameless = vec![Tag { key: None, value: None }];
        assert_eq!(code(of_set(nameless, OBJECT_TAGS_MAX)).as_deref(), Some("MalformedXML"));
    }
}

//! Which bytes of an object a request means. Pure.

use core::ops::Range;

use http::{HeaderMap, header};
use s3s::dto::Range as Sent;

use crate::fault::Fault;

/// The one range that a request names. What is no range, and several of them, mean the whole object, as on AWS.
pub fn sent(headers: &HeaderMap) -> Option<Sent> {
    let mut values = headers.get_all(header::RANGE).iter();
    let (only, None) = (values.next()?, values.next()) else { return None };
    Sent::parse(only.to_str().ok()?).ok()
}

/// The bytes that a range names in an object of this size; all of them where none is named.
pub fn resolve(sent: Option<&Sent>, size: u64) -> Result<Range<u64>, Fault> {
    let Some(sent) = sent else { return Ok(0..size) };
    // An empty object has no byte that could be asked for, not even its last ones.
    if size == 0 {
        return Err(Fault::InvalidRange { size });
    }
    sent.check(size).map_err(|_| Fault::InvalidRange { size })
}

/// `Content-Range`, for an answer that holds a part.
pub fn content_range(range: &Range<u64>, size: u64) -> String {
    format!("bytes {}-{}/{size}", range.start, range.end - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_mean_what_http_says() {
        for (text, size, expected) in [
            ("bytes=0-0", 10, Some(0..1)),
            ("bytes=2-4", 10, Some(2..5)),
            ("bytes=2-", 10, Some(2..10)),
            ("bytes=2-100", 10, Some(2..10)),
            ("bytes=-3", 10, Some(7..10)),
            ("bytes=-30", 10, Some(0..10)),
            ("bytes=9-9", 10, Some(9..10)),
            ("bytes=10-", 10, None),
            ("bytes=10-20", 10, None),
            ("bytes=-0", 10, None),
            ("bytes=0-0", 0, None),
            ("bytes=-1", 0, None),
        ] {
            let sent = Sent::parse(text).unwrap();
            assert_eq!(resolve(Some(&sent), size).ok(), expected, "{text} of {size}");
        }
        assert_eq!(resolve(None, 10).unwrap(), 0..10);
        assert_eq!(content_range(&(2..5), 10), "bytes 2-4/10");
    }

    #[test]
    fn what_is_no_single_range_is_none() {
        for (values, expected) in [
            (&["bytes=2-4"][..], true),
            (&[], false),
            (&["bytes=4-2"], false),
            (&["bytes=0-1,4-5"], false),
            (&["bytes=0-1", "bytes=4-5"], false),
            (&["lines=0-1"], false),
            (&["bytes=x"], false),
            (&["bytes="], false),
            (&["0-1"], false),
        ] {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(header::RANGE, http::HeaderValue::from_static(value));
            }
            assert_eq!(sent(&headers).is_some(), expected, "{values:?}");
        }
    }
}

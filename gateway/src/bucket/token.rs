//! Continuation tokens: where a listing goes on, opaque to clients.
//!
//! A version and what was last shown, in base64. Nothing secret is in there, and a made-up one shows nothing that a
//! `start-after` would not.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use cairn_core::BucketName;
use cairn_core::units::OBJECT_KEY_BYTES_MAX;
use cairn_metadata::query::ListStart;
use s3s::{S3Result, s3_error};

const VERSION: u8 = 1;
const KEY: u8 = b'k';
const PREFIX: u8 = b'p';
const BUCKET: u8 = b'b';

/// A token for what follows.
pub fn encode(start: &ListStart) -> String {
    match start {
        ListStart::Key(key) => write(KEY, key.as_ref()),
        ListStart::CommonPrefix(prefix) => write(PREFIX, prefix.as_ref()),
    }
}

/// What a token says.
pub fn decode(token: &str) -> S3Result<ListStart> {
    match read(token)? {
        (KEY, key) => Ok(ListStart::Key(key)),
        (PREFIX, prefix) => Ok(ListStart::CommonPrefix(prefix)),
        _ => Err(foreign()),
    }
}

/// A token for the buckets that follow.
pub fn encode_bucket(name: &BucketName) -> String {
    write(BUCKET, name.as_str())
}

/// What a token of a list of buckets says.
pub fn decode_bucket(token: &str) -> S3Result<BucketName> {
    match read(token)? {
        (BUCKET, name) => BucketName::new(name).map_err(|_| foreign()),
        _ => Err(foreign()),
    }
}

fn write(kind: u8, text: &str) -> String {
    BASE64.encode([&[VERSION, kind], text.as_bytes()].concat())
}

fn read(token: &str) -> S3Result<(u8, String)> {
    if token.len() > 2 * OBJECT_KEY_BYTES_MAX {
        return Err(foreign());
    }
    let bytes = BASE64.decode(token).map_err(|_| foreign())?;
    match bytes.split_at_checked(2) {
        Some(([VERSION, kind], text)) => {
            String::from_utf8(text.to_vec()).map(|text| (*kind, text)).map_err(|_| foreign())
        }
        _ => Err(foreign()),
    }
}

fn foreign() -> s3s::S3Error {
    s3_error!(InvalidArgument, "The continuation token provided is incorrect")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_come_back_and_foreign_ones_are_refused() {
        for start in [ListStart::Key("a/ä b".into()), ListStart::CommonPrefix("a/".into())] {
            let token = encode(&start);
            assert!(token.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_'), "{token}");
            assert_eq!(encode(&decode(&token).unwrap()), token);
        }
        let name = BucketName::new("photos").unwrap();
        assert_eq!(decode_bucket(&encode_bucket(&name)).unwrap(), name);
        for bad in ["", "!", "AA", &encode_bucket(&name), &BASE64.encode([9, KEY, b'a']), &"A".repeat(3000)] {
            assert!(decode(bad).is_err(), "{bad}");
        }
    }
}

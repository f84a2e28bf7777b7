//! Names that people choose: buckets and keys. Checked once, when they are made.

use core::fmt;

use minicbor::{Decode, Encode};

use crate::units::OBJECT_KEY_BYTES_MAX;

/// Why a name is not one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidName {
    /// Not what S3 allows for a bucket.
    #[error("a bucket name has 3 to 63 of a-z, 0-9, '.' and '-', begins and ends with a letter or digit")]
    Bucket,
    /// A key without a byte.
    #[error("a key has at least one byte")]
    KeyEmpty,
    /// A key of more than 1,024 bytes.
    #[error("a key has at most {OBJECT_KEY_BYTES_MAX} bytes of UTF-8")]
    KeyTooLong,
}

/// The name of a bucket, by the rules of S3.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Encode)]
#[cbor(transparent)]
pub struct BucketName(#[n(0)] String);

impl BucketName {
    /// Checks a name by the rules of S3.
    pub fn new(name: impl Into<String>) -> Result<Self, InvalidName> {
        let name = name.into();
        let inside = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
        let bytes = name.as_bytes();
        let well_formed = (3..=63).contains(&bytes.len())
            && bytes.iter().all(|&b| inside(b) || b == b'.' || b == b'-')
            && bytes.first().copied().is_some_and(inside)
            && bytes.last().copied().is_some_and(inside)
            && !name.contains("..")
            && !name.starts_with("xn--")
            && !name.ends_with("-s3alias")
            && name.parse::<std::net::Ipv4Addr>().is_err();
        if well_formed { Ok(Self(name)) } else { Err(InvalidName::Bucket) }
    }

    /// As text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The key of an object: any UTF-8 of 1 to 1,024 bytes. `a` and `a/b` are two keys, `../x` is an ordinary one.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Encode)]
#[cbor(transparent)]
pub struct ObjectKey(#[n(0)] String);

impl ObjectKey {
    /// Checks the length.
    pub fn new(key: impl Into<String>) -> Result<Self, InvalidName> {
        let key = key.into();
        match key.len() {
            0 => Err(InvalidName::KeyEmpty),
            1..=OBJECT_KEY_BYTES_MAX => Ok(Self(key)),
            _ => Err(InvalidName::KeyTooLong),
        }
    }

    /// As text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

macro_rules! checked_text {
    ($name:ident) => {
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&self.0, f)
            }
        }

        impl<'b, C> Decode<'b, C> for $name {
            fn decode(d: &mut minicbor::Decoder<'b>, _: &mut C) -> Result<Self, minicbor::decode::Error> {
                Self::new(d.str()?).map_err(minicbor::decode::Error::custom)
            }
        }
    };
}

checked_text!(BucketName);
checked_text!(ObjectKey);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_follow_the_rules_of_s3() {
        for good in ["abc", "a.b-c", "127.0.0.1.x", "0ab"] {
            assert!(BucketName::new(good).is_ok(), "{good}");
        }
        for bad in ["ab", "-ab", "ab-", "a..b", "Abc", "a_b", "127.0.0.1", "xn--abc", &"a".repeat(64)] {
            assert_eq!(BucketName::new(bad), Err(InvalidName::Bucket), "{bad}");
        }
    }

    #[test]
    fn any_key_of_up_to_1024_bytes_is_one() {
        for good in ["a", "a/b", "../x", "./y", "a//b", "\u{1}\n", &"ä".repeat(512)] {
            assert!(ObjectKey::new(good).is_ok());
        }
        assert_eq!(ObjectKey::new(""), Err(InvalidName::KeyEmpty));
        assert_eq!(ObjectKey::new("a".repeat(1025)), Err(InvalidName::KeyTooLong));
        let hostile = minicbor::to_vec("").unwrap();
        assert!(minicbor::decode::<ObjectKey>(&hostile).is_err());
    }
}

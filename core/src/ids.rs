//! Every name in the system is a type of its own, so that a drive's id can never stand where a node's belongs.
//!
//! Ids that random bits make are printed as fixed-width hexadecimal; the binary form is big-endian, so that byte order
//! is value order and ids can stand inside row keys.

use core::fmt;
use core::str::FromStr;

use minicbor::{Decode, Encode};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A text or a byte string that is not an id of the kind asked for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not a {kind}")]
pub struct InvalidId {
    /// What was expected, in a person's words.
    pub kind: &'static str,
    /// What was found instead, cut to a bounded length.
    pub text: String,
}

impl InvalidId {
    fn new(kind: &'static str, text: &str) -> Self {
        Self { kind, text: text.chars().take(64).collect() }
    }
}

macro_rules! hex_id {
    ($(#[$doc:meta])* $name:ident($int:ty), $kind:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub $int);

        impl $name {
            /// How many bytes the binary form has.
            pub const BYTES: usize = size_of::<$int>();

            /// Big-endian, so that byte order is value order.
            pub const fn to_bytes(self) -> [u8; size_of::<$int>()] {
                self.0.to_be_bytes()
            }

            /// The inverse of [`Self::to_bytes`].
            pub const fn from_bytes(bytes: [u8; size_of::<$int>()]) -> Self {
                Self(<$int>::from_be_bytes(bytes))
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:0width$x}", self.0, width = size_of::<$int>() * 2)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!($kind, " {}"), self)
            }
        }

        impl FromStr for $name {
            type Err = InvalidId;

            fn from_str(text: &str) -> Result<Self, InvalidId> {
                let well_formed = text.len() == size_of::<$int>() * 2
                    && text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
                if !well_formed {
                    return Err(InvalidId::new($kind, text));
                }
                <$int>::from_str_radix(text, 16).map(Self).map_err(|_| InvalidId::new($kind, text))
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = String::deserialize(deserializer)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }

        impl<C> Encode<C> for $name {
            fn encode<W: minicbor::encode::Write>(
                &self,
                e: &mut minicbor::Encoder<W>,
                _: &mut C,
            ) -> Result<(), minicbor::encode::Error<W::Error>> {
                e.bytes(&self.to_bytes())?.ok()
            }
        }

        impl<'b, C> Decode<'b, C> for $name {
            fn decode(d: &mut minicbor::Decoder<'b>, _: &mut C) -> Result<Self, minicbor::decode::Error> {
                let bytes = d.bytes()?;
                bytes
                    .try_into()
                    .map(Self::from_bytes)
                    .map_err(|_| minicbor::decode::Error::message(concat!("wrong length for a ", $kind)))
            }
        }
    };
}

hex_id!(
    /// One cluster: everything that shares one log. 128 random bits, drawn when it is formed.
    ClusterId(u128), "cluster"
);
hex_id!(
    /// One process that is a member of the cluster. 64 random bits.
    NodeId(u64), "node"
);
hex_id!(
    /// One directory on one device: the unit that fails and is placed on. 64 random bits, written in its `drive.json`.
    DriveId(u64), "drive"
);
hex_id!(
    /// One process start of a gateway or repair daemon, registered in the log. 64 random bits, so that no history, not
    /// even one that was cut back by an operator, can issue it again.
    SessionId(u64), "session"
);
hex_id!(
    /// One bucket, for as long as it lives: made of the log index at which it was created, and of which operation of that
    /// entry it was. A bucket made again under the same name is another bucket.
    BucketId(u64), "bucket"
);
hex_id!(
    /// One start of the operation log on one roster of drives. 64 random bits.
    EpochId(u64), "epoch"
);

/// A place in the operation log: the only clock that orders.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize, Encode, Decode)]
#[serde(transparent)]
#[cbor(transparent)]
pub struct LogIndex(#[n(0)] pub u64);

impl fmt::Display for LogIndex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The name of one attempt to write one thing, never used twice (invariant 5).
///
/// Two attempts at the same position of the same stripe differ in their write ids, so they live side by side on a drive
/// and a delete names exactly one of them.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WriteId {
    /// Whose attempt it is.
    pub session: SessionId,
    /// Grows by one with each attempt of the session.
    pub counter: u64,
}

impl WriteId {
    /// How many bytes the binary form has.
    pub const BYTES: usize = 16;

    /// Session, then counter, both big-endian.
    pub fn to_bytes(self) -> [u8; Self::BYTES] {
        let mut bytes = [0; Self::BYTES];
        bytes[..8].copy_from_slice(&self.session.to_bytes());
        bytes[8..].copy_from_slice(&self.counter.to_be_bytes());
        bytes
    }

    /// The inverse of [`Self::to_bytes`].
    pub fn from_bytes(bytes: [u8; Self::BYTES]) -> Self {
        let [s0, s1, s2, s3, s4, s5, s6, s7, c0, c1, c2, c3, c4, c5, c6, c7] = bytes;
        Self {
            session: SessionId::from_bytes([s0, s1, s2, s3, s4, s5, s6, s7]),
            counter: u64::from_be_bytes([c0, c1, c2, c3, c4, c5, c6, c7]),
        }
    }
}

impl fmt::Display for WriteId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{:x}", self.session, self.counter)
    }
}

impl fmt::Debug for WriteId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "write {self}")
    }
}

impl FromStr for WriteId {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, InvalidId> {
        let wrong = || InvalidId::new("write", text);
        let (session, counter) = text.split_once('-').ok_or_else(wrong)?;
        let counter = u64::from_str_radix(counter, 16).map_err(|_| wrong())?;
        Ok(Self { session: session.parse()?, counter })
    }
}

impl<C> Encode<C> for WriteId {
    fn encode<W: minicbor::encode::Write>(
        &self,
        e: &mut minicbor::Encoder<W>,
        _: &mut C,
    ) -> Result<(), minicbor::encode::Error<W::Error>> {
        e.bytes(&self.to_bytes())?.ok()
    }
}

impl<'b, C> Decode<'b, C> for WriteId {
    fn decode(d: &mut minicbor::Decoder<'b>, _: &mut C) -> Result<Self, minicbor::decode::Error> {
        d.bytes()?
            .try_into()
            .map(Self::from_bytes)
            .map_err(|_| minicbor::decode::Error::message("wrong length for a write id"))
    }
}

/// One coded group of k+m chunks, named by the write that first made it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
#[cbor(transparent)]
pub struct StripeId(#[n(0)] pub WriteId);

impl fmt::Display for StripeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for StripeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "stripe {self}")
    }
}

/// Immutable bytes of one object, known by this name for as long as anything refers to them. Logical: never a place on
/// a disk.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
pub struct ExtentId {
    /// The write that brought the bytes.
    #[n(0)]
    pub write: WriteId,
    /// Which of the extents of that write, where one write packs many.
    #[n(1)]
    pub ordinal: u16,
}

impl ExtentId {
    /// How many bytes the binary form has.
    pub const BYTES: usize = WriteId::BYTES + 2;

    /// Write id, then ordinal, big-endian.
    pub fn to_bytes(self) -> [u8; Self::BYTES] {
        let mut bytes = [0; Self::BYTES];
        bytes[..WriteId::BYTES].copy_from_slice(&self.write.to_bytes());
        bytes[WriteId::BYTES..].copy_from_slice(&self.ordinal.to_be_bytes());
        bytes
    }
}

impl fmt::Display for ExtentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.write, self.ordinal)
    }
}

impl fmt::Debug for ExtentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "extent {self}")
    }
}

/// One version of an object: where in the log it was made. A later version compares greater.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
pub struct VersionId {
    /// The log entry that made it.
    #[n(0)]
    pub index: LogIndex,
    /// Which operation of that entry.
    #[n(1)]
    pub ordinal: u16,
}

impl fmt::Display for VersionId {
    /// As clients see it: opaque to them, 20 hexadecimal digits.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}{:04x}", self.index.0, self.ordinal)
    }
}

impl FromStr for VersionId {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, InvalidId> {
        let wrong = || InvalidId::new("version", text);
        if text.len() != 20 || !text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b)) {
            return Err(wrong());
        }
        let (index, ordinal) = text.split_at(16);
        Ok(Self {
            index: LogIndex(u64::from_str_radix(index, 16).map_err(|_| wrong())?),
            ordinal: u16::from_str_radix(ordinal, 16).map_err(|_| wrong())?,
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn ids_survive_text_and_bytes(session: u64, counter: u64, index: u64, ordinal: u16) {
            let write = WriteId { session: SessionId(session), counter };
            prop_assert_eq!(write.to_string().parse::<WriteId>().unwrap(), write);
            prop_assert_eq!(WriteId::from_bytes(write.to_bytes()), write);
            let version = VersionId { index: LogIndex(index), ordinal };
            prop_assert_eq!(version.to_string().parse::<VersionId>().unwrap(), version);
            let drive = DriveId(session);
            prop_assert_eq!(drive.to_string().parse::<DriveId>().unwrap(), drive);
            let cbor = minicbor::to_vec(write).unwrap();
            prop_assert_eq!(minicbor::decode::<WriteId>(&cbor).unwrap(), write);
        }

        #[test]
        fn byte_order_is_value_order(a: (u64, u64), b: (u64, u64)) {
            let a = WriteId { session: SessionId(a.0), counter: a.1 };
            let b = WriteId { session: SessionId(b.0), counter: b.1 };
            prop_assert_eq!(a.cmp(&b), a.to_bytes().cmp(&b.to_bytes()));
        }
    }

    #[test]
    fn foreign_text_is_refused() {
        for text in ["", "1", "+00000000000000f", "00000000000000FF", "000000000000000000"] {
            assert!(text.parse::<DriveId>().is_err(), "{text}");
        }
        assert!("0011".parse::<VersionId>().is_err());
        assert!("00000000000000ff".parse::<WriteId>().is_err());
    }
}

//! Who a drive is: what `drive.json` says. A drive is known by this and never by its path, so that disks may be plugged
//! in any order; and a drive of another cluster is recognised before a byte is written to it (`docs/formats/drive.md`).

use core::fmt;

use cairn_core::{ClusterId, DriveId, NodeId, WallTime};
use serde::{Deserialize, Serialize};

/// The version of `drive.json` that is written, and the newest that is read.
pub const DRIVE_FORMAT_VERSION: u32 = 1;

/// No `drive.json` is longer. What is, is not one, and is not read into memory.
pub const DRIVE_JSON_BYTES_MAX: u64 = 4096;

/// How far the cluster had come when this drive was last told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Formation {
    /// The drive was prepared for a cluster that may not exist yet. When none of its drives is `Formed`, nothing was
    /// ever acknowledged, and forming may start over.
    Forming,
    /// The cluster exists: the operation log was acknowledged with this drive in it. From here on an empty log is a lost
    /// log, not a new one.
    Formed,
}

impl fmt::Display for Formation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Forming => "forming",
            Self::Formed => "formed",
        })
    }
}

/// Which of several drives that one command made together this is, so that a missing one can be named before any is
/// opened. For information: places are decided by ids.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Slot {
    /// Counted from 1.
    pub number: u16,
    /// How many were made.
    pub of: u16,
}

/// Who a drive is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Identity {
    /// The cluster whose bytes lie here.
    pub cluster: ClusterId,
    /// The node that prepared it. Its operation log belongs to that node; its chunks may be served by any.
    pub node: NodeId,
    /// The drive's own name, never used twice.
    pub drive: DriveId,
    /// Whether the cluster exists.
    pub state: Formation,
    /// When the drive was prepared. For people.
    pub created: WallTime,
    /// Its place among those made together with it, where it was made so.
    pub slot: Option<Slot>,
}

/// Bytes that are not a `drive.json` of this release.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidIdentity {
    /// Damaged or edited by hand. The drive's chunks may be whole: put the file back, or replace the drive.
    #[error("{0}")]
    Corrupt(String),
    /// Written by a later release. Nothing is wrong with the drive: start that release.
    #[error("format version {found}, this release knows up to {DRIVE_FORMAT_VERSION}")]
    Newer {
        /// The version that stands there.
        found: u32,
    },
}

/// The one field that every version has, read before anything else is believed.
#[derive(Deserialize)]
struct Versioned {
    format: u32,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Version1 {
    format: u32,
    cluster: ClusterId,
    node: NodeId,
    drive: DriveId,
    state: Formation,
    created_ms: WallTime,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    slot: Option<Slot>,
    checksum: String,
}

impl Identity {
    /// The text of `drive.json`.
    pub fn encode(&self) -> Vec<u8> {
        assert!(self.slot.is_none_or(|slot| (1..=slot.of).contains(&slot.number)), "slots are counted from 1");
        let file = Version1 {
            format: DRIVE_FORMAT_VERSION,
            cluster: self.cluster,
            node: self.node,
            drive: self.drive,
            state: self.state,
            created_ms: self.created,
            slot: self.slot,
            checksum: self.checksum(),
        };
        let mut text = serde_json::to_vec_pretty(&file).expect("a struct of numbers and strings has a JSON form");
        text.push(b'\n');
        assert!(text.len() as u64 <= DRIVE_JSON_BYTES_MAX);
        text
    }

    /// The inverse of [`Self::encode`].
    pub fn decode(bytes: &[u8]) -> Result<Self, InvalidIdentity> {
        let corrupt = |error: serde_json::Error| InvalidIdentity::Corrupt(error.to_string());
        if bytes.len() as u64 > DRIVE_JSON_BYTES_MAX {
            return Err(InvalidIdentity::Corrupt(format!("longer than {DRIVE_JSON_BYTES_MAX} bytes")));
        }
        let Versioned { format } = serde_json::from_slice(bytes).map_err(corrupt)?;
        match format {
            0 => return Err(InvalidIdentity::Corrupt("format version 0 was never written".to_owned())),
            DRIVE_FORMAT_VERSION => {}
            found => return Err(InvalidIdentity::Newer { found }),
        }
        let file: Version1 = serde_json::from_slice(bytes).map_err(corrupt)?;
        let identity = Self {
            cluster: file.cluster,
            node: file.node,
            drive: file.drive,
            state: file.state,
            created: file.created_ms,
            slot: file.slot,
        };
        if file.checksum != identity.checksum() {
            return Err(InvalidIdentity::Corrupt("its checksum does not match its fields".to_owned()));
        }
        Ok(identity)
    }

    /// A flipped bit must not make this the drive of another cluster or give it another drive's name, and both would
    /// still be well-formed JSON.
    fn checksum(&self) -> String {
        let mut hasher = blake3::Hasher::new_derive_key("cairn 2026 drive identity checksum v1");
        hasher.update(&DRIVE_FORMAT_VERSION.to_be_bytes());
        hasher.update(&self.cluster.to_bytes());
        hasher.update(&self.node.to_bytes());
        hasher.update(&self.drive.to_bytes());
        hasher.update(&[match self.state {
            Formation::Forming => 1,
            Formation::Formed => 2,
        }]);
        hasher.update(&self.created.as_millis().to_be_bytes());
        if let Some(slot) = self.slot {
            hasher.update(&slot.number.to_be_bytes());
            hasher.update(&slot.of.to_be_bytes());
        }
        hex::encode(&hasher.finalize().as_bytes()[..16])
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn identity(cluster: u128, ids: (u64, u64), formed: bool, created: u64) -> Identity {
        let state = if formed { Formation::Formed } else { Formation::Forming };
        Identity {
            cluster: ClusterId(cluster),
            node: NodeId(ids.0),
            drive: DriveId(ids.1),
            state,
            created: WallTime(created),
            slot: formed.then_some(Slot { number: 2, of: 6 }),
        }
    }

    proptest! {
        #[test]
        fn an_identity_survives_its_encoding(cluster: u128, ids: (u64, u64), formed: bool, created: u64) {
            let identity = identity(cluster, ids, formed, created);
            prop_assert_eq!(Identity::decode(&identity.encode()).unwrap(), identity);
        }

        #[test]
        fn no_flipped_bit_makes_another_drive_of_it(bit in 0usize..8 * 330) {
            let right = identity(1, (2, 3), true, 4);
            let mut bytes = right.encode();
            let bit = bit % (bytes.len() * 8);
            bytes[bit / 8] ^= 1 << (bit % 8);
            // White space may flip into other white space; anything else is found.
            if let Ok(found) = Identity::decode(&bytes) {
                prop_assert_eq!(found, right);
            }
        }

        #[test]
        fn a_cut_off_file_is_refused(keep in 0usize..250) {
            let bytes = identity(1, (2, 3), true, 4).encode();
            let keep = keep.min(bytes.len() - 2);
            prop_assert!(matches!(Identity::decode(&bytes[..keep]), Err(InvalidIdentity::Corrupt(_))));
        }
    }

    #[test]
    fn a_newer_file_is_refused_by_its_version() {
        let text = br#"{"format": 7, "things": "that this release has never heard of"}"#;
        assert_eq!(Identity::decode(text), Err(InvalidIdentity::Newer { found: 7 }));
    }

    #[test]
    fn foreign_and_oversized_files_are_refused() {
        let long = vec![b' '; DRIVE_JSON_BYTES_MAX as usize + 1];
        for bytes in [&b"not json"[..], b"{}", b"{\"format\": 0}", b"{\"format\": 1}", b"[]", &long] {
            assert!(matches!(Identity::decode(bytes), Err(InvalidIdentity::Corrupt(_))));
        }
    }
}

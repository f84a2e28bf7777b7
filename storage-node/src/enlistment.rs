//! Under which id this drive's node takes part in the log: what `member.json` says. An id is given once; what was promised
//! under it stands in the log beside this file. A node that has the file and not the log must never vote under that id
//! again (`docs/formats/drive.md`).

use serde::{Deserialize, Serialize};

/// The version of `member.json` that is written, and the newest that is read.
pub const MEMBER_FORMAT_VERSION: u32 = 1;

/// How far a node has come under its id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Progress {
    /// It is the first member, and the cluster may not be formed yet: an empty log is no lost one.
    Founding,
    /// The id was given and nothing may have been written under it: an empty log is no lost one.
    Joining,
    /// It has followed the log under its id: an empty log is a lost one.
    Member,
}

/// Under which id a node takes part.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Membership {
    /// The id that the log gave.
    pub member: u64,
    /// How far it has come.
    pub progress: Progress,
}

/// What a drive knows of its node's part in the cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Enlistment {
    /// Which start of the node this is. Grows by one with each; others believe the greatest.
    pub generation: u64,
    /// Its part in the log, where it has one.
    pub membership: Option<Membership>,
}

/// Bytes that are not a `member.json` of this release.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidEnlistment {
    /// Damaged or edited by hand. The node's other drives have the same file; without one it joins anew.
    #[error("{0}")]
    Corrupt(String),
    /// Written by a later release: start that one.
    #[error("format version {found}, this release knows up to {MEMBER_FORMAT_VERSION}")]
    Newer {
        /// The version that stands there.
        found: u32,
    },
}

#[derive(Deserialize)]
struct Versioned {
    format: u32,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Version1 {
    format: u32,
    generation: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    member: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    progress: Option<Progress>,
    checksum: String,
}

impl Enlistment {
    /// The text of `member.json`.
    pub fn encode(&self) -> Vec<u8> {
        let file = Version1 {
            format: MEMBER_FORMAT_VERSION,
            generation: self.generation,
            member: self.membership.map(|membership| membership.member),
            progress: self.membership.map(|membership| membership.progress),
            checksum: self.checksum(),
        };
        let mut text = serde_json::to_vec_pretty(&file).expect("a struct of numbers and strings has a JSON form");
        text.push(b'\n');
        text
    }

    /// The inverse of [`Self::encode`].
    pub fn decode(bytes: &[u8]) -> Result<Self, InvalidEnlistment> {
        let corrupt = |what: &dyn std::fmt::Display| InvalidEnlistment::Corrupt(what.to_string());
        let Versioned { format } = serde_json::from_slice(bytes).map_err(|error| corrupt(&error))?;
        match format {
            0 => return Err(corrupt(&"format version 0 was never written")),
            MEMBER_FORMAT_VERSION => {}
            found => return Err(InvalidEnlistment::Newer { found }),
        }
        let file: Version1 = serde_json::from_slice(bytes).map_err(|error| corrupt(&error))?;
        let membership = match (file.member, file.progress) {
            (Some(member), Some(progress)) => Some(Membership { member, progress }),
            (None, None) => None,
            _ => return Err(corrupt(&"a member and how far it has come go together")),
        };
        let found = Self { generation: file.generation, membership };
        if file.checksum != found.checksum() {
            return Err(corrupt(&"its checksum does not match its fields"));
        }
        Ok(found)
    }

    /// A flipped bit must not make another member of this one: it would vote under a name that is not its own.
    fn checksum(&self) -> String {
        let mut hasher = blake3::Hasher::new_derive_key("cairn 2026 enlistment checksum v1");
        hasher.update(&MEMBER_FORMAT_VERSION.to_be_bytes());
        hasher.update(&self.generation.to_be_bytes());
        if let Some(membership) = self.membership {
            hasher.update(&membership.member.to_be_bytes());
            hasher.update(&[match membership.progress {
                Progress::Founding => 1,
                Progress::Joining => 2,
                Progress::Member => 3,
            }]);
        }
        hex::encode(&hasher.finalize().as_bytes()[..16])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn samples() -> [Enlistment; 4] {
        let of =
            |generation, progress| Enlistment { generation, membership: Some(Membership { member: 17, progress }) };
        [Enlistment::default(), of(1, Progress::Founding), of(u64::MAX, Progress::Joining), of(7, Progress::Member)]
    }

    #[test]
    fn an_enlistment_survives_its_file() {
        for sample in samples() {
            assert_eq!(Enlistment::decode(&sample.encode()), Ok(sample));
        }
    }

    #[test]
    fn no_flipped_bit_makes_another_member_of_it() {
        for sample in samples() {
            let bytes = sample.encode();
            for bit in 0..bytes.len() * 8 {
                let mut flipped = bytes.clone();
                flipped[bit / 8] ^= 1 << (bit % 8);
                // White space may flip into other white space; anything else is found.
                assert!(
                    Enlistment::decode(&flipped).is_ok_and(|found| found == sample)
                        || Enlistment::decode(&flipped).is_err()
                );
            }
        }
    }

    #[test]
    fn a_newer_file_and_half_a_one_are_refused() {
        assert_eq!(Enlistment::decode(br#"{"format": 9, "new": 1}"#), Err(InvalidEnlistment::Newer { found: 9 }));
        for bytes in [&b""[..], b"{}", br#"{"format": 1, "generation": 3, "member": 4, "checksum": ""}"#] {
            assert!(matches!(Enlistment::decode(bytes), Err(InvalidEnlistment::Corrupt(_))));
        }
    }
}

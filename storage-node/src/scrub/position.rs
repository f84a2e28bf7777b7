//! How far a scrub came: one small file, replaced whole. `docs/formats/drive.md` has the table.
//!
//! It is worth some reading, nothing more: a position that is missing, damaged or of another version means that the pass
//! begins anew.

use std::io;

use cairn_core::{ChunkName, WallTime};

use super::ScrubProgress;
use crate::drive_dir::DriveDir;

const MAGIC: [u8; 8] = *b"CAIRNSCR";
const VERSION: u8 = 1;
const CONTEXT: &str = "cairn 2026 drive scrub position v1";
const CHECKSUM_AT: usize = 88;
const BYTES: usize = CHECKSUM_AT + 16;

/// The same as what people are told.
pub(crate) type Position = ScrubProgress;

impl Position {
    /// The position that a drive's directory holds; the very beginning where there is none that can be read.
    pub(crate) fn load(dir: &DriveDir) -> io::Result<Self> {
        match dir.read_scrub_position(BYTES as u64)? {
            Some(bytes) => Ok(Self::decode(&bytes).unwrap_or_else(|| {
                tracing::warn!(drive = %dir.identity().drive, "the scrub's position cannot be read; it begins anew");
                Self::default()
            })),
            None => Ok(Self::default()),
        }
    }

    /// Makes it durable.
    pub(crate) fn store(&self, dir: &DriveDir) -> io::Result<()> {
        dir.write_scrub_position(self.encode())
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(BYTES);
        bytes.extend_from_slice(&MAGIC);
        let flags = u8::from(self.finished) | u8::from(self.after.is_some()) << 1 | u8::from(self.began.is_some()) << 2;
        bytes.extend_from_slice(&[VERSION, flags, 0, 0, 0, 0, 0]);
        bytes.extend_from_slice(&self.after.map_or([0; ChunkName::BYTES], ChunkName::to_bytes));
        for number in [self.pass, self.began.map_or(0, WallTime::as_millis), self.chunks, self.bytes, self.damaged] {
            bytes.extend_from_slice(&number.to_be_bytes());
        }
        assert_eq!(bytes.len(), CHECKSUM_AT, "the table in docs/formats/drive.md");
        bytes.extend_from_slice(&checksum(&bytes));
        bytes
    }

    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        if bytes.len() != BYTES || bytes[..8] != MAGIC || bytes[8] != VERSION {
            return None;
        }
        let (covered, sum) = bytes.split_at(CHECKSUM_AT);
        let flags = bytes[9];
        if checksum(covered) != *sum || flags > 7 || bytes[10..15] != [0; 5] {
            return None;
        }
        let number = |at: usize| bytes[at..at + 8].try_into().ok().map(u64::from_be_bytes);
        Some(Self {
            pass: number(48)?,
            began: (flags & 4 != 0).then_some(WallTime(number(56)?)),
            finished: flags & 1 != 0,
            after: if flags & 2 != 0 { Some(ChunkName::from_slice(&bytes[15..48])?) } else { None },
            chunks: number(64)?,
            bytes: number(72)?,
            damaged: number(80)?,
        })
    }
}

fn checksum(covered: &[u8]) -> [u8; 16] {
    let mut kept = [0; 16];
    kept.copy_from_slice(&blake3::derive_key(CONTEXT, covered)[..16]);
    kept
}

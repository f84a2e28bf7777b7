//! Which kind of traffic a connection carries. Kinds never share one, so that a chunk on its way delays no heartbeat.

use std::fmt;

/// A kind of traffic. Each has connections of its own, and its own bound on how many.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Class {
    /// Votes, heartbeats and log entries: small, and late is as bad as lost.
    Raft = 1,
    /// Everything else that is small: gossip, heads of chunks, deletes, listings, health.
    Control = 2,
    /// Chunks and snapshots.
    Bulk = 3,
}

impl Class {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Raft, Self::Control, Self::Bulk];

    /// The inverse of `as u8`.
    pub const fn from_byte(byte: u8) -> Option<Self> {
        match byte {
            1 => Some(Self::Raft),
            2 => Some(Self::Control),
            3 => Some(Self::Bulk),
            _ => None,
        }
    }

    /// Its place in an array with one element for each class.
    pub const fn index(self) -> usize {
        self as usize - 1
    }

    /// How many connections one process opens to one peer; each carries one call at a time. Raft has one lane for each
    /// peer and a few calls beside it. 32 chunks at a time fill any network that two machines share.
    pub const fn calls_max(self) -> usize {
        match self {
            Self::Raft => 8,
            Self::Control => 16,
            Self::Bulk => 32,
        }
    }

    /// How many connections one process accepts from one peer: twice as many, because after a broken network the dead
    /// ones are still counted when their successors come.
    pub const fn accepted_max(self) -> usize {
        2 * self.calls_max()
    }
}

impl fmt::Display for Class {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Raft => "raft",
            Self::Control => "control",
            Self::Bulk => "bulk",
        })
    }
}

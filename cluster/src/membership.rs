//! Who is alive, as far as this node can tell. A hint and nothing more (invariant 6): it may make a gateway avoid a drive,
//! and the repair leader propose something to the log; it decides nothing itself.
//!
//! ```text
//! heartbeats of others, however they came --> Roster (pure): alive, suspect, dead --> watch channel --> whoever asks
//! ```
//!
//! Two ways for heartbeats to come, behind one trait: [`gossip`], by chitchat, in earnest; [`heartbeats`], each node to
//! each, deterministic under a simulated clock and network. Both travel over authenticated connections, so a stranger is
//! never a member. Only elapsed time counts; no calendar is looked at.

pub mod gossip;
pub mod heartbeats;
pub mod roster;

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;

use cairn_core::{DriveId, Elapsed, NodeId};
use minicbor::{Decode, Encode};
use tokio::sync::watch;

pub use roster::{Detection, Roster};

/// The longest profile, encoded. Gossip carries a few dozen of them in one message.
pub const PROFILE_BYTES_MAX: usize = 4096;

/// The longest name of a zone.
pub const ZONE_BYTES_MAX: usize = 64;

/// A profile that is too long to be told. Nothing was announced; a node has fewer drives than that.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a profile of {bytes} bytes, and {PROFILE_BYTES_MAX} are the most")]
pub struct ProfileTooLong {
    /// How long it is.
    pub bytes: usize,
}

/// What a node says of itself.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Profile {
    /// Where other nodes reach it.
    #[n(0)]
    #[cbor(with = "text")]
    pub address: SocketAddr,
    /// Where it serves S3, if it does.
    #[n(1)]
    #[cbor(with = "optional_text")]
    pub s3: Option<SocketAddr>,
    /// What fails together with it.
    #[n(2)]
    pub zone: String,
    /// How its drives are.
    #[n(3)]
    pub drives: Vec<DriveSummary>,
    /// The id under which it takes part in the log, once it has one.
    #[n(4)]
    pub member: Option<u64>,
    /// Whether it may be given a vote.
    #[n(5)]
    #[cbor(default)]
    pub may_vote: bool,
}

/// A drive in its node's words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
pub struct DriveSummary {
    /// Which.
    #[n(0)]
    pub drive: DriveId,
    /// Whether it takes writes.
    #[n(1)]
    pub writable: bool,
    /// What its filesystem still has.
    #[n(2)]
    pub available_bytes: u64,
}

impl Profile {
    /// A node that only says where it is.
    pub fn at(address: SocketAddr) -> Self {
        Self { address, s3: None, zone: String::new(), drives: Vec::new(), member: None, may_vote: false }
    }

    /// Its bytes, if they are few enough.
    pub(crate) fn encode(&self) -> Result<Vec<u8>, ProfileTooLong> {
        let bytes = minicbor::to_vec(self).expect("encoding into memory does not fail");
        if bytes.len() > PROFILE_BYTES_MAX || self.zone.len() > ZONE_BYTES_MAX {
            return Err(ProfileTooLong { bytes: bytes.len() });
        }
        Ok(bytes)
    }

    /// The inverse; `None` for anything else, as a later release might send: its node is then known without a profile.
    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        if bytes.len() > PROFILE_BYTES_MAX {
            return None;
        }
        minicbor::decode(bytes).ok()
    }
}

/// An address as text: short, and the same for both families.
mod text {
    use std::net::SocketAddr;

    pub(super) fn encode<C, W: minicbor::encode::Write>(
        address: &SocketAddr,
        e: &mut minicbor::Encoder<W>,
        _: &mut C,
    ) -> Result<(), minicbor::encode::Error<W::Error>> {
        e.str(&address.to_string())?.ok()
    }

    pub(super) fn decode<C>(d: &mut minicbor::Decoder<'_>, _: &mut C) -> Result<SocketAddr, minicbor::decode::Error> {
        d.str()?.parse().map_err(|_| minicbor::decode::Error::message("no address"))
    }
}

/// The same, or null.
mod optional_text {
    use std::net::SocketAddr;

    pub(super) fn encode<C, W: minicbor::encode::Write>(
        address: &Option<SocketAddr>,
        e: &mut minicbor::Encoder<W>,
        context: &mut C,
    ) -> Result<(), minicbor::encode::Error<W::Error>> {
        match address {
            Some(address) => super::text::encode(address, e, context),
            None => e.null()?.ok(),
        }
    }

    pub(super) fn decode<C>(
        d: &mut minicbor::Decoder<'_>,
        context: &mut C,
    ) -> Result<Option<SocketAddr>, minicbor::decode::Error> {
        if d.datatype()? == minicbor::data::Type::Null {
            d.null()?;
            return Ok(None);
        }
        super::text::decode(d, context).map(Some)
    }
}

/// What is thought of a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Standing {
    /// It was heard of as often as could be expected.
    Alive,
    /// It was not: reads and writes go around it. A node that was only ever heard of through others begins here.
    Suspect,
    /// It has been suspect for longer than the grace time: the repair leader may propose to the log what follows.
    Dead,
}

impl fmt::Display for Standing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Alive => "alive",
            Self::Suspect => "suspect",
            Self::Dead => "dead",
        })
    }
}

/// A node as this one sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// Which.
    pub node: NodeId,
    /// Which start of it.
    pub generation: u64,
    /// What is thought of it.
    pub standing: Standing,
    /// Since when, by this node's own elapsed time.
    pub since: Elapsed,
    /// What it last said of itself; `None` until it was heard, or where a later release says it in other words.
    pub profile: Option<Profile>,
}

/// All nodes that were ever heard of and not forgotten, this one excluded.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Members(pub BTreeMap<NodeId, Member>);

impl Members {
    /// What is thought of a node; one that nobody has heard of is suspect.
    pub fn standing(&self, node: NodeId) -> Standing {
        self.0.get(&node).map_or(Standing::Suspect, |member| member.standing)
    }

    /// Those with a standing.
    pub fn with(&self, standing: Standing) -> impl Iterator<Item = &Member> {
        self.0.values().filter(move |member| member.standing == standing)
    }
}

/// Who is alive.
pub trait Membership: Send + Sync + fmt::Debug {
    /// This node, which is not in its own list.
    fn node(&self) -> NodeId;

    /// What is thought of the others now, without waiting.
    fn members(&self) -> Arc<Members>;

    /// The same, told at each change.
    fn watch(&self) -> watch::Receiver<Arc<Members>>;

    /// From now on others shall know this of us.
    fn announce(&self, profile: Profile) -> Result<(), ProfileTooLong>;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn profiles_survive_and_are_bounded() {
        let mut profile = Profile::at("10.0.0.1:7000".parse().unwrap());
        assert_eq!(Profile::decode(&profile.encode().unwrap()), Some(profile.clone()));
        profile.s3 = Some("[::1]:9000".parse().unwrap());
        profile.zone = "north".to_owned();
        (profile.member, profile.may_vote) = (Some(u64::MAX), true);
        let drive =
            |at| DriveSummary { drive: DriveId(u64::MAX - at), writable: at % 2 == 0, available_bytes: u64::MAX };
        profile.drives = (0..64).map(drive).collect();
        let bytes = profile.encode().unwrap();
        assert_eq!(Profile::decode(&bytes), Some(profile.clone()));
        assert_eq!(Profile::decode(&bytes[..bytes.len() - 1]), None);
        assert_eq!(Profile::decode(b"\x80 not one"), None);
        profile.drives = (0..400).map(drive).collect();
        assert!(profile.encode().is_err());
        profile.drives.clear();
        profile.zone = "z".repeat(ZONE_BYTES_MAX + 1);
        assert!(profile.encode().is_err());
    }
}

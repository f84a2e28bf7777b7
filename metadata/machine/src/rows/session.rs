//! Sessions: who may commit, what they have already been answered, and what only one of them may do.

use cairn_core::{LogIndex, NodeId, SessionId};
use minicbor::bytes::ByteVec;
use minicbor::{Decode, Encode};

use crate::row::{Row, Table, cbor_row};

/// How many outcomes of a session are kept: a request this much above the lowest unanswered one waits.
pub const SESSION_SLOTS: u64 = 1024;

/// What a session does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
#[cbor(index_only)]
pub enum SessionKind {
    /// Serves S3.
    #[n(0)]
    Gateway,
    /// Repairs, collects, retires.
    #[n(1)]
    Repair,
}

/// One process start that may write.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct SessionRow {
    /// What it does.
    #[n(0)]
    pub kind: SessionKind,
    /// Where it runs.
    #[n(1)]
    pub node: NodeId,
    /// Where in the log it began.
    #[n(2)]
    pub registered: LogIndex,
    /// Where in the log it was last renewed. Whoever ends it from outside must name this.
    #[n(3)]
    pub renewed: LogIndex,
    /// Below this write counter it will commit nothing more.
    #[n(4)]
    pub commits_from: u64,
    /// Below this index it reads nothing more.
    #[n(5)]
    pub reads_from: LogIndex,
    /// Below this request number nothing is applied any more.
    #[n(6)]
    pub answered_below: u64,
}

impl Row for SessionRow {
    const TABLE: Table = Table::Session;
    type Key = SessionId;

    fn write_key(key: &SessionId, out: &mut Vec<u8>) {
        out.extend_from_slice(&key.to_bytes());
    }

    fn read_key(bytes: &[u8]) -> Option<SessionId> {
        Some(SessionId::from_bytes(bytes.try_into().ok()?))
    }

    cbor_row!();
}

/// The outcome of one request, kept so that a repeat after a lost reply has one effect.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct SlotRow {
    /// The request's number; the slot's is this modulo [`SESSION_SLOTS`].
    #[n(0)]
    pub number: u64,
    /// Its outcomes, encoded.
    #[n(1)]
    pub outcomes: ByteVec,
}

impl Row for SlotRow {
    const TABLE: Table = Table::Slot;
    type Key = (SessionId, u16);

    fn write_key((session, slot): &(SessionId, u16), out: &mut Vec<u8>) {
        out.extend_from_slice(&session.to_bytes());
        out.extend_from_slice(&slot.to_be_bytes());
    }

    fn read_key(bytes: &[u8]) -> Option<(SessionId, u16)> {
        let (session, slot) = bytes.split_at_checked(SessionId::BYTES)?;
        Some((SessionId::from_bytes(session.try_into().ok()?), u16::from_be_bytes(slot.try_into().ok()?)))
    }

    fn weight(&self) -> usize {
        24 + self.outcomes.len()
    }

    cbor_row!();
}

/// Something that one session at a time may do. It ends with the session that holds it, never by a time stamp.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
pub struct LeaseRow {
    /// Who holds it.
    #[n(0)]
    pub holder: SessionId,
    /// Since when.
    #[n(1)]
    pub since: LogIndex,
}

/// The leases there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
#[cbor(index_only)]
#[repr(u8)]
pub enum Lease {
    /// Proposes drive states, plans repair, collects.
    #[n(0)]
    Repair = 0,
}

impl Row for LeaseRow {
    const TABLE: Table = Table::Lease;
    type Key = Lease;

    fn write_key(key: &Lease, out: &mut Vec<u8>) {
        out.push(*key as u8);
    }

    fn read_key(bytes: &[u8]) -> Option<Lease> {
        match bytes {
            [0] => Some(Lease::Repair),
            _ => None,
        }
    }

    cbor_row!();
}

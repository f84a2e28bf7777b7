//! Nodes and the ids under which they take part in the log.
//!
//! ```text
//! (unknown) --RegisterNode--> node --AdmitMember--> member (the index is its id) --SeatVoter--> voter
//!                              ^                      |                                          |
//!                              +----------------------+------------- DismissMember --------------+
//! ```
//!
//! An id is given once. A node whose log is lost has promised things under its id that it does not know any more, so it
//! comes back as another member; to seat that one gives the old seat up. Who really votes is decided by Raft's own
//! memberships; these rows say whose runs count before garbage goes. A voter is seated here before it votes, and stops
//! voting before it is dismissed, so those who count are never fewer than those who vote.

use cairn_core::NodeId;

use crate::apply::context::Context;
use crate::apply::topology::{DRIVES_MAX, NAME_BYTES_MAX, NOTHING_REPORTED, add_drives, following_standard};
use crate::apply::transaction::{Stop, Transaction, malformed, unknown};
use crate::operation::NewDrive;
use crate::outcome::{Outcome, Refusal};
use crate::row::Table;
use crate::rows::topology::{NodeRow, VoterRow};
use crate::source::RowSource;

pub(crate) fn register_node<S: RowSource + ?Sized>(
    rows: &mut Transaction<'_, S>,
    context: &Context<'_>,
    node: NodeId,
    zone: &str,
    drives: &[NewDrive],
) -> Result<Outcome, Stop> {
    if zone.len() > NAME_BYTES_MAX {
        return Err(malformed("the zone's name is too long"));
    }
    if rows.get::<NodeRow>(&node)?.is_none() {
        // The voters are found among the nodes, so all of them must fit into one look.
        if rows.first::<NodeRow>(&[Table::Node as u8], DRIVES_MAX)?.len() >= DRIVES_MAX {
            return Err(Refusal::TooLarge.into());
        }
        rows.put(&node, NodeRow { zone: zone.to_owned(), joined: context.time, voter: None })?;
    }
    following_standard(rows, |rows| add_drives(rows, context, node, drives))?;
    Ok(Outcome::Done)
}

pub(crate) fn admit<S: RowSource + ?Sized>(
    rows: &mut Transaction<'_, S>,
    context: &Context<'_>,
    node: NodeId,
) -> Result<Outcome, Stop> {
    if rows.get::<NodeRow>(&node)?.is_none() {
        return Err(unknown("node"));
    }
    let member = context.index.0;
    // Two in one entry would have the same id: the second one is told to come again.
    if rows.get::<VoterRow>(&member)?.is_some() {
        return Err(Refusal::Changed.into());
    }
    rows.put(&member, VoterRow { node: Some(node), ..NOTHING_REPORTED })?;
    Ok(Outcome::Admitted { member })
}

pub(crate) fn seat<S: RowSource + ?Sized>(rows: &mut Transaction<'_, S>, voter: u64) -> Result<Outcome, Stop> {
    let row = rows.get::<VoterRow>(&voter)?.ok_or_else(|| unknown("member"))?;
    let Some(node) = row.node else {
        // The first voter was never admitted and has its seat from the beginning.
        return Ok(Outcome::Done);
    };
    let seat = rows.must::<NodeRow>(&node)?;
    if let Some(before) = seat.voter.filter(|before| *before != voter) {
        rows.remove::<VoterRow>(&before)?;
    }
    rows.put(&node, NodeRow { voter: Some(voter), ..(*seat).clone() })?;
    Ok(Outcome::Done)
}

pub(crate) fn dismiss<S: RowSource + ?Sized>(rows: &mut Transaction<'_, S>, member: u64) -> Result<Outcome, Stop> {
    if rows.get::<VoterRow>(&member)?.is_none() {
        return Err(unknown("member"));
    }
    let nodes = rows.first::<NodeRow>(&[Table::Node as u8], DRIVES_MAX)?;
    let voters = nodes.iter().filter(|(_, node)| node.voter.is_some()).count();
    for (key, node) in nodes {
        if node.voter == Some(member) {
            if voters < 2 {
                return Err(malformed("it is the last voter"));
            }
            rows.put_at(&key, NodeRow { voter: None, ..(*node).clone() })?;
        }
    }
    rows.remove::<VoterRow>(&member)?;
    Ok(Outcome::Done)
}

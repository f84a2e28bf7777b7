//! The nodes, and what their log survives.

use std::collections::BTreeMap;

use cairn_cluster::{Members, Profile, Standing};
use cairn_core::NodeId;
use cairn_machine::row::{Row, Table, table_end};
use cairn_machine::rows::profile::{ProfileId, ProfileRow};
use cairn_machine::rows::topology::{DriveState, NodeRow};
use cairn_machine::{RowError, RowSource};
use cairn_metadata::{MemberStatus, MetadataStatus};

use crate::admin::Outlook;
use crate::status::{Metadata, Node};
use crate::ties::steward;

/// How safe the metadata is, and who keeps it.
pub fn look(
    rows: &impl RowSource,
    log: &MetadataStatus,
    outlook: Option<&Outlook>,
) -> Result<(Metadata, Vec<Node>), RowError> {
    let heard = outlook.map(|outlook| outlook.members.borrow().clone()).unwrap_or_default();
    let parity = ProfileRow::get(rows, &ProfileId::STANDARD)?.map_or(0, |row| row.geometry.m());
    let members = &log.members;
    let leader = members.iter().find(|member| Some(member.member) == log.leader).map(|member| member.node);
    let mut drives: BTreeMap<NodeId, usize> = BTreeMap::new();
    for row in cairn_repair::census::drive_states(rows)?.values().filter(|row| row.state != DriveState::Removed) {
        *drives.entry(row.node).or_default() += 1;
    }
    let mut nodes = Vec::new();
    for (id, row) in registered(rows)? {
        let me = outlook.filter(|outlook| outlook.me.node == id);
        // A process that is alone is the only node there is.
        let standing = if outlook.is_none() || me.is_some() { Standing::Alive } else { heard.standing(id) };
        let profile = me.map(|outlook| &outlook.profile).or_else(|| heard.0.get(&id)?.profile.as_ref());
        let taking_part =
            members.iter().filter(|member| member.node == id).max_by_key(|member| (member.votes, member.member));
        nodes.push(node(id, row, standing, profile, taking_part, leader));
        if let Some(node) = nodes.last_mut() {
            node.drives = drives.get(&id).copied().unwrap_or(0);
        }
    }
    nodes.sort_by(|a, b| {
        let place = |node: &Node| node.s3.as_ref().map(|s3| (s3.len(), s3.clone()));
        (place(a), &a.id).cmp(&(place(b), &b.id))
    });
    Ok((metadata(log, members, outlook, &heard, parity, leader), nodes))
}

fn metadata(
    log: &MetadataStatus,
    members: &[MemberStatus],
    outlook: Option<&Outlook>,
    heard: &Members,
    parity: usize,
    leader: Option<NodeId>,
) -> Metadata {
    let voters: Vec<&MemberStatus> = members.iter().filter(|member| member.votes).collect();
    let here = |node: NodeId| outlook.is_none_or(|outlook| outlook.me.node == node);
    let alive = voters.iter().filter(|voter| here(voter.node) || heard.standing(voter.node) == Standing::Alive).count();
    let majority = voters.len() / 2 + 1;
    let survives_nodes = u8::try_from(alive.saturating_sub(majority)).unwrap_or(u8::MAX);
    let quorum = &log.log.epoch.quorum;
    // A start needs all but copies - 1 drives of the roster; those that are gone already use that up.
    let gone = quorum.roster.len().saturating_sub(log.log.healthy.len());
    let own = quorum.copies.saturating_sub(1).saturating_sub(u8::try_from(gone).unwrap_or(u8::MAX));
    // Each further node has to lose as many drives as its log has copies.
    let survives_drives = survives_nodes.saturating_mul(quorum.copies.max(1)).saturating_add(own);
    let wanted = outlook.map_or(1, |outlook| steward::wanted(members, outlook.me, parity, heard));
    Metadata {
        survives_drives,
        survives_nodes,
        voters: voters.len(),
        voters_wanted: wanted,
        leader: leader.map(|node| node.to_string()),
        copies: quorum.copies,
        roster: quorum.roster.iter().map(ToString::to_string).collect(),
        drives_left: log.log.left.iter().map(|left| (left.drive.to_string(), left.source.to_string())).collect(),
        parts_short: log.log.short as u64,
        applied_index: log.applied_index.0,
        run_index: log.run_index.0,
    }
}

fn node(
    id: NodeId,
    row: NodeRow,
    standing: Standing,
    profile: Option<&Profile>,
    member: Option<&MemberStatus>,
    leader: Option<NodeId>,
) -> Node {
    Node {
        id: id.to_string(),
        standing: standing.to_string(),
        address: profile.map(|profile| profile.address.to_string()),
        s3: profile.and_then(|profile| profile.s3).map(|address| format!("http://{address}")),
        zone: row.zone,
        member: member.map(|member| member.member),
        votes: member.is_some_and(|member| member.votes),
        leads: leader == Some(id),
        matched_index: member.and_then(|member| member.matched).map(|index| index.0),
        drives: 0,
    }
}

fn registered(rows: &impl RowSource) -> Result<Vec<(NodeId, NodeRow)>, RowError> {
    let table = Table::Node;
    let mut found = Vec::new();
    rows.scan(&[table as u8], Some(&table_end(table)), &mut |key, value| {
        let id = key[1..].try_into().map(NodeId::from_bytes);
        found.push((id, NodeRow::decode(key, value)));
        std::ops::ControlFlow::Continue(())
    })?;
    let mut nodes = Vec::new();
    for (id, row) in found {
        let row = row?;
        if let Ok(id) = id {
            nodes.push((id, row));
        }
    }
    Ok(nodes)
}

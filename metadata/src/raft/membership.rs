//! Members as openraft knows them, and as they are kept.

use std::collections::{BTreeMap, BTreeSet};

use super::format::{KeptMembership, Member, Position};
use super::type_config::{LogId, Membership, StoredMembership, Voter};

/// The form that is kept.
pub(super) fn to_kept(membership: &Membership) -> KeptMembership {
    let voters = membership.get_joint_config().iter().map(|set| set.iter().copied().collect()).collect();
    let members = membership.nodes().map(|(&id, voter)| Member { id, node: voter.node }).collect();
    KeptMembership { voters, members }
}

/// The inverse; what was kept has been checked when it was read.
pub(super) fn from_kept(kept: &KeptMembership) -> Membership {
    let voters: Vec<BTreeSet<u64>> = kept.voters.iter().map(|set| set.iter().copied().collect()).collect();
    let members: BTreeMap<u64, Voter> =
        kept.members.iter().map(|member| (member.id, Voter { node: member.node })).collect();
    Membership::new(voters, members).expect("voters are members, which was checked when it was read")
}

/// The newest applied membership, in openraft's form.
pub(super) fn stored(kept: Option<&(Position, KeptMembership)>) -> StoredMembership {
    match kept {
        Some((position, membership)) => StoredMembership::new(Some(LogId::from(*position)), from_kept(membership)),
        None => StoredMembership::default(),
    }
}

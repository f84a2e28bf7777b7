//! The recovery decision: from what was found on the drives that are here to what is kept, what is copied, and the epoch
//! that goes on, or to the reason why not. Pure: it reads nothing and changes nothing, so a refusal leaves no trace.
//!
//! ```text
//! findings -> newest epoch (lineage) -> enough drives? -> groups that count -> durable end -> first gap
//!                                                                    |
//!                      CoveredReadOnly <- enough to acknowledge? <---+--> copies until each lies on r drives
//!                                                          then the new epoch (joining drives first), then its groups
//! ```
//!
//! Why every acknowledged group is found: it lies on r drives of a roster of N, a start needs N - (r - 1) of them, and
//! r + N - (r - 1) > N. Why no two halves both go on: a start needs that many, and r to write its epoch to; two disjoint
//! halves cannot both have the larger of the two. When the roster changes, the new epoch is synced on r drives of the old
//! roster too, so whoever starts from the old one meets it.

mod groups;
mod succession;

use std::borrow::Cow;
use std::collections::BTreeSet;

use cairn_core::{DriveId, EpochId};

use crate::drive_set::{DRIVES_MAX, DriveSet};
use crate::epoch::{EpochRecord, LogIdentity};
use crate::finding::DriveFinding;
use crate::group::{GroupName, GroupNumber};
use crate::lineage;
use crate::refusal::Refusal;
use crate::roster::Quorum;

/// What people and the log have said about drives that may not be here.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Orders {
    /// The log has declared them lost or removed: they leave the roster, and what they held is copied first.
    pub replaced: BTreeSet<DriveId>,
    /// An operator's word that these never come back. They leave the roster, and the others may go on although fewer of
    /// the old roster live than it has copies.
    pub given_up: BTreeSet<DriveId>,
    /// An operator accepts that what only the drives given up held is gone.
    pub accept_loss: bool,
    /// Ends of histories that an operator gives up, where there are two. Taken only together with `accept_loss`.
    pub abandoned: BTreeSet<EpochId>,
}

/// What the decision needs to know besides the drives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Setting {
    /// Whose log is looked for.
    pub identity: LogIdentity,
    /// Whether the drives say that this log was formed. If they do and none carries it, it is lost and must not be begun
    /// again; if they do not, nothing or a cut-short formation is found, and it is begun. To be said once the first
    /// start has gone through, before the log is used; until then every start is given all the drives there are, since
    /// two formations on different drives would not know of each other.
    pub formed: bool,
    /// Drives that were given and fail. They count as missing, and among the drives that copies are reckoned by: a failure
    /// never lowers the copies.
    pub failing: BTreeSet<DriveId>,
    /// What [`crate::roster::copies_wanted`] says. Where fewer drives are registered, that many copies are made.
    pub copies_wanted: u8,
    /// The name of the new epoch: random.
    pub new_epoch: EpochId,
    /// What people and the log have said.
    pub orders: Orders,
}

/// A group that stays, and the drives (positions among the findings) that hold it undamaged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeptGroup {
    /// Its name.
    pub name: GroupName,
    /// Where it can be read.
    pub holders: DriveSet,
}

/// A group that must be copied unchanged, and synced, before the new epoch is written anywhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GroupCopy {
    /// Its name.
    pub name: GroupName,
    /// Where it can be read.
    pub from: DriveSet,
    /// Where it must go: a position among the findings.
    pub to: usize,
}

/// What counts of what was found: consecutive groups.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kept {
    /// The first group that is needed. Some below it may still lie about.
    pub floor: GroupNumber,
    /// The last one. Everything above it is void.
    pub last: GroupNumber,
    /// Those from the floor to the last, in order.
    pub groups: Vec<KeptGroup>,
}

/// How to go on: first the copies, then the epoch on all its quorums, then its first group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StartPlan {
    /// The epoch that it goes on from.
    pub base: Option<EpochId>,
    /// What counts of what was found.
    pub kept: Kept,
    /// What to copy.
    pub copies: Vec<GroupCopy>,
    /// Members of the roster that carry no record of this log yet (positions among the findings). All of them sync the
    /// new epoch's before any other drive does; one that cannot is left out, by another plan. So a member without any
    /// record has forgotten what it held, and is not believed when it holds nothing.
    pub joining: DriveSet,
    /// The new epoch. Its witnesses and its own quorum must have synced it before any group is written under it.
    pub epoch: EpochRecord,
}

/// What can be read where nothing can be acknowledged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Covered {
    /// The epoch whose log it is.
    pub base: EpochRecord,
    /// What counts of what was found.
    pub kept: Kept,
    /// The quorum that too few drives are here for.
    pub short_of: Quorum,
    /// Its drives that are not here.
    pub missing: Vec<DriveId>,
}

/// What to do with what was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// Go on, by this plan.
    Start(Box<StartPlan>),
    /// Everything acknowledged is here, but fewer drives than an acknowledgement needs: read it, write nothing.
    CoveredReadOnly(Box<Covered>),
    /// Do not start, and change nothing.
    Refuse(Refusal),
}

/// Decides. The findings of other nodes' drives are passed over; positions in the answer are those in `found`.
pub fn decide(found: &[DriveFinding], setting: &Setting) -> Decision {
    match weigh(found, setting) {
        Ok(decision) => decision,
        Err(refusal) => Decision::Refuse(refusal),
    }
}

fn weigh(found: &[DriveFinding], setting: &Setting) -> Result<Decision, Refusal> {
    if found.len() > DRIVES_MAX {
        return Err(Refusal::TooManyDrives { found: found.len(), max: DRIVES_MAX });
    }
    let foreign = |finding: &DriveFinding| finding.is_foreign(&setting.identity);
    let usable: DriveSet = (0..found.len()).filter(|&position| !foreign(&found[position])).collect();
    // A foreign drive keeps its position and loses its content, so that positions stay those of the caller.
    let own = if usable.len() == found.len() {
        Cow::Borrowed(found)
    } else {
        let emptied = |finding: &DriveFinding| {
            if foreign(finding) { DriveFinding::empty(finding.drive) } else { finding.clone() }
        };
        Cow::Owned(found.iter().map(emptied).collect())
    };
    let mut seen = BTreeSet::new();
    if let Some(twice) = usable.iter().map(|position| found[position].drive).find(|&drive| !seen.insert(drive)) {
        return Err(Refusal::SameDriveTwice { drive: twice });
    }
    let orders = &setting.orders;
    assert!(orders.abandoned.is_empty() || orders.accept_loss, "only who accepts a loss can give a history up");

    let lineage = lineage::choose(&own, setting.formed, orders)?;
    let Some(base) = &lineage.base else {
        let drives: Vec<DriveId> = usable.iter().map(|position| found[position].drive).collect();
        if setting.formed && !orders.accept_loss {
            return Err(Refusal::LogLost { drives });
        }
        let kept = Kept { floor: GroupNumber(1), last: GroupNumber::ZERO, groups: Vec::new() };
        return succession::succeed(&own, usable, setting, &lineage, kept, GroupNumber::ZERO);
    };
    let given_up = |drive| orders.accept_loss && orders.given_up.contains(&drive);
    let testifies = |drive| own.iter().any(|finding| finding.drive == drive && finding.testifies());
    let missing = base.missing(|drive| testifies(drive) || given_up(drive));
    if missing.len() > base.missing_max() {
        return Err(Refusal::TooManyMissing { epoch: base.id, missing, missing_max: base.missing_max() });
    }
    let (kept, durable) = groups::keep(&own, base, orders)?;
    succession::succeed(&own, usable, setting, &lineage, kept, durable)
}

#[cfg(test)]
mod tests;

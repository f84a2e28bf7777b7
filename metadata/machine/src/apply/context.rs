//! What an operation knows beside the rows: where in the log it stands, and what came before it in its proposal.

use std::collections::{BTreeMap, BTreeSet};

use cairn_core::{BucketId, LogIndex, SessionId, StripeId, StripeShape, VersionId, WallTime};

use crate::apply::transaction::{Stop, malformed};
use crate::batch::{Batch, Proposal};
use crate::operation::Operation;
use crate::outcome::Refusal;
use crate::rows::bucket::made_by;
use crate::rows::manifest::ManifestId;

/// What became of a stripe inside its proposal.
///
/// ```text
/// MakeStripe --> open --(extents are put into it)--> SettleStripe --> settled
///        \-----> refused: whatever builds on it is refused as Depends
/// ```
#[derive(Debug, Clone, Copy)]
enum Fate {
    Open(StripeShape),
    Refused,
    Settled,
}

/// The place of the running operation.
pub(crate) struct Context<'a> {
    /// The entry's index.
    pub(crate) index: LogIndex,
    /// The version of the function that the entry is for.
    pub(crate) function: u8,
    /// The entry's time, for people.
    pub(crate) time: WallTime,
    /// What the time is at least: what is locked until a time ends by this one.
    pub(crate) sure_time: WallTime,
    /// Whose request it is.
    pub(crate) session: Option<SessionId>,
    /// The proposal that it is part of.
    pub(crate) proposal: &'a Proposal,
    /// Which operation of the entry the proposal's first one is.
    first_ordinal: usize,
    /// Which operation of the proposal is running.
    pub(crate) position: usize,
    stripes: BTreeMap<StripeId, Fate>,
    refused_manifests: BTreeSet<ManifestId>,
    /// Whether all stripes of the proposal have been judged, and whether one of them failed.
    pub(crate) stripes_judged: Option<bool>,
}

impl<'a> Context<'a> {
    pub(crate) fn new(index: LogIndex, batch: &Batch, proposal: &'a Proposal, first_ordinal: usize) -> Self {
        Self {
            index,
            function: batch.function,
            time: batch.time,
            sure_time: batch.sure_time(),
            session: proposal.request.map(|request| request.session),
            proposal,
            first_ordinal,
            position: 0,
            stripes: BTreeMap::new(),
            refused_manifests: BTreeSet::new(),
            stripes_judged: None,
        }
    }

    fn ordinal(&self) -> u16 {
        u16::try_from(self.first_ordinal + self.position).expect("longer entries are refused before they are applied")
    }

    /// The version that this operation makes, should it make one.
    pub(crate) fn version(&self) -> VersionId {
        VersionId { index: self.index, ordinal: self.ordinal() }
    }

    /// The bucket that this operation makes, should it make one.
    pub(crate) fn bucket(&self) -> BucketId {
        made_by(self.index, self.ordinal())
    }

    /// A stripe was made, and takes extents until it is settled.
    pub(crate) fn open(&mut self, stripe: StripeId, shape: StripeShape) {
        self.stripes.insert(stripe, Fate::Open(shape));
    }

    /// The shape of a stripe that an earlier operation of this proposal made and that takes extents.
    pub(crate) fn open_stripe(&self, stripe: StripeId) -> Result<StripeShape, Stop> {
        match self.stripes.get(&stripe) {
            Some(Fate::Open(shape)) => Ok(*shape),
            Some(Fate::Refused) => Err(Refusal::Depends.into()),
            Some(Fate::Settled) => Err(malformed("the stripe is settled already")),
            None => Err(malformed("no operation before this one made the stripe")),
        }
    }

    /// Whether a stripe waits for its `SettleStripe`: until then it may be without living extents.
    pub(crate) fn is_open(&self, stripe: StripeId) -> bool {
        matches!(self.stripes.get(&stripe), Some(Fate::Open(_)))
    }

    /// Refuses what builds on a page that was refused in this proposal.
    pub(crate) fn manifest_stands(&self, manifest: ManifestId) -> Result<(), Stop> {
        if self.refused_manifests.contains(&manifest) { Err(Refusal::Depends.into()) } else { Ok(()) }
    }

    /// Whether a `SettleStripe` follows the running operation.
    pub(crate) fn settles_later(&self, stripe: StripeId) -> bool {
        // Packed writes settle at the very end, so the search from there is short.
        let later = &self.proposal.operations[self.position + 1..];
        later.iter().rev().any(|operation| matches!(operation, Operation::SettleStripe { id } if *id == stripe))
    }

    /// The running operation has its effects.
    pub(crate) fn succeeded(&mut self, operation: &Operation) {
        if let Operation::SettleStripe { id } = operation {
            self.stripes.insert(*id, Fate::Settled);
        }
    }

    /// The running operation has none.
    pub(crate) fn refused(&mut self, operation: &Operation) {
        match operation {
            // A second attempt to make a stripe that is open already changes nothing about the first.
            Operation::MakeStripe { id, .. } => {
                self.stripes.entry(*id).or_insert(Fate::Refused);
            }
            Operation::AddManifestPage { manifest, .. }
            | Operation::AddPartsPage { manifest, .. }
            | Operation::AddSharedPage { manifest, .. } => {
                self.refused_manifests.insert(*manifest);
            }
            _ => {}
        }
    }
}

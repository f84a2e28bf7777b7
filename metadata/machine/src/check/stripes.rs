//! Stripes lie where the log allows, and what is garbage is named by none of them.

use std::collections::BTreeSet;

use cairn_core::ChunkName;

use super::Loaded;
use crate::rows::topology::DriveState;

/// A stripe has as many positions as its geometry, on distinct drives that are known and not removed.
pub(super) fn stripes_are_placed(rows: &Loaded, found: &mut Vec<String>) {
    for (id, stripe) in &rows.stripes {
        let drives: BTreeSet<_> = stripe.positions.iter().map(|placed| placed.drive).collect();
        if drives.len() != stripe.shape.geometry.positions() || drives.len() != stripe.positions.len() {
            found.push(format!("{id:?} of {} lies on {} drives", stripe.shape.geometry, drives.len()));
        }
        for drive in drives {
            if rows.drives.get(&drive).is_none_or(|row| row.state == DriveState::Removed) {
                found.push(format!("{id:?} lies on {drive:?}, which is not there"));
            }
        }
    }
}

/// A drive is removed only when its ledger counts no chunk.
pub(super) fn removed_drives_hold_nothing(rows: &Loaded, found: &mut Vec<String>) {
    for (id, drive) in &rows.drives {
        let chunks = rows.drive_ledgers.get(id).map(|ledger| ledger.chunks);
        if chunks.is_none() || drive.state == DriveState::Removed && chunks != Some(0) {
            found.push(format!("{id:?} is {:?} and counts {chunks:?} chunks", drive.state));
        }
    }
}

/// No chunk is both garbage and a position of a stripe.
pub(super) fn garbage_is_unnamed(rows: &Loaded, found: &mut Vec<String>) {
    for (garbage, row) in &rows.garbage {
        let ChunkName { stripe, position, .. } = garbage.chunk;
        let named = rows.stripes.get(&stripe).and_then(|row| row.chunk(stripe, position));
        if named == Some(garbage.chunk) {
            found.push(format!("{:?} is garbage and named by its stripe", garbage.chunk));
        }
        if !rows.drives.contains_key(&row.drive) {
            found.push(format!("{:?} is garbage on {:?}, which is not there", garbage.chunk, row.drive));
        }
    }
}

//! Decides what is kept of a scanned segment. Pure: pieces in, a verdict out.
//!
//! ```text
//!         durable end named            last sound record
//!               v                            v
//! | A | B | bad | C | bad, torn | D | torn | |  torn  | zeros |
//!   kept, bad is damage             kept       cut off
//! ```
//!
//! Only what lies behind both the durable end and the last sound record is cut off: one flipped bit in the middle must
//! not cost the acknowledged records after it. Where the device fails to read something nothing is cut at all: it may
//! read it tomorrow.

use super::scan::{Piece, Scan, State};
use super::{Damage, DamageKind};
use crate::format::{BLOCK_BYTES, Entry, EntryKind};
use crate::record::RecordInfo;

/// What the owner is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Told {
    Found(RecordInfo),
    Gone,
    Damaged(Damage),
}

#[derive(Debug)]
pub(super) struct Verdict {
    pub told: Vec<Told>,
    /// What the footer will list.
    pub entries: Vec<Entry>,
    /// Where the segment ends from now on.
    pub end: u64,
    /// What lies behind that end and is cut off.
    pub cut_bytes: u64,
    /// It was closed, and everything is as the close left it: it may be written to again, from `end` on.
    pub resumable: bool,
    /// The device failed somewhere: nothing may be cut or sealed.
    pub unreadable: bool,
    pub next_sequence: u64,
}

/// `shown` is the whole segment as the kernel shows it, `kept` what lies behind the durable end as the device has it.
/// `newest`: nothing was ever written behind this segment, so what is not sound at its end was in flight.
pub(super) fn judge(segment: u32, shown: &Scan, kept: &Scan, newest: bool) -> Verdict {
    let durable = durable_end(shown);
    let before = shown.pieces.iter().filter(|piece| piece.entry.offset < durable);
    let mut verdict = Verdict {
        told: Vec::new(),
        entries: Vec::new(),
        end: durable,
        cut_bytes: 0,
        resumable: false,
        unreadable: false,
        next_sequence: shown.next_sequence.max(kept.next_sequence),
    };
    for piece in &kept.pieces {
        if piece.state == State::Sound {
            verdict.end = verdict.end.max(piece.entry.end());
        }
    }
    for piece in before {
        verdict.take(segment, piece, DamageKind::Damaged);
    }
    let kind = if newest { DamageKind::Torn } else { DamageKind::Damaged };
    for piece in &kept.pieces {
        verdict.take(segment, piece, kind);
    }
    if newest
        && !verdict.unreadable
        && kept.pieces.is_empty()
        && let Some(clean_end) = kept.clean_end
    {
        verdict.end = clean_end;
        verdict.resumable = true;
    }
    let last = kept.pieces.last().map_or(verdict.end, |piece| piece.entry.end());
    verdict.cut_bytes = last.saturating_sub(verdict.end);
    verdict
}

/// Up to where a segment is known to have been synced, by what it says itself.
pub(super) fn durable_end(shown: &Scan) -> u64 {
    shown.durable.max(BLOCK_BYTES)
}

impl Verdict {
    fn take(&mut self, segment: u32, piece: &Piece, bad: DamageKind) {
        let entry = piece.entry;
        let damage = |kind| {
            let length = entry.stored_bytes();
            Told::Damaged(Damage { kind, name: entry.name, segment, offset: entry.offset, length })
        };
        let kept = entry.end() <= self.end;
        match piece.state {
            State::Sound => {
                assert!(kept, "the segment ends behind its last sound record");
                let info = entry.info(segment).expect("a sound record has a name");
                self.told.push(Told::Found(info));
                self.entries.push(entry);
            }
            State::Gone => {
                // What never reached the device reads zero as well: better a false word than none about a record that
                // may have been acknowledged.
                self.told.push(if bad == DamageKind::Torn { damage(bad) } else { Told::Gone });
                if kept {
                    self.entries.push(Entry { kind: EntryKind::Gone, ..entry });
                }
            }
            State::Bad => {
                self.told.push(damage(bad));
                if kept && bad == DamageKind::Damaged {
                    self.entries.push(Entry { kind: EntryKind::Damaged, ..entry });
                }
            }
            State::Unreadable => {
                self.unreadable = true;
                self.told.push(damage(DamageKind::Unreadable));
                self.entries.push(Entry { kind: EntryKind::Damaged, ..entry });
            }
        }
    }
}

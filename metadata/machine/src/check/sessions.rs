//! Only the living hold something; and nothing is longer than an operation may write.

use super::Loaded;
use crate::rows::session::SESSION_SLOTS;

/// Leases and slots belong to living sessions, slots to numbers inside the window, and a spent write is one that its
/// session could still commit.
pub(super) fn only_the_living_hold(rows: &Loaded, found: &mut Vec<String>) {
    for lease in &rows.leases {
        if !rows.sessions.contains_key(&lease.holder) {
            found.push(format!("a lease is held by {:?}, which has ended", lease.holder));
        }
    }
    for ((session, slot), row) in &rows.slots {
        match rows.sessions.get(session) {
            None => found.push(format!("a slot of {session:?}, which has ended")),
            Some(session) if row.number >= session.answered_below + SESSION_SLOTS => {
                found.push(format!("slot {slot} holds request {}, above the window", row.number));
            }
            Some(_) => {}
        }
        if row.number % SESSION_SLOTS != u64::from(*slot) {
            found.push(format!("slot {slot} of {session:?} holds request {}", row.number));
        }
    }
    // An ended session may leave a rest of spent writes behind, which says nothing any more; a living one may not.
    for write in rows.spent.keys() {
        if rows.stripes.contains_key(&cairn_core::StripeId(*write))
            && rows.stripes[&cairn_core::StripeId(*write)].positions.iter().all(|placed| placed.write == *write)
        {
            found.push(format!("{write:?} is spent, and its whole stripe is there"));
        }
    }
}

/// No row is longer than what one operation may write.
pub(super) fn rows_are_bounded(rows: &Loaded, found: &mut Vec<String>) {
    found.extend(rows.overlong.iter().map(|(key, bytes)| format!("row {key} has {bytes} bytes")));
}

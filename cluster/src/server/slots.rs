//! How many connections each peer has, by class. A peer that makes too many is refused before they cost anything.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use cairn_core::NodeId;

use crate::class::Class;

type Counts = BTreeMap<(NodeId, Class), usize>;

/// Connections by peer and class.
#[derive(Debug, Default)]
pub(super) struct Slots(Arc<Mutex<Counts>>);

/// One connection's place; free again when it is dropped.
#[derive(Debug)]
pub(super) struct Slot {
    counts: Arc<Mutex<Counts>>,
    of: (NodeId, Class),
}

impl Slots {
    /// Whether one more would be too many.
    pub(super) fn full(&self, peer: NodeId, class: Class) -> bool {
        let counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        counts.get(&(peer, class)).is_some_and(|count| *count >= class.accepted_max())
    }

    /// Takes a place, unless there is none.
    pub(super) fn take(&self, peer: NodeId, class: Class) -> Option<Slot> {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let count = counts.entry((peer, class)).or_default();
        if *count >= class.accepted_max() {
            return None;
        }
        *count += 1;
        Some(Slot { counts: self.0.clone(), of: (peer, class) })
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        let count = counts.get_mut(&self.of).expect("a slot was counted when it was taken");
        *count -= 1;
        if *count == 0 {
            counts.remove(&self.of);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_counted_by_peer_and_class_and_come_back() {
        let slots = Slots::default();
        let most = Class::Raft.accepted_max();
        let mut held: Vec<Slot> = (0..most).map(|_| slots.take(NodeId(1), Class::Raft).unwrap()).collect();
        assert!(slots.full(NodeId(1), Class::Raft));
        assert!(slots.take(NodeId(1), Class::Raft).is_none());
        assert!(!slots.full(NodeId(2), Class::Raft) && !slots.full(NodeId(1), Class::Bulk));
        held.pop();
        assert!(slots.take(NodeId(1), Class::Raft).is_some());
        held.clear();
        assert!(slots.0.lock().unwrap().is_empty(), "peers that left are forgotten");
    }
}

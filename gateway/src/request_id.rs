//! The name of one request, in every answer and in the log line that goes with it.

use core::fmt;
use std::sync::atomic::{AtomicU64, Ordering};

use cairn_core::{Entropy, NodeId};

/// Makes names that differ within a node and are unlikely to meet those of another start.
#[derive(Debug)]
pub struct RequestIds {
    node: NodeId,
    start: u64,
    next: AtomicU64,
}

/// The name of one request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RequestId {
    node: NodeId,
    number: u64,
}

impl RequestIds {
    /// Begins where chance says.
    pub fn new(node: NodeId, entropy: &dyn Entropy) -> Self {
        Self { node, start: entropy.next_u64(), next: AtomicU64::new(0) }
    }

    /// The next name. An odd factor visits every number once before the first comes again.
    pub fn next(&self) -> RequestId {
        let count = self.next.fetch_add(1, Ordering::Relaxed);
        RequestId { node: self.node, number: self.start.wrapping_add(count.wrapping_mul(0x9E37_79B9_7F4A_7C15)) }
    }
}

impl RequestId {
    /// What `x-amz-id-2` says: the node that answered, then the request.
    pub fn extended(&self) -> String {
        format!("{}/{}", self.node, self)
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016X}", self.number)
    }
}

#[cfg(test)]
mod tests {
    use cairn_core::entropy::SeededEntropy;

    use super::*;

    #[test]
    fn names_differ() {
        let ids = RequestIds::new(NodeId(5), &*SeededEntropy::new(1));
        let (a, b) = (ids.next(), ids.next());
        assert_ne!(a, b);
        assert_eq!(a.to_string().len(), 16);
        assert_eq!(a.extended(), format!("0000000000000005/{a}"));
    }
}

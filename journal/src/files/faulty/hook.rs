//! What happens before an operation begins: how a test makes a disk slow, or has it stand still.
//!
//! Latency is the test's own: it may move a clock by hand (so that simulated time passes), wait for a message (a disk that
//! hangs until it is told to go on), or count. Nothing of the disk is locked meanwhile.

use std::fmt;
use std::path::Path;
use std::sync::{Arc, PoisonError, RwLock};

use super::Operation;

type Before = dyn Fn(Operation, &Path) + Send + Sync;

/// Shared by all clones of one filesystem.
#[derive(Clone, Default)]
pub(super) struct Hook(Arc<RwLock<Option<Arc<Before>>>>);

impl Hook {
    pub fn set(&self, before: Arc<Before>) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Some(before);
    }

    pub fn clear(&self) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = None;
    }

    pub fn run(&self, operation: Operation, path: &Path) {
        // Taken out of the lock first: it may stand still for as long as the test likes.
        let before = self.0.read().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(before) = before {
            before(operation, path);
        }
    }
}

impl fmt::Debug for Hook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Hook(..)")
    }
}

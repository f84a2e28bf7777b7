//! The one place that knows whether the node has failed. The first cause is kept, everyone who waits hears of it.

use std::sync::{Arc, OnceLock};

use tokio_util::sync::CancellationToken;

use crate::error::NodeFailure;
use crate::suspicion::Suspicion;

/// Whether and why the node has stopped. Cheap to clone, all clones are one.
#[derive(Debug, Clone, Default)]
pub(crate) struct Failure {
    cause: Arc<OnceLock<NodeFailure>>,
    happened: CancellationToken,
    /// Where it is noted that the rows are the cause.
    suspicion: Option<Suspicion>,
}

impl Failure {
    /// One that leaves a note for the next start where rows are the cause.
    pub(crate) fn noting(suspicion: Suspicion) -> Self {
        Self { suspicion: Some(suspicion), ..Self::default() }
    }

    /// Stops the node. Later causes are consequences of the first and only logged.
    pub(crate) fn fail(&self, cause: NodeFailure) {
        tracing::error!(%cause, "the metadata node stops");
        // Before anybody hears of it: whoever does ends the process.
        if let (NodeFailure::Rows { .. }, Some(suspicion), None) = (&cause, &self.suspicion, self.cause.get()) {
            suspicion.leave();
        }
        if self.cause.set(cause).is_ok() {
            self.happened.cancel();
        }
    }

    /// The first cause, if there was one.
    pub(crate) fn cause(&self) -> Option<NodeFailure> {
        self.cause.get().cloned()
    }

    /// Waits until the node fails.
    pub(crate) async fn happened(&self) -> NodeFailure {
        self.happened.cancelled().await;
        self.cause().expect("the cause is set before the token is cancelled")
    }
}

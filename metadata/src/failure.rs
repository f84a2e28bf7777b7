//! The one place that knows whether the node has failed. The first cause is kept, everyone who waits hears of it.

use std::sync::{Arc, OnceLock};

use tokio_util::sync::CancellationToken;

use crate::error::NodeFailure;

/// Whether and why the node has stopped. Cheap to clone, all clones are one.
#[derive(Debug, Clone, Default)]
pub(crate) struct Failure {
    cause: Arc<OnceLock<NodeFailure>>,
    happened: CancellationToken,
}

impl Failure {
    /// Stops the node. Later causes are consequences of the first and only logged.
    pub(crate) fn fail(&self, cause: NodeFailure) {
        tracing::error!(%cause, "the metadata node stops");
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

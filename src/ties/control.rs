//! What nodes ask of each other beside chunks, Raft and gossip: one service, each method with a file of its own.

use std::sync::Arc;

use cairn_cluster::service::{Declined, Failure, Reply, Request};
use cairn_cluster::{Method, Service};
use futures::FutureExt as _;
use futures::future::BoxFuture;

use crate::ties::enlistment::Enlisting;
use crate::ties::telling::Telling;

/// Which part a node has in the log.
pub const ENLIST: Method = Method(1);

/// How safe the data is, asked of the node that knows.
pub const STATUS: Method = Method(2);

/// The service.
#[derive(Debug)]
pub struct Control {
    /// Nodes that ask for their part.
    pub enlisting: Arc<Enlisting>,
    /// Nodes that ask how safe the data is.
    pub telling: Arc<Telling>,
}

impl Service for Control {
    fn answer(&self, request: Request) -> BoxFuture<'_, Result<Reply, Failure>> {
        async move {
            match request.method {
                ENLIST => self.enlisting.answer(request).await,
                STATUS => self.telling.answer().await,
                _ => Err(Declined::NoMethod.into()),
            }
        }
        .boxed()
    }
}

//! How safe the data is, is known where the daemon runs that repairs. Whoever is asked elsewhere asks there.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use cairn_cluster::service::{Declined, Failure, Reply};
use cairn_cluster::{Call, Class, Payload, Pool, ServiceId};
use cairn_core::NodeId;

use crate::admin::Admin;
use crate::status::Status;
use crate::ties::control::STATUS;

/// How long the node that knows is given. A person waits.
const PATIENCE: Duration = Duration::from_secs(5);

/// The answering end. It is behind the listener before there is anything to tell.
#[derive(Debug, Default)]
pub struct Telling(OnceLock<Arc<Admin>>);

impl Telling {
    /// One that has nothing to tell yet.
    pub fn new() -> Arc<Self> {
        Arc::default()
    }

    /// From now on this is told.
    pub fn serve(&self, admin: Arc<Admin>) {
        assert!(self.0.set(admin).is_ok(), "one process has one administration");
    }

    /// What this node itself knows; never what it would have to ask of another.
    pub async fn answer(&self) -> Result<Reply, Failure> {
        let admin = self.0.get().ok_or(Declined::NotReady)?;
        let status = admin.own_status().await.map_err(|error| {
            tracing::debug!(error, "another node asked how safe the data is");
            Declined::NotReady
        })?;
        let text = serde_json::to_vec(&status).map_err(|_| Declined::NotReady)?;
        Ok(Reply { head: bytes::Bytes::new(), body: Payload::Sealed(text.into()) })
    }
}

/// Asks the node that knows.
pub async fn ask(pool: &Pool, node: NodeId) -> Result<Status, String> {
    let call = Call::new(ServiceId::CONTROL, STATUS, bytes::Bytes::new());
    let answer = pool.call(node, Class::Control, call, PATIENCE).await.map_err(|error| error.to_string())?;
    let Payload::Sealed(text) = answer.body else { return Err(format!("node {node} answered in another form")) };
    serde_json::from_slice(&text).map_err(|error| format!("node {node}: {error}"))
}

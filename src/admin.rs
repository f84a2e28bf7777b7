//! What a running server answers to `cairn status` and its kin. The gateway has verified a root key's signature before
//! anything here is called.

use std::sync::Arc;

use bytes::Bytes;
use cairn_cluster::{Members, Pool, Profile};
use cairn_core::Drives;
use cairn_gateway::admin::AdminApi;
use cairn_metadata::{Client, MetadataNode};
use cairn_repair::{FaultQueue, Leadership, Meter};
use http::{Method, StatusCode};
use serde::Serialize;
use tokio::sync::watch;

use crate::status::{self, Sources, Status, nodes};
use crate::ties::steward::Me;
use crate::ties::telling;

/// Where the status is asked for.
pub const STATUS_PATH: &str = "/.cairn/v1/status";

/// The answers of one process.
#[derive(Debug)]
pub struct Admin {
    /// The log, under the gateway's session.
    pub client: Client,
    /// The voter of this process.
    pub node: MetadataNode,
    /// The drives.
    pub drives: Arc<Drives>,
    /// Those of this process that could be opened.
    pub open: Vec<Arc<cairn_storage_node::Drive>>,
    /// What the repair daemon found and did.
    pub meter: Meter,
    /// What readers reported.
    pub faults: Arc<FaultQueue>,
    /// Who else there is, where there can be anybody.
    pub outlook: Option<Outlook>,
}

/// The other nodes, as this one sees them.
#[derive(Debug)]
pub struct Outlook {
    /// This node among them.
    pub me: Me,
    /// What it says of itself.
    pub profile: Profile,
    /// The others.
    pub members: watch::Receiver<Arc<Members>>,
    /// The way to them.
    pub pool: Arc<Pool>,
}

/// An error as programs read it.
#[derive(Debug, Serialize)]
struct Failure {
    error: String,
}

impl Admin {
    /// The status as the node knows it where the daemon runs that repairs; what is known here, and why it is not enough,
    /// where that one does not answer.
    async fn status(&self) -> Result<Status, String> {
        if let Some(outlook) = &self.outlook
            && let Leadership::Following(leader) = self.meter.leadership()
            && leader.node != outlook.me.node
        {
            match telling::ask(&outlook.pool, leader.node).await {
                Ok(status) => return Ok(status),
                Err(error) => {
                    let mut status = self.own_status().await?;
                    status.reasons.push(format!("the node that counts does not answer: {error}"));
                    status.fully_redundant = false;
                    return Ok(status);
                }
            }
        }
        self.own_status().await
    }

    /// The status as this node itself knows it.
    pub async fn own_status(&self) -> Result<Status, String> {
        let view = self.client.read().await.map_err(|error| error.to_string())?;
        let log = self.node.status();
        let (metadata, nodes) = nodes::look(&view, &log, self.outlook.as_ref()).map_err(|error| error.to_string())?;
        let sources = Sources {
            drives: &self.drives,
            open: &self.open,
            meter: &self.meter,
            faults_waiting: self.faults.waiting(),
            metadata,
            nodes,
        };
        status::gather(&view, &sources).map_err(|error| error.to_string())
    }
}

#[async_trait::async_trait]
impl AdminApi for Admin {
    async fn call(&self, method: &Method, path: &str, _query: &str, _body: Bytes) -> (StatusCode, Bytes) {
        match (method, path) {
            (&Method::GET, "status") => match self.status().await {
                Ok(status) => json(StatusCode::OK, &status),
                Err(error) => json(StatusCode::SERVICE_UNAVAILABLE, &Failure { error }),
            },
            _ => json(StatusCode::NOT_FOUND, &Failure { error: format!("nothing answers {method} {path}") }),
        }
    }
}

fn json(status: StatusCode, value: &impl Serialize) -> (StatusCode, Bytes) {
    match serde_json::to_vec_pretty(value) {
        Ok(text) => (status, text.into()),
        Err(error) => {
            tracing::error!(%error, "an answer could not be written as JSON");
            (StatusCode::INTERNAL_SERVER_ERROR, Bytes::from_static(b"{\"error\": \"internal\"}"))
        }
    }
}

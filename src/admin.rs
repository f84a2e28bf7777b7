//! What a running server answers to `cairn status` and its kin. The gateway has verified a root key's signature before
//! anything here is called.

use std::sync::Arc;

use bytes::Bytes;
use cairn_core::Drives;
use cairn_gateway::admin::AdminApi;
use cairn_metadata::{Client, MetadataNode};
use cairn_repair::{FaultQueue, Meter};
use http::{Method, StatusCode};
use serde::Serialize;

use crate::status::{self, Metadata, Sources, Status};

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
    /// What the repair daemon found and did.
    pub meter: Meter,
    /// What readers reported.
    pub faults: Arc<FaultQueue>,
}

/// An error as programs read it.
#[derive(Debug, Serialize)]
struct Failure {
    error: String,
}

impl Admin {
    async fn status(&self) -> Result<Status, String> {
        let view = self.client.read().await.map_err(|error| error.to_string())?;
        let log = self.node.status();
        let quorum = &log.log.epoch.quorum;
        // A start needs all but copies - 1 drives of the roster; those that are gone already use that up.
        let gone = quorum.roster.len().saturating_sub(log.log.healthy.len());
        let metadata = Metadata {
            survives_drives: quorum.copies.saturating_sub(1).saturating_sub(u8::try_from(gone).unwrap_or(u8::MAX)),
            copies: quorum.copies,
            roster: quorum.roster.iter().map(ToString::to_string).collect(),
            applied_index: log.applied_index.0,
            run_index: log.run_index.0,
        };
        let sources =
            Sources { drives: &self.drives, meter: &self.meter, faults_waiting: self.faults.waiting(), metadata };
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

//! What a running server answers to `cairn status` and its kin. The gateway has verified a root key's signature before
//! anything here is called.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use cairn_cluster::{Members, Pool, Profile};
use cairn_core::{BucketName, ChunkStore as _, Clock, DriveId, Drives};
use cairn_gateway::admin::AdminApi;
use cairn_metadata::{ChangeError, Client, MetadataNode};
use cairn_repair::{FaultQueue, Leadership, Meter};
use http::{Method, StatusCode};
use serde::Serialize;
use tokio::sync::watch;

use crate::assembly::newcomers::{Newcomers, TakeInError};
use crate::audit::{Audits, Subjects};
use crate::bucket;
use crate::dev::directories::in_one_line;
use crate::log::{self, answer::LogFault};
use crate::raft;
use crate::status::{self, Engine, Sources, Status, nodes};
use crate::ties::steward::Me;
use crate::ties::telling;

/// Where the status is asked for.
pub const STATUS_PATH: &str = "/.cairn/v1/status";

/// Where a drive is taken in: `POST`, with `new` and `old` in the query.
pub const DRIVES_PATH: &str = "/.cairn/v1/drives";

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
    /// Takes drives in, where this process is alone.
    pub newcomers: Option<Arc<Newcomers>>,
    /// What the repair daemon found and did.
    pub meter: Meter,
    /// What readers reported.
    pub faults: Arc<FaultQueue>,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Audits that were begun here.
    pub audits: Audits,
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
    pub async fn status(&self) -> Result<Status, String> {
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

    /// A page of the log.
    async fn log(&self, query: &str) -> (StatusCode, Bytes) {
        let asked = match log::Asked::from_query(query) {
            Ok(asked) => asked,
            Err(error) => return json(StatusCode::BAD_REQUEST, &Failure { error }),
        };
        match log::answer::answer(&self.node, &self.client, &asked).await {
            Ok(page) => json(StatusCode::OK, &page),
            Err(error @ LogFault::Question(_)) => json(StatusCode::BAD_REQUEST, &Failure { error: error.to_string() }),
            Err(error) => json(StatusCode::SERVICE_UNAVAILABLE, &Failure { error: error.to_string() }),
        }
    }

    /// A page of buckets.
    async fn buckets(&self, query: &str) -> (StatusCode, Bytes) {
        let after = form_urlencoded::parse(query.as_bytes()).find(|(name, _)| name == "after");
        let after = match after.map(|(_, name)| name).filter(|name| !name.is_empty()).map(BucketName::new).transpose() {
            Ok(after) => after,
            Err(error) => return json(StatusCode::BAD_REQUEST, &Failure { error: error.to_string() }),
        };
        let page = match self.client.read().await {
            Ok(view) => bucket::page(&view, after.as_ref()).map_err(|error| error.to_string()),
            Err(error) => Err(error.to_string()),
        };
        match page {
            Ok(page) => json(StatusCode::OK, &page),
            Err(error) => json(StatusCode::SERVICE_UNAVAILABLE, &Failure { error }),
        }
    }

    /// How an audit is doing.
    async fn audit(&self, query: &str) -> (StatusCode, Bytes) {
        let number = |name: &str| {
            let mut pairs = query.split('&').filter_map(|pair| pair.split_once('='));
            pairs.find(|(found, _)| *found == name)?.1.parse::<u64>().ok()
        };
        let wait = Duration::from_secs(number("wait").unwrap_or(0)).min(log::WAIT_MAX);
        match self.audits.follow(number("id").unwrap_or(0), wait).await {
            Some(begun) => json(StatusCode::OK, &begun),
            None => {
                let error = "there is no such audit: it was begun before this process, or another one since".to_owned();
                json(StatusCode::NOT_FOUND, &Failure { error })
            }
        }
    }

    /// Changes who takes part in the log, or who leads it.
    async fn change_members(&self, query: &str) -> (StatusCode, Bytes) {
        let Some(change) = raft::Change::from_query(query) else {
            let error = "one of lead=, add= and remove= is asked for, with a member's id, or believe=clock".to_owned();
            return json(StatusCode::BAD_REQUEST, &Failure { error });
        };
        match raft::change(&self.node, &self.client, self.outlook.as_ref(), change).await {
            Ok(status) => json(StatusCode::OK, &status),
            Err(error @ ChangeError::Refused(_)) => json(StatusCode::CONFLICT, &Failure { error: error.to_string() }),
            Err(error) => json(StatusCode::SERVICE_UNAVAILABLE, &Failure { error: error.to_string() }),
        }
    }

    async fn take_in(&self, query: &str) -> (StatusCode, Bytes) {
        let failure = |status, error: String| json(status, &Failure { error });
        let Some(newcomers) = &self.newcomers else {
            return failure(StatusCode::CONFLICT, "a node of a cluster takes drives in by its file".to_owned());
        };
        let of = |name: &str| {
            let found = form_urlencoded::parse(query.as_bytes()).find(|(known, _)| known == name);
            found.map(|(_, value)| value.into_owned()).filter(|value| !value.is_empty())
        };
        let Some(new) = of("new").map(PathBuf::from).filter(|new| new.is_absolute()) else {
            return failure(StatusCode::BAD_REQUEST, "new: the absolute path of a directory".to_owned());
        };
        match newcomers.take_in(of("old").as_deref(), &new).await {
            Ok(taken) => json(StatusCode::OK, &taken),
            Err(error @ TakeInError::Unavailable(_)) => failure(StatusCode::SERVICE_UNAVAILABLE, error.to_string()),
            Err(error) => failure(StatusCode::CONFLICT, in_one_line(&error)),
        }
    }

    /// What the drives of this process say of their engines.
    pub fn engines(&self) -> Vec<(DriveId, Engine)> {
        self.opened().iter().map(|drive| (drive.drive(), status::engine::engine(drive))).collect()
    }

    fn opened(&self) -> Vec<Arc<cairn_storage_node::Drive>> {
        let mut open = self.open.clone();
        open.extend(self.newcomers.iter().flat_map(|newcomers| newcomers.opened()));
        open
    }

    /// The status as this node itself knows it.
    pub async fn own_status(&self) -> Result<Status, String> {
        let view = self.client.read().await.map_err(|error| error.to_string())?;
        let log = self.node.status();
        let (metadata, nodes) = nodes::look(&view, &log, self.outlook.as_ref()).map_err(|error| error.to_string())?;
        let sources = Sources {
            drives: &self.drives,
            open: &self.opened(),
            meter: &self.meter,
            faults_waiting: self.faults.waiting(),
            metadata,
            nodes,
        };
        let mut status = status::gather(&view, &sources).map_err(|error| error.to_string())?;
        if let Some(covered) = self.client.covered() {
            status.fully_redundant = false;
            status.reasons.insert(0, covered.to_string());
        }
        Ok(status)
    }
}

#[async_trait::async_trait]
impl AdminApi for Admin {
    async fn call(&self, method: &Method, path: &str, query: &str, _body: Bytes) -> (StatusCode, Bytes) {
        match (method, path) {
            (&Method::POST, "drives") => self.take_in(query).await,
            (&Method::GET, "status") => match self.status().await {
                Ok(status) => json(StatusCode::OK, &status),
                Err(error) => json(StatusCode::SERVICE_UNAVAILABLE, &Failure { error }),
            },
            (&Method::GET, "log") => self.log(query).await,
            (&Method::GET, "buckets") => self.buckets(query).await,
            (&Method::POST, "audit") => {
                let (client, drives, clock) = (self.client.clone(), self.drives.clone(), self.clock.clone());
                match self.audits.begin(Subjects { client, drives, clock }, query == "physical=1") {
                    Ok(begun) => json(StatusCode::ACCEPTED, &begun),
                    Err(error) => json(StatusCode::CONFLICT, &Failure { error }),
                }
            }
            (&Method::GET, "audit") => self.audit(query).await,
            (&Method::GET, "raft") => json(StatusCode::OK, &raft::look(&self.node)),
            (&Method::POST, "raft") => self.change_members(query).await,
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

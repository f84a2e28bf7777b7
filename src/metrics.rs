//! What Prometheus is told: the gateway's traffic, the process, and all that `cairn status` knows, as numbers.
//!
//! Everything is gathered when it is asked for. What belongs to the cluster (stripes, objects, drives, nodes) is the answer
//! of the node that counts, so every node tells the same: whoever has several takes the greatest, not the sum. What belongs
//! to a process (traffic, the engines of its drives, `process_*`) is its own. `docs/operations/metrics.md` lists all names.
//!
//! - [`listener`]: who may ask; [`table`]: numbers with labels
//! - [`safety`], [`engines`], [`process`]: what is told

pub mod engines;
pub mod listener;
pub mod process;
pub mod safety;
pub mod table;

use std::sync::Arc;
use std::time::Duration;

use cairn_gateway::Gateway;
use prometheus_client::encoding::text::encode;
use prometheus_client::registry::Registry;

use crate::admin::Admin;
use crate::status::Status;

/// How long the node that counts may take to answer. Whoever scrapes waits for ten seconds as a rule, and must hear what is
/// wrong when most is.
const STATUS_PATIENCE: Duration = Duration::from_secs(5);

/// Tells metrics.
#[derive(Debug, Clone)]
pub struct Metrics {
    admin: Arc<Admin>,
    gateway: Gateway,
}

impl Metrics {
    /// Of this process.
    pub fn new(admin: Arc<Admin>, gateway: Gateway) -> Self {
        Self { admin, gateway }
    }

    /// All of them, in the text format of OpenMetrics, which Prometheus reads.
    pub async fn text(&self) -> String {
        let mut registry = Registry::default();
        process::register(&mut registry);
        let cairn = registry.sub_registry_with_prefix("cairn");
        self.gateway.traffic().register(cairn);
        let ready = self.gateway.ready().await.is_ok();
        table::number(cairn, "ready", "Whether requests can be answered", u64::from(ready));
        let status = if ready { self.status().await } else { Err("nothing can be read now".to_owned()) };
        // Without it nothing is said of the data: a number that nobody counted would be believed.
        table::number(cairn, "status_known", "Whether the node that counts has answered", u64::from(status.is_ok()));
        match status {
            Ok(status) => safety::register(cairn, &status),
            Err(error) => tracing::debug!(error, "metrics without a status"),
        }
        engines::register(cairn, &self.admin.engines());
        let mut text = String::new();
        encode(&mut text, &registry).expect("a string takes whatever is written to it");
        text
    }

    async fn status(&self) -> Result<Status, String> {
        let answered = tokio::time::timeout(STATUS_PATIENCE, self.admin.status()).await;
        answered.unwrap_or_else(|_| Err(format!("no status within {} s", STATUS_PATIENCE.as_secs())))
    }

    /// Whether requests can be answered, and if not, why.
    pub async fn ready(&self) -> Result<(), String> {
        self.gateway.ready().await
    }
}

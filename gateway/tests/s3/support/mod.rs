//! A gateway on a free loopback port, over a real metadata voter and drives in memory, and a small client for it.

pub mod client;
pub mod metadata;
pub mod signer;
pub mod signer_v2;

use std::net::SocketAddr;
use std::sync::Arc;

use base64::Engine as _;
use bytes::Bytes;
use cairn_core::clock::SystemClock;
use cairn_core::entropy::{SeededEntropy, SystemEntropy};
use cairn_core::units::MIB;
use cairn_core::{ClusterId, DriveId, Geometry, NodeId};
use cairn_erasure::CodingPool;
use cairn_erasure::testing::{DriveFault, FaultLog, MemoryDrives};
use cairn_gateway::{AdminApi, Gateway, GatewayConfig, SecretSealer, Surroundings};
use cairn_machine::operation::NewDrive;
use cairn_machine::{Operation, RowSource, Table};
use cairn_metadata::Client;
use http::{Method, StatusCode};
use md5::{Digest as _, Md5};
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

pub const ACCESS_KEY: &str = "AKIDEXAMPLE";
pub const SECRET_KEY: &str = "a secret that nobody knows";
pub const OTHER_KEY: &str = "AKIDOTHER";
pub const OTHER_SECRET: &str = "the secret of a key that is not root";
const CLUSTER_SECRET: [u8; 32] = [7; 32];
const NODE: NodeId = NodeId(1);

/// What `Content-MD5` says of a body.
pub fn md5(body: &str) -> String {
    base64::engine::general_purpose::STANDARD.encode(Md5::digest(body))
}

/// A running gateway.
pub struct Server {
    pub address: SocketAddr,
    pub metadata: Client,
    pub drives: MemoryDrives,
    pub faults: Arc<FaultLog>,
    pub http: client::Http,
    stop: Option<oneshot::Sender<()>>,
    running: Option<JoinHandle<usize>>,
    /// What the metadata lives on, for as long as the server does.
    _kept: metadata::Kept,
}

struct Echo;

#[async_trait::async_trait]
impl AdminApi for Echo {
    async fn call(&self, method: &Method, path: &str, query: &str, body: Bytes) -> (StatusCode, Bytes) {
        let text = format!(r#"{{"asked": "{method} {path}?{query}", "bytes": {}}}"#, body.len());
        (StatusCode::OK, text.into())
    }
}

impl Server {
    pub async fn start() -> Self {
        Self::with(6, GatewayConfig { memory_bytes_max: 64 * MIB, ..GatewayConfig::default() }).await
    }

    pub async fn with(drive_count: usize, config: GatewayConfig) -> Self {
        let drives = MemoryDrives::new(drive_count);
        let sealer = SecretSealer::new(&CLUSTER_SECRET);
        let entropy = SeededEntropy::new(1);
        let sealed = |id: &str, secret: &str| sealer.seal(id, secret, &*entropy).unwrap().into();
        let form = Operation::Form {
            cluster: ClusterId(5),
            node: NODE,
            zone: String::new(),
            drives: drives
                .drives
                .ids()
                .into_iter()
                .map(|id| NewDrive { id, weight: 1, label: String::new() })
                .collect(),
            standard: Geometry::standard_for(drive_count),
            access_key: ACCESS_KEY.into(),
            sealed_secret: sealed(ACCESS_KEY, SECRET_KEY),
            voter: 1,
        };
        let other = Operation::PutAccessKey {
            id: OTHER_KEY.into(),
            sealed_secret: sealed(OTHER_KEY, OTHER_SECRET),
            root: false,
        };
        let (metadata, kept) = metadata::start(NODE, form).await;
        metadata.propose(vec![other]).await.unwrap();
        let faults = Arc::new(FaultLog::default());
        let surroundings = Surroundings {
            cluster: ClusterId(5),
            node: NODE,
            secret: CLUSTER_SECRET,
            client: metadata.clone(),
            drives: Arc::clone(&drives.drives),
            pool: CodingPool::per_core(),
            faults: faults.clone(),
            admin: Arc::new(Echo),
            clock: SystemClock::start(),
            entropy: SystemEntropy::shared(),
        };
        let gateway = Gateway::new(config, surroundings).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = oneshot::channel();
        let running = tokio::spawn(async move {
            gateway
                .serve(listener, async {
                    let _ = stopped.await;
                })
                .await
        });
        let http = client::Http::new(address);
        Self { address, metadata, drives, faults, http, stop: Some(stop), running: Some(running), _kept: kept }
    }

    /// Asks the server to stop; the number of connections that it had to cut.
    pub async fn stop(&mut self) -> usize {
        drop(self.stop.take());
        self.running.take().unwrap().await.unwrap()
    }

    /// Asserts that the rows keep every invariant that has a checker.
    #[track_caller]
    pub fn check(&self) {
        let violations = cairn_machine::check::check(&self.metadata.read_stale()).unwrap();
        assert!(violations.is_empty(), "{violations:#?}");
    }

    /// How many rows a table has.
    pub fn count(&self, table: Table) -> usize {
        let mut rows = 0;
        let counted = self.metadata.read_stale().scan(&[table as u8], Some(&[table as u8 + 1]), &mut |_, _| {
            rows += 1;
            core::ops::ControlFlow::Continue(())
        });
        counted.unwrap();
        rows
    }

    /// Makes drives fail, by their numbers from 1 on.
    pub fn fail(&self, numbers: impl IntoIterator<Item = u64>, fault: impl Into<Option<DriveFault>> + Clone) {
        for number in numbers {
            self.drives.drive(DriveId(number)).set_fault(fault.clone().into());
        }
    }
}

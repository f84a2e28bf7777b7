//! A real voter: its log on three of four simulated drives, its rows, its sessions.

use std::path::PathBuf;
use std::sync::Arc;

use cairn_core::clock::SystemClock;
use cairn_core::entropy::SeededEntropy;
use cairn_core::units::MIB;
use cairn_core::{ClusterId, DriveId, Entropy, NodeId};
use cairn_journal::files::faulty::{FaultPlan, FaultyFiles};
use cairn_machine::Operation;
use cairn_machine::rows::session::SessionKind;
use cairn_metadata::{Client, MetadataNode, NodeConfig, StartError, Work};
use cairn_oplog::{LogDrive, LogIdentity, OpLog, Options, Shell, VoterId};
use cairn_rows::{MemoryOverlays, RowsOptions};

/// What must live as long as the client.
pub struct Kept {
    _node: MetadataNode,
    _files: FaultyFiles,
}

const LOG_DRIVES: u64 = 4;

fn dir(drive: u64) -> PathBuf {
    PathBuf::from(format!("/d{drive}"))
}

/// Forms a cluster and begins a gateway's session.
pub async fn start(node: NodeId, form: Operation) -> (Client, Kept) {
    let Operation::Form { cluster, .. } = &form else { panic!("a cluster is formed by Form") };
    let cluster: ClusterId = *cluster;
    let faulty = FaultyFiles::new(1, FaultPlan::default());
    let files = faulty.shared();
    for drive in 0..LOG_DRIVES {
        files.create_dir_all(&dir(drive).join("runs")).unwrap();
    }
    let clock = SystemClock::start();
    let entropy: Arc<dyn Entropy> = SeededEntropy::new(2);
    let drives =
        (0..LOG_DRIVES).map(|n| LogDrive { id: DriveId(100 + n), dir: dir(n), files: files.clone() }).collect();
    let identity = LogIdentity { cluster, node, voter: VoterId(1) };
    let mut options = Options::new(clock.clone());
    options.copies_wanted = 3;
    options.segment_bytes = 16 * MIB;
    let (log, recovered) = OpLog::open(drives, identity, options, entropy.clone(), Shell::Task).await.unwrap();
    let rows =
        RowsOptions { files, overlays: Arc::new(MemoryOverlays), entropy: entropy.clone(), cache_bytes: 1 << 20 };
    let runs = (0..LOG_DRIVES).map(|drive| dir(drive).join("runs")).collect();
    let mut config = NodeConfig::new(node, 1, runs, 3);
    config.work = Work::Inline;
    let voter = MetadataNode::start(config, log, recovered, rows, clock, entropy).await.unwrap();
    assert!(matches!(voter.ready().await, Err(StartError::NotFormed)));
    voter.form(form).await.unwrap();
    voter.ready().await.unwrap();
    let client = voter.client(SessionKind::Gateway).await.unwrap();
    (client, Kept { _node: voter, _files: faulty })
}

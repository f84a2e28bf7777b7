//! A voter on real files for the benches: its log on some directories of one device, three unless somebody says otherwise.

use std::path::Path;
use std::sync::Arc;

use cairn_core::clock::SystemClock;
use cairn_core::entropy::SystemEntropy;
use cairn_core::{BucketId, BucketName, ClusterId, DriveId, Geometry, NodeId, ObjectKey, SessionId};
use cairn_journal::files::real::RealFiles;
use cairn_machine::operation::{Conditions, NewContent, NewDrive, NewExtent};
use cairn_machine::rows::object::{Attributes, ContentHeaders, Etag};
use cairn_machine::rows::profile::ProfileId;
use cairn_machine::{Operation, Outcome};
use cairn_metadata::{Client, MetadataNode, NodeConfig, StartError};
use cairn_oplog::{LogDrive, LogIdentity, OpLog, Options, Shell, VoterId};
use cairn_rows::{MemoryOverlays, RowsOptions};

/// On how many directories everything lies.
pub const COPIES: usize = 3;

/// How large the overlay grows before a run is cut: as a server has it.
pub const OVERLAY_BYTES: u64 = 16 << 20;

/// Starts the voter of a directory with everything in so many copies, and forms it the first time.
pub async fn start(dir: &Path, overlay_bytes: u64, copies: usize) -> (MetadataNode, OpLog) {
    let clock = SystemClock::start();
    let entropy = SystemEntropy::shared();
    let files = RealFiles::shared();
    let mut drives = Vec::new();
    let mut run_directories = Vec::new();
    for n in 0..copies as u64 {
        let dir = dir.join(format!("d{n}"));
        let runs = dir.join("runs");
        std::fs::create_dir_all(&runs).expect("a directory");
        run_directories.push(runs);
        drives.push(LogDrive { id: DriveId(n), dir, files: files.clone() });
    }
    let node = NodeId(1);
    let identity = LogIdentity { cluster: ClusterId(1), node, voter: VoterId(1) };
    let mut options = Options::new(clock.clone());
    options.copies_wanted = copies as u8;
    let (log, recovered) =
        OpLog::open(drives, identity, options, entropy.clone(), Shell::Thread).await.expect("the log opens");
    let rows =
        RowsOptions { files, overlays: Arc::new(MemoryOverlays), entropy: entropy.clone(), cache_bytes: 16 << 20 };
    let mut config = NodeConfig::new(node, 1, run_directories, copies);
    config.cut.overlay_bytes = overlay_bytes;
    let metadata =
        MetadataNode::start(config, log.clone(), recovered, rows, clock, entropy).await.expect("the node starts");
    if let Err(StartError::NotFormed) = metadata.ready().await {
        metadata.form(form(node, 1)).await.expect("it forms");
        metadata.ready().await.expect("it is ready");
    }
    (metadata, log)
}

/// A cluster of six drives, and one voter for the time being.
pub fn form(node: NodeId, voter: u64) -> Operation {
    Operation::Form {
        cluster: ClusterId(1),
        node,
        zone: String::new(),
        drives: (0..6).map(|n| NewDrive { id: DriveId(n), weight: 1, label: String::new() }).collect(),
        standard: Geometry::standard_for(6),
        access_key: "root".into(),
        sealed_secret: vec![1].into(),
        voter,
    }
}

/// Makes a bucket.
pub async fn bucket(client: &Client, name: &str) -> BucketId {
    let name = BucketName::new(name).expect("a name");
    let create = Operation::CreateBucket { name, owner: "root".into(), lock: None, acl: None };
    match client.propose(vec![create]).await.expect("an answer")[..] {
        [Outcome::BucketCreated(bucket)] => bucket,
        ref other => panic!("{other:?}"),
    }
}

/// An object of one extent.
pub fn put(bucket: BucketId, key: &str, extent: NewExtent, session: SessionId) -> Operation {
    Operation::PutObject {
        bucket,
        key: ObjectKey::new(key).expect("a key"),
        attributes: Attributes {
            size: u64::from(extent.length),
            etag: Etag { md5: [7; 16], parts: None },
            profile: ProfileId::STANDARD,
            headers: ContentHeaders::default(),
            metadata: Vec::new(),
            checksum: None,
            tags: None,
            upload: None,
            lock: None,
            acl: None,
        },
        content: NewContent::Extents(vec![extent]),
        conditions: Conditions::default(),
        session,
    }
}

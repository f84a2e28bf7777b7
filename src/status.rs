//! Is the data safe? One answer for people and for programs.
//!
//! What is said here is counted, not guessed: stripes by the repair daemon's census, drives by the log's ledger, copies of
//! the log by the log itself. Where something is not known yet, the answer is no.

pub mod engine;
pub mod nodes;

use std::os::unix::fs::MetadataExt as _;
use std::sync::Arc;

use cairn_core::{ChunkStore as _, DriveId, Drives};
use cairn_machine::row::{Row, Table, table_end};
use cairn_machine::rows::bucket::BucketLedgerRow;
use cairn_machine::rows::cluster::ClusterRow;
use cairn_machine::rows::here::HereLedgerRow;
use cairn_machine::rows::profile::{ProfileId, ProfileRow};
use cairn_machine::rows::topology::{DriveLedgerRow, DriveRow, DriveState};
use cairn_machine::{RowError, RowSource};
use cairn_repair::Meter;
use cairn_repair::meter::{Progress, Redundancy};
use serde::{Deserialize, Serialize};

pub use self::engine::Engine;

/// All of it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Status {
    /// The release that answers.
    pub version: String,
    /// The cluster's id.
    pub cluster: String,
    /// Whether every stripe tolerates m further losses, as far as is known.
    pub fully_redundant: bool,
    /// Why not, in sentences; empty when it is.
    pub reasons: Vec<String>,
    /// What STANDARD is.
    pub standard: String,
    /// What the data is made of and how safe it is.
    pub data: Data,
    /// How safe the metadata is.
    pub metadata: Metadata,
    /// What is stored.
    pub stored: Stored,
    /// Every node that the log knows.
    pub nodes: Vec<Node>,
    /// Every drive that is not removed.
    pub drives: Vec<Drive>,
    /// What the repair daemon has done and is doing.
    pub repair: Repair,
}

/// How safe the data is, by the last census.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Data {
    /// How many further drives may be lost without losing data; none when some is lost already, or nothing is known yet.
    pub survives_drives: Option<u8>,
    /// Stripes in all.
    pub stripes: u64,
    /// Stripes by the losses that they survive.
    pub stripes_by_margin: std::collections::BTreeMap<u8, u64>,
    /// Stripes that survive fewer losses than their geometry promises.
    pub stripes_exposed: u64,
    /// Stripes that cannot be read.
    pub stripes_lost: u64,
    /// Stripes that cannot be read at the moment, because drives do not answer; they are not lost.
    pub stripes_unreachable: u64,
    /// Stripes that were coded for fewer drives than the profile asks for, and are as safe as it promises.
    pub stripes_reshaped: u64,
    /// Stripes that are to be coded anew, now or when the drives have stood for long enough.
    pub stripes_to_reshape: u64,
    /// Stripes that cannot be made safe before a drive comes, or space.
    pub stripes_needing_a_drive: u64,
    /// Chunks that are missing.
    pub chunks_missing: u64,
    /// Chunks on drives that do not answer.
    pub chunks_unreachable: u64,
    /// The index of the log at which this was counted.
    pub as_of_index: Option<u64>,
}

/// How safe the metadata is.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Metadata {
    /// How many further drives may be lost without losing metadata.
    pub survives_drives: u8,
    /// How many further nodes may be lost before nothing can be decided any more.
    pub survives_nodes: u8,
    /// How many nodes decide.
    pub voters: usize,
    /// How many would, if as many did as should.
    pub voters_wanted: usize,
    /// The node that leads, as far as is known.
    pub leader: Option<String>,
    /// On how many drives each part of the log is synced before it is acknowledged.
    pub copies: u8,
    /// The drives that the log may use.
    pub roster: Vec<String>,
    /// Drives that the log of the answering node has left since its start, and why.
    #[serde(default)]
    pub drives_left: std::collections::BTreeMap<String, String>,
    /// Parts of that log that lie on fewer drives than they should, and are being copied.
    #[serde(default)]
    pub parts_short: u64,
    /// The last index that is applied.
    pub applied_index: u64,
    /// The index up to which rows stand in runs.
    pub run_index: u64,
}

/// What is stored.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Stored {
    /// Buckets.
    pub buckets: u64,
    /// Objects, without delete markers.
    pub objects: u64,
    /// Versions of all kinds.
    pub versions: u64,
    /// The sizes of all versions.
    pub bytes: u64,
    /// Bytes of small objects that stand in the metadata until they fill a stripe.
    pub bytes_in_metadata: u64,
}

/// One node.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Node {
    /// Its id.
    pub id: String,
    /// `alive`, `suspect` or `dead`, as the node sees it that answers.
    pub standing: String,
    /// Where other nodes reach it, as far as is known.
    pub address: Option<String>,
    /// Where it serves S3, as far as is known.
    pub s3: Option<String>,
    /// What fails together with it.
    pub zone: String,
    /// The id under which it takes part in the log.
    pub member: Option<u64>,
    /// Whether it votes.
    pub votes: bool,
    /// Whether it leads.
    pub leads: bool,
    /// Up to which index its log is known to be the leader's; only the leader knows.
    pub matched_index: Option<u64>,
    /// How many drives it has.
    pub drives: usize,
}

/// One drive.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Drive {
    /// Its id.
    pub id: String,
    /// What a person calls it.
    pub label: String,
    /// The node that has it.
    pub node: String,
    /// What the log says: `active`, `draining` or `lost`.
    pub state: String,
    /// Whether it takes writes, and if not, why.
    pub problem: Option<String>,
    /// Chunks that the log counts on it.
    pub chunks: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Deleted bytes that are not collected yet.
    pub garbage_bytes: u64,
    /// What it has allocated for chunks.
    pub allocated_bytes: Option<u64>,
    /// What its filesystem still has.
    pub available_bytes: Option<u64>,
    /// The device that its directory lies on, as the system numbers them; none where it cannot be asked.
    #[serde(default)]
    pub device: Option<u64>,
    /// Reads and writes that failed since the start.
    pub errors: u64,
    /// What it says of itself; none where it cannot be asked.
    #[serde(default)]
    pub engine: Option<Engine>,
}

/// What the repair daemon has done and is doing.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Repair {
    /// Chunks of the current plan that are still to be rebuilt.
    pub planned: u64,
    /// Chunks for which there is no free drive.
    pub waiting_for_a_drive: u64,
    /// Stripes of the current plan that are still to be coded anew.
    pub stripes_planned: u64,
    /// Stripes coded anew since the start, for fewer drives or for more.
    pub stripes_recoded: u64,
    /// Why no drive is declared lost although nodes are dead; none where that is not so.
    pub held: Option<String>,
    /// Chunks rebuilt since the start.
    pub chunks_rebuilt: u64,
    /// Their bytes.
    pub bytes_rebuilt: u64,
    /// Small objects moved from the metadata into stripes since the start.
    pub objects_packed: u64,
    /// Deleted chunks that were collected since the start.
    pub chunks_collected: u64,
    /// Orphans condemned since the start.
    pub orphans_condemned: u64,
    /// Steps that failed since the start; each is tried again.
    pub failures: u64,
    /// What stopped the last one.
    pub last_failure: Option<String>,
}

/// What is known beside the rows.
#[derive(Debug)]
pub struct Sources<'a> {
    /// The drives that can be asked.
    pub drives: &'a Drives,
    /// Those of this process that are open, to be asked in detail.
    pub open: &'a [Arc<cairn_storage_node::Drive>],
    /// What the repair daemon has found and done.
    pub meter: &'a Meter,
    /// What readers reported and nobody has looked at yet.
    pub faults_waiting: usize,
    /// The log and the rows.
    pub metadata: Metadata,
    /// The nodes.
    pub nodes: Vec<Node>,
}

/// Puts the answer together from one view of the rows.
pub fn gather(rows: &impl RowSource, sources: &Sources<'_>) -> Result<Status, RowError> {
    let (redundancy, progress) = (sources.meter.redundancy(), sources.meter.progress());
    let cluster = ClusterRow::get(rows, &())?;
    let standard = ProfileRow::get(rows, &ProfileId::STANDARD)?;
    let drives = drives(rows, sources)?;
    let stored = stored(rows)?;
    let mut data = data(&redundancy);
    if stored.bytes_in_metadata > 0 {
        // Those objects are as safe as the metadata that they stand in.
        let metadata = sources.metadata.survives_drives;
        data.survives_drives = data.survives_drives.map(|drives| drives.min(metadata));
    }
    let mut reasons = reasons(&redundancy, &drives, sources.faults_waiting);
    if let Some(held) = &progress.held {
        reasons.push(held.clone());
    }
    reasons.extend(log_reasons(&sources.metadata, &drives));
    if data.survives_drives.is_none() && reasons.is_empty() {
        reasons.push("the data has not been counted yet".to_owned());
    }
    Ok(Status {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        cluster: cluster.map(|row| row.id.to_string()).unwrap_or_default(),
        fully_redundant: reasons.is_empty(),
        reasons,
        standard: standard.map(|row| row.geometry.to_string()).unwrap_or_default(),
        data,
        metadata: sources.metadata.clone(),
        stored,
        nodes: sources.nodes.clone(),
        drives,
        repair: repair(progress),
    })
}

fn data(found: &Redundancy) -> Data {
    let least = found.stripes_by_margin.keys().next().copied();
    let counted = found.as_of_index.is_some() && found.stripes_lost == 0 && found.stripes_unreachable == 0;
    Data {
        survives_drives: if counted { Some(least.unwrap_or(u8::MAX)) } else { None },
        stripes: found.stripes,
        stripes_by_margin: found.stripes_by_margin.clone(),
        stripes_exposed: found.stripes_exposed,
        stripes_lost: found.stripes_lost,
        stripes_unreachable: found.stripes_unreachable,
        stripes_reshaped: found.stripes_reshaped,
        stripes_to_reshape: found.stripes_to_reshape,
        stripes_needing_a_drive: found.stripes_needing_a_drive,
        chunks_missing: found.positions_missing,
        chunks_unreachable: found.positions_unreachable,
        as_of_index: found.as_of_index.map(|index| index.0),
    }
}

/// Every way in which the data may be less safe than it was promised to be.
fn reasons(found: &Redundancy, drives: &[Drive], faults_waiting: usize) -> Vec<String> {
    let mut reasons = Vec::new();
    let mut say = |count: u64, what: &str| {
        if count > 0 {
            reasons.push(format!("{count} {what}"));
        }
    };
    say(u64::from(found.as_of_index.is_none()), "first census is still under way");
    say(found.stripes_lost, "stripes have fewer chunks than they need to be read");
    say(found.stripes_unreachable, "stripes cannot be read, because drives do not answer");
    let unreadable = found.stripes_lost + found.stripes_unreachable;
    say(found.stripes_exposed.saturating_sub(unreadable), "stripes survive fewer losses than promised");
    say(found.stripes_needing_a_drive, "stripes need a drive, or space, before they are safe again");
    say(found.drives_unlisted, "drives could not say what they hold");
    say(faults_waiting as u64, "chunks were found damaged and are still to be looked at");
    for drive in drives {
        if drive.state == "lost" && drive.chunks > 0 {
            reasons.push(format!("{} chunks of {} are still to be rebuilt", drive.chunks, drive.label));
        }
        if let Some(problem) = drive.problem.as_ref().filter(|_| drive.state == "active") {
            reasons.push(format!("{}: {problem}", drive.label));
        }
    }
    reasons
}

/// Every way in which the log lies on fewer drives than it should.
fn log_reasons(metadata: &Metadata, drives: &[Drive]) -> Vec<String> {
    let label = |id: &String| drives.iter().find(|drive| drive.id == *id).map_or(id, |drive| &drive.label).clone();
    let mut reasons: Vec<String> = metadata
        .drives_left
        .iter()
        .map(|(id, why)| format!("the operation log does not use {}: {why}", label(id)))
        .collect();
    if metadata.parts_short > 0 {
        let (parts, copies) = (metadata.parts_short, metadata.copies);
        reasons.push(format!("{parts} parts of the operation log lie on fewer than {copies} drives"));
    }
    reasons
}

fn drives(rows: &impl RowSource, sources: &Sources<'_>) -> Result<Vec<Drive>, RowError> {
    let mut found = Vec::new();
    for (id, row) in cairn_repair::census::drive_states(rows)? {
        let ledger = DriveLedgerRow::get(rows, &id)?.unwrap_or_default();
        if row.state != DriveState::Removed {
            found.push(drive(id, row, ledger, sources));
        }
    }
    found.sort_by(|a, b| (a.label.len(), &a.label, &a.state).cmp(&(b.label.len(), &b.label, &b.state)));
    Ok(found)
}

fn drive(id: DriveId, row: DriveRow, ledger: DriveLedgerRow, sources: &Sources<'_>) -> Drive {
    let health = sources.drives.get(id).map(|store| store.health());
    let open = sources.open.iter().find(|open| open.drive() == id);
    let problem = match (&row.state, &health) {
        (DriveState::Lost, _) => None,
        (_, Err(error)) => Some(error.to_string()),
        (_, Ok(health)) => health.writable.as_ref().err().map(|why| format!("takes no writes: {why}")),
    };
    let health = health.ok();
    Drive {
        id: id.to_string(),
        label: row.label,
        node: row.node.to_string(),
        state: format!("{:?}", row.state).to_lowercase(),
        problem,
        chunks: ledger.chunks,
        bytes: ledger.bytes,
        garbage_bytes: ledger.garbage_bytes,
        allocated_bytes: health.as_ref().map(|health| health.allocated_bytes),
        available_bytes: health.as_ref().map(|health| health.available_bytes),
        device: open.and_then(|open| std::fs::metadata(open.dir().path()).ok()).map(|found| found.dev()),
        errors: health.map_or(0, |health| health.errors),
        engine: open.map(|open| engine::engine(open)),
    }
}

fn stored(rows: &impl RowSource) -> Result<Stored, RowError> {
    let mut total = Stored::default();
    let mut failed = None;
    let table = Table::BucketLedger;
    rows.scan(&[table as u8], Some(&table_end(table)), &mut |key, value| match BucketLedgerRow::decode(key, value) {
        Ok(ledger) => {
            total.buckets += 1;
            total.objects += ledger.objects;
            total.versions += ledger.versions;
            total.bytes += ledger.bytes;
            std::ops::ControlFlow::Continue(())
        }
        Err(error) => {
            failed = Some(error);
            std::ops::ControlFlow::Break(())
        }
    })?;
    let here = HereLedgerRow::get(rows, &())?;
    total.bytes_in_metadata = here.map_or(0, |ledger| ledger.bytes);
    failed.map_or(Ok(total), Err)
}

fn repair(progress: Progress) -> Repair {
    Repair {
        planned: progress.planned,
        stripes_planned: progress.reshapes_planned,
        stripes_recoded: progress.stripes_reshaped,
        held: progress.held,
        waiting_for_a_drive: progress.waiting_for_a_drive,
        chunks_rebuilt: progress.positions_moved,
        bytes_rebuilt: progress.bytes_moved,
        objects_packed: progress.extents_packed,
        chunks_collected: progress.chunks_collected,
        orphans_condemned: progress.orphans_condemned,
        failures: progress.failures,
        last_failure: progress.last_failure,
    }
}

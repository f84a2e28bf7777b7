//! `cairn status` as numbers: how safe the data and the metadata are, what is stored, drives, nodes, and repair.

use prometheus_client::registry::Registry;

use super::table::{Labels, number, numbers, total, totals};
use crate::status::{Drive, Node, Status};

/// Has a status told.
pub fn register(registry: &mut Registry, status: &Status) {
    let version = vec![("version", status.version.clone())];
    numbers(registry, "build", "Always 1; the label says which release this is", [(version, 1)]);
    let help = "Whether every stripe survives as many losses as its profile promises";
    number(registry, "fully_redundant", help, u64::from(status.fully_redundant));
    number(registry, "reasons", "How many reasons there are why that is not so", status.reasons.len() as u64);
    data(registry, status);
    metadata(registry, status);
    stored(registry, status);
    drives(registry, &status.drives);
    nodes(registry, &status.nodes);
    repair(registry, status);
}

fn data(registry: &mut Registry, status: &Status) {
    let data = &status.data;
    // Nothing is told while nobody has counted.
    let survives = data.survives_drives.map(|drives| (Labels::new(), u64::from(drives)));
    numbers(registry, "data_survives_drives", "Further drives that may be lost without losing data", survives);
    number(registry, "stripes", "Stripes in all", data.stripes);
    let by_margin = data.stripes_by_margin.iter();
    let by_margin = by_margin.map(|(margin, &stripes)| (vec![("margin", margin.to_string())], stripes));
    numbers(registry, "stripes_by_margin", "Stripes by the further losses that they survive", by_margin);
    number(registry, "stripes_exposed", "Stripes that survive fewer losses than promised", data.stripes_exposed);
    number(registry, "stripes_lost", "Stripes that cannot be read any more", data.stripes_lost);
    let unreachable = "Stripes that cannot be read now, because drives do not answer";
    number(registry, "stripes_unreachable", unreachable, data.stripes_unreachable);
    number(
        registry,
        "stripes_reshaped",
        "Stripes coded for fewer drives than the profile asks for",
        data.stripes_reshaped,
    );
    number(registry, "stripes_to_reshape", "Stripes that are to be coded anew", data.stripes_to_reshape);
    let needing = "Stripes that cannot be made safe before a drive comes, or space";
    number(registry, "stripes_needing_a_drive", needing, data.stripes_needing_a_drive);
    number(registry, "chunks_missing", "Chunks that are missing", data.chunks_missing);
    number(registry, "chunks_unreachable", "Chunks on drives that do not answer", data.chunks_unreachable);
}

fn metadata(registry: &mut Registry, status: &Status) {
    let metadata = &status.metadata;
    let drives = "Further drives that may be lost without losing metadata";
    number(registry, "metadata_survives_drives", drives, u64::from(metadata.survives_drives));
    let nodes = "Further nodes that may be lost before nothing can be decided";
    number(registry, "metadata_survives_nodes", nodes, u64::from(metadata.survives_nodes));
    number(registry, "voters", "Nodes that decide", metadata.voters as u64);
    number(registry, "voters_wanted", "Nodes that would, if as many did as should", metadata.voters_wanted as u64);
    number(registry, "leader_known", "Whether a leader is known", u64::from(metadata.leader.is_some()));
    number(registry, "log_copies", "Drives that each part of the log is synced to", u64::from(metadata.copies));
    number(registry, "log_drives", "Drives that the log may use", metadata.roster.len() as u64);
    number(registry, "log_drives_left", "Drives that the log has left", metadata.drives_left.len() as u64);
    number(registry, "log_parts_short", "Parts of the log on fewer drives than they should be", metadata.parts_short);
    number(registry, "log_applied_index", "The last operation that is applied", metadata.applied_index);
    number(registry, "log_run_index", "The operation up to which rows stand in runs", metadata.run_index);
}

fn stored(registry: &mut Registry, status: &Status) {
    let stored = &status.stored;
    number(registry, "buckets", "Buckets", stored.buckets);
    number(registry, "objects", "Objects, without delete markers", stored.objects);
    number(registry, "versions", "Versions of all kinds", stored.versions);
    number(registry, "stored_bytes", "The sizes of all versions", stored.bytes);
    let here = "Bytes of small objects that stand in the metadata until they fill a stripe";
    number(registry, "stored_in_metadata_bytes", here, stored.bytes_in_metadata);
}

fn drives(registry: &mut Registry, drives: &[Drive]) {
    let labels = |drive: &Drive| -> Labels {
        vec![("drive", drive.id.clone()), ("label", drive.label.clone()), ("node", drive.node.clone())]
    };
    let each = |of: fn(&Drive) -> u64| drives.iter().map(move |drive| (labels(drive), of(drive)));
    let known =
        |of: fn(&Drive) -> Option<u64>| drives.iter().filter_map(move |d| of(d).map(|value| (labels(d), value)));
    let sound = |drive: &Drive| u64::from(drive.state != "lost" && drive.problem.is_none());
    numbers(registry, "drive_sound", "Whether a drive is there and takes writes", each(sound));
    let states = drives.iter().map(|drive| {
        let mut labels = labels(drive);
        labels.push(("state", drive.state.clone()));
        (labels, 1)
    });
    numbers(registry, "drive_state", "Always 1; the label says what the log says of a drive", states);
    numbers(registry, "drive_chunks", "Chunks that the log counts on a drive", each(|drive| drive.chunks));
    numbers(registry, "drive_chunk_bytes", "Their bytes", each(|drive| drive.bytes));
    numbers(registry, "drive_garbage_bytes", "Deleted and not collected yet", each(|drive| drive.garbage_bytes));
    numbers(registry, "drive_allocated_bytes", "Allocated for chunks", known(|drive| drive.allocated_bytes));
    numbers(registry, "drive_available_bytes", "What its filesystem has left", known(|drive| drive.available_bytes));
    totals(registry, "drive_errors", "Reads and writes that failed", each(|drive| drive.errors));
}

fn nodes(registry: &mut Registry, nodes: &[Node]) {
    let each = |of: fn(&Node) -> bool| {
        nodes
            .iter()
            .map(move |node| (vec![("node", node.id.clone()), ("zone", node.zone.clone())], u64::from(of(node))))
    };
    numbers(registry, "node_alive", "Whether a node is heard", each(|node| node.standing == "alive"));
    numbers(registry, "node_votes", "Whether a node votes", each(|node| node.votes));
    numbers(registry, "node_leads", "Whether a node leads", each(|node| node.leads));
}

fn repair(registry: &mut Registry, status: &Status) {
    let repair = &status.repair;
    number(registry, "repair_chunks_planned", "Chunks that are still to be rebuilt", repair.planned);
    let waiting = "Chunks for which there is no free drive";
    number(registry, "repair_chunks_waiting_for_a_drive", waiting, repair.waiting_for_a_drive);
    number(registry, "repair_stripes_planned", "Stripes that are still to be coded anew", repair.stripes_planned);
    total(registry, "repair_stripes_recoded", "Stripes coded anew", repair.stripes_recoded);
    total(registry, "repair_chunks_rebuilt", "Chunks rebuilt", repair.chunks_rebuilt);
    total(registry, "repair_bytes_rebuilt", "Their bytes", repair.bytes_rebuilt);
    total(registry, "repair_objects_packed", "Small objects moved into stripes", repair.objects_packed);
    total(registry, "repair_chunks_collected", "Deleted chunks collected", repair.chunks_collected);
    total(registry, "repair_orphans_condemned", "Orphans condemned", repair.orphans_condemned);
    total(registry, "repair_failures", "Steps that failed; each is tried again", repair.failures);
    number(registry, "repair_held", "Whether declaring drives lost is held back", u64::from(repair.held.is_some()));
}

//! Where new data may go at the moment: the log's drives and profiles, made into a ring, and what this process knows of
//! the drives themselves.
//!
//! The log decides (invariant 6); what is known here only makes a write avoid a drive that the log still calls active.

use core::ops::ControlFlow;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use cairn_core::ring::RingDrive;
use cairn_core::{DriveId, Drives, Geometry, NodeId, Ring};
use cairn_machine::row::table_end;
use cairn_machine::rows::profile::{ProfileId, ProfileRow};
use cairn_machine::rows::topology::{DriveRow, DriveState, NodeRow};
use cairn_machine::{Row, RowError, RowSource, Table};
use cairn_metadata::Client;

/// The tables that a layout is made of.
const TABLES: [Table; 3] = [Table::Profile, Table::Node, Table::Drive];

/// What the log says about where data goes. Immutable: a change makes another one.
#[derive(Debug)]
pub struct Layout {
    /// The active drives.
    pub ring: Ring,
    /// What STANDARD asks for.
    pub standard: Geometry,
    active: BTreeSet<DriveId>,
}

/// The drives that take data now, as far as anybody here knows.
#[derive(Debug, Clone)]
pub struct Usable(BTreeSet<DriveId>);

/// Follows the log.
#[derive(Debug)]
pub struct Topology {
    client: Client,
    drives: Arc<Drives>,
    known: Mutex<Option<Known>>,
}

#[derive(Debug)]
struct Known {
    rows: Vec<(Bytes, Bytes)>,
    layout: Arc<Layout>,
}

impl Topology {
    /// The topology of these rows and drives.
    pub fn new(client: Client, drives: Arc<Drives>) -> Self {
        Self { client, drives, known: Mutex::new(None) }
    }

    /// The layout as the rows have it here. They are a few dozen and are compared each time; the ring is built only when
    /// one of them has changed.
    pub fn layout(&self) -> Result<Arc<Layout>, RowError> {
        let rows = collect(&self.client.read_stale())?;
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = known.as_ref()
            && known.rows == rows
        {
            return Ok(Arc::clone(&known.layout));
        }
        let layout = Arc::new(Layout::read(&rows)?);
        *known = Some(Known { rows, layout: Arc::clone(&layout) });
        Ok(layout)
    }

    /// Which drives of a layout can be reached and take writes.
    pub fn usable(&self, layout: &Layout) -> Usable {
        let takes = |drive: &DriveId| self.drives.get(*drive).is_ok_and(|store| store.health().writable.is_ok());
        Usable(layout.active.iter().copied().filter(takes).collect())
    }
}

impl Layout {
    fn read(rows: &[(Bytes, Bytes)]) -> Result<Self, RowError> {
        let mut zones = BTreeMap::new();
        let mut drives = Vec::new();
        let mut standard = None;
        for (key, value) in rows {
            let (table, name) = key.split_first().expect("a key begins with its table");
            let id = || -> Result<u64, RowError> {
                let bytes = name.try_into().map_err(|_| foreign(key))?;
                Ok(u64::from_be_bytes(bytes))
            };
            if *table == Table::Node as u8 {
                zones.insert(NodeId(id()?), NodeRow::decode(key, value)?.zone);
            } else if *table == Table::Drive as u8 {
                drives.push((DriveId(id()?), DriveRow::decode(key, value)?));
            } else if key == &ProfileRow::key(&ProfileId::STANDARD) {
                standard = Some(ProfileRow::decode(key, value)?.geometry);
            }
        }
        drives.retain(|(_, row)| row.state == DriveState::Active);
        let active = drives.iter().map(|(drive, _)| *drive).collect();
        let ring = Ring::new(drives.into_iter().map(|(drive, row)| RingDrive {
            drive,
            node: row.node,
            zone: zones.get(&row.node).cloned().unwrap_or_default(),
            weight: row.weight,
        }));
        let standard = standard.ok_or_else(|| foreign(&ProfileRow::key(&ProfileId::STANDARD)))?;
        Ok(Self { ring, standard, active })
    }

    /// Whether the log lets new data onto a drive.
    pub fn is_active(&self, drive: DriveId) -> bool {
        self.active.contains(&drive)
    }
}

impl Usable {
    /// How many.
    pub fn count(&self) -> usize {
        self.0.len()
    }

    /// Whether a drive is one of them.
    pub fn contains(&self, drive: DriveId) -> bool {
        self.0.contains(&drive)
    }
}

fn collect(rows: &impl RowSource) -> Result<Vec<(Bytes, Bytes)>, RowError> {
    let mut found = Vec::new();
    for table in TABLES {
        rows.scan(&[table as u8], Some(&table_end(table)), &mut |key, value| {
            found.push((Bytes::copy_from_slice(key), value.clone()));
            ControlFlow::Continue(())
        })?;
    }
    Ok(found)
}

fn foreign(key: &[u8]) -> RowError {
    RowError::Damaged { key: hex::encode(key), what: "missing, or its key is of another length".into() }
}

#[cfg(test)]
mod tests {
    use cairn_core::{LogIndex, WallTime};
    use cairn_machine::MapRows;

    use super::*;

    fn rows(states: &[DriveState]) -> MapRows {
        let mut rows = MapRows::default();
        let standard = ProfileRow { class: "STANDARD".into(), geometry: Geometry::standard_for(states.len()) };
        rows.0.insert(ProfileRow::key(&ProfileId::STANDARD), standard.encode());
        let node = NodeRow { zone: String::new(), joined: WallTime(0), voter: Some(1) };
        rows.0.insert(NodeRow::key(&NodeId(1)), node.encode());
        for (number, &state) in states.iter().enumerate() {
            let (since, changed) = (LogIndex(1), WallTime(0));
            let row = DriveRow { node: NodeId(1), weight: 1, state, since, changed, label: String::new() };
            rows.0.insert(DriveRow::key(&DriveId(number as u64)), row.encode());
        }
        rows
    }

    #[test]
    fn only_active_drives_are_in_the_layout() {
        use DriveState::{Active, Draining, Lost};
        let found = collect(&rows(&[Active, Draining, Active, Lost, Active, Active])).unwrap();
        let layout = Layout::read(&found).unwrap();
        assert_eq!(layout.standard.to_string(), "4+2");
        assert_eq!(layout.ring.count(&|_| true), 4);
        assert!(layout.is_active(DriveId(0)) && !layout.is_active(DriveId(1)));
    }

    #[test]
    fn rows_without_a_profile_are_damaged() {
        let mut rows = rows(&[DriveState::Active]);
        rows.0.remove(&ProfileRow::key(&ProfileId::STANDARD));
        assert!(Layout::read(&collect(&rows).unwrap()).is_err());
    }
}

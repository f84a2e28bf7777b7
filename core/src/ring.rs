//! Where new data goes: consistent hashing over the drives. Pure arithmetic.
//!
//! Each drive has points on a ring, as many as its weight gives it. A stripe's id is a point too, and the stripe takes
//! the drives that it meets on its way round. So a drive that comes or goes moves only what it takes or held.
//!
//! The walk spreads: first over zones, then over nodes, then over drives. How many positions one zone, and inside it one
//! node, may take is the smallest number with which all positions find a place; a loss of either then costs as little
//! as the topology allows. These bounds are nested, so taking the first drives that fit is a greedy choice over a
//! matroid: it never gets stuck, and one drive more or less exchanges at most one drive of a stripe.
//!
//! ```text
//!        stripe
//!          v
//!  --b---a-+--c--c---a---b---d---c--     4 positions, 2 zones {a b} {c d}: c, a, b, d
//! ```
//!
//! The ring decides where new data goes and where rebalancing would like old data. It never has to be right about where
//! data is: that stands in the stripe's row.

use crate::ids::{DriveId, NodeId, StripeId};

/// How many points a drive of average weight has. The share of a drive strays by about 1/sqrt(points): 3 % here, at
/// 12 KiB of memory for each drive.
const POINTS_PER_DRIVE: u64 = 1024;

/// A drive as the ring sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RingDrive {
    /// Which drive.
    pub drive: DriveId,
    /// The node it belongs to.
    pub node: NodeId,
    /// What fails together above the node. Nodes of which nobody said it share the empty zone.
    pub zone: String,
    /// How much of the data it takes, against the others. A drive of weight 0 takes none.
    pub weight: u32,
}

/// Fewer drives than positions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{wanted} drives are wanted and {usable} can be used")]
pub struct TooFewDrives {
    /// How many positions there are to place.
    pub wanted: usize,
    /// How many drives could take one.
    pub usable: usize,
}

/// The placement ring. Immutable: a change of topology makes a new one.
///
/// Shares follow the weights as long as no drive's fair share of a stripe comes near one position: no drive takes two
/// positions of one stripe, and no zone or node more than the spread allows, whatever its weight.
#[derive(Debug, Clone)]
pub struct Ring {
    /// In order of their ids.
    drives: Vec<Member>,
    /// The zone of each node.
    node_zones: Vec<u32>,
    zones: usize,
    /// Points in ascending order, and whose each is.
    points: Vec<u64>,
    owners: Vec<u32>,
}

#[derive(Debug, Clone)]
struct Member {
    id: DriveId,
    node: u32,
}

/// How many positions of one stripe a zone and a node may take.
struct Bounds {
    zone: usize,
    node: usize,
}

impl Ring {
    /// Builds the ring. The order of the drives does not matter; a drive is named once.
    pub fn new(drives: impl IntoIterator<Item = RingDrive>) -> Self {
        let mut listed: Vec<RingDrive> = drives.into_iter().filter(|drive| drive.weight > 0).collect();
        listed.sort_by_key(|drive| drive.drive);
        assert!(listed.windows(2).all(|pair| pair[0].drive != pair[1].drive), "a drive is on the ring once");

        let mut zones: Vec<&str> = listed.iter().map(|drive| drive.zone.as_str()).collect();
        zones.sort_unstable();
        zones.dedup();
        let mut nodes: Vec<(&str, NodeId)> = listed.iter().map(|drive| (drive.zone.as_str(), drive.node)).collect();
        nodes.sort_unstable();
        nodes.dedup();
        let number = |found: Result<usize, usize>| found.expect("collected from the same drives above") as u32;
        let node_zones = nodes.iter().map(|(zone, _)| number(zones.binary_search(zone))).collect();
        let members: Vec<Member> = listed
            .iter()
            .map(|drive| Member {
                id: drive.drive,
                node: number(nodes.binary_search(&(drive.zone.as_str(), drive.node))),
            })
            .collect();

        let total: u64 = listed.iter().map(|drive| u64::from(drive.weight)).sum();
        let budget = POINTS_PER_DRIVE * listed.len() as u64;
        let mut points = Vec::with_capacity(budget as usize + listed.len());
        for (owner, drive) in listed.iter().enumerate() {
            let share = u128::from(drive.weight) * u128::from(budget);
            let count = ((share + u128::from(total) / 2) / u128::from(total)).max(1) as usize;
            points.extend(points_of(drive.drive, count).into_iter().map(|point| (point, owner as u32)));
        }
        points.sort_unstable();
        let zones = zones.len();
        let (points, owners) = points.into_iter().unzip();
        Self { drives: members, node_zones, zones, points, owners }
    }

    /// How many of the ring's drives can be used: what a geometry has to fit.
    pub fn count(&self, usable: &dyn Fn(DriveId) -> bool) -> usize {
        self.drives.iter().filter(|drive| usable(drive.id)).count()
    }

    /// So many distinct drives for a stripe, spread as far as the usable ones allow. The order says nothing beyond
    /// which position goes where.
    pub fn place(
        &self,
        stripe: StripeId,
        positions: usize,
        usable: &dyn Fn(DriveId) -> bool,
    ) -> Result<Vec<DriveId>, TooFewDrives> {
        let mut free: Vec<bool> = self.drives.iter().map(|drive| usable(drive.id)).collect();
        let count = free.iter().filter(|&&free| free).count();
        if count < positions {
            return Err(TooFewDrives { wanted: positions, usable: count });
        }
        let bounds = self.bounds(&free, positions);
        let mut zone_room = vec![bounds.zone; self.zones];
        let mut node_room = vec![bounds.node; self.node_zones.len()];
        let mut placed = Vec::with_capacity(positions);
        let mut walk = self.walk(stripe);
        while placed.len() < positions {
            let owner = walk.next().expect("the bounds were chosen so that every position finds a drive");
            let drive = &self.drives[owner];
            let node = drive.node as usize;
            let zone = self.node_zones[node] as usize;
            if free[owner] && node_room[node] > 0 && zone_room[zone] > 0 {
                free[owner] = false;
                node_room[node] -= 1;
                zone_room[zone] -= 1;
                placed.push(drive.id);
            }
        }
        Ok(placed)
    }

    /// A drive for one more position of a stripe whose other positions are on `taken`: in the zone, then on the node,
    /// that has the fewest of them. None of the taken drives; `None` when no other can be used.
    pub fn next(&self, stripe: StripeId, taken: &[DriveId], usable: &dyn Fn(DriveId) -> bool) -> Option<DriveId> {
        let mut zone_load = vec![0usize; self.zones];
        let mut node_load = vec![0usize; self.node_zones.len()];
        for drive in taken {
            // A drive that has left the ring weighs on nothing that new data can go to.
            if let Ok(owner) = self.drives.binary_search_by_key(drive, |drive| drive.id) {
                let node = self.drives[owner].node as usize;
                node_load[node] += 1;
                zone_load[self.node_zones[node] as usize] += 1;
            }
        }
        let load = |drive: &Member| {
            let free = usable(drive.id) && !taken.contains(&drive.id);
            let node = drive.node as usize;
            free.then(|| (zone_load[self.node_zones[node] as usize], node_load[node]))
        };
        let loads: Vec<Option<(usize, usize)>> = self.drives.iter().map(load).collect();
        let least = loads.iter().flatten().min().copied()?;
        self.walk(stripe).find(|&owner| loads[owner] == Some(least)).map(|owner| self.drives[owner].id)
    }

    /// The owners of all points, once round, from the stripe's own point on.
    fn walk(&self, stripe: StripeId) -> impl Iterator<Item = usize> {
        let hash = blake3::derive_key("cairn 2026 placement ring stripe v1", &stripe.0.to_bytes());
        let [a, b, c, d, e, f, g, h, ..] = hash;
        let start = self.points.partition_point(|&point| point < u64::from_be_bytes([a, b, c, d, e, f, g, h]));
        let (before, after) = self.owners.split_at(start);
        after.iter().chain(before).map(|&owner| owner as usize)
    }

    /// The tightest spread that has room for all positions: first over zones, then, inside it, over nodes.
    fn bounds(&self, free: &[bool], positions: usize) -> Bounds {
        let mut node_drives = vec![0usize; self.node_zones.len()];
        for (drive, _) in self.drives.iter().zip(free).filter(|(_, free)| **free) {
            node_drives[drive.node as usize] += 1;
        }
        let room = |zone_bound: usize, node_bound: usize| -> usize {
            let mut zones = vec![0usize; self.zones];
            for (drives, &zone) in node_drives.iter().zip(&self.node_zones) {
                zones[zone as usize] += node_bound.min(*drives);
            }
            zones.into_iter().map(|drives| zone_bound.min(drives)).sum()
        };
        let tightest = |fits: &dyn Fn(usize) -> bool| {
            (0..=positions).find(|&bound| fits(bound)).expect("as many as there are positions is bound enough")
        };
        let zone = tightest(&|bound| room(bound, positions) >= positions);
        let node = tightest(&|bound| room(zone, bound) >= positions);
        Bounds { zone, node }
    }
}

/// The first points of a drive. More of them are the same ones and others after them, so that a change of weight keeps
/// most of what was placed.
fn points_of(drive: DriveId, count: usize) -> Vec<u64> {
    let mut bytes = vec![0; count * 8];
    blake3::Hasher::new_derive_key("cairn 2026 placement ring drive v1")
        .update(&drive.to_bytes())
        .finalize_xof()
        .fill(&mut bytes);
    let (points, _) = bytes.as_chunks::<8>();
    points.iter().map(|point| u64::from_be_bytes(*point)).collect()
}

#[cfg(test)]
mod tests;

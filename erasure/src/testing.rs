//! Drives in memory that fail on demand, for tests here and in other rooms. Never part of a running system.
//!
//! [`MemoryDrive`] keeps the contract of [`ChunkStore`](cairn_core::ChunkStore), but for durability. [`MemoryDrives`] is
//! a set of them with a ring, as one machine has. [`FaultLog`] remembers what readers reported.

mod memory_drive;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use cairn_core::{ChunkError, ChunkStore, DriveId, Drives, NodeId, Ring, RingDrive, SessionId, StripeId, WriteId};

pub use memory_drive::{DriveFault, MemoryDrive};

use crate::stripe_reader::Faults;

/// A machine's worth of drives in memory.
#[derive(Debug)]
pub struct MemoryDrives {
    /// As readers and writers take them.
    pub drives: Arc<Drives>,
    /// Each drive, to make it fail.
    pub each: Vec<Arc<MemoryDrive>>,
    /// All of them, of equal weight on one node.
    pub ring: Ring,
    next_write: AtomicU64,
}

impl MemoryDrives {
    /// So many drives, with ids from 1 on.
    pub fn new(count: usize) -> Self {
        let each: Vec<_> = (1..=count as u64).map(|id| MemoryDrive::new(DriveId(id))).collect();
        let ring = Ring::new(each.iter().map(|drive| RingDrive {
            drive: drive.drive(),
            node: NodeId(1),
            zone: String::new(),
            weight: 1,
        }));
        let drives = Drives::new(each.iter().map(|drive| drive.clone() as Arc<dyn ChunkStore>));
        Self { drives, each, ring, next_write: AtomicU64::new(1) }
    }

    /// One of the drives, by its id.
    pub fn drive(&self, id: DriveId) -> &Arc<MemoryDrive> {
        self.each.iter().find(|drive| drive.drive() == id).expect("a test asks for drives that it made")
    }

    /// A write id that was not used before.
    pub fn fresh(&self) -> WriteId {
        WriteId { session: SessionId(1), counter: self.next_write.fetch_add(1, Ordering::Relaxed) }
    }
}

/// Remembers what was reported.
#[derive(Debug, Default)]
pub struct FaultLog {
    reports: Mutex<Vec<(StripeId, u8, DriveId, ChunkError)>>,
}

impl FaultLog {
    /// What was reported since the last call.
    pub fn take(&self) -> Vec<(StripeId, u8, DriveId, ChunkError)> {
        std::mem::take(&mut *self.reports.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Faults for FaultLog {
    fn report(&self, stripe: StripeId, position: u8, drive: DriveId, error: &ChunkError) {
        let mut reports = self.reports.lock().unwrap_or_else(PoisonError::into_inner);
        reports.push((stripe, position, drive, error.clone()));
    }
}

/// So many bytes that look random and that the seed decides.
pub fn bytes_of(seed: u64, length: usize) -> Bytes {
    let mut bytes = vec![0; length];
    blake3::Hasher::new().update(&seed.to_be_bytes()).finalize_xof().fill(&mut bytes);
    Bytes::from(bytes)
}

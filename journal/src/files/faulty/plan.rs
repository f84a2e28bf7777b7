//! What goes wrong, and how often.

/// What may be made to fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Operation {
    /// Reading, from memory or from the device.
    Read,
    /// Writing, allocating, punching, truncating.
    Write,
    /// Making a file durable. What was pending then never reaches the device, though it is shown.
    Sync,
    /// Creating, renaming or removing a file.
    Name,
    /// Making a directory durable.
    SyncDir,
}

/// How a device lies about a write that it acknowledges.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lie {
    /// It arrives nowhere: what stood there before stays, a stale block.
    Lost,
    /// It arrives in another place, of this file or another one, over whatever was there.
    Misdirected,
}

/// Chances (0 to 1) that an operation fails, and the size of the disk. The default: nothing fails, and there is room.
#[derive(Debug, Clone, PartialEq)]
pub struct FaultPlan {
    /// Of an input/output error when reading.
    pub read_error: f64,
    /// Of one when writing; a part may have been written.
    pub write_error: f64,
    /// Of one when syncing.
    pub sync_error: f64,
    /// That a read from memory finds nothing there.
    pub cache_miss: f64,
    /// The size of the disk.
    pub capacity_bytes: u64,
    /// Whether the device can be read past the kernel's memory.
    pub device_reads: bool,
    /// Whether holes can be punched.
    pub punches: bool,
}

impl Default for FaultPlan {
    fn default() -> Self {
        Self {
            read_error: 0.0,
            write_error: 0.0,
            sync_error: 0.0,
            cache_miss: 0.0,
            capacity_bytes: 1 << 40,
            device_reads: true,
            punches: true,
        }
    }
}

//! How the daemon goes about its work: every time and every bound in one place.

use std::time::Duration;

/// How the daemon goes about it.
#[derive(Debug, Clone)]
pub struct RepairConfig {
    /// How long between two passes when nothing calls for one, at least.
    pub census_interval_min: Duration,
    /// How many times as long as the last census took, at least: a census never takes more than this share of the time,
    /// however much there is to count.
    pub census_rest_factor: u32,
    /// How long between two looks for garbage that has come due.
    pub collect_interval: Duration,
    /// How long between two looks whether enough stands in the metadata to fill a stripe.
    pub rewrite_interval: Duration,
    /// How many stripes are rebuilt, or batches of them re-encoded, at once. Each holds its own bytes in memory.
    pub stripes_at_once: usize,
    /// How long to wait after a pass in which something failed, and between two looks at a lease that another daemon holds.
    pub retry_delay: Duration,
    /// How long a drive may take to say what it holds before it counts as unreachable.
    pub drive_patience: Duration,
    /// How long between two looks at which nodes are alive, when nothing calls for one.
    pub supervise_interval: Duration,
    /// How long a node may stay unheard of after this daemon's start before it counts as dead. Of a node that was heard of
    /// before, the membership says when it is dead.
    pub unheard_grace: Duration,
    /// How long drives must have been too few before stripes that survive no further loss are re-encoded to what fits.
    pub reshape_exposed_after: Duration,
    /// How long for all others; and how long the drives must have stood before data returns to the profile's geometry.
    pub reshape_rest_after: Duration,
}

impl Default for RepairConfig {
    fn default() -> Self {
        Self {
            census_interval_min: Duration::from_secs(20),
            census_rest_factor: 100,
            collect_interval: Duration::from_secs(10),
            rewrite_interval: Duration::from_millis(250),
            stripes_at_once: 2,
            retry_delay: Duration::from_secs(5),
            drive_patience: Duration::from_secs(10),
            supervise_interval: Duration::from_secs(1),
            unheard_grace: Duration::from_secs(15 * 60),
            reshape_exposed_after: Duration::from_secs(3600),
            reshape_rest_after: Duration::from_secs(24 * 3600),
        }
    }
}

impl RepairConfig {
    /// For a cluster that somebody plays with on one machine: what takes hours in earnest takes seconds.
    pub fn for_dev() -> Self {
        Self {
            census_interval_min: Duration::from_secs(5),
            census_rest_factor: 10,
            retry_delay: Duration::from_secs(1),
            drive_patience: Duration::from_secs(3),
            unheard_grace: Duration::from_secs(10),
            reshape_exposed_after: Duration::from_secs(10),
            reshape_rest_after: Duration::from_secs(10),
            ..Self::default()
        }
    }
}

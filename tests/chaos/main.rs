//! Real processes, alone and in a cluster, killed and robbed of their drives. What was acknowledged must be there, byte for byte.

#![allow(clippy::unwrap_used, reason = "a test says what it expects by failing")]

mod cluster;
mod history;
mod kill;
mod log;
mod lost_drives;
mod one_machine;
mod starting;
mod workload;

/// The program under test.
const CAIRN: &str = env!("CARGO_BIN_EXE_cairn");

/// Whether the long mode was asked for.
fn long() -> bool {
    std::env::var_os("CAIRN_LONG").is_some_and(|value| value == "1")
}

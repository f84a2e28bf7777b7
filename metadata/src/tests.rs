//! The whole voter over faulty files: real operation log, real rows, simulated disk and time, everything from a seed.

mod changes;
mod chaos;
mod clocks;
mod cluster;
mod crashes;
mod elections;
mod history;
mod lagging;
mod lifecycle;
mod log;
mod losses;
mod rows_agree;
mod runs;
mod sessions;
mod shedding;
mod upgrade;
mod voters;
mod world;

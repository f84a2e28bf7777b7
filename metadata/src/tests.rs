//! The whole voter over faulty files: real operation log, real rows, simulated disk and time, everything from a seed.

mod changes;
mod chaos;
mod cluster;
mod crashes;
mod elections;
mod history;
mod lagging;
mod lifecycle;
mod losses;
mod runs;
mod sessions;
mod voters;
mod world;

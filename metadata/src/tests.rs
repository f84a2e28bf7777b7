//! The whole voter over faulty files: real operation log, real rows, simulated disk and time, everything from a seed.

mod crashes;
mod lifecycle;
mod runs;
mod sessions;
mod world;

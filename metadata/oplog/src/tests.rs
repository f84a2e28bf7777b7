//! The whole log over faulty disks, in one thread and from a seed; and over real directories.

mod changes;
mod crashes;
mod fleet;
mod lapses;
mod real_disks;
mod running;
mod starting;

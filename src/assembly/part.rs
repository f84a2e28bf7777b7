//! Under which id a node takes part in the log, as its drives remember it. An id is noted on every drive before anything
//! is promised under it, and never used again once its log is lost.

use cairn_storage_node::enlistment::Progress;
use cairn_storage_node::{Enlistment, Membership};

use crate::assembly::core::{FIRST_VOTER, Rooms};

/// A node's part, kept on its drives.
#[derive(Debug)]
pub struct Part {
    enlistment: Enlistment,
}

impl Part {
    /// What the drives say, one start later. The drive that was told last knows best: one that was away says what was.
    pub fn begin(rooms: &Rooms) -> anyhow::Result<Self> {
        let mut newest = Enlistment::default();
        for dir in rooms.dirs() {
            let told = dir.enlistment()?;
            if told.generation > newest.generation {
                newest = told;
            }
        }
        let mut part = Self { enlistment: newest };
        part.enlistment.generation += 1;
        part.note(rooms)?;
        Ok(part)
    }

    /// Which start of the node this is.
    pub fn generation(&self) -> u64 {
        self.enlistment.generation
    }

    /// Its id, and how far it has come under it.
    pub fn membership(&self) -> Option<Membership> {
        self.enlistment.membership
    }

    /// It forms a cluster.
    pub fn found(&mut self, rooms: &Rooms) -> anyhow::Result<Membership> {
        self.become_member(rooms, Membership { member: FIRST_VOTER, progress: Progress::Founding })
    }

    /// It was given an id. What it knew under another one counts for nobody, and goes first: a log that does not go with
    /// the id must never be taken for its own.
    pub fn join(&mut self, rooms: &Rooms, member: u64) -> anyhow::Result<Membership> {
        for dir in rooms.dirs() {
            dir.forget_log()?;
        }
        self.become_member(rooms, Membership { member, progress: Progress::Joining })
    }

    /// It follows the log: from here on an empty log is a lost one.
    pub fn arrived(&mut self, rooms: &Rooms) -> anyhow::Result<()> {
        if let Some(membership) = self.enlistment.membership.filter(|part| part.progress != Progress::Member) {
            self.become_member(rooms, Membership { progress: Progress::Member, ..membership })?;
        }
        Ok(())
    }

    fn become_member(&mut self, rooms: &Rooms, membership: Membership) -> anyhow::Result<Membership> {
        self.enlistment.membership = Some(membership);
        self.note(rooms)?;
        Ok(membership)
    }

    fn note(&self, rooms: &Rooms) -> anyhow::Result<()> {
        for dir in rooms.dirs() {
            dir.enlist(self.enlistment)?;
        }
        Ok(())
    }
}

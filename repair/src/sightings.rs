//! For how long this daemon has seen each drive in the state that it is in, by its own stopwatch. Pure.
//!
//! Rows say when a drive's state was changed by the calendar of whoever led the log then. Where that calendar was ahead,
//! perhaps by years, the drive would have stood for no time at all until the world is as late. So a date that this daemon
//! knows to be too late is moved back to when it first saw the state. It counts from zero when it begins, so one that
//! takes over waits no longer than the whole time once more.

use std::collections::BTreeMap;

use cairn_core::{DriveId, Elapsed, LogIndex, WallTime};
use cairn_machine::rows::topology::DriveRow;

/// When each drive was first seen as it is.
#[derive(Debug, Clone, Default)]
pub struct Sightings {
    /// By drive: where in the log its state was last changed, and when that was first seen.
    seen: BTreeMap<DriveId, (LogIndex, Elapsed)>,
    /// When drives were looked at last.
    looked: Elapsed,
}

impl Sightings {
    /// Looks at all drives there are.
    pub fn look(&mut self, drives: &BTreeMap<DriveId, DriveRow>, now: Elapsed) {
        self.looked = now;
        self.seen.retain(|drive, _| drives.contains_key(drive));
        for (&drive, row) in drives {
            let seen = self.seen.entry(drive).or_insert((row.since, now));
            if seen.0 != row.since {
                *seen = (row.since, now);
            }
        }
    }

    /// When the state of a drive was changed, by a calendar that says `now` and no later than it was seen.
    pub fn changed(&self, drive: DriveId, row: &DriveRow, now: WallTime) -> WallTime {
        let Some((_, first)) = self.seen.get(&drive).filter(|(since, _)| *since == row.since) else {
            return row.changed;
        };
        let stood = u64::try_from(self.looked.since(*first).as_millis()).unwrap_or(u64::MAX);
        row.changed.min(WallTime(now.0.saturating_sub(stood)))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use cairn_core::NodeId;
    use cairn_machine::rows::topology::DriveState;

    use super::*;

    const DRIVE: DriveId = DriveId(3);

    fn row(since: u64, changed: u64) -> DriveRow {
        let (node, state) = (NodeId(1), DriveState::Lost);
        DriveRow { node, weight: 1, state, since: LogIndex(since), changed: WallTime(changed), label: String::new() }
    }

    fn at(seconds: u64) -> Elapsed {
        Elapsed(Duration::from_secs(seconds))
    }

    #[test]
    fn a_date_from_the_future_is_moved_back_to_when_the_state_was_seen() {
        let (mut sightings, ahead) = (Sightings::default(), row(7, 900_000));
        assert_eq!(sightings.changed(DRIVE, &ahead, WallTime(50_000)), WallTime(900_000), "nothing was seen");
        sightings.look(&BTreeMap::from([(DRIVE, ahead.clone())]), at(100));
        assert_eq!(sightings.changed(DRIVE, &ahead, WallTime(50_000)), WallTime(50_000));
        sightings.look(&BTreeMap::from([(DRIVE, ahead.clone())]), at(108));
        assert_eq!(sightings.changed(DRIVE, &ahead, WallTime(58_000)), WallTime(50_000));
        let again = row(9, 900_000);
        sightings.look(&BTreeMap::from([(DRIVE, again.clone())]), at(110));
        assert_eq!(sightings.changed(DRIVE, &again, WallTime(60_000)), WallTime(60_000), "it changed meanwhile");
        assert_eq!(
            sightings.changed(DRIVE, &ahead, WallTime(60_000)),
            WallTime(900_000),
            "rows that were not looked at"
        );
    }

    #[test]
    fn a_date_that_can_be_right_stays() {
        let (mut sightings, row) = (Sightings::default(), row(7, 20_000));
        sightings.look(&BTreeMap::from([(DRIVE, row.clone())]), at(100));
        assert_eq!(sightings.changed(DRIVE, &row, WallTime(50_000)), WallTime(20_000), "another daemon saw it come");
        sightings.look(&BTreeMap::new(), at(101));
        assert_eq!(
            sightings.changed(DRIVE, &row, WallTime(51_000)),
            WallTime(20_000),
            "and is forgotten with the drive"
        );
    }
}

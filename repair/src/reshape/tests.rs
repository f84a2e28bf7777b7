//! Which stripes change their geometry, and when.

use cairn_core::{LogIndex, NodeId, SessionId, StripeShape, WriteId};
use cairn_machine::rows::stripe::PlacedChunk;

use super::*;

const HOUR: u64 = 3600;
const DAY: u64 = 24 * HOUR;

/// Drives from 0 on, each in a state since so many seconds.
fn fitting(standard: &str, drives: &[(DriveState, u64)], now: u64) -> Fitting {
    fitting_on(standard, drives, now, |_| true)
}

fn fitting_on(standard: &str, drives: &[(DriveState, u64)], now: u64, takes: impl Fn(DriveId) -> bool) -> Fitting {
    let row = |&(state, changed): &(DriveState, u64)| DriveRow {
        node: NodeId(1),
        weight: 1,
        state,
        since: LogIndex(1),
        changed: WallTime(changed * 1000),
        label: String::new(),
    };
    let drives = (0..).map(DriveId).zip(drives.iter().map(row)).collect();
    Fitting::new(standard.parse().unwrap(), &drives, takes, WallTime(now * 1000), &RepairConfig::default())
}

/// A stripe on the first drives.
fn stripe(geometry: &str) -> StripeRow {
    stripe_on(geometry, &(0..32).collect::<Vec<_>>())
}

fn stripe_on(geometry: &str, drives: &[u64]) -> StripeRow {
    let geometry: Geometry = geometry.parse().unwrap();
    let write = WriteId { session: SessionId(1), counter: 1 };
    let positions = drives.iter().map(|&drive| PlacedChunk { drive: DriveId(drive), write });
    StripeRow {
        shape: StripeShape { geometry, chunk_bytes: 64, block_bytes: 4096 },
        positions: positions.take(geometry.positions()).collect(),
    }
}

fn after(seconds: u64, rebuild: bool) -> Judgement {
    Judgement::Later { after: Duration::from_secs(seconds), rebuild }
}

fn to(geometry: &str) -> Judgement {
    Judgement::Reshape(geometry.parse().unwrap())
}

use DriveState::{Active, Draining, Lost, Removed};

#[test]
fn two_of_six_lost_become_what_fits_after_an_hour_and_one_after_a_day() {
    let two = [(Active, 0), (Active, 0), (Active, 0), (Active, 0), (Lost, 100), (Lost, 700)];
    assert_eq!(fitting("4+2", &two, 100 + HOUR - 1).judge(&stripe("4+2"), &[4, 5], 0), after(1, false));
    assert_eq!(
        fitting("4+2", &two, 100 + HOUR).judge(&stripe("4+2"), &[4, 5], 0),
        to("2+2"),
        "drives have been too few since the first one left"
    );
    assert_eq!(
        fitting("4+2", &two, 100 + HOUR).judge(&stripe("3+2"), &[4], 0),
        after(700 + DAY - 100 - HOUR, false),
        "and for a stripe that needs five only since the second one did"
    );
    let one = [(Active, 0), (Active, 0), (Active, 0), (Active, 0), (Active, 0), (Lost, 100)];
    assert_eq!(fitting("4+2", &one, 100 + HOUR).judge(&stripe("4+2"), &[5], 0), after(DAY - HOUR, false));
    assert_eq!(fitting("4+2", &one, 100 + DAY).judge(&stripe("4+2"), &[5], 0), to("3+2"));
    // The stripe leaves one of the five free: one of its two positions goes there meanwhile.
    let holes = stripe_on("4+2", &[0, 1, 2, 3, 5, 9]);
    assert_eq!(fitting("4+2", &one, 100).judge(&holes, &[4, 5], 0), after(HOUR, true));
}

#[test]
fn what_can_be_rebuilt_is_rebuilt() {
    let seven = [(Active, 0), (Active, 0), (Active, 0), (Active, 0), (Active, 0), (Lost, 0), (Active, 0)];
    assert_eq!(fitting("4+2", &seven, DAY).judge(&stripe("4+2"), &[5], 0), Judgement::Rebuild);
    // Its own drive takes a damaged position again.
    let six = [(Active, 0); 6];
    assert_eq!(fitting("4+2", &six, DAY).judge(&stripe("4+2"), &[0, 5], 0), Judgement::Rebuild);
    let draining = [(Draining, 0), (Active, 0), (Active, 0), (Active, 0), (Lost, 0)];
    assert_eq!(fitting("2+2", &draining, DAY).judge(&stripe_on("2+2", &[0, 1, 2, 4]), &[3], 0), Judgement::Rebuild);
}

#[test]
fn what_does_not_answer_is_left_alone() {
    let six = [(Active, 0); 6];
    let four = |drive: DriveId| drive.0 < 4;
    let suspected = fitting_on("4+2", &six, DAY, four);
    assert_eq!(suspected.judge(&stripe("4+2"), &[], 2), Judgement::Keep);
    assert_eq!(suspected.judge(&stripe("4+2"), &[], 3), Judgement::Keep);
    assert_eq!(suspected.judge(&stripe("2+2"), &[], 0), Judgement::Keep, "written while they were away");
    assert_eq!(
        suspected.judge(&stripe("4+2"), &[0, 1, 2], 0),
        Judgement::Keep,
        "lost, and nothing is left to code from"
    );
    assert_eq!(
        suspected.judge(&stripe("4+2"), &[4], 1),
        Judgement::NeedsDrive { rebuild: false },
        "the log still counts six drives"
    );
}

#[test]
fn data_returns_to_the_profile_when_the_drives_have_stood() {
    let back = [(Active, 0), (Active, 0), (Active, 0), (Active, 0), (Active, 500), (Active, 600)];
    assert_eq!(fitting("4+2", &back, 600).judge(&stripe("2+2"), &[], 0), after(DAY, false));
    assert_eq!(fitting("4+2", &back, 600 + DAY).judge(&stripe("2+2"), &[], 0), to("4+2"));
    assert_eq!(fitting("4+2", &back, 600 + DAY).judge(&stripe("4+2"), &[], 0), Judgement::Keep);
    // A seventh that came just now is not needed for that.
    let more = [back.as_slice(), &[(Active, 600 + DAY)]].concat();
    assert_eq!(fitting("4+2", &more, 600 + DAY).judge(&stripe("2+2"), &[], 0), to("4+2"));
    // One of two is back: half the way.
    let one = [(Active, 0), (Active, 0), (Active, 0), (Active, 0), (Active, 500), (Lost, 400)];
    assert_eq!(fitting("4+2", &one, 500 + DAY).judge(&stripe("2+2"), &[], 0), to("3+2"));
    assert_eq!(fitting("4+2", &one, 500 + DAY).judge(&stripe("3+2"), &[], 0), Judgement::Keep);
    // The sixth is there and full.
    let full = fitting_on("4+2", &back, 600 + DAY, |drive| drive.0 < 5);
    assert_eq!(full.judge(&stripe("2+2"), &[], 0), to("3+2"));
    assert_eq!(full.judge(&stripe("3+2"), &[], 0), Judgement::Keep, "a drive that takes no writes widens nothing");
}

#[test]
fn the_safety_never_gives_way() {
    let two = [(Active, 0), (Active, 0), (Lost, 0), (Removed, 0), (Lost, 0), (Lost, 0)];
    assert_eq!(fitting("4+2", &two, DAY).judge(&stripe("1+2"), &[2], 0), Judgement::NeedsDrive { rebuild: false });
    // Of a profile with a greater m that its extents were written with once.
    let three = [(Active, 0), (Active, 0), (Active, 0), (Lost, 0), (Lost, 0)];
    let older = stripe("2+3");
    assert_eq!(fitting("2+1", &three, DAY).judge(&older, &[3, 4], 0), Judgement::NeedsDrive { rebuild: false });
    assert!(!fitting("4+2", &two, DAY).is_reshaped("4+2".parse().unwrap()));
    assert!(fitting("4+2", &two, DAY).is_reshaped("1+2".parse().unwrap()));
    assert!(!fitting("4+2", &two, DAY).is_reshaped("4+1".parse().unwrap()), "that would be less than promised");
}

#[test]
fn a_calendar_that_goes_back_only_delays() {
    let two = [(Active, 0), (Active, 0), (Active, 0), (Active, 0), (Lost, 5000), (Lost, 5000)];
    assert_eq!(fitting("4+2", &two, 10).judge(&stripe("4+2"), &[4, 5], 0), after(HOUR, false));
}

//! The running log: drives that fail, order, purging, reading.

use std::sync::{Arc, Mutex};

use bytes::Bytes;
use cairn_core::DriveId;
use cairn_journal::files::faulty::Operation;

use super::fleet::{Fleet, all, entries, vote};
use crate::{LogRecord, OpLogError};

#[tokio::test]
async fn many_appends_share_groups_and_are_answered_in_order() {
    let fleet = Fleet::new(1, 6);
    let (log, _) = fleet.open().await.unwrap();
    let answered = Arc::new(Mutex::new(Vec::new()));
    for number in 0..200_u64 {
        let answered = answered.clone();
        let record = entries(number, &[&format!("{number}")]);
        log.append_with(vec![record], move |result| {
            result.unwrap();
            answered.lock().unwrap().push(number);
        })
        .unwrap();
        assert_eq!(log.read(number..number + 1, 100).await.unwrap(), [format!("{number}")], "readable at once");
    }
    log.append(vec![vote("last")]).unwrap().await.unwrap();
    assert_eq!(*answered.lock().unwrap(), (0..200).collect::<Vec<_>>());
    let stats = log.stats();
    assert!(stats.groups <= 4, "200 appends came while one group was under way: {} groups", stats.groups);
    assert!(stats.writes());
}

#[tokio::test]
async fn a_failing_drive_is_left_until_too_few_are_there() {
    let fleet = Fleet::new(2, 6);
    let (log, _) = fleet.open().await.unwrap();
    let mut acknowledged = 0;
    for failing in [1_u64, 2, 3] {
        fleet.disk(failing).fail_next(Operation::Sync, "");
        log.append(vec![entries(acknowledged, &["x"])]).unwrap().await.unwrap();
        acknowledged += 1;
        assert!(log.stats().failed.contains(&DriveId(failing)));
    }
    assert_eq!(log.stats().healthy, [DriveId(4), DriveId(5), DriveId(6)]);
    fleet.disk(5).fail_next(Operation::Sync, "");
    let first = log.append(vec![entries(acknowledged, &["never acknowledged"])]).unwrap();
    let second = log.append(vec![vote("neither")]).unwrap();
    for answer in [first.await, second.await] {
        let error = answer.unwrap_err();
        assert!(matches!(&error, OpLogError::Stopped { failed, .. } if failed.len() == 4), "{error}");
    }
    assert!(matches!(log.append(vec![vote("after")]), Err(OpLogError::Stopped { .. })));
    assert!(log.close().await.is_err());
    drop(log);
    fleet.crash();
    let (_, mut recovered) = fleet.open().await.unwrap();
    let records = all(&mut recovered).await;
    assert_eq!(records[..3], [entries(0, &["x"]), entries(1, &["x"]), entries(2, &["x"])]);
}

#[tokio::test]
async fn a_full_drive_is_left() {
    let mut fleet = Fleet::new(3, 4);
    fleet.options.segment_bytes = 64 << 10;
    let (log, _) = fleet.open().await.unwrap();
    let plan = cairn_journal::files::faulty::FaultPlan { capacity_bytes: 1, ..Default::default() };
    fleet.disk(2).set_plan(plan);
    for number in 0..60_u64 {
        let entry = "y".repeat(2000);
        log.append(vec![entries(number, &[&entry])]).unwrap().await.unwrap();
    }
    assert_eq!(log.stats().failed, [DriveId(2)]);
    assert!(log.stats().writes());
}

#[tokio::test]
async fn purging_gives_space_back_and_keeps_what_is_newest() {
    let mut fleet = Fleet::new(4, 6);
    fleet.options.segment_bytes = 64 << 10;
    fleet.options.cache_bytes = 0;
    let (log, _) = fleet.open().await.unwrap();
    log.append(vec![vote("kept"), LogRecord::Mark { payload: Bytes::from_static(b"runs") }]).unwrap().await.unwrap();
    let bytes = |log: &crate::OpLog| log.stats().usage.iter().map(|(_, usage)| usage.length_bytes).max().unwrap();
    let mut highest = 0;
    for number in 0..400_u64 {
        log.append(vec![entries(number, &[&format!("{number}")])]).unwrap().await.unwrap();
        if number % 20 == 19 {
            log.purge(number - 10, Bytes::from(format!("purged {}", number - 10))).await.unwrap();
            highest = highest.max(bytes(&log));
        }
    }
    assert!(highest <= 6 * (64 << 10), "{highest} bytes on one drive");
    assert!(matches!(log.read(380..390, 1000).await, Err(OpLogError::NotThere { index: 380 })));
    assert_eq!(log.read(390..400, 1000).await.unwrap()[0], "390", "from a drive: nothing is cached");
    drop(log);
    tokio::task::yield_now().await;
    fleet.crash();
    fleet.options.formed = true;
    // Any two drives away: the epoch's record went with no segment.
    for away in 1..=5_u64 {
        let here = |drive: DriveId| ![away, away + 1].contains(&drive.0);
        let (log, recovered) = fleet.open_with(here).await.unwrap();
        assert_eq!((recovered.first_index, recovered.last_index), (Some(390), Some(399)));
        assert_eq!(recovered.vote.as_deref(), Some(b"kept".as_slice()));
        assert_eq!(recovered.mark.as_deref(), Some(b"runs".as_slice()));
        assert_eq!(recovered.purged, Some((389, Bytes::from_static(b"purged 389"))));
        log.close().await.unwrap();
    }
}

#[tokio::test]
async fn everything_can_be_purged() {
    let mut fleet = Fleet::new(5, 3);
    fleet.options.copies_wanted = 2;
    let (log, _) = fleet.open().await.unwrap();
    log.append(vec![entries(0, &["a", "b"])]).unwrap().await.unwrap();
    log.purge(500, Bytes::from_static(b"a snapshot came")).await.unwrap();
    assert_eq!((log.stats().first_index, log.stats().next_index), (None, Some(501)));
    assert!(matches!(log.append(vec![entries(2, &["c"])]), Err(OpLogError::NotConsecutive(_))));
    log.append(vec![entries(501, &["c"])]).unwrap().await.unwrap();
    log.purge(501, Bytes::from_static(b"again")).await.unwrap();
    log.close().await.unwrap();
    let (log, recovered) = fleet.open().await.unwrap();
    assert_eq!((recovered.first_index, recovered.next_index), (None, Some(502)));
    assert_eq!(recovered.purged, Some((501, Bytes::from_static(b"again"))));
    log.append(vec![entries(502, &["d"])]).unwrap().await.unwrap();
}

#[tokio::test]
async fn truncated_entries_are_gone_and_replaced() {
    let mut fleet = Fleet::new(6, 6);
    fleet.options.cache_bytes = 0;
    let (log, _) = fleet.open().await.unwrap();
    log.append(vec![entries(0, &["0", "1", "2", "3"])]).unwrap().await.unwrap();
    let records = vec![LogRecord::Truncate { from_index: 2 }, entries(2, &["two"])];
    let completion = log.append(records).unwrap();
    assert_eq!(log.read(0..3, 1000).await.unwrap(), ["0", "1", "two"]);
    assert!(matches!(log.read(3..4, 1000).await, Err(OpLogError::NotThere { index: 3 })));
    completion.await.unwrap();
    assert_eq!(log.read(0..3, 1000).await.unwrap(), ["0", "1", "two"]);
    assert_eq!(log.read(0..3, 2).await.unwrap().len(), 2, "as many as the bytes allow");
    assert_eq!(log.read(0..3, 0).await.unwrap().len(), 1, "one at least");
    log.close().await.unwrap();
    let (log, recovered) = fleet.open().await.unwrap();
    assert_eq!(recovered.last_index, Some(2));
    assert_eq!(log.read(0..3, 1000).await.unwrap(), ["0", "1", "two"]);
}

#[tokio::test]
async fn the_queue_is_bounded() {
    let mut fleet = Fleet::new(7, 3);
    fleet.options.queue_bytes = 1000;
    let (log, _) = fleet.open().await.unwrap();
    let mut completions = Vec::new();
    let mut next = 0;
    let refused = loop {
        match log.append(vec![entries(next, &["x"])]) {
            Ok(completion) => completions.push(completion),
            Err(error) => break error,
        }
        next += 1;
    };
    assert!(matches!(refused, OpLogError::Busy), "{refused}");
    log.room().await;
    log.append(vec![entries(next, &["x"])]).unwrap().await.unwrap();
    for completion in completions {
        completion.await.unwrap();
    }
    let too_long = "z".repeat(100 << 10);
    assert!(matches!(log.append(vec![entries(next + 1, &[&too_long])]), Err(OpLogError::TooLarge(_))));
    log.close().await.unwrap();
    assert!(matches!(log.append(vec![vote("late")]), Err(OpLogError::Closed)));
}

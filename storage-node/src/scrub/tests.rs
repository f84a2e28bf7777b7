//! Rot is found and told, at a pace, and a restart goes on where it was.

use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use cairn_core::clock::ManualClock;
use cairn_core::entropy::SeededEntropy;
use cairn_core::{ChunkStore as _, ClusterId, Elapsed, NodeId};
use cairn_journal::Shell;
use cairn_journal::files::Files as _;
use cairn_journal::files::faulty::{FaultPlan, FaultyFiles};
use proptest::prelude::*;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use super::*;
use crate::conformance::{name, record};
use crate::{ClusterSecret, Drive, DriveDir, DriveOptions, Formation, Identity};

const DRIVE: DriveId = DriveId(0xD);

/// Follows tokio's clock, which these tests pause.
#[derive(Debug)]
struct Paused(tokio::time::Instant);

impl cairn_core::Clock for Paused {
    fn wall(&self) -> WallTime {
        WallTime(1_000_000 + self.0.elapsed().as_millis() as u64)
    }
    fn elapsed(&self) -> Elapsed {
        Elapsed(self.0.elapsed())
    }
}

#[derive(Debug)]
struct Told(UnboundedSender<(ChunkName, String)>, Mutex<Vec<ChunkName>>);

impl Told {
    fn new() -> (Arc<Self>, UnboundedReceiver<(ChunkName, String)>) {
        let (send, told) = unbounded_channel();
        (Arc::new(Self(send, Mutex::default())), told)
    }
}

impl DamageSink for Told {
    fn damaged(&self, chunk: ChunkName, drive: DriveId, error: &ChunkError) {
        assert_eq!(drive, DRIVE);
        let ChunkError::Damaged { what, .. } = error else { panic!("{error}") };
        self.1.lock().unwrap().push(chunk);
        self.0.send((chunk, what.clone())).unwrap();
    }
}

fn disk() -> FaultyFiles {
    let files = FaultyFiles::new(1, FaultPlan::default());
    let identity = Identity {
        cluster: ClusterId(1),
        node: NodeId(2),
        drive: DRIVE,
        state: Formation::Formed,
        created: WallTime(3),
        slot: None,
    };
    drop(DriveDir::format(files.shared(), &path(), identity, &ClusterSecret::draw(&*SeededEntropy::new(4))).unwrap());
    files
}

fn path() -> PathBuf {
    PathBuf::from("/drive")
}

fn open(files: &FaultyFiles, seed: u64) -> Arc<Drive> {
    let options = DriveOptions {
        shell: Shell::Task,
        segment_bytes: Some(1 << 20),
        reserve_bytes: Some(0),
        ..DriveOptions::default()
    };
    let dir = Arc::new(DriveDir::open(files.shared(), &path()).unwrap());
    Drive::open(dir, &options, ManualClock::at(WallTime(5)), SeededEntropy::new(seed)).unwrap()
}

/// Flips a bit in the middle of a chunk.
fn rot(files: &FaultyFiles, chunk: &ChunkName, length: usize) {
    let body = crate::conformance::bytes(chunk, length);
    for entry in files.list(&path().join("chunks")).unwrap() {
        let path = path().join("chunks").join(entry.name);
        let file = files.open(&path).unwrap();
        let mut content = vec![0; file.len().unwrap() as usize];
        file.read_exact_at(&mut content, 0).unwrap();
        if let Some(at) = content.windows(64).position(|window| *window == body[length / 2..length / 2 + 64]) {
            return files.flip_bit(&path, at as u64, 3).unwrap();
        }
    }
    panic!("{chunk} is on no segment");
}

fn paused() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap()
}

fn config() -> ScrubConfig {
    ScrubConfig {
        period: Duration::from_secs(1000),
        bytes_per_second_min: 12_288,
        bytes_per_second_max: 12_288,
        note_every: Duration::from_secs(5),
    }
}

/// Waits, in simulated time, until the drive's scrub is so far.
async fn until(drive: &Drive, there: impl Fn(&ScrubProgress) -> bool) -> ScrubProgress {
    for _ in 0..100_000 {
        if let Some(progress) = drive.stats().scrub.filter(&there) {
            return progress;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("the scrub does not get there: {:?}", drive.stats().scrub);
}

#[test]
fn rot_and_bad_places_are_told_in_every_pass_at_the_pace_that_was_set() {
    let files = disk();
    paused().block_on(async {
        let drive = open(&files, 1);
        for counter in 0..20 {
            drive.put(record(name(counter, 0), 9000)).await.unwrap();
        }
        rot(&files, &name(7, 0), 9000);
        let (sink, mut told) = Told::new();
        let clock = Arc::new(Paused(tokio::time::Instant::now()));
        let scrub = Scrub::start(drive.clone(), config(), sink, clock.clone());
        let (chunk, what) = told.recv().await.unwrap();
        assert_eq!((chunk, what.as_str()), (name(7, 0), "block 1"));
        let first = until(&drive, |progress| progress.finished).await;
        assert_eq!((first.pass, first.chunks, first.damaged), (1, 20, 1));
        let took = cairn_core::Clock::elapsed(&*clock).0;
        assert!(took >= Duration::from_secs(19) && took < Duration::from_secs(22), "a chunk in a second: {took:?}");

        // What the device cannot read any more is damage, too.
        let segment = path().join("chunks/0000000001.segment");
        files.set_unreadable(&segment, 8192..12288).unwrap();
        let (chunk, what) = told.recv().await.unwrap();
        assert!(chunk == name(0, 0) && what.contains("cannot be read"), "{chunk}: {what}");
        assert!(cairn_core::Clock::elapsed(&*clock).0 >= Duration::from_secs(1000), "not before the next pass is due");
        assert_eq!(told.recv().await.unwrap().0, name(7, 0), "told again for as long as it is there");
        assert!(drive.delete(name(7, 0)).await.unwrap());
        files.set_unreadable(&segment, 0..0).unwrap();
        let third = until(&drive, |progress| progress.pass == 3 && progress.finished).await;
        assert_eq!((third.chunks, third.damaged), (19, 0), "what was repaired is forgotten");
        scrub.stop().await;
    });
}

#[test]
fn a_restart_goes_on_where_the_scrub_was() {
    let files = disk();
    paused().block_on(async {
        let drive = open(&files, 1);
        for counter in 0..40 {
            drive.put(record(name(counter, 0), 9000)).await.unwrap();
        }
        let (sink, _told) = Told::new();
        let clock = Arc::new(Paused(tokio::time::Instant::now()));
        let scrub = Scrub::start(drive.clone(), config(), sink, clock);
        until(&drive, |progress| progress.chunks >= 15).await;
        scrub.stop().await;
        drive.close().await.unwrap();
    });
    // Politely stopped, and then cut off: what was noted last counts.
    for (seed, least) in [(2, 15), (3, 25)] {
        files.crash();
        paused().block_on(async {
            let drive = open(&files, seed);
            let (sink, _told) = Told::new();
            let scrub = Scrub::start(drive.clone(), config(), sink, Arc::new(Paused(tokio::time::Instant::now())));
            let found = until(&drive, |progress| progress.pass > 0).await;
            assert_eq!(found.pass, 1);
            assert!(found.chunks >= least, "{found:?}");
            if seed == 2 {
                until(&drive, |progress| progress.chunks >= 31).await;
            } else {
                assert_eq!(until(&drive, |progress| progress.finished).await.chunks, 40, "each was read once");
            }
            drop(scrub);
        });
    }
    // A position that is rubbish costs a pass, nothing else.
    let file = files.open(&path().join("scrub.position")).unwrap();
    file.write_all_vectored_at(&[bytes::Bytes::from_static(b"rubbish")], 3).unwrap();
    paused().block_on(async {
        let drive = open(&files, 4);
        let (sink, _told) = Told::new();
        let scrub = Scrub::start(drive.clone(), config(), sink, Arc::new(Paused(tokio::time::Instant::now())));
        assert_eq!(until(&drive, |progress| progress.finished).await.chunks, 40);
        scrub.stop().await;
    });
}

#[test]
fn a_pass_takes_half_of_its_period_within_the_bounds() {
    let config = ScrubConfig::default();
    assert_eq!(config.bytes_per_second(0), config.bytes_per_second_min);
    assert_eq!(config.bytes_per_second(u64::MAX), config.bytes_per_second_max);
    let live = 4 << 40;
    let through = live / config.bytes_per_second(live);
    assert!(through <= config.period.as_secs() / 2 + 1 && through >= config.period.as_secs() / 3, "{through} s");
}

#[test]
fn a_pass_is_due_when_its_period_is_over_and_at_once_when_it_was_cut_short() {
    let config = ScrubConfig { period: Duration::from_secs(100), ..ScrubConfig::default() };
    let rest = |position: Position, now: u64| config.rest(&position, WallTime(now)).as_secs();
    let done = Position { pass: 1, began: Some(WallTime(50_000)), finished: true, ..Position::default() };
    assert_eq!(rest(Position::default(), 0), 0);
    assert_eq!(rest(done, 50_000), 100);
    assert_eq!(rest(done, 149_000), 1);
    assert_eq!(rest(done, 1_000_000), 0);
    assert_eq!(rest(done, 0), 100, "a calendar that was set back does not put it off for ever");
    assert_eq!(rest(Position { finished: false, ..done }, 50_000), 0);
}

#[test]
fn a_pace_is_kept_and_lost_time_is_not_made_up_for() {
    let ms = Duration::from_millis;
    let mut pace = Pace::from(ms(0));
    assert_eq!(pace.after(1000, 1000, ms(0)), ms(1000));
    assert_eq!(pace.after(500, 1000, ms(1200)), ms(300), "what reading took counts");
    assert_eq!(pace.after(500, 1000, ms(60_000)), ms(0));
    assert_eq!(pace.after(500, 1000, ms(60_000)), ms(0));
    assert_eq!(pace.after(500, 1000, ms(60_000)), ms(500), "after a second's worth the pace is kept again");
}

proptest! {
    #[test]
    fn positions_survive_and_rubbish_does_not(
        pass: u64, began: Option<u64>, finished: bool, after: Option<u64>, figures: [u64; 3], cut in 0usize..104, bit in 0usize..832,
    ) {
        let [chunks, bytes, damaged] = figures;
        let after = after.map(|counter| name(counter, 3));
        let position = Position { pass, began: began.map(WallTime), finished, after, chunks, bytes, damaged };
        let mut encoded = position.encode();
        prop_assert_eq!(Position::decode(&encoded), Some(position));
        prop_assert_eq!(Position::decode(&encoded[..cut]), None);
        encoded[bit / 8] ^= 1 << (bit % 8);
        prop_assert_eq!(Position::decode(&encoded), None);
    }
}

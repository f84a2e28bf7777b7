//! Any two of the six drive directories deleted between a stop and a start.

use std::fs;
use std::path::Path;
use std::time::Duration;

use cairn_harness::Seed;
use cairn_harness::server::Launch;
use rand::seq::{IndexedRandom, SliceRandom};

use crate::workload::{BUCKET, Memory};
use crate::{CAIRN, long};

/// Within this time `cairn status` must show full redundancy again.
const PATIENCE: Duration = Duration::from_secs(60);

fn drive(dir: &Path, number: usize) -> std::path::PathBuf {
    dir.join(format!("drive-{number}"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn any_two_of_six_drives_may_be_deleted() {
    let mut generator = Seed::take("two of six drives").generator();
    let mut pairs: Vec<(usize, usize)> = (1..=6).flat_map(|a| (a + 1..=6).map(move |b| (a, b))).collect();
    pairs.shuffle(&mut generator);
    if !long() {
        pairs.truncate(3);
    }
    let home = tempfile::tempdir().unwrap();
    let dir = home.path().join("data");
    let mut launch = Launch::dev(CAIRN, &dir);
    let mut memory = Memory::default();
    for (round, (a, b)) in pairs.into_iter().enumerate() {
        let server = launch.start();
        if round == 0 {
            server.s3().make_bucket(BUCKET).await.ok();
        }
        memory.write(&server.s3(), &mut generator, 4, 40).await;
        // Stopped politely and killed in turn: neither may need what lay on the two drives.
        launch = if round % 2 == 0 { server.stop().0 } else { server.kill() };
        fs::remove_dir_all(drive(&dir, a)).unwrap();
        fs::remove_dir_all(drive(&dir, b)).unwrap();
        let server = launch.start();
        memory.verify(&server.s3()).await;
        let took = server.wait_until_redundant(PATIENCE);
        eprintln!("drives {a} and {b}: fully redundant after {took:?}");
        memory.verify(&server.s3()).await;
        launch = server.stop().0;
    }
    // What was rebuilt stands by itself: two other drives may go now.
    let server = launch.start();
    memory.verify(&server.s3()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_missing_drives_are_refused_by_name_and_nothing_changes() {
    let mut generator = Seed::take("three of six drives").generator();
    let home = tempfile::tempdir().unwrap();
    let dir = home.path().join("data");
    let launch = Launch::dev(CAIRN, &dir);
    let server = launch.start();
    let mut memory = Memory::default();
    server.s3().make_bucket(BUCKET).await.ok();
    memory.write(&server.s3(), &mut generator, 4, 20).await;
    server.stop();
    let mut numbers = [1, 2, 3, 4, 5, 6].sample(&mut generator, 3).copied().collect::<Vec<usize>>();
    numbers.sort_unstable();
    for &number in &numbers {
        fs::rename(drive(&dir, number), home.path().join(number.to_string())).unwrap();
    }
    let (status, said) = launch.start_refused();
    assert!(!status.success());
    for &number in &numbers {
        assert!(said.contains(&format!("drive-{number}")), "{said}");
        assert!(!drive(&dir, number).exists(), "a refused start makes no directory");
        fs::rename(home.path().join(number.to_string()), drive(&dir, number)).unwrap();
    }
    let server = launch.start();
    memory.verify(&server.s3()).await;
    server.wait_until_redundant(PATIENCE);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rebuilt_machine_survives_the_loss_of_what_it_was_rebuilt_from() {
    let mut generator = Seed::take("two drives after two drives").generator();
    let home = tempfile::tempdir().unwrap();
    let dir = home.path().join("data");
    let mut launch = Launch::dev(CAIRN, &dir);
    let mut memory = Memory::default();
    let server = launch.start();
    server.s3().make_bucket(BUCKET).await.ok();
    memory.write(&server.s3(), &mut generator, 4, 40).await;
    launch = server.stop().0;
    // Every drive is lost once, two at a time: in the end nothing of the first six is left.
    for pair in [(1, 2), (3, 4), (5, 6)] {
        fs::remove_dir_all(drive(&dir, pair.0)).unwrap();
        fs::remove_dir_all(drive(&dir, pair.1)).unwrap();
        let server = launch.start();
        server.wait_until_redundant(PATIENCE);
        memory.verify(&server.s3()).await;
        launch = server.stop().0;
    }
    assert!(memory.acknowledged() > 0);
}

/// What a failing disk, or a hand that copied the wrong file, makes of one drive is that drive's affair.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_drive_whose_chunks_cannot_be_opened_does_not_stop_the_others() {
    let mut generator = Seed::take("a drive that cannot be opened").generator();
    let home = tempfile::tempdir().unwrap();
    let dir = home.path().join("data");
    let mut launch = Launch::dev(CAIRN, &dir);
    let mut memory = Memory::default();
    let server = launch.start();
    server.s3().make_bucket(BUCKET).await.ok();
    memory.write(&server.s3(), &mut generator, 4, 40).await;
    launch = server.stop().0;
    // A segment of the operation log among the chunks: another owner's, which a journal refuses to open.
    let chunks = drive(&dir, 2).join("chunks");
    let aside = home.path().join("aside");
    fs::rename(&chunks, &aside).unwrap();
    fs::create_dir(&chunks).unwrap();
    let log = fs::read_dir(drive(&dir, 2).join("log")).unwrap().flatten().next().expect("the log has a segment");
    fs::copy(log.path(), chunks.join(log.file_name())).unwrap();

    let server = launch.start();
    memory.verify(&server.s3()).await;
    memory.write(&server.s3(), &mut generator, 4, 10).await;
    let (said, _) = server.ask(&["status"]);
    assert!(said.contains("drive-2") && said.contains("cannot be opened"), "{said}");
    launch = server.stop().0;

    // Put right by hand, it is as if nothing had been.
    fs::remove_dir_all(&chunks).unwrap();
    fs::rename(&aside, &chunks).unwrap();
    let server = launch.start();
    memory.verify(&server.s3()).await;
    server.wait_until_redundant(PATIENCE);
}

/// A disk that answers every question with an error, at the two moments at which a start asks: who it is, and for its lock.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_drive_that_does_not_answer_is_gone_without_and_not_written_off() {
    let mut generator = Seed::take("a drive that does not answer").generator();
    let home = tempfile::tempdir().unwrap();
    let dir = home.path().join("data");
    let mut launch = Launch::dev(CAIRN, &dir);
    let mut memory = Memory::default();
    let server = launch.start();
    server.s3().make_bucket(BUCKET).await.ok();
    memory.write(&server.s3(), &mut generator, 4, 40).await;
    launch = server.stop().0;
    // Nothing that a test may do makes a healthy disk fail, but a directory where a file should be cannot be read either.
    let aside = |file: &str| {
        let path = dir.join(file);
        fs::rename(&path, home.path().join("aside")).unwrap();
        fs::create_dir(&path).unwrap();
        path
    };
    for file in ["drive-2/lock", "drive-3/drive.json"] {
        let path = aside(file);
        let server = launch.start();
        memory.verify(&server.s3()).await;
        memory.write(&server.s3(), &mut generator, 4, 10).await;
        let (json, _) = server.ask(&["status", "--json"]);
        let status: serde_json::Value = serde_json::from_str(&json).unwrap();
        let label = file.split_once('/').unwrap().0;
        let drives = status["drives"].as_array().unwrap();
        let failing = drives.iter().find(|drive| drive["label"] == label).unwrap();
        assert_eq!(failing["state"], "active", "{failing}");
        assert!(failing["problem"].is_string() && status["fully_redundant"] == false, "{status}");
        launch = server.stop().0;
        fs::remove_dir(&path).unwrap();
        fs::rename(home.path().join("aside"), &path).unwrap();
        let server = launch.start();
        memory.verify(&server.s3()).await;
        server.wait_until_redundant(PATIENCE);
        launch = server.stop().0;
    }
}

//! Over real directories, with threads.

use std::path::Path;

use bytes::Bytes;
use cairn_core::clock::SystemClock;
use cairn_core::entropy::SystemEntropy;
use cairn_core::{DriveId, NodeId};
use cairn_journal::Shell;
use cairn_journal::files::real::RealFiles;

use super::fleet::{all, entries, identity};
use crate::{LogDrive, LogIdentity, OpLog, OpLogError, Options, Recovered, Refusal};

async fn open(root: &Path, drives: &[u64], formed: bool) -> Result<(OpLog, Recovered), OpLogError> {
    let files = RealFiles::shared();
    let drives =
        drives.iter().map(|id| LogDrive { id: DriveId(*id), dir: root.join(format!("d{id}")), files: files.clone() });
    let mut options = Options::new(SystemClock::start());
    options.copies_wanted = 3;
    options.formed = formed;
    options.segment_bytes = 1 << 20;
    let whose = LogIdentity { node: NodeId(9), ..identity() };
    OpLog::open(drives.collect(), whose, options, SystemEntropy::shared(), Shell::Thread).await
}

fn tree(root: &Path) -> Vec<(String, Vec<u8>)> {
    let mut found = Vec::new();
    let mut dirs = vec![root.to_owned()];
    while let Some(dir) = dirs.pop() {
        for entry in std::fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                dirs.push(path);
            } else {
                found.push((path.display().to_string(), std::fs::read(&path).unwrap()));
            }
        }
    }
    found.sort();
    found
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn concurrent_appends_survive_a_restart_without_two_drives() {
    let root = tempfile::tempdir().unwrap();
    let six = [1, 2, 3, 4, 5, 6];
    let (log, _) = open(root.path(), &six, false).await.unwrap();
    let mut completions = Vec::new();
    for index in 0..500_u64 {
        let bytes = Bytes::from(vec![index as u8; 1000 + index as usize]);
        completions
            .push(log.append(vec![crate::LogRecord::Append { first_index: index, entries: vec![bytes] }]).unwrap());
        if index % 7 == 0 {
            tokio::task::yield_now().await;
        }
    }
    for completion in completions {
        completion.await.unwrap();
    }
    log.close().await.unwrap();
    drop(log);
    for away in 0..5 {
        let here: Vec<u64> = six.iter().copied().filter(|id| ![away + 1, away + 2].contains(id)).collect();
        let (log, mut recovered) = open(root.path(), &here, true).await.unwrap();
        assert_eq!(all(&mut recovered).await.len(), 500);
        let entries = log.read(0..500, usize::MAX).await.unwrap();
        assert!(entries.iter().enumerate().all(|(index, entry)| entry.len() == 1000 + index));
        log.close().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refusal_leaves_no_trace() {
    let root = tempfile::tempdir().unwrap();
    let (log, _) = open(root.path(), &[1, 2, 3, 4, 5, 6], false).await.unwrap();
    log.append(vec![entries(0, &["a"])]).unwrap().await.unwrap();
    log.close().await.unwrap();
    drop(log);
    let before = tree(root.path());
    let error = open(root.path(), &[1, 2, 3], true).await.unwrap_err();
    assert!(matches!(error, OpLogError::Refused { refusal: Refusal::TooManyMissing { .. }, .. }), "{error}");
    assert_eq!(before, tree(root.path()));
}

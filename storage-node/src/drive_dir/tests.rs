//! Directories of every kind are told apart, nothing foreign is touched, and a crash while formatting leaves either no
//! drive or a whole one.

use std::os::unix::fs::PermissionsExt as _;

use cairn_core::entropy::SeededEntropy;
use cairn_core::{NodeId, WallTime};
use cairn_journal::files::faulty::{FaultPlan, FaultyFiles};
use cairn_journal::files::real::RealFiles;
use tempfile::TempDir;

use super::*;

fn identity(cluster: u128, drive: u64) -> Identity {
    Identity {
        cluster: ClusterId(cluster),
        node: NodeId(2),
        drive: DriveId(drive),
        state: Formation::Forming,
        created: WallTime(5),
        slot: None,
    }
}

fn secret() -> ClusterSecret {
    ClusterSecret::draw(&*SeededEntropy::new(3))
}

/// Runs a test over a real filesystem and over the simulated one.
fn over_both(test: impl Fn(Arc<dyn Files>, &Path)) {
    let dir = TempDir::new().unwrap();
    test(RealFiles::shared(), dir.path());
    let simulated = FaultyFiles::new(1, FaultPlan::default()).shared();
    simulated.create_dir_all(Path::new("/base")).unwrap();
    test(simulated, Path::new("/base"));
}

fn put_file(files: &dyn Files, path: &Path, content: &[u8]) {
    match files.remove(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => panic!("{error}"),
        _ => {}
    }
    let file = files.create(path).unwrap();
    file.write_all_vectored_at(&[Bytes::copy_from_slice(content)], 0).unwrap();
}

fn names(files: &dyn Files, path: &Path) -> Vec<String> {
    files.list(path).unwrap().into_iter().map(|entry| entry.name).collect()
}

#[test]
fn a_drive_is_formatted_found_again_and_marked() {
    over_both(|files, base| {
        let path = base.join("some/drive");
        assert_eq!(DriveDir::inspect(&*files, &path).unwrap(), Inspect::Missing);
        let dir = DriveDir::format(files.clone(), &path, identity(1, 7), &secret()).unwrap();
        assert_eq!(dir.identity(), identity(1, 7));
        dir.require(ClusterId(1), Some(DriveId(7))).unwrap();
        dir.mark_formed().unwrap();
        dir.mark_formed().unwrap();
        drop(dir);
        let formed = Identity { state: Formation::Formed, ..identity(1, 7) };
        let found = DriveDir::inspect(&*files, &path).unwrap();
        assert_eq!(found, Inspect::Drive { identity: formed, unknown: vec![] });
        let dir = DriveDir::open(files.clone(), &path).unwrap();
        assert_eq!(dir.identity(), formed);
        assert_eq!(*dir.secret(), secret());
        for room in [dir.chunks(), dir.log(), dir.runs(), dir.index()] {
            assert!(names(&*files, &room).is_empty());
        }
    });
}

#[test]
fn only_missing_and_empty_directories_are_formatted() {
    over_both(|files, base| {
        let path = base.join("empty");
        files.create_dir_all(&path.join("lost+found")).unwrap();
        assert_eq!(DriveDir::inspect(&*files, &path).unwrap(), Inspect::Empty);
        assert!(matches!(DriveDir::open(files.clone(), &path), Err(DirError::NotADrive(_))));
        assert_eq!(names(&*files, &path), ["lost+found"], "not so much as a lock file is left behind");
        drop(DriveDir::format(files.clone(), &path, identity(1, 1), &secret()).unwrap());
        let again = DriveDir::format(files.clone(), &path, identity(1, 2), &secret());
        assert!(matches!(again, Err(DirError::AlreadyADrive { drive: DriveId(1), .. })), "{again:?}");

        let path = base.join("foreign");
        files.create_dir_all(&path).unwrap();
        put_file(&*files, &path.join("thesis.txt"), b"the only copy");
        assert_eq!(DriveDir::inspect(&*files, &path).unwrap(), Inspect::Foreign(vec!["thesis.txt".to_owned()]));
        for refused in
            [DriveDir::format(files.clone(), &path, identity(1, 3), &secret()), DriveDir::open(files.clone(), &path)]
        {
            let error = refused.unwrap_err();
            assert!(matches!(error, DirError::Foreign { .. }), "{error}");
            assert!(error.to_string().contains("thesis.txt"), "{error}");
        }
        assert_eq!(names(&*files, &path), ["thesis.txt"]);

        let path = base.join("missing");
        assert!(matches!(DriveDir::open(files.clone(), &path), Err(DirError::Missing(_))));
        assert_eq!(DriveDir::inspect(&*files, &path).unwrap(), Inspect::Missing);
    });
}

#[test]
fn a_drive_that_lost_its_identity_is_no_empty_directory() {
    over_both(|files, base| {
        let path = base.join("drive");
        drop(DriveDir::format(files.clone(), &path, identity(1, 1), &secret()).unwrap());
        put_file(&*files, &path.join("chunks").join("0000000001.segment"), b"precious");
        files.remove(&path.join("drive.json")).unwrap();
        assert!(matches!(DriveDir::inspect(&*files, &path).unwrap(), Inspect::Corrupt(_)));
        let refused = DriveDir::format(files.clone(), &path, identity(1, 2), &secret());
        assert!(matches!(refused, Err(DirError::Corrupt { .. })));
    });
}

#[test]
fn damaged_and_newer_identities_are_refused() {
    over_both(|files, base| {
        let path = base.join("drive");
        drop(DriveDir::format(files.clone(), &path, identity(1, 1), &secret()).unwrap());
        let json = path.join("drive.json");
        for damaged in [&b""[..], b"{\"format\":1", &identity(1, 1).encode()[..100], &[b' '; 5000]] {
            put_file(&*files, &json, damaged);
            assert!(matches!(DriveDir::inspect(&*files, &path).unwrap(), Inspect::Corrupt(_)));
            let error = DriveDir::open(files.clone(), &path).unwrap_err();
            assert!(matches!(error, DirError::Corrupt { .. }), "{error}");
            let error = DriveDir::format(files.clone(), &path, identity(1, 2), &secret()).unwrap_err();
            assert!(matches!(error, DirError::Corrupt { .. }), "{error}");
        }
        put_file(&*files, &json, b"{\"format\": 2, \"shape\": \"unknown\"}");
        assert_eq!(DriveDir::inspect(&*files, &path).unwrap(), Inspect::Newer(2));
        let error = DriveDir::open(files.clone(), &path).unwrap_err();
        assert!(error.to_string().contains("format 2, this release knows up to 1"), "{error}");
    });
}

#[test]
fn a_missing_or_damaged_secret_is_refused_by_name() {
    over_both(|files, base| {
        let path = base.join("drive");
        drop(DriveDir::format(files.clone(), &path, identity(1, 1), &secret()).unwrap());
        for damaged in [Some(&b"beef\n"[..]), Some(&[b'a'; 9000]), None] {
            match damaged {
                Some(content) => put_file(&*files, &path.join("secret"), content),
                None => files.remove(&path.join("secret")).unwrap(),
            }
            match DriveDir::open(files.clone(), &path).unwrap_err() {
                DirError::Corrupt { file, .. } => assert_eq!(file, path.join("secret")),
                other => panic!("{other}"),
            }
        }
    });
}

#[test]
fn a_second_process_is_kept_out() {
    over_both(|files, base| {
        let path = base.join("drive");
        let first = DriveDir::format(files.clone(), &path, identity(1, 1), &secret()).unwrap();
        let error = DriveDir::open(files.clone(), &path).unwrap_err();
        assert!(matches!(&error, DirError::Locked(locked) if *locked == path), "{error}");
        assert!(error.to_string().contains(&path.display().to_string()), "the message names the path: {error}");
        drop(first);
        drop(DriveDir::open(files.clone(), &path).unwrap());
    });
}

#[test]
fn other_drives_and_other_clusters_are_refused() {
    over_both(|files, base| {
        let dir = DriveDir::format(files.clone(), &base.join("drive"), identity(1, 1), &secret()).unwrap();
        dir.require(ClusterId(1), None).unwrap();
        assert!(matches!(
            dir.require(ClusterId(2), Some(DriveId(1))),
            Err(DirError::OtherCluster { found: ClusterId(1), expected: ClusterId(2), .. })
        ));
        assert!(matches!(
            dir.require(ClusterId(1), Some(DriveId(9))),
            Err(DirError::OtherDrive { found: DriveId(1), expected: DriveId(9), .. })
        ));
    });
}

#[test]
fn unknown_files_beside_a_drive_are_reported_and_left() {
    over_both(|files, base| {
        let path = base.join("drive");
        drop(DriveDir::format(files.clone(), &path, identity(1, 1), &secret()).unwrap());
        put_file(&*files, &path.join("notes"), b"mine");
        put_file(&*files, &path.join("drive.json.new"), b"left by a crash");
        let dir = DriveDir::open(files.clone(), &path).unwrap();
        assert_eq!(dir.unknown(), ["notes"]);
        dir.mark_formed().unwrap();
        assert!(names(&*files, &path).contains(&"notes".to_owned()));
    });
}

#[test]
fn nobody_else_may_read_the_secret() {
    let base = TempDir::new().unwrap();
    let path = base.path().join("drive");
    drop(DriveDir::format(RealFiles::shared(), &path, identity(1, 1), &secret()).unwrap());
    for file in ["secret", "drive.json"] {
        let mode = std::fs::metadata(path.join(file)).unwrap().permissions().mode();
        assert_eq!(mode & 0o077, 0, "{file} has mode {mode:o}");
    }
}

/// Cuts the power after each operation in turn, until there are no more; says how many there were.
fn with_power_cuts(prepare: impl Fn(&FaultyFiles), act: impl Fn(&FaultyFiles), check: impl Fn(&FaultyFiles)) -> u64 {
    for seed in 0..5 {
        for operations in 0.. {
            let files = FaultyFiles::new(seed, FaultPlan::default());
            prepare(&files);
            let before = files.changes();
            files.power_off_after(operations);
            act(&files);
            let done = files.changes() - before;
            files.crash();
            check(&files);
            if done < operations {
                return done;
            }
        }
    }
    unreachable!("an act has an end")
}

#[test]
fn a_power_cut_while_formatting_leaves_no_drive_or_a_whole_one() {
    let path = Path::new("/drive");
    let steps = with_power_cuts(
        |_| {},
        |files| drop(DriveDir::format(files.shared(), path, identity(1, 1), &secret())),
        |files| match DriveDir::inspect(files, path).unwrap() {
            Inspect::Missing | Inspect::Empty => {
                drop(DriveDir::format(files.shared(), path, identity(1, 2), &secret()).unwrap());
            }
            Inspect::Drive { identity: found, unknown } => {
                assert_eq!((found, unknown), (identity(1, 1), vec![]));
                assert_eq!(*DriveDir::open(files.shared(), path).unwrap().secret(), secret());
            }
            other => panic!("{other:?}"),
        },
    );
    assert!(steps > 8, "{steps} steps");
}

#[test]
fn a_power_cut_while_marking_leaves_the_old_mark_or_the_new_one() {
    let path = Path::new("/drive");
    let steps = with_power_cuts(
        |files| drop(DriveDir::format(files.shared(), path, identity(1, 1), &secret()).unwrap()),
        |files| {
            if let Ok(dir) = DriveDir::open(files.shared(), path) {
                drop(dir.mark_formed());
            }
        },
        |files| {
            let found = DriveDir::open(files.shared(), path).unwrap().identity();
            assert_eq!(Identity { state: Formation::Forming, ..found }, identity(1, 1));
        },
    );
    assert!(steps >= 4, "{steps} steps");
}

//! What lies in the directories that a server is given, and what a start makes of it. Decided before anything is touched, so
//! that a refused start leaves everything as it was.
//!
//! ```text
//! drives of one cluster and one machine  -> started, in any order, under any paths
//! not there, empty, or not answering     -> started without, and said
//! nothing but empty directories          -> refused, unless a cluster is to be formed
//! another cluster's, a copy, foreign     -> refused, in one line
//! ```
//!
//! An empty directory beside drives is never filled by a guess: it may be a disk that is not mounted. `cairn drive replace`
//! says whose place a fresh disk takes.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use cairn_core::DriveId;
use cairn_journal::files::Files;
use cairn_storage_node::{DirError, DriveDir, Formation, Identity, Inspect};

use crate::dev::directories::in_one_line;

/// Why the directories cannot be started on. Nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A directory holds what is no drive of this release's.
    #[error(transparent)]
    Dir(#[from] DirError),
    /// A directory is named twice, perhaps under two paths.
    #[error("{first} and {second} are one directory")]
    NamedTwice {
        /// One name of it.
        first: PathBuf,
        /// The other.
        second: PathBuf,
    },
    /// Two of the directories hold drives of different clusters.
    #[error("{first} and {second} are drives of different clusters")]
    TwoClusters {
        /// One of them.
        first: PathBuf,
        /// The other.
        second: PathBuf,
    },
    /// Two of the directories hold drives of different machines.
    #[error("{first} and {second} are drives of different machines of one cluster")]
    TwoNodes {
        /// One of them.
        first: PathBuf,
        /// The other.
        second: PathBuf,
    },
    /// Two of the directories hold the same drive: one is a copy.
    #[error("{first} and {second} hold the same drive: one of them is a copy, move it away")]
    Copy {
        /// One of them.
        first: PathBuf,
        /// The other.
        second: PathBuf,
    },
    /// None of the directories holds a drive, and nobody said that a cluster is to be formed.
    #[error(
        "none of these directories holds a drive: {}. Are the disks mounted? --form begins a new cluster on them",
        list(.0)
    )]
    NothingHere(Vec<PathBuf>),
    /// A cluster is to be formed where one is.
    #[error("{path} is a drive of a cluster that exists: start without --form")]
    Formed {
        /// One of its drives.
        path: PathBuf,
    },
    /// A cluster was being formed when the start was cut short.
    #[error("the forming of a cluster on these directories was cut short: start once more with --form")]
    Unfinished,
}

fn list(paths: &[PathBuf]) -> String {
    paths.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(", ")
}

/// What a start does with the directories.
#[derive(Debug, PartialEq, Eq)]
pub struct Found {
    /// Those that hold a drive, and who each is.
    pub present: Vec<(PathBuf, Identity)>,
    /// Those that a drive is to be made in, because a cluster is formed.
    pub fresh: Vec<PathBuf>,
    /// Those that are gone without, and why.
    pub without: Vec<Without>,
    /// Whether the cluster exists, so that an empty log would be a lost one.
    pub formed: bool,
}

/// A directory that a start goes without.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Without {
    /// Where it is.
    pub path: PathBuf,
    /// Why.
    pub why: String,
    /// Whether a disk is there and fails, so that it may be any drive.
    pub fails: bool,
}

/// Looks at the directories and decides. Changes nothing.
pub fn look(files: &dyn Files, paths: &[PathBuf], form: bool) -> Result<Found, StartError> {
    named_once(paths)?;
    let mut found = Found { present: Vec::new(), fresh: Vec::new(), without: Vec::new(), formed: false };
    for path in paths {
        let without = |why: &str, fails| Without { path: path.clone(), why: why.to_owned(), fails };
        match DriveDir::inspect(files, path) {
            Ok(Inspect::Drive { identity, .. }) => found.present.push((path.clone(), identity)),
            Ok(Inspect::Missing | Inspect::Empty) if form => found.fresh.push(path.clone()),
            Ok(Inspect::Missing) => found.without.push(without("is not there", false)),
            Ok(Inspect::Empty) => found.without.push(without("is empty", false)),
            Ok(Inspect::Foreign(names)) => return Err(DirError::Foreign { path: path.clone(), names }.into()),
            Ok(Inspect::Corrupt(what)) => return Err(DirError::Corrupt { file: path.clone(), what }.into()),
            Ok(Inspect::Newer(version)) => {
                return Err(DirError::Newer { path: path.clone(), found: version }.into());
            }
            Err(error @ DirError::Io { .. }) if !form => found.without.push(without(&in_one_line(&error), true)),
            Err(error) => return Err(error.into()),
        }
    }
    belong_together(&found.present)?;
    let formed = found.present.iter().find(|(_, identity)| identity.state == Formation::Formed);
    match formed {
        Some((path, _)) if form => return Err(StartError::Formed { path: path.clone() }),
        Some(_) => found.formed = true,
        None if form => {}
        None if found.present.is_empty() => return Err(StartError::NothingHere(paths.to_vec())),
        None => return Err(StartError::Unfinished),
    }
    Ok(found)
}

fn named_once(paths: &[PathBuf]) -> Result<(), StartError> {
    let mut seen: BTreeMap<PathBuf, &Path> = BTreeMap::new();
    for path in paths {
        // What is not there yet cannot be resolved; then its name is all there is to go by.
        let resolved = std::fs::canonicalize(path).or_else(|_| std::path::absolute(path));
        let resolved = resolved.unwrap_or_else(|_| path.clone());
        if let Some(first) = seen.insert(resolved, path) {
            return Err(StartError::NamedTwice { first: first.to_owned(), second: path.clone() });
        }
    }
    Ok(())
}

fn belong_together(drives: &[(PathBuf, Identity)]) -> Result<(), StartError> {
    let mut seen: BTreeMap<DriveId, &Path> = BTreeMap::new();
    let Some((first_path, first)) = drives.first() else { return Ok(()) };
    for (path, identity) in drives {
        let both = || (first_path.clone(), path.clone());
        if identity.cluster != first.cluster {
            let (first, second) = both();
            return Err(StartError::TwoClusters { first, second });
        }
        if identity.node != first.node {
            let (first, second) = both();
            return Err(StartError::TwoNodes { first, second });
        }
        if let Some(other) = seen.insert(identity.drive, path) {
            return Err(StartError::Copy { first: other.to_owned(), second: path.clone() });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use cairn_core::entropy::SystemEntropy;
    use cairn_core::{ClusterId, NodeId, WallTime};
    use cairn_journal::files::real::RealFiles;
    use cairn_storage_node::ClusterSecret;

    use super::*;

    fn make(path: &Path, cluster: u128, node: u64, drive: u64, state: Formation) {
        let identity = Identity {
            cluster: ClusterId(cluster),
            node: NodeId(node),
            drive: DriveId(drive),
            state,
            created: WallTime(0),
            slot: None,
        };
        let files: Arc<dyn Files> = Arc::new(RealFiles);
        DriveDir::format(files, path, identity, &ClusterSecret::draw(&SystemEntropy)).unwrap();
    }

    fn four(home: &Path) -> Vec<PathBuf> {
        let paths: Vec<PathBuf> = (1..=4).map(|number| home.join(format!("disk-{number}"))).collect();
        paths.iter().zip(1..).for_each(|(path, drive)| make(path, 7, 1, drive, Formation::Formed));
        paths
    }

    #[test]
    fn drives_are_known_by_what_is_on_them_and_gone_without_where_nothing_is() {
        let home = tempfile::tempdir().unwrap();
        let mut paths = four(home.path());
        std::fs::remove_dir_all(&paths[3]).unwrap();
        paths.push(home.path().join("empty"));
        std::fs::create_dir(&paths[4]).unwrap();
        paths.reverse();
        let found = look(&RealFiles, &paths, false).unwrap();
        assert!(found.formed && found.fresh.is_empty());
        let ids: Vec<u64> = found.present.iter().map(|(_, identity)| identity.drive.0).collect();
        assert_eq!(ids, [3, 2, 1]);
        let why: Vec<&str> = found.without.iter().map(|without| &*without.why).collect();
        assert_eq!(why, ["is empty", "is not there"]);
        assert!(!paths[1].exists(), "looking makes nothing");
    }

    #[test]
    fn a_cluster_is_formed_on_request_only_and_never_beside_another() {
        let home = tempfile::tempdir().unwrap();
        let empty = vec![home.path().join("a"), home.path().join("b")];
        assert!(matches!(look(&RealFiles, &empty, false), Err(StartError::NothingHere(_))));
        assert_eq!(look(&RealFiles, &empty, true).unwrap().fresh, empty);
        make(&empty[0], 7, 1, 1, Formation::Forming);
        assert!(matches!(look(&RealFiles, &empty, false), Err(StartError::Unfinished)));
        let again = look(&RealFiles, &empty, true).unwrap();
        assert_eq!((again.present.len(), again.fresh.len()), (1, 1));
        let mut beside = four(home.path());
        beside.push(home.path().join("c"));
        assert!(matches!(look(&RealFiles, &beside, true), Err(StartError::Formed { .. })));
    }

    #[test]
    fn what_does_not_belong_together_is_refused_by_name() {
        let home = tempfile::tempdir().unwrap();
        let paths = four(home.path());
        let with = |more: PathBuf| [&paths[..], &[more]].concat();
        let named = |error: StartError, words: [&str; 2]| {
            let line = error.to_string();
            assert!(words.iter().all(|word| line.contains(word)) && !line.contains('\n'), "{line}");
        };
        let stranger = home.path().join("stranger");
        make(&stranger, 8, 1, 9, Formation::Formed);
        named(look(&RealFiles, &with(stranger), false).unwrap_err(), ["stranger", "different clusters"]);
        let neighbour = home.path().join("neighbour");
        make(&neighbour, 7, 2, 9, Formation::Formed);
        named(look(&RealFiles, &with(neighbour), false).unwrap_err(), ["neighbour", "different machines"]);
        let copy = home.path().join("copy");
        make(&copy, 7, 1, 2, Formation::Formed);
        named(look(&RealFiles, &with(copy), false).unwrap_err(), ["disk-2", "copy"]);
        let link = home.path().join("link");
        std::os::unix::fs::symlink(&paths[0], &link).unwrap();
        named(look(&RealFiles, &with(link), false).unwrap_err(), ["link", "one directory"]);
        let foreign = home.path().join("foreign");
        std::fs::create_dir(&foreign).unwrap();
        std::fs::write(foreign.join("holiday.jpg"), b"mine").unwrap();
        named(look(&RealFiles, &with(foreign), false).unwrap_err(), ["foreign", "holiday.jpg"]);
    }
}

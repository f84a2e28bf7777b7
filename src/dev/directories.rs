//! Which directories below a server's own are drives, and what a start makes of them: a plan, made before anything is
//! touched, so that a refused start leaves everything as it was.
//!
//! ```text
//! nothing there yet            -> form a cluster on fresh directories
//! a cluster, all drives there  -> resume
//! up to m of them missing      -> resume; fresh ones take the places of the missing
//! more than m missing          -> refuse, naming them
//! ```
//!
//! A drive whose disk does not answer is neither there nor missing: the others serve without it, and it is not written off.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use cairn_core::{ClusterId, DriveId, Geometry};
use cairn_journal::files::Files;
use cairn_storage_node::{DirError, DriveDir, Formation, Identity, Inspect};

use crate::credentials::Credentials;

/// How many directories a cluster gets when nobody says.
const DRIVES_USUAL: u16 = 6;

/// Why the directories cannot be started on. Nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A directory cannot be looked at.
    #[error(transparent)]
    Dir(#[from] DirError),
    /// The server's own directory cannot be read.
    #[error("{path}: {source}")]
    Unreadable {
        /// Which directory.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// Two of the directories hold drives of different clusters.
    #[error("{first} and {second} are drives of different clusters")]
    TwoClusters {
        /// One of them.
        first: PathBuf,
        /// The other.
        second: PathBuf,
    },
    /// Two of the directories hold the same drive: one is a copy.
    #[error("{first} and {second} hold the same drive: one of them is a copy, move it away")]
    Twice {
        /// One of them.
        first: PathBuf,
        /// The other.
        second: PathBuf,
    },
    /// More drives are gone than the data survives.
    #[error(
        "{} of {of} drives are missing and at most {most} may be: {}. Put them back; nothing was changed",
        missing.len(), list(missing)
    )]
    TooManyMissing {
        /// The directories that should be there.
        missing: Vec<PathBuf>,
        /// How many drives there were.
        of: u16,
        /// How many may be missing.
        most: usize,
    },
    /// All drives are gone, yet a cluster was here.
    #[error("{credentials} is there and no drive is: put the drives back, or remove that file to begin anew")]
    AllGone {
        /// The file that says that a cluster was here.
        credentials: PathBuf,
    },
    /// The flag asks for another number of drives than there are.
    #[error("{dir} was formed with {of} drives; --drives {asked} cannot change that")]
    OtherNumber {
        /// The server's directory.
        dir: PathBuf,
        /// How many drives it was formed with.
        of: u16,
        /// How many were asked for.
        asked: u16,
    },
}

fn list(paths: &[PathBuf]) -> String {
    paths.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(", ")
}

/// What a start does with the directories.
#[derive(Debug, PartialEq, Eq)]
pub struct Plan {
    /// How many drives belong together.
    pub of: u16,
    /// The directories that are drives already: numbers, and who they are.
    pub present: Vec<(u16, Identity)>,
    /// Numbers of the directories that fresh drives are to be made in.
    pub fresh: Vec<u16>,
    /// Directories that are there and cannot be read: numbers, and why. Together with the fresh ones at most m.
    pub failing: Vec<(u16, String)>,
    /// Whether the cluster exists, so that an empty log would be a lost one.
    pub formed: bool,
}

/// The directory of a drive.
pub fn path(dir: &Path, number: u16) -> PathBuf {
    dir.join(format!("drive-{number}"))
}

/// Looks at a server's directory and decides. Changes nothing.
pub fn plan(files: &dyn Files, dir: &Path, asked: Option<u16>) -> Result<Plan, StartError> {
    let mut numbers: Vec<u16> = match files.list(dir) {
        Ok(entries) => entries.iter().filter_map(|entry| entry.name.strip_prefix("drive-")?.parse().ok()).collect(),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Vec::new(),
        Err(source) => return Err(StartError::Unreadable { path: dir.to_owned(), source }),
    };
    numbers.extend(1..=asked.unwrap_or(DRIVES_USUAL));
    numbers.sort_unstable();
    numbers.dedup();
    let mut drives = BTreeMap::new();
    let mut failing = Vec::new();
    for number in numbers {
        let path = path(dir, number);
        let found = match DriveDir::inspect(files, &path) {
            Err(error @ DirError::Io { .. }) => {
                failing.push((number, error));
                continue;
            }
            found => found?,
        };
        match found {
            Inspect::Missing | Inspect::Empty => {}
            Inspect::Drive { identity, .. } => {
                drives.insert(number, identity);
            }
            Inspect::Foreign(names) => return Err(DirError::Foreign { path, names }.into()),
            Inspect::Corrupt(what) => return Err(DirError::Corrupt { file: path, what }.into()),
            Inspect::Newer(found) => return Err(DirError::Newer { path, found }.into()),
        }
    }
    one_cluster(dir, &drives)?;
    let formed = drives.values().any(|identity| identity.state == Formation::Formed);
    let of = drives.values().filter_map(|identity| identity.slot).map(|slot| slot.of).max();
    let of = of.or(asked).unwrap_or(DRIVES_USUAL);
    let (present, missing): (Vec<u16>, Vec<u16>) = {
        let extra = drives.keys().copied().filter(|&number| number > of);
        let answers = |number: &u16| failing.iter().all(|(other, _)| other != number);
        (1..=of).chain(extra).filter(answers).partition(|number| drives.contains_key(number))
    };
    if let Some(asked) = asked.filter(|&asked| asked != of) {
        return Err(StartError::OtherNumber { dir: dir.to_owned(), of, asked });
    }
    if formed {
        let most = Geometry::standard_for(usize::from(of)).m();
        if missing.len() > most {
            let missing = missing.into_iter().map(|number| path(dir, number)).collect();
            return Err(StartError::TooManyMissing { missing, of, most });
        }
        if missing.len() + failing.len() > most && !failing.is_empty() {
            return Err(failing.swap_remove(0).1.into());
        }
    } else if !failing.is_empty() {
        return Err(failing.swap_remove(0).1.into());
    } else if drives.is_empty() {
        let credentials = Credentials::path_in(dir);
        if files.open(&credentials).is_ok() {
            return Err(StartError::AllGone { credentials });
        }
    }
    let present = present.into_iter().filter_map(|number| Some((number, *drives.get(&number)?))).collect();
    let failing = failing.into_iter().map(|(number, error)| (number, in_one_line(&error))).collect();
    Ok(Plan { of, present, fresh: missing, failing, formed })
}

/// An error with what caused it.
pub fn in_one_line(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |cause| cause.source());
    causes.fold(error.to_string(), |line, cause| format!("{line}: {cause}"))
}

fn one_cluster(dir: &Path, drives: &BTreeMap<u16, Identity>) -> Result<(), StartError> {
    let mut first: Option<(u16, ClusterId)> = None;
    let mut seen: BTreeMap<DriveId, u16> = BTreeMap::new();
    for (&number, identity) in drives {
        let (least, cluster) = *first.get_or_insert((number, identity.cluster));
        if cluster != identity.cluster {
            return Err(StartError::TwoClusters { first: path(dir, least), second: path(dir, number) });
        }
        if let Some(other) = seen.insert(identity.drive, number) {
            return Err(StartError::Twice { first: path(dir, other), second: path(dir, number) });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use cairn_core::entropy::SystemEntropy;
    use cairn_core::{NodeId, WallTime};
    use cairn_journal::files::real::RealFiles;
    use cairn_storage_node::{ClusterSecret, Slot};

    use super::*;

    fn identity(cluster: u128, number: u16, of: u16, state: Formation) -> Identity {
        Identity {
            cluster: ClusterId(cluster),
            node: NodeId(1),
            drive: DriveId(u64::from(number)),
            state,
            created: WallTime(0),
            slot: Some(Slot { number, of }),
        }
    }

    fn make(dir: &Path, number: u16, identity: Identity) {
        let files: Arc<dyn Files> = Arc::new(RealFiles);
        DriveDir::format(files, &path(dir, number), identity, &ClusterSecret::draw(&SystemEntropy)).unwrap();
    }

    fn made(of: u16, missing: &[u16], state: Formation) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        for number in (1..=of).filter(|number| !missing.contains(number)) {
            make(dir.path(), number, identity(7, number, of, state));
        }
        dir
    }

    fn numbers(plan: &Plan) -> Vec<u16> {
        plan.present.iter().map(|(number, _)| *number).collect()
    }

    #[test]
    fn an_empty_place_is_formed() {
        let dir = tempfile::tempdir().unwrap();
        let plan = plan(&RealFiles, &dir.path().join("not there"), None).unwrap();
        assert_eq!((plan.of, plan.present, plan.formed), (6, vec![], false));
        assert_eq!(plan.fresh, [1, 2, 3, 4, 5, 6]);
    }

    #[test]
    fn up_to_m_drives_may_be_missing_even_the_last_ones() {
        for missing in [vec![], vec![3], vec![5, 6], vec![1, 2]] {
            let dir = made(6, &missing, Formation::Formed);
            let plan = plan(&RealFiles, dir.path(), None).unwrap();
            assert_eq!((plan.of, plan.formed, &plan.fresh), (6, true, &missing));
            assert_eq!(plan.present.len(), 6 - missing.len());
        }
        let dir = made(6, &[1, 4, 6], Formation::Formed);
        let refused = plan(&RealFiles, dir.path(), None).unwrap_err().to_string();
        for number in [1, 4, 6] {
            assert!(refused.contains(&path(dir.path(), number).display().to_string()), "{refused}");
        }
    }

    #[test]
    fn a_directory_that_cannot_be_read_counts_with_the_missing_and_is_not_replaced() {
        let fail = |dir: &Path, number: u16| {
            let json = path(dir, number).join("drive.json");
            std::fs::remove_file(&json).unwrap();
            std::fs::create_dir(&json).unwrap();
        };
        let dir = made(6, &[5], Formation::Formed);
        fail(dir.path(), 2);
        let found = plan(&RealFiles, dir.path(), None).unwrap();
        assert_eq!((numbers(&found), found.fresh), (vec![1, 3, 4, 6], vec![5]));
        assert!(matches!(&found.failing[..], [(2, why)] if why.contains("drive-2")), "{:?}", found.failing);
        fail(dir.path(), 6);
        let refused = plan(&RealFiles, dir.path(), None).unwrap_err().to_string();
        assert!(refused.contains("drive-2"), "three are more than two: {refused}");
        let dir = made(6, &[], Formation::Forming);
        fail(dir.path(), 2);
        assert!(plan(&RealFiles, dir.path(), None).is_err(), "nothing is begun on a disk that fails");
    }

    #[test]
    fn a_formation_that_was_cut_short_goes_on() {
        let dir = made(6, &[2, 3, 4, 5, 6], Formation::Forming);
        let plan = plan(&RealFiles, dir.path(), None).unwrap();
        assert_eq!((plan.of, plan.formed, numbers(&plan)), (6, false, vec![1]));
        assert_eq!(plan.fresh, [2, 3, 4, 5, 6]);
    }

    #[test]
    fn a_number_that_differs_is_refused() {
        let dir = made(4, &[], Formation::Formed);
        assert!(plan(&RealFiles, dir.path(), Some(4)).is_ok());
        assert!(plan(&RealFiles, dir.path(), None).is_ok_and(|plan| plan.of == 4));
        assert!(matches!(plan(&RealFiles, dir.path(), Some(6)), Err(StartError::OtherNumber { .. })));
    }

    #[test]
    fn strangers_and_copies_are_refused() {
        let dir = made(6, &[6], Formation::Formed);
        make(dir.path(), 6, identity(8, 6, 6, Formation::Formed));
        assert!(matches!(plan(&RealFiles, dir.path(), None), Err(StartError::TwoClusters { .. })));
        let dir = made(6, &[6], Formation::Formed);
        make(dir.path(), 6, identity(7, 5, 6, Formation::Formed));
        assert!(matches!(plan(&RealFiles, dir.path(), None), Err(StartError::Twice { .. })));
    }

    #[test]
    fn a_server_whose_drives_are_all_gone_is_no_fresh_one() {
        let dir = tempfile::tempdir().unwrap();
        Credentials::draw(&SystemEntropy).write(dir.path()).unwrap();
        assert!(matches!(plan(&RealFiles, dir.path(), None), Err(StartError::AllGone { .. })));
    }
}

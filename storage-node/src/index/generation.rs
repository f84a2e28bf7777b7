//! Which sled database is the index, and getting rid of one that failed.
//!
//! ```text
//! index/current      the number of the generation in use, in decimal
//! index/gen-N/       its database
//! index/broken-N/    one that failed, kept for whoever wants to know why; the next failure replaces it
//! ```
//!
//! A generation is renamed away before the pointer names its successor, so whatever a crash interrupts, the worst that
//! is found is a pointer to nothing, which means an empty index. sled writes to the real filesystem by itself, so this
//! file does too; nothing in here is precious.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::SledIndex;

const CURRENT: &str = "current";
const GENERATION: &str = "gen-";
const BROKEN: &str = "broken-";

/// The directory of the index cannot be used, not even empty. Use an index in memory, or report the disk.
#[derive(Debug, thiserror::Error)]
#[error("{path}: the chunk index can be neither opened nor made", path = path.display())]
pub(crate) struct GenerationError {
    /// The index's directory.
    pub path: PathBuf,
    /// What the last attempt said.
    pub source: Box<dyn std::error::Error + Send + Sync>,
}

/// An open database and its number.
#[derive(Debug)]
pub(crate) struct Generation {
    /// The database.
    pub index: SledIndex,
    /// Its number.
    pub number: u64,
    /// Why an earlier one was put away, where that happened just now.
    pub quarantined: Option<String>,
}

/// Opens the current generation; one that cannot be opened is put away and an empty one takes its place.
pub(crate) fn open_generation(directory: &Path, cache_bytes: u64) -> Result<Generation, GenerationError> {
    let failed = |source: Box<dyn std::error::Error + Send + Sync>| GenerationError { path: directory.into(), source };
    let number = current(directory);
    match SledIndex::open(&database(directory, number), cache_bytes) {
        Ok(index) => {
            point_to(directory, number).map_err(|e| failed(e.into()))?;
            Ok(Generation { index, number, quarantined: None })
        }
        Err(error) => next_generation(directory, number, cache_bytes, error.to_string()),
    }
}

/// Puts a generation away (its database must be closed) and opens an empty one.
pub(crate) fn next_generation(
    directory: &Path,
    failed_number: u64,
    cache_bytes: u64,
    why: String,
) -> Result<Generation, GenerationError> {
    let number = failed_number + 1;
    let open = || -> Result<SledIndex, Box<dyn std::error::Error + Send + Sync>> {
        quarantine(directory, failed_number)?;
        // A database of the new number can only be what an earlier failure left: it was never pointed to.
        remove_all(&database(directory, number))?;
        let index = SledIndex::open(&database(directory, number), cache_bytes)?;
        point_to(directory, number)?;
        Ok(index)
    };
    let index = open().map_err(|source| GenerationError { path: directory.to_owned(), source })?;
    Ok(Generation { index, number, quarantined: Some(why) })
}

fn database(directory: &Path, number: u64) -> PathBuf {
    directory.join(format!("{GENERATION}{number}"))
}

/// The number that the pointer names. A pointer that cannot be read names a generation that never was: what it named
/// may be anything, and an empty index is always right.
fn current(directory: &Path) -> u64 {
    let text = fs::read_to_string(directory.join(CURRENT)).ok();
    let pointed = text.and_then(|text| text.trim_end().parse::<u32>().ok()).map(u64::from);
    pointed.unwrap_or_else(|| highest(directory).map_or(1, |number| number + 1))
}

fn highest(directory: &Path) -> Option<u64> {
    let entries = fs::read_dir(directory).ok()?;
    entries.flatten().filter_map(|entry| entry.file_name().to_str()?.strip_prefix(GENERATION)?.parse().ok()).max()
}

fn point_to(directory: &Path, number: u64) -> io::Result<()> {
    let beside = directory.join(format!("{CURRENT}.new"));
    fs::write(&beside, format!("{number}\n"))?;
    fs::rename(beside, directory.join(CURRENT))
}

/// Keeps the newest failure and no other, so that an index that fails at every start cannot fill the drive.
fn quarantine(directory: &Path, number: u64) -> io::Result<()> {
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        let name = entry.file_name();
        let Some(name) = name.to_str() else { continue };
        let stale = name.strip_prefix(GENERATION).is_some_and(|rest| rest.parse() != Ok(number));
        if stale || name.starts_with(BROKEN) {
            remove_all(&entry.path())?;
        }
    }
    match fs::rename(database(directory, number), directory.join(format!("{BROKEN}{number}"))) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

/// Removes a file or a directory, whichever stands there.
fn remove_all(path: &Path) -> io::Result<()> {
    let removed = match fs::symlink_metadata(path) {
        Ok(found) if found.is_dir() => fs::remove_dir_all(path),
        Ok(_) => fs::remove_file(path),
        Err(error) => Err(error),
    };
    match removed {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

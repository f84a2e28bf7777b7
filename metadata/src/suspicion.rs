//! A note beside the runs that rows were found unreadable. The process that finds it out ends; the next one reads all rows
//! before it believes any, and so says at its start what is wrong, to whoever can give it others.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use cairn_journal::files::Files;

/// The note's name. It is no run's, so cleaning up leaves it alone.
const FILE: &str = "unreadable";

/// The note.
#[derive(Debug, Clone)]
pub(crate) struct Suspicion {
    files: Arc<dyn Files>,
    directories: Vec<PathBuf>,
}

impl Suspicion {
    /// In all of these directories, of which any may fail.
    pub(crate) fn new(files: Arc<dyn Files>, directories: Vec<PathBuf>) -> Self {
        Self { files, directories }
    }

    /// Whether it was left by a process before this one.
    pub(crate) fn is_there(&self) -> bool {
        let here = |directory: &PathBuf| {
            self.files.list(directory).is_ok_and(|entries| entries.iter().any(|entry| entry.name == FILE))
        };
        self.directories.iter().any(here)
    }

    /// Leaves it. Where that fails the next start believes its rows, and finds out once more.
    pub(crate) fn leave(&self) {
        self.everywhere(&|directory| {
            self.files.create(&directory.join(FILE))?;
            self.files.sync_dir(directory)
        });
    }

    /// Takes it away: all rows were read.
    pub(crate) fn lift(&self) {
        self.everywhere(&|directory| {
            self.files.remove(&directory.join(FILE))?;
            self.files.sync_dir(directory)
        });
    }

    fn everywhere(&self, change: &dyn Fn(&PathBuf) -> io::Result<()>) {
        for directory in &self.directories {
            match change(directory) {
                Ok(()) => {}
                Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::AlreadyExists) => {}
                Err(error) => tracing::warn!(directory = %directory.display(), %error, "a note about rows"),
            }
        }
    }
}

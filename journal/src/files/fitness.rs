//! What a filesystem is fit for, found by trying it on a small file that is removed again.
//!
//! Nothing that a filesystem says about itself is worth as much: the same kind can punch on one machine and not on
//! another, through a container's layers, or over a network. Everything works without these, only worse, so an unfit
//! filesystem is reported and not refused.

use std::io;
use std::path::Path;

use bytes::Bytes;

use super::{File, Files};

/// Whether the filesystem below a directory does what a journal counts on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fitness {
    /// Room that is asked for ahead is really set aside.
    pub preallocates: bool,
    /// Ranges inside a file can be given back, and read zero from then on.
    pub punches: bool,
    /// It tells where a file's holes are.
    pub tells_holes: bool,
    /// What the device holds can be read past the kernel's memory.
    pub reads_device: bool,
}

impl Fitness {
    /// The file that it is tried on. One that a crash left is removed by the next try, and is nobody's data.
    pub const PROBE: &str = "fitness.probe";

    /// As large as any filesystem's block, so that one block is between two others.
    const STEP_BYTES: usize = 64 * 1024;

    /// Tries everything in a directory that exists. Blocks, for some milliseconds.
    ///
    /// Fails as the filesystem fails; on a full one it cannot be known.
    pub fn examine(files: &dyn Files, dir: &Path) -> io::Result<Self> {
        let path = dir.join(Self::PROBE);
        match files.remove(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let file = files.create(&path)?;
        let found = Self::of(&*file);
        files.remove(&path)?;
        found
    }

    fn of(file: &dyn File) -> io::Result<Self> {
        let step = Self::STEP_BYTES as u64;
        file.allocate(4 * step)?;
        let preallocates = file.allocated_bytes()? >= 4 * step;
        file.write_all_vectored_at(&[Bytes::from(vec![1; 3 * Self::STEP_BYTES])], 0)?;
        file.sync_data()?;
        let mut block = vec![0; Self::STEP_BYTES];
        // Before the punch: from memory it would be all ones either way, and this is to go to the device.
        let reads_device =
            supported(file.read_exact_at_device(&mut block, step))? && block.iter().all(|&byte| byte == 1);
        let before = file.allocated_bytes()?;
        let punches = if supported(file.punch(step, step))? {
            file.sync_data()?;
            file.read_exact_at(&mut block, step)?;
            block.iter().all(|&byte| byte == 0) && file.allocated_bytes()? < before
        } else {
            false
        };
        let tells_holes = match file.next_data(step) {
            Ok(data) => punches && data == Some(2 * step),
            Err(error) if error.kind() == io::ErrorKind::Unsupported => false,
            Err(error) => return Err(error),
        };
        Ok(Self { preallocates, punches, tells_holes, reads_device })
    }

    /// What it lacks, and what that costs: one sentence each, for people. Empty for a fit filesystem.
    pub fn lacks(&self) -> Vec<&'static str> {
        let mut lacks = Vec::new();
        if !self.preallocates {
            lacks.push("it cannot set room aside ahead: when it fills up, a write may fail that was promised room");
        }
        if !self.punches {
            lacks.push(
                "it cannot give back a part of a file: what is deleted takes room until everything near it is deleted",
            );
        }
        if self.punches && !self.tells_holes {
            lacks.push("it cannot tell where a file has holes: a start takes longer");
        }
        if !self.reads_device {
            lacks
                .push("it cannot be read past the page cache: after a failed write a start believes what memory shows");
        }
        lacks
    }
}

/// Whether it was done; another failure than `Unsupported` stays one.
fn supported(result: io::Result<()>) -> io::Result<bool> {
    match result {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::Unsupported => Ok(false),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::files::faulty::{FaultPlan, FaultyFiles, Operation};
    use crate::files::real::RealFiles;

    fn examine(plan: FaultPlan) -> (FaultyFiles, io::Result<Fitness>) {
        let files = FaultyFiles::new(1, plan);
        files.create_dir_all(Path::new("/drive")).unwrap();
        let found = Fitness::examine(&files, Path::new("/drive"));
        (files, found)
    }

    #[test]
    fn what_a_filesystem_cannot_is_found_and_said() {
        let fit = Fitness { preallocates: true, punches: true, tells_holes: true, reads_device: true };
        assert_eq!(examine(FaultPlan::default()).1.unwrap(), fit);
        assert_eq!(fit.lacks(), [""; 0]);
        let unpunched = examine(FaultPlan { punches: false, ..FaultPlan::default() }).1.unwrap();
        assert_eq!(unpunched, Fitness { punches: false, tells_holes: false, ..fit });
        assert_eq!(unpunched.lacks().len(), 1, "that it tells no holes follows from it");
        let (files, undirect) = examine(FaultPlan { device_reads: false, ..FaultPlan::default() });
        assert_eq!(undirect.unwrap(), Fitness { reads_device: false, ..fit });
        assert_eq!(files.list(Path::new("/drive")).unwrap(), [], "nothing is left behind");
    }

    #[test]
    fn a_failing_disk_is_an_error_and_what_is_left_of_a_try_does_not_spoil_the_next() {
        let (files, full) = examine(FaultPlan { capacity_bytes: 4096, ..FaultPlan::default() });
        assert_eq!(full.unwrap_err().kind(), io::ErrorKind::StorageFull);
        files.set_plan(FaultPlan::default());
        files.fail_next(Operation::Sync, Fitness::PROBE);
        assert!(Fitness::examine(&files, Path::new("/drive")).is_err());
        files.create(&Path::new("/drive").join(Fitness::PROBE)).unwrap();
        assert!(Fitness::examine(&files, Path::new("/drive")).unwrap().punches);
    }

    #[test]
    fn this_machines_filesystem_is_examined() {
        let dir = tempfile::tempdir().unwrap();
        let found = Fitness::examine(&RealFiles, dir.path()).unwrap();
        // Whatever it can: a filesystem that tells holes has made one.
        assert!(found.punches || !found.tells_holes, "{found:?}");
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
    }
}

//! Readers beside deletes, on real threads: whoever reads gets the right bytes or is told that the chunk is gone.

use std::io;
use std::sync::atomic::Ordering;
use std::sync::mpsc;

use cairn_journal::files::real::RealFiles;
use cairn_journal::files::{DirEntry, File, Space};
use tempfile::TempDir;

use super::*;
use crate::conformance::{name, record};

#[test]
fn a_reader_never_takes_a_deleted_chunk_for_a_damaged_one() {
    const WRITERS: u64 = 4;
    const CHUNKS: u64 = 6;
    let base = TempDir::new().unwrap();
    // Heads that hardly stay, so that readers read and remember them all the time.
    let options = DriveOptions { head_cache_bytes: 40_000, ..options(Shell::Thread, IndexKind::Memory) };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(4).build().unwrap();
    runtime.block_on(async {
        let drive = open(format(RealFiles::shared(), &base.path().join("drive")), &options, 1).unwrap();
        let writing = Arc::new(AtomicU64::new(WRITERS));
        // Each has some chunks of its own there, and deletes the oldest before it puts it again.
        let writers = (0..WRITERS).map(|writer| {
            let (drive, writing) = (drive.clone(), writing.clone());
            tokio::spawn(async move {
                for round in 0..25 * CHUNKS {
                    let name = name(writer * CHUNKS + round % CHUNKS, 0);
                    assert_eq!(drive.delete(name).await.unwrap(), round >= CHUNKS);
                    drive.put(record(name, 9000)).await.unwrap();
                }
                writing.fetch_sub(1, Ordering::SeqCst);
            })
        });
        let writers: Vec<_> = writers.collect();
        let readers = (0..4u64).map(|reader| {
            let (drive, writing) = (drive.clone(), writing.clone());
            tokio::spawn(async move {
                let (mut found, mut gone) = (0u64, 0u64);
                for round in 0.. {
                    if writing.load(Ordering::SeqCst) == 0 {
                        break;
                    }
                    let chunk = name((reader + round) % (WRITERS * CHUNKS), 0);
                    let answer = match round % 50 {
                        0 => drive.read_back(chunk).await.map(drop),
                        _ => drive.get(chunk, 4000..9000).await.map(|slice| {
                            assert_eq!(slice.verified(&chunk).unwrap(), bytes_of(&chunk, 9000).slice(4000..));
                        }),
                    };
                    match answer {
                        Ok(()) => found += 1,
                        Err(ChunkError::NotFound(..)) => gone += 1,
                        Err(other) => panic!("{other}"),
                    }
                    tokio::task::yield_now().await;
                }
                (found, gone)
            })
        });
        let readers: Vec<_> = readers.collect();
        for writer in writers {
            writer.await.unwrap();
        }
        let mut seen = (0, 0);
        for reader in readers {
            let (found, gone) = reader.await.unwrap();
            seen = (seen.0 + found, seen.1 + gone);
        }
        assert!(seen.0 > 0 && seen.1 > 0, "the readers met both: {seen:?}");
        assert_eq!(listed(&*drive).await.len() as u64, WRITERS * CHUNKS);
        assert_balanced(&drive).await;
    });
}

/// When a read stands still.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Moment {
    BeforeReading,
    AfterReading,
}

/// Stops the next read that goes to the device until it is told to go on.
#[derive(Debug)]
struct Stop {
    moment: Moment,
    reached: tokio::sync::oneshot::Sender<()>,
    go_on: mpsc::Receiver<()>,
}

/// A filesystem that remembers nothing, and one read of which can be held up.
#[derive(Debug, Clone)]
struct Gated {
    files: FaultyFiles,
    stop: Arc<Mutex<Option<Stop>>>,
}

impl Gated {
    fn stop_next_read(&self, moment: Moment) -> (tokio::sync::oneshot::Receiver<()>, mpsc::Sender<()>) {
        let (reached, is_reached) = tokio::sync::oneshot::channel();
        let (release, go_on) = mpsc::channel();
        *self.stop.lock().unwrap() = Some(Stop { moment, reached, go_on });
        (is_reached, release)
    }

    fn wrap(&self, file: io::Result<Arc<dyn File>>) -> io::Result<Arc<dyn File>> {
        let stop = self.stop.clone();
        file.map(|file| Arc::new(GatedFile { file, stop }) as Arc<dyn File>)
    }
}

impl Files for Gated {
    fn create(&self, path: &Path) -> io::Result<Arc<dyn File>> {
        self.wrap(self.files.create(path))
    }
    fn open(&self, path: &Path) -> io::Result<Arc<dyn File>> {
        self.wrap(self.files.open(path))
    }
    fn create_dir_all(&self, path: &Path) -> io::Result<()> {
        self.files.create_dir_all(path)
    }
    fn list(&self, path: &Path) -> io::Result<Vec<DirEntry>> {
        self.files.list(path)
    }
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.files.rename(from, to)
    }
    fn remove(&self, path: &Path) -> io::Result<()> {
        self.files.remove(path)
    }
    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        self.files.sync_dir(path)
    }
    fn space(&self, path: &Path) -> io::Result<Space> {
        self.files.space(path)
    }
}

#[derive(Debug)]
struct GatedFile {
    file: Arc<dyn File>,
    stop: Arc<Mutex<Option<Stop>>>,
}

impl GatedFile {
    fn held_up(&self, mut read: impl FnMut() -> io::Result<()>) -> io::Result<()> {
        let Some(Stop { moment, reached, go_on }) = self.stop.lock().unwrap().take() else { return read() };
        let early = (moment == Moment::AfterReading).then(&mut read);
        reached.send(()).unwrap();
        go_on.recv().unwrap();
        early.unwrap_or_else(read)
    }
}

impl File for GatedFile {
    fn write_all_vectored_at(&self, parts: &[Bytes], offset: u64) -> io::Result<()> {
        self.file.write_all_vectored_at(parts, offset)
    }
    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        self.held_up(|| self.file.read_exact_at(buffer, offset))
    }
    fn read_exact_at_cached(&self, _: &mut [u8], _: u64) -> io::Result<bool> {
        Ok(false)
    }
    fn read_exact_at_device(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        self.held_up(|| self.file.read_exact_at_device(buffer, offset))
    }
    fn sync_data(&self) -> io::Result<()> {
        self.file.sync_data()
    }
    fn allocate(&self, length: u64) -> io::Result<()> {
        self.file.allocate(length)
    }
    fn punch(&self, offset: u64, length: u64) -> io::Result<()> {
        self.file.punch(offset, length)
    }
    fn next_data(&self, offset: u64) -> io::Result<Option<u64>> {
        self.file.next_data(offset)
    }
    fn truncate(&self, length: u64) -> io::Result<()> {
        self.file.truncate(length)
    }
    fn len(&self) -> io::Result<u64> {
        self.file.len()
    }
    fn allocated_bytes(&self) -> io::Result<u64> {
        self.file.allocated_bytes()
    }
    fn try_lock(&self) -> io::Result<bool> {
        self.file.try_lock()
    }
}

#[derive(Debug, Clone, Copy)]
enum Call {
    Get,
    Head,
    ReadBack,
}

/// A read stands still at the device while the chunk is deleted, with the head remembered or not.
#[test]
fn a_delete_in_the_midst_of_a_read_is_no_damage() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).build().unwrap();
    for moment in [Moment::BeforeReading, Moment::AfterReading] {
        for (call, head_cache_bytes) in [(Call::Get, 64 << 10), (Call::Get, 0), (Call::Head, 0), (Call::ReadBack, 0)] {
            let files = Gated { files: FaultyFiles::new(1, FaultPlan::default()), stop: Arc::default() };
            let options = DriveOptions { head_cache_bytes, ..options(Shell::Thread, IndexKind::Memory) };
            runtime.block_on(async {
                let drive = open(format(Arc::new(files.clone()), Path::new("/drive")), &options, 1).unwrap();
                let chunk = name(1, 0);
                drive.put(record(chunk, 9000)).await.unwrap();
                let (reached, release) = files.stop_next_read(moment);
                let reader = drive.clone();
                let read = tokio::spawn(async move {
                    match call {
                        Call::Get => {
                            reader.get(chunk, 0..9000).await.map(|slice| drop(slice.verified(&chunk).unwrap()))
                        }
                        Call::Head => reader.head(chunk).await.map(drop),
                        Call::ReadBack => reader.read_back(chunk).await.map(drop),
                    }
                });
                reached.await.unwrap();
                assert!(drive.delete(chunk).await.unwrap());
                release.send(()).unwrap();
                match read.await.unwrap() {
                    Err(ChunkError::NotFound(..)) => {}
                    // The whole record was read before it went: that is as if the read had come first.
                    Ok(()) if matches!((call, moment), (Call::ReadBack, Moment::AfterReading)) => {}
                    other => panic!("{call:?} stopped {moment:?} with a cache of {head_cache_bytes}: {other:?}"),
                }
                assert!(drive.core.heads.get(&chunk).is_none(), "the head of a deleted chunk is not remembered");
                assert!(matches!(drive.get(chunk, 0..1).await, Err(ChunkError::NotFound(..))));
            });
        }
    }
}

/// A head that is read while its chunk goes must not stay in the memory of heads.
#[test]
fn a_head_read_before_a_delete_is_not_remembered_after_it() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).build().unwrap();
    let files = Gated { files: FaultyFiles::new(1, FaultPlan::default()), stop: Arc::default() };
    let chunk = name(1, 0);
    runtime.block_on(async {
        let options = options(Shell::Thread, IndexKind::Memory);
        let drive = open(format(Arc::new(files.clone()), Path::new("/drive")), &options, 1).unwrap();
        drive.put(record(chunk, 9000)).await.unwrap();
        drive.core.heads.remove(&chunk);
        let (reached, release) = files.stop_next_read(Moment::AfterReading);
        let reader = drive.clone();
        let read = tokio::spawn(async move { reader.head(chunk).await });
        reached.await.unwrap();
        assert!(drive.delete(chunk).await.unwrap());
        release.send(()).unwrap();
        assert!(matches!(read.await.unwrap(), Err(ChunkError::NotFound(..))));
        assert!(drive.core.heads.get(&chunk).is_none());
    });
}

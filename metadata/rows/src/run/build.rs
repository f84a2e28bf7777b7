//! Writing a run, and the order in which its bytes become durable.
//!
//! ```text
//! create in r directories -> blocks -> footer, trailer -> sync each file -> sync each directory
//!    -> read every byte back from each device and check it -> readers use it -> a mark in the log names it
//!    -> the mark is acknowledged -> what it replaces may be removed
//! ```
//!
//! Each arrow is a must. A run that readers use before it was read back could be one that the device never got; a mark
//! that is written before that could name it; and whatever a run replaces is needed again if the mark is lost. A run that
//! is cut short anywhere is a file that no mark names, under a name that is never used again.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use cairn_journal::files::{File, Files};

use super::block::{BLOCK_BYTES_TARGET, Block, BlockBuilder};
use super::copies::Copy;
use super::format::{
    Footer, FooterBuilder, HEADER_BYTES, Header, RunRefusal, TRAILER_BYTES, Trailer, block_checksum, block_hash,
    run_hash, separator,
};
use super::reader::{Run, check_copy};
use crate::bounds::assert_row;
use crate::error::{BadCopy, RowsError};
use crate::filter::{FilterBuilder, KeyHash};
use crate::run_set::RunRef;

/// How many bytes of blocks are gathered for one write.
const WRITE_BYTES: usize = 1024 * 1024;

/// After so many bytes the files are synced, although nothing needs it yet: a file that is synced only at its end keeps
/// the device busy for as long as the whole takes, and whoever waits for a small sync meanwhile waits with it.
const SYNC_BYTES: u64 = 8 * 1024 * 1024;

/// How many bytes are read back at once; at least one block.
const READ_BACK_BYTES: u64 = 1024 * 1024;

struct Output {
    directory: PathBuf,
    copy: Copy,
}

/// Writes a run into several directories at once.
pub struct RunBuilder {
    files: Arc<dyn Files>,
    header: Header,
    outputs: Vec<Output>,
    block: BlockBuilder,
    /// Of the block that is being filled.
    separator: Vec<u8>,
    footer: FooterBuilder,
    filter: FilterBuilder,
    pending: Vec<Bytes>,
    pending_bytes: usize,
    written_bytes: u64,
    synced_bytes: u64,
    last_key: Vec<u8>,
    entries: u64,
    removals: u64,
}

impl core::fmt::Debug for RunBuilder {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("RunBuilder")
            .field("header", &self.header)
            .field("entries", &self.entries)
            .finish_non_exhaustive()
    }
}

impl RunBuilder {
    /// Creates the run's files. The directories exist; `keys_max` is at least the number of rows that will be added.
    pub fn create(
        files: Arc<dyn Files>,
        directories: &[PathBuf],
        header: Header,
        keys_max: u64,
    ) -> Result<Self, RowsError> {
        assert!(!directories.is_empty(), "a run is written somewhere");
        let mut outputs = Vec::with_capacity(directories.len());
        for directory in directories {
            let path = directory.join(header.id.file_name());
            let file = files.create(&path).map_err(|source| RowsError::Write { path: path.clone(), source })?;
            outputs.push(Output { directory: directory.clone(), copy: Copy { path, file } });
        }
        let head = Bytes::copy_from_slice(&header.encode());
        Ok(Self {
            files,
            header,
            outputs,
            block: BlockBuilder::default(),
            separator: Vec::new(),
            footer: FooterBuilder::default(),
            filter: FilterBuilder::for_keys(keys_max),
            pending_bytes: head.len(),
            pending: vec![head],
            written_bytes: 0,
            synced_bytes: 0,
            last_key: Vec::new(),
            entries: 0,
            removals: 0,
        })
    }

    /// Adds a row. Keys grow.
    pub fn add(&mut self, key: &[u8], value: Option<&Bytes>) -> Result<(), RowsError> {
        assert_row(key, value.map(AsRef::as_ref));
        assert!(key > self.last_key.as_slice(), "rows come in the order of their keys, each once");
        if self.block.is_empty() && self.entries > 0 {
            self.separator.clear();
            self.separator.extend_from_slice(separator(&self.last_key, key));
        }
        self.block.add(key, value.map(AsRef::as_ref));
        self.filter.add(KeyHash::of(key));
        self.last_key.clear();
        self.last_key.extend_from_slice(key);
        self.entries += 1;
        self.removals += u64::from(value.is_none());
        if self.block.block_bytes() >= BLOCK_BYTES_TARGET {
            self.close_block()?;
        }
        Ok(())
    }

    fn close_block(&mut self) -> Result<(), RowsError> {
        let block = self.block.finish();
        self.footer.add_block(&block, &self.separator);
        self.push(block);
        if self.pending_bytes >= WRITE_BYTES {
            self.write()?;
        }
        if self.written_bytes - self.synced_bytes >= SYNC_BYTES { self.sync() } else { Ok(()) }
    }

    fn sync(&mut self) -> Result<(), RowsError> {
        for Output { copy, .. } in &self.outputs {
            copy.file.sync_data().map_err(|source| RowsError::Write { path: copy.path.clone(), source })?;
        }
        self.synced_bytes = self.written_bytes;
        Ok(())
    }

    fn push(&mut self, part: Bytes) {
        self.pending_bytes += part.len();
        self.pending.push(part);
    }

    fn write(&mut self) -> Result<(), RowsError> {
        for Output { copy, .. } in &self.outputs {
            let written = copy.file.write_all_vectored_at(&self.pending, self.written_bytes);
            written.map_err(|source| RowsError::Write { path: copy.path.clone(), source })?;
        }
        self.written_bytes += self.pending_bytes as u64;
        self.pending.clear();
        self.pending_bytes = 0;
        Ok(())
    }

    /// Writes what is left and makes it durable. What comes back still has to be read back.
    pub fn finish(mut self) -> Result<ReadBack, RowsError> {
        if !self.block.is_empty() {
            self.close_block()?;
        }
        let footer_at = self.written_bytes + self.pending_bytes as u64;
        let filter = std::mem::replace(&mut self.filter, FilterBuilder::for_keys(0)).finish();
        let footer = std::mem::take(&mut self.footer).finish(self.entries, self.removals, &filter);
        let hash = run_hash(&self.header.encode(), &footer);
        let trailer = Trailer { footer_at, footer_bytes: footer.len() as u64, hash };
        self.push(Bytes::from(footer));
        self.push(Bytes::copy_from_slice(&trailer.encode()));
        self.write()?;
        self.sync()?;
        for Output { directory, .. } in &self.outputs {
            let synced = self.files.sync_dir(directory);
            synced.map_err(|source| RowsError::Write { path: directory.clone(), source })?;
        }
        let name = RunRef {
            id: self.header.id,
            after: self.header.after,
            index: self.header.index,
            file_bytes: self.written_bytes,
            entries: self.entries,
            removals: self.removals,
            hash,
        };
        assert_eq!(name.file_bytes, trailer.footer_at + trailer.footer_bytes + TRAILER_BYTES as u64);
        Ok(ReadBack::new(name, self.outputs.into_iter().map(|output| output.copy).collect()))
    }
}

/// Reads what the device holds, past what the kernel remembers; where a filesystem cannot do that, what it shows.
fn read_device(file: &dyn File, buffer: &mut [u8], offset: u64) -> std::io::Result<()> {
    match file.read_exact_at_device(buffer, offset) {
        Err(error) if error.kind() == std::io::ErrorKind::Unsupported => file.read_exact_at(buffer, offset),
        done => done,
    }
}

/// A run that was written and synced, on its way through being read back.
#[derive(Debug)]
pub struct ReadBack {
    name: RunRef,
    copies: Vec<Copy>,
    /// Which copy is being read, its footer once that was read, and the next block.
    copy: usize,
    footer: Option<Footer>,
    block: usize,
}

impl ReadBack {
    /// Everything in these copies of a run is to be read.
    pub fn new(name: RunRef, copies: Vec<Copy>) -> Self {
        assert!(!copies.is_empty(), "a run has a copy");
        Self { name, copies, copy: 0, footer: None, block: 0 }
    }

    /// Reads some `budget_bytes` further. The footer, once every byte of every copy was what was written.
    pub fn step(&mut self, budget_bytes: u64) -> Result<Option<Footer>, RowsError> {
        let failed = |copy: &Copy, why| RowsError::ReadBack(BadCopy { path: copy.path.clone(), why });
        let mut left = budget_bytes;
        loop {
            let copy = &self.copies[self.copy];
            let footer = match self.footer.take() {
                Some(footer) => footer,
                None => check_copy(copy.file.as_ref(), &self.name, read_device).map_err(|why| failed(copy, why))?,
            };
            while self.block < footer.blocks() {
                if left == 0 {
                    self.footer = Some(footer);
                    return Ok(None);
                }
                let (next, bytes) =
                    read_back_blocks(copy.file.as_ref(), &footer, self.block).map_err(|why| failed(copy, why))?;
                self.block = next;
                left = left.saturating_sub(bytes);
            }
            self.copy += 1;
            self.block = 0;
            if self.copy == self.copies.len() {
                return Ok(Some(footer));
            }
        }
    }

    /// Which run, and its copies.
    pub fn into_parts(self) -> (RunRef, Vec<Copy>) {
        (self.name, self.copies)
    }

    /// How many bytes are to be read in all.
    pub fn total_bytes(&self) -> u64 {
        self.name.file_bytes * self.copies.len() as u64
    }
}

/// Reads and checks blocks from `first` on, as many as fit one read. The block behind them, and how many bytes it were.
fn read_back_blocks(file: &dyn File, footer: &Footer, first: usize) -> Result<(usize, u64), RunRefusal> {
    let start = footer.place(first).start;
    let mut next = first;
    let mut end = start;
    while next < footer.blocks() && (next == first || footer.place(next).end - start <= READ_BACK_BYTES) {
        end = footer.place(next).end;
        next += 1;
    }
    let mut bytes = vec![0; (end - start) as usize];
    read_device(file, &mut bytes, start).map_err(RunRefusal::Io)?;
    let bytes = Bytes::from(bytes);
    for number in first..next {
        let place = footer.place(number);
        let block = bytes.slice((place.start - start) as usize..(place.end - start) as usize);
        if block_hash(&block) != *footer.hash(number) || block_checksum(&block) != footer.checksum(number) {
            return Err(RunRefusal::Damaged("a block does not match its hash"));
        }
        Block::parse(block).map_err(RunRefusal::Damaged)?;
    }
    assert!(next > first, "each read brings at least one block");
    Ok((next, end - start))
}

/// Writes another copy of an open run, byte for byte, makes it durable and reads it back.
pub fn copy_run(files: &dyn Files, directory: &Path, path: &Path, run: &Run) -> Result<Copy, RowsError> {
    let failed = |source| RowsError::Write { path: path.to_owned(), source };
    let copy = Copy { path: path.to_owned(), file: files.create(path).map_err(failed)? };
    let mut at = 0;
    let mut pending = vec![run.header_bytes()];
    let (mut pending_bytes, mut next) = (HEADER_BYTES, 0);
    loop {
        while next < run.footer().blocks() && pending_bytes < WRITE_BYTES {
            let block = run.block_uncached(next)?.into_bytes();
            pending_bytes += block.len();
            pending.push(block);
            next += 1;
        }
        if next == run.footer().blocks() {
            break;
        }
        copy.file.write_all_vectored_at(&pending, at).map_err(failed)?;
        at += pending_bytes as u64;
        pending.clear();
        pending_bytes = 0;
    }
    pending.extend(run.end_bytes());
    copy.file.write_all_vectored_at(&pending, at).map_err(failed)?;
    copy.file.sync_data().map_err(failed)?;
    files.sync_dir(directory).map_err(|source| RowsError::Write { path: directory.to_owned(), source })?;
    ReadBack::new(*run.name(), vec![copy.clone()]).step(u64::MAX)?;
    Ok(copy)
}

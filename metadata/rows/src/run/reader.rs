//! An open run: its footer in memory, its blocks read and checked as they are asked for.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use cairn_journal::files::{File, Files};

use super::block::Block;
use super::cache::BlockCache;
use super::copies::{Copies, Copy, Damage, DamageReports};
use super::format::{Footer, HEADER_BYTES, Header, RunRefusal, TRAILER_BYTES, Trailer, block_checksum, run_hash};
use crate::error::{BadCopy, RowsError};
use crate::filter::KeyHash;
use crate::run_set::RunRef;

/// A run, open for reading. Its files stay readable while anybody holds it, even after they were removed.
#[derive(Debug)]
pub struct Run {
    name: RunRef,
    footer: Footer,
    copies: Copies,
    cache: Arc<BlockCache>,
    reports: Arc<DamageReports>,
}

/// Reads and checks what binds a copy to its name: header, trailer and footer. Its blocks are checked when they are read.
pub fn open_copy(files: &dyn Files, path: &Path, name: &RunRef) -> Result<(Arc<dyn File>, Footer), RunRefusal> {
    let file = files.open(path).map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => RunRefusal::Missing,
        _ => RunRefusal::Io(error),
    })?;
    let footer = check_copy(file.as_ref(), name, |file, buffer, offset| file.read_exact_at(buffer, offset))?;
    Ok((file, footer))
}

/// As [`open_copy`], for a file that is open already, read in the way that the caller wants.
pub fn check_copy(
    file: &dyn File,
    name: &RunRef,
    read: impl Fn(&dyn File, &mut [u8], u64) -> std::io::Result<()>,
) -> Result<Footer, RunRefusal> {
    let file_bytes = file.len().map_err(RunRefusal::Io)?;
    if file_bytes < HEADER_BYTES as u64 {
        return Err(RunRefusal::Damaged("it is shorter than a run's header"));
    }
    let mut head = [0; HEADER_BYTES];
    read(file, &mut head, 0).map_err(RunRefusal::Io)?;
    let header = Header::decode(&head)?;
    if header != (Header { id: name.id, after: name.after, index: name.index }) {
        return Err(RunRefusal::Other);
    }
    if file_bytes != name.file_bytes || file_bytes < (HEADER_BYTES + TRAILER_BYTES) as u64 {
        return Err(RunRefusal::Damaged("it is not as long as it was"));
    }
    let mut tail = [0; TRAILER_BYTES];
    read(file, &mut tail, file_bytes - TRAILER_BYTES as u64).map_err(RunRefusal::Io)?;
    let trailer = Trailer::decode(&tail, file_bytes)?;
    if trailer.hash != name.hash {
        return Err(RunRefusal::Damaged("its hash is not the one that was recorded"));
    }
    // The trailer's length was checked against the file's and against its bound.
    let mut footer = vec![0; trailer.footer_bytes as usize];
    read(file, &mut footer, trailer.footer_at).map_err(RunRefusal::Io)?;
    if run_hash(&head, &footer) != name.hash {
        return Err(RunRefusal::Damaged("its footer"));
    }
    let footer = Footer::decode(Bytes::from(footer), trailer.footer_at)?;
    if (footer.entries, footer.removals) != (name.entries, name.removals) {
        return Err(RunRefusal::Damaged("it does not have the rows that were recorded"));
    }
    Ok(footer)
}

fn read_block(file: &dyn File, footer: &Footer, number: usize) -> Result<Block, RunRefusal> {
    let place = footer.place(number);
    // The footer's decoder has bounded the length of every block.
    let mut bytes = vec![0; (place.end - place.start) as usize];
    file.read_exact_at(&mut bytes, place.start).map_err(RunRefusal::Io)?;
    if block_checksum(&bytes) != footer.checksum(number) {
        return Err(RunRefusal::Damaged("a block does not match its checksum"));
    }
    Block::parse(Bytes::from(bytes)).map_err(RunRefusal::Damaged)
}

impl Run {
    /// Opens a run from every directory that has a sound copy of it; one is enough. Copies that are there and are not
    /// sound are reported.
    pub fn open(
        files: &dyn Files,
        name: RunRef,
        directories: &[PathBuf],
        cache: Arc<BlockCache>,
        reports: Arc<DamageReports>,
    ) -> Result<Self, RowsError> {
        let mut copies = Vec::new();
        let mut tried = Vec::new();
        let mut found = None;
        for directory in directories {
            let path = directory.join(name.id.file_name());
            match open_copy(files, &path, &name) {
                Ok((file, footer)) => {
                    copies.push(Copy { path, file });
                    found.get_or_insert(footer);
                }
                Err(why) => tried.push(BadCopy { path, why }),
            }
        }
        let Some(footer) = found else { return Err(RowsError::RunUnavailable { run: name.id, tried }) };
        for copy in tried.into_iter().filter(|copy| !matches!(copy.why, RunRefusal::Missing)) {
            reports.report(Damage { run: name.id, block: None, copy });
        }
        Ok(Self::from_parts(name, footer, copies, cache, reports))
    }

    /// A run whose copies were opened and checked.
    pub fn from_parts(
        name: RunRef,
        footer: Footer,
        copies: Vec<Copy>,
        cache: Arc<BlockCache>,
        reports: Arc<DamageReports>,
    ) -> Self {
        Self { name, footer, copies: Copies::new(copies), cache, reports }
    }

    /// Which run.
    pub fn name(&self) -> &RunRef {
        &self.name
    }

    /// What stays in memory of it.
    pub fn footer(&self) -> &Footer {
        &self.footer
    }

    /// Its copies.
    pub fn copies(&self) -> &Copies {
        &self.copies
    }

    /// A row's value: `None` where the run knows nothing of it, `Some(None)` where it was removed.
    pub fn get(&self, key: &[u8], hash: KeyHash) -> Result<Option<Option<Bytes>>, RowsError> {
        if !self.footer.filter.may_contain(hash) {
            return Ok(None);
        }
        let Some(number) = self.footer.block_for(key) else { return Ok(None) };
        Ok(self.block(number)?.get(key))
    }

    /// A block, from the cache or from the first copy that has it whole.
    pub fn block(&self, number: usize) -> Result<Block, RowsError> {
        let name = u32::try_from(number).expect("a footer has fewer than 2^32 blocks");
        if let Some(block) = self.cache.get(self.name.id, name) {
            return Ok(block);
        }
        let block = self.block_uncached(number)?;
        self.cache.insert(self.name.id, name, &block);
        Ok(block)
    }

    /// As [`Self::block`], past the cache: for what reads a whole run once.
    pub fn block_uncached(&self, number: usize) -> Result<Block, RowsError> {
        let (block, bad) = self.copies.read(|file| read_block(file, &self.footer, number));
        let Some(block) = block else {
            return Err(RowsError::BlockUnavailable { run: self.name.id, block: number, tried: bad });
        };
        for copy in bad {
            self.reports.report(Damage { run: self.name.id, block: Some(number), copy });
        }
        Ok(block)
    }

    /// The bytes before the first block, as every copy has them.
    pub fn header_bytes(&self) -> Bytes {
        let header = Header { id: self.name.id, after: self.name.after, index: self.name.index };
        Bytes::copy_from_slice(&header.encode())
    }

    /// The bytes behind the last block, as every copy has them.
    pub fn end_bytes(&self) -> [Bytes; 2] {
        let footer = self.footer.bytes();
        let footer_bytes = footer.len() as u64;
        let footer_at = self.name.file_bytes - footer_bytes - TRAILER_BYTES as u64;
        let trailer = Trailer { footer_at, footer_bytes, hash: self.name.hash };
        [footer, Bytes::copy_from_slice(&trailer.encode())]
    }
}

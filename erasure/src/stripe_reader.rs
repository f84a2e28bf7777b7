//! Stripes back to bytes.
//!
//! Where all is well, only the data chunks that hold the range are read, side by side, and every block is checked here,
//! whoever stored it (invariant 2). What is missing, damaged or out of reach is decoded around, and reported to whoever
//! repairs: see `decode`.

mod decode;
mod survey;

use std::fmt::Debug;
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use cairn_core::chunk::{ChunkHead, ChunkRecord};
use cairn_core::stripe::ChunkRun;
use cairn_core::{ChunkError, DriveId, Drives, StripeId, WallTime, WriteId};
use futures::future::join_all;

use crate::pool::CodingPool;
use crate::stripe_places::{PositionFault, StripePlaces, in_words};
use crate::toc::{InvalidToc, TocEntry, read_toc_parts};
use survey::Survey;

/// How much of a stripe's end is read in the hope that its table of contents is in there.
const TOC_GUESS_BYTES: u64 = 4 * 1024;

/// Who wants to know of chunks that a reader had to do without.
pub trait Faults: Send + Sync + Debug {
    /// Called at most once for each position and read, from inside the read: it must return at once.
    fn report(&self, stripe: StripeId, position: u8, drive: DriveId, error: &ChunkError);
}

/// Why a stripe could not be read.
#[derive(Debug, Clone, thiserror::Error)]
pub enum ReadStripeError {
    /// Fewer than k chunks gave what was asked. Where one was [not found](Self::may_have_moved), look the stripe's row up
    /// again and repeat; otherwise the bytes are out of reach until a drive comes back, and gone if none does.
    #[error("{stripe} cannot be read, for it takes {needed} of {positions} chunks: {}", in_words(faults))]
    TooFewChunks {
        /// Which stripe.
        stripe: StripeId,
        /// How many chunks it takes.
        needed: usize,
        /// How many it has.
        positions: usize,
        /// Which positions failed, and why.
        faults: Vec<PositionFault>,
    },
}

impl ReadStripeError {
    /// Whether a chunk was not where the row said: the row may have changed since it was read.
    pub fn may_have_moved(&self) -> bool {
        let Self::TooFewChunks { faults, .. } = self;
        faults.iter().any(|fault| matches!(fault.error, ChunkError::NotFound(..)))
    }
}

/// Why a stripe's table of contents could not be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadTocError {
    /// The bytes could not be read.
    #[error(transparent)]
    Stripe(#[from] ReadStripeError),
    /// The bytes are there, and no table of contents.
    #[error(transparent)]
    Toc(#[from] InvalidToc),
}

/// From what a chunk is made anew.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChunkSource {
    /// From itself, and only where that fails from the others: for a drive that is being emptied.
    ItselfFirst,
    /// From the others: for a chunk that is lost.
    Others,
}

/// Reads stripes from drives. Cheap to clone.
#[derive(Debug, Clone)]
pub struct StripeReader {
    drives: Arc<Drives>,
    pool: CodingPool,
    faults: Arc<dyn Faults>,
}

impl StripeReader {
    /// A reader of these drives. The pool checks and decodes what is large.
    pub fn new(drives: Arc<Drives>, pool: CodingPool, faults: Arc<dyn Faults>) -> Self {
        Self { drives, pool, faults }
    }

    /// A range of the stripe's data, in one or more parts. The range lies inside the stripe; what is read is held in
    /// memory whole, and up to k times as much while it is decoded, so whoever streams asks in bounded steps.
    pub async fn read(&self, stripe: &StripePlaces, range: Range<u64>) -> Result<Vec<Bytes>, ReadStripeError> {
        stripe.check();
        let mut runs = stripe.shape.runs(range);
        let Some(first) = runs.next() else {
            return Ok(Vec::new());
        };
        // A slow drive could be hedged here: the same run, decoded from others, raced against the first answer.
        let Some(second) = runs.next() else {
            return match self.fetch(stripe, first.position, first.range.clone()).await {
                Ok(bytes) => Ok(vec![bytes]),
                // Boxed, so that the future of a healthy read stays small.
                Err(error) => Box::pin(self.read_around(stripe, vec![(first, Err(error))])).await,
            };
        };
        let runs: Vec<ChunkRun> = [first, second].into_iter().chain(runs).collect();
        let fetched = join_all(runs.iter().map(|run| self.fetch(stripe, run.position, run.range.clone()))).await;
        if fetched.iter().any(Result::is_err) {
            return Box::pin(self.read_around(stripe, runs.into_iter().zip(fetched).collect())).await;
        }
        Ok(fetched.into_iter().flatten().collect())
    }

    /// The stripe's table of contents.
    pub async fn read_toc(&self, stripe: &StripePlaces) -> Result<Vec<TocEntry>, ReadTocError> {
        let end = stripe.shape.data_bytes();
        let tail = self.read(stripe, end.saturating_sub(TOC_GUESS_BYTES)..end).await?;
        match read_toc_parts(stripe.id, &tail) {
            Err(InvalidToc::Longer { bytes }) if bytes as u64 <= end => {
                let tail = self.read(stripe, end - bytes as u64..end).await?;
                Ok(read_toc_parts(stripe.id, &tail)?)
            }
            read => Ok(read?),
        }
    }

    /// Makes the chunk at a position anew under a new write id, ready to be put on another drive. Every byte it is made
    /// of was checked. Takes memory for k+1 chunks.
    pub async fn chunk_anew(
        &self,
        stripe: &StripePlaces,
        position: u8,
        source: ChunkSource,
        write: WriteId,
        written: WallTime,
    ) -> Result<ChunkRecord, ReadStripeError> {
        stripe.check();
        let bytes = self.whole_chunk(stripe, position, source).await?;
        let (name, shape) = (cairn_core::ChunkName { write, ..stripe.chunk(position) }, stripe.shape);
        let seal = move || {
            let body = vec![bytes];
            let head = ChunkHead::seal(name, shape.geometry, shape.block_bytes, written, &body);
            ChunkRecord { head: Arc::new(head), body }
        };
        Ok(self.pool.run(shape.chunk_bytes as usize, seal).await)
    }

    async fn whole_chunk(
        &self,
        stripe: &StripePlaces,
        position: u8,
        source: ChunkSource,
    ) -> Result<Bytes, ReadStripeError> {
        let columns = 0..stripe.shape.chunk_bytes;
        let mut survey = Survey::default();
        if source == ChunkSource::ItselfFirst {
            match self.fetch(stripe, position, columns.clone()).await {
                Ok(bytes) => return Ok(bytes),
                Err(error) => self.note(stripe, &mut survey, position, error),
            }
        }
        let mut made = self.columns(stripe, &mut survey, columns, &[position]).await?;
        Ok(made.pop().expect("one was asked for"))
    }

    /// A run of one chunk, every block of it checked.
    async fn fetch(&self, stripe: &StripePlaces, position: u8, range: Range<u32>) -> Result<Bytes, ChunkError> {
        let (chunk, drive) = (stripe.chunk(position), stripe.positions[position as usize].drive);
        let wanted = range.len();
        let slice = self.drives.get(drive)?.get(chunk, range).await?;
        let (head, shape) = (slice.head(), stripe.shape);
        let fits = head.geometry() == shape.geometry
            && head.length() == shape.chunk_bytes
            && head.block_bytes() == shape.block_bytes;
        if !fits {
            return Err(ChunkError::Damaged { chunk, drive, what: format!("{head:?} is not the row's {shape:?}") });
        }
        let checked = self.pool.run(wanted, move || slice.verified(&chunk)).await;
        let bytes = checked.map_err(|bad| ChunkError::damaged(drive, bad))?;
        if bytes.len() != wanted {
            return Err(ChunkError::Damaged { chunk, drive, what: format!("{} of {wanted} bytes", bytes.len()) });
        }
        Ok(bytes)
    }
}

#[cfg(test)]
mod tests;

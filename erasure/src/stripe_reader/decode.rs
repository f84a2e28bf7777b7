//! Around a chunk that failed: the same columns of k others give its bytes back.
//!
//! ```text
//!              a     b
//! chunk 0   |--#######------|     lost; [a, b) is wanted of it
//! chunk 1   |--=======------|  \
//! chunk 2   |--=======------|   } the same columns of any k others
//! parity 0  |--=======------|  /
//! ```
//!
//! A chunk that failed is not asked again, with one exception. Where damage is scattered, too few chunks may be whole
//! over a long run although every single row of blocks has enough of them; then the run is gone through row by row.

use std::ops::Range;

use bytes::{Bytes, BytesMut};
use cairn_core::ChunkError;
use cairn_core::stripe::{CHUNK_ALIGNMENT, ChunkRun};
use futures::StreamExt;
use futures::stream::FuturesUnordered;

use super::survey::{Held, Survey};
use super::{ReadStripeError, StripeReader};
use crate::codec::{Survivor, reconstruct};
use crate::stripe_places::{PositionFault, StripePlaces};

/// Lost chunks of which the same columns are wanted.
struct Group {
    columns: Range<u32>,
    positions: Vec<u8>,
}

impl StripeReader {
    /// Goes on with a read of which some runs have failed.
    pub(super) async fn read_around(
        &self,
        stripe: &StripePlaces,
        fetched: Vec<(ChunkRun, Result<Bytes, ChunkError>)>,
    ) -> Result<Vec<Bytes>, ReadStripeError> {
        let mut survey = Survey::default();
        let (mut runs, mut lost) = (Vec::with_capacity(fetched.len()), Vec::new());
        for (run, outcome) in fetched {
            match outcome {
                Ok(bytes) => survey.hold(run.position, run.range.clone(), bytes),
                Err(error) => {
                    self.note(stripe, &mut survey, run.position, error);
                    lost.push(run.clone());
                }
            }
            runs.push(run);
        }
        for group in groups(lost) {
            let made = self.columns(stripe, &mut survey, group.columns.clone(), &group.positions).await?;
            for (position, bytes) in group.positions.into_iter().zip(made) {
                survey.hold(position, group.columns.clone(), bytes);
            }
        }
        let held = |run: ChunkRun| survey.held(run.position).expect("read or made above").slice(run.range);
        Ok(runs.into_iter().map(held).collect())
    }

    /// Makes columns of chunks that failed, out of others.
    pub(super) async fn columns(
        &self,
        stripe: &StripePlaces,
        survey: &mut Survey,
        columns: Range<u32>,
        wanted: &[u8],
    ) -> Result<Vec<Bytes>, ReadStripeError> {
        let block = stripe.shape.block_bytes;
        match self.decode(stripe, survey, columns.clone(), wanted).await {
            Err(error) => {
                let scattered = (0..stripe.positions.len() as u8).any(|position| survey.partly(position));
                if !scattered || columns.start / block == (columns.end - 1) / block {
                    return Err(error);
                }
                self.row_by_row(stripe, survey, columns, wanted).await
            }
            decoded => decoded,
        }
    }

    /// The last resort. Every row of blocks is read for itself, of every chunk that may have it.
    async fn row_by_row(
        &self,
        stripe: &StripePlaces,
        survey: &mut Survey,
        columns: Range<u32>,
        wanted: &[u8],
    ) -> Result<Vec<Bytes>, ReadStripeError> {
        let block = stripe.shape.block_bytes;
        let mut made = vec![BytesMut::with_capacity(columns.len()); wanted.len()];
        let mut at = columns.start;
        while at < columns.end {
            let row = at..columns.end.min((at / block + 1) * block);
            at = row.end;
            for (made, bytes) in made.iter_mut().zip(self.row(stripe, survey, row, wanted).await?) {
                made.extend_from_slice(&bytes);
            }
        }
        Ok(made.into_iter().map(BytesMut::freeze).collect())
    }

    /// One row of blocks of the wanted chunks: read where only other blocks of a chunk are known to be damaged, decoded
    /// where not.
    async fn row(
        &self,
        stripe: &StripePlaces,
        survey: &mut Survey,
        row: Range<u32>,
        wanted: &[u8],
    ) -> Result<Vec<Bytes>, ReadStripeError> {
        let mut known = survey.without_damage();
        let mut lost = Vec::with_capacity(wanted.len());
        for &position in wanted {
            if known.failed(position) {
                lost.push(position);
                continue;
            }
            match self.fetch(stripe, position, row.clone()).await {
                Ok(bytes) => known.hold(position, row.clone(), bytes),
                Err(error) => {
                    self.note(stripe, &mut known, position, error);
                    lost.push(position);
                }
            }
        }
        let decoded = match lost.is_empty() {
            true => Ok(Vec::new()),
            false => self.decode(stripe, &mut known, row.clone(), &lost).await,
        };
        survey.merge(&known);
        for (position, bytes) in lost.into_iter().zip(decoded?) {
            known.hold(position, row.clone(), bytes);
        }
        let held = |position: &u8| known.held(*position).expect("read or decoded above").slice(row.clone());
        Ok(wanted.iter().map(held).collect())
    }

    /// Decodes columns of the wanted chunks from any k others of which nothing bad is known.
    async fn decode(
        &self,
        stripe: &StripePlaces,
        survey: &mut Survey,
        columns: Range<u32>,
        wanted: &[u8],
    ) -> Result<Vec<Bytes>, ReadStripeError> {
        let geometry = stripe.shape.geometry;
        let mut candidates: Vec<u8> = (0..geometry.positions() as u8)
            .filter(|position| !wanted.contains(position) && !survey.failed(*position))
            .collect();
        // What is here already costs nothing, and data comes before parity for want of a better reason.
        candidates.sort_by_key(|&position| (survey.held(position).is_none(), position));
        let mut candidates = candidates.into_iter();
        let mut survivors = Vec::with_capacity(geometry.k());
        let mut reads = FuturesUnordered::new();
        while survivors.len() < geometry.k() {
            let wanting = geometry.k() - survivors.len() - reads.len();
            if candidates.len() < wanting {
                return Err(too_few(stripe, survey));
            }
            for position in candidates.by_ref().take(wanting) {
                reads.push(self.survivor(stripe, position, columns.clone(), survey.held(position).cloned()));
            }
            match reads.next().await.expect("some are still being read") {
                Ok(survivor) => survivors.push(survivor),
                Err((position, error)) => self.note(stripe, survey, position, error),
            }
        }
        let (wanted, bytes) = (wanted.to_vec(), columns.len());
        let decoding = move || reconstruct(geometry, &survivors, &wanted, bytes);
        Ok(self.pool.run(bytes * geometry.k(), decoding).await)
    }

    /// Columns of one chunk: what is held of them, and the rest read.
    async fn survivor(
        &self,
        stripe: &StripePlaces,
        position: u8,
        columns: Range<u32>,
        held: Option<Held>,
    ) -> Result<Survivor, (u8, ChunkError)> {
        let overlap = held.as_ref().map_or(0..0, |held| {
            held.range.start.clamp(columns.start, columns.end)..held.range.end.clamp(columns.start, columns.end)
        });
        let mut body = Vec::with_capacity(3);
        let missing = match &held {
            Some(held) if !overlap.is_empty() => {
                body.push(held.slice(overlap.clone()));
                [columns.start..overlap.start, overlap.end..columns.end]
            }
            _ => [columns.start..columns.start, columns.clone()],
        };
        let [before, after] = missing;
        if !before.is_empty() {
            body.insert(0, self.fetch(stripe, position, before).await.map_err(|error| (position, error))?);
        }
        if !after.is_empty() {
            body.push(self.fetch(stripe, position, after).await.map_err(|error| (position, error))?);
        }
        Ok(Survivor { position, body })
    }

    /// Notes a fault, and reports it when it is the read's first of that position.
    pub(super) fn note(&self, stripe: &StripePlaces, survey: &mut Survey, position: u8, error: ChunkError) {
        let fault = fault(stripe, position, error);
        if survey.fail(fault.clone()) {
            self.faults.report(stripe.id, position, fault.drive, &fault.error);
        }
    }
}

fn fault(stripe: &StripePlaces, position: u8, error: ChunkError) -> PositionFault {
    PositionFault { position, drive: stripe.positions[position as usize].drive, error }
}

fn too_few(stripe: &StripePlaces, survey: &Survey) -> ReadStripeError {
    ReadStripeError::TooFewChunks {
        stripe: stripe.id,
        needed: stripe.shape.geometry.k(),
        positions: stripe.positions.len(),
        faults: survey.faults(),
    }
}

/// Lost runs in groups of common columns: where they overlap the survivors are read once. Runs that have nothing in
/// common, as the end of one chunk and the beginning of the next, are not joined, for all between them would be read.
fn groups(mut lost: Vec<ChunkRun>) -> Vec<Group> {
    lost.sort_by_key(|run| run.range.start);
    let mut groups: Vec<Group> = Vec::new();
    for ChunkRun { position, range } in lost {
        let start = range.start - range.start % CHUNK_ALIGNMENT;
        let end = range.end.next_multiple_of(CHUNK_ALIGNMENT);
        match groups.last_mut() {
            Some(group) if start < group.columns.end => {
                group.columns.end = group.columns.end.max(end);
                group.positions.push(position);
            }
            _ => groups.push(Group { columns: start..end, positions: vec![position] }),
        }
    }
    groups
}

//! The bytes of a version, from the places that its rows name.
//!
//! Short reads are answered whole. Long ones are a task that reads ahead of the client by one step and no more, in steps
//! whose memory is reserved before the first one. Places are looked up page by page. The view is held for as long as
//! bytes are read from it: nothing that it names is collected meanwhile.
//!
//! Whatever fails behind the first byte breaks the connection: never a wrong byte, never a short success (invariant 2).

use core::ops::Range;
use core::pin::Pin;
use core::task::{Context, Poll};
use std::collections::VecDeque;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use cairn_core::units::{KIB, MIB};
use cairn_erasure::{ChunkPlace, ReadStripeError, StripePlaces, StripeReader};
use cairn_machine::RowError;
use cairn_machine::rows::object::Content;
use cairn_metadata::query::{self, LocatedPlace, LocatedRange};
use cairn_metadata::{Client, View};
use futures::Stream;
use s3s::dto::StreamingBlob;
use tokio::sync::mpsc;

use crate::budget::{MemoryBudget, Reservation};
use crate::fault::Fault;

/// Reads of at most this many bytes are answered whole: no task, no queue.
const WHOLE_BYTES_MAX: u64 = 64 * KIB;

/// The longest step of a long read.
const STEP_BYTES_MAX: u64 = 4 * MIB;

/// The shortest step that a full budget still gives: as much as one block of a large stripe, four times.
const STEP_BYTES_MIN: u64 = 256 * KIB;

/// What a long read holds: a step that is being read, one that waits, one that is being sent.
const STEPS_HELD: u64 = 3;

/// Into how many parts what is free is divided, so that no read takes all of it.
const BUDGET_SHARES: u64 = 16;

/// How many places are looked up at a time.
const PLACES_MAX: usize = 16;

/// How long a client may take over one object.
const READ_TIME_MAX: Duration = Duration::from_secs(60 * 60);

/// Reads objects. Cheap to share.
#[derive(Debug, Clone)]
pub struct ObjectReader {
    /// Where rows are looked up again.
    pub client: Client,
    /// Reads stripes.
    pub stripes: StripeReader,
    /// The memory of long reads.
    pub budget: MemoryBudget,
}

/// Bytes with the memory that was reserved for them; it goes back when the last of them was sent.
struct HeldBytes {
    bytes: Bytes,
    _memory: Reservation,
}

impl AsRef<[u8]> for HeldBytes {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

/// A read that has failed behind its first byte. It breaks the connection.
#[derive(Debug, thiserror::Error)]
pub enum BrokenRead {
    /// The bytes could not be read; what happened is in the log.
    #[error("the rest of the object cannot be read")]
    Unreadable,
    /// The client took too long.
    #[error("the object was not read within {READ_TIME_MAX:?}")]
    TooSlow,
}

impl ObjectReader {
    /// The bytes of a range of a version, which lies inside it. The first of them are read before this returns, so that
    /// what cannot be read at all is an error and not a broken connection.
    pub async fn read(&self, view: View, content: Content, range: Range<u64>) -> Result<StreamingBlob, Fault> {
        let length = range.end - range.start;
        if length == 0 {
            return Ok(StreamingBlob::from_bytes(Bytes::new()));
        }
        if length <= WHOLE_BYTES_MAX {
            let _memory = self.budget.reserve(length).await?;
            let bytes = self.whole(&view, &content, range).await?;
            return Ok(StreamingBlob::from_bytes(Bytes::from_owner(HeldBytes { bytes, _memory })));
        }
        let step = self.budget.share(BUDGET_SHARES, STEP_BYTES_MIN, STEP_BYTES_MAX).min(length);
        let memory = self.budget.reserve(step * STEPS_HELD.min(length.div_ceil(step))).await?;
        let mut reading = Reading {
            reader: self.clone(),
            view,
            content,
            at: range.start,
            end: range.end,
            step,
            places: VecDeque::new(),
        };
        let first = reading.next().await?;
        let (sender, steps) = mpsc::channel(1);
        // The stream holds the memory until the client has taken the last byte, or has gone.
        let stream = ObjectStream { left: length, ready: first.into(), steps: Some(steps), _memory: Some(memory) };
        if reading.at < reading.end {
            tokio::spawn(reading.run(sender));
        }
        Ok(StreamingBlob::wrap(stream))
    }

    /// A short range in one piece.
    async fn whole(&self, view: &View, content: &Content, range: Range<u64>) -> Result<Bytes, Fault> {
        let length = (range.end - range.start) as usize;
        let mut at = range.start;
        let mut gathered = BytesMut::new();
        while at < range.end {
            for place in locate(view, content, at..range.end)? {
                let end = at + u64::from(place.length);
                let parts = self.part(view, content, &place, at..end).await?;
                if let [whole] = &parts[..]
                    && whole.len() == length
                {
                    return Ok(whole.clone());
                }
                parts.iter().for_each(|part| gathered.extend_from_slice(part));
                at = end;
            }
        }
        if gathered.len() != length {
            return Err(contradiction("places name another number of bytes").into());
        }
        Ok(gathered.freeze())
    }

    /// A range of the object that lies in one place.
    async fn part(
        &self,
        view: &View,
        content: &Content,
        place: &LocatedRange,
        range: Range<u64>,
    ) -> Result<Vec<Bytes>, Fault> {
        match self.part_of(place, &range).await {
            Err(error) if error.may_have_moved() => {
                tracing::debug!(%error, "a place is looked up again");
                Box::pin(self.part_moved(view, content, range, error)).await
            }
            read => Ok(read?),
        }
    }

    async fn part_of(&self, place: &LocatedRange, range: &Range<u64>) -> Result<Vec<Bytes>, ReadStripeError> {
        assert!(range.start >= place.object_offset, "a range of the object inside the place");
        let within = range.start - place.object_offset;
        let length = range.end - range.start;
        assert!(within + length <= u64::from(place.length), "a range of the object inside the place");
        match &place.place {
            LocatedPlace::Here(bytes) => Ok(vec![bytes.slice(within as usize..(within + length) as usize)]),
            LocatedPlace::Stripe { id, row, offset } => {
                let positions = row.positions.iter();
                let positions = positions.map(|placed| ChunkPlace { drive: placed.drive, write: placed.write });
                let stripe = StripePlaces { id: *id, shape: row.shape, positions: positions.collect() };
                self.stripes.read(&stripe, offset + within..offset + within + length).await
            }
        }
    }

    /// The same range from where it is now. The version is still the one that the old view shows: extents never change,
    /// only their places do.
    async fn part_moved(
        &self,
        old: &View,
        content: &Content,
        range: Range<u64>,
        error: ReadStripeError,
    ) -> Result<Vec<Bytes>, Fault> {
        let now = self.client.read().await?;
        if now.index() == old.index() {
            return Err(error.into());
        }
        let mut parts = Vec::new();
        let mut at = range.start;
        while at < range.end {
            // Who deleted the object meanwhile deleted its places from the newer rows; the old ones were tried.
            let Ok(places) = locate(&now, content, at..range.end) else { return Err(error.into()) };
            for place in places {
                let end = at + u64::from(place.length);
                parts.extend(self.part_of(&place, &(at..end)).await?);
                at = end;
            }
        }
        Ok(parts)
    }
}

/// The places of a range, in order and without a gap, the first of them beginning where the range does. At least one.
fn locate(view: &View, content: &Content, range: Range<u64>) -> Result<Vec<LocatedRange>, RowError> {
    let places = query::locate(view, content, range.clone(), PLACES_MAX)?;
    let mut at = range.start;
    for place in &places {
        if place.object_offset != at || place.length == 0 {
            return Err(contradiction("places do not follow one another"));
        }
        at += u64::from(place.length);
    }
    if places.is_empty() || at > range.end {
        return Err(contradiction("places do not cover the object"));
    }
    Ok(places)
}

fn contradiction(what: &str) -> RowError {
    RowError::Damaged { key: String::new(), what: what.to_owned() }
}

/// A long read: where it stands.
struct Reading {
    reader: ObjectReader,
    view: View,
    content: Content,
    at: u64,
    end: u64,
    step: u64,
    places: VecDeque<LocatedRange>,
}

impl Reading {
    /// The next step, which ends where a place ends.
    async fn next(&mut self) -> Result<Vec<Bytes>, Fault> {
        if self.places.is_empty() {
            self.places = locate(&self.view, &self.content, self.at..self.end)?.into();
        }
        let place = self.places.front().expect("a range has at least one place");
        let place_end = place.object_offset + u64::from(place.length);
        let end = place_end.min(self.at + self.step);
        let parts = self.reader.part(&self.view, &self.content, place, self.at..end).await?;
        let read: usize = parts.iter().map(Bytes::len).sum();
        assert_eq!(read as u64, end - self.at, "a stripe's reader returns the range that it was asked for");
        if end == place_end {
            self.places.pop_front();
        }
        self.at = end;
        Ok(parts)
    }

    /// Reads ahead of the client until the end, or until nobody listens any more.
    async fn run(mut self, steps: mpsc::Sender<Result<Vec<Bytes>, BrokenRead>>) {
        let reading = async {
            while self.at < self.end {
                let step = self.next().await.map_err(|fault| {
                    tracing::warn!(%fault, at = self.at, "a read broke off");
                    BrokenRead::Unreadable
                });
                let broken = step.is_err();
                if steps.send(step).await.is_err() || broken {
                    return;
                }
            }
        };
        if tokio::time::timeout(READ_TIME_MAX, reading).await.is_err() {
            // The queue is full, or the client would not have been too slow. The end of the queue says the same.
            tracing::debug!("a client was too slow");
        }
    }
}

/// What a client receives.
struct ObjectStream {
    left: u64,
    ready: VecDeque<Bytes>,
    steps: Option<mpsc::Receiver<Result<Vec<Bytes>, BrokenRead>>>,
    /// Held, not used: given back when the stream is dropped.
    _memory: Option<Reservation>,
}

impl Stream for ObjectStream {
    type Item = Result<Bytes, BrokenRead>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        loop {
            if let Some(part) = self.ready.pop_front() {
                self.left -= part.len() as u64;
                return Poll::Ready(Some(Ok(part)));
            }
            if self.left == 0 {
                return Poll::Ready(None);
            }
            let Some(steps) = &mut self.steps else { return Poll::Ready(None) };
            match steps.poll_recv(cx) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Some(Ok(parts))) => self.ready = parts.into(),
                Poll::Ready(broken) => {
                    // An end before the last byte is no end: it must not look like a short object.
                    self.steps = None;
                    let error = broken.and_then(Result::err).unwrap_or(BrokenRead::TooSlow);
                    return Poll::Ready(Some(Err(error)));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use futures::StreamExt;

    use super::*;

    #[tokio::test]
    async fn an_early_end_is_an_error_and_not_a_short_object() {
        let (sender, steps) = mpsc::channel(1);
        let ready = VecDeque::from([Bytes::from_static(b"abc")]);
        let mut stream = ObjectStream { left: 6, ready, steps: Some(steps), _memory: None };
        assert_eq!(stream.next().await.unwrap().unwrap(), "abc");
        drop(sender);
        assert!(matches!(stream.next().await, Some(Err(BrokenRead::TooSlow))));
        assert!(stream.next().await.is_none());
    }

    #[tokio::test]
    async fn a_whole_object_ends() {
        let (sender, steps) = mpsc::channel(1);
        let mut stream = ObjectStream { left: 3, ready: VecDeque::new(), steps: Some(steps), _memory: None };
        sender.send(Ok(vec![Bytes::from_static(b"ab"), Bytes::from_static(b"c")])).await.unwrap();
        assert_eq!(stream.next().await.unwrap().unwrap(), "ab");
        assert_eq!(stream.next().await.unwrap().unwrap(), "c");
        assert!(stream.next().await.is_none());
    }
}

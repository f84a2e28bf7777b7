//! Raft's log, kept in the operation log.
//!
//! Everything that Raft must not find reordered after a crash goes into the one sequence of the operation log: votes,
//! appends, truncations, purges. So a vote is never lost behind an entry of its term, whatever the drives do. An append
//! is queued and answered when its group is acknowledged; nothing here waits for a disk except a vote, whose caller must.
//!
//! ```text
//! append -> [committed?, append] -> operation log -> group acknowledged -> callback
//! ```

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::io;
use std::ops::{Bound, Range, RangeBounds};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use cairn_oplog::{LogRecord, OpLog, OpLogError, Recovered};
use openraft::entry::RaftEntry;
use openraft::storage::{IOFlushed, LogState, RaftLogStorage};
use openraft::{EntryPayload, OptionalSend, RaftLogReader};
use tokio::sync::oneshot;

use super::format::{
    ENTRY_HEAD_BYTES, EntryKind, FormatError, Kept, KeptMembership, KeptPosition, KeptVote, Position, begin_entry,
    finish_entry, read_entry_head,
};
use super::membership::{from_kept, to_kept};
use super::type_config::{EncodedBatch, Entry, LogId, TypeConfig, Vote};
use super::unwritten::{self, Unwritten};
use crate::error::NodeFailure;
use crate::failure::Failure;
use crate::tasks::Tasks;
use crate::wire::PAYLOAD_BYTES_MAX;

/// The most bytes of entries that are read at once.
const READ_BYTES_MAX: usize = 4 << 20;

/// Raft's log. One task writes it; its readers are clones of what they need.
#[derive(Debug)]
pub(super) struct LogStore {
    reader: LogReader,
    failure: Failure,
    tasks: Tasks,
    purged: Option<Position>,
    last: Option<Position>,
    committed: Option<Position>,
    /// What is known to be committed and not yet said: it travels in front of the next append, so that it costs no group
    /// of its own. A start elects a leader before it serves, so what it lacks is only found again a moment later.
    committed_unsaid: Option<Position>,
}

impl LogStore {
    /// Over a log that was opened, and what it holds.
    pub(super) async fn open(
        log: OpLog,
        recovered: &Recovered,
        failure: Failure,
        tasks: Tasks,
        forgetful: bool,
    ) -> Result<Self, OpenError> {
        let position = |payload: &Bytes| KeptPosition::from_bytes(payload).map(|kept| kept.last);
        let vote = recovered.vote.as_ref().map(|payload| KeptVote::from_bytes(payload)).transpose()?;
        let committed = recovered.committed.as_ref().map(position).transpose()?;
        let purged = recovered.purged.as_ref().map(|(_, payload)| position(payload)).transpose()?;
        let last = match recovered.last_index {
            None => purged,
            Some(index) => Some(read_position(&log, index).await?),
        };
        let unwritten = forgetful.then(|| Arc::new(Mutex::new(BTreeMap::new())));
        let reader = LogReader { log, vote: Arc::new(Mutex::new(vote)), unwritten };
        Ok(Self { reader, failure, tasks, purged, last, committed, committed_unsaid: None })
    }

    fn log(&self) -> &OpLog {
        &self.reader.log
    }

    /// Queues records, once there is room. The callback hears when they are durable; the node stops when they cannot be.
    async fn queue(
        &self,
        records: Vec<LogRecord>,
        done: impl FnOnce(Result<(), io::Error>) + Send + 'static,
    ) -> Result<(), io::Error> {
        if let Some(unwritten) = &self.reader.unwritten {
            done(unwritten::take(unwritten, records));
            return Ok(());
        }
        let failure = self.failure.clone();
        let stop = move |error: OpLogError| {
            failure.fail(NodeFailure::Log(error.to_string()));
            io::Error::other(error)
        };
        // Raft is the only one who writes much, and it waits here; so whoever else writes leaves room.
        self.log().room().await;
        let failed = stop.clone();
        self.log().append_with(records, move |result| done(result.map_err(failed))).map_err(stop)
    }
}

/// An entry as it is kept. What was read from the log, here or on another voter, is handed on as it is.
pub(super) fn frame(entry: Entry) -> (Position, Bytes) {
    let position = Position::from(entry.log_id);
    let (kind, frame) = match entry.payload {
        EntryPayload::Blank => (EntryKind::Blank, begin_entry(0).into()),
        EntryPayload::Normal(EncodedBatch(frame)) => (EntryKind::Batch, frame),
        EntryPayload::Membership(membership) => {
            let mut frame = begin_entry(64);
            minicbor::encode(to_kept(&membership), &mut frame).expect("a vector takes every byte");
            (EntryKind::Membership, frame.into())
        }
    };
    (position, finish_entry(frame, kind, position))
}

/// The log was opened, but not what Raft kept in it.
#[derive(Debug, thiserror::Error)]
pub(crate) enum OpenError {
    /// It makes no sense to this release.
    #[error(transparent)]
    Format(#[from] FormatError),
    /// It cannot be read.
    #[error(transparent)]
    Read(#[from] OpLogError),
}

async fn read_position(log: &OpLog, index: u64) -> Result<Position, OpenError> {
    let entries = log.read(index..index + 1, READ_BYTES_MAX).await?;
    let (_, position) = read_entry_head(&entries[0])?;
    Ok(position)
}

impl RaftLogStorage<TypeConfig> for LogStore {
    type LogReader = LogReader;

    async fn get_log_state(&mut self) -> Result<LogState<TypeConfig>, io::Error> {
        Ok(LogState { last_purged_log_id: self.purged.map(LogId::from), last_log_id: self.last.map(LogId::from) })
    }

    async fn get_log_reader(&mut self) -> LogReader {
        self.reader.clone()
    }

    async fn save_vote(&mut self, vote: &Vote) -> Result<(), io::Error> {
        let kept = KeptVote::from(vote);
        let (done, acknowledged) = oneshot::channel();
        // Raft may have stopped waiting; then it needs no answer.
        self.queue(vec![LogRecord::Vote { payload: kept.to_bytes() }], move |result| drop(done.send(result))).await?;
        acknowledged.await.map_err(|_| io::Error::other("the operation log ended without an answer"))??;
        *self.reader.vote.lock().unwrap_or_else(PoisonError::into_inner) = Some(kept);
        Ok(())
    }

    async fn save_committed(&mut self, committed: Option<LogId>) -> Result<(), io::Error> {
        self.committed = committed.map(Position::from);
        self.committed_unsaid = self.committed;
        Ok(())
    }

    async fn read_committed(&mut self) -> Result<Option<LogId>, io::Error> {
        // What was said may lie behind the last entry only if that entry was lost, which the log excludes.
        Ok(self.committed.map(LogId::from))
    }

    async fn append<I>(&mut self, entries: I, callback: IOFlushed<TypeConfig>) -> Result<(), io::Error>
    where
        I: IntoIterator<Item = Entry> + OptionalSend,
        I::IntoIter: OptionalSend,
    {
        let framed: Vec<(Position, Bytes)> = entries.into_iter().map(frame).collect();
        let (Some(first), Some(last)) = (framed.first(), framed.last()) else {
            callback.io_completed(Ok(()));
            return Ok(());
        };
        let next = self.last.map_or(0, |last| last.index + 1);
        assert_eq!(first.0.index, next, "entries follow one another");
        let first_index = first.0.index;
        self.last = Some(last.0);
        let mut records = Vec::with_capacity(2);
        if let Some(last) = self.committed_unsaid.take() {
            records.push(LogRecord::Committed { payload: KeptPosition { last }.to_bytes() });
        }
        let entries = framed.into_iter().map(|(_, frame)| frame).collect();
        records.push(LogRecord::Append { first_index, entries });
        self.queue(records, move |result| callback.io_completed(result)).await
    }

    async fn truncate_after(&mut self, last: Option<LogId>) -> Result<(), io::Error> {
        self.last = last.map(Position::from);
        let from_index = self.last.map_or(0, |last| last.index + 1);
        // Whatever is appended next lies behind this in the same sequence, so nobody has to wait.
        self.queue(vec![LogRecord::Truncate { from_index }], drop).await
    }

    async fn purge(&mut self, up_to: LogId) -> Result<(), io::Error> {
        let last = Position::from(up_to);
        self.purged = Some(last);
        self.last = self.last.max(self.purged);
        let payload = KeptPosition { last }.to_bytes();
        let (log, tasks) = (self.log().clone(), self.tasks.clone());
        let reclaim = move |result: Result<(), io::Error>| {
            if result.is_ok() {
                tasks.spawn(async move { log.reclaim().await });
            }
        };
        self.queue(vec![LogRecord::Purge { up_to_index: last.index, payload }], reclaim).await
    }
}

/// Reads Raft's log.
#[derive(Debug, Clone)]
pub(super) struct LogReader {
    log: OpLog,
    vote: Arc<Mutex<Option<KeptVote>>>,
    /// Where nothing can be written: what a lone voter says to itself so that it may answer.
    unwritten: Option<Unwritten>,
}

impl LogReader {
    async fn read(&self, range: Range<u64>) -> Result<Vec<Entry>, io::Error> {
        let mut entries = Vec::new();
        let mut next = range.start;
        while next < range.end {
            let (end, said) = match &self.unwritten {
                Some(unwritten) => unwritten::from(unwritten, next, range.end),
                None => (range.end, Vec::new()),
            };
            let frames = match said.is_empty() {
                true => self.log.read(next..end, READ_BYTES_MAX).await.map_err(io::Error::other)?,
                false => said,
            };
            assert!(!frames.is_empty(), "a read that succeeds brings an entry");
            for frame in frames {
                let entry = read_entry(frame).map_err(io::Error::other)?;
                assert_eq!(entry.index(), next, "an entry stands where it was written");
                entries.push(entry);
                next += 1;
            }
        }
        Ok(entries)
    }
}

/// The inverse of [`frame`]. A batch is not looked into.
pub(super) fn read_entry(frame: Bytes) -> Result<Entry, FormatError> {
    let (kind, position) = read_entry_head(&frame)?;
    let payload = match kind {
        EntryKind::Blank => EntryPayload::Blank,
        EntryKind::Batch => EntryPayload::Normal(EncodedBatch(frame)),
        EntryKind::Membership => {
            EntryPayload::Membership(from_kept(&KeptMembership::read(&frame[ENTRY_HEAD_BYTES..])?))
        }
    };
    Ok(Entry { log_id: position.into(), payload })
}

impl RaftLogReader<TypeConfig> for LogReader {
    async fn try_get_log_entries<RB>(&mut self, range: RB) -> Result<Vec<Entry>, io::Error>
    where
        RB: RangeBounds<u64> + Clone + Debug + OptionalSend,
    {
        let start = match range.start_bound() {
            Bound::Included(&start) => start,
            Bound::Excluded(&before) => before + 1,
            Bound::Unbounded => 0,
        };
        let end = match range.end_bound() {
            Bound::Included(&last) => last + 1,
            Bound::Excluded(&end) => end,
            Bound::Unbounded => {
                let said = self.unwritten.as_ref().and_then(unwritten::end);
                said.or(self.log.stats().next_index).unwrap_or(0)
            }
        };
        self.read(start..end).await
    }

    // What one message to another voter carries. Entries that are gone by now were truncated or purged while somebody
    // meant to send them: the voter does not lead any more, or sends its runs. Raft finds that out by itself.
    async fn limited_get_log_entries(&mut self, start: u64, end: u64) -> Result<Vec<Entry>, io::Error> {
        match self.log.read(start..end, PAYLOAD_BYTES_MAX).await {
            Ok(frames) => frames.into_iter().map(|frame| read_entry(frame).map_err(io::Error::other)).collect(),
            Err(OpLogError::NotThere { index }) => {
                tracing::debug!(index, "an entry that was to be sent is gone");
                Ok(Vec::new())
            }
            Err(error) => Err(io::Error::other(error)),
        }
    }

    async fn read_vote(&mut self) -> Result<Option<Vote>, io::Error> {
        let kept = *self.vote.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(kept.map(Vote::from))
    }
}

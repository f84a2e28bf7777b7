//! The running log: what its keeper calls.

use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;
use std::ops::Range;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, Weak};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use cairn_core::{Clock, DriveId, Entropy};
use cairn_journal::{JournalHandle, Reader, Shell};
use tokio::sync::{Notify, oneshot};

use crate::changing::{ChangeError, RosterChange};
use crate::contents::Contents;
use crate::drive_log::DriveLog;
use crate::epoch::{EpochRecord, LogIdentity};
use crate::error::OpLogError;
use crate::flight::Flight;
use crate::group::GroupNumber;
use crate::mending::{keep_copies, look_after};
use crate::options::{LogDrive, Options};
use crate::pace::Patience;
use crate::pipeline::{Answer, Beginning, Effects, Pipeline, Stored, Unit};
use crate::record::LogRecord;
use crate::recover::Kept;
use crate::recovered::{Recovered, StartReport};
use crate::segments::{Reclaim, SegmentUse};
use crate::start::{Started, epoch_append, start};
use crate::stats::Stats;

/// How long a drive may take to mark its journal as closed. One that hangs is recovered at the next start, like after a crash.
const CLOSE_PATIENCE: Duration = Duration::from_secs(5);

/// The operation log of one voter. Cheap to clone.
#[derive(Clone)]
pub struct OpLog {
    pub(crate) shared: Arc<Shared>,
}

pub(crate) struct Shared {
    pipeline: Mutex<Pipeline>,
    /// In the order of the pipeline's positions. Drives come, and none goes before the end.
    drives: RwLock<Vec<Arc<RunningDrive>>>,
    options: Options,
    entropy: Arc<dyn Entropy>,
    shell: Shell,
    /// Wakes the one who copies groups that lie on too few drives.
    short: Arc<Notify>,
    /// Wakes whoever waits for room in the queue, or for the log to be idle.
    progress: Notify,
    /// Wakes the one who looks for late groups.
    formed: Arc<Notify>,
    /// One reclaim at a time.
    reclaiming: tokio::sync::Mutex<()>,
    /// One change of the roster at a time.
    changing: tokio::sync::Mutex<()>,
}

/// A drive that groups are read from, and written to if it took the epoch.
pub(crate) struct RunningDrive {
    pub id: DriveId,
    pub reader: Option<Reader>,
    handle: Option<JournalHandle>,
}

impl RunningDrive {
    /// A drive.
    pub fn new(id: DriveId, reader: Option<Reader>, handle: Option<JournalHandle>) -> Self {
        Self { id, reader, handle }
    }

    /// Whether it was written to and failed: it takes nothing before the next start.
    pub fn is_poisoned(&self) -> bool {
        self.handle.as_ref().is_some_and(|handle| handle.poisoned().is_some())
    }

    /// The way to write to it, if the log does.
    pub fn handle(&self) -> Option<&JournalHandle> {
        self.handle.as_ref()
    }
}

/// Answers when the records are durable on r drives, and everything before them.
#[derive(Debug)]
pub struct Completion {
    answer: oneshot::Receiver<Result<(), OpLogError>>,
}

impl Future for Completion {
    type Output = Result<(), OpLogError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.answer).poll(context).map(|answer| answer.unwrap_or(Err(OpLogError::Closed)))
    }
}

impl OpLog {
    /// Finds the log on its drives and starts it, in a new epoch. With [`Shell::Task`] everything runs, and blocks, on the
    /// current task's runtime; with [`Shell::Thread`] on threads of its own. To be called inside a tokio runtime.
    ///
    /// Where fewer drives are here than an acknowledgement needs, but all that is acknowledged is, the log is opened for
    /// reading alone ([`StartReport::read_only`]). Fails with [`OpLogError::Refused`] and the errors of drives of a later
    /// release, having changed nothing that stands; with [`OpLogError::NotStarted`] where drives fail on the way.
    pub async fn open(
        drives: Vec<LogDrive>,
        identity: LogIdentity,
        options: Options,
        entropy: Arc<dyn Entropy>,
        shell: Shell,
    ) -> Result<(Self, Recovered), OpLogError> {
        let begin = {
            let (options, entropy) = (options.clone(), entropy.clone());
            move || {
                let started = start(drives, identity, &options, &entropy, shell)?;
                let contents = read_contents(&started)?;
                Ok((started, contents))
            }
        };
        let (started, contents) = match shell {
            Shell::Task => begin(),
            Shell::Thread => match tokio::task::spawn_blocking(begin).await {
                Ok(begun) => begun,
                Err(error) => match error.try_into_panic() {
                    Ok(panic) => std::panic::resume_unwind(panic),
                    // The runtime is shutting down.
                    Err(_) => Err(OpLogError::Closed),
                },
            },
        }?;
        Self::run(started, contents, options, entropy, shell)
    }

    fn run(
        started: Started,
        contents: Contents,
        options: Options,
        entropy: Arc<dyn Entropy>,
        shell: Shell,
    ) -> Result<(Self, Recovered), OpLogError> {
        let present: Vec<DriveId> = started.drives.iter().map(|log| log.drive.id).collect();
        let report = StartReport::of(&started, &present);
        let Started { drives: logs, kept, epoch, took, failed, read_only, .. } = started;
        let first = epoch.kept.next();
        let mut stored: BTreeMap<GroupNumber, Stored> = BTreeMap::new();
        let names = kept.groups.iter().map(|group| group.name);
        let own = (!read_only).then_some(crate::group::GroupName { epoch: epoch.id, number: first });
        for name in names.chain(own) {
            let places = logs.iter().enumerate().filter_map(|(drive, log)| Some((drive, log.places.group(name)?)));
            stored.insert(name.number, Stored { epoch: name.epoch, places: places.collect() });
        }
        let mut drives = Vec::new();
        let dirs = logs.iter().map(DriveLog::dir).collect();
        let mut segments = Vec::new();
        let mut healthy = Vec::new();
        for (position, log) in logs.into_iter().enumerate() {
            let (id, journal, places) = log.into_parts();
            let highest = places.highest(|name| epoch.counts(name));
            let epoch_segment = places.epoch(epoch.id).map(|place| place.segment);
            // Nothing is under way yet, so everything up to the last segment written to is known.
            let newest = highest.keys().copied().chain(epoch_segment).max().unwrap_or(0);
            segments.push(SegmentUse { highest, newest, epoch: epoch_segment });
            let reader = journal.as_ref().map(|journal| journal.reader().clone());
            let handle = match journal {
                Some(journal) if took.contains(position) && epoch.quorum.contains(id) => {
                    healthy.push(position);
                    let name = format!("log-{id}");
                    let handle = JournalHandle::start(journal, shell, &name, JournalHandle::QUEUE_BYTES);
                    Some(handle.map_err(|error| OpLogError::Unusable { drive: id, source: Arc::new(error) })?)
                }
                _ => None,
            };
            drives.push(Arc::new(RunningDrive { id, reader, handle }));
        }
        let acknowledged = if read_only { kept.last } else { first };
        let epoch = Arc::new(epoch);
        let pipeline = Pipeline::new(Beginning {
            epoch: epoch.clone(),
            drives: present,
            dirs,
            patience: options.patience(),
            flight: Flight::new(epoch.quorum.copies_len(), healthy, acknowledged),
            contents,
            stored,
            segments,
            floor: kept.floor,
            limits: options.limits(),
            cache_bytes: options.cache_bytes,
            queue_bytes: options.queue_bytes,
            groups_under_way: options.groups_under_way,
            stopped: read_only.then_some(OpLogError::ReadOnly),
        });
        let shared = Arc::new(Shared {
            pipeline: Mutex::new(pipeline),
            drives: RwLock::new(drives),
            options,
            entropy,
            shell,
            short: Arc::new(Notify::new()),
            progress: Notify::new(),
            formed: Arc::new(Notify::new()),
            reclaiming: tokio::sync::Mutex::new(()),
            changing: tokio::sync::Mutex::new(()),
        });
        if !read_only {
            tokio::spawn(look_for_late(Arc::downgrade(&shared), shared.formed.clone()));
            tokio::spawn(keep_copies(Arc::downgrade(&shared), shared.short.clone()));
            for drive in 0..shared.drives_len() {
                tokio::spawn(look_after(Arc::downgrade(&shared), drive));
            }
        }
        let log = Self { shared };
        let recovered = Recovered::new(&log, kept, report, failed);
        Ok((log, recovered))
    }

    /// Takes records over, to be written in order behind everything taken over before. They stay together in one group.
    /// Never waits: the entries can be read from now on, and `done` is called once they are durable on r drives. It is
    /// called on a drive's thread, so it must be short.
    ///
    /// Fails with [`OpLogError::Busy`], [`OpLogError::TooLarge`], [`OpLogError::NotConsecutive`], [`OpLogError::Closed`],
    /// [`OpLogError::ReadOnly`] or [`OpLogError::Stopped`]; then nothing was taken over, and `done` is not called.
    pub fn append_with(
        &self,
        records: Vec<LogRecord>,
        done: impl FnOnce(Result<(), OpLogError>) + Send + 'static,
    ) -> Result<(), OpLogError> {
        let unit = to_unit(records, Box::new(done))?;
        let mut effects = Effects::default();
        let taken = self.shared.pipeline().enqueue(unit, self.shared.clock().elapsed(), &mut effects);
        carry_out(&self.shared, effects);
        taken
    }

    /// As [`Self::append_with`], answered by a future. Dropping it changes nothing.
    pub fn append(&self, records: Vec<LogRecord>) -> Result<Completion, OpLogError> {
        let (done, answer) = oneshot::channel();
        // An asker that went away needs no answer.
        self.append_with(records, move |result| drop(done.send(result)))?;
        Ok(Completion { answer })
    }

    /// Waits until the queue takes records. Another may be quicker: whoever gets [`OpLogError::Busy`] waits again.
    pub async fn room(&self) {
        self.shared.until(Pipeline::has_room).await;
    }

    /// Entries from the start of a range on: consecutive, at least one, until the range ends or so many bytes are
    /// reached. Recent ones come from memory, older ones from a drive, from another where one is damaged.
    ///
    /// Fails with [`OpLogError::NotThere`] where one of them does not stand, and [`OpLogError::Unreadable`].
    pub async fn read(&self, range: Range<u64>, bytes_max: usize) -> Result<Vec<Bytes>, OpLogError> {
        crate::reading::read(&self.shared, range, bytes_max).await
    }

    /// Says that entries up to an index are not needed any more, durably, and then gives back what no drive needs. The
    /// newest vote, committed, mark and purge are said once more before groups that hold them go.
    ///
    /// Fails as [`Self::append_with`] does. Drives that fail to remove files are left to the next purge.
    pub async fn purge(&self, up_to_index: u64, payload: Bytes) -> Result<(), OpLogError> {
        self.append(vec![LogRecord::Purge { up_to_index, payload }])?.await?;
        self.reclaim().await;
        Ok(())
    }

    /// Removes whole segments that hold nothing above the last acknowledged purge.
    pub async fn reclaim(&self) {
        let _one = self.shared.reclaiming.lock().await;
        let reclaims = self.shared.pipeline().reclaim();
        for reclaim in reclaims {
            self.reclaim_drive(reclaim).await;
        }
    }

    async fn reclaim_drive(&self, reclaim: Reclaim) {
        let running = self.shared.drive(reclaim.drive);
        let RunningDrive { id, reader: Some(reader), handle: Some(handle) } = &*running else { return };
        let removable: Vec<u32> = reader
            .segments()
            .into_iter()
            .filter(|segment| *segment < reclaim.below && !reclaim.needed.contains(segment))
            .collect();
        // A drive that holds anything of the log holds its newest epoch: else it could not be told from a blank one.
        if removable.contains(&reclaim.epoch_segment) {
            let epoch = self.shared.pipeline().epoch.clone();
            match handle.append(epoch_append(&epoch)).await {
                Ok(place) => self.shared.pipeline().segments[reclaim.drive].took_epoch(place.segment),
                Err(source) => {
                    let mut effects = Effects::default();
                    let now = self.shared.clock().elapsed();
                    self.shared.pipeline().leave(reclaim.drive, source, now, &mut effects);
                    return carry_out(&self.shared, effects);
                }
            }
        }
        for segment in removable {
            match handle.remove_segment(segment).await {
                Ok(_) => drop(self.shared.pipeline().segments[reclaim.drive].highest.remove(&segment)),
                Err(error) => {
                    tracing::warn!(drive = %id, segment, %error, "a segment of the log could not be removed");
                    return;
                }
            }
        }
    }

    /// What the log is like right now.
    pub fn stats(&self) -> Stats {
        let drives = self.shared.drives();
        let pipeline = self.shared.pipeline();
        let id = |drive: &usize| drives[*drive].id;
        let usage = drives.iter();
        Stats {
            epoch: pipeline.epoch.clone(),
            healthy: pipeline.flight.healthy().iter().map(id).collect(),
            failed: pipeline.failed.iter().map(|failure| failure.drive).collect(),
            left: pipeline.failed.clone(),
            stopped: pipeline.stopped().is_some(),
            short: pipeline.short,
            copied: pipeline.counters.copied,
            acknowledged: pipeline.flight.acknowledged(),
            floor: pipeline.floor_acknowledged,
            first_index: pipeline.first_index(),
            next_index: pipeline.next_index(),
            queued_bytes: pipeline.queued_bytes(),
            cached_bytes: pipeline.cache.bytes(),
            groups: pipeline.counters.groups,
            records: pipeline.counters.records,
            late: pipeline.counters.late,
            usage: usage.filter_map(|drive| Some((drive.id, drive.reader.as_ref()?.usage()))).collect(),
        }
    }

    /// Changes the roster, or how many copies there are, while the log runs: in a new epoch, which is answered with; none
    /// where there is nothing to change. Whoever appends waits for as long as it takes to sync three times. Doing it again
    /// changes nothing.
    ///
    /// After an error the log goes on as before, unless it has stopped.
    pub async fn change_roster(&self, change: RosterChange) -> Result<Option<Arc<EpochRecord>>, ChangeError> {
        crate::changing::change(&self.shared, change).await
    }

    /// Writes everything that was taken over and marks the journals as closed. Nothing more is taken over.
    ///
    /// Fails with [`OpLogError::Stopped`] where not everything could be written. A drive that cannot be closed is
    /// recovered at the next start, like after a crash.
    pub async fn close(&self) -> Result<(), OpLogError> {
        self.shared.pipeline().closing = true;
        // A change of the roster that is under way ends, or gives up.
        let _no_change = self.shared.changing.lock().await;
        self.shared.until(Pipeline::is_idle).await;
        let drives = self.shared.drives();
        let closing = drives.iter().filter_map(|drive| Some(close_drive(drive.id, drive.handle()?)));
        for closed in closing.map(tokio::spawn).collect::<Vec<_>>() {
            // Only the end of the runtime cuts it short.
            drop(closed.await);
        }
        match self.shared.pipeline().stopped() {
            Some(OpLogError::ReadOnly) | None => Ok(()),
            Some(stopped) => Err(stopped.clone()),
        }
    }
}

impl fmt::Debug for OpLog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OpLog").field("epoch", &self.shared.pipeline().epoch.id).finish_non_exhaustive()
    }
}

impl Shared {
    pub fn pipeline(&self) -> MutexGuard<'_, Pipeline> {
        self.pipeline.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// All of them, by position.
    pub fn drives(&self) -> Vec<Arc<RunningDrive>> {
        self.drives.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// How many there are.
    pub fn drives_len(&self) -> usize {
        self.drives.read().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// The one at a position that the pipeline named.
    pub fn drive(&self, position: usize) -> Arc<RunningDrive> {
        self.drives.read().unwrap_or_else(PoisonError::into_inner)[position].clone()
    }

    /// The one with an id, and its position.
    pub fn find(&self, id: DriveId) -> Option<(usize, Arc<RunningDrive>)> {
        self.drives().into_iter().enumerate().find(|(_, drive)| drive.id == id)
    }

    /// Takes a drive in, or takes it in anew. Nothing is written to it before it is in a roster.
    pub fn admit(&self, drive: RunningDrive, dir: PathBuf, segments: SegmentUse) -> usize {
        let mut drives = self.drives.write().unwrap_or_else(PoisonError::into_inner);
        let position = self.pipeline().admit(drive.id, dir, segments);
        let drive = Arc::new(drive);
        match drives.get_mut(position) {
            Some(known) => *known = drive,
            None => drives.push(drive),
        }
        position
    }

    /// Waits until the pipeline is as it should be.
    pub async fn until(&self, ready: impl Fn(&Pipeline) -> bool) {
        loop {
            let progress = self.progress.notified();
            if ready(&self.pipeline()) {
                return;
            }
            progress.await;
        }
    }

    /// Wakes those who wait.
    pub fn progressed(&self) {
        self.progress.notify_waiters();
    }

    pub const fn changing(&self) -> &tokio::sync::Mutex<()> {
        &self.changing
    }

    pub const fn reclaiming(&self) -> &tokio::sync::Mutex<()> {
        &self.reclaiming
    }

    pub const fn options(&self) -> &Options {
        &self.options
    }

    pub const fn entropy(&self) -> &Arc<dyn Entropy> {
        &self.entropy
    }

    pub const fn shell(&self) -> Shell {
        self.shell
    }

    pub fn clock(&self) -> &dyn Clock {
        &*self.options.clock
    }

    pub const fn patience(&self) -> Patience {
        self.options.patience()
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        self.formed.notify_one();
        self.short.notify_one();
    }
}

/// Closes one drive's journal, unless the drive hangs.
fn close_drive(id: DriveId, handle: &JournalHandle) -> impl Future<Output = ()> + Send + 'static {
    let handle = handle.clone();
    async move {
        match tokio::time::timeout(CLOSE_PATIENCE, handle.close()).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!(drive = %id, %error, "a drive's log could not be closed"),
            Err(_) => tracing::warn!(drive = %id, "a drive does not answer, and its log is not closed"),
        }
    }
}

/// Hands groups to journals and answers, with the lock free: a journal that has ended answers at once.
pub(crate) fn carry_out(shared: &Arc<Shared>, effects: Effects) {
    let mut todo = vec![effects];
    while let Some(effects) = todo.pop() {
        let Effects { sends, answers, formed, short, progressed } = effects;
        for (send, append) in sends {
            let running = shared.drive(send.drive);
            let handle = running.handle().expect("only running drives are chosen");
            let called = shared.clone();
            let submitted = handle.submit(append, move |result| {
                let mut effects = Effects::default();
                called.pipeline().written(send, result, called.clock().elapsed(), &mut effects);
                carry_out(&called, effects);
            });
            if let Err(error) = submitted {
                let mut effects = Effects::default();
                shared.pipeline().leave(send.drive, Arc::new(error), shared.clock().elapsed(), &mut effects);
                todo.push(effects);
            }
        }
        if formed {
            shared.formed.notify_one();
        }
        if short {
            shared.short.notify_one();
        }
        answers.into_iter().for_each(|(answer, result)| answer(result));
        if progressed {
            shared.progress.notify_waiters();
        }
    }
}

/// Looks after groups that are under way for too long, as long as the log is used.
async fn look_for_late(log: Weak<Shared>, formed: Arc<Notify>) {
    loop {
        let wait = {
            let Some(shared) = log.upgrade() else { return };
            let mut effects = Effects::default();
            let wait = shared.pipeline().look_for_late(shared.clock().elapsed(), &mut effects);
            carry_out(&shared, effects);
            wait
        };
        match wait {
            Some(wait) => tokio::time::sleep(wait).await,
            // Nothing is under way. Whoever forms the next group says so, and so does the end of the log.
            None => formed.notified().await,
        }
    }
}

fn to_unit(records: Vec<LogRecord>, answer: Answer) -> Result<Unit, OpLogError> {
    assert!(!records.is_empty(), "there is something to append");
    let mut unit = Unit { heads: Vec::with_capacity(records.len()), body: Vec::new(), entries: Vec::new(), answer };
    for record in records {
        if let LogRecord::Append { first_index, entries } = &record {
            unit.entries.extend((*first_index..).zip(entries.iter().cloned()));
        }
        let (head, body) = record.split()?;
        unit.heads.push(head);
        unit.body.extend(body);
    }
    Ok(unit)
}

/// Follows all records that are kept.
fn read_contents(started: &Started) -> Result<Contents, OpLogError> {
    let Kept { groups, .. } = &started.kept;
    let mut contents = Contents::default();
    for group in groups {
        let mut detail = String::new();
        let head = group.holders.iter().find_map(|drive| {
            let log = &started.drives[drive];
            log.read_head(group.name).inspect_err(|what| detail.push_str(&format!("{}: {what}; ", log.drive.id))).ok()
        });
        let head = head.ok_or(OpLogError::Unreadable { name: group.name, detail })?;
        for (ordinal, record) in head.records.iter().enumerate() {
            contents
                .apply(record, group.name.number, ordinal)
                .map_err(|source| OpLogError::Inconsistent { name: group.name, source })?;
        }
    }
    contents.settle();
    Ok(contents)
}

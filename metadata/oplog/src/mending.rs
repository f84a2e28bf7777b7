//! What a running log does for its drives in the background: copies of a lost drive are made anew elsewhere, while writes
//! go on; and each drive is looked after, because a file that lost its name is synced without an error.

use std::collections::BTreeSet;
use std::sync::{Arc, Weak};
use std::time::Duration;

use cairn_journal::{JournalError, JournalHandle};
use tokio::sync::{Notify, oneshot};

use crate::group::GroupNumber;
use crate::oplog::{Shared, carry_out};
use crate::pipeline::{Effects, Short};
use crate::reading::read_stored;
use crate::start::epoch_append;

/// So many groups are copied before it is waited for all of them, and so many bytes.
pub(crate) const BATCH_GROUPS: usize = 64;
const BATCH_BYTES_MAX: usize = 8 << 20;

/// How often a drive is looked after.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Makes copies until each group lies on r drives that are well; then waits until it is told that one does not.
pub(crate) async fn keep_copies(log: Weak<Shared>, short: Arc<Notify>) {
    let mut behind = GroupNumber::ZERO;
    loop {
        let Some(shared) = log.upgrade() else { return };
        let batch = shared.pipeline().next_short(behind, BATCH_GROUPS, shared.clock().elapsed());
        if batch.is_empty() {
            drop(shared);
            behind = GroupNumber::ZERO;
            short.notified().await;
        } else {
            // A group that could not be copied is passed over until a drive comes or goes.
            behind = copy(&shared, batch).await;
        }
    }
}

/// Copies some groups and says which was the last that was tried.
pub(crate) async fn copy(shared: &Arc<Shared>, batch: Vec<Short>) -> GroupNumber {
    let mut last = GroupNumber::ZERO;
    let mut answers = Vec::new();
    let mut bytes = 0;
    for short in batch {
        if bytes >= BATCH_BYTES_MAX {
            break;
        }
        let Short { name, places, target } = short;
        // Whatever becomes of it: the next round begins behind it, and does not turn in place.
        last = name.number;
        let group = match read_stored(shared, name, &places).await {
            Ok(group) => group,
            Err(error) => {
                tracing::error!(%error, "a group of the log lies on too few drives and cannot be copied");
                continue;
            }
        };
        bytes += group.body.len() + group.head_bytes.len();
        let running = shared.drive(target);
        let Some(handle) = running.handle() else { continue };
        let (done, answer) = oneshot::channel();
        let called = shared.clone();
        let now = shared.clock().elapsed();
        shared.pipeline().copying(target, name.number, now);
        let submitted = handle.submit(group.to_append(), move |result| {
            let mut effects = Effects::default();
            called.pipeline().copied(target, name, result, called.clock().elapsed(), &mut effects);
            carry_out(&called, effects);
            // Who asked may have given the drive up.
            done.send(()).ok();
        });
        if let Err(error) = submitted {
            let mut effects = Effects::default();
            shared.pipeline().copied(target, name, Err(Arc::new(error)), now, &mut effects);
            carry_out(shared, effects);
        } else {
            answers.push((target, answer));
        }
    }
    let targets: BTreeSet<usize> = answers.iter().map(|(target, _)| *target).collect();
    let all = async {
        for (_, answer) in answers {
            // An answer that is dropped came from a journal that has ended: the drive was left.
            answer.await.ok();
        }
    };
    if tokio::time::timeout(shared.patience().given_up, all).await.is_err() {
        tracing::warn!(?targets, "copies of the log are not synced in time");
    }
    last
}

/// Looks after one drive as long as the log is used: whether its files are still there, and, where it was left because it
/// was full, whether it has room again.
pub(crate) async fn look_after(log: Weak<Shared>, drive: usize) {
    loop {
        tokio::time::sleep(LOOK_EVERY).await;
        let Some(handle) = log.upgrade().and_then(|shared| shared.drive(drive).handle().cloned()) else { return };
        let checked = handle.check().await;
        let Some(shared) = log.upgrade() else { return };
        match checked {
            Ok(()) => take_back(&shared, drive, &handle).await,
            Err(error) => match &*error {
                JournalError::Closed => return,
                JournalError::Io { source, .. } if source.kind() == std::io::ErrorKind::NotFound => {
                    let mut effects = Effects::default();
                    shared.pipeline().leave(drive, error, shared.clock().elapsed(), &mut effects);
                    carry_out(&shared, effects);
                }
                // A disk that fails says so when it is written to, and one that is full as well.
                _ => {}
            },
        }
    }
}

/// Uses a drive again that was full. The epoch may have changed since it was left, so it takes its record first.
async fn take_back(shared: &Arc<Shared>, drive: usize, handle: &JournalHandle) {
    let epoch = {
        let pipeline = shared.pipeline();
        if !pipeline.full.contains(&drive) {
            return;
        }
        pipeline.epoch.clone()
    };
    let mut effects = Effects::default();
    match handle.append(epoch_append(&epoch)).await {
        Ok(place) => shared.pipeline().has_room_again(drive, epoch.id, place, &mut effects),
        Err(error) => tracing::debug!(drive, %error, "a drive that was full takes nothing yet"),
    }
    carry_out(shared, effects);
}

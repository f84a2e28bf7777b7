//! What drives hold, compared with what the rows name: by one hash for a range of names, and by the names where it differs.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use cairn_core::chunk_store::{ChunkStat, RangeDigester};
use cairn_core::{ChunkError, ChunkName, ChunkStore, DriveId, Drives, StripeId, WriteId};
use cairn_machine::rows::stripe::StripeRow;

use super::PAGE;

/// Names behind `after`, up to and including `until`; from the beginning and to the end without them.
#[derive(Debug, Clone, Copy)]
pub(super) struct Range {
    pub after: Option<ChunkName>,
    pub until: Option<ChunkName>,
}

/// Whether a drive can say what it holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Holder {
    Answers,
    /// It failed to, and is not asked again in this pass.
    Silent,
}

/// What a drive holds of one range.
#[derive(Debug)]
pub(super) enum Held {
    /// What the rows name, and nothing else.
    AsNamed,
    /// The drive does not answer.
    Unknown,
    /// Something else.
    Otherwise {
        /// What the rows name and is not there.
        missing: BTreeSet<ChunkName>,
        /// What is there and the rows do not name.
        unnamed: Vec<ChunkName>,
    },
}

impl Held {
    /// Whether a chunk that the rows name is there, as far as is known.
    pub fn has(&self, name: &ChunkName) -> bool {
        match self {
            Self::AsNamed => true,
            Self::Unknown => false,
            Self::Otherwise { missing, .. } => !missing.contains(name),
        }
    }
}

impl Holder {
    /// Compares what a drive holds with what the rows name there.
    pub async fn look(
        &mut self,
        drives: &Drives,
        drive: DriveId,
        range: Range,
        expected: BTreeSet<ChunkName>,
        patience: Duration,
    ) -> Held {
        if *self == Self::Silent {
            return Held::Unknown;
        }
        let compared = match drives.get(drive) {
            Ok(store) => compare(&*store, range, expected, patience).await,
            Err(error) => Err(error),
        };
        compared.unwrap_or_else(|error| {
            tracing::warn!(%drive, %error, "a drive cannot be listed");
            *self = Self::Silent;
            Held::Unknown
        })
    }
}

async fn compare(
    store: &dyn ChunkStore,
    range: Range,
    mut expected: BTreeSet<ChunkName>,
    patience: Duration,
) -> Result<Held, ChunkError> {
    let mut digester = RangeDigester::default();
    expected.iter().for_each(|name| digester.add(name));
    let digest = within(patience, store, store.digest(range.after, range.until)).await?;
    if digest == digester.finish() {
        return Ok(Held::AsNamed);
    }
    let mut unnamed = Vec::new();
    let mut after = range.after;
    loop {
        let page = within(patience, store, store.list(after, PAGE)).await?;
        let inside = |stat: &&ChunkStat| range.until.is_none_or(|until| stat.name <= until);
        for stat in page.iter().take_while(inside) {
            if !expected.remove(&stat.name) {
                unnamed.push(stat.name);
            }
        }
        after = page.last().map(|stat| stat.name);
        if page.len() < PAGE || range.until.is_some_and(|until| after > Some(until)) {
            return Ok(Held::Otherwise { missing: expected, unnamed });
        }
    }
}

async fn within<T>(
    patience: Duration,
    store: &dyn ChunkStore,
    answer: impl Future<Output = Result<T, ChunkError>>,
) -> Result<T, ChunkError> {
    let late = |_| Err(ChunkError::Unavailable(store.drive(), Arc::from("it takes too long for an answer")));
    tokio::time::timeout(patience, answer).await.unwrap_or_else(late)
}

/// The chunks that stripes name, by the drive that they should be on.
pub(super) fn names_by_drive(page: &[(StripeId, StripeRow)]) -> BTreeMap<DriveId, BTreeSet<ChunkName>> {
    let mut named: BTreeMap<DriveId, BTreeSet<ChunkName>> = BTreeMap::new();
    for (stripe, row) in page {
        for (position, placed) in (0u8..).zip(&row.positions) {
            let name = ChunkName { stripe: *stripe, position, write: placed.write };
            named.entry(placed.drive).or_default().insert(name);
        }
    }
    named
}

/// The greatest name that a chunk of a stripe could have.
pub(super) fn last_name(stripe: StripeId) -> ChunkName {
    ChunkName { stripe, position: u8::MAX, write: WriteId::from_bytes([u8::MAX; WriteId::BYTES]) }
}

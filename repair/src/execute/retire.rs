//! Taking apart what nothing refers to any more, in bounded steps: manifests page by page, uploads that were completed or
//! aborted some parts at a time.
//!
//! ```text
//! rows --plan--> steps --proposed a few at a time--> what is refused is planned again, from the rows as they are then
//! ```
//!
//! A step that two daemons propose, or that comes twice, changes nothing more: each names what it saw, or takes what comes
//! next.

use std::collections::BTreeSet;
use std::ops::ControlFlow;

use cairn_machine::row::{Row, Table};
use cairn_machine::rows::manifest::{ManifestId, ManifestRow, RetirementRow};
use cairn_machine::rows::upload::{UploadId, UploadRetirementRow};
use cairn_machine::{Operation, Outcome, RowError, RowSource};
use cairn_metadata::Client;

use crate::census::scan_table;
use crate::error::RepairError;

/// How many steps one plan has. What has gone leaves tombstones where the next plan begins to look, so plans are not short.
const STEPS_MAX: usize = 256;

/// How many pages are proposed at a time. One of 128 large extents, each with a stripe and chunks of its own, is some
/// milliseconds of applying, for which every writer waits: with eight of them in an entry, 64 small writers had a p99 seven
/// times as long as at rest (`cargo bench -p cairn-metadata --bench long`). A step of an upload is proposed alone as well.
const PAGES_AT_ONCE: usize = 1;

/// How many steps of one upload a plan has: enough for any of 10,000 short parts.
const UPLOAD_STEPS: usize = 8;

/// Takes apart what is retiring, at most one plan of it. Returns how many steps were taken; zero means that nothing is left.
pub async fn retire(client: &Client) -> Result<u64, RepairError> {
    let view = client.read().await?;
    let steps = plan(&view)?;
    drop(view);
    let mut taken = 0;
    // A page may need more than one operation. Those behind it are refused then, and wait for the next plan.
    let mut halted = BTreeSet::new();
    let mut steps = steps.into_iter().peekable();
    while let Some(step) = steps.next() {
        let mut proposed = vec![step];
        while !step.fills_an_operation()
            && proposed.len() < PAGES_AT_ONCE
            && let Some(next) = steps.next_if(|next| !next.fills_an_operation())
        {
            proposed.push(next);
        }
        proposed.retain(|step| !halted.contains(&step.of()));
        if proposed.is_empty() {
            continue;
        }
        let outcomes = client.propose(proposed.iter().map(|step| step.operation()).collect()).await?;
        for (step, outcome) in proposed.iter().zip(outcomes) {
            if matches!(outcome, Outcome::Done) {
                taken += 1;
            } else {
                halted.insert(step.of());
            }
        }
    }
    Ok(taken)
}

/// What is being taken apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Retiring {
    Manifest(ManifestId),
    Upload(UploadId),
}

/// One operation of a retirement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    Page { manifest: ManifestId, page: u32 },
    Parts { upload: UploadId },
}

impl Step {
    fn operation(self) -> Operation {
        match self {
            Self::Page { manifest, page } => Operation::RetirePage { manifest, page },
            Self::Parts { upload } => Operation::RetireUpload { upload },
        }
    }

    fn of(self) -> Retiring {
        match self {
            Self::Page { manifest, .. } => Retiring::Manifest(manifest),
            Self::Parts { upload } => Retiring::Upload(upload),
        }
    }

    fn fills_an_operation(self) -> bool {
        matches!(self, Self::Parts { .. })
    }
}

/// What is to be done next, oldest names first: uploads before the manifests that their parts may leave.
fn plan(rows: &impl RowSource) -> Result<Vec<Step>, RowError> {
    let mut steps = Vec::new();
    let flow =
        |steps: &[Step]| if steps.len() < STEPS_MAX { ControlFlow::Continue(()) } else { ControlFlow::Break(()) };
    let uploads = &[Table::UploadRetirement as u8];
    scan_table::<UploadRetirementRow>(rows, Table::UploadRetirement, uploads, &mut |key, _| {
        let upload = UploadRetirementRow::parse_key(key)?;
        steps.extend([Step::Parts { upload }; UPLOAD_STEPS]);
        Ok(flow(&steps))
    })?;
    if flow(&steps).is_break() {
        return Ok(steps);
    }
    scan_table::<RetirementRow>(rows, Table::Retirement, &[Table::Retirement as u8], &mut |key, row| {
        let manifest = RetirementRow::parse_key(key)?;
        let head = ManifestRow::get(rows, &manifest)?.ok_or_else(|| RowError::missing::<ManifestRow>(key))?;
        let pages = (row.next_page..head.pages).take(STEPS_MAX - steps.len());
        steps.extend(pages.map(|page| Step::Page { manifest, page }));
        Ok(flow(&steps))
    })?;
    Ok(steps)
}

#[cfg(test)]
mod tests {
    use cairn_core::{LogIndex, SessionId, VersionId, WriteId};
    use cairn_machine::MapRows;
    use cairn_machine::rows::manifest::ManifestState;

    use super::*;

    fn manifest(counter: u64) -> ManifestId {
        ManifestId(WriteId { session: SessionId(7), counter })
    }

    fn upload(index: u64) -> UploadId {
        UploadId(VersionId { index: LogIndex(index), ordinal: 0 })
    }

    fn put<R: Row>(rows: &mut MapRows, key: &R::Key, row: R) {
        rows.apply([(R::key(key), Some(row.encode()))]);
    }

    fn retiring(rows: &mut MapRows, id: ManifestId, next_page: u32, pages: u32) {
        put(rows, &id, ManifestRow { state: ManifestState::Retiring, pages, bytes: 1, parts: None });
        put(rows, &id, RetirementRow { next_page });
    }

    #[test]
    fn a_plan_goes_on_where_the_last_one_ended_and_has_an_end() {
        let mut rows = MapRows::default();
        assert_eq!(plan(&rows).unwrap(), []);
        retiring(&mut rows, manifest(1), 5, 8);
        retiring(&mut rows, manifest(2), 0, 1);
        put(
            &mut rows,
            &manifest(3),
            ManifestRow { state: ManifestState::Referenced(1), pages: 9, bytes: 1, parts: None },
        );
        let page = |id, page| Step::Page { manifest: manifest(id), page };
        assert_eq!(plan(&rows).unwrap(), [page(1, 5), page(1, 6), page(1, 7), page(2, 0)]);
        retiring(&mut rows, manifest(4), 3, 100_000);
        retiring(&mut rows, manifest(5), 0, 1);
        let steps = plan(&rows).unwrap();
        assert_eq!(steps.len(), STEPS_MAX);
        assert_eq!(steps.last(), Some(&page(4, 3 + STEPS_MAX as u32 - 5)));
        for index in 0..100 {
            put(&mut rows, &upload(index), UploadRetirementRow { next_part: 1 });
        }
        let steps = plan(&rows).unwrap();
        assert_eq!((steps.len(), steps[0]), (STEPS_MAX, Step::Parts { upload: upload(0) }));
        assert_eq!(steps[UPLOAD_STEPS], Step::Parts { upload: upload(1) });
    }

    #[test]
    fn a_retirement_of_nothing_is_damage() {
        let mut rows = MapRows::default();
        put(&mut rows, &manifest(1), RetirementRow { next_page: 0 });
        assert!(matches!(plan(&rows), Err(RowError::Damaged { .. })));
    }
}

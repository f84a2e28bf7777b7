//! Taking manifests apart, page by page: those that lost their last reference, and those whose session ended before
//! anything referred to them.

use std::ops::ControlFlow;

use cairn_core::{SessionId, WriteId};
use cairn_machine::row::{Row, Table};
use cairn_machine::rows::manifest::{ManifestId, ManifestRow, ManifestState, RetirementRow};
use cairn_machine::rows::session::SessionRow;
use cairn_machine::{Operation, Outcome, RowError, RowSource};
use cairn_metadata::Client;

use crate::census::{damaged, scan_table};
use crate::error::RepairError;

/// How many manifests one call works on; the next call goes on.
const MANIFESTS_MAX: usize = 64;

/// How many pages of one manifest are proposed at a time. Each is an operation of its own, so foreground writes wait
/// for little.
const PAGES_STEP: u32 = 8;

/// Gives up pending manifests whose sessions have ended. Returns how many there were.
pub async fn abandon(client: &Client) -> Result<u64, RepairError> {
    let view = client.read().await?;
    let mut ended = Vec::new();
    scan_table::<ManifestRow>(&view, Table::Manifest, &[Table::Manifest as u8], &mut |key, row| {
        if let ManifestState::Pending(session) = row.state
            && SessionRow::get(&view, &session)?.is_none()
        {
            ended.push((manifest_of(key)?, session));
        }
        Ok(if ended.len() == MANIFESTS_MAX { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
    })?;
    drop(view);
    let operations: Vec<Operation> = ended.iter().map(|&(manifest, session)| give_up(manifest, session)).collect();
    if operations.is_empty() {
        return Ok(0);
    }
    let outcomes = client.propose(operations).await?;
    Ok(outcomes.iter().filter(|outcome| matches!(outcome, Outcome::Done)).count() as u64)
}

fn give_up(manifest: ManifestId, session: SessionId) -> Operation {
    Operation::AbandonManifest { manifest, session }
}

/// Takes apart what is retiring. Returns how many pages went.
pub async fn retire(client: &Client) -> Result<u64, RepairError> {
    let mut gone = 0;
    let view = client.read().await?;
    let work = retiring(&view)?;
    drop(view);
    for (manifest, first, pages) in work {
        let mut next = first;
        // The step that takes the last page takes the head with it.
        while next < pages {
            let until = (next + PAGES_STEP).min(pages);
            let operations: Vec<Operation> =
                (next..until).map(|page| Operation::RetirePage { manifest, page }).collect();
            let outcomes = client.propose(operations).await?;
            gone += outcomes.iter().filter(|outcome| matches!(outcome, Outcome::Done)).count() as u64;
            if outcomes.iter().any(|outcome| !matches!(outcome, Outcome::Done)) {
                break;
            }
            next = until;
        }
    }
    Ok(gone)
}

fn retiring(rows: &impl RowSource) -> Result<Vec<(ManifestId, u32, u32)>, RowError> {
    let mut work = Vec::new();
    scan_table::<RetirementRow>(rows, Table::Retirement, &[Table::Retirement as u8], &mut |key, row| {
        let manifest = manifest_of(key)?;
        let pages = ManifestRow::get(rows, &manifest)?.map_or(0, |head| head.pages);
        work.push((manifest, row.next_page, pages));
        Ok(if work.len() == MANIFESTS_MAX { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
    })?;
    Ok(work)
}

fn manifest_of(key: &[u8]) -> Result<ManifestId, RowError> {
    let id: [u8; 16] = key[1..].try_into().map_err(|_| damaged(key, "key of a manifest"))?;
    Ok(ManifestId(WriteId::from_bytes(id)))
}

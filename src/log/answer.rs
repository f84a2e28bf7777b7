//! The answering end: entries of this node's own log become changes that a person understands.

use std::collections::BTreeMap;

use cairn_core::{BucketId, LogIndex, SessionId};
use cairn_machine::rows::bucket::{BucketRow, made_at, made_by};
use cairn_machine::rows::session::{SessionKind, SessionRow};
use cairn_machine::{Batch, Operation, Proposal, Row, RowError};
use cairn_metadata::{Client, LogContent, LogEntry, LogReadError, MetadataNode, View};

use super::{Asked, Change, Effect, Page};
use crate::calendar;

/// How far back a question goes that does not say from where.
const ENTRIES_DEFAULT: u64 = 100;

/// How many names of buckets that are gone are looked up in the log for one page.
const LOOKUPS_MAX: usize = 64;

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum LogFault {
    /// The question makes no sense. Ask another one.
    #[error("{0}")]
    Question(String),
    /// The log cannot be read here. Ask another node.
    #[error(transparent)]
    Log(#[from] LogReadError),
    /// The rows cannot be read here. Ask another node.
    #[error(transparent)]
    Rows(#[from] RowError),
}

/// Answers a question with a page, which may be empty.
pub async fn answer(node: &MetadataNode, client: &Client, asked: &Asked) -> Result<Page, LogFault> {
    if asked.bucket.as_ref().is_some_and(|bucket| !super::is_plain(bucket)) {
        return Err(LogFault::Question("no bucket has such a name".into()));
    }
    let from = match asked.from {
        Some(from) => LogIndex(from),
        None => LogIndex((client.read_stale().index().0 + 1).saturating_sub(ENTRIES_DEFAULT)),
    };
    if !asked.wait.is_zero() {
        // Either way it is looked what there is.
        let waited = tokio::time::timeout(asked.wait, node.until_applied(from)).await;
        waited.unwrap_or_default();
    }
    let from = from.max(node.log_begins());
    let page = match node.read_log(from).await {
        // It was cut while it was read.
        Err(LogReadError::Gone { first }) => node.read_log(first).await?,
        page => page?,
    };
    let from = page.entries.first().map_or(page.next, |entry| entry.index);
    let mut telling = Telling::new(node, client.read_stale());
    let mut changes = Vec::new();
    for entry in &page.entries {
        telling.entry(entry, asked.bucket.as_deref(), &mut changes).await?;
    }
    Ok(Page { from: from.0, next: page.next.0, applied: page.applied.0, changes })
}

/// What is looked up for one page.
struct Telling<'a> {
    node: &'a MetadataNode,
    view: View,
    buckets: BTreeMap<BucketId, Option<String>>,
    sessions: BTreeMap<SessionId, Option<String>>,
    lookups: usize,
}

impl<'a> Telling<'a> {
    fn new(node: &'a MetadataNode, view: View) -> Self {
        Self { node, view, buckets: BTreeMap::new(), sessions: BTreeMap::new(), lookups: 0 }
    }

    async fn entry(&mut self, entry: &LogEntry, wanted: Option<&str>, to: &mut Vec<Change>) -> Result<(), LogFault> {
        let of_raft = |what: &str, detail: String| Change {
            index: entry.index.0,
            operation: 0,
            time: None,
            term: entry.term,
            key: None,
            session: None,
            role: None,
            what: what.to_owned(),
            bucket: None,
            bucket_id: None,
            object: None,
            detail,
            outcome: Effect::Done,
            refusal: None,
        };
        match &entry.content {
            LogContent::Batch(batch) => self.batch(entry, batch, wanted, to).await?,
            _ if wanted.is_some() => {}
            LogContent::Blank => to.push(of_raft("NewLeader", String::new())),
            LogContent::Members(members) => {
                let votes = |votes: &bool| if *votes { "votes" } else { "follows" };
                let of = |(id, node, voting): &(u64, _, bool)| format!("{id}={node}:{}", votes(voting));
                to.push(of_raft("Members", members.iter().map(of).collect::<Vec<_>>().join(" ")));
            }
        }
        Ok(())
    }

    async fn batch(
        &mut self,
        entry: &LogEntry,
        batch: &Batch,
        wanted: Option<&str>,
        to: &mut Vec<Change>,
    ) -> Result<(), LogFault> {
        let mut ordinal = 0_u16;
        for (at, proposal) in batch.proposals.iter().enumerate() {
            for (place, operation) in proposal.operations.iter().enumerate() {
                let described = operation.describe();
                let made = matches!(operation, Operation::CreateBucket { .. }).then(|| made_by(entry.index, ordinal));
                let (id, number) = (described.bucket.or(made), ordinal);
                ordinal = ordinal.saturating_add(1);
                let bucket = match (operation, id) {
                    (Operation::CreateBucket { name, .. }, _) => Some(name.to_string()),
                    (_, Some(id)) => self.bucket(id).await?,
                    (_, None) => None,
                };
                let id = id.map(|id| id.to_string());
                if wanted.is_some_and(|wanted| Some(wanted) != bucket.as_deref() && Some(wanted) != id.as_deref()) {
                    continue;
                }
                let (outcome, refusal) = match &entry.refused {
                    None => (Effect::Unknown, None),
                    Some(refused) => match refused.iter().find(|(of, which, _)| (*of, *which) == (at, place)) {
                        Some((_, _, refusal)) => (Effect::Refused, Some(refusal.to_string())),
                        None => (Effect::Done, None),
                    },
                };
                to.push(Change {
                    index: entry.index.0,
                    operation: u32::from(number),
                    time: Some(calendar::moment(batch.time)),
                    term: entry.term,
                    key: key(proposal, place),
                    session: proposal.request.map(|request| request.session.to_string()),
                    role: proposal.request.map_or(Ok(None), |request| self.role(request.session))?,
                    what: described.what.to_owned(),
                    bucket,
                    bucket_id: id,
                    object: described.key.map(|key| key.as_str().to_owned()),
                    detail: described.detail,
                    outcome,
                    refusal,
                });
            }
        }
        Ok(())
    }

    /// A bucket's name. That of one that is gone stands where it was made, for as long as the log goes back so far.
    async fn bucket(&mut self, id: BucketId) -> Result<Option<String>, LogFault> {
        if let Some(known) = self.buckets.get(&id) {
            return Ok(known.clone());
        }
        let name = match BucketRow::get(&self.view, &id)? {
            Some(row) => Some(row.name.to_string()),
            None if self.lookups < LOOKUPS_MAX => {
                self.lookups += 1;
                self.former_name(id).await
            }
            None => None,
        };
        self.buckets.insert(id, name.clone());
        Ok(name)
    }

    async fn former_name(&self, id: BucketId) -> Option<String> {
        let (index, ordinal) = made_at(id);
        // A log that does not go back so far is no fault of whoever asks for something else in it.
        let page = self.node.read_log(index).await.ok()?;
        let LogContent::Batch(batch) = &page.entries.first()?.content else { return None };
        let mut operations = batch.proposals.iter().flat_map(|proposal| &proposal.operations);
        match operations.nth(usize::from(ordinal)) {
            Some(Operation::CreateBucket { name, .. }) => Some(name.to_string()),
            _ => None,
        }
    }

    /// What a session does, and where.
    fn role(&mut self, id: SessionId) -> Result<Option<String>, RowError> {
        if let Some(known) = self.sessions.get(&id) {
            return Ok(known.clone());
        }
        let role = SessionRow::get(&self.view, &id)?.map(|row| match row.kind {
            SessionKind::Gateway => format!("gateway on {}", row.node),
            SessionKind::Repair => format!("repair on {}", row.node),
        });
        self.sessions.insert(id, role.clone());
        Ok(role)
    }
}

fn key(proposal: &Proposal, place: usize) -> Option<String> {
    proposal.author(place).map(|key| if key.is_empty() { "anonymous".to_owned() } else { key.to_owned() })
}

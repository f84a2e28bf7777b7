//! Forming the cluster, and who may sign requests.

use minicbor::bytes::ByteVec;

use crate::apply::context::Context;
use crate::apply::topology;
use crate::apply::transaction::{Stop, Transaction, malformed, unknown};
use crate::operation::{OPERATION_ROWS_MAX, Operation};
use crate::outcome::{Outcome, Refusal};
use crate::row::Table;
use crate::rows::access_key::{ACCESS_KEY_ID_BYTES_MAX, AccessKeyRow, SEALED_SECRET_BYTES_MAX};
use crate::rows::cluster::ClusterRow;
use crate::rows::profile::{ProfileId, ProfileRow};
use crate::rows::topology::NodeRow;
use crate::source::RowSource;

pub(crate) fn form<S: RowSource + ?Sized>(
    rows: &mut Transaction<'_, S>,
    context: &Context<'_>,
    operation: &Operation,
) -> Result<Outcome, Stop> {
    let Operation::Form { cluster, node, zone, drives, standard, access_key, sealed_secret, voter } = operation else {
        unreachable!("only a Form comes here");
    };
    if rows.get::<ClusterRow>(&())?.is_some() {
        return Err(Refusal::AlreadyFormed.into());
    }
    if drives.is_empty() {
        return Err(malformed("a cluster has a drive"));
    }
    if zone.len() > topology::NAME_BYTES_MAX {
        return Err(malformed("the zone's name is too long"));
    }
    let row = ClusterRow { id: *cluster, function: context.function, formed: context.time, buckets_made: 0 };
    rows.put(&(), row)?;
    rows.put(node, NodeRow { zone: zone.clone(), joined: context.time, voter: Some(*voter) })?;
    rows.put(voter, topology::NOTHING_REPORTED)?;
    topology::add_drives(rows, context, *node, drives)?;
    rows.put(&ProfileId::STANDARD, ProfileRow { class: "STANDARD".into(), geometry: *standard })?;
    put_access_key(rows, context, access_key, sealed_secret, true)
}

/// From the next entry on, entries are proposed for this version. Whoever proposes it has asked all members whether they know it;
/// one that does not stops at this very entry, which is of the version that it raises to.
pub(crate) fn raise_function<S: RowSource + ?Sized>(
    rows: &mut Transaction<'_, S>,
    context: &Context<'_>,
    to: u8,
) -> Result<Outcome, Stop> {
    if to > context.function {
        return Err(malformed("an entry raises to no later version than its own"));
    }
    let row = (*rows.must::<ClusterRow>(&())?).clone();
    if row.function < to {
        rows.put(&(), ClusterRow { function: to, ..row })?;
    }
    Ok(Outcome::Done)
}

pub(crate) fn put_access_key<S: RowSource + ?Sized>(
    rows: &mut Transaction<'_, S>,
    context: &Context<'_>,
    id: &str,
    sealed_secret: &ByteVec,
    root: bool,
) -> Result<Outcome, Stop> {
    if id.is_empty() || id.len() > ACCESS_KEY_ID_BYTES_MAX {
        return Err(malformed("the access key's id is empty or too long"));
    }
    if sealed_secret.is_empty() || sealed_secret.len() > SEALED_SECRET_BYTES_MAX {
        return Err(malformed("the sealed secret is empty or too long"));
    }
    let id = id.to_owned();
    let before = rows.get::<AccessKeyRow>(&id)?;
    let (root, created) = before.map_or((root, context.time), |row| (row.root, row.created));
    rows.put(&id, AccessKeyRow { sealed_secret: sealed_secret.clone(), root, created })?;
    Ok(Outcome::Done)
}

pub(crate) fn remove_access_key<S: RowSource + ?Sized>(
    rows: &mut Transaction<'_, S>,
    id: &str,
) -> Result<Outcome, Stop> {
    let id = id.to_owned();
    let row = rows.get::<AccessKeyRow>(&id)?.ok_or_else(|| unknown("access key"))?;
    if row.root {
        // So many keys that they cannot all be looked at refuse the removal as too large; nothing is guessed.
        let all = rows.first::<AccessKeyRow>(&[Table::AccessKey as u8], OPERATION_ROWS_MAX)?;
        if all.iter().filter(|(_, row)| row.root).count() < 2 {
            return Err(malformed("it is the last access key that may do everything"));
        }
    }
    rows.remove::<AccessKeyRow>(&id)?;
    Ok(Outcome::Done)
}

//! Forming the cluster with its root key, and finding the key again: the log has the truth, the environment overrules.

use std::ops::ControlFlow;

use anyhow::Context;
use cairn_core::Geometry;
use cairn_gateway::SecretSealer;
use cairn_machine::row::{Row, Table, table_end};
use cairn_machine::rows::access_key::AccessKeyRow;
use cairn_machine::rows::session::SessionKind;
use cairn_machine::{Operation, Outcome, RowSource};
use cairn_metadata::StartError;
use minicbor::bytes::ByteVec;

use crate::assembly::Parts;
use crate::assembly::core::{Core, FIRST_VOTER, Rooms};
use crate::assembly::topology::new_drive;
use crate::credentials::Credentials;

/// Waits until the metadata is ready, forming the cluster where it never was; the root key that is in force from then on.
pub async fn settle(
    parts: &Parts,
    core: &Core,
    rooms: &Rooms,
    demanded: Option<Credentials>,
) -> anyhow::Result<Credentials> {
    let sealer = SecretSealer::new(rooms.secret().expose());
    match core.node.ready().await {
        Ok(()) => {}
        Err(StartError::NotFormed) => {
            let key = demanded.clone().unwrap_or_else(|| Credentials::draw(&*parts.entropy));
            core.node.form(form(parts, rooms, &sealer, &key)?).await?;
            core.node.ready().await?;
        }
        Err(error) => return Err(error.into()),
    }
    let client = core.node.client(SessionKind::Gateway).await?;
    let view = client.read().await?;
    let roots = root_keys(&view)?;
    drop(view);
    let mut known = Vec::new();
    for (id, row) in roots {
        let secret = sealer.open(&id, &row.sealed_secret).with_context(|| format!("access key {id}"))?;
        known.push(Credentials { access_key: id, secret_key: secret.to_string() });
    }
    let credentials = match demanded {
        Some(demanded) if known == [demanded.clone()] => demanded,
        Some(demanded) => {
            let sealed = sealer.seal(&demanded.access_key, &demanded.secret_key, &*parts.entropy)?;
            let put = Operation::PutAccessKey {
                id: demanded.access_key.clone(),
                sealed_secret: ByteVec::from(sealed),
                root: true,
            };
            let others = known.into_iter().filter(|key| key.access_key != demanded.access_key);
            let removals = others.map(|key| Operation::RemoveAccessKey { id: key.access_key });
            for outcome in client.propose(std::iter::once(put).chain(removals).collect()).await? {
                if let Outcome::Refused(refusal) = outcome {
                    anyhow::bail!("the root key cannot be replaced: {refusal}");
                }
            }
            demanded
        }
        None => known.into_iter().next().context("the log holds no root key")?,
    };
    client.close().await;
    Ok(credentials)
}

fn form(parts: &Parts, rooms: &Rooms, sealer: &SecretSealer, key: &Credentials) -> anyhow::Result<Operation> {
    Ok(Operation::Form {
        cluster: rooms.cluster(),
        node: rooms.node(),
        zone: String::new(),
        drives: rooms.dirs().iter().map(|dir| new_drive(dir)).collect(),
        standard: Geometry::standard_for(rooms.dirs().len()),
        access_key: key.access_key.clone(),
        sealed_secret: ByteVec::from(sealer.seal(&key.access_key, &key.secret_key, &*parts.entropy)?),
        voter: FIRST_VOTER,
    })
}

fn root_keys(rows: &impl RowSource) -> anyhow::Result<Vec<(String, AccessKeyRow)>> {
    let table = Table::AccessKey;
    let mut found = Vec::new();
    rows.scan(&[table as u8], Some(&table_end(table)), &mut |key, value| {
        found.push((String::from_utf8_lossy(&key[1..]).into_owned(), AccessKeyRow::decode(key, value)));
        ControlFlow::Continue(())
    })?;
    let mut roots = Vec::new();
    for (id, row) in found {
        let row = row?;
        if row.root {
            roots.push((id, row));
        }
    }
    Ok(roots)
}

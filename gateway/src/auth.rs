//! Access keys: from a row's sealed secret to what a signature is checked with.
//!
//! An opened secret is kept as long as the row it came from: each use compares the sealed bytes with the row's, so a key
//! that was changed or removed stops working with the entry that says so. A look at the row costs little beside a
//! signature; opening the seal would not.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use cairn_machine::Row;
use cairn_machine::rows::access_key::{ACCESS_KEY_ID_BYTES_MAX, AccessKeyRow};
use cairn_metadata::Client;
use s3s::auth::{S3Auth, SecretKey};
use s3s::{S3Result, s3_error};

use crate::seal::SecretSealer;

/// The most opened secrets that are kept. More keys than that are opened again.
const OPENED_MAX: usize = 1024;

/// Looks up access keys.
pub struct AccessKeys {
    client: Client,
    sealer: SecretSealer,
    opened: Mutex<HashMap<String, Opened>>,
}

struct Opened {
    sealed: Vec<u8>,
    secret: SecretKey,
}

impl AccessKeys {
    /// Keys from these rows, opened with this sealer.
    pub fn new(client: Client, sealer: SecretSealer) -> Self {
        Self { client, sealer, opened: Mutex::default() }
    }

    /// The row of a key; `None` where there is none. Looks at the rows as they are here, and again linearizably before it
    /// says that a key is not there.
    pub async fn row(&self, id: &str) -> S3Result<Option<AccessKeyRow>> {
        if id.is_empty() || id.len() > ACCESS_KEY_ID_BYTES_MAX {
            return Ok(None);
        }
        let id = id.to_owned();
        if let Some(row) = AccessKeyRow::get(&self.client.read_stale(), &id).map_err(unreadable)? {
            return Ok(Some(row));
        }
        let view = self.client.read().await.map_err(|error| s3_error!(ServiceUnavailable, "{error}"))?;
        AccessKeyRow::get(&view, &id).map_err(unreadable)
    }

    fn open(&self, id: &str, row: &AccessKeyRow) -> S3Result<SecretKey> {
        let mut opened = self.opened.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = opened.get(id)
            && known.sealed == **row.sealed_secret
        {
            return Ok(known.secret.clone());
        }
        let secret = self.sealer.open(id, &row.sealed_secret).map_err(|error| {
            tracing::error!(%error, "an access key cannot be used");
            s3_error!(InternalError)
        })?;
        let secret = SecretKey::from(secret.as_str());
        if opened.len() >= OPENED_MAX {
            opened.clear();
        }
        opened.insert(id.to_owned(), Opened { sealed: row.sealed_secret.to_vec(), secret: secret.clone() });
        Ok(secret)
    }
}

fn unreadable(error: cairn_machine::RowError) -> s3s::S3Error {
    tracing::error!(%error, "access keys cannot be read");
    s3_error!(InternalError)
}

impl core::fmt::Debug for AccessKeys {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("AccessKeys(..)")
    }
}

/// What s3s asks.
#[derive(Debug, Clone)]
pub struct Authenticator(pub std::sync::Arc<AccessKeys>);

#[async_trait::async_trait]
impl S3Auth for Authenticator {
    async fn get_secret_key(&self, access_key: &str) -> S3Result<SecretKey> {
        let row = self.0.row(access_key).await?.ok_or_else(|| s3_error!(InvalidAccessKeyId))?;
        self.0.open(access_key, &row)
    }
}

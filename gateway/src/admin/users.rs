//! Users: made, listed and removed by whoever holds a root key. A user is one access key, for now; what it may do is what
//! buckets let it do.
//!
//! ```text
//! POST   /.cairn/v1/users        -> 201 {"id", "access_key", "secret_key"}: the only time the secret is told
//! GET    /.cairn/v1/users        -> 200 [{"id", "access_key"}]
//! DELETE /.cairn/v1/users/KEY    -> 204; what the user owns stays
//! ```

use core::ops::ControlFlow;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD as BASE64;
use bytes::Bytes;
use cairn_core::{ClusterId, Entropy};
use cairn_machine::Outcome;
use cairn_machine::operation::Operation;
use cairn_machine::row::{Row, Table};
use cairn_machine::rows::access_key::AccessKeyRow;
use cairn_metadata::Client;
use http::{Method, StatusCode};
use serde::Serialize;
use zeroize::Zeroizing;

use crate::authority::user_id;
use crate::seal::SecretSealer;

/// The most users in one answer.
const LISTED_MAX: usize = 10_000;

/// Makes, lists and removes users.
pub struct Users {
    /// Which cluster they are of.
    pub cluster: ClusterId,
    /// Where they stand.
    pub client: Client,
    /// What seals their secrets.
    pub sealer: SecretSealer,
    /// What their keys are drawn from.
    pub entropy: Arc<dyn Entropy>,
}

impl core::fmt::Debug for Users {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("Users(..)")
    }
}

/// A user as it is told.
#[derive(Debug, Serialize)]
struct Told<'a> {
    id: String,
    access_key: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    secret_key: Option<&'a str>,
}

type Answer = (StatusCode, Bytes);

fn failed(error: impl core::fmt::Display) -> Answer {
    told(StatusCode::SERVICE_UNAVAILABLE, &serde_json::json!({ "error": error.to_string() }))
}

fn told(status: StatusCode, value: &impl Serialize) -> Answer {
    match serde_json::to_vec_pretty(value) {
        Ok(text) => (status, text.into()),
        Err(error) => {
            tracing::error!(%error, "an answer could not be written as JSON");
            (StatusCode::INTERNAL_SERVER_ERROR, Bytes::from_static(b"{\"error\": \"internal\"}"))
        }
    }
}

impl Users {
    /// Answers one request. `key` is what follows `users/`.
    pub async fn call(&self, method: &Method, key: &str) -> Answer {
        match (method, key) {
            (&Method::POST, "") => self.make().await,
            (&Method::GET, "") => self.list().await,
            (&Method::DELETE, key) if !key.is_empty() => self.remove(key).await,
            _ => told(StatusCode::NOT_FOUND, &serde_json::json!({ "error": "no such question about users" })),
        }
    }

    async fn make(&self) -> Answer {
        let mut drawn = Zeroizing::new([0; 40]);
        self.entropy.fill(&mut *drawn);
        let access_key = format!("CAIRN{}", hex::encode_upper(&drawn[..10]));
        let secret_key = Zeroizing::new(BASE64.encode(&drawn[10..]));
        let sealed_secret = match self.sealer.seal(&access_key, &secret_key, &*self.entropy) {
            Ok(sealed) => sealed.into(),
            Err(error) => return failed(error),
        };
        let operation = Operation::PutAccessKey { id: access_key.clone(), sealed_secret, root: false };
        match self.client.propose(vec![operation]).await {
            Ok(outcomes) if outcomes == [Outcome::Done] => {
                let id = user_id(self.cluster, &access_key);
                told(StatusCode::CREATED, &Told { id, access_key: &access_key, secret_key: Some(&secret_key) })
            }
            Ok(outcomes) => failed(format!("the key was not taken: {outcomes:?}")),
            Err(error) => failed(error),
        }
    }

    async fn list(&self) -> Answer {
        let view = match self.client.read().await {
            Ok(view) => view,
            Err(error) => return failed(error),
        };
        let mut keys = Vec::new();
        let scanned = AccessKeyRow::scan(&view, &[Table::AccessKey as u8], |key, row| {
            if !row.root {
                keys.push(key);
            }
            if keys.len() < LISTED_MAX { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        });
        if let Err(error) = scanned {
            return failed(error);
        }
        let users = keys.iter().map(|key| Told { id: user_id(self.cluster, key), access_key: key, secret_key: None });
        told(StatusCode::OK, &users.collect::<Vec<_>>())
    }

    async fn remove(&self, key: &str) -> Answer {
        let view = match self.client.read().await {
            Ok(view) => view,
            Err(error) => return failed(error),
        };
        let row = match AccessKeyRow::get(&view, &key.to_owned()) {
            Ok(row) => row,
            Err(error) => return failed(error),
        };
        if row.is_none_or(|row| row.root) {
            return told(StatusCode::NOT_FOUND, &serde_json::json!({ "error": "no such user" }));
        }
        drop(view);
        match self.client.propose(vec![Operation::RemoveAccessKey { id: key.to_owned() }]).await {
            Ok(outcomes) if outcomes == [Outcome::Done] => (StatusCode::NO_CONTENT, Bytes::new()),
            Ok(outcomes) => failed(format!("the key was not removed: {outcomes:?}")),
            Err(error) => failed(error),
        }
    }
}

//! The log, read aloud: every change with its index, its time, who asked for it, what it was and what came of it.
//!
//! ```text
//! cairn log tail -> GET /.cairn/v1/log?from=..&wait=.. -> answer: entries of this node's own log -> a page of changes
//! ```
//! A page is bounded by the entries that it is made from: a MiB of them, or one. With `wait` a question behind the end is
//! answered when the next entry is applied, or empty when the time is over: so nobody asks again and again.

pub mod answer;
pub mod tail;

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Where the log is asked for.
pub const LOG_PATH: &str = "/.cairn/v1/log";

/// How long a question waits for an entry at most: less than whoever asks waits for an answer.
pub const WAIT_MAX: Duration = Duration::from_secs(20);

/// What is asked.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Asked {
    /// From which entry on; none for the last hundred.
    pub from: Option<u64>,
    /// Only what is about one bucket, by name or by id: the name may have been given to several, one after the other.
    pub bucket: Option<String>,
    /// How long to wait for an entry where there is none yet.
    pub wait: Duration,
}

impl Asked {
    /// As a query: sorted by name, and of letters that stand for themselves.
    pub fn to_query(&self) -> String {
        let bucket = self.bucket.iter().map(|bucket| format!("bucket={bucket}"));
        let from = self.from.iter().map(|from| format!("from={from}"));
        let wait = (!self.wait.is_zero()).then(|| format!("wait={}", self.wait.as_secs()));
        bucket.chain(from).chain(wait).collect::<Vec<_>>().join("&")
    }

    /// The inverse of [`Self::to_query`].
    pub fn from_query(query: &str) -> Result<Self, String> {
        let mut asked = Self::default();
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let number = || value.parse::<u64>().map_err(|_| format!("{name} is a number, and not {value:?}"));
            match name {
                "from" => asked.from = Some(number()?),
                "wait" => asked.wait = Duration::from_secs(number()?).min(WAIT_MAX),
                "bucket" if is_plain(value) => asked.bucket = Some(value.to_owned()),
                "bucket" => return Err(format!("{value:?} is no name of a bucket")),
                _ => return Err(format!("nobody knows what {name} means")),
            }
        }
        Ok(asked)
    }
}

/// Whether a text may be a bucket's name or id: then it needs no escapes in a query.
pub fn is_plain(text: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_');
    !text.is_empty() && text.len() <= 255 && text.bytes().all(plain)
}

/// Some changes, in the order of the log.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Page {
    /// The entry that this begins with: a later one than was asked for, where the log does not go back so far.
    pub from: u64,
    /// The entry that the next page begins with.
    pub next: u64,
    /// The last entry that the answering node has applied.
    pub applied: u64,
    /// The changes.
    pub changes: Vec<Change>,
}

/// One change.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Change {
    /// Its entry of the log.
    pub index: u64,
    /// Which operation of that entry it is.
    pub operation: u32,
    /// When, by the leader's calendar, as in 2026-11-21T12:00:00.000Z; none for what Raft itself writes.
    pub time: Option<String>,
    /// The term of the leader that wrote it.
    pub term: u64,
    /// On whose behalf: an access key, or `anonymous`; none for what a server did by itself.
    pub key: Option<String>,
    /// The session that asked: of a gateway or a repair daemon.
    pub session: Option<String>,
    /// What that session does, and where, as long as it lives.
    pub role: Option<String>,
    /// What: the operation's name.
    pub what: String,
    /// The bucket's name, where it is known still.
    pub bucket: Option<String>,
    /// The bucket's id.
    pub bucket_id: Option<String>,
    /// The object's key.
    pub object: Option<String>,
    /// More about it, as `name=value`.
    pub detail: String,
    /// What came of it.
    pub outcome: Effect,
    /// Why it was refused, if it was.
    pub refusal: Option<String>,
}

/// What came of an operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Effect {
    /// It changed what it says.
    Done,
    /// It changed nothing.
    Refused,
    /// It was applied before the answering node's memory begins, and may have been refused.
    Unknown,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn questions_come_back() {
        for asked in [
            Asked::default(),
            Asked { from: Some(7), bucket: Some("a-b.c".into()), wait: Duration::from_secs(20) },
            Asked { wait: Duration::from_secs(3), ..Asked::default() },
        ] {
            assert_eq!(Asked::from_query(&asked.to_query()), Ok(asked));
        }
        assert_eq!(Asked::from_query("wait=99999").unwrap().wait, WAIT_MAX);
        for senseless in ["from=x", "from", "wait=-1", "bucket=", "bucket=a%20b", "limit=7"] {
            assert!(Asked::from_query(senseless).is_err(), "{senseless}");
        }
    }
}

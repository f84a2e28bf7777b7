//! `cairn audit`: does the ledger balance, and do the drives hold what it says (invariant 11)?
//!
//! ```text
//! POST /.cairn/v1/audit -> begins one, or joins the one that runs    GET /.cairn/v1/audit?id=..  -> how far, or the report
//!      rows at one index, 4,096 at a time -> cairn_machine::audit -> balance
//!      with `physical`: stripes of the same rows, 1,024 at a time, beside what each drive lists -> inventory
//! ```
//! One audit runs at a time in a process. It stops nobody: it reads rows at one index while others are written, in steps of
//! some milliseconds with as long a rest behind each. As long as it runs its view keeps what was deleted since from being
//! collected.

pub mod command;
mod inventory;
mod run;

use serde::{Deserialize, Serialize};

pub use run::{Audits, Subjects};

/// Where audits are asked for.
pub const AUDIT_PATH: &str = "/.cairn/v1/audit";

/// How an audit is doing.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Progress {
    /// Rows are counted.
    Counting {
        /// How many until now.
        rows: u64,
    },
    /// Drives are compared.
    Comparing {
        /// How many stripes until now.
        stripes: u64,
    },
    /// It is over.
    Done(Box<Report>),
    /// It broke off. Begin another one.
    Failed {
        /// Why.
        reason: String,
    },
}

impl Progress {
    /// Whether nothing more comes.
    pub fn is_over(&self) -> bool {
        matches!(self, Self::Done(_) | Self::Failed { .. })
    }
}

/// An audit, as it is asked for again.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Begun {
    /// Which one.
    pub id: u64,
    /// How it is doing.
    pub progress: Progress,
}

/// What was found.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Report {
    /// Whether everything that was compared agrees, and all that should be was.
    pub balanced: bool,
    /// All of it is about the rows at this index of the log.
    pub index: u64,
    /// How many rows were read.
    pub rows: u64,
    /// How many stripes there are.
    pub stripes: u64,
    /// How many extents there are.
    pub extents: u64,
    /// Extents that stand in the metadata.
    pub extents_in_metadata: u64,
    /// Their bytes.
    pub bytes_in_metadata: u64,
    /// What was counted in each bucket.
    pub buckets: Vec<Bucket>,
    /// What was counted on each drive.
    pub drives: Vec<Drive>,
    /// What does not balance.
    pub imbalances: Vec<Imbalance>,
    /// Whether there is more than is told.
    pub more: bool,
    /// Whether the drives were asked, too.
    pub physical: bool,
    /// How long it took.
    pub took_ms: u64,
}

/// A bucket, counted.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Bucket {
    /// Its name; its id where it has none.
    pub name: String,
    /// Objects, without delete markers.
    pub objects: u64,
    /// Versions of all kinds.
    pub versions: u64,
    /// The sizes of all versions.
    pub bytes: u64,
}

/// A drive, counted.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Drive {
    /// Its id.
    pub id: String,
    /// What a person calls it.
    pub label: String,
    /// What the log says of it.
    pub state: String,
    /// Chunks that stripes have on it.
    pub chunks: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Chunks on it that are garbage.
    pub garbage_chunks: u64,
    /// Their bytes.
    pub garbage_bytes: u64,
    /// What it says itself, if it was asked.
    pub inventory: Option<Inventory>,
}

/// What a drive holds, beside what the rows say.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Inventory {
    /// Chunks that the rows name and the drive has.
    pub present: u64,
    /// Chunks that the rows name and the drive does not have.
    pub missing: u64,
    /// Chunks that wait to be collected.
    pub garbage: u64,
    /// Chunks that no row names: of writes that are under way or have failed. The census condemns what stays.
    pub unnamed: u64,
    /// Why it could not be compared to the end, if it could not.
    pub problem: Option<String>,
}

/// A count that is not what there is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Imbalance {
    /// Whose count.
    pub of: String,
    /// What is kept.
    pub kept: String,
    /// What was counted.
    pub counted: String,
}

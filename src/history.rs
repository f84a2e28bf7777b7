//! How much of the log is kept, as a person says it: by flags, or in the file of a server or a node.

use std::time::Duration;

use cairn_metadata::HistoryPolicy;
use clap::Args;
use serde::{Deserialize, Serialize};

/// The log that is kept takes at most this part of the smallest drive: one twentieth.
const DRIVE_SHARE: u64 = 20;

/// How much of the log is kept for `cairn log tail`, behind what the next start needs. What is older or more goes when the next
/// run of rows is cut.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Args, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct History {
    /// How many days of the log are kept, for `cairn log tail` [default: 7].
    #[arg(long = "history-days", value_name = "DAYS", value_parser = clap::value_parser!(u32).range(0..=36_500))]
    pub days: Option<u32>,
    /// How many MiB of it at most; never more than a twentieth of the smallest drive [default: 1024].
    #[arg(long = "history-mib", value_name = "MIB")]
    pub mib: Option<u32>,
}

impl History {
    /// What was said here, or else there.
    pub fn or(self, other: Self) -> Self {
        Self { days: self.days.or(other.days), mib: self.mib.or(other.mib) }
    }

    /// What the log goes by, on drives of which the smallest has so many bytes.
    pub fn policy(self, drive_bytes: u64) -> HistoryPolicy {
        let usual = HistoryPolicy::default();
        let days = |days: u32| Duration::from_secs(u64::from(days) * 24 * 60 * 60);
        HistoryPolicy {
            age: self.days.map_or(usual.age, days),
            bytes: self.mib.map_or(usual.bytes, |mib| u64::from(mib) << 20).min(drive_bytes / DRIVE_SHARE),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_is_kept_and_a_drive_has_room_for_more_than_history() {
        let terabyte = 1 << 40;
        let usual = History::default().policy(terabyte);
        assert_eq!((usual.age, usual.bytes), (Duration::from_secs(7 * 86_400), 1 << 30));
        let said = History { days: Some(30), mib: None }.or(History { days: Some(1), mib: Some(64) });
        assert_eq!(said, History { days: Some(30), mib: Some(64) });
        let policy = said.policy(terabyte);
        assert_eq!((policy.age, policy.bytes), (Duration::from_secs(30 * 86_400), 64 << 20));
        assert_eq!(said.policy(20 << 20).bytes, 1 << 20);
        let none = History { days: Some(0), mib: Some(0) }.policy(terabyte);
        assert_eq!((none.age, none.bytes), (Duration::ZERO, 0));
    }
}

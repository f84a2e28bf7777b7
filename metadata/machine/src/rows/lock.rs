//! Locks: what keeps a version from going, whoever asks (invariant 12).
//!
//! ```text
//! bucket: locked from some moment on, for ever        -> its versions are kept, and may be retained or held
//! version: retained until a moment, governance        -> may go earlier for whoever may bypass governance
//!          retained until a moment, compliance        -> may not go earlier for anybody; only prolonged
//!          on legal hold                              -> may not go before the hold is lifted
//! ```

use cairn_core::WallTime;
use minicbor::{Decode, Encode};

/// The milliseconds of a day.
const DAY_MILLIS: u64 = 24 * 60 * 60 * 1000;

/// The most days of a default retention: a hundred years.
pub const RETENTION_DAYS_MAX: u32 = 36_500;

/// How strictly a version is retained.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
#[cbor(index_only)]
pub enum RetentionMode {
    /// Whoever may bypass it can delete the version, or retain it shorter.
    #[n(0)]
    Governance,
    /// Nobody can.
    #[n(1)]
    Compliance,
}

/// Until when a version is retained.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
pub struct Retention {
    /// How strictly.
    #[n(0)]
    pub mode: RetentionMode,
    /// Until when, by the leader's calendar.
    #[n(1)]
    pub until: WallTime,
}

/// What keeps one version.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct VersionLock {
    /// Until when.
    #[n(0)]
    pub retention: Option<Retention>,
    /// Whether it is on legal hold. None where that was never said.
    #[n(1)]
    pub legal_hold: Option<bool>,
}

impl VersionLock {
    /// Whether it keeps the version now from whoever asks.
    pub fn keeps(&self, now: WallTime, bypass: Option<Bypass>) -> bool {
        let retained = self.retention.filter(|retention| retention.until > now);
        let retained = match (retained.map(|retention| retention.mode), bypass) {
            (None, _) | (Some(RetentionMode::Governance), Some(Bypass::Governance)) => false,
            (Some(RetentionMode::Governance), None) | (Some(RetentionMode::Compliance), _) => true,
        };
        retained || self.legal_hold == Some(true)
    }

    /// Whether the retention may be changed to another one now, by whoever asks. Longer and as strict is always allowed.
    pub fn allows(&self, next: Option<Retention>, now: WallTime, bypass: Option<Bypass>) -> bool {
        let Some(held) = self.retention.filter(|retention| retention.until > now) else { return true };
        let prolongs = next.is_some_and(|next| next.mode == held.mode && next.until >= held.until);
        prolongs || (held.mode == RetentionMode::Governance && bypass == Some(Bypass::Governance))
    }
}

/// What whoever asks may override. The gateway judges whether it may.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
#[cbor(index_only)]
pub enum Bypass {
    /// Retention in governance mode.
    #[n(0)]
    Governance,
}

/// How long versions are retained that say nothing of it themselves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
pub enum Period {
    /// So many days.
    #[n(0)]
    Days(#[n(0)] u32),
    /// So many years, of 365 days each.
    #[n(1)]
    Years(#[n(0)] u32),
}

/// The retention of versions that bring none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
pub struct DefaultRetention {
    /// How strictly.
    #[n(0)]
    pub mode: RetentionMode,
    /// How long.
    #[n(1)]
    pub period: Period,
}

impl DefaultRetention {
    /// How many days it lasts: at least one and at most [`RETENTION_DAYS_MAX`], or it is none.
    pub fn days(&self) -> Option<u32> {
        let days = match self.period {
            Period::Days(days) => days,
            Period::Years(years) => years.checked_mul(365)?,
        };
        (1..=RETENTION_DAYS_MAX).contains(&days).then_some(days)
    }

    /// The retention of a version that is made now.
    pub fn from(&self, now: WallTime) -> Retention {
        let days = self.days().expect("the state machine takes no other");
        Retention { mode: self.mode, until: WallTime(now.0.saturating_add(u64::from(days) * DAY_MILLIS)) }
    }
}

/// That a bucket's versions can be locked. There is no way back.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct BucketLock {
    /// What holds for versions that bring no retention.
    #[n(0)]
    pub default: Option<DefaultRetention>,
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: WallTime = WallTime(1_000);
    const BYPASS: Option<Bypass> = Some(Bypass::Governance);

    fn lock(mode: RetentionMode, until: u64, legal_hold: Option<bool>) -> VersionLock {
        VersionLock { retention: Some(Retention { mode, until: WallTime(until) }), legal_hold }
    }

    #[test]
    fn only_what_is_over_or_may_be_bypassed_lets_go() {
        use RetentionMode::{Compliance, Governance};
        for (lock, plain, bypassing) in [
            (VersionLock::default(), false, false),
            (lock(Governance, 1_001, None), true, false),
            (lock(Governance, 1_000, None), false, false),
            (lock(Compliance, 1_001, Some(false)), true, true),
            (lock(Compliance, 1_000, Some(false)), false, false),
            (lock(Compliance, 999, Some(true)), true, true),
            (lock(Governance, 1_001, Some(true)), true, true),
            (VersionLock { retention: None, legal_hold: Some(true) }, true, true),
        ] {
            assert_eq!((lock.keeps(NOW, None), lock.keeps(NOW, BYPASS)), (plain, bypassing), "{lock:?}");
        }
    }

    #[test]
    fn retention_is_only_prolonged_unless_governance_is_bypassed() {
        use RetentionMode::{Compliance, Governance};
        let next = |mode, until| Some(Retention { mode, until: WallTime(until) });
        for (held, next, plain, bypassing) in [
            (lock(Governance, 2_000, None), next(Governance, 2_000), true, true),
            (lock(Governance, 2_000, None), next(Governance, 1_999), false, true),
            (lock(Governance, 2_000, None), next(Compliance, 3_000), false, true),
            (lock(Governance, 2_000, None), None, false, true),
            (lock(Compliance, 2_000, None), next(Compliance, 2_001), true, true),
            (lock(Compliance, 2_000, None), next(Compliance, 1_999), false, false),
            (lock(Compliance, 2_000, None), next(Governance, 9_000), false, false),
            (lock(Compliance, 2_000, None), None, false, false),
            (lock(Compliance, 1_000, None), None, true, true),
            (VersionLock::default(), next(Governance, 1), true, true),
        ] {
            let allowed = (held.allows(next, NOW, None), held.allows(next, NOW, BYPASS));
            assert_eq!(allowed, (plain, bypassing), "{held:?} to {next:?}");
        }
    }

    #[test]
    fn periods_are_bounded() {
        let days = |period| DefaultRetention { mode: RetentionMode::Governance, period }.days();
        assert_eq!((days(Period::Days(0)), days(Period::Years(0))), (None, None));
        assert_eq!((days(Period::Days(36_500)), days(Period::Years(100))), (Some(36_500), Some(36_500)));
        assert_eq!((days(Period::Days(36_501)), days(Period::Years(u32::MAX))), (None, None));
        let year = DefaultRetention { mode: RetentionMode::Compliance, period: Period::Years(1) };
        assert_eq!(year.from(NOW).until, WallTime(1_000 + 365 * DAY_MILLIS));
    }
}

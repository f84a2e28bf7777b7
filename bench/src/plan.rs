//! What a run is asked to do. Checked whole before the first request: a run that makes no sense says so and costs nothing.

use std::fmt;
use std::time::Duration;

use cairn_core::units::{GIB, MIB, PARTS_MAX, PUT_BYTES_MAX};
use serde::Serialize;

use crate::quantity::show_size;

/// The most connections of one run. Beyond it the ports of one machine become the measure.
pub const CONCURRENCY_MAX: usize = 4096;

/// S3 takes no smaller part, but for the last one of an upload.
pub const PART_BYTES_MIN: u64 = 5 * MIB;

/// The most objects of one run: their names are eight digits long.
pub const OBJECTS_MAX: u64 = 99_999_999;

/// What is put beforehand when nobody says how many: at most so many objects, and at most so many bytes.
const PREPARED_OBJECTS: u64 = 2500;
const PREPARED_BYTES: u64 = GIB;

/// What is asked of the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Workload {
    /// New objects, each under a name of its own.
    Put,
    /// Objects that were put beforehand, in no order.
    Get,
    /// GET, HEAD, PUT and DELETE beside one another.
    Mixed,
    /// HEAD of objects that were put beforehand.
    Stat,
    /// Pages of up to 1,000 keys, from the first to the last and again.
    List,
    /// Objects that were put beforehand, each once. Ends when none is left.
    Delete,
    /// Uploads in parts: begun, each part put, completed.
    Multipart,
}

impl fmt::Display for Workload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Put => "put",
            Self::Get => "get",
            Self::Mixed => "mixed",
            Self::Stat => "stat",
            Self::List => "list",
            Self::Delete => "delete",
            Self::Multipart => "multipart",
        })
    }
}

impl Workload {
    /// Whether objects are put before it begins.
    pub fn needs_objects(self) -> bool {
        !matches!(self, Self::Put | Self::Multipart)
    }

    /// Whether it reads bodies.
    fn reads(self) -> bool {
        matches!(self, Self::Get | Self::Mixed)
    }
}

/// How a mixed load is mixed: shares, of their sum.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mix {
    /// GETs.
    pub get: u32,
    /// HEADs.
    pub stat: u32,
    /// PUTs.
    pub put: u32,
    /// DELETEs.
    pub delete: u32,
}

impl Default for Mix {
    fn default() -> Self {
        Self { get: 45, stat: 30, put: 15, delete: 10 }
    }
}

impl Mix {
    /// What the shares are of.
    pub fn sum(self) -> u64 {
        [self.get, self.stat, self.put, self.delete].into_iter().map(u64::from).sum()
    }
}

impl std::str::FromStr for Mix {
    type Err = String;

    /// `45/30/15/10`: GET, HEAD, PUT, DELETE.
    fn from_str(text: &str) -> Result<Self, String> {
        let shares: Result<Vec<u32>, _> = text.split('/').map(str::parse).collect();
        match shares.as_deref() {
            Ok([get, stat, put, delete]) => Ok(Self { get: *get, stat: *stat, put: *put, delete: *delete }),
            _ => Err("not four shares (GET/HEAD/PUT/DELETE) such as 45/30/15/10".to_owned()),
        }
    }
}

/// What a run does. Fields are as they were asked for; [`Plan::check`] says whether they go together.
#[derive(Debug, Clone)]
pub struct Plan {
    /// What is asked of the server.
    pub workload: Workload,
    /// How many bytes an object has.
    pub size: u64,
    /// How many requests are under way at once, each on a connection of its own.
    pub concurrency: usize,
    /// For how long.
    pub duration: Duration,
    /// How many objects: as many are put beforehand, or, where the load itself puts them, at most as many.
    pub objects: Option<u64>,
    /// How many bytes each part of an upload has, but for the last one.
    pub part_size: Option<u64>,
    /// How a mixed load is mixed.
    pub mix: Option<Mix>,
    /// Every body that is read is compared with what was put.
    pub verify: bool,
    /// Bodies are signed, so that the server hashes them for that as well.
    pub sign_body: bool,
    /// The bucket; one with a name of the run's own where none is given.
    pub bucket: Option<String>,
    /// Leaves what was made where it is.
    pub keep: bool,
    /// After how long an operation counts as failed.
    pub timeout: Duration,
    /// The region that signatures name.
    pub region: String,
}

/// Why a plan makes no sense.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PlanError {
    /// No connections, or more than one machine can have.
    #[error("--concurrency must be 1 to {CONCURRENCY_MAX}, not {0}")]
    Concurrency(usize),
    /// A run without time.
    #[error("--duration must be at least 100 ms")]
    Duration,
    /// Operations that may take no time.
    #[error("--timeout must be at least 100 ms")]
    Timeout,
    /// One PUT cannot be that long.
    #[error("--size {} is more than S3 takes in one PUT ({}): use multipart", show_size(*.0), show_size(PUT_BYTES_MAX))]
    TooLarge(u64),
    /// Nothing to put, or more than names are made for.
    #[error("--objects must be 1 to {OBJECTS_MAX}, not {0}")]
    Objects(u64),
    /// Some workers would have nothing to do.
    #[error(
        "--objects {objects} is less than --concurrency {concurrency}: some of the connections would have no object"
    )]
    FewObjects {
        /// As asked for.
        objects: u64,
        /// As asked for.
        concurrency: usize,
    },
    /// A flag that this load has no use for.
    #[error("{flag} means nothing to {workload}")]
    Foreign {
        /// Which flag.
        flag: &'static str,
        /// Which load.
        workload: Workload,
    },
    /// A part that S3 does not take.
    #[error("--part-size must be {} to {}, not {}", show_size(PART_BYTES_MIN), show_size(PUT_BYTES_MAX), show_size(*.0))]
    PartSize(u64),
    /// An upload of nothing, or of more parts than an upload has.
    #[error("--size {} in parts of {} makes {parts} parts: an upload has 1 to {PARTS_MAX}", show_size(*.size), show_size(*.part_size))]
    Parts {
        /// As asked for.
        size: u64,
        /// As asked for.
        part_size: u64,
        /// What that makes.
        parts: u64,
    },
    /// A name that no bucket can have.
    #[error("--bucket {0} is not a name that a bucket can have (3 to 63 of a-z, 0-9, - and .)")]
    Bucket(String),
    /// A mix of nothing.
    #[error("--mix has no share above zero")]
    EmptyMix,
    /// Only deletes, which soon have nothing to delete.
    #[error("--mix deletes more than it puts, so that soon nothing would be left; put at least as much")]
    ShrinkingMix,
}

impl Plan {
    /// Says whether the parts of the plan go together.
    pub fn check(&self) -> Result<(), PlanError> {
        let workload = self.workload;
        let foreign = |flag| Err(PlanError::Foreign { flag, workload });
        if !(1..=CONCURRENCY_MAX).contains(&self.concurrency) {
            return Err(PlanError::Concurrency(self.concurrency));
        }
        if self.duration < Duration::from_millis(100) {
            return Err(PlanError::Duration);
        }
        if self.timeout < Duration::from_millis(100) {
            return Err(PlanError::Timeout);
        }
        if let Some(objects) = self.objects {
            if !(1..=OBJECTS_MAX).contains(&objects) {
                return Err(PlanError::Objects(objects));
            }
            if workload == Workload::Mixed && objects < self.concurrency as u64 {
                return Err(PlanError::FewObjects { objects, concurrency: self.concurrency });
            }
        }
        let letter = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-.".contains(&byte);
        if let Some(bucket) = &self.bucket
            && !((3..=63).contains(&bucket.len()) && bucket.bytes().all(letter))
        {
            return Err(PlanError::Bucket(bucket.clone()));
        }
        if self.verify && !workload.reads() {
            return foreign("--verify");
        }
        match (self.mix, workload) {
            (Some(mix), Workload::Mixed) if mix.sum() == 0 => return Err(PlanError::EmptyMix),
            (Some(mix), Workload::Mixed) if mix.delete > mix.put => return Err(PlanError::ShrinkingMix),
            (None, _) | (Some(_), Workload::Mixed) => {}
            (Some(_), _) => return foreign("--mix"),
        }
        if workload != Workload::Multipart {
            return match (self.part_size, self.size) {
                (Some(_), _) => foreign("--part-size"),
                (None, size) if size > PUT_BYTES_MAX => Err(PlanError::TooLarge(size)),
                (None, _) => Ok(()),
            };
        }
        let part_size = self.part_size();
        if !(PART_BYTES_MIN..=PUT_BYTES_MAX).contains(&part_size) {
            return Err(PlanError::PartSize(part_size));
        }
        let parts = self.size.div_ceil(part_size);
        if !(1..=u64::from(PARTS_MAX)).contains(&parts) {
            return Err(PlanError::Parts { size: self.size, part_size, parts });
        }
        Ok(())
    }

    /// How many objects are put beforehand.
    pub fn prepared(&self) -> u64 {
        if !self.workload.needs_objects() {
            return 0;
        }
        let fitting = (PREPARED_BYTES / self.size.max(1)).clamp(1, PREPARED_OBJECTS);
        self.objects.unwrap_or(fitting.max(self.concurrency as u64))
    }

    /// How many bytes a part has.
    pub fn part_size(&self) -> u64 {
        self.part_size.unwrap_or(PART_BYTES_MIN)
    }

    /// How the load is mixed.
    pub fn mix(&self) -> Mix {
        self.mix.unwrap_or_default()
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// What the command line makes of no flags at all.
    pub(crate) fn plan(workload: Workload) -> Plan {
        Plan {
            workload,
            size: 10 * MIB,
            concurrency: 20,
            duration: Duration::from_secs(60),
            objects: None,
            part_size: None,
            mix: None,
            verify: false,
            sign_body: false,
            bucket: None,
            keep: false,
            timeout: Duration::from_secs(30),
            region: "us-east-1".into(),
        }
    }

    #[test]
    fn silly_plans_are_refused_with_a_reason() {
        use Workload::{Get, Mixed, Multipart, Put, Stat};
        type Change = fn(&mut Plan);
        let cases: [(Workload, Change, PlanError); 16] = [
            (Put, |plan| plan.concurrency = 0, PlanError::Concurrency(0)),
            (Put, |plan| plan.concurrency = 5000, PlanError::Concurrency(5000)),
            (Put, |plan| plan.duration = Duration::ZERO, PlanError::Duration),
            (Put, |plan| plan.timeout = Duration::ZERO, PlanError::Timeout),
            (Put, |plan| plan.size = 6 * GIB, PlanError::TooLarge(6 * GIB)),
            (Get, |plan| plan.objects = Some(0), PlanError::Objects(0)),
            (Mixed, |plan| plan.objects = Some(3), PlanError::FewObjects { objects: 3, concurrency: 20 }),
            (Put, |plan| plan.bucket = Some("A/b".into()), PlanError::Bucket("A/b".into())),
            (Put, |plan| plan.verify = true, PlanError::Foreign { flag: "--verify", workload: Put }),
            (Stat, |plan| plan.mix = Some(Mix::default()), PlanError::Foreign { flag: "--mix", workload: Stat }),
            (Get, |plan| plan.part_size = Some(1), PlanError::Foreign { flag: "--part-size", workload: Get }),
            (Mixed, |plan| plan.mix = Some(Mix { get: 0, stat: 0, put: 0, delete: 0 }), PlanError::EmptyMix),
            (Mixed, |plan| plan.mix = Some(Mix { get: 0, stat: 0, put: 1, delete: 2 }), PlanError::ShrinkingMix),
            (Multipart, |plan| plan.part_size = Some(MIB), PlanError::PartSize(MIB)),
            (Multipart, |plan| plan.size = 0, PlanError::Parts { size: 0, part_size: PART_BYTES_MIN, parts: 0 }),
            (
                Multipart,
                |plan| plan.size = 100 * GIB,
                PlanError::Parts { size: 100 * GIB, part_size: PART_BYTES_MIN, parts: 20_480 },
            ),
        ];
        for (workload, change, error) in cases {
            let mut asked = plan(workload);
            assert_eq!(asked.check(), Ok(()), "{workload} without flags");
            change(&mut asked);
            assert_eq!(asked.check().unwrap_err(), error);
        }
    }

    #[test]
    fn what_is_put_beforehand_is_bounded_in_number_and_in_bytes() {
        let mut asked = plan(Workload::Get);
        assert_eq!(asked.prepared(), 102);
        asked.size = 4096;
        assert_eq!(asked.prepared(), 2500);
        asked.size = 5 * GIB;
        assert_eq!(asked.prepared(), 20, "one for each connection");
        asked.objects = Some(7);
        assert_eq!(asked.prepared(), 7);
        assert_eq!(plan(Workload::Put).prepared(), 0);
    }

    #[test]
    fn a_mix_is_four_shares() {
        assert_eq!("45/30/15/10".parse(), Ok(Mix::default()));
        assert_eq!(Mix::default().sum(), 100);
        for text in ["", "1/2/3", "1/2/3/4/5", "a/b/c/d", "-1/1/1/1"] {
            assert!(text.parse::<Mix>().is_err(), "{text}");
        }
    }
}

//! The set of runs that are the rows at an index: what a mark in the log names, and all that a start needs to know.

use core::fmt;
use core::str::FromStr;

use cairn_core::LogIndex;
use minicbor::{Decode, Encode};

use crate::run::format::RunHash;

/// The most runs in a set. Merging keeps it far lower; this bounds what is decoded.
pub const RUNS_MAX: usize = 64;

/// The longest encoded set.
pub const RUN_SET_BYTES_MAX: usize = 8 * 1024;

/// The version of the encoded set that is written.
pub const RUN_SET_VERSION: u8 = 1;

/// The name of a run: 64 random bits, so that no attempt that was cut short ever stands in another's way.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
#[cbor(transparent)]
pub struct RunId(#[n(0)] pub u64);

impl RunId {
    const PREFIX: &str = "run-";

    /// The run whose file has this name; `None` for a file that is no run.
    pub fn from_file_name(name: &str) -> Option<Self> {
        name.strip_prefix(Self::PREFIX)?.parse().ok()
    }

    /// The name of its files.
    pub fn file_name(self) -> String {
        format!("{}{self}", Self::PREFIX)
    }
}

impl fmt::Display for RunId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl fmt::Debug for RunId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "run {self}")
    }
}

/// A text that is not the name of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a run's name has 16 hexadecimal digits")]
pub struct InvalidRunId;

impl FromStr for RunId {
    type Err = InvalidRunId;

    fn from_str(text: &str) -> Result<Self, InvalidRunId> {
        let digits = text.len() == 16 && text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
        if !digits {
            return Err(InvalidRunId);
        }
        u64::from_str_radix(text, 16).map(Self).map_err(|_| InvalidRunId)
    }
}

/// One run as a set names it: enough to find it, to know that it is the right one, and to plan with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
pub struct RunRef {
    /// Its name.
    #[n(0)]
    pub id: RunId,
    /// It holds what the log wrote behind this index...
    #[n(1)]
    pub after: LogIndex,
    /// ...up to this one.
    #[n(2)]
    pub index: LogIndex,
    /// How long its file is.
    #[n(3)]
    pub file_bytes: u64,
    /// How many rows it has, removals among them.
    #[n(4)]
    pub entries: u64,
    /// How many of them say that a row was removed.
    #[n(5)]
    pub removals: u64,
    /// The hash of all of it.
    #[n(6)]
    pub hash: RunHash,
}

/// The runs that are the rows at an index.
#[derive(Debug, Clone, PartialEq, Eq, Default, Encode, Decode)]
pub struct RunSet {
    /// The index. The log is applied again from the next one on.
    #[n(0)]
    index: LogIndex,
    /// Newest first.
    #[n(1)]
    runs: Vec<RunRef>,
}

/// Bytes that are not a set of runs.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidRunSet {
    /// Cut off, overlong or nonsensical. The mark that it stood in is damaged.
    #[error("malformed set of runs: {0}")]
    Malformed(String),
    /// Written by a later release: start that release.
    #[error("set of runs of version {found}, this release knows up to {RUN_SET_VERSION}")]
    Newer {
        /// The version that stands there.
        found: u8,
    },
}

impl RunSet {
    /// The runs that follow each other without a gap from the beginning of the log to `index`, newest first. What is
    /// wrong with them, otherwise.
    pub fn new(index: LogIndex, runs: Vec<RunRef>) -> Result<Self, InvalidRunSet> {
        let malformed = |what: &str| InvalidRunSet::Malformed(what.to_owned());
        if runs.len() > RUNS_MAX {
            return Err(malformed("more runs than a set can have"));
        }
        let mut expected = index;
        for run in &runs {
            if run.index != expected || run.after >= run.index {
                return Err(malformed("runs that do not follow each other"));
            }
            if run.removals > run.entries {
                return Err(malformed("more removals than rows"));
            }
            expected = run.after;
        }
        if expected != LogIndex(0) {
            return Err(malformed("no run holds the beginning of the log"));
        }
        let mut ids: Vec<_> = runs.iter().map(|run| run.id).collect();
        ids.sort_unstable();
        if ids.windows(2).any(|pair| pair[0] == pair[1]) {
            return Err(malformed("one run twice"));
        }
        Ok(Self { index, runs })
    }

    /// The set of a log from which nothing was cut yet.
    pub fn empty() -> Self {
        Self::default()
    }

    /// The index whose rows these are.
    pub fn index(&self) -> LogIndex {
        self.index
    }

    /// The runs, newest first.
    pub fn runs(&self) -> &[RunRef] {
        &self.runs
    }

    /// Whether it names a run.
    pub fn names(&self, id: RunId) -> bool {
        self.runs.iter().any(|run| run.id == id)
    }

    /// A version byte, then CBOR with numbered fields.
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = vec![RUN_SET_VERSION];
        minicbor::encode(self, &mut bytes)
            .expect("a vector takes every byte, and the fields encode without conditions");
        assert!(bytes.len() <= RUN_SET_BYTES_MAX, "an encoded set of {} bytes", bytes.len());
        bytes
    }

    /// The inverse of [`Self::encode`], checked as [`Self::new`] does.
    pub fn decode(bytes: &[u8]) -> Result<Self, InvalidRunSet> {
        let malformed = |what: String| InvalidRunSet::Malformed(what);
        if bytes.len() > RUN_SET_BYTES_MAX {
            return Err(malformed("too long".to_owned()));
        }
        let (&version, rest) = bytes.split_first().ok_or_else(|| malformed("empty".to_owned()))?;
        if version > RUN_SET_VERSION {
            return Err(InvalidRunSet::Newer { found: version });
        }
        if version == 0 {
            return Err(malformed("version zero".to_owned()));
        }
        let mut decoder = minicbor::Decoder::new(rest);
        let set: Self = decoder.decode().map_err(|error| malformed(error.to_string()))?;
        if decoder.position() != rest.len() {
            return Err(malformed("bytes behind the set".to_owned()));
        }
        Self::new(set.index, set.runs)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    pub(crate) fn run(id: u64, after: u64, index: u64) -> RunRef {
        RunRef {
            id: RunId(id),
            after: LogIndex(after),
            index: LogIndex(index),
            file_bytes: u64::MAX,
            entries: u64::MAX,
            removals: 1,
            hash: RunHash([0xFF; 32]),
        }
    }

    #[test]
    fn sets_survive_and_the_largest_fits() {
        let all = (0..RUNS_MAX as u64).map(|n| run(u64::MAX - n, u64::MAX - 1 - n, u64::MAX - n));
        let mut runs: Vec<_> = all.collect();
        runs.last_mut().unwrap().after = LogIndex(0);
        for set in [RunSet::empty(), RunSet::new(LogIndex(u64::MAX), runs).unwrap()] {
            assert_eq!(RunSet::decode(&set.encode()).unwrap(), set);
        }
    }

    #[test]
    fn sets_with_gaps_overlaps_or_twins_are_refused() {
        assert!(RunSet::new(LogIndex(9), vec![run(1, 5, 9), run(2, 0, 5)]).is_ok());
        for (index, runs) in [
            (9, vec![run(1, 5, 9), run(2, 0, 4)]),
            (9, vec![run(1, 5, 9), run(2, 1, 5)]),
            (8, vec![run(1, 0, 9)]),
            (9, vec![run(1, 5, 9), run(1, 0, 5)]),
            (9, vec![run(2, 0, 5), run(1, 5, 9)]),
            (1, vec![]),
        ] {
            assert!(RunSet::new(LogIndex(index), runs.clone()).is_err(), "{runs:?}");
        }
    }

    #[test]
    fn foreign_bytes_are_refused() {
        let bytes = RunSet::new(LogIndex(9), vec![run(1, 0, 9)]).unwrap().encode();
        for length in 0..bytes.len() {
            assert!(matches!(RunSet::decode(&bytes[..length]), Err(InvalidRunSet::Malformed(_))), "{length}");
        }
        let mut longer = bytes.clone();
        longer.push(0);
        assert!(RunSet::decode(&longer).is_err());
        let mut newer = bytes.clone();
        newer[0] = 2;
        let refusal = RunSet::decode(&newer).unwrap_err();
        assert_eq!(refusal, InvalidRunSet::Newer { found: 2 });
        assert!(refusal.to_string().contains("version 2") && refusal.to_string().contains("up to 1"));
        assert!(RunSet::decode(&[0; 3]).is_err());
        assert!(RunSet::decode(&vec![1; RUN_SET_BYTES_MAX + 1]).is_err());
        // A list that claims to be endless must not be believed.
        assert!(RunSet::decode(&[1, 0x82, 0, 0x9b, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]).is_err());
    }

    #[test]
    fn file_names_are_told_from_others() {
        let id = RunId(0xAB);
        assert_eq!(id.file_name(), "run-00000000000000ab");
        assert_eq!(RunId::from_file_name(&id.file_name()), Some(id));
        for other in ["run-", "run-ab", "run-00000000000000AB", "run-00000000000000ab.tmp", "00000000000000ab"] {
            assert_eq!(RunId::from_file_name(other), None, "{other}");
        }
    }
}

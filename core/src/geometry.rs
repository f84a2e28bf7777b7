//! How many chunks a stripe has, and how many of them may be lost.

use core::fmt;
use core::str::FromStr;

use minicbor::{Decode, Encode};
use serde::{Deserialize, Serialize};

/// The most chunks that one stripe has.
pub const POSITIONS_MAX: usize = 32;

/// k data and m parity chunks. Any k of the k+m give the bytes back.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Serialize)]
#[cbor(map)]
pub struct Geometry {
    #[n(0)]
    k: u8,
    #[n(1)]
    m: u8,
}

/// Numbers of chunks that are not a geometry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{k}+{m} is not a geometry: at least one data chunk, and at most {POSITIONS_MAX} chunks in all")]
pub struct InvalidGeometry {
    /// Data chunks asked for.
    pub k: u8,
    /// Parity chunks asked for.
    pub m: u8,
}

impl Geometry {
    /// At least one data chunk, at most [`POSITIONS_MAX`] in all.
    pub const fn new(k: u8, m: u8) -> Result<Self, InvalidGeometry> {
        if k == 0 || k as usize + m as usize > POSITIONS_MAX {
            return Err(InvalidGeometry { k, m });
        }
        Ok(Self { k, m })
    }

    const fn known(k: u8, m: u8) -> Self {
        assert!(k > 0 && k as usize + m as usize <= POSITIONS_MAX);
        Self { k, m }
    }

    /// How many chunks hold data.
    pub const fn k(self) -> usize {
        self.k as usize
    }

    /// How many chunks hold parity, which is how many may be lost.
    pub const fn m(self) -> usize {
        self.m as usize
    }

    /// How many chunks there are.
    pub const fn positions(self) -> usize {
        self.k() + self.m()
    }

    /// What STANDARD is when a cluster is formed on so many drives.
    pub const fn standard_for(drives: usize) -> Self {
        match drives {
            0 | 1 => Self::known(1, 0),
            2 => Self::known(1, 1),
            3 => Self::known(2, 1),
            4 | 5 => Self::known(2, 2),
            6..=8 => Self::known(4, 2),
            9..=11 => Self::known(6, 3),
            _ => Self::known(8, 4),
        }
    }

    /// What can be written when only so many drives are alive: the profile's m, and the largest k up to its own. The
    /// geometry gives way, not the safety (invariant 9); `None` where not even 1+m fits, and the write is refused.
    pub const fn fit(self, living: usize) -> Option<Self> {
        if living < self.m() + 1 {
            return None;
        }
        let room = living - self.m();
        let k = if room < self.k() { room as u8 } else { self.k };
        Some(Self::known(k, self.m))
    }
}

impl fmt::Display for Geometry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}+{}", self.k, self.m)
    }
}

impl fmt::Debug for Geometry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Geometry {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("{text:?} is not a geometry such as 4+2");
        let (k, m) = text.split_once('+').ok_or_else(wrong)?;
        let (k, m) = (k.parse().map_err(|_| wrong())?, m.parse().map_err(|_| wrong())?);
        Self::new(k, m).map_err(|error| error.to_string())
    }
}

#[derive(Decode, Deserialize)]
#[cbor(map)]
struct Unchecked {
    #[n(0)]
    k: u8,
    #[n(1)]
    m: u8,
}

impl<'b, C> Decode<'b, C> for Geometry {
    fn decode(d: &mut minicbor::Decoder<'b>, ctx: &mut C) -> Result<Self, minicbor::decode::Error> {
        let Unchecked { k, m } = Unchecked::decode(d, ctx)?;
        Self::new(k, m).map_err(minicbor::decode::Error::custom)
    }
}

impl<'de> Deserialize<'de> for Geometry {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let Unchecked { k, m } = Unchecked::deserialize(deserializer)?;
        Self::new(k, m).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_geometry_gives_way_and_not_the_safety() {
        let standard = Geometry::standard_for(6);
        assert_eq!(standard.to_string(), "4+2");
        for (living, fits) in [(7, "4+2"), (6, "4+2"), (5, "3+2"), (4, "2+2"), (3, "1+2")] {
            assert_eq!(standard.fit(living).unwrap().to_string(), fits);
        }
        assert_eq!(standard.fit(2), None);
    }

    #[test]
    fn standard_always_fits_its_own_drives() {
        for drives in 1..100 {
            assert!(Geometry::standard_for(drives).positions() <= drives);
        }
    }

    #[test]
    fn what_is_no_geometry_is_refused() {
        assert!(Geometry::new(0, 2).is_err());
        assert!(Geometry::new(30, 3).is_err());
        assert!("4-2".parse::<Geometry>().is_err());
        let hostile = minicbor::to_vec(std::collections::BTreeMap::from([(0u8, 0u8), (1, 2)])).unwrap();
        assert!(minicbor::decode::<Geometry>(&hostile).is_err());
    }
}

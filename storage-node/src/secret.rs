//! The cluster's secret: 32 random bytes that make a process a member. It lies beside each drive's identity, because
//! nothing outside the drives is precious.

use core::fmt;

use cairn_core::Entropy;
use zeroize::{Zeroize, ZeroizeOnDrop};

/// How many bytes a secret has.
pub const SECRET_BYTES: usize = 32;

/// The cluster's secret. It has no text form that a log could print, and is wiped when it is dropped.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct ClusterSecret([u8; SECRET_BYTES]);

/// A file that is not a secret. The drive is refused rather than served under a guessed one; any other drive of the
/// cluster has the same secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not {SECRET_BYTES} bytes in hexadecimal")]
pub struct InvalidSecret;

impl ClusterSecret {
    /// Draws a new one, when a cluster is formed.
    pub fn draw(entropy: &dyn Entropy) -> Self {
        let mut bytes = [0; SECRET_BYTES];
        entropy.fill(&mut bytes);
        Self(bytes)
    }

    /// One that was given elsewhere, as when a node joins.
    pub fn from_bytes(bytes: [u8; SECRET_BYTES]) -> Self {
        Self(bytes)
    }

    /// The bytes themselves: for deriving keys, never for printing.
    pub fn expose(&self) -> &[u8; SECRET_BYTES] {
        &self.0
    }

    /// The content of the file `secret`: lower-case hexadecimal and a line feed.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut text = hex::encode(self.0).into_bytes();
        text.push(b'\n');
        text
    }

    /// The inverse of [`Self::encode`].
    pub(crate) fn decode(text: &[u8]) -> Result<Self, InvalidSecret> {
        let digits = text.strip_suffix(b"\n").ok_or(InvalidSecret)?;
        let mut bytes = [0; SECRET_BYTES];
        hex::decode_to_slice(digits, &mut bytes).map_err(|_| InvalidSecret)?;
        Ok(Self(bytes))
    }
}

impl PartialEq for ClusterSecret {
    /// Takes the same time wherever the two differ, so that a comparison tells nobody how close a guess was.
    fn eq(&self, other: &Self) -> bool {
        blake3::Hash::from_bytes(self.0) == blake3::Hash::from_bytes(other.0)
    }
}

impl Eq for ClusterSecret {}

impl fmt::Debug for ClusterSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ClusterSecret(..)")
    }
}

#[cfg(test)]
mod tests {
    use cairn_core::entropy::SeededEntropy;

    use super::*;

    #[test]
    fn a_secret_survives_its_file_and_never_prints() {
        let secret = ClusterSecret::draw(&*SeededEntropy::new(1));
        assert_eq!(ClusterSecret::decode(&secret.encode()).unwrap(), secret);
        assert_ne!(ClusterSecret::draw(&*SeededEntropy::new(2)), secret);
        assert_eq!(format!("{secret:?}"), "ClusterSecret(..)");
    }

    #[test]
    fn what_is_no_secret_is_refused() {
        let whole = ClusterSecret::from_bytes([7; 32]).encode();
        for bad in [&b""[..], b"\n", &whole[..64], &whole[2..], b"zz\n", &[whole.clone(), whole.clone()].concat()] {
            assert_eq!(ClusterSecret::decode(bad), Err(InvalidSecret));
        }
    }
}

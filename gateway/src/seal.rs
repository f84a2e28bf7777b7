//! Secrets of access keys, sealed: the rows hold nothing that a stolen drive would give away without the cluster's
//! secret.
//!
//! The key is derived from the cluster's secret and used for nothing else; the id of the access key is bound in, so that
//! a sealed secret cannot be put under another id. The layout is in `docs/formats/sealed-secret.md`.

use core::fmt;

use cairn_core::Entropy;
use chacha20poly1305::aead::{Aead, Payload};
use chacha20poly1305::{KeyInit, XChaCha20Poly1305, XNonce};
use zeroize::{Zeroize, Zeroizing};

/// The version of the layout that is written.
const VERSION: u8 = 1;

/// XChaCha20's nonce is long enough to be drawn at random for ever.
const NONCE_BYTES: usize = 24;

/// The longest secret, in bytes.
pub const SECRET_BYTES_MAX: usize = 256;

/// Seals and opens the secrets of one cluster's access keys.
#[derive(Clone)]
pub struct SecretSealer {
    key: Zeroizing<[u8; 32]>,
}

/// A sealed secret that cannot be opened.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// Written by a later release: start that release.
    #[error("sealed secret of version {found}, this release knows up to {VERSION}")]
    Newer {
        /// The version that stands there.
        found: u8,
    },
    /// Cut off, damaged, sealed for another id or by another cluster: give the key a new secret.
    #[error("the sealed secret of {id} does not open with this cluster's secret")]
    Unfit {
        /// Whose secret.
        id: String,
    },
}

/// A secret that is longer than any: choose a shorter one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a secret has at most {SECRET_BYTES_MAX} bytes")]
pub struct SecretTooLong;

impl SecretSealer {
    /// Derives the sealing key from the cluster's secret.
    pub fn new(cluster_secret: &[u8; 32]) -> Self {
        Self { key: Zeroizing::new(blake3::derive_key("cairn 2026 access key secrets v1", cluster_secret)) }
    }

    /// Seals a secret for the access key with this id.
    pub fn seal(&self, id: &str, secret: &str, entropy: &dyn Entropy) -> Result<Vec<u8>, SecretTooLong> {
        if secret.len() > SECRET_BYTES_MAX {
            return Err(SecretTooLong);
        }
        let mut nonce = [0; NONCE_BYTES];
        entropy.fill(&mut nonce);
        let payload = Payload { msg: secret.as_bytes(), aad: id.as_bytes() };
        let sealed = self
            .cipher()
            .encrypt(XNonce::from_slice(&nonce), payload)
            .expect("encryption fails only for texts of more than 256 GiB");
        let mut bytes = Vec::with_capacity(1 + NONCE_BYTES + sealed.len());
        bytes.push(VERSION);
        bytes.extend_from_slice(&nonce);
        bytes.extend_from_slice(&sealed);
        Ok(bytes)
    }

    /// The inverse of [`Self::seal`]. What it returns wipes itself.
    pub fn open(&self, id: &str, sealed: &[u8]) -> Result<Zeroizing<String>, OpenError> {
        let unfit = || OpenError::Unfit { id: id.chars().take(128).collect() };
        let (&version, rest) = sealed.split_first().ok_or_else(unfit)?;
        if version > VERSION {
            return Err(OpenError::Newer { found: version });
        }
        if version != VERSION {
            return Err(unfit());
        }
        let (nonce, text) = rest.split_at_checked(NONCE_BYTES).ok_or_else(unfit)?;
        let payload = Payload { msg: text, aad: id.as_bytes() };
        let secret = self.cipher().decrypt(XNonce::from_slice(nonce), payload).map_err(|_| unfit())?;
        String::from_utf8(secret).map(Zeroizing::new).map_err(|error| {
            error.into_bytes().zeroize();
            unfit()
        })
    }

    fn cipher(&self) -> XChaCha20Poly1305 {
        XChaCha20Poly1305::new(self.key.as_slice().into())
    }
}

impl fmt::Debug for SecretSealer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretSealer(..)")
    }
}

#[cfg(test)]
mod tests {
    use cairn_core::entropy::SeededEntropy;

    use super::*;

    #[test]
    fn a_secret_opens_only_for_its_id_and_cluster() {
        let (sealer, entropy) = (SecretSealer::new(&[7; 32]), SeededEntropy::new(1));
        let sealed = sealer.seal("AKID", "hunter2!", &*entropy).unwrap();
        assert_eq!(sealer.open("AKID", &sealed).unwrap().as_str(), "hunter2!");
        assert!(matches!(sealer.open("OTHER", &sealed), Err(OpenError::Unfit { .. })));
        assert!(SecretSealer::new(&[8; 32]).open("AKID", &sealed).is_err());
        assert_ne!(sealer.seal("AKID", "hunter2!", &*entropy).unwrap(), sealed, "a nonce is drawn each time");
        assert!(!format!("{sealer:?}").contains('7'));
    }

    #[test]
    fn damaged_truncated_and_newer_bytes_are_refused() {
        let sealer = SecretSealer::new(&[7; 32]);
        let sealed = sealer.seal("AKID", "hunter2!", &*SeededEntropy::new(1)).unwrap();
        for length in 0..sealed.len() {
            assert!(sealer.open("AKID", &sealed[..length]).is_err(), "{length} bytes");
        }
        for at in 0..sealed.len() {
            let mut flipped = sealed.clone();
            flipped[at] ^= 4;
            assert!(sealer.open("AKID", &flipped).is_err(), "byte {at}");
        }
        let mut newer = sealed;
        newer[0] = 2;
        assert_eq!(sealer.open("AKID", &newer), Err(OpenError::Newer { found: 2 }));
        assert_eq!(sealer.seal("AKID", &"x".repeat(257), &*SeededEntropy::new(1)), Err(SecretTooLong));
    }
}

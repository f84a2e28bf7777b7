//! Seeds: every random choice of a test comes from one number, which a failing test prints.

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

/// The seed of a run: `CAIRN_SEED`, or a fresh one.
#[derive(Debug, Clone, Copy)]
pub struct Seed(pub u64);

impl Seed {
    /// Takes the seed from the environment or draws one, and says which.
    pub fn take(test: &str) -> Self {
        let seed = match std::env::var("CAIRN_SEED") {
            Ok(text) => text.parse().expect("CAIRN_SEED is a number"),
            Err(_) => cairn_core::Entropy::next_u64(&cairn_core::entropy::SystemEntropy) >> 16,
        };
        eprintln!("{test}: seed {seed}; replay with CAIRN_SEED={seed}");
        Self(seed)
    }

    /// A generator that this seed decides.
    pub fn generator(self) -> StdRng {
        StdRng::seed_from_u64(self.0)
    }
}

/// So many bytes that depend on nothing but the generator.
pub fn bytes(generator: &mut impl Rng, length: usize) -> bytes::Bytes {
    let mut bytes = vec![0; length];
    generator.fill_bytes(&mut bytes);
    bytes.into()
}

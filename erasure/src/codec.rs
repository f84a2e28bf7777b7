//! Reed-Solomon: data chunks to parity, and any k chunks to the others. Pure; the cost is the processor's alone.
//!
//! Both directions work in columns that fit a core's cache: the code mixes only bytes at the same offset of the chunks,
//! so the parity of a column is that column of the parity. The unit below which it does not divide is
//! [`CHUNK_ALIGNMENT`](cairn_core::stripe::CHUNK_ALIGNMENT) bytes.
//!
//! - [`encode`]: the parity of a stripe, by the transform of reed-solomon-simd
//! - [`reconstruct`]: lost chunks, data and parity alike, as a weighted sum of k others
//! - `recipe`: the weights of that sum, worked out once for each pattern of losses
//! - `columns`: chunks that lie in memory in several parts, read side by side
//!
//! What lies on drives was made by this code, so its parity must stay the same for ever:
//! [`Code`](cairn_core::chunk::Code) names it, and known answers in the tests pin it.

mod columns;
mod encode;
mod recipe;
mod reconstruct;

pub use encode::encode;
pub use reconstruct::{Survivor, reconstruct};

#[cfg(test)]
mod tests;

//! MD5, of one stream or of several in step.
//!
//! Every step of MD5 waits for the one before, so that one stream leaves most of a core idle. Streams do not wait for one
//! another: as many as a vector has lanes go through the same steps together, in ordinary arrays that the compiler turns
//! into vector code. Four take little longer than one. (Eight take longer than twice four: the state no longer fits the
//! registers that every machine of the architecture has.)

pub mod together;

use md5::block_api::compress;

/// As many streams go in step.
pub const LANES: usize = 4;

const BLOCK_BYTES: usize = 64;

/// A block of a stream.
pub type Block = [u8; BLOCK_BYTES];

/// What MD5 begins with.
const BEGIN: [u32; 4] = [0x6745_2301, 0xEFCD_AB89, 0x98BA_DCFE, 0x1032_5476];

/// The MD5 of what came so far.
#[derive(Debug, Clone)]
pub struct RunningMd5 {
    state: [u32; 4],
    length: u64,
    /// What does not fill a block yet: the first bytes of this, as many as the length says.
    begun: Block,
}

impl Default for RunningMd5 {
    fn default() -> Self {
        Self { state: BEGIN, length: 0, begun: [0; BLOCK_BYTES] }
    }
}

impl RunningMd5 {
    /// The next bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        let (blocks, rest) = self.align(bytes).as_chunks();
        compress(&mut self.state, blocks);
        self.length += (blocks.len() * BLOCK_BYTES) as u64;
        self.begin(rest);
    }

    /// The end.
    pub fn finish(mut self) -> [u8; 16] {
        let (bits, begun) = (self.length.wrapping_mul(8), self.begun_bytes());
        // A one bit, zeros up to eight bytes before a block's end, and there the length.
        let mut tail = [0; 2 * BLOCK_BYTES];
        tail[..begun].copy_from_slice(&self.begun[..begun]);
        tail[begun] = 0x80;
        let end = if begun < BLOCK_BYTES - 8 { BLOCK_BYTES } else { 2 * BLOCK_BYTES };
        tail[end - 8..end].copy_from_slice(&bits.to_le_bytes());
        compress(&mut self.state, tail[..end].as_chunks().0);
        let mut digest = [0; 16];
        for (bytes, word) in digest.as_chunks_mut().0.iter_mut().zip(self.state) {
            *bytes = word.to_le_bytes();
        }
        digest
    }

    fn begun_bytes(&self) -> usize {
        (self.length % BLOCK_BYTES as u64) as usize
    }

    /// Fills up the block that has begun; what is left of the bytes begins with a block of its own, unless nothing is left.
    fn align<'a>(&mut self, bytes: &'a [u8]) -> &'a [u8] {
        let begun = self.begun_bytes();
        if begun == 0 {
            return bytes;
        }
        let (now, rest) = bytes.split_at(bytes.len().min(BLOCK_BYTES - begun));
        self.begun[begun..begun + now.len()].copy_from_slice(now);
        self.length += now.len() as u64;
        if self.begun_bytes() == 0 {
            compress(&mut self.state, &[self.begun]);
        }
        rest
    }

    /// Keeps what does not fill a block.
    fn begin(&mut self, rest: &[u8]) {
        if rest.is_empty() {
            return;
        }
        assert!(self.begun_bytes() == 0 && rest.len() < BLOCK_BYTES, "whole blocks were taken before");
        self.begun[..rest.len()].copy_from_slice(rest);
        self.length += rest.len() as u64;
    }
}

/// Takes streams further in step: each by its own blocks, all by as many. None of them may have begun a block.
fn advance(streams: &mut [(&mut RunningMd5, &[Block])]) {
    match streams {
        [] => {}
        [(alone, run)] => {
            assert_eq!(alone.begun_bytes(), 0, "streams in step are aligned to blocks");
            compress(&mut alone.state, run);
            alone.length += (run.len() * BLOCK_BYTES) as u64;
        }
        [_, _] => advance_in::<2>(streams),
        // A lane that nobody needs costs nothing beside three that are needed.
        _ => advance_in::<LANES>(streams),
    }
}

fn advance_in<const L: usize>(streams: &mut [(&mut RunningMd5, &[Block])]) {
    let first = streams[0].1;
    assert!(streams.len() <= L, "a lane for each stream");
    assert!(streams.iter().all(|(_, run)| run.len() == first.len()), "streams in step take as many blocks");
    assert!(streams.iter().all(|(stream, _)| stream.begun_bytes() == 0), "streams in step are aligned to blocks");
    let (mut states, mut runs) = ([[0; L]; 4], [first; L]);
    for (lane, (stream, run)) in streams.iter().enumerate() {
        runs[lane] = run;
        for (states, word) in states.iter_mut().zip(stream.state) {
            states[lane] = word;
        }
    }
    let states = in_step(states.map(Lanes), runs);
    for (lane, (stream, run)) in streams.iter_mut().enumerate() {
        stream.state = states.map(|word| word.0[lane]);
        stream.length += (run.len() * BLOCK_BYTES) as u64;
    }
}

/// One word of each stream.
#[derive(Debug, Clone, Copy)]
struct Lanes<const L: usize>([u32; L]);

impl<const L: usize> Lanes<L> {
    #[inline(always)]
    fn each(self, other: Self, of: impl Fn(u32, u32) -> u32) -> Self {
        let mut words = self.0;
        for (word, other) in words.iter_mut().zip(other.0) {
            *word = of(*word, other);
        }
        Self(words)
    }

    #[inline(always)]
    fn plus(self, other: Self) -> Self {
        self.each(other, u32::wrapping_add)
    }

    #[inline(always)]
    fn rotated(self, bits: u32) -> Self {
        self.each(self, |word, _| word.rotate_left(bits))
    }
}

/// By how much each step rotates: four numbers a round, again and again.
const ROTATIONS: [[u32; 4]; 4] = [[7, 12, 17, 22], [5, 9, 14, 20], [4, 11, 16, 23], [6, 10, 15, 21]];

/// What each step adds: the first 32 bits behind the point of the sines of 1 to 64.
const SINES: [[u32; 16]; 4] = [
    [
        0xD76A_A478,
        0xE8C7_B756,
        0x2420_70DB,
        0xC1BD_CEEE,
        0xF57C_0FAF,
        0x4787_C62A,
        0xA830_4613,
        0xFD46_9501,
        0x6980_98D8,
        0x8B44_F7AF,
        0xFFFF_5BB1,
        0x895C_D7BE,
        0x6B90_1122,
        0xFD98_7193,
        0xA679_438E,
        0x49B4_0821,
    ],
    [
        0xF61E_2562,
        0xC040_B340,
        0x265E_5A51,
        0xE9B6_C7AA,
        0xD62F_105D,
        0x0244_1453,
        0xD8A1_E681,
        0xE7D3_FBC8,
        0x21E1_CDE6,
        0xC337_07D6,
        0xF4D5_0D87,
        0x455A_14ED,
        0xA9E3_E905,
        0xFCEF_A3F8,
        0x676F_02D9,
        0x8D2A_4C8A,
    ],
    [
        0xFFFA_3942,
        0x8771_F681,
        0x6D9D_6122,
        0xFDE5_380C,
        0xA4BE_EA44,
        0x4BDE_CFA9,
        0xF6BB_4B60,
        0xBEBF_BC70,
        0x289B_7EC6,
        0xEAA1_27FA,
        0xD4EF_3085,
        0x0488_1D05,
        0xD9D4_D039,
        0xE6DB_99E5,
        0x1FA2_7CF8,
        0xC4AC_5665,
    ],
    [
        0xF429_2244,
        0x432A_FF97,
        0xAB94_23A7,
        0xFC93_A039,
        0x655B_59C3,
        0x8F0C_CC92,
        0xFFEF_F47D,
        0x8584_5DD1,
        0x6FA8_7E4F,
        0xFE2C_E6E0,
        0xA301_4314,
        0x4E08_11A1,
        0xF753_7E82,
        0xBD3A_F235,
        0x2AD7_D2BB,
        0xEB86_D391,
    ],
];

/// One step: what the first word becomes.
#[inline(always)]
fn step<const L: usize>(round: usize, step: usize, [a, b, c, d]: [Lanes<L>; 4], message: &[Lanes<L>; 16]) -> Lanes<L> {
    let mixed = |of: fn(u32, u32, u32) -> u32| {
        let mut words = b.0;
        for (lane, word) in words.iter_mut().enumerate() {
            *word = of(*word, c.0[lane], d.0[lane]);
        }
        Lanes(words)
    };
    let (mixed, word) = match round {
        0 => (mixed(|b, c, d| d ^ (b & (c ^ d))), step),
        1 => (mixed(|b, c, d| c ^ (d & (b ^ c))), 5 * step + 1),
        2 => (mixed(|b, c, d| b ^ c ^ d), 3 * step + 5),
        _ => (mixed(|b, c, d| c ^ (b | !d)), 7 * step),
    };
    let added = message[word % 16].plus(Lanes([SINES[round][step]; L]));
    a.plus(mixed).plus(added).rotated(ROTATIONS[round][step % 4]).plus(b)
}

/// Four steps after which the words are at their places again.
macro_rules! steps {
    ($round:literal, $words:ident, $message:ident: $($at:literal)*) => {$({
        let [a, b, c, d] = $words;
        let a = step($round, $at, [a, b, c, d], &$message);
        let d = step($round, $at + 1, [d, a, b, c], &$message);
        let c = step($round, $at + 2, [c, d, a, b], &$message);
        let b = step($round, $at + 3, [b, c, d, a], &$message);
        $words = [a, b, c, d];
    })*};
}

fn in_step<const L: usize>(mut states: [Lanes<L>; 4], runs: [&[Block]; L]) -> [Lanes<L>; 4] {
    for at in 0..runs[0].len() {
        let mut message = [Lanes([0; L]); 16];
        for (lane, run) in runs.iter().enumerate() {
            for (word, bytes) in message.iter_mut().zip(run[at].as_chunks().0) {
                word.0[lane] = u32::from_le_bytes(*bytes);
            }
        }
        let mut words = states;
        steps!(0, words, message: 0 4 8 12);
        steps!(1, words, message: 0 4 8 12);
        steps!(2, words, message: 0 4 8 12);
        steps!(3, words, message: 0 4 8 12);
        for (state, word) in states.iter_mut().zip(words) {
            *state = state.plus(word);
        }
    }
    states
}

#[cfg(test)]
mod tests {
    use md5::{Digest, Md5};
    use proptest::prelude::*;

    use super::*;

    pub(super) fn reference(bytes: &[u8]) -> [u8; 16] {
        Md5::digest(bytes).into()
    }

    #[test]
    fn every_length_around_a_block_is_hashed_as_others_do() {
        let bytes: Vec<u8> = (0..300u16).map(|at| (at * 7) as u8).collect();
        for length in 0..bytes.len() {
            let mut md5 = RunningMd5::default();
            md5.update(&bytes[..length]);
            assert_eq!(md5.finish(), reference(&bytes[..length]), "{length}");
        }
    }

    proptest! {
        #[test]
        fn any_cut_gives_the_same_digest(bytes in prop::collection::vec(any::<u8>(), 0..2000), cuts in prop::collection::vec(0usize..300, 0..20)) {
            let (mut md5, mut rest) = (RunningMd5::default(), &bytes[..]);
            for cut in cuts {
                let (now, later) = rest.split_at(cut.min(rest.len()));
                md5.update(now);
                rest = later;
            }
            md5.update(rest);
            prop_assert_eq!(md5.finish(), reference(&bytes));
        }

        #[test]
        fn streams_in_step_do_not_touch_one_another(
            seeds in prop::collection::vec(any::<u8>(), 1..=LANES), first in 0usize..4, second in 0usize..9,
        ) {
            let length = (first + second) * BLOCK_BYTES;
            let bytes_of = |seed: u8| (0..length).map(|at| seed.wrapping_mul(31) ^ (at * 13) as u8).collect::<Vec<_>>();
            let bytes: Vec<_> = seeds.iter().map(|seed| bytes_of(*seed)).collect();
            let mut streams = vec![RunningMd5::default(); seeds.len()];
            for (stream, bytes) in streams.iter_mut().zip(&bytes) {
                stream.update(&bytes[..first * BLOCK_BYTES]);
            }
            let blocks = bytes.iter().map(|bytes| bytes[first * BLOCK_BYTES..].as_chunks().0);
            advance(&mut streams.iter_mut().zip(blocks).collect::<Vec<_>>());
            for ((mut stream, bytes), seed) in streams.into_iter().zip(bytes).zip(seeds) {
                let tail = vec![seed; usize::from(seed)];
                stream.update(&tail);
                prop_assert_eq!(stream.finish(), reference(&[bytes, tail].concat()));
            }
        }
    }
}

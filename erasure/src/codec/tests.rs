//! Any k of k+m chunks give every other one back, and parity is what it always was.

use cairn_core::Geometry;
use cairn_core::geometry::POSITIONS_MAX;
use proptest::prelude::*;

use super::*;
use crate::testing::bytes_of;
use bytes::Bytes;

fn geometry(k: usize, m: usize) -> Geometry {
    Geometry::new(k as u8, m as u8).unwrap()
}

fn data(seed: u64, k: usize, bytes: usize) -> Vec<Vec<Bytes>> {
    (0..k as u64).map(|at| vec![bytes_of(seed + at, bytes)]).collect()
}

fn whole(body: &[Bytes]) -> Vec<u8> {
    body.concat()
}

/// The same bytes in pieces of these lengths, over and over.
fn in_pieces(bytes: &Bytes, lengths: &[usize]) -> Vec<Bytes> {
    let (mut rest, mut pieces) = (bytes.clone(), Vec::new());
    for &length in lengths.iter().cycle() {
        if rest.is_empty() {
            break;
        }
        pieces.push(rest.split_to(length.min(rest.len())));
    }
    pieces
}

fn any_geometry() -> impl Strategy<Value = Geometry> {
    (1..=POSITIONS_MAX).prop_flat_map(|k| (Just(k), 0..=POSITIONS_MAX - k)).prop_map(|(k, m)| geometry(k, m))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn any_k_chunks_give_all_others(
        geometry in any_geometry(),
        units in prop_oneof![Just(1usize), 2..40usize, 200..600usize],
        seed: u64,
        order in proptest::collection::vec(any::<u32>(), POSITIONS_MAX),
    ) {
        let bytes = units * 64;
        let mut all = data(seed, geometry.k(), bytes);
        all.extend(encode(geometry, bytes, &all));
        prop_assert_eq!(all.len(), geometry.positions());
        let mut positions: Vec<u8> = (0..geometry.positions() as u8).collect();
        positions.sort_by_key(|&position| order[position as usize]);
        let (kept, lost) = positions.split_at(geometry.k());
        let survivors: Vec<Survivor> =
            kept.iter().map(|&position| Survivor { position, body: all[position as usize].clone() }).collect();
        let made = reconstruct(geometry, &survivors, lost, bytes);
        prop_assert_eq!(made.len(), lost.len());
        for (position, made) in lost.iter().zip(made) {
            prop_assert!(whole(&all[*position as usize]) == made, "{} of {}", position, geometry);
        }
    }

    #[test]
    fn how_the_bytes_lie_in_memory_makes_no_difference(
        geometry in any_geometry(),
        units in 1..3000usize,
        lengths in proptest::collection::vec(1..90_000usize, 1..5),
        seed: u64,
    ) {
        let bytes = units * 64;
        let plain = data(seed, geometry.k(), bytes);
        let pieces: Vec<Vec<Bytes>> = plain.iter().map(|chunk| in_pieces(&chunk[0], &lengths)).collect();
        let parity: Vec<Vec<u8>> = encode(geometry, bytes, &plain).iter().map(|chunk| whole(chunk)).collect();
        let same: Vec<Vec<u8>> = encode(geometry, bytes, &pieces).iter().map(|chunk| whole(chunk)).collect();
        prop_assert!(parity == same);
        if geometry.m() > 0 {
            let mut all = pieces;
            all.extend(parity.iter().map(|chunk| in_pieces(&Bytes::from(chunk.clone()), &lengths)));
            let survivors: Vec<Survivor> = (1..=geometry.k())
                .map(|at| Survivor { position: at as u8, body: all[at].clone() })
                .collect();
            prop_assert!(reconstruct(geometry, &survivors, &[0], bytes)[0] == whole(&plain[0]));
        }
    }

    #[test]
    fn a_run_of_the_chunks_gives_that_run(
        geometry in any_geometry(),
        a in 0..500usize,
        b in 0..500usize,
        seed: u64,
    ) {
        prop_assume!(geometry.m() > 0 && a != b);
        let bytes = 500 * 64;
        let mut all = data(seed, geometry.k(), bytes);
        all.extend(encode(geometry, bytes, &all));
        let run = a.min(b) * 64..a.max(b) * 64;
        let lost = seed as usize % geometry.positions();
        let survivors: Vec<Survivor> = (0..geometry.positions())
            .filter(|&at| at != lost)
            .take(geometry.k())
            .map(|at| Survivor { position: at as u8, body: vec![Bytes::from(whole(&all[at])).slice(run.clone())] })
            .collect();
        let made = reconstruct(geometry, &survivors, &[lost as u8], run.len());
        prop_assert!(made[0] == whole(&all[lost])[run]);
    }
}

#[test]
fn the_crates_own_decoder_agrees() {
    for (k, m) in [(2, 1), (4, 2), (6, 3), (8, 4), (5, 8), (16, 16)] {
        let (geometry, bytes) = (geometry(k, m), 4096);
        let plain = data(9, k, bytes);
        let parity = encode(geometry, bytes, &plain);
        let lost = m.min(k);
        let restored = reed_solomon_simd::decode(
            k,
            m,
            (lost..k).map(|at| (at, &plain[at][0])),
            (0..m).map(|at| (at, &parity[at][0])),
        )
        .unwrap();
        for at in 0..lost {
            assert_eq!(restored[&at], plain[at][0], "{geometry}");
        }
    }
}

#[test]
fn one_data_chunk_is_mirrored_without_a_copy() {
    let chunk = data(3, 1, 640);
    for parity in encode(geometry(1, 3), 640, &chunk) {
        assert_eq!(parity[0].as_ptr(), chunk[0][0].as_ptr());
    }
    assert!(encode(geometry(1, 0), 640, &chunk).is_empty());
    assert!(encode(geometry(5, 0), 640, &data(3, 5, 640)).is_empty());
}

/// Parity as it was made from the first release on. Should this ever differ, what lies on drives cannot be decoded any
/// more: it is a new code, and needs a new number in the chunk head.
#[test]
fn parity_stays_the_same_for_ever() {
    let bytes = 64 * 1024 + 192;
    let made: Vec<(usize, usize, String)> = KNOWN
        .iter()
        .map(|&(k, m, _)| {
            let mut hasher = blake3::Hasher::new();
            for part in encode(geometry(k, m), bytes, &data(2026, k, bytes)).iter().flatten() {
                hasher.update(part);
            }
            (k, m, hasher.finalize().to_hex()[..32].to_owned())
        })
        .collect();
    let known: Vec<(usize, usize, String)> = KNOWN.iter().map(|&(k, m, hash)| (k, m, hash.to_owned())).collect();
    assert_eq!(made, known);
    let first = encode(geometry(4, 2), 64, &data(2026, 4, 64));
    assert_eq!(first[0][0][..8], FIRST_BYTES);
}

const FIRST_BYTES: [u8; 8] = [86, 135, 115, 161, 80, 24, 75, 65];

const KNOWN: &[(usize, usize, &str)] = &[
    (1, 1, "95645888ae1051840bb67aa556540f1a"),
    (1, 2, "1304e5571ed306be2b216991a9aacd52"),
    (2, 1, "bfbe375fefb3efb5074c0c45a7ab007a"),
    (2, 2, "af53c1175ffd6dc78affce47b2d3c3ab"),
    (3, 2, "b8086705f903bb82cf45ac5a17a10fb4"),
    (4, 2, "01502913b27d9649e872c756fd3a7540"),
    (5, 2, "0a6d53640761b26f6252843ffbe14992"),
    (6, 3, "48d746efacab871d7804eee37b3c7a55"),
    (8, 4, "e24148c0e37240caad5225ef73acde57"),
    (12, 4, "dfa80ea3be7cfde58fc35d6881cf5e83"),
    (3, 5, "d05d3ffa9fe17cda318d1b9ba5a79af1"),
    (20, 12, "3105d010d319684effe397dc1569fd28"),
];

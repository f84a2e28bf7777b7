//! What coding costs: parity, reconstruction, sealing, placement. `cargo bench -p cairn-erasure`.

use std::collections::BTreeSet;
use std::hint::black_box;

use bytes::Bytes;
use cairn_core::stripe::{LARGE_BLOCK_BYTES, PACKED_BLOCK_BYTES};
use cairn_core::{
    BucketId, ChunkHead, ChunkName, DriveId, ExtentId, Geometry, NodeId, ObjectKey, Ring, RingDrive, SessionId,
    StripeId, WallTime, WriteId,
};
use cairn_erasure::codec::{Survivor, encode, reconstruct};
use cairn_erasure::testing::bytes_of;
use cairn_erasure::{StripeBuilder, StripeExtent};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};

// As the binary has it: with the system's allocator large buffers are returned and faulted in again each time.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const KIB: usize = 1024;
const MIB: usize = 1024 * KIB;

fn chunks(k: usize, bytes: usize) -> Vec<Vec<Bytes>> {
    (0..k).map(|at| vec![bytes_of(at as u64, bytes)]).collect()
}

fn geometry(k: u8, m: u8) -> Geometry {
    Geometry::new(k, m).expect("a geometry")
}

fn coding(c: &mut Criterion) {
    let mut group = c.benchmark_group("codec");
    for (geometry, bytes) in [
        (geometry(4, 2), 4 * KIB),
        (geometry(4, 2), 64 * KIB),
        (geometry(4, 2), MIB),
        (geometry(4, 2), 4 * MIB),
        (geometry(8, 4), MIB),
        (geometry(2, 1), MIB),
    ] {
        let data = chunks(geometry.k(), bytes);
        let name = format!("{geometry}/{} KiB", bytes / KIB);
        group.throughput(Throughput::Bytes((geometry.k() * bytes) as u64));
        group.bench_function(BenchmarkId::new("encode", &name), |b| {
            b.iter(|| black_box(encode(geometry, bytes, &data)));
        });
        let all: Vec<Vec<Bytes>> = data.iter().cloned().chain(encode(geometry, bytes, &data)).collect();
        for lost in BTreeSet::from([1, geometry.m() as u8]) {
            let survivors: Vec<Survivor> = (lost..lost + geometry.k() as u8)
                .map(|position| Survivor { position, body: all[position as usize].clone() })
                .collect();
            let wanted: Vec<u8> = (0..lost).collect();
            group.bench_function(BenchmarkId::new(format!("reconstruct {lost}"), &name), |b| {
                b.iter(|| black_box(reconstruct(geometry, &survivors, &wanted, bytes)));
            });
        }
        // What the recipes replaced, for comparison.
        let lost = geometry.m();
        group.bench_function(BenchmarkId::new(format!("transform {lost}"), &name), |b| {
            b.iter(|| {
                let data = (lost..geometry.k()).map(|at| (at, &all[at][0]));
                let parity = (0..lost).map(|at| (at, &all[geometry.k() + at][0]));
                black_box(reed_solomon_simd::decode(geometry.k(), lost, data, parity).expect("k chunks are left"))
            });
        });
    }
    group.finish();
}

fn builder(extents: &[Bytes], block_bytes: u32) -> StripeBuilder {
    let write = WriteId { session: SessionId(1), counter: 1 };
    let mut builder = StripeBuilder::new(StripeId(write), geometry(4, 2), block_bytes, WallTime(0));
    for (ordinal, data) in extents.iter().enumerate() {
        builder.push(StripeExtent {
            id: ExtentId { write, ordinal: ordinal as u16 },
            bucket: BucketId(1),
            key: ObjectKey::new(format!("some/ordinary/key/{ordinal}")).expect("a key"),
            version: None,
            part: None,
            object_offset: 0,
            data: vec![data.clone()],
        });
    }
    builder
}

fn sealing(c: &mut Criterion) {
    let mut group = c.benchmark_group("seal 4+2");
    let large = [bytes_of(1, 16 * MIB)];
    let small: Vec<Bytes> = (0..64).map(|number| bytes_of(number, 4 * KIB)).collect();
    for (name, extents, block_bytes) in
        [("16 MiB", &large[..], LARGE_BLOCK_BYTES), ("64 x 4 KiB", &small[..], PACKED_BLOCK_BYTES)]
    {
        group.throughput(Throughput::Bytes(extents.iter().map(|extent| extent.len() as u64).sum()));
        group.bench_function(name, |b| b.iter(|| black_box(builder(extents, block_bytes).seal())));
    }
    group.finish();
}

/// The hashing alone, which is the larger part of sealing: the block size decides what it costs.
fn hashing(c: &mut Criterion) {
    let mut group = c.benchmark_group("hash 1 MiB");
    let body = [bytes_of(1, MIB)];
    let write = WriteId { session: SessionId(1), counter: 1 };
    let name = ChunkName { stripe: StripeId(write), position: 0, write };
    group.throughput(Throughput::Bytes(MIB as u64));
    group.bench_function("as a whole", |b| b.iter(|| black_box(blake3::hash(&body[0]))));
    for block_bytes in [4 * KIB, 16 * KIB, 64 * KIB] {
        group.bench_function(format!("in blocks of {} KiB", block_bytes / KIB), |b| {
            b.iter(|| black_box(ChunkHead::seal(name, geometry(4, 2), block_bytes as u32, WallTime(0), &body)));
        });
    }
    group.finish();
}

fn placing(c: &mut Criterion) {
    let mut group = c.benchmark_group("place 6 positions");
    for drives in [6u64, 24, 100] {
        let ring = Ring::new((0..drives).map(|number| RingDrive {
            drive: DriveId(number + 1),
            node: NodeId(number % 8),
            zone: String::new(),
            weight: 100,
        }));
        let mut counter = 0;
        group.bench_function(format!("{drives} drives"), |b| {
            b.iter(|| {
                counter += 1;
                let stripe = StripeId(WriteId { session: SessionId(1), counter });
                black_box(ring.place(stripe, 6, &|_| true))
            });
        });
    }
    group.finish();
}

criterion_group!(benches, coding, hashing, sealing, placing);
criterion_main!(benches);

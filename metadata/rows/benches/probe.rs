//! Raw part first.
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use cairn_core::LogIndex;
use cairn_rows::overlay::memory::MemoryOverlays;
use cairn_rows::overlay::sled::SledOverlays;
use cairn_rows::overlay::{Overlay, Overlays};

#[global_allocator]
static GLOBAL: mimalloc::MiMalloc = mimalloc::MiMalloc;
fn rss() -> i64 {
    let t = std::fs::read_to_string("/proc/self/statm").unwrap();
    t.split(' ').nth(1).unwrap().parse::<i64>().unwrap() * 4096
}
fn key(i: u64) -> Vec<u8> {
    let x = i.wrapping_mul(0x9E37_79B9_7F4A_7C15);
    format!(" \u{1}bucket00/photos/{:02x}/{:016x}.jpg", x >> 56, x).into_bytes()
}
fn bench(name: &str, overlay: Arc<dyn Overlay>, n: u64) {
    let r0 = rss();
    let value = Bytes::from(vec![7u8; 100]);
    let t = Instant::now();
    for i in 0..n {
        overlay.insert(&key(i), LogIndex(i / 6 + 1), Some(&value)).unwrap();
    }
    println!("{name} {n}: insert {:?}/row, rss {} MiB", t.elapsed() / n as u32, (rss() - r0) >> 20);
    let mut x = 1u64;
    let t = Instant::now();
    for _ in 0..200_000 {
        x = x.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        assert!(overlay.get(&key((x >> 33) % n), LogIndex(n)).unwrap().is_some());
    }
    println!("{name} {n}: get {:?}", t.elapsed() / 200_000);
    let t = Instant::now();
    for _ in 0..200_000 {
        x = x.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        assert!(overlay.get(&key(n + (x >> 33) % n), LogIndex(n)).unwrap().is_none());
    }
    println!("{name} {n}: miss {:?}", t.elapsed() / 200_000);
    let t = Instant::now();
    let mut page = Vec::new();
    for _ in 0..200 {
        x = x.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        page.clear();
        overlay.page(&key((x >> 33) % n), None, LogIndex(n), 1000, &mut page).unwrap();
    }
    println!("{name} {n}: page of 1000 {:?}, rss {} MiB", t.elapsed() / 200, (rss() - r0) >> 20);
    let t = Instant::now();
    drop(overlay);
    println!("{name} {n}: drop {:?}", t.elapsed());
}
fn main() {
    let dir = tempfile::tempdir_in(std::env::var("PROBE_DIR").unwrap_or("/tmp".into())).unwrap();
    let sled = SledOverlays::discard_and_open(dir.path()).unwrap();
    for n in [400_000] {
        let t = Instant::now();
        let o = sled.fresh().unwrap();
        println!("open {:?}", t.elapsed());
        bench("sled", o, n);
        bench("map", MemoryOverlays.fresh().unwrap(), n);
    }
    let big = Bytes::from(vec![7u8; 64 << 10]);
    let o = sled.fresh().unwrap();
    let t = Instant::now();
    for i in 0..1000 {
        o.insert(&key(i), LogIndex(i + 1), Some(&big)).unwrap();
    }
    println!("64 KiB {:?}", t.elapsed() / 1000);
    let db = sled::Config::new()
        .path(dir.path().join("raw"))
        .temporary(true)
        .cache_capacity(32 << 20)
        .flush_every_ms(None)
        .open()
        .unwrap();
    let t = Instant::now();
    for i in 0..1000 {
        db.insert(key(i), big.as_ref()).unwrap();
    }
    println!("64 KiB inline {:?}/row, {} MiB on disk", t.elapsed() / 1000, db.size_on_disk().unwrap() >> 20);
}

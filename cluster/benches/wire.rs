//! What the network between nodes costs: chunks put and fetched over loopback, and small calls. Both ends are in this
//! process, the store keeps nothing, so what is measured is the wire: hyper, tags, the check of arriving chunks.

use std::ops::Range;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bytes::Bytes;
use cairn_cluster::chunks::{ChunkService, RemoteDrive};
use cairn_cluster::client::pool::Pool;
use cairn_cluster::greeting::ConnectionKey;
use cairn_cluster::network::tcp::TcpNetwork;
use cairn_cluster::server::{Listener, ListenerOptions};
use cairn_cluster::service::{ServiceId, Services};
use cairn_core::chunk_store::{ChunkStat, DriveHealth};
use cairn_core::entropy::SystemEntropy;
use cairn_core::{
    ChunkError, ChunkHead, ChunkName, ChunkRecord, ChunkSlice, ChunkStore, ClusterId, DriveId, Drives, Geometry,
    NodeId, SessionId, StripeId, WallTime, WriteId,
};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use futures::FutureExt as _;
use futures::future::{BoxFuture, join_all};
use tokio::runtime::Runtime;

/// The allocator that the server runs with: messages are made of large buffers that come and go.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const DRIVE: DriveId = DriveId(1);
const OWNER: NodeId = NodeId(2);

/// Callers at a time: enough that one waits while another's bytes move.
const CROWD: usize = 8;

/// Takes everything and keeps the last of it.
#[derive(Debug, Default)]
struct Memory {
    last: Mutex<Option<(Arc<ChunkHead>, Bytes)>>,
}

impl Memory {
    fn last(&self) -> (Arc<ChunkHead>, Bytes) {
        self.last.lock().expect("nobody panics").clone().expect("something was put")
    }
}

impl ChunkStore for Memory {
    fn drive(&self) -> DriveId {
        DRIVE
    }

    fn put(&self, chunk: ChunkRecord) -> BoxFuture<'_, Result<(), ChunkError>> {
        let mut last = self.last.lock().expect("nobody panics");
        if last.is_none() {
            *last = Some((chunk.head, Bytes::from(chunk.body.concat())));
        }
        async { Ok(()) }.boxed()
    }

    fn get(&self, _: ChunkName, range: Range<u32>) -> BoxFuture<'_, Result<ChunkSlice, ChunkError>> {
        let (head, bytes) = self.last();
        let aligned = head.aligned(range.clone());
        let blocks = bytes.slice(aligned.start as usize..aligned.end as usize);
        async { Ok(ChunkSlice::new(head, range, blocks)) }.boxed()
    }

    fn head(&self, _: ChunkName) -> BoxFuture<'_, Result<Arc<ChunkHead>, ChunkError>> {
        async { Ok(self.last().0) }.boxed()
    }

    fn read_back(&self, name: ChunkName) -> BoxFuture<'_, Result<Arc<ChunkHead>, ChunkError>> {
        self.head(name)
    }

    fn delete(&self, _: ChunkName) -> BoxFuture<'_, Result<bool, ChunkError>> {
        async { Ok(true) }.boxed()
    }

    fn list(&self, _: Option<ChunkName>, _: usize) -> BoxFuture<'_, Result<Vec<ChunkStat>, ChunkError>> {
        async { Ok(Vec::new()) }.boxed()
    }

    fn health(&self) -> DriveHealth {
        DriveHealth {
            writable: Ok(()),
            chunks: 0,
            live_bytes: 0,
            allocated_bytes: 0,
            available_bytes: 0,
            total_bytes: 0,
            errors: 0,
        }
    }
}

async fn remote(store: Arc<dyn ChunkStore>) -> (Listener, Arc<RemoteDrive>) {
    let key = ConnectionKey::derive(&[7; 32], ClusterId(1));
    let services = Services::default().with(ServiceId::CHUNKS, ChunkService::new(Drives::new([store]), &SystemEntropy));
    let address = "127.0.0.1:0".parse().expect("an address");
    let options = ListenerOptions { node: OWNER, key: key.clone(), address, services };
    let listener = Listener::start(options, &TcpNetwork, SystemEntropy::shared()).await.expect("loopback");
    let pool = Pool::new(NodeId(1), key, TcpNetwork::shared(), SystemEntropy::shared());
    pool.set_address(OWNER, listener.address());
    (listener, RemoteDrive::new(pool, OWNER, DRIVE))
}

fn record(length: usize) -> ChunkRecord {
    let write = WriteId { session: SessionId(1), counter: 1 };
    let name = ChunkName { stripe: StripeId(write), position: 0, write };
    let body = vec![Bytes::from(vec![0x5A; length])];
    let geometry = Geometry::new(4, 2).expect("4+2 is a geometry");
    ChunkRecord { head: Arc::new(ChunkHead::seal(name, geometry, 65_536, WallTime(1), &body)), body }
}

/// What this process has used of its processors, in clock ticks of which there are a hundred a second.
fn cpu() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/stat").expect("Linux says what was used");
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let ticks = |at: usize| fields.get(at).and_then(|field| field.parse::<u64>().ok()).expect("a number of ticks");
    Duration::from_millis((ticks(11) + ticks(12)) * 10)
}

/// Runs something for a while and prints GB/s and processor seconds for each GB, which criterion does not count.
fn cost<F: Future>(what: &str, runtime: &Runtime, bytes_each: usize, run: impl Fn() -> F) {
    let (begun, used_before) = (Instant::now(), cpu());
    let mut bytes = 0;
    runtime.block_on(async {
        while begun.elapsed() < Duration::from_secs(3) {
            run().await;
            bytes += bytes_each;
        }
    });
    let (elapsed, used, gb) = (begun.elapsed(), cpu() - used_before, bytes as f64 / 1e9);
    println!("{what}: {:.2} GB/s, {:.2} cpu-s/GB", gb / elapsed.as_secs_f64(), used.as_secs_f64() / gb);
}

async fn put_crowd(drive: &RemoteDrive, record: &ChunkRecord) {
    join_all((0..CROWD).map(|_| drive.put(record.clone()))).await.into_iter().for_each(|put| put.expect("stored"));
}

async fn get_crowd(drive: &RemoteDrive, record: &ChunkRecord) {
    let (name, length) = (*record.head.name(), record.head.length());
    let gets = join_all((0..CROWD).map(async |_| drive.get(name, 0..length).await.expect("there").verified(&name)));
    gets.await.into_iter().for_each(|read| assert_eq!(read.expect("sound").len(), length as usize));
}

fn chunks(c: &mut Criterion) {
    let runtime = Runtime::new().expect("a runtime");
    for (what, length) in [("64 KiB", 64 << 10), ("1 MiB", 1 << 20), ("4 MiB", 4 << 20)] {
        let (_listener, drive) = runtime.block_on(remote(Arc::new(Memory::default())));
        let record = record(length);
        let mut group = c.benchmark_group("chunks");
        group.sample_size(20).throughput(Throughput::Bytes((length * CROWD) as u64));
        group.bench_function(format!("put {what} x {CROWD}"), |b| {
            b.to_async(&runtime).iter(|| put_crowd(&drive, &record));
        });
        group.bench_function(format!("get {what} x {CROWD}, verified"), |b| {
            b.to_async(&runtime).iter(|| get_crowd(&drive, &record));
        });
        group.finish();
        cost(&format!("put {what} x {CROWD}"), &runtime, CROWD * length, || put_crowd(&drive, &record));
        cost(&format!("get {what} x {CROWD}"), &runtime, CROWD * length, || get_crowd(&drive, &record));
    }
}

/// The same bytes through a bare socket, for comparison: what the machine charges before any of our code has run.
fn bare(_: &mut Criterion) {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    const LENGTH: usize = 1 << 20;
    let runtime = Runtime::new().expect("a runtime");
    let (mut sender, mut receiver) = runtime.block_on(async {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("loopback");
        let address = listener.local_addr().expect("it is bound");
        let sender = tokio::net::TcpStream::connect(address).await.expect("loopback");
        (sender, listener.accept().await.expect("loopback").0)
    });
    let bytes = vec![0x5A; LENGTH];
    let (begun, used_before, mut moved) = (Instant::now(), cpu(), 0usize);
    runtime.block_on(async {
        let reading = tokio::spawn(async move {
            let mut buffer = vec![0; 256 << 10];
            while receiver.read(&mut buffer).await.is_ok_and(|length| length > 0) {}
        });
        while begun.elapsed() < Duration::from_secs(3) {
            sender.write_all(&bytes).await.expect("it is read");
            moved += LENGTH;
        }
        drop(sender);
        reading.await.expect("nobody panics");
    });
    let (elapsed, used, gb) = (begun.elapsed(), cpu() - used_before, moved as f64 / 1e9);
    println!("a bare socket: {:.2} GB/s, {:.2} cpu-s/GB", gb / elapsed.as_secs_f64(), used.as_secs_f64() / gb);
}

fn calls(c: &mut Criterion) {
    let runtime = Runtime::new().expect("a runtime");
    let (_listener, drive) = runtime.block_on(remote(Arc::new(Memory::default())));
    runtime.block_on(drive.put(record(4096))).expect("stored");
    let name = *record(4096).head.name();
    let mut group = c.benchmark_group("calls");
    group.bench_function("one small call", |b| b.to_async(&runtime).iter(|| drive.head(name)));
    group.throughput(Throughput::Elements(CROWD as u64));
    group.bench_function(format!("{CROWD} small calls"), |b| {
        b.to_async(&runtime).iter(|| join_all((0..CROWD).map(|_| drive.head(name))));
    });
    group.finish();
}

criterion_group!(benches, bare, chunks, calls);
criterion_main!(benches);

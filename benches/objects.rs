//! Objects end to end in one process: signature, coding, six journals, the log, rows and back, without a socket. What a
//! change costs or gains here is what a client sees, less the network.

use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use cairn::ask::signature::{self, Request};
use cairn::assembly::{Assembly, Parts};
use cairn::dev::directories;
use cairn_core::Clock;
use cairn_core::clock::SystemClock;
use cairn_core::entropy::SystemEntropy;
use cairn_gateway::GatewayConfig;
use cairn_journal::Shell;
use cairn_journal::files::real::RealFiles;
use cairn_repair::RepairConfig;
use cairn_rows::SledOverlays;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use http_body_util::{BodyExt, Full};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

async fn start(dir: &Path) -> Assembly {
    let files = Arc::new(RealFiles);
    let plan = directories::plan(&*files, dir, None).expect("an empty directory");
    let parts = Parts {
        files,
        overlays: Arc::new(SledOverlays::discard_and_open(dir.join("overlay")).expect("sled opens")),
        clock: SystemClock::start(),
        entropy: SystemEntropy::shared(),
        shell: Shell::Thread,
        history: cairn::history::History::default(),
    };
    Assembly::start(parts, dir, &plan, None, RepairConfig::default(), GatewayConfig::default())
        .await
        .expect("a sound disk")
}

async fn send(assembly: &Assembly, clock: &dyn Clock, method: &str, path: &str, body: Bytes) -> usize {
    let host = "127.0.0.1:9000";
    let asked = Request { method, host, path, query: "", has_body: !body.is_empty() };
    let mut request = http::Request::builder().method(method).uri(path).header("content-length", body.len());
    for (name, value) in signature::sign(asked, assembly.credentials(), clock.wall()) {
        request = request.header(name, value);
    }
    let request = request.body(Full::new(body)).expect("a well-formed request");
    let answer = assembly.gateway().answer(request).await;
    assert!(answer.status().is_success(), "{method} {path}: {}", answer.status());
    answer.into_body().collect().await.expect("a whole answer").to_bytes().len()
}

fn objects(criterion: &mut Criterion) {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let dir = tempfile::tempdir().expect("a directory");
    let clock = SystemClock::start();
    let assembly = runtime.block_on(start(dir.path()));
    runtime.block_on(send(&assembly, &*clock, "PUT", "/bench", Bytes::new()));
    for (name, length) in [("4 KiB", 4 << 10), ("1 MiB", 1 << 20), ("16 MiB", 16 << 20)] {
        let body = Bytes::from(vec![7; length]);
        let mut group = criterion.benchmark_group(name);
        group.throughput(Throughput::Bytes(length as u64)).sample_size(10);
        group.bench_function("put, alone", |bencher| {
            bencher.iter(|| runtime.block_on(send(&assembly, &*clock, "PUT", "/bench/key", body.clone())));
        });
        group.bench_function("get, alone", |bencher| {
            bencher.iter(|| runtime.block_on(send(&assembly, &*clock, "GET", "/bench/key", Bytes::new())));
        });
        group.finish();
    }
    runtime.block_on(assembly.stop()).expect("a clean stop");
}

criterion_group!(benches, objects);
criterion_main!(benches);

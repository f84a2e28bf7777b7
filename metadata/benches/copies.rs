//! What copies cost: commits a second of 64 clients with the log on one directory and on three, by turns in one run, so that both meet
//! the same noise. The directories share a device, which three disks do not.
//!
//! ```text
//! cargo bench -p cairn-metadata --bench copies            in a directory below the system's temporary one
//! CAIRN_BENCH_DIR=/mnt/disk cargo bench ...               elsewhere
//! ```

mod node;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use cairn_core::{BucketId, ExtentId};
use cairn_machine::Outcome;
use cairn_machine::operation::{NewExtent, NewPlace};
use cairn_machine::rows::session::SessionKind;
use cairn_metadata::Client;

const CLIENTS: usize = 64;
const TURNS: usize = 8;
const TURN: Duration = Duration::from_secs(2);

/// The copies that are compared.
const ON: [usize; 2] = [1, node::COPIES];

fn main() {
    let parent = std::env::var_os("CAIRN_BENCH_DIR").map_or_else(std::env::temp_dir, Into::into);
    let dir = tempfile::Builder::new().prefix("cairn-copies").tempdir_in(parent).expect("a directory to work in");
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("threads");
    runtime.block_on(async {
        for bytes in [4096, 64] {
            let mut voters = Vec::new();
            for copies in ON {
                let at = dir.path().join(format!("{bytes}-{copies}"));
                let (voter, _log) = node::start(&at, node::OVERLAY_BYTES, copies).await;
                let client = voter.client(SessionKind::Gateway).await.expect("a session");
                let bucket = node::bucket(&client, "bench").await;
                voters.push((voter, client, bucket));
            }
            let mut rates = ON.map(|_| Vec::new());
            for turn in 0..TURNS {
                for which in 0..ON.len() {
                    let which = (which + turn) % ON.len();
                    let (_, client, bucket) = &voters[which];
                    rates[which].push(commits(client, *bucket, bytes, turn).await);
                }
            }
            for (copies, rates) in ON.iter().zip(&mut rates) {
                rates.sort_by(f64::total_cmp);
                println!(
                    "{bytes} bytes, {copies} copies: median {:.0}/s, best {:.0}/s",
                    rates[TURNS / 2],
                    rates[TURNS - 1]
                );
            }
            println!("{bytes} bytes: {:.2} of one copy", rates[1][TURNS / 2] / rates[0][TURNS / 2]);
            for (voter, client, _) in voters {
                client.close().await;
                voter.close().await.expect("it closes");
            }
        }
    });
}

/// So many a second.
async fn commits(client: &Client, bucket: BucketId, bytes: usize, turn: usize) -> f64 {
    let (stop, begin) = (Arc::new(AtomicBool::new(false)), Instant::now());
    let clients: Vec<_> = (0..CLIENTS)
        .map(|n| {
            let (client, stop) = (client.clone(), stop.clone());
            tokio::spawn(async move {
                let mut count = 0_u64;
                while !stop.load(Ordering::Relaxed) {
                    let ticket = client.begin_write();
                    let extent = NewExtent {
                        id: ExtentId { write: ticket.id(), ordinal: 0 },
                        length: bytes as u32,
                        place: NewPlace::Here(vec![7; bytes].into()),
                    };
                    let put = node::put(bucket, &format!("{bytes}/{turn}/{n}/{count}"), extent, client.session());
                    let outcomes = client.propose(vec![put]).await.expect("an answer");
                    assert!(matches!(outcomes[..], [Outcome::Put { .. }]), "{outcomes:?}");
                    count += 1;
                }
                count
            })
        })
        .collect();
    tokio::time::sleep(TURN).await;
    stop.store(true, Ordering::Relaxed);
    let mut count = 0;
    for client in clients {
        count += client.await.expect("a client");
    }
    count as f64 / begin.elapsed().as_secs_f64()
}

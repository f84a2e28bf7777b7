//! The simulated network carries bytes in order, and breaks as it is told.

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::time::{Instant, timeout};

use super::*;

fn machine(number: u8) -> IpAddr {
    IpAddr::from([10, 0, 0, number])
}

async fn pair(network: &SimulatedNetwork) -> (BoxStream, BoxStream) {
    let mut acceptor = network.endpoint(machine(2)).listen("0.0.0.0:0".parse().unwrap()).await.unwrap();
    let ours = network.endpoint(machine(1)).connect(acceptor.address()).await.unwrap();
    let (theirs, from) = acceptor.accept().await.unwrap();
    assert_eq!(from.ip(), machine(1));
    (ours, theirs)
}

#[tokio::test(start_paused = true)]
async fn bytes_arrive_whole_in_order_and_after_their_delay() {
    let network = SimulatedNetwork::new(1);
    let delay = Duration::from_millis(5)..=Duration::from_millis(50);
    network.set_faults(Faults { delay, ..Faults::default() });
    let (mut ours, mut theirs) = pair(&network).await;
    let sent: Vec<u8> = (0..1_000_000u32).map(|i| (i % 251) as u8).collect();
    let begun = Instant::now();
    let writing = async {
        for part in sent.chunks(7777) {
            ours.write_all(part).await.unwrap();
        }
        ours.shutdown().await.unwrap();
    };
    let mut received = Vec::new();
    tokio::join!(writing, async { theirs.read_to_end(&mut received).await.unwrap() });
    assert_eq!(received, sent);
    assert!(begun.elapsed() >= Duration::from_millis(5));
}

#[tokio::test(start_paused = true)]
async fn parted_machines_hear_nothing_until_they_are_healed() {
    let network = SimulatedNetwork::new(2);
    let (mut ours, mut theirs) = pair(&network).await;
    network.part(machine(1), machine(2));
    ours.write_all(b"hello").await.unwrap();
    let mut read = [0; 5];
    let minute = Duration::from_secs(60);
    assert!(timeout(minute, theirs.read_exact(&mut read)).await.is_err());
    let endpoint = network.endpoint(machine(1));
    assert!(timeout(minute, endpoint.connect("10.0.0.2:10000".parse().unwrap())).await.is_err());
    network.heal();
    theirs.read_exact(&mut read).await.unwrap();
    assert_eq!(&read, b"hello");
}

#[tokio::test(start_paused = true)]
async fn a_crash_breaks_what_is_open_and_refuses_what_comes() {
    let network = SimulatedNetwork::new(3);
    let (mut ours, mut theirs) = pair(&network).await;
    network.crash(machine(2));
    let mut read = [0; 1];
    assert!(ours.read_exact(&mut read).await.is_err());
    assert!(theirs.write_all(b"x").await.is_err());
    let refused = network.endpoint(machine(1)).connect("10.0.0.2:10000".parse().unwrap()).await;
    assert_eq!(refused.err().unwrap().kind(), io::ErrorKind::ConnectionRefused);
}

#[tokio::test(start_paused = true)]
async fn cuts_and_flips_come_from_the_seed() {
    let run = async |seed| {
        let network = SimulatedNetwork::new(seed);
        network.set_faults(Faults { cut_one_in: 1, cut_bytes_max: 5000, flip_one_in: 10, ..Faults::default() });
        let (mut ours, mut theirs) = pair(&network).await;
        let writing = async {
            while ours.write_all(&[0; 100]).await.is_ok() {
                tokio::task::yield_now().await;
            }
        };
        let mut received = Vec::new();
        let reading = async {
            let mut buffer = [0; 64];
            while let Ok(n @ 1..) = theirs.read(&mut buffer).await {
                received.extend_from_slice(&buffer[..n]);
            }
        };
        tokio::join!(writing, reading);
        received
    };
    let mut runs = Vec::new();
    for seed in 1..20 {
        let (first, again) = (run(seed).await, run(seed).await);
        assert_eq!(first, again, "seed {seed}");
        assert!(first.len() <= 5000, "{} bytes", first.len());
        runs.push(first);
    }
    assert!(runs.iter().flatten().any(|byte| *byte != 0), "some bit was flipped");
    runs.sort();
    runs.dedup();
    assert!(runs.len() > 15, "seeds differ");
}

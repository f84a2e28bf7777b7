//! Calls between two nodes: what arrives, what is refused, what a caller learns when things break.

#![allow(clippy::unwrap_used, reason = "a test says what it expects by failing")]

mod support;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use cairn_cluster::call::{Call, CallError, Target};
use cairn_cluster::class::Class;
use cairn_cluster::greeting::Refusal;
use cairn_cluster::message::{FRAME_BYTES_MAX, Payload, SEALED_BYTES_MAX, StreamFault};
use cairn_cluster::network::simulated::{Faults, SimulatedNetwork};
use cairn_cluster::service::{Declined, Method, ServiceId};
use cairn_core::NodeId;
use futures::StreamExt as _;
use futures::future::join_all;

use support::{Echo, Node, PATIENCE, SECRET, machine};

fn echo(method: u8, head: impl Into<Bytes>) -> Call {
    Call::new(ServiceId::CONTROL, Method(method), head)
}

#[tokio::test]
async fn calls_are_answered_over_tcp_on_every_class() {
    let (a, b) = Node::tcp_pair().await;
    for class in Class::ALL {
        for length in [0, 1, 1000, 100_000, SEALED_BYTES_MAX] {
            let body = Bytes::from(vec![class as u8; length]);
            let call = echo(Echo::BACK, &b"ask"[..]).with_body(Payload::Sealed(body.clone()));
            let answer = a.pool.call(b.id, class, call, PATIENCE).await.unwrap();
            assert_eq!(answer.from, b.id);
            assert_eq!(&answer.head[..], b"ask");
            let Payload::Sealed(back) = answer.body else { panic!("{:?}", answer.body) };
            assert!(back == body, "{class}: {length} bytes came back changed");
        }
    }
    assert_eq!(b.echo.callers(), vec![a.id; 15]);
    assert_eq!(b.listener.counts().strangers + b.listener.counts().broken, 0);
}

#[tokio::test]
async fn what_is_too_long_is_refused_before_it_is_sent() {
    let (a, b) = Node::tcp_pair().await;
    let long = Payload::Sealed(Bytes::from(vec![0; SEALED_BYTES_MAX + 1]));
    let call = echo(Echo::BACK, &b""[..]).with_body(long);
    assert!(matches!(a.pool.call(b.id, Class::Bulk, call, PATIENCE).await, Err(CallError::TooLong(_))));
    let call = echo(Echo::BACK, vec![0; (1 << 20) + 1]);
    assert!(matches!(a.pool.call(b.id, Class::Bulk, call, PATIENCE).await, Err(CallError::TooLong(_))));
    assert_eq!(b.listener.counts().requests, 0);
}

#[tokio::test]
async fn streams_of_any_length_pass_both_ways_at_once() {
    let (a, b) = Node::tcp_pair().await;
    let lengths = [1, FRAME_BYTES_MAX, 3 * FRAME_BYTES_MAX + 17, 0, 5000, FRAME_BYTES_MAX + 1];
    for count in [0, 1, 60] {
        let parts: Vec<Bytes> = (0..count).map(|i| Bytes::from(vec![i as u8; lengths[i % 6]])).collect();
        let whole = parts.concat();
        let frames = futures::stream::iter(parts.into_iter().map(Ok)).boxed();
        let call = echo(Echo::BACK, &b"stream"[..]).with_body(Payload::Frames(frames));
        let answer = a.pool.call(b.id, Class::Bulk, call, PATIENCE).await.unwrap();
        let Payload::Frames(frames) = answer.body else { panic!("{:?}", answer.body) };
        let back: Vec<Bytes> = frames.map(Result::unwrap).collect().await;
        assert!(back.concat() == whole, "{count} parts");
    }
}

#[tokio::test]
async fn a_stream_that_breaks_off_is_never_a_short_one() {
    let (a, b) = Node::tcp_pair().await;
    let parts = [Ok(Bytes::from_static(b"begun")), Err(StreamFault("the disk failed".to_owned()))];
    let frames = futures::stream::iter(parts).boxed();
    let call = echo(Echo::SUM, &b""[..]).with_body(Payload::Frames(frames));
    let lost = a.pool.call(b.id, Class::Bulk, call, PATIENCE).await.unwrap_err();
    assert!(lost.may_have_happened(), "{lost}");
    // The service saw it break, or was dropped at the same moment; it never took it for whole.
    assert!(b.echo.sums().iter().all(Option::is_none));
    // The same in the other direction: the answer ends with an error, or never began.
    match a.pool.call(b.id, Class::Bulk, echo(Echo::BREAK_OFF, &b""[..]), PATIENCE).await {
        Ok(answer) => {
            let Payload::Frames(frames) = answer.body else { panic!("{:?}", answer.body) };
            let frames: Vec<_> = frames.collect().await;
            assert!(frames.last().unwrap().is_err(), "{frames:?}");
        }
        Err(error) => assert!(error.may_have_happened(), "{error}"),
    }
}

#[tokio::test]
async fn declined_calls_did_not_happen_and_leave_the_connection_usable() {
    let (a, b) = Node::tcp_pair().await;
    let declined = async |call| match a.pool.call(b.id, Class::Control, call, PATIENCE).await {
        Err(error @ CallError::Declined(_, why)) => {
            assert!(!error.may_have_happened());
            why
        }
        other => panic!("{other:?}"),
    };
    assert_eq!(declined(Call::new(ServiceId(99), Method(0), &b""[..])).await, Declined::NoService);
    assert_eq!(declined(echo(99, &b""[..])).await, Declined::NoMethod);
    a.pool.call(b.id, Class::Control, echo(Echo::BACK, &b""[..]), PATIENCE).await.unwrap();
    assert_eq!(b.listener.counts().broken, 0);
}

#[tokio::test]
async fn nobody_there_wrong_node_unknown_node() {
    let (a, b) = Node::tcp_pair().await;
    let call = async |node, patience| a.pool.call(node, Class::Control, echo(Echo::BACK, &b""[..]), patience).await;
    assert!(matches!(call(NodeId(77), PATIENCE).await, Err(CallError::Unknown(_))));
    a.pool.set_address(NodeId(77), b.listener.address());
    let wrong = call(NodeId(77), PATIENCE).await.unwrap_err();
    assert!(matches!(wrong, CallError::Refused(_, Refusal::WrongNode(node)) if node == b.id), "{wrong}");
    // Whoever is there is found by address.
    let at = Target::At(b.listener.address());
    let answer = a.pool.call(at, Class::Control, echo(Echo::BACK, &b""[..]), PATIENCE).await.unwrap();
    assert_eq!(answer.from, b.id);
    // After a failed attempt the peer rests, and callers hear so at once.
    let address = b.listener.address();
    b.listener.stop().await;
    a.pool.set_address(NodeId(78), address);
    assert!(matches!(call(NodeId(78), PATIENCE).await, Err(CallError::Unreachable(..))));
    assert!(matches!(call(NodeId(78), PATIENCE).await, Err(CallError::Resting(..))));
}

#[tokio::test]
async fn a_restarted_peer_is_called_again_without_a_lost_call() {
    let (a, b) = Node::tcp_pair().await;
    let call = || echo(Echo::BACK, &b""[..]);
    join_all((0..8).map(|_| a.pool.call(b.id, Class::Control, call(), PATIENCE))).await;
    let address = b.listener.address();
    b.listener.stop().await;
    let again = Node::tcp_at(b.id, address, &SECRET).await;
    // The idle connections are dead. Their end is seen, or nothing of the call was sent on them.
    tokio::task::yield_now().await;
    for _ in 0..20 {
        match a.pool.call(b.id, Class::Control, call(), PATIENCE).await {
            Ok(_) => {}
            Err(error) => assert!(!error.may_have_happened() || again.echo.callers().is_empty(), "{error}"),
        }
    }
    assert!(!again.echo.callers().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_deadline_covers_a_silent_peer_and_a_full_pool() {
    let network = SimulatedNetwork::new(1);
    let a = Node::simulated(&network, 1).await;
    let b = Node::simulated(&network, 2).await;
    a.knows(&b);
    let second = Duration::from_secs(1);
    // As many calls as there are connections, none answered; one more finds no place.
    let hanging = join_all(
        (0..Class::Raft.calls_max()).map(|_| a.pool.call(b.id, Class::Raft, echo(Echo::HANG, &b""[..]), 2 * second)),
    );
    let crowded = async {
        tokio::time::sleep(second / 2).await;
        a.pool.call(b.id, Class::Raft, echo(Echo::BACK, &b""[..]), second).await
    };
    let other_class = async {
        tokio::time::sleep(second / 2).await;
        a.pool.call(b.id, Class::Control, echo(Echo::BACK, &b""[..]), second).await
    };
    let (hanging, crowded, other_class) = tokio::join!(hanging, crowded, other_class);
    for answer in hanging {
        let late = answer.unwrap_err();
        // Both ends count the same patience; whichever is first, the caller must not believe that nothing happened.
        assert!(late.may_have_happened(), "{late}");
    }
    assert!(matches!(crowded, Err(CallError::Crowded(_))), "{crowded:?}");
    other_class.unwrap();
    // And a machine that vanished: the call ends in time.
    network.part(machine(1), machine(2));
    let begun = tokio::time::Instant::now();
    let late = a.pool.call(b.id, Class::Control, echo(Echo::BACK, &b""[..]), second).await.unwrap_err();
    assert!(matches!(late, CallError::Late(..)), "{late}");
    assert!(begun.elapsed() <= second + Duration::from_millis(5));
}

#[tokio::test(start_paused = true)]
async fn a_lane_keeps_the_order_of_calls_and_mends_itself() {
    let network = SimulatedNetwork::new(2);
    let a = Node::simulated(&network, 1).await;
    let b = Node::simulated(&network, 2).await;
    a.knows(&b);
    let delay = Duration::from_millis(1)..=Duration::from_millis(40);
    network.set_faults(Faults { delay, ..Faults::default() });
    let lane = a.pool.lane(b.id, Class::Raft);
    let numbers: Vec<u8> = (0..50).collect();
    let calls = join_all(numbers.iter().map(|number| lane.call(echo(Echo::NOTE, vec![*number]), PATIENCE))).await;
    assert!(calls.iter().all(Result::is_ok), "{calls:?}");
    assert_eq!(b.echo.notes(), numbers);
    network.reset(machine(2));
    while let Err(error) = lane.call(echo(Echo::NOTE, vec![50]), PATIENCE).await {
        assert!(!matches!(error, CallError::Declined(..)), "{error}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(b.echo.notes().last(), Some(&50));
}

#[tokio::test(start_paused = true)]
async fn on_a_network_that_cuts_and_corrupts_no_answer_is_wrong() {
    let seed: u64 = std::env::var("CAIRN_SEED").map_or(7, |seed| seed.parse().unwrap());
    eprintln!("CAIRN_SEED={seed} replays it");
    let network = SimulatedNetwork::new(seed);
    let a = Node::simulated(&network, 1).await;
    let b = Node::simulated(&network, 2).await;
    a.knows(&b);
    let delay = Duration::ZERO..=Duration::from_millis(3);
    network.set_faults(Faults { delay, cut_one_in: 3, cut_bytes_max: 60_000, flip_one_in: 60 });
    let pool = Arc::clone(&a.pool);
    let (mut answered, mut failed) = (0, 0);
    for round in 0..400u32 {
        let body = Bytes::from(vec![round as u8; (round * 97 % 20_000) as usize]);
        let call = echo(Echo::BACK, round.to_be_bytes().to_vec()).with_body(Payload::Sealed(body.clone()));
        match pool.call(b.id, Class::Control, call, Duration::from_secs(3)).await {
            Ok(answer) => {
                assert_eq!(&answer.head[..], &round.to_be_bytes());
                assert!(matches!(answer.body, Payload::Sealed(back) if back == body));
                answered += 1;
            }
            Err(CallError::Declined(..)) => panic!("flipped bits became a status"),
            Err(_) => {
                failed += 1;
                tokio::time::sleep(Duration::from_millis(200)).await;
            }
        }
    }
    assert!(answered > 100 && failed > 20, "{answered} answered, {failed} failed: faults and calls were mixed");
    network.set_faults(Faults::default());
    tokio::time::sleep(Duration::from_secs(3)).await;
    pool.call(b.id, Class::Control, echo(Echo::BACK, &b""[..]), PATIENCE).await.unwrap();
}

/// A peer that stops in the middle of a request, or of reading an answer, is given up by the other end, long before the
/// caller's own patience ends.
#[tokio::test(start_paused = true)]
async fn whoever_stops_in_the_middle_is_given_up() {
    let (patience, travel) = (Duration::from_secs(300), Duration::from_millis(10));
    for answering in [false, true] {
        let network = SimulatedNetwork::new(3);
        network.set_faults(Faults { delay: travel..=travel, ..Faults::default() });
        let a = Node::simulated(&network, 1).await;
        let b = Node::simulated(&network, 2).await;
        a.knows(&b);
        let body = Payload::Sealed(Bytes::from(vec![1; SEALED_BYTES_MAX]));
        let begun = tokio::time::Instant::now();
        let call = a.pool.call(b.id, Class::Bulk, echo(Echo::BACK, &b""[..]).with_body(body), patience);
        let stopping = async {
            if answering {
                while b.echo.callers().is_empty() {
                    tokio::time::sleep(travel).await;
                }
                network.block(machine(2), machine(1));
                tokio::time::sleep(Duration::from_secs(100)).await;
                network.heal();
            } else {
                tokio::time::sleep(12 * travel).await;
                network.block(machine(1), machine(2));
            }
        };
        let (answer, ()) = tokio::join!(call, stopping);
        let lost = answer.unwrap_err();
        assert!(matches!(lost, CallError::Lost(..)), "{lost}");
        assert_eq!(b.echo.callers().len(), usize::from(answering));
        assert!(begun.elapsed() < Duration::from_secs(110), "{:?}", begun.elapsed());
    }
}

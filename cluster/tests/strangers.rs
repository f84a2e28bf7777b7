//! Whoever has not the secret gets a closed connection and nothing else, whatever he says. Raw sockets: no line of the
//! project's own calling end is used by an attacker, except to be recorded.

#![allow(clippy::unwrap_used, reason = "a test says what it expects by failing")]

mod support;

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use cairn_cluster::call::{Call, CallError};
use cairn_cluster::class::Class;
use cairn_cluster::greeting::GREETING_BYTES;
use cairn_cluster::message::Payload;
use cairn_cluster::server::GREETING_PATIENCE;
use cairn_cluster::service::{Method, ServiceId};
use cairn_core::NodeId;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Instant, timeout};

use support::{Echo, Node, PATIENCE, SECRET, loopback};

fn ask(body: &[u8]) -> Call {
    let body = Payload::Sealed(Bytes::copy_from_slice(body));
    Call::new(ServiceId::CONTROL, Method(Echo::BACK), &b"ask"[..]).with_body(body)
}

/// Says something, and reads until the other end closes.
async fn say(address: SocketAddr, parts: &[&[u8]]) -> Vec<u8> {
    let mut stream = TcpStream::connect(address).await.unwrap();
    for part in parts {
        if stream.write_all(part).await.is_err() {
            break;
        }
    }
    let mut heard = Vec::new();
    // A reset is a closed connection too.
    let _ = timeout(PATIENCE, stream.read_to_end(&mut heard)).await.expect("the connection is closed");
    heard
}

/// A man in the middle: passes bytes on, records both directions, and changes what it is told to.
struct Middle {
    address: SocketAddr,
    recorded: Arc<Mutex<[Vec<u8>; 2]>>,
}

type Change = Arc<dyn Fn(usize, usize, &mut Vec<u8>) -> bool + Send + Sync>;

impl Middle {
    /// `change` is given the direction (0: from the caller), how many bytes went that way before, and the bytes; it says
    /// whether to go on.
    async fn start(server: SocketAddr, change: Change) -> Self {
        let listener = TcpListener::bind(loopback()).await.unwrap();
        let address = listener.local_addr().unwrap();
        let recorded = Arc::new(Mutex::new([Vec::new(), Vec::new()]));
        let record = recorded.clone();
        tokio::spawn(async move {
            while let Ok((caller, _)) = listener.accept().await {
                let (from_caller, to_caller) = caller.into_split();
                let (from_server, to_server) = TcpStream::connect(server).await.unwrap().into_split();
                tokio::spawn(pass(0, from_caller, to_server, record.clone(), change.clone()));
                tokio::spawn(pass(1, from_server, to_caller, record.clone(), change.clone()));
            }
        });
        Self { address, recorded }
    }

    fn recorded(&self, direction: usize) -> Vec<u8> {
        self.recorded.lock().unwrap()[direction].clone()
    }
}

async fn pass(
    direction: usize,
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    record: Arc<Mutex<[Vec<u8>; 2]>>,
    change: Change,
) {
    let mut passed = 0;
    let mut buffer = vec![0; 64 * 1024];
    while let Ok(length @ 1..) = from.read(&mut buffer).await {
        let mut bytes = buffer[..length].to_vec();
        record.lock().unwrap()[direction].extend_from_slice(&bytes);
        let on = change(direction, passed, &mut bytes);
        passed += length;
        if to.write_all(&bytes).await.is_err() || !on {
            break;
        }
    }
}

fn unchanged() -> Change {
    Arc::new(|_, _, _| true)
}

#[tokio::test]
async fn whoever_does_not_greet_hears_nothing() {
    let node = Node::tcp_at(NodeId(1), loopback(), &SECRET).await;
    let at = node.listener.address();
    let http = b"GET / HTTP/1.1\r\nhost: x\r\n\r\n".repeat(8);
    let sayings: [&[u8]; 4] = [&http, &[0; 500], b"CairnNet and then nothing that makes sense".as_slice(), &[0xFF; 96]];
    for saying in sayings {
        if saying.len() >= GREETING_BYTES {
            assert_eq!(say(at, &[saying]).await, b"", "{saying:?}");
        }
    }
    assert_eq!(node.listener.counts().requests, 0);
    assert!(node.listener.counts().strangers >= 3);
}

#[tokio::test]
async fn another_secret_is_a_stranger_in_both_directions() {
    let node = Node::tcp_at(NodeId(1), loopback(), &SECRET).await;
    let other = Node::tcp_at(NodeId(2), loopback(), &[8; 32]).await;
    for (from, to) in [(&node, &other), (&other, &node)] {
        from.knows(to);
        let error = from.pool.call(to.id, Class::Control, ask(b""), PATIENCE).await.unwrap_err();
        assert!(matches!(error, CallError::Unreachable(..)), "{error}");
        assert!(error.to_string().contains("another secret"), "{error}");
        assert_eq!(to.listener.counts().requests, 0);
    }
}

#[tokio::test]
async fn whoever_is_slow_is_closed_and_stands_in_nobodys_way() {
    let node = Node::tcp_at(NodeId(1), loopback(), &SECRET).await;
    let friend = Node::tcp_at(NodeId(2), loopback(), &SECRET).await;
    friend.knows(&node);
    let begun = Instant::now();
    let at = node.listener.address();
    let trickle = async {
        let mut stream = TcpStream::connect(at).await.unwrap();
        let mut heard = [0; 1];
        loop {
            // A byte now and then never makes a greeting.
            let _ = stream.write_all(b"C").await;
            match timeout(Duration::from_millis(300), stream.read(&mut heard)).await {
                Err(_) => {}
                Ok(Ok(0) | Err(_)) => return begun.elapsed(),
                Ok(Ok(_)) => panic!("a stranger heard something"),
            }
        }
    };
    let silent: Vec<TcpStream> = {
        let mut silent = Vec::new();
        for _ in 0..200 {
            silent.push(TcpStream::connect(at).await.unwrap());
        }
        silent
    };
    let call = friend.pool.call(node.id, Class::Control, ask(b"x"), PATIENCE);
    let (closed_after, answer) = tokio::join!(trickle, call);
    answer.unwrap();
    assert!(closed_after < GREETING_PATIENCE + Duration::from_secs(4), "{closed_after:?}");
    drop(silent);
}

#[tokio::test]
async fn an_old_connection_played_back_gets_no_answer() {
    let node = Node::tcp_at(NodeId(1), loopback(), &SECRET).await;
    let friend = Node::tcp_at(NodeId(2), loopback(), &SECRET).await;
    let middle = Middle::start(node.listener.address(), unchanged()).await;
    friend.pool.set_address(node.id, middle.address);
    friend.pool.call(node.id, Class::Control, ask(b"once"), PATIENCE).await.unwrap();
    assert_eq!(node.listener.counts().requests, 1);
    let whole = middle.recorded(0);
    assert!(whole.len() > GREETING_BYTES + 32 + 50, "the whole call was recorded");
    let heard = say(node.listener.address(), &[&whole]).await;
    // A welcome for a greeting that was genuine once: random bits, and nothing after them.
    assert!(heard.len() <= GREETING_BYTES, "{} bytes", heard.len());
    assert_eq!(node.listener.counts().requests, 1, "nothing was done twice");
    // Nor does what the server said, played back to it, or to the caller's own listener.
    assert_eq!(say(node.listener.address(), &[&middle.recorded(1)]).await, b"");
    let heard = say(friend.listener.address(), &[&whole]).await;
    assert!(heard.len() <= GREETING_BYTES);
    assert_eq!(friend.listener.counts().requests, 0, "what a node said is no request to itself");
}

/// Runs a call through a middle that changes one thing, and asserts that neither a wrong answer nor a second request
/// comes of it. What the caller read after the greeting is returned.
async fn tampered(change: Change) -> (Result<(), CallError>, u64, Vec<u8>) {
    let node = Node::tcp_at(NodeId(1), loopback(), &SECRET).await;
    let friend = Node::tcp_at(NodeId(2), loopback(), &SECRET).await;
    let middle = Middle::start(node.listener.address(), change).await;
    friend.pool.set_address(node.id, middle.address);
    let answer = friend.pool.call(node.id, Class::Control, ask(&[5; 3000]), Duration::from_secs(5)).await;
    let answer = answer.map(|answer| {
        assert_eq!(&answer.head[..], b"ask");
        assert!(matches!(answer.body, Payload::Sealed(body) if body[..] == [5; 3000]));
    });
    (answer, node.listener.counts().requests, middle.recorded(1))
}

#[tokio::test]
async fn no_byte_of_a_request_or_an_answer_can_be_changed() {
    for direction in [0, 1] {
        for at in [3, 20, 40, 70, 95, 100, 125, 130, 160, 185, 190, 200, 210, 230, 250, 900, 2500] {
            let change: Change = Arc::new(move |way, passed, bytes| {
                if way == direction && (passed..passed + bytes.len()).contains(&at) {
                    bytes[at - passed] ^= 1;
                }
                true
            });
            let (answer, requests, heard) = tampered(change).await;
            if direction == 0 {
                // Some bytes of HTTP's own head mean nothing (a space, a letter's case); all others end the connection.
                let http = (128..190).contains(&at);
                assert!(answer.is_err() && requests == 0 || http, "byte {at} of the request: {answer:?}");
                if answer.is_err() {
                    assert!(heard.len() <= GREETING_BYTES, "byte {at}: {:?}", String::from_utf8_lossy(&heard));
                }
            } else {
                let http = (96..140).contains(&at);
                assert!(answer.is_err() || http, "byte {at} of the answer: {answer:?}");
            }
        }
    }
}

#[tokio::test]
async fn a_stream_cut_short_is_an_error_at_both_ends() {
    for direction in [0, 1] {
        for at in [10, 96, 120, 200, 300, 3000] {
            let change: Change = Arc::new(move |way, passed, bytes| {
                if way == direction && passed + bytes.len() > at {
                    bytes.truncate(at.saturating_sub(passed));
                    return false;
                }
                true
            });
            let (answer, requests, _) = tampered(change).await;
            assert!(answer.is_err(), "direction {direction}, cut at {at}");
            assert!(requests == 0 || direction == 1, "a request that was cut short at {at} was taken");
        }
    }
}

/// Finds where the requests of a recording begin.
fn requests(recorded: &[u8]) -> Vec<Vec<u8>> {
    let after_greeting = &recorded[GREETING_BYTES + 32..];
    let starts: Vec<usize> =
        (0..after_greeting.len()).filter(|at| after_greeting[*at..].starts_with(b"POST / ")).collect();
    let ends = starts.iter().skip(1).copied().chain([after_greeting.len()]);
    starts.iter().zip(ends).map(|(start, end)| after_greeting[*start..end].to_vec()).collect()
}

#[tokio::test]
async fn requests_that_are_repeated_or_swapped_end_the_connection() {
    // What a middle does with the second request: sends the first one again in its place, or behind it.
    for behind in [false, true] {
        let node = Node::tcp_at(NodeId(1), loopback(), &SECRET).await;
        let friend = Node::tcp_at(NodeId(2), loopback(), &SECRET).await;
        let first: Arc<Mutex<Vec<u8>>> = Arc::default();
        let change: Change = Arc::new(move |way, passed, bytes| {
            if way == 0 && bytes.starts_with(b"POST") && passed > GREETING_BYTES {
                let mut first = first.lock().unwrap();
                if first.is_empty() {
                    first.clone_from(bytes);
                } else if behind {
                    bytes.extend_from_slice(&first);
                } else {
                    bytes.clone_from(&first);
                }
            }
            true
        });
        let middle = Middle::start(node.listener.address(), change).await;
        friend.pool.set_address(node.id, middle.address);
        friend.pool.call(node.id, Class::Control, ask(b"first!"), PATIENCE).await.unwrap();
        let second = friend.pool.call(node.id, Class::Control, ask(b"second"), Duration::from_secs(5)).await;
        assert_eq!(second.is_ok(), behind, "{second:?}");
        tokio::time::sleep(Duration::from_millis(100)).await;
        assert_eq!(node.listener.counts().requests, if behind { 2 } else { 1 });
        assert_eq!(node.listener.counts().broken, 1, "the repetition was seen");
        let sent = requests(&middle.recorded(0));
        assert_eq!(sent.len(), 2, "the caller itself said nothing twice");
        let heard = String::from_utf8_lossy(&middle.recorded(1)).into_owned();
        assert!(!heard.contains("400"), "no error page of HTTP");
    }
}

#[tokio::test]
async fn what_is_injected_is_not_even_answered_with_an_error_page() {
    for injected in
        [&b"GET /secrets HTTP/1.1\r\n\r\n"[..], b"\0\0\0\0\r\n\r\n", b"POST / HTTP/1.1\r\ncontent-length: 0\r\n\r\n"]
    {
        let node = Node::tcp_at(NodeId(1), loopback(), &SECRET).await;
        let friend = Node::tcp_at(NodeId(2), loopback(), &SECRET).await;
        let injected = injected.to_vec();
        let change: Change = Arc::new(move |way, passed, bytes| {
            if way == 0 && passed >= GREETING_BYTES + 32 {
                bytes.splice(..0, injected.iter().copied());
            }
            true
        });
        let middle = Middle::start(node.listener.address(), change).await;
        friend.pool.set_address(node.id, middle.address);
        let lost = friend.pool.call(node.id, Class::Control, ask(b"x"), Duration::from_secs(5)).await.unwrap_err();
        assert!(lost.may_have_happened(), "{lost}");
        assert_eq!(node.listener.counts().requests, 0);
        assert_eq!(middle.recorded(1).len(), GREETING_BYTES, "nothing but the welcome came back");
    }
}

#[tokio::test]
async fn a_version_cannot_be_changed_on_its_way() {
    // That a newer one is refused by name is shown where greetings are made.
    let node = Node::tcp_at(NodeId(1), loopback(), &SECRET).await;
    let friend = Node::tcp_at(NodeId(2), loopback(), &SECRET).await;
    let change: Change = Arc::new(|way, passed, bytes| {
        if way == 0 && passed == 0 {
            bytes[9] += 1;
        }
        true
    });
    let middle = Middle::start(node.listener.address(), change).await;
    friend.pool.set_address(node.id, middle.address);
    let error = friend.pool.call(node.id, Class::Control, ask(b""), PATIENCE).await.unwrap_err();
    assert!(matches!(error, CallError::Unreachable(..)), "{error}");
    assert_eq!(middle.recorded(1), b"");
}

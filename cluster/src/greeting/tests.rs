//! Greetings prove the secret both ways, and nothing else does.

use cairn_core::Entropy as _;
use cairn_core::entropy::SeededEntropy;

use super::*;

const A: NodeId = NodeId(0xA);
const B: NodeId = NodeId(0xB);

fn key(secret: u8, cluster: u128) -> ConnectionKey {
    ConnectionKey::derive(&[secret; 32], ClusterId(cluster))
}

fn nonce(seed: u64) -> Nonce {
    let mut nonce = Nonce::default();
    SeededEntropy::new(seed).fill(&mut nonce);
    nonce
}

fn caller(expected: Option<NodeId>, version: u16) -> Caller {
    Caller::new(&key(1, 1), A, expected, Class::Raft, version, nonce(1))
}

fn hear(me: NodeId, seed: u64, hello: &[u8; GREETING_BYTES]) -> Result<OnHello, GreetError> {
    Answerer::on_hello(&key(1, 1), me, nonce(seed), hello, |_, _| false)
}

fn welcomed(on_hello: Result<OnHello, GreetError>) -> Answerer {
    match on_hello.unwrap() {
        OnHello::Welcome(answerer) => answerer,
        OnHello::Refuse(_, error) => panic!("{error}"),
    }
}

fn refused(on_hello: Result<OnHello, GreetError>, caller: Caller) -> GreetError {
    match on_hello.unwrap() {
        OnHello::Welcome(_) => panic!("it was welcomed"),
        OnHello::Refuse(bytes, _) => caller.on_answer(&key(1, 1), &bytes).unwrap_err(),
    }
}

#[test]
fn two_nodes_with_the_secret_agree_on_keys() {
    for expected in [Some(B), None] {
        let caller = caller(expected, WIRE_VERSION);
        let answerer = welcomed(hear(B, 2, caller.hello()));
        let welcome = *answerer.welcome();
        let (ours, proof) = caller.on_answer(&key(1, 1), &welcome).unwrap();
        let theirs = answerer.on_proof(&proof).unwrap();
        assert_eq!((ours.peer, theirs.peer), (B, A));
        assert_eq!((ours.class, theirs.class), (Class::Raft, Class::Raft));
        assert_eq!(ours.keys.proof(), theirs.keys.proof());
    }
}

#[test]
fn another_secret_or_cluster_hears_nothing() {
    for other in [key(2, 1), key(1, 2)] {
        let caller = Caller::new(&other, A, None, Class::Raft, WIRE_VERSION, nonce(1));
        assert!(matches!(hear(B, 2, caller.hello()), Err(GreetError::Stranger(_))));
    }
    let caller = caller(Some(B), WIRE_VERSION);
    let answerer = welcomed(hear(B, 2, caller.hello()));
    assert!(matches!(caller.on_answer(&key(2, 1), answerer.welcome()), Err(GreetError::Stranger(_))));
}

#[test]
fn no_byte_of_a_greeting_can_be_changed() {
    let hello = *caller(Some(B), WIRE_VERSION).hello();
    let welcome = *welcomed(hear(B, 2, &hello)).welcome();
    for at in 0..GREETING_BYTES {
        let (mut bad_hello, mut bad_welcome) = (hello, welcome);
        bad_hello[at] ^= 4;
        bad_welcome[at] ^= 4;
        assert!(matches!(hear(B, 2, &bad_hello), Err(GreetError::Stranger(_))), "byte {at} of a hello");
        let answer = caller(Some(B), WIRE_VERSION).on_answer(&key(1, 1), &bad_welcome);
        assert!(matches!(answer, Err(GreetError::Stranger(_))), "byte {at} of a welcome");
    }
}

#[test]
fn an_old_connection_played_back_proves_nothing() {
    let first = caller(Some(B), WIRE_VERSION);
    let hello = *first.hello();
    let answerer = welcomed(hear(B, 2, &hello));
    let welcome = *answerer.welcome();
    let (_, proof) = first.on_answer(&key(1, 1), &welcome).unwrap();
    answerer.on_proof(&proof).unwrap();
    // The same hello gets a welcome with another nonce, for which the old proof is none.
    assert!(welcomed(hear(B, 3, &hello)).on_proof(&proof).is_err());
    // The old welcome does not answer a new hello.
    let again = Caller::new(&key(1, 1), A, Some(B), Class::Raft, WIRE_VERSION, nonce(9));
    assert!(matches!(again.on_answer(&key(1, 1), &welcome), Err(GreetError::Stranger(_))));
}

#[test]
fn a_greeting_played_back_to_its_sender_is_none() {
    for expected in [Some(B), None] {
        let caller = caller(expected, WIRE_VERSION);
        let hello = *caller.hello();
        assert!(matches!(refused(hear(A, 2, &hello), caller), GreetError::Myself));
        assert!(matches!(
            self::caller(expected, WIRE_VERSION).on_answer(&key(1, 1), &hello),
            Err(GreetError::Stranger(_))
        ));
    }
    let welcome = *welcomed(hear(B, 2, caller(None, WIRE_VERSION).hello())).welcome();
    assert!(matches!(hear(A, 3, &welcome), Err(GreetError::Stranger(_))), "a welcome is no hello");
}

#[test]
fn refusals_say_why_to_those_who_may_know() {
    let newer = caller(Some(B), WIRE_VERSION + 1);
    let error = refused(hear(B, 2, newer.hello()), newer);
    let version = Refusal::Version { answerer: WIRE_VERSION, caller: WIRE_VERSION + 1 };
    assert!(matches!(error, GreetError::Refused { from: B, refusal } if refusal == version), "{error}");
    let said = error.to_string();
    assert!(
        said.contains(&format!("version {WIRE_VERSION}")) && said.contains(&(WIRE_VERSION + 1).to_string()),
        "{said}"
    );

    let elsewhere = caller(Some(NodeId(0xC)), WIRE_VERSION);
    let error = refused(hear(B, 2, elsewhere.hello()), elsewhere);
    assert!(matches!(error, GreetError::Refused { refusal: Refusal::WrongNode(B), .. }), "{error}");

    let crowded = caller(Some(B), WIRE_VERSION);
    let full =
        Answerer::on_hello(&key(1, 1), B, nonce(2), crowded.hello(), |peer, class| (peer, class) == (A, Class::Raft));
    assert!(matches!(refused(full, crowded), GreetError::Refused { refusal: Refusal::Full, .. }));
}

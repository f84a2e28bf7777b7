//! How two nodes prove to each other that they have the cluster's secret, before anything else is said. Pure: bytes in,
//! bytes or a verdict out; `greeting/exchange.rs` moves them. The layout is in `docs/formats/wire.md`.
//!
//! ```text
//! caller                                   answerer
//!   hello: version, class, ids, nonce  ->    tag wrong: closed without a byte
//!                                      <-  welcome: version, id, nonce; or refusal: why
//!   proof                              ->    wrong: closed
//!   requests                           <->   answers, under keys made of both nonces and both ids
//! ```
//!
//! The hello carries a tag under the cluster's key, so a stranger hears nothing at all. Whoever repeats an old hello hears
//! a welcome, and cannot prove anything with it: the proof needs a key in which the new nonce is. Neither a clock nor a
//! store of nonces is needed for that.

mod exchange;

use std::fmt;

use blake3::Hasher;
use cairn_core::{ClusterId, NodeId};
use zeroize::{Zeroize, ZeroizeOnDrop};

pub(crate) use exchange::{greet, respond};

use crate::class::Class;
use crate::seal::Keys;

/// The version of everything that is said between nodes.
pub const WIRE_VERSION: u16 = 1;

/// How long a greeting is, in this version and in every later one: a node that is asked in a newer version can still
/// check who asks, and say which version it knows.
pub const GREETING_BYTES: usize = 96;

/// How long the caller's proof is.
pub const PROOF_BYTES: usize = 32;

const MAGIC: [u8; 8] = *b"CairnNet";
const TAG_AT: usize = 64;
const NONCE_BYTES: usize = 32;

const HELLO: u8 = 1;
const WELCOME: u8 = 2;
const REFUSAL: u8 = 3;

/// Random bits of one end for one connection, never used twice.
pub type Nonce = [u8; NONCE_BYTES];

/// What a node must have to talk to others: made of the cluster's secret and its id. Wiped when it is dropped.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct ConnectionKey {
    root: [u8; 32],
    greeting: [u8; 32],
}

impl ConnectionKey {
    /// Derives it. Nodes of two clusters cannot talk even where an operator gave both one secret.
    pub fn derive(secret: &[u8; 32], cluster: ClusterId) -> Self {
        let mut material = [0; 48];
        material[..32].copy_from_slice(secret);
        material[32..].copy_from_slice(&cluster.to_bytes());
        let root = blake3::derive_key("cairn 2026 node connections v1", &material);
        material.zeroize();
        let greeting = blake3::derive_key("cairn 2026 node greeting v1", &root);
        Self { root, greeting }
    }

    /// The keys of one connection, known only to who has the secret and saw both greetings.
    fn session(&self, hello: &[u8; GREETING_BYTES], welcome: &[u8; GREETING_BYTES]) -> Keys {
        let mut session = Hasher::new_keyed(&self.root);
        session.update(hello).update(welcome);
        Keys::derive(session.finalize().as_bytes())
    }
}

impl fmt::Debug for ConnectionKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ConnectionKey(..)")
    }
}

/// Why a node that we can trust will not talk on this connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The caller speaks a version that the answerer does not know. Bring the older of the two up to date.
    #[error("it speaks version {answerer} of the protocol between nodes, and the caller version {caller}")]
    Version {
        /// What the answerer knows.
        answerer: u16,
        /// What the caller asked in.
        caller: u16,
    },
    /// Another node lives at this address now. Look the address up again.
    #[error("it is node {0}")]
    WrongNode(NodeId),
    /// Too many connections of this class come from the caller already. Try again later.
    #[error("it has too many connections from this node")]
    Full,
}

/// Why no connection came of a greeting.
#[derive(Debug, thiserror::Error)]
pub enum GreetError {
    /// The other end closed without a word: it is no node, or does not accept our secret. Check address and secret.
    #[error("the other end closed without a word: it is no node of this cluster, or has another secret")]
    Silence,
    /// What came is no greeting, or is not under our secret. On the accepting side: a stranger. Nothing was answered.
    #[error("{0}")]
    Stranger(&'static str),
    /// A node of our cluster will not talk.
    #[error("node {from} refuses: {refusal}")]
    Refused {
        /// Which node.
        from: NodeId,
        /// Why.
        refusal: Refusal,
    },
    /// The address is our own, or somebody plays our own words back to us. Nothing to talk about.
    #[error("this node was greeted by itself")]
    Myself,
    /// The greeting took too long. Try again.
    #[error("the greeting took too long")]
    Late,
    /// The stream broke. Try again.
    #[error("the connection broke: {0}")]
    Broken(#[from] std::io::Error),
}

/// What one end knows after a greeting that went well.
#[derive(Debug)]
pub(crate) struct Greeted {
    pub peer: NodeId,
    pub class: Class,
    pub keys: Keys,
}

/// The fields of a greeting, before anybody believed them.
#[derive(Debug, Clone, Copy)]
struct Fields {
    version: u16,
    kind: u8,
    detail: u8,
    sender: NodeId,
    /// 0 is nobody's id: whoever is there.
    receiver: NodeId,
    nonce: Nonce,
}

impl Fields {
    /// The bytes with a tag over `before` (the hello that is answered) and themselves.
    fn encode(&self, key: &ConnectionKey, before: &[u8]) -> [u8; GREETING_BYTES] {
        let mut bytes = [0; GREETING_BYTES];
        bytes[..8].copy_from_slice(&MAGIC);
        bytes[8..10].copy_from_slice(&self.version.to_be_bytes());
        bytes[10] = self.kind;
        bytes[11] = self.detail;
        bytes[16..24].copy_from_slice(&self.sender.to_bytes());
        bytes[24..32].copy_from_slice(&self.receiver.to_bytes());
        bytes[32..TAG_AT].copy_from_slice(&self.nonce);
        let tag = tag(key, before, &bytes);
        bytes[TAG_AT..].copy_from_slice(tag.as_bytes());
        bytes
    }

    /// Checks magic and tag, and nothing else: later versions keep these fields, and may give meaning to others.
    fn decode(key: &ConnectionKey, before: &[u8], bytes: &[u8; GREETING_BYTES]) -> Result<Self, GreetError> {
        if bytes[..8] != MAGIC {
            return Err(GreetError::Stranger("what came is no greeting of a node"));
        }
        let mut found = [0; 32];
        found.copy_from_slice(&bytes[TAG_AT..]);
        // The comparison of this type takes the same time wherever the two differ.
        if tag(key, before, bytes) != blake3::Hash::from_bytes(found) {
            return Err(GreetError::Stranger("a greeting that is not under this cluster's secret"));
        }
        let eight = |at: usize| {
            let mut eight = [0; 8];
            eight.copy_from_slice(&bytes[at..at + 8]);
            NodeId::from_bytes(eight)
        };
        let mut nonce = [0; NONCE_BYTES];
        nonce.copy_from_slice(&bytes[32..TAG_AT]);
        Ok(Self {
            version: u16::from_be_bytes([bytes[8], bytes[9]]),
            kind: bytes[10],
            detail: bytes[11],
            sender: eight(16),
            receiver: eight(24),
            nonce,
        })
    }
}

fn tag(key: &ConnectionKey, before: &[u8], bytes: &[u8; GREETING_BYTES]) -> blake3::Hash {
    let mut hasher = Hasher::new_keyed(&key.greeting);
    hasher.update(before).update(&bytes[..TAG_AT]);
    hasher.finalize()
}

const NOBODY: NodeId = NodeId(0);

/// The end that opened the connection.
#[derive(Debug)]
pub(crate) struct Caller {
    me: NodeId,
    expected: Option<NodeId>,
    class: Class,
    version: u16,
    hello: [u8; GREETING_BYTES],
}

impl Caller {
    /// Begins. `expected` is who should answer; `None`: whoever is there, as when a node joins and knows addresses only.
    pub(crate) fn new(
        key: &ConnectionKey,
        me: NodeId,
        expected: Option<NodeId>,
        class: Class,
        version: u16,
        nonce: Nonce,
    ) -> Self {
        let receiver = expected.unwrap_or(NOBODY);
        let fields = Fields { version, kind: HELLO, detail: class as u8, sender: me, receiver, nonce };
        Self { me, expected, class, version, hello: fields.encode(key, &[]) }
    }

    /// What is sent first.
    pub(crate) fn hello(&self) -> &[u8; GREETING_BYTES] {
        &self.hello
    }

    /// Judges the answer. The proof is sent next, and requests may follow it at once.
    pub(crate) fn on_answer(
        self,
        key: &ConnectionKey,
        bytes: &[u8; GREETING_BYTES],
    ) -> Result<(Greeted, [u8; PROOF_BYTES]), GreetError> {
        let answer = Fields::decode(key, &self.hello, bytes)?;
        let refused = |refusal| Err(GreetError::Refused { from: answer.sender, refusal });
        if answer.kind == REFUSAL {
            return match answer.detail {
                1 => refused(Refusal::Version { answerer: answer.version, caller: self.version }),
                2 => refused(Refusal::WrongNode(answer.sender)),
                3 => refused(Refusal::Full),
                4 => Err(GreetError::Myself),
                _ => Err(GreetError::Stranger("a refusal for a reason that this release does not know")),
            };
        }
        if answer.kind != WELCOME || answer.receiver != self.me {
            return Err(GreetError::Stranger("an answer that is no welcome to this node"));
        }
        if answer.version != self.version {
            return refused(Refusal::Version { answerer: answer.version, caller: self.version });
        }
        if self.expected.is_some_and(|expected| expected != answer.sender) {
            return refused(Refusal::WrongNode(answer.sender));
        }
        if answer.sender == self.me {
            return Err(GreetError::Myself);
        }
        let keys = key.session(&self.hello, bytes);
        let proof = keys.proof();
        Ok((Greeted { peer: answer.sender, class: self.class, keys }, proof))
    }
}

/// The end that was called, while it waits for the proof.
#[derive(Debug)]
pub(crate) struct Answerer {
    greeted: Greeted,
    welcome: [u8; GREETING_BYTES],
}

/// What comes of a hello.
#[derive(Debug)]
pub(crate) enum OnHello {
    /// Send the welcome and wait for the proof.
    Welcome(Answerer),
    /// Send this and close. The caller has the secret, so it may know why.
    Refuse([u8; GREETING_BYTES], GreetError),
}

impl Answerer {
    /// Judges a hello. An error means: close without a byte. `full` says whether a caller has too many connections.
    pub(crate) fn on_hello(
        key: &ConnectionKey,
        me: NodeId,
        nonce: Nonce,
        bytes: &[u8; GREETING_BYTES],
        full: impl FnOnce(NodeId, Class) -> bool,
    ) -> Result<OnHello, GreetError> {
        let hello = Fields::decode(key, &[], bytes)?;
        if hello.kind != HELLO {
            return Err(GreetError::Stranger("the first greeting is no hello"));
        }
        let answer = |kind, detail| {
            let fields = Fields { version: WIRE_VERSION, kind, detail, sender: me, receiver: hello.sender, nonce };
            fields.encode(key, bytes)
        };
        let refuse = |reason, refusal| {
            let error = GreetError::Refused { from: me, refusal };
            Ok(OnHello::Refuse(answer(REFUSAL, reason), error))
        };
        if hello.version != WIRE_VERSION {
            return refuse(1, Refusal::Version { answerer: WIRE_VERSION, caller: hello.version });
        }
        if hello.sender == me {
            return Ok(OnHello::Refuse(answer(REFUSAL, 4), GreetError::Myself));
        }
        if hello.receiver != NOBODY && hello.receiver != me {
            return refuse(2, Refusal::WrongNode(me));
        }
        let class = Class::from_byte(hello.detail).ok_or(GreetError::Stranger("a hello for no class of traffic"))?;
        if full(hello.sender, class) {
            return refuse(3, Refusal::Full);
        }
        let welcome = answer(WELCOME, 0);
        let keys = key.session(bytes, &welcome);
        Ok(OnHello::Welcome(Self { greeted: Greeted { peer: hello.sender, class, keys }, welcome }))
    }

    /// What is sent to the caller.
    pub(crate) fn welcome(&self) -> &[u8; GREETING_BYTES] {
        &self.welcome
    }

    /// Judges the proof. From here on the caller is a node of this cluster, and alive.
    pub(crate) fn on_proof(self, proof: &[u8; PROOF_BYTES]) -> Result<Greeted, GreetError> {
        if blake3::Hash::from_bytes(self.greeted.keys.proof()) != blake3::Hash::from_bytes(*proof) {
            return Err(GreetError::Stranger("a proof that was not made for this connection"));
        }
        Ok(self.greeted)
    }
}

#[cfg(test)]
mod tests;

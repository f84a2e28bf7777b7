//! How nodes talk and who is alive.
//!
//! ```text
//! Pool / Lane ---- call ----> Connection ==== HTTP/1.1 over an authenticated stream ====> Listener ----> Service
//!    |                            |                                                          |             |
//!  who is where            greeting, tags                                             greeting, tags   ChunkService,
//!  back-off, bounds                                                                   bounds           Raft's, ...
//!
//! RemoteDrive: a ChunkStore over a Pool          Membership: who is alive, by gossip
//! ```
//!
//! Where to look:
//! - [`network`]: the door to the network: TCP, or a simulated one that delays, cuts and partitions from a seed
//! - [`greeting`], `seal`: how two nodes prove that they have the secret, and the tags on everything said after that; pure
//! - [`message`], `inbound`, `outbound`: what requests and answers look like, and how they are taken and sent
//! - [`server`], [`service`]: the answering end; `guarded_io`: why it stays silent towards strangers
//! - [`client`], [`call`]: the calling end: [`client::pool::Pool`], [`client::lane::Lane`], what can come of a call
//! - [`chunks`]: a drive of another node behind the same trait as one of our own
//! - [`membership`]: who is alive, suspect, dead
//!
//! Words:
//! - **class**: a kind of traffic with connections of its own, so that a chunk on its way delays no heartbeat
//! - **service**, **method**: what a call is for; numbers that stay the same in every release
//! - **tag**: keyed blake3 over direction, number and content of a message or of one frame of a stream
//! - **standing**: alive, suspect or dead, in this node's own eyes; **generation**: which start of a node
//! - **stranger**: whoever has not the cluster's secret. He gets a closed connection
//!
//! Deliberately absent: what calls mean (each service knows), Raft's messages (`metadata/` will bring them), retries (only
//! the caller knows what a lost call may be repeated for), TLS (the bytes are authentic, not secret).

pub mod call;
pub mod chunks;
pub mod class;
pub mod client;
pub mod greeting;
mod guarded_io;
mod inbound;
pub mod membership;
pub mod message;
pub mod network;
mod outbound;
mod seal;
pub mod server;
pub mod service;

pub use call::{Answer, Call, CallError, Target};
pub use chunks::{ChunkService, RemoteDrive};
pub use class::Class;
pub use client::lane::Lane;
pub use client::pool::Pool;
pub use greeting::ConnectionKey;
pub use membership::{Detection, Member, Members, Membership, Profile, Standing};
pub use message::Payload;
pub use network::Network;
pub use outbound::TooLong;
pub use server::{Listener, ListenerOptions};
pub use service::{Method, Service, ServiceId, Services};

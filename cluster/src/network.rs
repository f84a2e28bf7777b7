//! The door to the network: connecting and accepting, and nothing else.
//!
//! Everything above it is generic over this trait, so that a simulation puts its own network in the place of TCP and
//! every line of the protocol runs there too. [`tcp`] is the machine's own; [`simulated`] delays, cuts and partitions from
//! a seed.

pub mod simulated;
pub mod tcp;

use std::fmt;
use std::io;
use std::net::SocketAddr;

use futures::future::BoxFuture;
use tokio::io::{AsyncRead, AsyncWrite};

/// Bytes both ways, in order, until one side ends or the way breaks.
pub trait ByteStream: AsyncRead + AsyncWrite + Send + Unpin + 'static {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin + 'static> ByteStream for S {}

/// A stream of whatever network. One virtual call for each read and write is nothing beside a system call.
pub type BoxStream = Box<dyn ByteStream>;

/// A way to other processes.
pub trait Network: Send + Sync + fmt::Debug + 'static {
    /// Opens a stream. Callers bound how long they wait.
    fn connect(&self, to: SocketAddr) -> BoxFuture<'_, io::Result<BoxStream>>;

    /// Takes an address. Port 0 asks for any that is free.
    fn listen(&self, at: SocketAddr) -> BoxFuture<'_, io::Result<Box<dyn Acceptor>>>;
}

/// An address that was taken. Dropping it gives the address back.
pub trait Acceptor: Send + fmt::Debug {
    /// The address, with its real port.
    fn address(&self) -> SocketAddr;

    /// The next stream and where it comes from. An error is about that one stream, or passes; asking again is right.
    fn accept(&mut self) -> BoxFuture<'_, io::Result<(BoxStream, SocketAddr)>>;
}

//! TCP, as the machine has it.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use futures::FutureExt as _;
use futures::future::BoxFuture;
use tokio::net::{TcpListener, TcpStream};

use super::{Acceptor, BoxStream, Network};

/// The machine's own network.
#[derive(Debug, Clone, Copy, Default)]
pub struct TcpNetwork;

impl TcpNetwork {
    /// Shared, as everyone takes it.
    pub fn shared() -> Arc<dyn Network> {
        Arc::new(Self)
    }
}

/// Small messages go at once: each is an answer that somebody waits for, and none is followed by more to fill a packet.
fn ready(stream: TcpStream) -> io::Result<BoxStream> {
    stream.set_nodelay(true)?;
    Ok(Box::new(stream))
}

impl Network for TcpNetwork {
    fn connect(&self, to: SocketAddr) -> BoxFuture<'_, io::Result<BoxStream>> {
        async move { ready(TcpStream::connect(to).await?) }.boxed()
    }

    fn listen(&self, at: SocketAddr) -> BoxFuture<'_, io::Result<Box<dyn Acceptor>>> {
        async move {
            let listener = TcpListener::bind(at).await?;
            let address = listener.local_addr()?;
            Ok(Box::new(TcpAcceptor { listener, address }) as Box<dyn Acceptor>)
        }
        .boxed()
    }
}

#[derive(Debug)]
struct TcpAcceptor {
    listener: TcpListener,
    address: SocketAddr,
}

impl Acceptor for TcpAcceptor {
    fn address(&self) -> SocketAddr {
        self.address
    }

    fn accept(&mut self) -> BoxFuture<'_, io::Result<(BoxStream, SocketAddr)>> {
        async move {
            let (stream, from) = self.listener.accept().await?;
            Ok((ready(stream)?, from))
        }
        .boxed()
    }
}

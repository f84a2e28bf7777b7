//! Connections: accepting them, bounding them, and letting them end.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use hyper::Request;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::server::graceful::GracefulShutdown;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::access::Peer;
use crate::patience::Patient;
use crate::service::Service;

/// The most connections at a time. Who comes beyond waits in the kernel's queue.
const CONNECTIONS_MAX: usize = 4096;

/// How long the head of a request may take, and how long a connection may idle between two requests.
const HEADER_READ_MAX: Duration = Duration::from_secs(30);

/// How long a connection may take to say which HTTP it speaks.
const OPENING_MAX: Duration = Duration::from_secs(30);

/// How long a client may leave its answer standing without taking a byte of it.
const STALL_MAX: Duration = Duration::from_secs(60);

/// The most headers of a request. S3 allows 2 KiB of metadata, which may be hundreds of short pairs.
const HEADERS_MAX: usize = 512;

/// What a connection reads at once, and so the longest head of a request.
const READ_BYTES_MAX: usize = 256 * 1024;

/// The longest head of a request over HTTP/2.
const HEADER_BYTES_MAX: u32 = 64 * 1024;

/// The most requests at a time on one connection over HTTP/2.
const STREAMS_MAX: u32 = 128;

/// How long to wait after the system had no room for another connection.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Serves connections until `shutdown` is done, then lets running requests finish within `grace`. Says how many
/// connections had to be cut.
pub fn serve(
    listener: TcpListener,
    service: Arc<Service>,
    shutdown: BoxFuture<'static, ()>,
    grace: Duration,
) -> BoxFuture<'static, usize> {
    Box::pin(accept_all(listener, service, shutdown, grace))
}

async fn accept_all(
    listener: TcpListener,
    service: Arc<Service>,
    mut shutdown: BoxFuture<'static, ()>,
    grace: Duration,
) -> usize {
    let room = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let graceful = GracefulShutdown::new();
    let mut running = tokio::task::JoinSet::new();
    let builder = builder();
    loop {
        tokio::select! {
            biased;
            () = &mut shutdown => break,
            Some(_) = running.join_next(), if !running.is_empty() => {}
            (stream, peer, permit) = accept(&listener, &room) => {
                let service = Arc::clone(&service);
                let answer = service_fn(move |mut request: Request<Incoming>| {
                    request.extensions_mut().insert(peer);
                    let service = Arc::clone(&service);
                    async move { Ok::<_, Infallible>(service.answer(request).await) }
                });
                let stream = TokioIo::new(Patient::new(stream, OPENING_MAX, STALL_MAX));
                let connection = builder.serve_connection(stream, answer).into_owned();
                let connection = graceful.watch(connection);
                running.spawn(async move {
                    if let Err(error) = connection.await {
                        // Clients vanish all the time; nobody needs to act on it.
                        tracing::debug!(error, "a connection broke off");
                    }
                    drop(permit);
                });
            }
        }
    }
    drop(listener);
    let finished = async {
        graceful.shutdown().await;
        while running.join_next().await.is_some() {}
    };
    if tokio::time::timeout(grace, finished).await.is_ok() {
        return 0;
    }
    let cut = running.len();
    tracing::warn!(cut, "connections were cut: their requests took too long to finish");
    running.shutdown().await;
    cut
}

/// Without hyper's flushing for pipelined requests: it copies every body into one buffer, which then stays as long as the
/// longest step of an answer was, for as long as the connection does; nothing that speaks S3 pipelines.
fn builder() -> auto::Builder<TokioExecutor> {
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_READ_MAX)
        .max_headers(HEADERS_MAX)
        .max_buf_size(READ_BYTES_MAX);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_header_list_size(HEADER_BYTES_MAX)
        .max_concurrent_streams(STREAMS_MAX)
        .keep_alive_interval(HEADER_READ_MAX)
        .adaptive_window(true);
    builder
}

/// The next connection, once there is room for it.
async fn accept(listener: &TcpListener, room: &Arc<Semaphore>) -> (TcpStream, Peer, OwnedSemaphorePermit) {
    let permit = Arc::clone(room).acquire_owned().await.expect("the semaphore is never closed");
    loop {
        match listener.accept().await {
            Ok((stream, peer)) => {
                // An answer's last segment must not wait for the client's acknowledgement of the one before.
                if let Err(error) = stream.set_nodelay(true) {
                    tracing::debug!(%error, "a connection was gone before it was served");
                    continue;
                }
                return (stream, Peer(peer.ip()), permit);
            }
            Err(error) => {
                // Out of descriptors, or a client that gave up while it waited. Neither ends the server; the pause keeps
                // the first from spinning.
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

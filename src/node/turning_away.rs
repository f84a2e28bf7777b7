//! What S3 clients are told by a node that does not follow the log yet: come back later. Its address is taken from the first
//! moment on, and a connection that nobody answers would look like a node that hangs.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode, header};
use http_body_util::Full;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

/// Connections at a time; more wait to be accepted.
const CONNECTIONS_MAX: usize = 64;

/// How long a client may take for the head of its request.
const HEAD_PATIENCE: Duration = Duration::from_secs(5);

/// How long after a refused accept the next one is tried.
const ACCEPT_REST: Duration = Duration::from_millis(50);

const ANSWER: &str = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>ServiceUnavailable</Code><Message>This node is \
starting and does not follow the log of its cluster yet. Please try again, or ask another node.</Message></Error>";

/// Answers everybody so, for as long as it is asked to.
pub async fn turn_away(listener: &TcpListener) -> Infallible {
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let mut connections = JoinSet::new();
    loop {
        let place = places.clone().acquire_owned().await.expect("this semaphore is never closed");
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(ACCEPT_REST).await;
                continue;
            }
        };
        while connections.try_join_next().is_some() {}
        connections.spawn(async move {
            let _place = place;
            let answering = http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(HEAD_PATIENCE)
                .keep_alive(false)
                .serve_connection(TokioIo::new(stream), service_fn(|_| async { Ok::<_, Infallible>(answer()) }));
            if let Err(error) = answering.await {
                tracing::debug!(%error, "a client did not wait to be turned away");
            }
        });
    }
}

fn answer() -> Response<Full<Bytes>> {
    let mut answer = Response::new(Full::new(Bytes::from_static(ANSWER.as_bytes())));
    *answer.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
    let headers = answer.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/xml"));
    headers.insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
    answer
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpStream;

    use super::*;

    #[tokio::test]
    async fn whoever_comes_too_early_is_told_so() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let client = async {
            let mut stream = TcpStream::connect(address).await.unwrap();
            stream.write_all(b"PUT /b/k HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc").await.unwrap();
            let mut text = String::new();
            stream.read_to_string(&mut text).await.unwrap();
            text
        };
        tokio::select! {
            never = turn_away(&listener) => match never {},
            text = client => {
                assert!(text.starts_with("HTTP/1.1 503") && text.contains("<Code>ServiceUnavailable</Code>"), "{text}");
                assert!(text.to_lowercase().contains("connection: close"), "{text}");
            }
        }
    }
}

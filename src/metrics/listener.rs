//! Where metrics are told: at an address of its own, without a signature, because nothing that scrapes can sign. It shows
//! names of drives and how much is stored, never a key or a secret; nobody listens unless told to.
//!
//! `GET /metrics`, `/health/live` and `/health/ready`, the last two as where S3 is served.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::Metrics;

/// The most that ask at a time; who comes beyond waits in the kernel's queue.
const CONNECTIONS_MAX: usize = 16;

/// How long a question may take to be asked.
const HEADER_READ_MAX: Duration = Duration::from_secs(10);

/// How long one question and its answer may take.
const CONNECTION_MAX: Duration = Duration::from_secs(60);

/// How long to wait after the system had no room for another connection.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// The format of OpenMetrics, as Prometheus asks for it.
const CONTENT_TYPE: HeaderValue =
    HeaderValue::from_static("application/openmetrics-text; version=1.0.0; charset=utf-8");

/// Answers where somebody is to be told, until it is dropped.
pub async fn told(listener: Option<TcpListener>, metrics: Metrics) -> Infallible {
    match listener {
        Some(listener) => serve(listener, metrics).await,
        None => std::future::pending().await,
    }
}

/// Answers until it is dropped.
pub async fn serve(listener: TcpListener, metrics: Metrics) -> Infallible {
    let room = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let mut running = JoinSet::new();
    loop {
        let permit = Arc::clone(&room).acquire_owned().await.expect("the semaphore is never closed");
        while running.try_join_next().is_some() {}
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                tracing::warn!(%error, "a connection for metrics could not be accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let metrics = metrics.clone();
        running.spawn(async move {
            let answer = service_fn(move |request| {
                let metrics = metrics.clone();
                async move { Ok::<_, Infallible>(answer(&metrics, request).await) }
            });
            let mut server = http1::Builder::new();
            // A connection for each question: those that are kept would have to be cut some time, in the midst of an answer.
            server.timer(TokioTimer::new()).header_read_timeout(HEADER_READ_MAX).keep_alive(false);
            let served = server.serve_connection(TokioIo::new(stream), answer);
            match tokio::time::timeout(CONNECTION_MAX, served).await {
                Ok(Ok(())) | Err(_) => {}
                Ok(Err(error)) => tracing::debug!(%error, "a connection for metrics broke off"),
            }
            drop(permit);
        });
    }
}

async fn answer(metrics: &Metrics, request: Request<Incoming>) -> Response<Full<Bytes>> {
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        return text(StatusCode::METHOD_NOT_ALLOWED, "only GET is answered here\n".to_owned());
    }
    match request.uri().path() {
        "/metrics" => {
            let mut answer = text(StatusCode::OK, metrics.text().await);
            answer.headers_mut().insert(header::CONTENT_TYPE, CONTENT_TYPE);
            answer
        }
        "/health/live" => text(StatusCode::OK, "live\n".to_owned()),
        "/health/ready" => match metrics.ready().await {
            Ok(()) => text(StatusCode::OK, "ready\n".to_owned()),
            Err(why) => text(StatusCode::SERVICE_UNAVAILABLE, format!("not ready: {why}\n")),
        },
        _ => text(StatusCode::NOT_FOUND, "here are /metrics, /health/live and /health/ready\n".to_owned()),
    }
}

fn text(status: StatusCode, text: String) -> Response<Full<Bytes>> {
    let mut answer = Response::new(Full::new(Bytes::from(text)));
    *answer.status_mut() = status;
    answer.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    answer
}

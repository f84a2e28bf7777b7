//! A request's body on its way in, watched from outside s3s.
//!
//! ```text
//! hyper -> WatchedBody (idle clients, early ends, digests of XML bodies) -> s3s (signatures, aws-chunked) -> operation
//! ```
//!
//! s3s verifies signatures and decodes `aws-chunked`, but turns whatever goes wrong with an XML body into an internal
//! error and never checks its digests. So the body is watched below s3s, and what was found is told to whoever answers,
//! through the [`BodyWatch`] that both hold.

use core::pin::Pin;
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use core::task::{Context, Poll};
use std::error::Error;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use s3s::stream::aws_chunked_stream::AwsChunkedStreamError;
use s3s::stream::upload_stream::UploadStreamError;
use s3s::{BodySizeLimitExceeded, S3Error, s3_error};
use sha2::{Digest as _, Sha256};
use tokio::time::Sleep;

use crate::budget::Reservation;
use crate::digest::{BodyHasher, Promises};

/// What is wrong with a body.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BodyFault {
    /// It ended before its declared length, or the connection did. The client sends it again.
    #[error("the body ended early")]
    Incomplete,
    /// It is longer than declared. The client mends its framing.
    #[error("the body is longer than declared")]
    Overlong,
    /// Nothing came for too long. The client sends it again.
    #[error("the body stood still for {0:?}")]
    Idle(Duration),
    /// More than one operation takes.
    #[error("the body is too large")]
    TooLarge,
    /// Less than the policy of its form demands.
    #[error("the body is too small")]
    TooSmall,
    /// A form that is none behind its file.
    #[error("the form is malformed")]
    Form,
    /// It does not match `x-amz-content-sha256`.
    #[error("the body does not match x-amz-content-sha256")]
    Sha256,
    /// A chunk or a trailer carries a wrong signature.
    #[error("the signature of a chunk does not match")]
    ChunkSignature,
    /// `aws-chunked` framing that is none.
    #[error("the aws-chunked framing is malformed")]
    Framing,
    /// It does not match another digest that was promised. The text is for the client.
    #[error("{code}: {message}")]
    Digest {
        /// The S3 code.
        code: String,
        /// The message that goes with it.
        message: String,
    },
}

impl BodyFault {
    /// Finds what is wrong in an error that came out of a body stream, however deep it stands.
    pub fn classify(error: &(dyn Error + 'static)) -> Self {
        let mut at = Some(error);
        while let Some(error) = at {
            if let Some(fault) = error.downcast_ref::<Self>() {
                return fault.clone();
            }
            if let Some(fault) = error.downcast_ref::<AwsChunkedStreamError>().and_then(Self::of_chunks) {
                return fault;
            }
            match error.downcast_ref::<UploadStreamError>() {
                Some(UploadStreamError::Sha256Mismatch) => return Self::Sha256,
                Some(UploadStreamError::LengthMismatch) => return Self::Overlong,
                Some(UploadStreamError::Incomplete) => return Self::Incomplete,
                Some(UploadStreamError::Underlying(_)) | None => {}
            }
            if error.is::<BodySizeLimitExceeded>() {
                return Self::TooLarge;
            }
            at = error.source();
        }
        // What is left comes from the connection: it is gone, or it broke HTTP's own framing.
        Self::Incomplete
    }

    fn of_chunks(error: &AwsChunkedStreamError) -> Option<Self> {
        match error {
            AwsChunkedStreamError::Underlying(_) => None,
            AwsChunkedStreamError::SignatureMismatch => Some(Self::ChunkSignature),
            AwsChunkedStreamError::Incomplete => Some(Self::Incomplete),
            AwsChunkedStreamError::LengthMismatch => Some(Self::Overlong),
            AwsChunkedStreamError::ChunkDataTooLarge(..) => Some(Self::TooLarge),
            AwsChunkedStreamError::FormatError
            | AwsChunkedStreamError::ChunkMetaTooLarge(..)
            | AwsChunkedStreamError::TrailersTooLarge(..)
            | AwsChunkedStreamError::TooManyTrailerHeaders(..) => Some(Self::Framing),
        }
    }
}

impl From<BodyFault> for S3Error {
    fn from(fault: BodyFault) -> Self {
        match &fault {
            BodyFault::Incomplete | BodyFault::Overlong => s3_error!(IncompleteBody),
            BodyFault::Idle(_) => s3_error!(RequestTimeout),
            BodyFault::TooLarge => s3_error!(EntityTooLarge),
            BodyFault::TooSmall => s3_error!(EntityTooSmall),
            BodyFault::Form => crate::form::parts::malformed(),
            BodyFault::Sha256 => {
                let message = "The provided 'x-amz-content-sha256' header does not match what was computed.";
                let mut error =
                    S3Error::with_message(s3s::S3ErrorCode::Custom("XAmzContentSHA256Mismatch".into()), message);
                error.set_status_code(http::StatusCode::BAD_REQUEST);
                error
            }
            BodyFault::ChunkSignature => s3_error!(SignatureDoesNotMatch),
            BodyFault::Framing => s3_error!(InvalidRequest, "The body is not well-formed aws-chunked."),
            BodyFault::Digest { code, message } => {
                let code = code.parse().unwrap_or_else(|never| match never {});
                let mut error = S3Error::with_message(code, message.clone());
                error.set_status_code(http::StatusCode::BAD_REQUEST);
                error
            }
        }
    }
}

/// What is known about a body, shared by the body, the access check and whoever answers.
#[derive(Debug, Default)]
pub struct BodyWatch {
    /// What an XML body must match. Set once the request is authorised, before anything is read.
    expected: Mutex<Option<Expected>>,
    fault: OnceLock<BodyFault>,
    /// Whether all of it was read, or there was nothing to read.
    ended: AtomicBool,
    /// The memory of a body that is kept whole, for as long as its request lives.
    memory: OnceLock<Reservation>,
    /// How many bytes were read.
    received: AtomicU64,
    /// What S3 calls the operation, once that is known.
    operation: OnceLock<&'static str>,
}

#[derive(Debug)]
struct Expected {
    promises: Promises,
    sha256: Option<[u8; 32]>,
    length_max: u64,
}

impl BodyWatch {
    /// Demands that the body match these digests and be no longer than this.
    pub fn expect(&self, promises: Promises, sha256: Option<[u8; 32]>, length_max: u64) {
        let expected = Expected { promises, sha256, length_max };
        *self.expected.lock().unwrap_or_else(PoisonError::into_inner) = Some(expected);
    }

    /// Keeps memory until the request has been answered.
    pub fn hold(&self, memory: Reservation) {
        let held = self.memory.set(memory);
        assert!(held.is_ok(), "a request reserves memory for its body once");
    }

    /// Says which operation it is that the body belongs to. The first one stays: what is answered by way of a second one was
    /// asked for under the first's name.
    pub fn belongs_to(&self, operation: &'static str) {
        let _first = self.operation.set(operation);
    }

    /// The operation, where the request came so far that it is known.
    pub fn operation(&self) -> Option<&'static str> {
        self.operation.get().copied()
    }

    /// How many bytes were read.
    pub fn received_bytes(&self) -> u64 {
        self.received.load(Ordering::Relaxed)
    }

    /// There is nothing more to read.
    pub fn end(&self) {
        self.ended.store(true, Ordering::Release);
    }

    /// Whether all of the body was read. What was not stands in the connection's way.
    pub fn has_ended(&self) -> bool {
        self.ended.load(Ordering::Acquire)
    }

    /// What was wrong with the body, if anything was.
    pub fn fault(&self) -> Option<&BodyFault> {
        self.fault.get()
    }
}

/// The digests of a short body, computed while it passes.
struct Running {
    expected: Expected,
    hasher: BodyHasher,
    sha256: Sha256,
}

impl Running {
    fn verdict(self) -> Result<(), BodyFault> {
        if self.expected.sha256.is_some_and(|sha256| sha256[..] != self.sha256.finalize()[..]) {
            return Err(BodyFault::Sha256);
        }
        let verified = self.expected.promises.verify(&self.hasher.finish(), None);
        verified.map(drop).map_err(|error| BodyFault::Digest {
            code: error.code().as_str().to_owned(),
            message: error.message().unwrap_or_default().to_owned(),
        })
    }
}

/// A body that is watched.
pub struct WatchedBody<B> {
    inner: B,
    watch: Arc<BodyWatch>,
    declared: Option<u64>,
    received: u64,
    begun: bool,
    running: Option<Running>,
    idle_max: Duration,
    idle: Option<Pin<Box<Sleep>>>,
}

impl<B> core::fmt::Debug for WatchedBody<B> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "WatchedBody({} of {:?} bytes)", self.received, self.declared)
    }
}

impl<B: Body<Data = Bytes>> WatchedBody<B> {
    /// Watches a body. `idle_max` bounds how long nothing may come.
    pub fn new(inner: B, watch: Arc<BodyWatch>, idle_max: Duration) -> Self {
        let declared = inner.size_hint().exact();
        Self { inner, watch, declared, received: 0, begun: false, running: None, idle_max, idle: None }
    }

    fn begin(&mut self) -> Result<(), BodyFault> {
        self.begun = true;
        let expected = self.watch.expected.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(expected) = expected else { return Ok(()) };
        if self.declared.is_some_and(|declared| declared > expected.length_max) {
            return Err(BodyFault::TooLarge);
        }
        let hasher = BodyHasher::new(&expected.promises);
        self.running = Some(Running { expected, hasher, sha256: Sha256::new() });
        // A body of no bytes never yields a frame that could be judged.
        if self.declared == Some(0) { self.judge() } else { Ok(()) }
    }

    fn judge(&mut self) -> Result<(), BodyFault> {
        self.running.take().map_or(Ok(()), Running::verdict)
    }

    fn take_in(&mut self, data: &Bytes) -> Result<(), BodyFault> {
        self.received += data.len() as u64;
        self.watch.received.store(self.received, Ordering::Relaxed);
        if self.declared.is_some_and(|declared| self.received > declared) {
            return Err(BodyFault::Overlong);
        }
        if self.declared == Some(self.received) {
            self.watch.end();
        }
        let Some(running) = &mut self.running else { return Ok(()) };
        if self.received > running.expected.length_max {
            return Err(BodyFault::TooLarge);
        }
        running.hasher.update(data);
        running.sha256.update(data);
        // Judged together with the last bytes: a reader that counts never asks for the end behind them.
        if self.declared == Some(self.received) { self.judge() } else { Ok(()) }
    }

    fn fail(&self, fault: BodyFault) -> Poll<Option<Result<Frame<Bytes>, BodyFault>>> {
        // The first fault is the cause; what follows from it is not news.
        let _ = self.watch.fault.set(fault.clone());
        Poll::Ready(Some(Err(fault)))
    }

    fn poll_idle(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let idle_max = self.idle_max;
        let idle = self.idle.get_or_insert_with(|| Box::pin(tokio::time::sleep(idle_max)));
        idle.as_mut().poll(cx)
    }
}

impl<B> Body for WatchedBody<B>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: Error + 'static,
{
    type Data = Bytes;
    type Error = BodyFault;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyFault>>> {
        let this = &mut *self;
        if !this.begun
            && let Err(fault) = this.begin()
        {
            return this.fail(fault);
        }
        match Pin::new(&mut this.inner).poll_frame(cx) {
            Poll::Pending => match this.poll_idle(cx) {
                Poll::Pending => Poll::Pending,
                Poll::Ready(()) => this.fail(BodyFault::Idle(this.idle_max)),
            },
            Poll::Ready(Some(Ok(frame))) => {
                this.idle = None;
                match frame.data_ref().map_or(Ok(()), |data| this.take_in(data)) {
                    Ok(()) => Poll::Ready(Some(Ok(frame))),
                    Err(fault) => this.fail(fault),
                }
            }
            Poll::Ready(Some(Err(error))) => {
                tracing::debug!(%error, received = this.received, "a body broke off");
                this.fail(BodyFault::Incomplete)
            }
            Poll::Ready(None) => {
                if this.declared.is_some_and(|declared| this.received < declared) {
                    return this.fail(BodyFault::Incomplete);
                }
                this.watch.end();
                match this.judge() {
                    Ok(()) => Poll::Ready(None),
                    Err(fault) => this.fail(fault),
                }
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.begun && self.running.is_none() && self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

#[cfg(test)]
mod tests;

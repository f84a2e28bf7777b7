//! What stands between hyper and the network: it keeps hyper silent towards whoever has not said something true, and
//! gives up on a peer that does not read.
//!
//! hyper answers bytes that are no HTTP with an error page of its own. On a connection of ours such bytes come from
//! somebody who writes into it from outside, and he shall see it close and nothing else.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::atomic::{AtomicU8, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use std::sync::Arc;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep_until};

use crate::network::BoxStream;

/// How long a peer may take no byte of what is written to it.
const STALL_PATIENCE: Duration = Duration::from_secs(30);

const SILENT: u8 = 0;
const ANSWERING: u8 = 1;
const SAID: u8 = 2;

/// Whether the answering end may write: from the moment at which a request proved genuine until the next one begins.
#[derive(Debug, Default)]
pub(crate) struct Speech(AtomicU8);

impl Speech {
    /// A genuine request is about to be answered.
    pub(crate) fn answer(&self) {
        self.0.store(ANSWERING, Ordering::SeqCst);
    }

    /// The whole answer was handed to hyper. Bytes that arrive from now on begin the next request: a caller sends it
    /// only when it has the whole answer.
    pub(crate) fn said(&self) {
        self.0.store(SAID, Ordering::SeqCst);
    }

    fn heard(&self) {
        // Only from SAID: what arrives while an answer is under way silences nobody.
        let _ = self.0.compare_exchange(SAID, SILENT, Ordering::SeqCst, Ordering::SeqCst);
    }

    fn allowed(&self) -> bool {
        self.0.load(Ordering::SeqCst) != SILENT
    }
}

/// A stream under guard.
pub(crate) struct GuardedIo {
    stream: BoxStream,
    /// `None` on the calling end, which speaks first.
    speech: Option<Arc<Speech>>,
    stalled: Option<Pin<Box<Sleep>>>,
}

impl GuardedIo {
    pub(crate) fn new(stream: BoxStream, speech: Option<Arc<Speech>>) -> Self {
        Self { stream, speech, stalled: None }
    }

    /// Lets a write through, or counts how long it has been waiting.
    fn guard<T>(
        &mut self,
        context: &mut Context<'_>,
        write: impl FnOnce(Pin<&mut BoxStream>, &mut Context<'_>) -> Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if self.speech.as_ref().is_some_and(|speech| !speech.allowed()) {
            return Poll::Ready(Err(io::Error::new(io::ErrorKind::PermissionDenied, "nothing true was said")));
        }
        if let Poll::Ready(done) = write(Pin::new(&mut self.stream), context) {
            self.stalled = None;
            return Poll::Ready(done);
        }
        let patience = self.stalled.get_or_insert_with(|| Box::pin(sleep_until(Instant::now() + STALL_PATIENCE)));
        std::task::ready!(patience.as_mut().poll(context));
        Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "the peer does not read")))
    }
}

impl AsyncRead for GuardedIo {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(context, buffer);
        if buffer.filled().len() > before
            && let Some(speech) = &self.speech
        {
            speech.heard();
        }
        read
    }
}

impl AsyncWrite for GuardedIo {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.guard(context, |stream, context| stream.poll_write(context, bytes))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.guard(context, |stream, context| stream.poll_write_vectored(context, parts))
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

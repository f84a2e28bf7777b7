//! A connection whose peer must do its part: say something soon after it came, and take what it is sent.
//!
//! hyper bounds how long the head of a request may take, but only once it knows which HTTP is spoken; before that a silent
//! connection would keep its place for ever. And nothing but this bounds how long a peer may leave its answer standing.

use core::pin::Pin;
use core::task::{Context, Poll};
use std::io;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep};

/// As many bytes as it takes to tell HTTP/1 from HTTP/2.
const PREFACE_BYTES: usize = 24;

/// A stream with bounds on its peer's silence.
pub struct Patient<S> {
    stream: S,
    /// Bytes that are still awaited before the first deadline is met.
    awaited: usize,
    opening: Pin<Box<Sleep>>,
    /// Runs only while a write is stuck.
    stalled: Option<Pin<Box<Sleep>>>,
    stall_max: Duration,
}

impl<S> core::fmt::Debug for Patient<S> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Patient").field("awaited", &self.awaited).finish_non_exhaustive()
    }
}

impl<S> Patient<S> {
    /// The peer must say what it speaks within `opening_max`, and never leave a write standing for `stall_max`.
    pub fn new(stream: S, opening_max: Duration, stall_max: Duration) -> Self {
        let opening = Box::pin(tokio::time::sleep(opening_max));
        Self { stream, awaited: PREFACE_BYTES, opening, stalled: None, stall_max }
    }

    /// Judges a poll that writes: progress resets the time, waiting lets it run.
    fn judge<T>(&mut self, cx: &mut Context<'_>, polled: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if polled.is_ready() {
            self.stalled = None;
            return polled;
        }
        let deadline = Instant::now() + self.stall_max;
        let stalled = self.stalled.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(deadline)));
        match stalled.as_mut().poll(cx) {
            Poll::Ready(()) => Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "the peer takes nothing"))),
            Poll::Pending => Poll::Pending,
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Patient<S> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buffer.filled().len();
        let polled = Pin::new(&mut this.stream).poll_read(cx, buffer);
        this.awaited = this.awaited.saturating_sub(buffer.filled().len() - before);
        if this.awaited > 0 && polled.is_pending() && this.opening.as_mut().poll(cx).is_ready() {
            return Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "the peer says nothing")));
        }
        polled
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Patient<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let polled = Pin::new(&mut this.stream).poll_write(cx, bytes);
        this.judge(cx, polled)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let polled = Pin::new(&mut this.stream).poll_write_vectored(cx, parts);
        this.judge(cx, polled)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let polled = Pin::new(&mut this.stream).poll_flush(cx);
        this.judge(cx, polled)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let polled = Pin::new(&mut this.stream).poll_shutdown(cx);
        this.judge(cx, polled)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    const OPENING: Duration = Duration::from_secs(30);
    const STALL: Duration = Duration::from_secs(60);

    #[tokio::test(start_paused = true)]
    async fn a_peer_that_says_nothing_or_too_little_is_sent_away() {
        for said in [&b""[..], b"P"] {
            let (mut peer, ours) = tokio::io::duplex(1024);
            let mut ours = Patient::new(ours, OPENING, STALL);
            peer.write_all(said).await.unwrap();
            let began = Instant::now();
            let mut head = [0; PREFACE_BYTES];
            let error = ours.read_exact(&mut head).await.unwrap_err();
            assert_eq!((error.kind(), began.elapsed() >= OPENING), (io::ErrorKind::TimedOut, true));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_peer_that_has_spoken_may_be_silent_between_requests() {
        let (mut peer, ours) = tokio::io::duplex(1024);
        let mut ours = Patient::new(ours, OPENING, STALL);
        peer.write_all(&[b'x'; PREFACE_BYTES]).await.unwrap();
        let mut head = [0; PREFACE_BYTES];
        ours.read_exact(&mut head).await.unwrap();
        let waited = tokio::time::timeout(OPENING * 10, ours.read_u8()).await;
        assert!(waited.is_err(), "it was cut off: {waited:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_peer_that_takes_nothing_is_cut_off_and_one_that_takes_slowly_is_not() {
        let (mut peer, ours) = tokio::io::duplex(8);
        let mut ours = Patient::new(ours, OPENING, STALL);
        let reader = tokio::spawn(async move {
            for _ in 0..4 {
                tokio::time::sleep(STALL / 2).await;
                peer.read_exact(&mut [0; 8]).await.unwrap();
            }
            peer
        });
        ours.write_all(&[1; 32]).await.unwrap();
        let _peer = reader.await.unwrap();
        let error = ours.write_all(&[1; 32]).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    }
}

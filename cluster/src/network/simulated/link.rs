//! One stream of the simulated network: two pipes with what is on its way in them.

use std::collections::VecDeque;
use std::io;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use bytes::{Buf as _, Bytes};
use cairn_core::Entropy as _;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep_until};

use super::World;

/// What may be on its way in one direction before its writer waits.
const PIPE_BYTES: usize = 256 * 1024;

/// Both directions of a stream.
#[derive(Debug)]
pub(super) struct Link {
    world: Arc<World>,
    /// From the connecting machine, from the accepting one.
    pipes: [Mutex<Pipe>; 2],
    machines: [IpAddr; 2],
}

#[derive(Debug)]
struct Pipe {
    /// When each write arrives.
    written: VecDeque<(Instant, Bytes)>,
    bytes: usize,
    /// How many bytes may still pass before the stream breaks.
    allowance: Option<u64>,
    ended: bool,
    broken: bool,
    reader: Option<Waker>,
    writer: Option<Waker>,
}

impl Pipe {
    fn new(allowance: Option<u64>) -> Mutex<Self> {
        Mutex::new(Self {
            written: VecDeque::new(),
            bytes: 0,
            allowance,
            ended: false,
            broken: false,
            reader: None,
            writer: None,
        })
    }

    fn wake(&mut self) {
        self.reader.take().into_iter().chain(self.writer.take()).for_each(Waker::wake);
    }
}

impl Link {
    pub(super) fn new(world: Arc<World>, from: IpAddr, to: IpAddr, allowances: [Option<u64>; 2]) -> Arc<Self> {
        Arc::new(Self { world, pipes: allowances.map(Pipe::new), machines: [from, to] })
    }

    fn pipe(&self, index: usize) -> MutexGuard<'_, Pipe> {
        self.pipes[index].lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn touches(&self, machine: IpAddr) -> bool {
        self.machines.contains(&machine)
    }

    /// Whoever waits looks again.
    pub(super) fn wake(&self) {
        [0, 1].into_iter().for_each(|index| self.pipe(index).wake());
    }

    /// Breaks both directions; what was on its way is lost.
    pub(super) fn cut(&self) {
        for index in [0, 1] {
            let mut pipe = self.pipe(index);
            pipe.broken = true;
            pipe.written.clear();
            pipe.wake();
        }
    }
}

/// One end of a stream.
pub(super) struct End {
    link: Arc<Link>,
    /// The pipe that this end writes to; it reads from the other.
    out: usize,
    arriving: Option<Pin<Box<Sleep>>>,
}

impl End {
    pub(super) fn new(link: Arc<Link>, connecting: bool) -> Self {
        Self { link, out: usize::from(!connecting), arriving: None }
    }
}

impl Drop for End {
    fn drop(&mut self) {
        // What was written still arrives; what is written to us from now on does not.
        let mut out = self.link.pipe(self.out);
        out.ended = true;
        out.wake();
        drop(out);
        let mut incoming = self.link.pipe(1 - self.out);
        incoming.broken = true;
        incoming.wake();
    }
}

impl AsyncRead for End {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let (from, to) = (this.link.machines[1 - this.out], this.link.machines[this.out]);
        let blocked = this.link.world.blocked(from, to);
        let mut pipe = this.link.pipe(1 - this.out);
        if pipe.broken {
            return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
        }
        if blocked {
            pipe.reader = Some(context.waker().clone());
            return Poll::Pending;
        }
        let (now, before) = (Instant::now(), buffer.filled().len());
        while buffer.remaining() > 0 {
            let Some((arrives, bytes)) = pipe.written.front_mut() else { break };
            if *arrives > now {
                break;
            }
            let taken = bytes.len().min(buffer.remaining());
            buffer.put_slice(&bytes[..taken]);
            bytes.advance(taken);
            if bytes.is_empty() {
                pipe.written.pop_front();
            }
            pipe.bytes -= taken;
        }
        if buffer.filled().len() > before {
            pipe.writer.take().into_iter().for_each(Waker::wake);
            return Poll::Ready(Ok(()));
        }
        pipe.reader = Some(context.waker().clone());
        let next = pipe.written.front().map(|(arrives, _)| *arrives);
        if next.is_none() && pipe.ended {
            return Poll::Ready(Ok(()));
        }
        drop(pipe);
        if let Some(arrives) = next {
            let mut arriving = Box::pin(sleep_until(arrives));
            if arriving.as_mut().poll(context).is_ready() {
                context.waker().wake_by_ref();
            }
            this.arriving = Some(arriving);
        }
        Poll::Pending
    }
}

impl AsyncWrite for End {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let world = &self.link.world;
        let (delay, flips) = (world.delay(), world.state().faults.flip_one_in);
        let flip = world.one_in(flips).then(|| world.entropy.next_u64());
        let mut pipe = self.link.pipe(self.out);
        if pipe.broken || pipe.ended {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        let mut taken = bytes.len().min(PIPE_BYTES.saturating_sub(pipe.bytes));
        if taken == 0 && !bytes.is_empty() {
            pipe.writer = Some(context.waker().clone());
            return Poll::Pending;
        }
        if let Some(allowance) = &mut pipe.allowance {
            if *allowance == 0 {
                drop(pipe);
                self.link.cut();
                return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
            }
            taken = taken.min(usize::try_from(*allowance).unwrap_or(usize::MAX));
            *allowance -= taken as u64;
        }
        let mut written = bytes[..taken].to_vec();
        if let Some(flip) = flip
            && taken > 0
        {
            written[(flip >> 3) as usize % taken] ^= 1 << (flip & 7);
        }
        // Never before what was written earlier.
        let arrives = (Instant::now() + delay).max(pipe.written.back().map_or_else(Instant::now, |(last, _)| *last));
        pipe.bytes += taken;
        pipe.written.push_back((arrives, Bytes::from(written)));
        pipe.reader.take().into_iter().for_each(Waker::wake);
        Poll::Ready(Ok(taken))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut pipe = self.link.pipe(self.out);
        pipe.ended = true;
        pipe.wake();
        Poll::Ready(Ok(()))
    }
}

//! Memory for long reads, used again and again.
//!
//! A fresh MiB costs as much as reading it from the page cache: it has to be cleared, or its pages have to be found. Short
//! reads take what the allocator gives them.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;

/// Shorter reads are not worth the trouble.
const LENGTH_MIN: usize = 64 * 1024;

/// Longer ones are seldom, and would fill the memory that is kept.
const LENGTH_MAX: usize = 2 * 1024 * 1024;

/// What is kept while nobody reads. A buffer that comes back and finds no room is given up.
const KEPT_BYTES_MAX: usize = 4 * 1024 * 1024;

/// The buffers of one journal.
#[derive(Default)]
pub(crate) struct Buffers {
    kept: Mutex<Kept>,
}

#[derive(Default)]
struct Kept {
    /// Whose lengths are powers of two.
    buffers: Vec<Vec<u8>>,
    bytes: usize,
}

/// Memory for one read. Goes back when the last reference to its bytes is gone.
pub(crate) struct Buffer {
    memory: Vec<u8>,
    length: usize,
    home: Option<Arc<Buffers>>,
}

impl Buffers {
    /// So many bytes, of which nobody knows what is in them: a read fills all of them, or fails.
    pub fn take(self: &Arc<Self>, length: usize) -> Buffer {
        if !(LENGTH_MIN..=LENGTH_MAX).contains(&length) {
            return Buffer { memory: vec![0; length], length, home: None };
        }
        let whole = length.next_power_of_two();
        let kept = self.kept().take(whole);
        let memory = kept.unwrap_or_else(|| vec![0; whole]);
        Buffer { memory, length, home: Some(self.clone()) }
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Kept {
    fn take(&mut self, length: usize) -> Option<Vec<u8>> {
        let at = self.buffers.iter().rposition(|buffer| buffer.len() == length)?;
        self.bytes -= length;
        Some(self.buffers.swap_remove(at))
    }

    /// Gives a buffer back where there is no room for it.
    fn put(&mut self, buffer: Vec<u8>) -> Option<Vec<u8>> {
        if self.bytes + buffer.len() > KEPT_BYTES_MAX {
            return Some(buffer);
        }
        self.bytes += buffer.len();
        self.buffers.push(buffer);
        None
    }
}

impl Buffer {
    /// What a read fills.
    pub fn as_mut(&mut self) -> &mut [u8] {
        &mut self.memory[..self.length]
    }

    /// What was read.
    pub fn into_bytes(mut self) -> Bytes {
        match self.home {
            Some(_) => Bytes::from_owner(self),
            None => Bytes::from(std::mem::take(&mut self.memory)),
        }
    }
}

impl AsRef<[u8]> for Buffer {
    fn as_ref(&self) -> &[u8] {
        &self.memory[..self.length]
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        if let Some(home) = self.home.take() {
            // What finds no room is freed behind the lock.
            let _freed = home.kept().put(std::mem::take(&mut self.memory));
        }
    }
}

impl fmt::Debug for Buffers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Buffers({} bytes kept)", self.kept().bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_buffers_come_back_and_what_is_kept_is_bounded() {
        let buffers = Arc::new(Buffers::default());
        for length in [0, 1, LENGTH_MIN - 1, LENGTH_MAX + 1] {
            let mut buffer = buffers.take(length);
            buffer.as_mut().fill(7);
            assert_eq!(buffer.into_bytes(), vec![7; length]);
            assert_eq!(buffers.kept().bytes, 0);
        }
        let mut first = buffers.take(100_000);
        first.as_mut().fill(1);
        let (memory, first) = (first.as_ref().as_ptr(), first.into_bytes());
        let part = first.slice(5..10);
        drop(first);
        assert_ne!(buffers.take(100_000).as_ref().as_ptr(), memory, "somebody still reads in it");
        assert_eq!(part, [1; 5][..]);
        drop(part);
        assert_eq!(buffers.take(110_000).as_ref().as_ptr(), memory, "the same memory serves another length");
        drop((0..10).map(|_| buffers.take(LENGTH_MAX)).collect::<Vec<_>>());
        let kept = buffers.kept();
        assert!(kept.bytes <= KEPT_BYTES_MAX);
        assert_eq!(kept.bytes, kept.buffers.iter().map(Vec::len).sum::<usize>());
    }
}

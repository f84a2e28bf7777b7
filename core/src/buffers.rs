//! Memory for long reads and bodies, used again and again.
//!
//! A fresh MiB costs as much as reading it from the page cache: it has to be cleared, or its pages have to be found. Short
//! ones take what the allocator gives them.

use core::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;

/// Shorter buffers are not worth the trouble.
const LENGTH_MIN: usize = 64 * 1024;

/// Longer ones are seldom, and would fill the memory that is kept.
const LENGTH_MAX: usize = 16 * 1024 * 1024;

/// Buffers that are kept for whoever needs one next.
pub struct Buffers {
    kept: Mutex<Kept>,
}

struct Kept {
    /// Whose lengths are those that [`whole`] makes.
    buffers: Vec<Vec<u8>>,
    bytes: usize,
    bytes_max: usize,
}

/// Memory for one read. Goes back when the last reference to its bytes is gone.
pub struct Buffer {
    memory: Vec<u8>,
    length: usize,
    home: Option<Arc<Buffers>>,
}

/// The length of the buffer that serves a length: with a quarter more at most, so that few lengths serve all.
fn whole(length: usize) -> usize {
    length.next_multiple_of((length.next_power_of_two() / 8).max(1))
}

impl Buffers {
    /// Keeps so many bytes while nobody needs them. A buffer that comes back and finds no room is given up.
    pub fn keeping(bytes_max: usize) -> Arc<Self> {
        Arc::new(Self { kept: Mutex::new(Kept { buffers: Vec::new(), bytes: 0, bytes_max }) })
    }

    /// So many bytes, of which nobody knows what is in them: whoever takes them fills them.
    pub fn take(self: &Arc<Self>, length: usize) -> Buffer {
        if !(LENGTH_MIN..=LENGTH_MAX).contains(&length) {
            return Buffer { memory: vec![0; length], length, home: None };
        }
        let whole = whole(length);
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
        if self.bytes + buffer.len() > self.bytes_max {
            return Some(buffer);
        }
        self.bytes += buffer.len();
        self.buffers.push(buffer);
        None
    }
}

impl Buffer {
    /// What is to be filled.
    pub fn room(&mut self) -> &mut [u8] {
        &mut self.memory[..self.length]
    }

    /// Leaves out what was not filled behind the first so many bytes.
    pub fn truncate(&mut self, length: usize) {
        self.length = self.length.min(length);
    }

    /// What was filled.
    pub fn into_bytes(mut self) -> Bytes {
        match self.home {
            Some(_) => Bytes::from_owner(self),
            None => {
                self.memory.truncate(self.length);
                Bytes::from(std::mem::take(&mut self.memory))
            }
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

impl fmt::Debug for Buffer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Buffer({} bytes)", self.length)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEPT: usize = 4 * 1024 * 1024;

    #[test]
    fn long_buffers_come_back_and_what_is_kept_is_bounded() {
        let buffers = Buffers::keeping(KEPT);
        for length in [0, 1, LENGTH_MIN - 1, LENGTH_MAX + 1] {
            let mut buffer = buffers.take(length);
            buffer.room().fill(7);
            assert_eq!(buffer.into_bytes(), vec![7; length]);
            assert_eq!(buffers.kept().bytes, 0);
        }
        let mut first = buffers.take(100_000);
        first.room().fill(1);
        let (memory, first) = (first.as_ref().as_ptr(), first.into_bytes());
        let part = first.slice(5..10);
        drop(first);
        assert_ne!(buffers.take(100_000).as_ref().as_ptr(), memory, "somebody still reads in it");
        assert_eq!(part, [1; 5][..]);
        drop(part);
        assert_eq!(buffers.take(110_000).as_ref().as_ptr(), memory, "the same memory serves another length");
        drop((0..10).map(|_| buffers.take(KEPT / 4 + 1)).collect::<Vec<_>>());
        let kept = buffers.kept();
        assert!(kept.bytes <= KEPT && kept.bytes > KEPT / 2);
        assert_eq!(kept.bytes, kept.buffers.iter().map(Vec::len).sum::<usize>());
    }

    #[test]
    fn a_buffer_is_little_longer_than_what_it_serves() {
        for length in (LENGTH_MIN..4 * 1024 * 1024).step_by(977).chain([LENGTH_MIN, 1 << 20, LENGTH_MAX]) {
            let whole = whole(length);
            assert!(whole >= length && whole <= length + length / 4, "{length} in {whole}");
        }
        assert_eq!((whole(1 << 20), whole(LENGTH_MAX)), (1 << 20, LENGTH_MAX));
    }

    #[test]
    fn what_was_not_filled_is_left_out() {
        let buffers = Buffers::keeping(KEPT);
        for length in [10, 100_000] {
            let mut buffer = buffers.take(length);
            buffer.room().fill(3);
            buffer.truncate(7);
            assert_eq!(buffer.into_bytes(), [3; 7][..]);
        }
    }
}

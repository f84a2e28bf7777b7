//! Where coding and hashing run: beside the network's tasks, never in their way.

use std::future::pending;
use std::num::NonZeroUsize;
use std::panic::resume_unwind;
use std::sync::Arc;
use std::thread::available_parallelism;

use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;

/// Work on no more bytes than this is done where it is asked for: it takes some ten microseconds, as much as the way
/// to another thread and back.
pub const INLINE_BYTES_MAX: usize = 64 * 1024;

/// A bounded number of coding jobs at once. Cheap to clone; clones share the bound.
///
/// More jobs than cores would only take memory bandwidth from one another. A job never starts another, so nobody waits
/// for a slot while holding one (invariant 14).
#[derive(Debug, Clone)]
pub struct CodingPool {
    /// None: everything is done where it is asked for.
    slots: Option<Arc<Semaphore>>,
}

impl CodingPool {
    /// So many jobs at once.
    pub fn new(jobs: NonZeroUsize) -> Self {
        Self { slots: Some(Arc::new(Semaphore::new(jobs.get()))) }
    }

    /// As many jobs at once as there are cores.
    pub fn per_core() -> Self {
        Self::new(available_parallelism().unwrap_or(NonZeroUsize::MIN))
    }

    /// No threads at all: for simulations, where a seed decides the order of everything.
    pub fn inline() -> Self {
        Self { slots: None }
    }

    /// Does work on so many bytes, here or on a thread for it. Dropping the future gives the answer up, not the work: what
    /// has begun ends, and gives its slot back then.
    pub async fn run<T: Send + 'static>(&self, bytes: usize, work: impl FnOnce() -> T + Send + 'static) -> T {
        let slots = match &self.slots {
            Some(slots) if bytes > INLINE_BYTES_MAX => slots.clone(),
            _ => return work(),
        };
        let slot = slots.acquire_owned().await.expect("the semaphore is never closed");
        let job = spawn_blocking(move || {
            let done = work();
            drop(slot);
            done
        });
        match job.await {
            Ok(done) => done,
            Err(error) => match error.try_into_panic() {
                Ok(panic) => resume_unwind(panic),
                // The runtime is shutting down, and whoever waits here goes with it.
                Err(_) => pending().await,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use futures::future::join_all;

    use super::*;

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn no_more_jobs_run_than_there_are_slots() {
        let pool = CodingPool::new(NonZeroUsize::new(2).unwrap());
        let (running, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let jobs = (0..64).map(|number| {
            let (running, most) = (running.clone(), most.clone());
            pool.run(INLINE_BYTES_MAX + 1, move || {
                most.fetch_max(running.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                std::hint::black_box(blake3::hash(&vec![0; 100_000]));
                running.fetch_sub(1, Ordering::SeqCst);
                number
            })
        });
        assert_eq!(join_all(jobs).await, (0..64).collect::<Vec<_>>());
        assert!((1..=2).contains(&most.load(Ordering::SeqCst)));
    }

    #[tokio::test]
    async fn small_work_and_inline_pools_stay_on_the_thread() {
        let here = std::thread::current().id();
        let there = || std::thread::current().id();
        assert_eq!(CodingPool::per_core().run(INLINE_BYTES_MAX, there).await, here);
        assert_eq!(CodingPool::inline().run(usize::MAX, there).await, here);
        assert_ne!(CodingPool::per_core().run(INLINE_BYTES_MAX + 1, there).await, here);
    }

    #[tokio::test]
    #[should_panic(expected = "broken invariant")]
    async fn a_panic_of_the_work_is_a_panic_of_who_asked() {
        CodingPool::per_core().run(INLINE_BYTES_MAX + 1, || panic!("broken invariant")).await
    }
}

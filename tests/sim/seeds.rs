//! Many seeds of one simulation, as many at a time as there are processors. Each is a world of its own.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::panics;

/// Simulations are deep: a whole cluster is one future.
const STACK_BYTES: usize = 64 << 20;

/// Which seeds are run.
pub struct Seeds {
    /// What the test is called, for whoever replays one.
    pub test: &'static str,
    /// How many in the short mode.
    pub few: u64,
    /// How many in the long mode.
    pub many: u64,
}

impl Seeds {
    /// Runs them: one where `CAIRN_SEED` names it, which tells what happens; else `CAIRN_SEEDS` many, from `CAIRN_FIRST` on; or
    /// `few`, or with `CAIRN_LONG=1` `many` that nobody has seen before.
    pub fn run(&self, simulate: impl Fn(u64) -> Vec<String> + Sync) {
        let number = |name: &str| -> Option<u64> {
            std::env::var(name).ok().map(|text| text.parse().unwrap_or_else(|_| panic!("{name} is a number")))
        };
        if let Some(seed) = number("CAIRN_SEED") {
            on_own_stack(|| drop(simulate(seed)));
            return;
        }
        let long = std::env::var_os("CAIRN_LONG").is_some_and(|value| value == "1");
        let count = number("CAIRN_SEEDS").unwrap_or(if long { self.many } else { self.few });
        let first =
            number("CAIRN_FIRST").unwrap_or_else(|| if long { cairn_harness::Seed::take(self.test).0 } else { 1 });
        let (next, failed) = (AtomicU64::new(0), Mutex::new(Vec::new()));
        let work = || {
            loop {
                let seed = first + next.fetch_add(1, Ordering::Relaxed);
                if seed >= first + count || !failed.lock().unwrap().is_empty() {
                    return;
                }
                if catch_unwind(AssertUnwindSafe(|| simulate(seed))).is_err() {
                    failed.lock().unwrap().push((seed, panics::first()));
                }
            }
        };
        std::thread::scope(|scope| {
            let workers = std::thread::available_parallelism().map_or(1, usize::from);
            let named = || std::thread::Builder::new().stack_size(STACK_BYTES);
            let running: Vec<_> = (0..workers).map(|_| named().spawn_scoped(scope, work).unwrap()).collect();
            running.into_iter().for_each(|worker| worker.join().unwrap());
        });
        let failed = failed.into_inner().unwrap();
        let tell = |(seed, what): &(u64, String)| {
            format!("{what}\nCAIRN_SEED={seed} cargo verify -p cairn --test sim {} replays it", self.test)
        };
        assert!(failed.is_empty(), "{}", failed.iter().map(tell).collect::<Vec<_>>().join("\n\n"));
    }
}

/// Runs one simulation where there is room for it.
pub fn on_own_stack(run: impl FnOnce() + Send) {
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().stack_size(STACK_BYTES).spawn_scoped(scope, run).unwrap();
        if thread.join().is_err() {
            panic!("this seed fails");
        }
    });
}

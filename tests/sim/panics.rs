//! Panics of tasks. A runtime catches them, and what they say (a broken invariant is an assertion) would be lost with the
//! task; a simulation fails of each. It runs on one thread, so its panics are those of the thread.

use std::cell::RefCell;
use std::sync::Once;

thread_local! {
    static SEEN: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) };
}

/// From now on panics of this thread are remembered, and none is yet.
pub fn watch() {
    static HOOKED: Once = Once::new();
    HOOKED.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            SEEN.with_borrow_mut(|seen| seen.push(panic.to_string()));
            before(panic);
        }));
    });
    SEEN.with_borrow_mut(Vec::clear);
}

/// What the first of them said; nothing where there was none.
pub fn first() -> String {
    SEEN.with_borrow(|seen| seen.first().cloned().unwrap_or_default())
}

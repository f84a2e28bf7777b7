//! What happened, with the moment at which it did.

use std::cell::RefCell;

use tokio::time::Instant;

/// The lines of one simulation. They are told at once where somebody replays a seed: it may not come to its end.
#[derive(Debug)]
pub struct Trace {
    begin: Instant,
    lines: RefCell<Vec<String>>,
    aloud: bool,
}

impl Trace {
    /// Nothing happened yet.
    pub fn begin() -> Self {
        let aloud = std::env::var_os("CAIRN_SEED").is_some();
        Self { begin: Instant::now(), lines: RefCell::default(), aloud }
    }

    /// Adds a line.
    pub fn note(&self, line: &str) {
        let line = format!("{:9.3} {line}", self.begin.elapsed().as_secs_f64());
        if self.aloud {
            eprintln!("{line}");
        }
        self.lines.borrow_mut().push(line);
    }

    /// All lines.
    pub fn take(&self) -> Vec<String> {
        self.lines.take()
    }
}

//! One connection of one's own, so that calls arrive in the order in which they were made, as Raft's entries must.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Mutex;
use tokio::time::{Instant, timeout_at};

use super::connection::{Called, Connection};
use super::pool::Pool;
use crate::call::{Answer, Call, CallError, Target};
use crate::class::Class;
use crate::outbound::check_lengths;

/// A lane to one peer. Calls wait for each other in the order in which they were made, and each for its answer. After a call
/// was lost the next one takes a fresh connection, and order is promised again from there on: the lost one may still take
/// effect later, as [`CallError::may_have_happened`] says.
#[derive(Debug)]
pub struct Lane {
    pool: Arc<Pool>,
    target: Target,
    class: Class,
    connection: Mutex<Option<Connection>>,
}

impl Lane {
    pub(super) fn new(pool: Arc<Pool>, target: Target, class: Class) -> Self {
        Self { pool, target, class, connection: Mutex::default() }
    }

    /// Calls, after all calls that were made on this lane before.
    pub async fn call(&self, call: Call, patience: Duration) -> Result<Answer, CallError> {
        check_lengths(&call.head, &call.body)?;
        let deadline = Instant::now() + patience;
        // Tokio's mutex is fair: whoever asked first goes first.
        let held = timeout_at(deadline, self.connection.lock()).await;
        let mut held = held.map_err(|_| CallError::Crowded(self.target))?;
        let mut call = call;
        loop {
            let connection = match held.take() {
                Some(connection) if connection.usable() => connection,
                _ => self.pool.connect(self.target, self.class, deadline).await?,
            };
            match connection.call(call, deadline).await? {
                Called::Answered(answer, connection) => {
                    *held = connection;
                    return Ok(answer);
                }
                Called::Unsent(again) if Instant::now() < deadline => call = again,
                Called::Unsent(_) => {
                    return Err(CallError::Unreachable(self.target, Arc::from("no connection lasted")));
                }
            }
        }
    }
}

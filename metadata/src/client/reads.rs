//! Linearizable views, coalesced: while one question to the leader is under way, those who ask gather, and the next
//! question is for all of them. A question that was asked before somebody came is never his answer.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;
use tokio::time::Instant;

use super::Inner;
use crate::error::ReadError;
use crate::view::View;

/// How many may wait for views. More are told to come back: a node that far behind serves nobody.
const WAITING_MAX: usize = 65_536;

type Reply = oneshot::Sender<Result<View, ReadError>>;

/// Who waits for a view.
#[derive(Debug, Default)]
pub(super) struct Reads {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    waiting: Vec<Reply>,
    asking: bool,
}

impl Reads {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Waits for the next view.
pub(super) async fn read(client: &Arc<Inner>) -> Result<View, ReadError> {
    let (reply, view) = oneshot::channel();
    let begin = {
        let mut state = client.reads.state();
        if state.waiting.len() >= WAITING_MAX {
            return Err(ReadError::Unavailable("too many reads are waiting".into()));
        }
        state.waiting.push(reply);
        !std::mem::replace(&mut state.asking, true)
    };
    if begin {
        client.node.tasks.spawn(ask(client.clone()));
    }
    view.await.unwrap_or(Err(ReadError::Closed))
}

/// Asks for as long as somebody waits.
async fn ask(client: Arc<Inner>) {
    loop {
        let waiting = {
            let mut state = client.reads.state();
            if state.waiting.is_empty() {
                state.asking = false;
                return;
            }
            std::mem::take(&mut state.waiting)
        };
        let view = view(&client).await;
        for reply in waiting {
            // Whoever went away needs no view.
            drop(reply.send(view.clone()));
        }
    }
}

/// One view for all that waited when this was called.
async fn view(client: &Inner) -> Result<View, ReadError> {
    let node = &client.node;
    let deadline = Instant::now() + node.config.deadline;
    let attempt = async {
        let index = node.leader.until_read_index().await.ok_or_else(stopped)?;
        node.applied.watch().wait_for(|applied| *applied >= index).await.map_err(|_| stopped())?;
        Ok(View::open(&node.rows, &client.current()))
    };
    let answer = tokio::select! {
        biased;
        answer = attempt => answer,
        failure = node.failure.happened() => Err(ReadError::Unavailable(failure.to_string())),
        () = tokio::time::sleep_until(deadline) => {
            Err(ReadError::Unavailable(format!("no leader within {:?}", node.config.deadline)))
        }
    };
    if answer.is_err() && node.tasks.stopping().is_cancelled() { Err(ReadError::Closed) } else { answer }
}

fn stopped() -> ReadError {
    ReadError::Unavailable("the metadata node has stopped".into())
}

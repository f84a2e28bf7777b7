//! What clients saw of a store, and whether one order of everything explains it: linearizability, key by key.
//!
//! ```text
//! begin(client, key, ask) ---- the store is asked ---- end(id, answer)          check()
//!        |                                                |                         |
//!        +------ a counter orders calls and answers ------+      for each key: an order in which each operation takes
//!                                                                effect once, between its call and its answer
//! ```
//!
//! No clock is involved: an operation comes before another one if its answer was noted before the other was called. One that
//! was never answered, or answered with [`Answer::Unknown`], may take effect at any moment after its call, or never.
//!
//! A listing is noted as a [`Ask::Get`] of each key that it should show. The search itself is in `search`.

mod search;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};

use search::{Outcome, Step};

/// States that the search of one key may visit. A thousand operations of ten clients need some thousands.
const STATES_MAX: usize = 2_000_000;

/// Steps of the best order that a story tells; those before them explain nothing.
const STORY_STEPS: usize = 16;

/// What was asked for. Contents are known by their ETag, or by any other name that equal contents share.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ask {
    /// What is there.
    Get,
    /// This content from now on.
    Put(String),
    /// This content, if nothing is there: `If-None-Match: *`.
    Create(String),
    /// Another content in place of this one: `If-Match`.
    Replace {
        /// What must be there.
        expected: String,
        /// What is there then.
        new: String,
    },
    /// Nothing from now on.
    Delete,
}

/// What was answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// It is done.
    Done,
    /// The condition did not hold: 412, or 404 where something should have been replaced.
    Differs,
    /// A get: this is there, or nothing.
    Found(Option<String>),
    /// It was refused before it could have an effect.
    Refused,
    /// Nobody knows: a time-out, a lost connection, a 5xx behind which it may still happen.
    Unknown,
}

/// An operation that was begun.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct OperationId(usize);

/// One operation of one client.
#[derive(Debug, Clone)]
struct Event {
    client: u64,
    key: String,
    ask: Ask,
    called: u64,
    answered: Option<(u64, Answer)>,
}

/// Everything that clients saw. It is shared by all of them.
#[derive(Debug, Default)]
pub struct History(Mutex<Recorded>);

#[derive(Debug, Default)]
struct Recorded {
    events: Vec<Event>,
    moments: u64,
}

impl Recorded {
    fn moment(&mut self) -> u64 {
        self.moments += 1;
        self.moments
    }
}

impl History {
    /// Nothing was seen yet, and no key has a content.
    pub fn new() -> Self {
        Self::default()
    }

    fn recorded(&self) -> MutexGuard<'_, Recorded> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A client is about to ask. A client may ask several things at a time.
    pub fn begin(&self, client: u64, key: &str, ask: Ask) -> OperationId {
        let mut recorded = self.recorded();
        let called = recorded.moment();
        recorded.events.push(Event { client, key: key.to_owned(), ask, called, answered: None });
        OperationId(recorded.events.len() - 1)
    }

    /// It was answered. An operation that never is may have happened.
    pub fn end(&self, operation: OperationId, answer: Answer) {
        let mut recorded = self.recorded();
        let moment = recorded.moment();
        let event = &mut recorded.events[operation.0];
        assert!(event.answered.is_none(), "an operation is answered once: {event:?}");
        assert!(event.fits(&answer), "{:?} is never answered {answer:?}", event.ask);
        event.answered = Some((moment, answer));
    }

    /// How many operations were begun.
    pub fn len(&self) -> usize {
        self.recorded().events.len()
    }

    /// Whether nothing was asked yet.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The keys that were ever asked for.
    pub fn keys(&self) -> BTreeSet<String> {
        self.recorded().events.iter().map(|event| event.key.clone()).collect()
    }

    /// Looks for an order of each key that explains it all.
    pub fn check(&self) -> Result<(), Violation> {
        self.check_within(STATES_MAX)
    }

    fn check_within(&self, states_max: usize) -> Result<(), Violation> {
        let recorded = self.recorded();
        let mut keys: BTreeMap<&str, Vec<&Event>> = BTreeMap::new();
        for event in &recorded.events {
            keys.entry(&event.key).or_default().push(event);
        }
        keys.into_iter().try_for_each(|(key, events)| check_key(key, &events, states_max))
    }
}

impl Event {
    fn fits(&self, answer: &Answer) -> bool {
        match answer {
            Answer::Done => self.ask != Ask::Get,
            Answer::Differs => matches!(self.ask, Ask::Create(_) | Ask::Replace { .. }),
            Answer::Found(_) => self.ask == Ask::Get,
            Answer::Refused | Answer::Unknown => true,
        }
    }

    /// What the search has to explain; none where there is nothing to explain, and nothing that could explain.
    fn step<'a>(&'a self, names: &mut Names<'a>) -> Option<Step> {
        let (needs, value) = match &self.ask {
            Ask::Get => (None, None),
            Ask::Put(new) => (None, Some(new)),
            Ask::Create(new) => (Some(None), Some(new)),
            Ask::Replace { expected, new } => (Some(Some(expected)), Some(new)),
            Ask::Delete => (None, None),
        };
        let (needs, value) = (needs.map(|needs| names.number(needs)), names.number(value));
        let sets = Outcome::Sets { needs, value };
        let (answered, outcome) = match &self.answered {
            Some((_, Answer::Refused)) => return None,
            None | Some((_, Answer::Unknown)) if self.ask == Ask::Get => return None,
            None | Some((_, Answer::Unknown)) => (None, sets),
            Some((at, Answer::Done)) => (Some(*at), sets),
            Some((at, Answer::Found(found))) => (Some(*at), Outcome::Sees(names.number(found.as_ref()))),
            Some((at, Answer::Differs)) => {
                (Some(*at), Outcome::Misses(needs.expect("only what has a condition is answered so")))
            }
        };
        Some(Step { called: self.called, answered, outcome })
    }
}

/// Contents as small numbers, for the search. Nothing is number 0.
#[derive(Debug, Default)]
struct Names<'a>(BTreeMap<&'a str, u32>);

impl<'a> Names<'a> {
    fn number(&mut self, name: Option<&'a String>) -> u32 {
        let Some(name) = name else { return search::NOTHING };
        let next = self.0.len() as u32 + 1;
        *self.0.entry(name).or_insert(next)
    }

    fn name(&self, number: u32) -> Option<&'a str> {
        self.0.iter().find(|(_, known)| **known == number).map(|(name, _)| *name)
    }
}

fn check_key(key: &str, events: &[&Event], states_max: usize) -> Result<(), Violation> {
    let mut names = Names::default();
    let (kept, steps): (Vec<&Event>, Vec<Step>) =
        events.iter().filter_map(|event| Some((*event, event.step(&mut names)?))).unzip();
    let Err(stuck) = search::explain(&steps, states_max) else { return Ok(()) };
    let told = |&number: &usize| kept[number].to_string();
    let from = stuck.order.len().saturating_sub(STORY_STEPS);
    Err(Violation {
        key: key.to_owned(),
        undecided: stuck.undecided,
        operations: kept.len(),
        explained: stuck.order.len(),
        order: stuck.order[from..].iter().map(told).collect(),
        value: names.name(stuck.value).map(str::to_owned),
        next: stuck.next.iter().map(told).collect(),
    })
}

/// What no order explains.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct Violation {
    /// Of which key.
    pub key: String,
    /// The search was given up: there may be an order, and the history is too long to be judged.
    pub undecided: bool,
    operations: usize,
    explained: usize,
    order: Vec<String>,
    value: Option<String>,
    next: Vec<String>,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { key, operations, explained, .. } = self;
        if self.undecided {
            writeln!(
                f,
                "whether an order explains what was seen of {key} could not be decided: too many operations overlap."
            )?;
        } else {
            writeln!(f, "no order explains what was seen of {key}.")?;
        }
        writeln!(f, "The longest one has {explained} of {operations} operations, and ends with")?;
        self.order.iter().try_for_each(|line| writeln!(f, "    {line}"))?;
        writeln!(f, "Then there is {}, and these had to come next:", shown(self.value.as_deref()))?;
        self.next.iter().try_for_each(|line| writeln!(f, "    {line}"))
    }
}

fn shown(value: Option<&str>) -> &str {
    value.unwrap_or("nothing")
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:>6}..", self.called)?;
        match &self.answered {
            Some((at, _)) => write!(f, "{at:<6}")?,
            None => f.write_str("?     ")?,
        }
        write!(f, " client {}: ", self.client)?;
        match &self.ask {
            Ask::Get => f.write_str("get")?,
            Ask::Put(new) => write!(f, "put {new}")?,
            Ask::Create(new) => write!(f, "put {new} where nothing is")?,
            Ask::Replace { expected, new } => write!(f, "put {new} in place of {expected}")?,
            Ask::Delete => f.write_str("delete")?,
        }
        match self.answered.as_ref().map(|(_, answer)| answer) {
            Some(Answer::Done) => f.write_str(" -> done"),
            Some(Answer::Differs) => f.write_str(" -> something else is there"),
            Some(Answer::Found(found)) => write!(f, " -> {}", shown(found.as_deref())),
            Some(Answer::Refused) => f.write_str(" -> refused"),
            Some(Answer::Unknown) | None => f.write_str(" -> nobody knows"),
        }
    }
}

#[cfg(test)]
mod tests;

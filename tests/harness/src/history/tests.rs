//! Histories that have an order and histories that have none; and the search against one that tries everything.

use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{RngExt, SeedableRng};

use super::*;

fn put(value: &str) -> Ask {
    Ask::Put(value.to_owned())
}

fn create(value: &str) -> Ask {
    Ask::Create(value.to_owned())
}

fn replace(expected: &str, new: &str) -> Ask {
    Ask::Replace { expected: expected.to_owned(), new: new.to_owned() }
}

fn found(value: &str) -> Answer {
    Answer::Found(Some(value.to_owned()))
}

const NOTHING: Answer = Answer::Found(None);

/// Operations of one key with the moments of their call and their answer.
fn history(events: &[(Ask, u64, u64, Answer)]) -> History {
    let event = |(ask, called, answered, answer): &(Ask, u64, u64, Answer)| Event {
        client: *called,
        key: "key".to_owned(),
        ask: ask.clone(),
        called: *called,
        answered: Some((*answered, answer.clone())),
    };
    let moments = events.iter().map(|event| event.2).max().unwrap_or(0);
    History(Mutex::new(Recorded { events: events.iter().map(event).collect(), moments }))
}

#[test]
fn what_an_order_explains_passes() {
    use Answer::{Differs, Done, Refused, Unknown};
    let good: &[&[_]] = &[
        &[],
        &[(put("a"), 0, 5, Done), (Ask::Get, 6, 7, found("a"))],
        // A write shows at some moment between its call and its answer.
        &[(put("a"), 0, 9, Done), (Ask::Get, 2, 3, NOTHING), (Ask::Get, 4, 5, found("a"))],
        // One without an answer shows late.
        &[(put("a"), 0, 1, Unknown), (Ask::Get, 50, 51, NOTHING), (Ask::Get, 60, 61, found("a"))],
        // Or never.
        &[(put("a"), 0, 1, Unknown), (Ask::Get, 50, 51, NOTHING)],
        &[(create("a"), 0, 9, Done), (create("b"), 1, 8, Differs)],
        &[(put("a"), 0, 1, Done), (replace("a", "b"), 2, 3, Unknown), (replace("a", "c"), 5, 6, Differs)],
        &[(put("a"), 0, 1, Done), (Ask::Delete, 2, 9, Done), (Ask::Get, 3, 4, found("a")), (Ask::Get, 5, 6, NOTHING)],
        &[
            (put("a"), 0, 1, Done),
            (Ask::Delete, 2, 3, Unknown),
            (create("b"), 4, 5, Done),
            (Ask::Get, 6, 7, found("b")),
        ],
        // What nobody knows of happens in a chain, each needing the one before.
        &[
            (put("a"), 0, 1, Unknown),
            (replace("b", "c"), 2, 3, Unknown),
            (replace("a", "b"), 4, 5, Unknown),
            (Ask::Get, 6, 7, NOTHING),
            (Ask::Get, 8, 9, found("c")),
        ],
        &[(create("a"), 0, 1, Refused), (Ask::Get, 2, 3, NOTHING)],
        &[(replace("a", "b"), 0, 1, Differs), (create("a"), 2, 3, Done), (replace("a", "b"), 4, 5, Done)],
    ];
    for events in good {
        history(events).check().unwrap();
    }
}

#[test]
fn what_no_order_explains_is_told() {
    use Answer::{Differs, Done, Refused, Unknown};
    let bad: &[&[_]] = &[
        // A lost write.
        &[(put("a"), 0, 5, Done), (Ask::Get, 6, 7, NOTHING)],
        // A stale read after a fresh one.
        &[(put("a"), 0, 9, Done), (Ask::Get, 2, 3, found("a")), (Ask::Get, 4, 5, NOTHING)],
        // A write seen before it was asked for.
        &[(Ask::Get, 0, 4, found("a")), (put("a"), 5, 6, Unknown)],
        // Two winners.
        &[(create("a"), 0, 9, Done), (create("b"), 1, 8, Done)],
        &[(put("a"), 0, 1, Done), (replace("a", "b"), 2, 8, Done), (replace("a", "c"), 3, 9, Done)],
        // Neither of two wins.
        &[(create("a"), 0, 9, Differs), (create("b"), 1, 8, Differs)],
        // Something nobody wrote.
        &[(put("a"), 0, 1, Unknown), (put("b"), 2, 3, Done), (Ask::Get, 4, 5, found("c"))],
        // What came back twice had two effects.
        &[
            (create("a"), 0, 1, Unknown),
            (Ask::Get, 2, 3, found("a")),
            (put("b"), 4, 5, Done),
            (Ask::Get, 6, 7, found("b")),
            (Ask::Get, 8, 9, found("a")),
        ],
        // A refused write shows.
        &[(put("a"), 0, 1, Refused), (Ask::Get, 2, 3, found("a"))],
        // A deleted object comes back.
        &[(put("a"), 0, 1, Done), (Ask::Delete, 2, 3, Done), (Ask::Get, 4, 5, found("a"))],
        // A condition fails though nobody else was there.
        &[(put("a"), 0, 1, Done), (replace("a", "b"), 2, 3, Differs)],
    ];
    for events in bad {
        let violation = history(events).check().unwrap_err();
        assert!(!violation.undecided);
        assert!(violation.to_string().starts_with("no order explains what was seen of key."), "{violation}");
    }
}

#[test]
fn keys_are_judged_apart_and_a_story_names_what_could_not_come_next() {
    let history = History::new();
    let seen = |client, key, ask, answer| history.end(history.begin(client, key, ask), answer);
    seen(1, "good", put("a"), Answer::Done);
    seen(1, "bad", put("b"), Answer::Done);
    seen(2, "good", Ask::Get, found("a"));
    history.begin(2, "bad", replace("a", "c"));
    seen(3, "bad", Ask::Get, found("c"));
    let violation = history.check().unwrap_err();
    assert_eq!((violation.key.as_str(), history.len()), ("bad", 5));
    let story = violation.to_string();
    for part in ["1 of 3 operations", "client 1: put b -> done", "Then there is b,", "client 3: get -> c"] {
        assert!(story.contains(part), "{part}: {story}");
    }
}

#[test]
fn a_search_that_is_too_long_says_so() {
    let writes = (0..20).map(|n| (put(&format!("v{n}")), n, 100 + n, Answer::Done));
    let events: Vec<_> = writes.chain([(Ask::Get, 200, 201, NOTHING)]).collect();
    assert!(history(&events).check_within(1000).unwrap_err().undecided);
}

#[test]
fn a_long_history_with_many_unknown_outcomes_is_judged() {
    let mut random = StdRng::seed_from_u64(5);
    let history = run(&mut random, 1000, 8, 4);
    history.check_within(100_000).unwrap();
}

/// Runs clients against a register that takes each effect at a random moment: every history has an order.
fn run(random: &mut StdRng, operations: usize, clients: u64, unknown_one_in: u32) -> History {
    struct Open {
        id: OperationId,
        ask: Ask,
        answer: Option<Answer>,
    }
    let (history, mut value, mut open) = (History::new(), None::<String>, BTreeMap::<u64, Open>::new());
    let mut lost: Vec<Ask> = Vec::new();
    let mut begun = 0;
    while begun < operations || !open.is_empty() {
        if random.random_ratio(1, 6) && !lost.is_empty() {
            let late = lost.swap_remove(random.random_range(0..lost.len()));
            take_effect(&late, &mut value);
        }
        let client = random.random_range(0..clients);
        match open.get_mut(&client) {
            None if begun < operations => {
                begun += 1;
                let fresh = format!("v{begun}");
                let ask = match random.random_range(0..5) {
                    0 => put(&fresh),
                    1 => create(&fresh),
                    2 => Ask::Replace { expected: value.clone().unwrap_or_default(), new: fresh },
                    3 => Ask::Delete,
                    _ => Ask::Get,
                };
                let id = history.begin(client, "key", ask.clone());
                open.insert(client, Open { id, ask, answer: None });
            }
            None => {}
            Some(known) if known.answer.is_none() => {
                if random.random_ratio(1, unknown_one_in) {
                    let gone = open.remove(&client).unwrap();
                    lost.push(gone.ask);
                } else {
                    known.answer = Some(take_effect(&known.ask, &mut value));
                }
            }
            Some(_) => {
                let done = open.remove(&client).unwrap();
                history.end(done.id, done.answer.unwrap());
            }
        }
    }
    history
}

fn take_effect(ask: &Ask, value: &mut Option<String>) -> Answer {
    match ask {
        Ask::Get => return Answer::Found(value.clone()),
        Ask::Put(new) => *value = Some(new.clone()),
        Ask::Create(new) if value.is_none() => *value = Some(new.clone()),
        Ask::Replace { expected, new } if value.as_ref() == Some(expected) => *value = Some(new.clone()),
        Ask::Create(_) | Ask::Replace { .. } => return Answer::Differs,
        Ask::Delete => *value = None,
    }
    Answer::Done
}

#[test]
fn whatever_a_register_did_passes() {
    for seed in 0..300 {
        let mut random = StdRng::seed_from_u64(seed);
        let history = run(&mut random, 40, 4, 5);
        history.check().unwrap_or_else(|violation| panic!("seed {seed}: {violation}"));
    }
}

/// Tries every order, and every choice of what happened at all.
fn has_order(steps: &[Step], placed: u32, value: u32) -> bool {
    let left = || (0..steps.len()).filter(|step| placed & (1 << step) == 0);
    if left().all(|step| steps[step].answered.is_none()) {
        return true;
    }
    let first_answer = left().filter_map(|step| steps[step].answered).min().unwrap_or(u64::MAX);
    left()
        .filter(|&step| steps[step].called < first_answer)
        .any(|step| steps[step].outcome.apply(value).is_some_and(|value| has_order(steps, placed | 1 << step, value)))
}

#[test]
fn the_search_agrees_with_one_that_tries_everything() {
    let (mut good, mut bad) = (0, 0);
    for seed in 0..20_000 {
        let mut random = StdRng::seed_from_u64(seed);
        let length = random.random_range(1..8);
        let mut moments: Vec<u64> = (0..2 * length).collect();
        let steps: Vec<Step> = (0..length)
            .map(|_| {
                let mut two = [0; 2].map(|_| moments.swap_remove(random.random_range(0..moments.len())));
                two.sort_unstable();
                let value = random.random_range(0..3);
                let needs = [None, Some(0), Some(1), Some(2)].choose(&mut random).copied().unwrap();
                let sets = Outcome::Sets { needs, value };
                let outcome = *[Outcome::Sees(value), Outcome::Misses(value), sets, sets].choose(&mut random).unwrap();
                let unknown = outcome == sets && random.random_ratio(1, 3);
                Step { called: two[0], answered: (!unknown).then_some(two[1]), outcome }
            })
            .collect();
        let found = search::explain(&steps, 100_000);
        assert_eq!(found.is_ok(), has_order(&steps, 0, 0), "seed {seed}: {steps:?} {found:?}");
        *if found.is_ok() { &mut good } else { &mut bad } += 1;
    }
    assert!(good > 1000 && bad > 1000, "{good} with an order, {bad} without");
}

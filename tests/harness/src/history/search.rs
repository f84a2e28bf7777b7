//! The search for an order of one key's operations: that of Wing and Gong, which tries whatever may come next and goes back
//! where nothing can, and remembers where it has been.
//!
//! Three things keep it short. None of them loses an order, because each turns any order into one that is tried:
//!
//! - What changes nothing (a get, a condition that did not hold) is placed as soon as it fits. Whatever comes between this
//!   moment and a later one is the same without it.
//! - What was never answered is placed only right before an operation that it explains. Elsewhere it could be moved behind
//!   the next operation, since nothing ends the time in which it may happen, or left out.
//! - Of several such operations that do the same only the first is tried.

use std::collections::HashSet;

/// The value of a key without content.
pub(super) const NOTHING: u32 = 0;

/// What an operation did, as far as its answer says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Outcome {
    /// This value was there.
    Sees(u32),
    /// Another value than this was there.
    Misses(u32),
    /// There is another value, if this one was there.
    Sets { needs: Option<u32>, value: u32 },
}

impl Outcome {
    /// The value after it; none where it cannot have been like this.
    pub(super) fn apply(self, value: u32) -> Option<u32> {
        match self {
            Self::Sees(seen) => (seen == value).then_some(value),
            Self::Misses(missed) => (missed != value).then_some(value),
            Self::Sets { needs, value: new } => needs.is_none_or(|needs| needs == value).then_some(new),
        }
    }

    fn sets(self) -> bool {
        matches!(self, Self::Sets { .. })
    }
}

/// One operation. Moments are numbers that no two calls or answers share.
#[derive(Debug, Clone, Copy)]
pub(super) struct Step {
    pub called: u64,
    /// None where nobody knows whether it happened.
    pub answered: Option<u64>,
    pub outcome: Outcome,
}

/// The search found no order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Stuck {
    /// It was not finished.
    pub undecided: bool,
    /// The longest order that was found, as numbers of steps.
    pub order: Vec<usize>,
    /// The value at its end.
    pub value: u32,
    /// What would have had to come next.
    pub next: Vec<usize>,
}

/// Which steps were placed.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Placed(Box<[u64]>);

impl Placed {
    fn none(of: usize) -> Self {
        Self(vec![0; of.div_ceil(64)].into())
    }

    fn has(&self, step: usize) -> bool {
        self.0[step / 64] & (1 << (step % 64)) != 0
    }

    fn add(&mut self, step: usize) {
        self.0[step / 64] |= 1 << (step % 64);
    }
}

/// A beginning of an order.
#[derive(Debug, Clone)]
struct Beginning {
    placed: Placed,
    value: u32,
    /// How many steps with an answer were placed.
    explained: usize,
    /// The last step, as a place in the tree of all that was tried.
    last: Option<usize>,
}

/// The tree of all that was tried: a step, and the one before it.
#[derive(Debug, Default)]
struct Tree(Vec<(Option<usize>, usize)>);

impl Tree {
    fn grow(&mut self, beginning: &mut Beginning, step: usize) {
        self.0.push((beginning.last, step));
        beginning.last = Some(self.0.len() - 1);
        beginning.placed.add(step);
    }

    fn order(&self, mut last: Option<usize>) -> Vec<usize> {
        let mut order = Vec::new();
        while let Some(at) = last {
            let (before, step) = self.0[at];
            order.push(step);
            last = before;
        }
        order.reverse();
        order
    }
}

/// Looks for an order of steps that begins with nothing and visits at most so many states.
pub(super) fn explain(steps: &[Step], states_max: usize) -> Result<(), Stuck> {
    let wanted = steps.iter().filter(|step| step.answered.is_some()).count();
    let mut tree = Tree::default();
    let start = Beginning { placed: Placed::none(steps.len()), value: NOTHING, explained: 0, last: None };
    let (mut best, mut seen, mut open) = (start.clone(), HashSet::new(), vec![start]);
    while let Some(mut beginning) = open.pop() {
        absorb(steps, &mut tree, &mut beginning);
        if beginning.explained == wanted {
            return Ok(());
        }
        if beginning.explained > best.explained {
            best = beginning.clone();
        }
        if !seen.insert((beginning.placed.clone(), beginning.value)) {
            continue;
        }
        if seen.len() > states_max {
            return Err(stuck(steps, &tree, &best, true));
        }
        branch(steps, &mut tree, &beginning, &mut open);
    }
    Err(stuck(steps, &tree, &best, false))
}

fn stuck(steps: &[Step], tree: &Tree, best: &Beginning, undecided: bool) -> Stuck {
    let next = next(steps, best).filter(|&step| steps[step].answered.is_some()).collect();
    Stuck { undecided, order: tree.order(best.last), value: best.value, next }
}

/// What may come next: whatever was called before the first answer that is still to come.
fn next(steps: &[Step], beginning: &Beginning) -> impl Iterator<Item = usize> {
    let left = || (0..steps.len()).filter(|&step| !beginning.placed.has(step));
    let first_answer = left().filter_map(|step| steps[step].answered).min().unwrap_or(u64::MAX);
    left().filter(move |&step| steps[step].called < first_answer)
}

/// Places whatever changes nothing and fits.
fn absorb(steps: &[Step], tree: &mut Tree, beginning: &mut Beginning) {
    loop {
        let fits = |&step: &usize| {
            let outcome = steps[step].outcome;
            !outcome.sets() && outcome.apply(beginning.value).is_some()
        };
        let fitting: Vec<usize> = next(steps, beginning).filter(fits).collect();
        if fitting.is_empty() {
            return;
        }
        for step in fitting {
            tree.grow(beginning, step);
            beginning.explained += 1;
        }
    }
}

/// Opens every way to go on. The last one opened is tried first: the one that was answered first.
fn branch(steps: &[Step], tree: &mut Tree, from: &Beginning, open: &mut Vec<Beginning>) {
    let (mut answered, mut unknown): (Vec<usize>, Vec<usize>) =
        next(steps, from).partition(|&step| steps[step].answered.is_some());
    answered.sort_by_key(|&step| std::cmp::Reverse(steps[step].answered));
    unknown.sort_by_key(|&step| (steps[step].outcome, steps[step].called));
    unknown.dedup_by_key(|step| steps[*step].outcome);
    let direct = |step: &&usize| steps[**step].outcome.apply(from.value).is_some();
    for &step in answered.iter().filter(|step| !direct(step)) {
        explain_by_unknown(steps, tree, &unknown, from, step, &mut vec![from.value], open);
    }
    for &step in answered.iter().filter(direct) {
        place(steps, tree, from.clone(), step, open);
    }
}

fn place(steps: &[Step], tree: &mut Tree, mut beginning: Beginning, step: usize, open: &mut Vec<Beginning>) {
    beginning.value = steps[step].outcome.apply(beginning.value).expect("only what fits is placed");
    tree.grow(&mut beginning, step);
    beginning.explained += usize::from(steps[step].answered.is_some());
    open.push(beginning);
}

/// Places operations without an answer, each of which needs the one before it, until the wanted one fits.
fn explain_by_unknown(
    steps: &[Step],
    tree: &mut Tree,
    unknown: &[usize],
    from: &Beginning,
    wanted: usize,
    values: &mut Vec<u32>,
    open: &mut Vec<Beginning>,
) {
    for &step in unknown.iter().filter(|step| !from.placed.has(**step)) {
        let Outcome::Sets { needs, .. } = steps[step].outcome else {
            unreachable!("a get without an answer is left out")
        };
        // Behind the first only one that needs what is there: any other could do without those before it.
        let leans = values.len() == 1 || needs.is_some();
        let Some(value) = steps[step].outcome.apply(from.value).filter(|value| leans && !values.contains(value)) else {
            continue;
        };
        let mut reached = from.clone();
        reached.value = value;
        tree.grow(&mut reached, step);
        if steps[wanted].outcome.apply(value).is_some() {
            place(steps, tree, reached, wanted, open);
            continue;
        }
        values.push(value);
        explain_by_unknown(steps, tree, unknown, &reached, wanted, values, open);
        values.pop();
    }
}

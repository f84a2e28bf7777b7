//! Runs that go from one machine to another, piece by piece: what arrives is what was sent, or it is not taken.

#![allow(clippy::unwrap_used, reason = "a failure here is a failed test")]

mod harness;

use bytes::Bytes;
use cairn_core::LogIndex;
use cairn_rows::{Incoming, Piece, Receiving, Rows, RowsError, RunRef, RunSet};
use harness::*;

/// A machine with two runs of some blocks.
fn sender() -> (Machine, Rows) {
    let mut machine = Machine::new(1);
    let rows = machine.open(&RunSet::empty()).unwrap();
    for prefix in ["a", "b"] {
        fill(&mut machine, &rows, prefix, 300);
        machine.apply(&rows, vec![removal("a000007")]);
        rows.cut(&directories()).unwrap().unwrap();
    }
    (machine, rows)
}

fn pieces(rows: &Rows, name: &RunRef, bytes: usize) -> Vec<Bytes> {
    let mut all = Vec::new();
    let mut next = Some(0);
    while let Some(block) = next {
        let piece: Piece = rows.piece(name.id, block, bytes).unwrap().unwrap();
        next = piece.next;
        all.push(piece.bytes);
    }
    all
}

fn take(incoming: Incoming, pieces: &[Bytes]) -> Result<(), RowsError> {
    let mut incoming = incoming;
    for piece in pieces {
        incoming.write(piece)?;
    }
    incoming.finish()
}

fn take_all(from: &Rows, to: &Rows, bytes: usize) -> Receiving {
    let set = from.run_set();
    let receiving = to.receive(set.runs(), None);
    for name in set.runs() {
        let incoming = receiving.begin(name, &directories()).unwrap();
        take(incoming, &pieces(from, name, bytes)).unwrap();
        assert!(receiving.is_here(name, &directories()));
    }
    receiving
}

#[test]
fn what_was_sent_becomes_the_rows_and_who_reads_goes_on_reading() {
    let (machine, from) = sender();
    let set = from.run_set();
    for bytes in [1, 9_000, 1 << 30] {
        let mut other = Machine::new(2);
        let to = other.open(&RunSet::empty()).unwrap();
        fill(&mut other, &to, "old", 10);
        let before = to.view();
        assert_eq!(pieces(&from, &set.runs()[0], bytes).len() == 1, bytes > 9_000);
        let receiving = take_all(&from, &to, bytes);
        to.install(to.open_set(&set, &directories()).unwrap()).unwrap();
        drop(receiving);
        assert_exact(&machine, &to.view());
        assert_exact(&other, &before);
        assert_eq!(to.run_set(), set);
        // And so after a start.
        let again = Rows::open(other.options(), &set, &directories()).unwrap();
        assert_exact(&machine, &again.view());
        assert!(again.short_of(3).is_empty());
        // The log goes on behind it.
        let next = LogIndex(set.index().0 + 1);
        to.apply(next, &[put("new", "1")]).unwrap();
        assert_eq!(to.view().get(b"new").unwrap().unwrap(), "1");
    }
}

#[test]
fn what_is_changed_on_the_way_is_not_taken() {
    let (_, from) = sender();
    let name = from.run_set().runs()[1];
    let sent = pieces(&from, &name, 5_000);
    assert!(sent.len() > 3, "{} pieces", sent.len());
    let other = Machine::new(3);
    let to = other.open(&RunSet::empty()).unwrap();
    let receiving = to.receive(&[name], None);
    let refused = |pieces: &[Bytes]| {
        let incoming = receiving.begin(&name, &directories()).unwrap();
        let error = take(incoming, pieces).unwrap_err();
        assert!(matches!(error, RowsError::ReadBack(_)), "{error}");
    };
    let absent = || assert!(!receiving.is_here(&name, &directories()));
    for number in 0..sent.len() {
        let mut changed = sent.clone();
        let mut bytes = changed[number].to_vec();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        changed[number] = bytes.into();
        refused(&changed);
        absent();
        let mut short = sent.clone();
        short.remove(number);
        refused(&short);
        absent();
        let mut long = sent.clone();
        long.insert(number, sent[number].clone());
        refused(&long);
    }
    refused(&sent[1..]);
    let set = RunSet::new(name.index, vec![name]).unwrap();
    assert!(matches!(to.open_set(&set, &directories()), Err(RowsError::RunUnavailable { .. })));
    // Whatever was left behind is in nobody's way.
    take(receiving.begin(&name, &directories()).unwrap(), &sent).unwrap();
    assert!(receiving.is_here(&name, &directories()));
}

#[test]
fn nobody_removes_what_comes_until_it_is_given_up() {
    let (_, from) = sender();
    let set = from.run_set();
    let other = Machine::new(4);
    let to = other.open(&RunSet::empty()).unwrap();
    let receiving = take_all(&from, &to, 9_000);
    let left = || run_files(&other, &directories()[0]).len();
    assert_eq!((to.retire(&RunSet::empty(), &directories()).removed, left()), (0, 2));
    // The next offer has one of them still.
    let receiving = to.receive(&set.runs()[..1], Some(receiving));
    assert_eq!((to.retire(&RunSet::empty(), &directories()).removed, left()), (3, 1));
    drop(receiving);
    assert_eq!((to.retire(&RunSet::empty(), &directories()).removed, left()), (3, 0));
}

#[test]
fn a_run_or_a_block_that_is_not_there_is_not_sent() {
    let (_, from) = sender();
    let name = from.run_set().runs()[0];
    let blocks = pieces(&from, &name, 1).len() as u32;
    assert!(from.piece(name.id, blocks, 1).unwrap().is_none());
    assert!(from.piece(name.id, u32::MAX, 1).unwrap().is_none());
    assert!(from.piece(cairn_rows::RunId(4711), 0, 1).unwrap().is_none());
}

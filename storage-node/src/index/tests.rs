//! Both indexes do the same, and a broken database is put away.

use std::collections::BTreeMap;
use std::fs;

use cairn_core::{SessionId, StripeId, WriteId};
use proptest::prelude::*;
use tempfile::TempDir;

use super::generation::next_generation;
use super::*;

const CACHE_BYTES: u64 = 1 << 20;

fn name(counter: u64) -> ChunkName {
    let write = WriteId { session: SessionId(counter % 3), counter };
    ChunkName { stripe: StripeId(write), position: (counter % 5) as u8, write }
}

fn place(number: u64) -> Place {
    Place { segment: number as u32, offset: number * 4096, length: 5000 + number }
}

#[derive(Debug, Clone)]
enum Step {
    Insert(u64, u64),
    Remove(u64),
    Get(u64),
    Page(Option<u64>, usize),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        (0u64..50, 0u64..1000).prop_map(|(name, place)| Step::Insert(name, place)),
        (0u64..50).prop_map(Step::Remove),
        (0u64..50).prop_map(Step::Get),
        (prop::option::of(0u64..50), 0usize..20).prop_map(|(after, limit)| Step::Page(after, limit)),
    ]
}

fn does_as_a_map_does(index: &dyn ChunkIndex, steps: &[Step]) {
    let mut model = BTreeMap::new();
    for step in steps {
        match *step {
            Step::Insert(n, p) => {
                assert_eq!(index.insert(&name(n), place(p)).unwrap(), model.insert(name(n), place(p)));
            }
            Step::Remove(n) => assert_eq!(index.remove(&name(n)).unwrap(), model.remove(&name(n))),
            Step::Get(n) => assert_eq!(index.get(&name(n)).unwrap(), model.get(&name(n)).copied()),
            Step::Page(after, limit) => {
                let after = after.map(name);
                let behind = model.iter().filter(|(name, _)| after.is_none_or(|after| **name > after));
                let expected: Vec<_> = behind.take(limit).map(|(name, place)| (*name, *place)).collect();
                assert_eq!(index.page(after.as_ref(), limit).unwrap(), expected);
            }
        }
        assert_eq!(index.count().unwrap(), model.len() as u64);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn an_index_in_memory_does_as_a_map_does(steps in prop::collection::vec(step(), 1..200)) {
        does_as_a_map_does(&MemoryIndex::default(), &steps);
    }

    #[test]
    fn an_index_in_sled_does_as_a_map_does(steps in prop::collection::vec(step(), 1..200)) {
        let dir = TempDir::new().unwrap();
        does_as_a_map_does(&SledIndex::open(dir.path(), CACHE_BYTES).unwrap(), &steps);
    }
}

#[test]
fn a_generation_is_found_again() {
    let dir = TempDir::new().unwrap();
    let first = open_generation(dir.path(), CACHE_BYTES).unwrap();
    assert_eq!((first.number, first.quarantined), (1, None));
    first.index.insert(&name(1), place(1)).unwrap();
    drop(first.index);
    let again = open_generation(dir.path(), CACHE_BYTES).unwrap();
    assert_eq!(again.number, 1);
    assert_eq!(again.index.get(&name(1)).unwrap(), Some(place(1)));
}

/// Whatever stands where the database should be, an empty index comes of it.
#[test]
fn a_generation_that_cannot_be_opened_is_put_away() {
    let dir = TempDir::new().unwrap();
    drop(open_generation(dir.path(), CACHE_BYTES).unwrap());
    for round in 1..4 {
        let database = dir.path().join(format!("gen-{round}"));
        match round {
            1 => fs::write(database.join("conf"), "rubbish").unwrap(),
            2 => {
                fs::remove_dir_all(&database).unwrap();
                fs::write(&database, "a file").unwrap();
            }
            _ => fs::write(database.join("db"), vec![0xA5; 700_000]).unwrap(),
        }
        let next = open_generation(dir.path(), CACHE_BYTES).unwrap();
        // sled may also pass over what it cannot read in silence; that index is empty, and reconciliation fills it.
        if next.quarantined.is_some() {
            assert_eq!(next.number, round + 1);
            assert!(dir.path().join(format!("broken-{round}")).exists());
        }
        assert_eq!(next.index.count().unwrap(), 0);
        if next.quarantined.is_none() {
            drop(next.index);
            let failed = open_generation(dir.path(), CACHE_BYTES).unwrap();
            drop(failed.index);
            next_generation(dir.path(), round, CACHE_BYTES, "by hand".to_owned()).unwrap();
        }
    }
    let kept =
        fs::read_dir(dir.path()).unwrap().flatten().filter(|e| e.file_name().to_string_lossy().starts_with("br"));
    assert_eq!(kept.count(), 1, "only the newest failure is kept");
}

#[test]
fn a_pointer_that_cannot_be_read_means_an_empty_index() {
    let dir = TempDir::new().unwrap();
    let first = open_generation(dir.path(), CACHE_BYTES).unwrap();
    first.index.insert(&name(1), place(1)).unwrap();
    drop(first.index);
    for rubbish in ["", "-1", "99999999999999999999999", "x\n"] {
        fs::write(dir.path().join("current"), rubbish).unwrap();
        let next = open_generation(dir.path(), CACHE_BYTES).unwrap();
        assert_eq!(next.index.count().unwrap(), 0, "{rubbish:?}");
    }
}

//! The rows of one table as one entry sees them: decoded once, however many operations read them, and encoded once,
//! however many change them. A busy ledger, session or stripe costs an entry of a thousand operations one row.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::rc::Rc;

use bytes::Bytes;

use crate::row::Row;

/// What is known of one row.
#[derive(Debug)]
pub(crate) struct Entry<R> {
    /// The row as it is now; none where there is none.
    pub(crate) row: Option<Rc<R>>,
    /// Whether the rows below have one under this key; none where nobody looked.
    pub(crate) below: Option<bool>,
    /// Whether an operation of this entry wrote it.
    dirty: bool,
    /// The last operation that touched it, so that each row counts once for each operation.
    touched: u64,
}

/// One table.
#[derive(Debug)]
pub(crate) struct TableRows<R: Row> {
    entries: BTreeMap<Bytes, Entry<R>>,
    /// What stood here before the running operation wrote, oldest first.
    undo: Vec<(Bytes, Option<Entry<R>>)>,
}

impl<R: Row> Default for TableRows<R> {
    fn default() -> Self {
        Self { entries: BTreeMap::new(), undo: Vec::new() }
    }
}

impl<R: Row> TableRows<R> {
    fn find(&mut self, key: &[u8]) -> Option<(&Bytes, &mut Entry<R>)> {
        self.entries.range_mut::<[u8], _>((Bound::Included(key), Bound::Included(key))).next()
    }

    /// What is known of a row, and whether this operation touches it for the first time.
    pub(crate) fn touch(&mut self, key: &[u8], operation: u64) -> Option<(Option<Rc<R>>, bool)> {
        let entry = self.entries.get_mut(key)?;
        let first = entry.touched != operation;
        entry.touched = operation;
        Some((entry.row.clone(), first))
    }

    /// Remembers what the rows below have.
    pub(crate) fn remember(&mut self, key: Bytes, row: Option<Rc<R>>, operation: u64) {
        let below = Some(row.is_some());
        self.entries.insert(key, Entry { row, below, dirty: false, touched: operation });
    }

    /// Writes a row, or removes it. Says whether this operation touches it for the first time.
    pub(crate) fn write(&mut self, key: &[u8], row: Option<Rc<R>>, operation: u64) -> bool {
        let Some((key, entry)) = self.find(key) else {
            let key = Bytes::copy_from_slice(key);
            self.undo.push((key.clone(), None));
            self.entries.insert(key, Entry { row, below: None, dirty: true, touched: operation });
            return true;
        };
        let first = entry.touched != operation;
        let now = Entry { row, below: entry.below, dirty: true, touched: operation };
        let undo = (key.clone(), Some(core::mem::replace(entry, now)));
        self.undo.push(undo);
        first
    }

    /// The rows under a prefix that this entry knows of, from a key on, in order.
    pub(crate) fn known<'a>(
        &'a self,
        prefix: &'a [u8],
        from: &'a [u8],
    ) -> impl Iterator<Item = (&'a Bytes, &'a Entry<R>)> + use<'a, R> {
        self.entries
            .range::<[u8], _>((Bound::Included(from), Bound::Unbounded))
            .take_while(move |(key, _)| key.starts_with(prefix))
    }

    /// Whether this entry knows of a row.
    pub(crate) fn knows(&self, key: &[u8]) -> bool {
        self.entries.contains_key(key)
    }

    /// The running operation is done: what it wrote stays.
    pub(crate) fn keep(&mut self) {
        self.undo.clear();
    }

    /// The running operation is refused: what it wrote goes.
    pub(crate) fn roll_back(&mut self) {
        while let Some((key, before)) = self.undo.pop() {
            match before {
                Some(entry) => self.entries.insert(key, entry),
                None => self.entries.remove(&key),
            };
        }
    }

    /// What the entry changed, in order of the keys. A row that came and went inside the entry is no change.
    pub(crate) fn into_effects(self, effects: &mut Vec<(Bytes, Option<Bytes>)>, buffer: &mut Vec<u8>) {
        assert!(self.undo.is_empty(), "an operation is kept or rolled back before its entry ends");
        for (key, entry) in self.entries {
            match entry.row {
                _ if !entry.dirty => {}
                Some(row) => {
                    buffer.clear();
                    row.encode_into(buffer);
                    effects.push((key, Some(Bytes::copy_from_slice(buffer))));
                }
                None if entry.below == Some(false) => {}
                None => effects.push((key, None)),
            }
        }
    }
}

//! What the server may hold: what it acknowledged, and what it was asked for without an answer.

use std::collections::BTreeMap;

use bytes::Bytes;

/// One key.
#[derive(Debug, Clone, Default)]
struct Expected {
    acknowledged: Option<Bytes>,
    maybe: Vec<Option<Bytes>>,
}

/// All keys.
#[derive(Debug, Default)]
pub struct Model {
    keys: BTreeMap<String, Expected>,
}

impl Model {
    /// A write (or a delete, without a body) was answered with success, or not at all.
    pub fn wrote(&mut self, key: &str, body: Option<Bytes>, acknowledged: bool) {
        let expected = self.keys.entry(key.to_owned()).or_default();
        if acknowledged {
            *expected = Expected { acknowledged: body, maybe: Vec::new() };
        } else {
            expected.maybe.push(body);
        }
    }

    /// The keys that were ever written.
    pub fn keys(&self) -> Vec<String> {
        self.keys.keys().cloned().collect()
    }

    /// Something was read: it must be what was acknowledged, or what may have happened since; and stays that.
    pub fn read(&mut self, key: &str, found: Option<Bytes>) {
        let expected = self.keys.entry(key.to_owned()).or_default();
        let fits = found == expected.acknowledged || expected.maybe.contains(&found);
        assert!(
            fits,
            "{key}: found {:?} bytes, acknowledged were {:?}",
            found.as_ref().map(Bytes::len),
            expected.acknowledged.as_ref().map(Bytes::len)
        );
        *expected = Expected { acknowledged: found, maybe: Vec::new() };
    }

    /// The keys that a listing must show.
    pub fn present(&self) -> Vec<String> {
        let settled = self.keys.iter().inspect(|(key, expected)| {
            assert!(expected.maybe.is_empty(), "{key} was not read since a write without an answer");
        });
        settled.filter(|(_, expected)| expected.acknowledged.is_some()).map(|(key, _)| key.clone()).collect()
    }
}

//! Invariant 3: old or new, never a mixture. And invariant 12, as far as rows can say it.

use std::collections::BTreeMap;

use super::Loaded;
use crate::rows::bucket::Versioning;

/// Each bucket has a name that leads to it, and a ledger; each name leads to a bucket.
pub(super) fn buckets_have_one_name(rows: &Loaded, found: &mut Vec<String>) {
    for (id, bucket) in &rows.buckets {
        if rows.names.get(&bucket.name).is_none_or(|name| name.id != *id) {
            found.push(format!("{id:?} is called {} and the name leads elsewhere", bucket.name));
        }
        if !rows.bucket_ledgers.contains_key(id) {
            found.push(format!("{id:?} has no ledger"));
        }
    }
    for (name, row) in &rows.names {
        if !rows.buckets.contains_key(&row.id) {
            found.push(format!("the name {name} leads to {:?}, which is not there", row.id));
        }
    }
    for id in rows.bucket_ledgers.keys() {
        if !rows.buckets.contains_key(id) {
            found.push(format!("a ledger of {id:?}, which is not there"));
        }
    }
}

/// An older version is older than the newest one of its key, which is there, in a bucket that is there.
pub(super) fn newest_is_newest(rows: &Loaded, found: &mut Vec<String>) {
    for (bucket, key) in rows.newest.keys() {
        if !rows.buckets.contains_key(bucket) {
            found.push(format!("{key:?} in {bucket:?}, which is not there"));
        }
    }
    for ((bucket, key, version), older) in &rows.older {
        match rows.newest.get(&(*bucket, key.clone())) {
            None => found.push(format!("{key:?} in {bucket:?} has older versions and no newest one")),
            Some(newest) if newest.version <= *version => {
                found.push(format!("version {version} of {key:?} is not older than the newest, {}", newest.version));
            }
            Some(_) => {}
        }
        if older.0.version != *version {
            found.push(format!("version {version} of {key:?} says that it is {}", older.0.version));
        }
    }
}

/// At most one version of a key is null, and the newest row knows which of the older ones it is.
pub(super) fn one_null_version_per_key(rows: &Loaded, found: &mut Vec<String>) {
    let mut older_nulls = BTreeMap::new();
    for ((bucket, key, version), older) in &rows.older {
        if older.0.older_null.is_some() {
            found.push(format!("version {version} of {key:?} is old and points to a null version"));
        }
        if older.0.null && older_nulls.insert((*bucket, key.clone()), *version).is_some() {
            found.push(format!("{key:?} in {bucket:?} has two null versions among the older ones"));
        }
    }
    for (name, newest) in &rows.newest {
        let older = older_nulls.get(name).copied();
        if newest.older_null != older {
            found.push(format!("{:?} says null is {:?}, and it is {older:?}", name.1, newest.older_null));
        }
        if newest.null && older.is_some() {
            found.push(format!("{:?} is null in its newest version and in an older one", name.1));
        }
    }
}

/// A bucket whose versions can be locked keeps versions, and only in such a bucket is anything locked.
pub(super) fn locks_stand_on_versions(rows: &Loaded, found: &mut Vec<String>) {
    for (id, bucket) in &rows.buckets {
        if bucket.lock.is_some() && bucket.versioning != Versioning::Enabled {
            found.push(format!("{id:?} has a lock, and its versions are {:?}", bucket.versioning));
        }
    }
    let newest = rows.newest.iter().map(|((bucket, key), row)| (bucket, key, row));
    let older = rows.older.iter().map(|((bucket, key, _), row)| (bucket, key, &row.0));
    for (bucket, key, row) in newest.chain(older) {
        let locked = row.object().is_some_and(|(attributes, _)| attributes.lock.is_some());
        if locked && rows.buckets.get(bucket).is_none_or(|bucket| bucket.lock.is_none()) {
            found.push(format!("version {} of {key:?} is locked, and {bucket:?} has no lock", row.version));
        }
    }
}

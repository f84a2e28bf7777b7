//! Objects: this is where a PUT happens, and a DELETE.
//!
//! ```text
//!                    newest (table Object)        older (table OlderVersion), newest first
//! Off                null                         -
//! Enabled            each write adds one          what it replaces moves here
//! Suspended          null                         what is not null moves here; the null version is replaced, wherever
//!                                                 it stands
//! ```
//!
//! A delete without a version leaves a marker where versions are kept, and removes the null version where they are not. A
//! delete of a version removes it for good, and the next older one becomes the newest. At most one version of a key is
//! null, and the newest row knows which.
//!
//! Every version that goes, goes through [`Object::give_up`]: there it is asked whether something keeps it (invariant 12).

use std::rc::Rc;

use bytes::Bytes;
use cairn_core::{BucketId, ObjectKey, SessionId, VersionId};

use crate::apply::condition::judge;
use crate::apply::content;
use crate::apply::context::Context;
use crate::apply::here::Owner;
use crate::apply::session::alive;
use crate::apply::transaction::{Stop, Transaction, malformed};
use crate::operation::{Conditions, NewContent, VersionChoice};
use crate::outcome::{Outcome, Refusal};
use crate::row::{Row, Table, write_terminated};
use crate::rows::acl::Acl;
use crate::rows::bucket::{BucketLedgerRow, BucketRow, Versioning};
use crate::rows::lock::{BucketLock, Bypass, Retention, VersionLock};
use crate::rows::object::{Attributes, ObjectRow, OlderVersionRow, VersionKind};
use crate::rows::upload::UploadId;
use crate::source::RowSource;

/// The most bytes of headers, metadata and tags of one version: well above what S3 lets a request bring.
pub(crate) const ATTRIBUTES_BYTES_MAX: usize = 32 * 1024;

/// Makes a version. Where it is an upload's, its content is a manifest of that upload's parts.
#[expect(clippy::too_many_arguments, reason = "an operation's fields, each of a type of its own")]
pub(crate) fn put<S: RowSource + ?Sized>(
    rows: &mut Transaction<'_, S>,
    context: &Context<'_>,
    bucket: BucketId,
    key: &ObjectKey,
    attributes: &Attributes,
    content: &NewContent,
    of: Option<UploadId>,
    conditions: &Conditions,
    session: SessionId,
) -> Result<Outcome, Stop> {
    judge_attributes(attributes)?;
    let mut object = Object::open(rows, bucket, key)?;
    judge(conditions, object.newest.as_deref())?;
    alive(rows, session)?;
    // What comes is counted before what goes: a copy onto itself must not lose its own bytes in between.
    let owner = Owner { bucket, key, version: Some(context.version()), part: None };
    let (content, bytes) = content::take_over(rows, context, attributes.profile, owner, content, of, session)?;
    if bytes != attributes.size {
        return Err(malformed("the size is not that of the bytes"));
    }
    let null = object.versioning != Versioning::Enabled;
    let mut attributes = attributes.clone();
    attributes.lock = object.lock_of_new(attributes.lock, context)?;
    let kind = VersionKind::Object { attributes, content };
    let version = object.add(rows, context, kind, null)?;
    object.close(rows)?;
    Ok(Outcome::Put { version, null, modified: context.time })
}

/// A version by its id, wherever it stands.
pub(crate) fn find<S: RowSource + ?Sized>(
    rows: &mut Transaction<'_, S>,
    bucket: BucketId,
    key: &ObjectKey,
    version: VersionId,
) -> Result<Option<Rc<ObjectRow>>, Stop> {
    match rows.get_at::<ObjectRow>(&newest_key(bucket, key))? {
        Some(newest) if newest.version == version => Ok(Some(newest)),
        Some(_) => {
            let older = rows.get_at::<OlderVersionRow>(&older_key(bucket, key, version))?;
            Ok(older.map(|row| Rc::new(row.0.clone())))
        }
        None => Ok(None),
    }
}

pub(crate) fn delete<S: RowSource + ?Sized>(
    rows: &mut Transaction<'_, S>,
    context: &Context<'_>,
    bucket: BucketId,
    key: &ObjectKey,
    choice: VersionChoice,
    conditions: &Conditions,
    bypass: Option<Bypass>,
) -> Result<Outcome, Stop> {
    let mut object = Object::open(rows, bucket, key)?;
    let (version, null, marker) = match (choice, object.versioning) {
        (VersionChoice::Newest, Versioning::Enabled | Versioning::Suspended) => {
            judge(conditions, object.newest.as_deref())?;
            let null = object.versioning == Versioning::Suspended;
            let version = object.add(rows, context, VersionKind::DeleteMarker, null)?;
            (Some(version), null, true)
        }
        (choice, _) => {
            let wanted = object.choose(choice);
            let row = match wanted {
                Some(version) => object.version(rows, version)?,
                None => None,
            };
            judge(conditions, row.as_deref())?;
            match row {
                Some(row) => {
                    object.remove(rows, context, &row, bypass)?;
                    (Some(row.version), row.null, row.object().is_none())
                }
                None => (None, choice == VersionChoice::Null, false),
            }
        }
    };
    object.close(rows)?;
    Ok(Outcome::Deleted { version, null, marker })
}

fn judge_attributes(attributes: &Attributes) -> Result<(), Stop> {
    if attributes.acl.as_ref().is_some_and(|acl| !acl.is_bounded()) {
        return Err(malformed("a longer list than a version has"));
    }
    if attributes.weight() > ATTRIBUTES_BYTES_MAX {
        return Err(malformed("more attributes than a version holds"));
    }
    Ok(())
}

/// A version that something is to be said about: bucket, key, and which one.
type Named<'k> = (BucketId, &'k ObjectKey, VersionChoice);

/// Changes what is said about a version. Its bytes, its id and its `Last-Modified` stay.
fn amend<S: RowSource + ?Sized>(
    rows: &mut Transaction<'_, S>,
    (bucket, key, choice): Named<'_>,
    change: impl FnOnce(&mut Attributes, Option<BucketLock>) -> Result<(), Stop>,
) -> Result<Outcome, Stop> {
    let object = Object::open(rows, bucket, key)?;
    let absent = || match choice {
        VersionChoice::Newest => Refusal::NoSuchKey,
        VersionChoice::Null | VersionChoice::Exactly(_) => Refusal::NoSuchVersion,
    };
    let wanted = object.choose(choice).ok_or_else(absent)?;
    let mut row = (*object.version(rows, wanted)?.ok_or_else(absent)?).clone();
    let VersionKind::Object { attributes, .. } = &mut row.kind else {
        return Err(match choice {
            VersionChoice::Newest => Refusal::NoSuchKey,
            _ => Refusal::Marker,
        }
        .into());
    };
    change(attributes, object.lock)?;
    judge_attributes(attributes)?;
    let (version, null) = (row.version, row.null);
    if object.newest.as_deref().is_some_and(|newest| newest.version == version) {
        rows.put_at(&object.newest_key, row)?;
    } else {
        rows.put_at(&older_key(bucket, key, version), OlderVersionRow(row))?;
    }
    Ok(Outcome::Amended { version, null })
}

pub(crate) fn set_tags<S: RowSource + ?Sized>(
    rows: &mut Transaction<'_, S>,
    named: Named<'_>,
    tags: Option<&Vec<(String, String)>>,
) -> Result<Outcome, Stop> {
    amend(rows, named, |attributes, _| {
        attributes.tags = tags.cloned();
        Ok(())
    })
}

pub(crate) fn set_acl<S: RowSource + ?Sized>(
    rows: &mut Transaction<'_, S>,
    named: Named<'_>,
    acl: Option<&Acl>,
) -> Result<Outcome, Stop> {
    amend(rows, named, |attributes, _| {
        attributes.acl = acl.cloned();
        Ok(())
    })
}

pub(crate) fn set_retention<S: RowSource + ?Sized>(
    rows: &mut Transaction<'_, S>,
    context: &Context<'_>,
    named: Named<'_>,
    retention: Option<Retention>,
    bypass: Option<Bypass>,
) -> Result<Outcome, Stop> {
    amend(rows, named, |attributes, of_bucket| {
        of_bucket.ok_or(Refusal::NoLock)?;
        let lock = attributes.lock.unwrap_or_default();
        if !lock.allows(retention, context.sure_time, bypass) {
            return Err(Refusal::Locked.into());
        }
        attributes.lock = Some(VersionLock { retention, ..lock });
        Ok(())
    })
}

pub(crate) fn set_legal_hold<S: RowSource + ?Sized>(
    rows: &mut Transaction<'_, S>,
    named: Named<'_>,
    held: bool,
) -> Result<Outcome, Stop> {
    amend(rows, named, |attributes, of_bucket| {
        of_bucket.ok_or(Refusal::NoLock)?;
        attributes.lock = Some(VersionLock { legal_hold: Some(held), ..attributes.lock.unwrap_or_default() });
        Ok(())
    })
}

/// One key of one bucket while an operation changes it.
struct Object<'k> {
    bucket: BucketId,
    key: &'k ObjectKey,
    newest_key: Bytes,
    newest: Option<Rc<ObjectRow>>,
    versioning: Versioning,
    lock: Option<BucketLock>,
    before: BucketLedgerRow,
    ledger: BucketLedgerRow,
}

impl<'k> Object<'k> {
    fn open<S: RowSource + ?Sized>(
        rows: &mut Transaction<'_, S>,
        bucket: BucketId,
        key: &'k ObjectKey,
    ) -> Result<Self, Stop> {
        let row = rows.get::<BucketRow>(&bucket)?.ok_or(Refusal::NoSuchBucket)?;
        let ledger = *rows.must::<BucketLedgerRow>(&bucket)?;
        let newest_key = newest_key(bucket, key);
        let newest = rows.get_at::<ObjectRow>(&newest_key)?;
        let (versioning, lock) = (row.versioning, row.lock);
        Ok(Self { bucket, key, newest_key, newest, versioning, lock, before: ledger, ledger })
    }

    /// What keeps a new version: what its writer said, and where it said nothing of retention, what the bucket says.
    fn lock_of_new(&self, said: Option<VersionLock>, context: &Context<'_>) -> Result<Option<VersionLock>, Stop> {
        let Some(of_bucket) = self.lock else {
            return if said.is_some() { Err(Refusal::NoLock.into()) } else { Ok(None) };
        };
        let default = of_bucket.default.map(|default| default.from(context.time));
        let Some(said) = said else {
            return Ok(default.map(|retention| VersionLock { retention: Some(retention), legal_hold: None }));
        };
        Ok(Some(VersionLock { retention: said.retention.or(default), ..said }))
    }

    fn close<S: RowSource + ?Sized>(self, rows: &mut Transaction<'_, S>) -> Result<(), Stop> {
        if self.ledger == self.before { Ok(()) } else { rows.put(&self.bucket, self.ledger) }
    }

    /// Makes a version the newest one.
    fn add<S: RowSource + ?Sized>(
        &mut self,
        rows: &mut Transaction<'_, S>,
        context: &Context<'_>,
        kind: VersionKind,
        null: bool,
    ) -> Result<VersionId, Stop> {
        let version = context.version();
        let mut older_null = None;
        if let Some(replaced) = self.newest.clone() {
            assert!(replaced.version < version, "invariant 3: versions come in the order of the log");
            older_null = if replaced.null { Some(replaced.version) } else { replaced.older_null };
            match older_null {
                Some(_) if null && replaced.null => self.give_up(rows, context, &replaced, None)?,
                Some(old) if null => {
                    self.demote(rows, &replaced)?;
                    let key = older_key(self.bucket, self.key, old);
                    let row = rows.get_at::<OlderVersionRow>(&key)?.ok_or_else(|| missing(&key))?;
                    rows.remove_at::<OlderVersionRow>(&key)?;
                    self.give_up(rows, context, &row.0, None)?;
                }
                _ => self.demote(rows, &replaced)?,
            }
            if null {
                older_null = None;
            }
            if replaced.object().is_some() {
                self.ledger.objects -= 1;
            }
        }
        if let VersionKind::Object { attributes, .. } = &kind {
            self.ledger.objects += 1;
            self.ledger.bytes += attributes.size;
        }
        self.ledger.versions += 1;
        rows.put_at(&self.newest_key, ObjectRow { version, null, modified: context.time, kind, older_null })?;
        Ok(version)
    }

    /// The newest version becomes an older one.
    fn demote<S: RowSource + ?Sized>(&self, rows: &mut Transaction<'_, S>, row: &ObjectRow) -> Result<(), Stop> {
        let older = OlderVersionRow(ObjectRow { older_null: None, ..row.clone() });
        rows.put_at(&older_key(self.bucket, self.key, row.version), older)
    }

    /// A version is no more, unless something keeps it: what it referred to is released, and the ledger knows.
    fn give_up<S: RowSource + ?Sized>(
        &mut self,
        rows: &mut Transaction<'_, S>,
        context: &Context<'_>,
        row: &ObjectRow,
        bypass: Option<Bypass>,
    ) -> Result<(), Stop> {
        let lock = row.object().and_then(|(attributes, _)| attributes.lock);
        if lock.is_some_and(|lock| lock.keeps(context.sure_time, bypass)) {
            return Err(Refusal::Locked.into());
        }
        let less = "invariant 11: a bucket counts every version";
        self.ledger.versions = self.ledger.versions.checked_sub(1).expect(less);
        let Some((attributes, content)) = row.object() else { return Ok(()) };
        self.ledger.bytes = self.ledger.bytes.checked_sub(attributes.size).expect(less);
        content::release(rows, context, content)
    }

    /// Which version a client means, if there may be one.
    fn choose(&self, choice: VersionChoice) -> Option<VersionId> {
        let newest = self.newest.as_deref()?;
        match choice {
            VersionChoice::Newest => Some(newest.version),
            VersionChoice::Null if newest.null => Some(newest.version),
            VersionChoice::Null => newest.older_null,
            VersionChoice::Exactly(version) => Some(version),
        }
    }

    fn version<S: RowSource + ?Sized>(
        &self,
        rows: &mut Transaction<'_, S>,
        version: VersionId,
    ) -> Result<Option<Rc<ObjectRow>>, Stop> {
        find(rows, self.bucket, self.key, version)
    }

    /// Removes one version for good. Where it was the newest, the next older one takes its place.
    fn remove<S: RowSource + ?Sized>(
        &mut self,
        rows: &mut Transaction<'_, S>,
        context: &Context<'_>,
        row: &ObjectRow,
        bypass: Option<Bypass>,
    ) -> Result<(), Stop> {
        let newest = self.newest.clone().expect("where there is a version there is a newest one");
        self.give_up(rows, context, row, bypass)?;
        if newest.version != row.version {
            rows.remove_at::<OlderVersionRow>(&older_key(self.bucket, self.key, row.version))?;
            if row.null {
                let without = ObjectRow { older_null: None, ..(*newest).clone() };
                rows.put_at(&self.newest_key, without)?;
            }
            return Ok(());
        }
        if row.object().is_some() {
            self.ledger.objects -= 1;
        }
        let prefix = older_prefix(self.bucket, self.key);
        // A bucket that never kept versions has none to look for.
        let next = match self.versioning {
            Versioning::Off => None,
            _ => rows.first::<OlderVersionRow>(&prefix, 1)?.pop(),
        };
        let Some((key, next)) = next else {
            return rows.remove_at::<ObjectRow>(&self.newest_key);
        };
        rows.remove_at::<OlderVersionRow>(&key)?;
        let next = &next.0;
        if next.object().is_some() {
            self.ledger.objects += 1;
        }
        let older_null = newest.older_null.filter(|&null| null != next.version);
        rows.put_at(&self.newest_key, ObjectRow { older_null, ..next.clone() })
    }
}

fn newest_key(bucket: BucketId, key: &ObjectKey) -> Bytes {
    let mut bytes = Vec::with_capacity(1 + BucketId::BYTES + key.as_str().len());
    bytes.push(Table::Object as u8);
    bytes.extend_from_slice(&bucket.to_bytes());
    bytes.extend_from_slice(key.as_str().as_bytes());
    Bytes::from(bytes)
}

fn older_key(bucket: BucketId, key: &ObjectKey, version: VersionId) -> Bytes {
    OlderVersionRow::key(&(bucket, key.clone(), version))
}

/// What the keys of all older versions of a key begin with.
fn older_prefix(bucket: BucketId, key: &ObjectKey) -> Vec<u8> {
    let mut prefix = vec![Table::OlderVersion as u8];
    prefix.extend_from_slice(&bucket.to_bytes());
    write_terminated(key.as_str().as_bytes(), &mut prefix);
    prefix
}

fn missing(key: &[u8]) -> Stop {
    Stop::Rows(crate::source::RowError::missing::<OlderVersionRow>(key))
}

//! Everything about a bucket that decides who may do what, in one view of the rows.

use cairn_core::{BucketId, ObjectKey, VersionId};
use cairn_machine::operation::VersionChoice;
use cairn_machine::row::Row;
use cairn_machine::rows::acl::{Acl, Grant, Grantee, Permission};
use cairn_machine::rows::bucket::BucketRow;
use cairn_machine::rows::config::{BucketConfig, BucketConfigRow, ConfigKind, Ownership, PublicAccessBlock};
use cairn_machine::rows::object::Attributes;
use cairn_metadata::{View, query};

use super::demands::{self, Demand, Need};
use super::facts::Facts;
use super::policy::{Effect, Policy};
use super::{Identity, lists};
use crate::fault::Fault;

/// What is known of a bucket.
#[derive(Debug)]
pub struct Situation {
    view: View,
    id: BucketId,
    name: String,
    /// Who owns it.
    pub owner: String,
    acl: Option<Acl>,
    policy: Option<Policy>,
    /// What is kept from the public.
    pub block: PublicAccessBlock,
    /// Who owns what others put; lists count where nothing was said.
    pub ownership: Option<Ownership>,
}

/// An object that somebody asks for.
#[derive(Debug, Clone, Copy)]
pub struct Wanted<'a> {
    /// Its key.
    pub key: &'a str,
    /// Its version, if one is named.
    pub version: Option<&'a str>,
}

/// The version that was judged. What is read afterwards must be the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Judged(pub VersionId);

fn config(view: &View, id: BucketId, kind: ConfigKind) -> Result<Option<BucketConfig>, Fault> {
    Ok(BucketConfigRow::get(view, &(id, kind))?.map(|row| row.config))
}

/// The owner of a bucket. What was written here before there were users is the name of a key; such a bucket belongs to the
/// owner of the cluster.
pub fn owner_of(row: &BucketRow, cluster_owner: &str) -> String {
    if is_user_id(&row.owner) { row.owner.clone() } else { cluster_owner.to_owned() }
}

/// Whether a bucket's row names a user, and not, as it did before there were any, a key.
pub fn is_user_id(owner: &str) -> bool {
    owner.len() == 64 && owner.bytes().all(|byte| byte.is_ascii_hexdigit())
}

impl Situation {
    /// Reads it.
    pub fn read(view: View, id: BucketId, row: &BucketRow, cluster_owner: &str) -> Result<Self, Fault> {
        let acl = match config(&view, id, ConfigKind::Acl)? {
            Some(BucketConfig::Acl(acl)) => Some(acl),
            _ => None,
        };
        let policy = match config(&view, id, ConfigKind::Policy)? {
            Some(BucketConfig::Policy(document)) => Some(Policy::parse(&document, row.name.as_str())?),
            _ => None,
        };
        let block = match config(&view, id, ConfigKind::PublicAccess)? {
            Some(BucketConfig::PublicAccess(block)) => block,
            _ => PublicAccessBlock::default(),
        };
        let ownership = match config(&view, id, ConfigKind::Ownership)? {
            Some(BucketConfig::Ownership(ownership)) => Some(ownership),
            _ => None,
        };
        let (name, owner) = (row.name.as_str().to_owned(), owner_of(row, cluster_owner));
        Ok(Self { view, id, name, owner, acl, policy, block, ownership })
    }

    fn object(&self, wanted: Wanted<'_>) -> Result<Option<(Attributes, VersionId)>, Fault> {
        let Ok(key) = ObjectKey::new(wanted.key.to_owned()) else { return Ok(None) };
        let choice = match wanted.version {
            None => VersionChoice::Newest,
            Some("null") => VersionChoice::Null,
            Some(id) => match id.parse() {
                Ok(version) => VersionChoice::Exactly(version),
                Err(_) => return Ok(None),
            },
        };
        let row = query::version(&self.view, self.id, &key, choice)?;
        Ok(row.and_then(|row| row.object().map(|(attributes, _)| (attributes.clone(), row.version))))
    }

    /// Whether a demand is met. The version is given where its own list or tags decided.
    pub fn allows(
        &self,
        identity: &Identity,
        demand: &Demand,
        wanted: Option<Wanted<'_>>,
        facts: &Facts<'_>,
    ) -> Result<(bool, Option<Judged>), Fault> {
        if identity.is_root() {
            return Ok((true, None));
        }
        let about = wanted.filter(|_| demand.object);
        let looks = matches!(demand.need, Need::Object(_)) || self.policy.as_ref().is_some_and(Policy::asks_for_tags);
        let object = match about.filter(|_| looks) {
            Some(wanted) => self.object(wanted)?,
            None => None,
        };
        let attributes = object.as_ref().map(|(attributes, _)| attributes);
        let judged = object.as_ref().map(|(_, version)| Judged(*version));
        let action = match about.and_then(|wanted| wanted.version) {
            Some(_) => demand.of_version,
            None => demand.action,
        };
        let mine = identity.id() == Some(self.owner.as_str());
        let effect = self.effect(identity, action, about, &facts.of_object(attributes));
        if effect == Effect::Deny && !(mine && demands::is_for_owner_always(action)) {
            return Ok((false, None));
        }
        if let (Need::Object(_), Some(_), None) = (demand.need, about, attributes) {
            // Whether there is such an object is for whoever may list it to know: policies may narrow what is listed by
            // its prefix, and the longest prefix that shows an object is its key.
            let facts = about.map(|wanted| facts.of_listing(wanted.key));
            let facts = facts.expect("an object that was looked for has a key");
            return Ok((self.allows(identity, &demands::LIST, None, &facts)?.0, None));
        }
        let restricted = self.block.restrict && self.policy.as_ref().is_some_and(Policy::is_public);
        if effect == Effect::Allow && (mine || !restricted) {
            return Ok((true, judged));
        }
        let granted = match demand.need {
            Need::Signature => identity.id().is_some(),
            Need::Owner => mine,
            Need::Bucket(permission) => mine || self.grants(self.acl.as_ref(), identity, permission),
            Need::Object(permission) => {
                let acl = attributes.and_then(|attributes| attributes.acl.as_ref());
                let owner = acl.and_then(|acl| acl.owner.as_deref()).filter(|_| self.lists_count());
                match owner {
                    None if mine => true,
                    Some(owner) if identity.id() == Some(owner) => true,
                    _ => self.grants(acl, identity, permission),
                }
            }
        };
        Ok((granted, judged))
    }

    /// The bucket's list.
    pub fn acl(&self) -> Option<&Acl> {
        self.acl.as_ref()
    }

    /// The bucket's policy.
    pub fn policy(&self) -> Option<&Policy> {
        self.policy.as_ref()
    }

    /// Whether a grant is for the owner.
    pub fn is_owners(&self, grant: &Grant) -> bool {
        matches!(&grant.grantee, Grantee::User(id) if *id == self.owner)
    }

    /// Whether lists mean anything here.
    pub fn lists_count(&self) -> bool {
        self.ownership != Some(Ownership::OwnerEnforced)
    }

    fn grants(&self, acl: Option<&Acl>, identity: &Identity, permission: Permission) -> bool {
        self.lists_count() && acl.is_some_and(|acl| lists::grants(acl, identity, permission, self.block.ignore_acls))
    }

    fn effect(&self, identity: &Identity, action: &str, about: Option<Wanted<'_>>, facts: &Facts<'_>) -> Effect {
        let Some(policy) = &self.policy else { return Effect::Silent };
        let resource = match about {
            Some(wanted) => format!("{}/{}", self.name, wanted.key),
            None => self.name.clone(),
        };
        policy.effect(identity, action, &resource, facts)
    }

    /// Whether the policy might allow an action to some object: which one, the body of the request says.
    pub fn may_allow(&self, identity: &Identity, action: &str) -> bool {
        self.policy.as_ref().is_some_and(|policy| policy.may_allow(identity, action))
    }
}

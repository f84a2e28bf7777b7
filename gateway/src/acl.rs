//! Access control lists: the one that everything has. The owner of the cluster owns every bucket and object, and nobody
//! else may do anything; so that list can be asked for, and set again, and no other can be set.

use s3s::dto::{
    AccessControlPolicy, GetBucketAclOutput, GetObjectAclInput, GetObjectAclOutput, Grant, Grantee, Permission,
    PutBucketAclInput, PutObjectAclInput, Type,
};
use s3s::{S3Result, s3_error};

use crate::fault::Fault;
use crate::front::Core;
use crate::object::lookup;

impl Core {
    fn grants(&self) -> Vec<Grant> {
        let owner = self.owner();
        let grantee = Grantee {
            display_name: owner.display_name,
            email_address: None,
            id: owner.id,
            type_: Type::from_static(Type::CANONICAL_USER),
            uri: None,
        };
        let permission = Some(Permission::from_static(Permission::FULL_CONTROL));
        vec![Grant { grantee: Some(grantee), permission }]
    }

    /// Whether what is to be set is what is there. A canned list was judged before: only those that change nothing get here.
    fn changes_nothing(&self, canned: bool, policy: Option<&AccessControlPolicy>) -> S3Result<()> {
        let Some(policy) = policy else {
            return if canned { Ok(()) } else { Err(s3_error!(MissingSecurityHeader)) };
        };
        if canned {
            return Err(s3_error!(UnexpectedContent, "This request does not support content"));
        }
        let grants = policy.grants.as_deref().unwrap_or_default();
        grants.iter().filter_map(|grant| grant.grantee.as_ref()).try_for_each(|grantee| self.is_known(grantee))?;
        let owner = policy.owner.as_ref().and_then(|owner| owner.id.as_deref());
        match grants {
            [Grant { grantee: Some(Grantee { id: Some(id), .. }), permission: Some(permission) }]
                if permission.as_str() == Permission::FULL_CONTROL && owner == Some(id.as_str()) =>
            {
                Ok(())
            }
            _ => Err(s3_error!(
                NotImplemented,
                "Access control lists other than the owner's FULL_CONTROL are not implemented."
            )),
        }
    }

    /// There is the owner, and there are groups. Nobody else is known by an id, and nobody by an address.
    fn is_known(&self, grantee: &Grantee) -> S3Result<()> {
        match (grantee.type_.as_str(), grantee.id.as_deref()) {
            (Type::CANONICAL_USER, id) if id != Some(self.owner.as_str()) => {
                Err(s3_error!(InvalidArgument, "Invalid id"))
            }
            (Type::AMAZON_CUSTOMER_BY_EMAIL, _) => Err(s3_error!(UnresolvableGrantByEmailAddress)),
            _ => Ok(()),
        }
    }
}

/// Says who may do what with a bucket.
pub async fn of_bucket(core: &Core, bucket: &str) -> Result<GetBucketAclOutput, Fault> {
    core.must_exist(bucket).await?;
    Ok(GetBucketAclOutput { grants: Some(core.grants()), owner: Some(core.owner()) })
}

/// Sets what is there already.
pub async fn put_of_bucket(core: &Core, input: PutBucketAclInput) -> Result<(), Fault> {
    core.must_exist(&input.bucket).await?;
    Ok(core.changes_nothing(input.acl.is_some(), input.access_control_policy.as_ref())?)
}

/// Says who may do what with an object.
pub async fn of_object(core: &Core, input: GetObjectAclInput) -> Result<GetObjectAclOutput, Fault> {
    lookup::find(core, &input.bucket, input.key, input.version_id.as_deref()).await?;
    Ok(GetObjectAclOutput { grants: Some(core.grants()), owner: Some(core.owner()), ..GetObjectAclOutput::default() })
}

/// Sets what is there already.
pub async fn put_of_object(core: &Core, input: PutObjectAclInput) -> Result<(), Fault> {
    lookup::find(core, &input.bucket, input.key, input.version_id.as_deref()).await?;
    Ok(core.changes_nothing(input.acl.is_some(), input.access_control_policy.as_ref())?)
}

//! Access control lists: what requests say of them, what they grant, and how they are shown.
//!
//! A list belongs to an owner, who needs no grant. It is said with a name for a common one, with headers for each right, or
//! with a document; only one of them in a request.

use cairn_machine::rows::acl::{Acl, GRANTS_MAX, Grant, Grantee, Permission};
use http::HeaderMap;
use s3s::dto::{
    AccessControlPolicy, Grant as SaidGrant, Grantee as SaidGrantee, Owner, Permission as SaidPermission, Type,
};
use s3s::{S3Result, s3_error};

use super::{Identity, display_name};

const EVERYONE: &str = "http://acs.amazonaws.com/groups/global/AllUsers";
const AUTHENTICATED: &str = "http://acs.amazonaws.com/groups/global/AuthenticatedUsers";
const LOG_DELIVERY: &str = "http://acs.amazonaws.com/groups/s3/LogDelivery";

/// The headers that grant a right each.
const GRANT_HEADERS: &[(&str, Permission)] = &[
    ("x-amz-grant-full-control", Permission::FullControl),
    ("x-amz-grant-read", Permission::Read),
    ("x-amz-grant-read-acp", Permission::ReadAcl),
    ("x-amz-grant-write", Permission::Write),
    ("x-amz-grant-write-acp", Permission::WriteAcl),
];

/// What a request says of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Asked {
    /// One that has a name.
    Canned(Canned),
    /// These grants, and no others.
    Grants(Vec<Grant>),
}

/// The lists that have names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Canned {
    /// The owner alone.
    Private,
    /// And everybody may read.
    PublicRead,
    /// And write.
    PublicReadWrite,
    /// And whoever signs may read.
    AuthenticatedRead,
    /// And the owner of the bucket may read.
    BucketOwnerRead,
    /// And the owner of the bucket may do everything.
    BucketOwnerFullControl,
    /// And whoever writes access logs may do so.
    LogDeliveryWrite,
}

fn canned(name: &str) -> S3Result<Canned> {
    Ok(match name {
        "private" => Canned::Private,
        "public-read" => Canned::PublicRead,
        "public-read-write" => Canned::PublicReadWrite,
        "authenticated-read" => Canned::AuthenticatedRead,
        "bucket-owner-read" => Canned::BucketOwnerRead,
        "bucket-owner-full-control" => Canned::BucketOwnerFullControl,
        "log-delivery-write" => Canned::LogDeliveryWrite,
        "aws-exec-read" => return Err(s3_error!(NotImplemented, "The list {name} is not implemented.")),
        _ => return Err(s3_error!(InvalidArgument, "{name} is no canned access control list.")),
    })
}

/// Whether a request says anything of a list in its headers.
pub fn is_in_headers(headers: &HeaderMap) -> bool {
    headers.contains_key("x-amz-acl") || GRANT_HEADERS.iter().any(|(name, _)| headers.contains_key(*name))
}

/// What a request's headers say.
pub fn of_headers(headers: &HeaderMap) -> S3Result<Option<Asked>> {
    let text = |value: &http::HeaderValue| {
        let text = value.to_str().map(str::to_owned);
        text.map_err(|_| s3_error!(InvalidArgument, "An access control list is text."))
    };
    let named = headers.get("x-amz-acl").map(|value| canned(&text(value)?)).transpose()?;
    let mut grants = Vec::new();
    for (name, permission) in GRANT_HEADERS {
        for value in headers.get_all(*name) {
            for part in text(value)?.split(',').map(str::trim).filter(|part| !part.is_empty()) {
                grants.push(Grant { grantee: grantee_in_header(part)?, permission: *permission });
            }
        }
    }
    if grants.len() > GRANTS_MAX {
        return Err(s3_error!(MalformedACLError));
    }
    match (named, grants.is_empty()) {
        (Some(_), false) => {
            Err(s3_error!(InvalidRequest, "Specifying both Canned ACLs and Header Grants is not allowed"))
        }
        (Some(named), true) => Ok(Some(Asked::Canned(named))),
        (None, false) => Ok(Some(Asked::Grants(grants))),
        (None, true) => Ok(None),
    }
}

/// `id="..."`, `uri="..."` or `emailAddress="..."`.
fn grantee_in_header(text: &str) -> S3Result<Grantee> {
    let invalid = || s3_error!(InvalidArgument, "Argument format not recognized");
    let (kind, value) = text.split_once('=').ok_or_else(invalid)?;
    let value = value.trim().trim_matches('"');
    match kind.trim().to_ascii_lowercase().as_str() {
        "id" => Ok(Grantee::User(value.to_owned())),
        "uri" => group(value),
        "emailaddress" => Err(s3_error!(UnresolvableGrantByEmailAddress)),
        _ => Err(invalid()),
    }
}

fn group(uri: &str) -> S3Result<Grantee> {
    match uri {
        EVERYONE => Ok(Grantee::Everyone),
        AUTHENTICATED => Ok(Grantee::Authenticated),
        LOG_DELIVERY => Ok(Grantee::LogDelivery),
        _ => Err(s3_error!(InvalidArgument, "Invalid group uri")),
    }
}

/// The grants of a document.
pub fn of_document(document: &AccessControlPolicy) -> S3Result<Vec<Grant>> {
    let grants = document.grants.as_deref().unwrap_or_default();
    if grants.len() > GRANTS_MAX {
        return Err(s3_error!(MalformedACLError));
    }
    grants.iter().map(grant_in_document).collect()
}

fn grant_in_document(grant: &SaidGrant) -> S3Result<Grant> {
    let malformed = || s3_error!(MalformedACLError);
    let grantee = grant.grantee.as_ref().ok_or_else(malformed)?;
    let permission = match grant.permission.as_ref().map(SaidPermission::as_str) {
        Some(SaidPermission::FULL_CONTROL) => Permission::FullControl,
        Some(SaidPermission::READ) => Permission::Read,
        Some(SaidPermission::READ_ACP) => Permission::ReadAcl,
        Some(SaidPermission::WRITE) => Permission::Write,
        Some(SaidPermission::WRITE_ACP) => Permission::WriteAcl,
        _ => return Err(malformed()),
    };
    let grantee = match (grantee.type_.as_str(), &grantee.id, &grantee.uri) {
        (Type::CANONICAL_USER, Some(id), _) => Grantee::User(id.clone()),
        (Type::GROUP, _, Some(uri)) => group(uri)?,
        (Type::AMAZON_CUSTOMER_BY_EMAIL, ..) => return Err(s3_error!(UnresolvableGrantByEmailAddress)),
        _ => return Err(malformed()),
    };
    Ok(Grant { grantee, permission })
}

/// The grants of a list that has a name.
pub fn grants_of(canned: Canned, owner: &str, bucket_owner: &str) -> Vec<Grant> {
    let user = |id: &str| Grantee::User(id.to_owned());
    let all = |id| Grant { grantee: user(id), permission: Permission::FullControl };
    let more: &[(Grantee, Permission)] = match canned {
        Canned::Private => &[],
        Canned::PublicRead => &[(Grantee::Everyone, Permission::Read)],
        Canned::PublicReadWrite => &[(Grantee::Everyone, Permission::Read), (Grantee::Everyone, Permission::Write)],
        Canned::AuthenticatedRead => &[(Grantee::Authenticated, Permission::Read)],
        Canned::LogDeliveryWrite => {
            &[(Grantee::LogDelivery, Permission::Write), (Grantee::LogDelivery, Permission::ReadAcl)]
        }
        Canned::BucketOwnerRead | Canned::BucketOwnerFullControl if owner == bucket_owner => &[],
        Canned::BucketOwnerRead => &[(user(bucket_owner), Permission::Read)],
        Canned::BucketOwnerFullControl => &[(user(bucket_owner), Permission::FullControl)],
    };
    let more = more.iter().map(|(grantee, permission)| Grant { grantee: grantee.clone(), permission: *permission });
    [all(owner)].into_iter().chain(more).collect()
}

/// A list as it is kept: none where it says no more than that the owner of the bucket has full control.
pub fn kept(owner: &str, bucket_owner: &str, grants: Vec<Grant>) -> Option<Acl> {
    if owner == bucket_owner && grants == grants_of(Canned::Private, owner, bucket_owner) {
        return None;
    }
    Some(Acl { owner: (owner != bucket_owner).then(|| owner.to_owned()), grants })
}

/// Whether a list grants the public anything.
pub fn is_public(grants: &[Grant]) -> bool {
    grants.iter().any(|grant| matches!(grant.grantee, Grantee::Everyone | Grantee::Authenticated))
}

/// Whether a list grants somebody a right. What it grants the public may be ignored.
pub fn grants(acl: &Acl, identity: &Identity, wanted: Permission, ignores_public: bool) -> bool {
    acl.grants.iter().any(|grant| {
        let meant = match &grant.grantee {
            Grantee::User(id) => identity.id() == Some(id.as_str()),
            Grantee::Everyone => !ignores_public,
            Grantee::Authenticated => !ignores_public && identity.id().is_some(),
            Grantee::LogDelivery => false,
        };
        meant && (grant.permission == wanted || grant.permission == Permission::FullControl)
    })
}

/// An owner as S3 shows it.
pub fn shown_owner(id: &str, cluster_owner: &str) -> Owner {
    Owner { display_name: Some(display_name(id, cluster_owner)), id: Some(id.to_owned()) }
}

/// A list as S3 shows it: its owner and its grants.
pub fn shown(acl: Option<&Acl>, bucket_owner: &str, cluster_owner: &str) -> (Owner, Vec<SaidGrant>) {
    let owner = acl.and_then(|acl| acl.owner.as_deref()).unwrap_or(bucket_owner);
    let private;
    let grants = match acl {
        Some(acl) => &acl.grants,
        None => {
            private = grants_of(Canned::Private, owner, bucket_owner);
            &private
        }
    };
    let mut grants: Vec<&Grant> = grants.iter().collect();
    grants.sort_by_key(|grant| place(grant));
    let grants = grants.into_iter().map(|grant| shown_grant(grant, cluster_owner)).collect();
    (shown_owner(owner, cluster_owner), grants)
}

/// Where a grant is shown. A list means the same in any order, so it has one of its own, whatever way it was set: first
/// whom nobody knows by name, because that is what must not be overlooked; of each, the right to everything comes last.
fn place(grant: &Grant) -> (u8, u8) {
    let grantee = match grant.grantee {
        Grantee::Everyone => 0,
        Grantee::Authenticated => 1,
        Grantee::LogDelivery => 2,
        Grantee::User(_) => 3,
    };
    let permission = match grant.permission {
        Permission::Read => 0,
        Permission::Write => 1,
        Permission::ReadAcl => 2,
        Permission::WriteAcl => 3,
        Permission::FullControl => 4,
    };
    (grantee, permission)
}

fn shown_grant(grant: &Grant, cluster_owner: &str) -> SaidGrant {
    let of_group = |uri: &str| SaidGrantee {
        display_name: None,
        email_address: None,
        id: None,
        type_: Type::from_static(Type::GROUP),
        uri: Some(uri.to_owned()),
    };
    let grantee = match &grant.grantee {
        Grantee::User(id) => SaidGrantee {
            display_name: Some(display_name(id, cluster_owner)),
            email_address: None,
            id: Some(id.clone()),
            type_: Type::from_static(Type::CANONICAL_USER),
            uri: None,
        },
        Grantee::Everyone => of_group(EVERYONE),
        Grantee::Authenticated => of_group(AUTHENTICATED),
        Grantee::LogDelivery => of_group(LOG_DELIVERY),
    };
    let permission = SaidPermission::from_static(match grant.permission {
        Permission::FullControl => SaidPermission::FULL_CONTROL,
        Permission::Read => SaidPermission::READ,
        Permission::ReadAcl => SaidPermission::READ_ACP,
        Permission::Write => SaidPermission::WRITE,
        Permission::WriteAcl => SaidPermission::WRITE_ACP,
    });
    SaidGrant { grantee: Some(grantee), permission: Some(permission) }
}

#[cfg(test)]
mod tests {
    use http::{HeaderName, HeaderValue};

    use super::*;

    fn user(id: &str) -> Identity {
        Identity::User { id: id.into(), access_key: format!("key of {id}"), root: false }
    }

    fn asked(sent: &[(&'static str, &str)]) -> Result<Option<Asked>, String> {
        let pairs =
            sent.iter().map(|(name, value)| (HeaderName::from_static(name), HeaderValue::try_from(*value).unwrap()));
        of_headers(&pairs.collect()).map_err(|error| error.code().as_str().to_owned())
    }

    #[test]
    fn headers_name_a_list_or_its_grants() {
        assert_eq!(asked(&[]), Ok(None));
        assert_eq!(asked(&[("x-amz-acl", "public-read")]), Ok(Some(Asked::Canned(Canned::PublicRead))));
        let grants = vec![
            Grant { grantee: Grantee::User("ab".into()), permission: Permission::Read },
            Grant { grantee: Grantee::Everyone, permission: Permission::Read },
            Grant { grantee: Grantee::User("cd".into()), permission: Permission::WriteAcl },
        ];
        let read = format!("id=\"ab\", uri=\"{EVERYONE}\"");
        let sent = [("x-amz-grant-read", read.as_str()), ("x-amz-grant-write-acp", "id=cd")];
        assert_eq!(asked(&sent), Ok(Some(Asked::Grants(grants))));
        for (sent, code) in [
            (&[("x-amz-acl", "made-up")][..], "InvalidArgument"),
            (&[("x-amz-acl", "aws-exec-read")], "NotImplemented"),
            (&[("x-amz-acl", "private"), ("x-amz-grant-read", "id=ab")], "InvalidRequest"),
            (&[("x-amz-grant-read", "ab")], "InvalidArgument"),
            (&[("x-amz-grant-read", "uri=\"http://x\"")], "InvalidArgument"),
            (&[("x-amz-grant-read", "emailAddress=\"a@b\"")], "UnresolvableGrantByEmailAddress"),
        ] {
            assert_eq!(asked(sent), Err(code.to_owned()), "{sent:?}");
        }
    }

    #[test]
    fn lists_grant_what_they_say_to_whom_they_say_it() {
        use Permission::{Read, ReadAcl, Write, WriteAcl};
        let of = |canned| Acl { owner: Some("owner".into()), grants: grants_of(canned, "owner", "bucket") };
        let nobody = Identity::Anonymous;
        for (canned, identity, wanted, granted) in [
            (Canned::Private, &user("owner"), WriteAcl, true),
            (Canned::Private, &user("bucket"), Read, false),
            (Canned::Private, &nobody, Read, false),
            (Canned::PublicRead, &nobody, Read, true),
            (Canned::PublicRead, &nobody, Write, false),
            (Canned::PublicRead, &nobody, ReadAcl, false),
            (Canned::PublicReadWrite, &nobody, Write, true),
            (Canned::AuthenticatedRead, &nobody, Read, false),
            (Canned::AuthenticatedRead, &user("x"), Read, true),
            (Canned::BucketOwnerRead, &user("bucket"), Read, true),
            (Canned::BucketOwnerRead, &user("bucket"), WriteAcl, false),
            (Canned::BucketOwnerFullControl, &user("bucket"), WriteAcl, true),
            (Canned::LogDeliveryWrite, &user("x"), Write, false),
        ] {
            assert_eq!(grants(&of(canned), identity, wanted, false), granted, "{canned:?} {identity:?} {wanted:?}");
        }
        assert!(!grants(&of(Canned::PublicReadWrite), &nobody, Read, true), "what the public has is ignored");
        assert!(is_public(&of(Canned::AuthenticatedRead).grants) && !is_public(&of(Canned::BucketOwnerRead).grants));
    }

    #[test]
    fn what_says_nothing_is_not_kept() {
        let private = |owner: &str| kept(owner, "me", grants_of(Canned::Private, owner, "me"));
        assert_eq!(private("me"), None);
        assert_eq!(private("you").unwrap().owner.as_deref(), Some("you"));
        assert_eq!(kept("me", "me", vec![]), Some(Acl::default()));
        let (owner, grants) = shown(None, "me", "me");
        assert_eq!((owner.id.as_deref(), grants.len()), (Some("me"), 1));
    }

    #[test]
    fn a_list_is_shown_in_one_order() {
        let users = [Permission::FullControl, Permission::WriteAcl, Permission::Read]
            .map(|permission| Grant { grantee: Grantee::User("me".into()), permission });
        let public = grants_of(Canned::PublicReadWrite, "me", "me");
        for grants in [[&users[1..], &public[..]].concat(), [&public[1..], &users[..]].concat()] {
            let (_, grants) = shown(Some(&Acl { owner: None, grants }), "me", "me");
            let shown: Vec<_> = grants
                .iter()
                .map(|grant| {
                    let grantee = grant.grantee.as_ref().unwrap();
                    (grantee.id.as_deref(), grant.permission.as_ref().unwrap().as_str())
                })
                .collect();
            let everyone = [(None, "READ"), (None, "WRITE")];
            let me = [(Some("me"), "READ"), (Some("me"), "WRITE_ACP"), (Some("me"), "FULL_CONTROL")];
            assert_eq!(shown, [&everyone[..], &me[..]].concat());
        }
    }
}

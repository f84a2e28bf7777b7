//! An operation in a person's words: what a line of the log says. For people alone: nothing is decided by it, and no
//! secret is in it.

use cairn_core::{BucketId, ObjectKey};

use super::{NewContent, Operation, VersionChoice};
use crate::rows::config::BucketConfig;
use crate::rows::manifest::ManifestId;
use crate::rows::upload::UploadId;

/// What an operation does, to what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Description<'o> {
    /// The operation's name.
    pub what: &'static str,
    /// The bucket that it is about.
    pub bucket: Option<BucketId>,
    /// The key of an object.
    pub key: Option<&'o ObjectKey>,
    /// Whatever else one wants to know, as `name=value`; empty where there is nothing.
    pub detail: String,
}

impl Operation {
    /// What it does, to what.
    #[expect(clippy::too_many_lines, reason = "one line or two for each operation, in their order")]
    pub fn describe(&self) -> Description<'_> {
        let plain = |what, detail: String| Description { what, bucket: None, key: None, detail };
        let of =
            |what, bucket: &BucketId, detail: String| Description { what, bucket: Some(*bucket), key: None, detail };
        fn object<'o>(what: &'static str, bucket: BucketId, key: &'o ObjectKey, detail: String) -> Description<'o> {
            Description { what, bucket: Some(bucket), key: Some(key), detail }
        }
        match self {
            Self::Form { cluster, node, drives, standard, .. } => {
                plain("Form", format!("cluster={cluster} node={node} drives={} standard={standard}", drives.len()))
            }
            Self::RaiseFunction { to } => plain("RaiseFunction", format!("to={to}")),
            Self::PutAccessKey { id, root, .. } => plain("PutAccessKey", format!("id={id} root={root}")),
            Self::RemoveAccessKey { id } => plain("RemoveAccessKey", format!("id={id}")),
            Self::RegisterSession { id, kind, node } => {
                plain("RegisterSession", format!("session={id} kind={kind:?} node={node}"))
            }
            Self::RenewSession { id, commits_from, reads_from } => {
                plain("RenewSession", format!("session={id} commits_from={commits_from} reads_from={reads_from}"))
            }
            Self::EndSession { id, last_renewal } => plain(
                "EndSession",
                match last_renewal {
                    Some(seen) => format!("session={id} last_renewal={seen}"),
                    None => format!("session={id}"),
                },
            ),
            Self::TakeLease { lease, session } => plain("TakeLease", format!("lease={lease:?} session={session}")),
            Self::RegisterDrives { node, drives } => {
                let ids: Vec<String> = drives.iter().map(|drive| drive.id.to_string()).collect();
                plain("RegisterDrives", format!("node={node} drives={}", ids.join(",")))
            }
            Self::SetDriveState { drive, from, to } => {
                plain("SetDriveState", format!("drive={drive} from={from:?} to={to:?}"))
            }
            Self::ReportRun { voter, index } => plain("ReportRun", format!("voter={voter} index={index}")),
            Self::RegisterNode { node, zone, drives } => {
                plain("RegisterNode", format!("node={node} zone={zone:?} drives={}", drives.len()))
            }
            Self::AdmitMember { node } => plain("AdmitMember", format!("node={node}")),
            Self::SeatVoter { voter } => plain("SeatVoter", format!("member={voter}")),
            Self::DismissMember { member } => plain("DismissMember", format!("member={member}")),
            Self::CreateBucket { name, owner, lock, .. } => {
                plain("CreateBucket", format!("name={name} owner={owner} lock={}", lock.is_some()))
            }
            Self::DeleteBucket { id } => of("DeleteBucket", id, String::new()),
            Self::SetVersioning { id, versioning } => of("SetVersioning", id, format!("to={versioning:?}")),
            Self::LockBucket { id, lock } => of("LockBucket", id, format!("{lock:?}")),
            Self::PutBucketConfig { id, config } => of("PutBucketConfig", id, format!("kind={}", kind_of(config))),
            Self::RemoveBucketConfig { id, kind } => of("RemoveBucketConfig", id, format!("kind={kind:?}")),
            Self::MakeStripe { id, shape, positions } => {
                let drives: Vec<String> = positions.iter().map(|placed| placed.drive.to_string()).collect();
                let drives = drives.join(",");
                plain("MakeStripe", format!("stripe={id} chunk_bytes={} drives={drives}", shape.chunk_bytes))
            }
            Self::SettleStripe { id } => plain("SettleStripe", format!("stripe={id}")),
            Self::MovePosition { stripe, position, from, to } => {
                let (from, to) = (from.drive, to.drive);
                plain("MovePosition", format!("stripe={stripe} position={position} from={from} to={to}"))
            }
            Self::MoveExtent { extent, stripe, .. } => plain("MoveExtent", format!("extent={extent} stripe={stripe}")),
            Self::PutObject { bucket, key, attributes, content, conditions, .. } => {
                let etag = hex(&attributes.etag.md5);
                let mut detail = format!("bytes={} etag={etag} content={}", attributes.size, content_of(content));
                if *conditions != super::Conditions::default() {
                    detail.push_str(" conditional");
                }
                object("PutObject", *bucket, key, detail)
            }
            Self::DeleteObject { bucket, key, version, bypass, .. } => {
                let bypass = if bypass.is_some() { " bypass" } else { "" };
                object("DeleteObject", *bucket, key, format!("{}{bypass}", version_of(*version)))
            }
            Self::SetObjectTags { bucket, key, version, tags } => {
                let count = tags.as_ref().map_or(0, Vec::len);
                object("SetObjectTags", *bucket, key, format!("{} tags={count}", version_of(*version)))
            }
            Self::SetRetention { bucket, key, version, retention, .. } => {
                object("SetRetention", *bucket, key, format!("{} {retention:?}", version_of(*version)))
            }
            Self::SetLegalHold { bucket, key, version, held } => {
                object("SetLegalHold", *bucket, key, format!("{} held={held}", version_of(*version)))
            }
            Self::SetObjectAcl { bucket, key, version, .. } => {
                object("SetObjectAcl", *bucket, key, version_of(*version))
            }
            Self::AddManifestPage { manifest: ManifestId(manifest), page, extents, .. } => {
                plain("AddManifestPage", format!("manifest={manifest} page={page} extents={}", extents.len()))
            }
            Self::AbandonManifest { manifest: ManifestId(manifest), .. } => {
                plain("AbandonManifest", format!("manifest={manifest}"))
            }
            Self::RetirePage { manifest: ManifestId(manifest), page } => {
                plain("RetirePage", format!("manifest={manifest} page={page}"))
            }
            Self::CreateUpload { bucket, key, .. } => object("CreateUpload", *bucket, key, String::new()),
            Self::PutPart { bucket, key, upload: UploadId(upload), number, size, .. } => {
                object("PutPart", *bucket, key, format!("upload={upload} part={number} bytes={size}"))
            }
            Self::AbortUpload { bucket, key, upload: UploadId(upload) } => {
                object("AbortUpload", *bucket, key, format!("upload={upload}"))
            }
            Self::AddPartsPage {
                manifest: ManifestId(manifest),
                page,
                bucket,
                key,
                upload: UploadId(upload),
                parts,
            } => {
                let detail = format!("upload={upload} manifest={manifest} page={page} parts={}", parts.len());
                object("AddPartsPage", *bucket, key, detail)
            }
            Self::CompleteUpload { bucket, key, upload: UploadId(upload), etag, .. } => {
                object("CompleteUpload", *bucket, key, format!("upload={upload} etag={}", hex(&etag.md5)))
            }
            Self::RetireUpload { upload: UploadId(upload) } => plain("RetireUpload", format!("upload={upload}")),
            Self::AddSharedPage { manifest: ManifestId(manifest), page, bucket, key, .. } => {
                object("AddSharedPage", *bucket, key, format!("manifest={manifest} page={page}"))
            }
            Self::Condemn { chunk, drive } => plain("Condemn", format!("chunk={chunk} drive={drive}")),
            Self::Collected { garbage } => plain("Collected", format!("chunks={}", garbage.len())),
        }
    }
}

fn hex(bytes: &[u8]) -> String {
    crate::row::hex(bytes)
}

fn version_of(version: VersionChoice) -> String {
    match version {
        VersionChoice::Newest => "version=newest".into(),
        VersionChoice::Null => "version=null".into(),
        VersionChoice::Exactly(version) => format!("version={version}"),
    }
}

fn content_of(content: &NewContent) -> &'static str {
    match content {
        NewContent::Extents(_) => "extents",
        NewContent::Manifest(_) => "manifest",
        _ => "shared",
    }
}

/// The kind alone: what is configured may be long.
fn kind_of(config: &BucketConfig) -> String {
    format!("{:?}", config.kind())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_secret_is_said() {
        let sealed_secret = b"sealed".to_vec().into();
        let key = Operation::PutAccessKey { id: "someone".into(), sealed_secret, root: false };
        let said = key.describe();
        assert_eq!((said.what, said.detail.as_str()), ("PutAccessKey", "id=someone root=false"));
    }

    #[test]
    fn a_person_sees_bucket_key_and_version() {
        let bucket = BucketId(0x1234);
        let key = ObjectKey::new("a/b").unwrap();
        let version = VersionChoice::Null;
        let conditions = super::super::Conditions::default();
        let delete = Operation::DeleteObject { bucket, key: key.clone(), version, conditions, bypass: None };
        let detail = "version=null".to_owned();
        assert_eq!(
            delete.describe(),
            Description { what: "DeleteObject", bucket: Some(bucket), key: Some(&key), detail }
        );
    }
}

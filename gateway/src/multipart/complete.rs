//! CompleteMultipartUpload: the parts that a client names become an object.
//!
//! ```text
//! upload and parts at one index -> judged -> pages of 64 parts fill a manifest -> the version is made, the upload ends
//!        ^                                        |                                  |
//!        +----- a part was put again meanwhile ---+----------------------------------+
//! ```
//!
//! Each page counts its parts once more, so the upload is whole until the last operation, whatever happens to whoever
//! completes it; the manifest of an attempt that came to nothing is given up. Ten thousand parts are some forty entries of
//! the log, seconds at most: no answer is begun before its outcome is known, as AWS does with spaces, so that the
//! status always tells the truth. Who completes again what is completed, because no answer came, is answered the same.

use std::sync::Arc;

use cairn_core::VersionId;
use cairn_core::units::{MANIFEST_PAGE_PARTS_MAX, MIB, OBJECT_BYTES_MAX, PARTS_MAX};
use cairn_machine::operation::{ChosenPart, Conditions, Operation};
use cairn_machine::rows::object::{Checksum, ChecksumKind, Etag, ObjectRow};
use cairn_machine::rows::upload::UploadRow;
use cairn_machine::{Outcome, Refusal};
use cairn_metadata::authorship::carried;
use cairn_metadata::{View, query};
use http::{HeaderMap, header};
use md5::{Digest as _, Md5};
use s3s::dto::{ChecksumType, CompleteMultipartUploadInput, CompleteMultipartUploadOutput, CompletedPart, PartNumber};
use s3s::{S3Error, S3Request, S3Result, s3_error};

use super::{Named, checksum, no_such_upload, upload_id};
use crate::bucket::url_encoding;
use crate::fault::Fault;
use crate::front::Core;
use crate::names;
use crate::object::manifest::PendingManifest;
use crate::object::preconditions;
use crate::outcome::{last_or_first_refusal, unexpected};

/// The least that a part has which is not the last one.
const PART_BYTES_MIN: u64 = 5 * MIB;

/// How many pages go into one entry of the log: other requests wait while one is applied.
const PAGES_AT_ONCE: usize = 4;

/// How many parts are looked at at a time.
const PARTS_PAGE: usize = 1000;

/// How often the parts are looked at again because one of them was put again before it was counted.
const ATTEMPTS_MAX: usize = 8;

/// A part, as the client names it.
#[derive(Debug)]
struct Asked {
    number: u16,
    /// None where it is no MD5, and so no part's.
    md5: Option<[u8; 16]>,
    checksum: Option<(ChecksumKind, String)>,
}

impl Asked {
    fn understood(part: &CompletedPart) -> S3Result<Self> {
        let (Some(number), Some(tag)) = (part.part_number, &part.e_tag) else { return Err(s3_error!(MalformedXML)) };
        let tag = preconditions::parse(tag.value()).filter(|tag| tag.parts.is_none());
        let checksum = checksum::said_of_part(part)?.map(|(kind, text)| (kind, text.to_owned()));
        Ok(Self { number: number_of(number)?, md5: tag.map(|tag| tag.md5), checksum })
    }
}

fn number_of(sent: PartNumber) -> S3Result<u16> {
    let number = u16::try_from(sent).ok().filter(|number| (1..=PARTS_MAX).contains(number));
    number.ok_or_else(|| {
        s3_error!(InvalidArgument, "PartNumber must be an integer between 1 and {PARTS_MAX}, inclusive.")
    })
}

/// The parts that a client names, in order.
fn asked(parts: Option<Vec<CompletedPart>>) -> S3Result<Vec<Asked>> {
    let parts = parts.unwrap_or_default();
    if parts.is_empty() || parts.len() > usize::from(PARTS_MAX) {
        return Err(s3_error!(MalformedXML));
    }
    let mut understood: Vec<Asked> = Vec::with_capacity(parts.len());
    for part in &parts {
        let part = Asked::understood(part)?;
        match understood.last_mut() {
            Some(before) if before.number > part.number => return Err(s3_error!(InvalidPartOrder)),
            // Who has put a part twice, and remembers both, means the later one.
            Some(before) if before.number == part.number => *before = part,
            _ => understood.push(part),
        }
    }
    Ok(understood)
}

fn invalid_part() -> S3Error {
    s3_error!(
        InvalidPart,
        "One or more of the specified parts could not be found. The part might not have been uploaded, or the \
         specified entity tag might not have matched the part's entity tag."
    )
}

/// A completion whose request was understood.
#[derive(Debug)]
struct Completion {
    bucket: String,
    named: String,
    upload: String,
    parts: Vec<Asked>,
    conditions: Conditions,
    size: Option<u64>,
    checksum: Option<(ChecksumKind, String)>,
    checksum_type: Option<ChecksumType>,
    location: String,
}

/// The parts, found and judged.
struct Judged {
    chosen: Vec<ChosenPart>,
    etag: Etag,
    checksum: Option<Checksum>,
}

/// Completes an upload.
pub async fn complete(
    core: &Arc<Core>,
    request: S3Request<CompleteMultipartUploadInput>,
) -> Result<CompleteMultipartUploadOutput, Fault> {
    let completion = Completion::understood(request.input, &request.headers)?;
    let core = Arc::clone(core);
    // A task of its own: a client that vanishes now must not leave it undecided.
    let completed = tokio::spawn(carried(async move { completion.carry_out(&core).await }));
    completed.await.map_err(|error| Fault::Unknown(error.to_string()))?
}

impl Completion {
    fn understood(input: CompleteMultipartUploadInput, headers: &HeaderMap) -> S3Result<Self> {
        let checksum = checksum::said_of_object(&input)?.map(|(kind, text)| (kind, text.to_owned()));
        let size = input.mpu_object_size.map(u64::try_from).transpose();
        Ok(Self {
            parts: asked(input.multipart_upload.and_then(|upload| upload.parts))?,
            conditions: preconditions::of_put(input.if_match.as_ref(), input.if_none_match.as_ref())?,
            size: size.map_err(|_| s3_error!(InvalidArgument, "x-amz-mp-object-size must not be negative."))?,
            checksum,
            checksum_type: input.checksum_type,
            location: location(headers, &input.bucket, &input.key),
            bucket: input.bucket,
            named: input.key,
            upload: input.upload_id,
        })
    }

    async fn carry_out(&self, core: &Core) -> Result<CompleteMultipartUploadOutput, Fault> {
        for _ in 0..ATTEMPTS_MAX {
            match self.attempt(core).await {
                // Somebody else was faster, with the upload or with one of its parts: what that means, the rows say now.
                Err(Fault::Refused(Refusal::PartChanged { .. } | Refusal::NoSuchUpload)) => {}
                completed => return completed,
            }
        }
        Err(Fault::Busy)
    }

    async fn attempt(&self, core: &Core) -> Result<CompleteMultipartUploadOutput, Fault> {
        let name = names::bucket(&self.bucket).map_err(|_| Fault::NoSuchBucket)?;
        let key = names::key(self.named.clone())?;
        let view = core.stripes.client.read().await?;
        let (bucket, _) = query::bucket_by_name(&view, &name)?.ok_or(Fault::NoSuchBucket)?;
        let named = Named { bucket, key, upload: upload_id(&self.upload)? };
        let Some(row) = query::upload(&view, bucket, &named.key, named.upload)? else {
            return self.completed_before(&view, &named);
        };
        let judged = self.judge(&view, &named, &row)?;
        drop(view);
        let (etag, checksum) = (judged.etag, judged.checksum.clone());
        match self.commit(core, named, judged).await? {
            Outcome::Put { version, null, .. } => Ok(self.output(version, null, &etag, checksum.as_ref())),
            Outcome::Refused(refusal @ (Refusal::PartChanged { .. } | Refusal::NoSuchUpload)) => {
                Err(Fault::Refused(refusal))
            }
            Outcome::Refused(refusal) => Err(Fault::of_refusal(refusal)),
            other => Err(unexpected("the completion of an upload", &other)),
        }
    }

    /// What is answered where there is no such upload any more: what was answered when it was completed, if it was.
    fn completed_before(&self, view: &View, named: &Named) -> Result<CompleteMultipartUploadOutput, Fault> {
        let newest = query::newest(view, named.bucket, &named.key)?;
        let completed = newest.as_ref().and_then(|row| Some((row, row.object()?.0)));
        match completed {
            Some((ObjectRow { version, null, .. }, attributes)) if attributes.upload == Some(named.upload) => {
                Ok(self.output(*version, *null, &attributes.etag, attributes.checksum.as_ref()))
            }
            _ => Err(no_such_upload()),
        }
    }

    /// Compares what the client says with what is there.
    fn judge(&self, view: &View, named: &Named, upload: &UploadRow) -> Result<Judged, Fault> {
        let mut chosen = Vec::with_capacity(self.parts.len());
        let mut checksums = Vec::with_capacity(self.parts.len());
        let mut md5 = Md5::new();
        let mut wanted = self.parts.iter().peekable();
        let mut behind = self.parts.first().map_or(0, |part| part.number - 1);
        while let Some(first) = wanted.peek() {
            let (rows, more) = query::upload_parts(view, named.upload, behind.max(first.number - 1), PARTS_PAGE)?;
            for (number, row) in rows {
                behind = number;
                let Some(asked) = wanted.next_if(|asked| asked.number <= number) else { continue };
                let same = asked.number == number
                    && asked.md5 == Some(row.md5)
                    && asked
                        .checksum
                        .as_ref()
                        .is_none_or(|(kind, said)| checksum::is(row.checksum.as_ref(), *kind, said));
                if !same {
                    return Err(invalid_part().into());
                }
                if row.size < PART_BYTES_MIN && wanted.peek().is_some() {
                    return Err(s3_error!(EntityTooSmall).into());
                }
                md5.update(row.md5);
                chosen.push(ChosenPart { number, version: row.version });
                checksums.push((row.checksum, row.size));
            }
            if !more && wanted.peek().is_some() {
                return Err(invalid_part().into());
            }
        }
        let size: u64 = checksums.iter().map(|(_, size)| size).sum();
        let parts = u16::try_from(chosen.len()).expect("an upload has at most 10,000 parts");
        let checksum = checksum::of_object(upload.checksum, &checksums);
        self.judge_whole(size, checksum.as_ref())?;
        Ok(Judged { chosen, etag: Etag { md5: md5.finalize().into(), parts: Some(parts) }, checksum })
    }

    /// Compares what the client says of the object.
    fn judge_whole(&self, size: u64, checksum: Option<&Checksum>) -> S3Result<()> {
        if size > OBJECT_BYTES_MAX {
            return Err(s3_error!(EntityTooLarge));
        }
        if let Some(said) = self.size.filter(|said| *said != size) {
            return Err(s3_error!(
                InvalidRequest,
                "The provided 'x-amz-mp-object-size' header value {said} does not match what was computed: {size}"
            ));
        }
        let kind = checksum.map(|checksum| match checksum.parts {
            Some(_) => ChecksumType::COMPOSITE,
            None => ChecksumType::FULL_OBJECT,
        });
        if let Some(said) = self.checksum_type.as_ref().filter(|said| Some(said.as_str()) != kind) {
            return Err(s3_error!(BadDigest, "The checksum type {} is not that of the upload.", said.as_str()));
        }
        match &self.checksum {
            Some((kind, said)) if !checksum::is(checksum, *kind, said) => {
                let name = crate::digest::name_and_length(*kind).0.to_ascii_uppercase();
                Err(s3_error!(BadDigest, "The {name} you specified did not match the calculated checksum."))
            }
            _ => Ok(()),
        }
    }

    /// Fills a manifest with the parts and makes it the object.
    async fn commit(&self, core: &Core, named: Named, judged: Judged) -> Result<Outcome, Fault> {
        let client = &core.stripes.client;
        let mut manifest = PendingManifest::begin(client);
        let mut pages = judged.chosen.chunks(MANIFEST_PAGE_PARTS_MAX);
        loop {
            let next = pages.by_ref().take(PAGES_AT_ONCE);
            let mut operations: Vec<_> = next.map(|parts| manifest.next_parts(&named, parts.to_vec())).collect();
            let last = pages.len() == 0;
            if last {
                let Named { bucket, key, upload } = named.clone();
                operations.push(Operation::CompleteUpload {
                    bucket,
                    key,
                    upload,
                    manifest: manifest.id(),
                    etag: judged.etag,
                    checksum: judged.checksum.clone(),
                    conditions: self.conditions.clone(),
                    session: manifest.session(),
                });
            }
            let outcome = last_or_first_refusal(client.propose(operations).await?);
            match outcome {
                Outcome::Put { .. } => {
                    manifest.keep();
                    return Ok(outcome);
                }
                Outcome::Done if !last => {}
                other => return Ok(other),
            }
        }
    }

    fn output(
        &self,
        version: VersionId,
        null: bool,
        etag: &Etag,
        checksum: Option<&Checksum>,
    ) -> CompleteMultipartUploadOutput {
        let mut output = CompleteMultipartUploadOutput {
            bucket: Some(self.bucket.clone()),
            key: Some(names::xml_text(self.named.clone())),
            location: Some(self.location.clone()),
            e_tag: Some(names::etag(etag)),
            version_id: (!null).then(|| version.to_string()),
            ..CompleteMultipartUploadOutput::default()
        };
        if let Some(checksum) = checksum {
            names::completed_checksum(checksum, &mut output);
        }
        output
    }
}

/// Where the object is, as the client can ask for it.
fn location(headers: &HeaderMap, bucket: &str, key: &str) -> String {
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    let key = url_encoding::encode(key);
    match host.strip_prefix(bucket).is_some_and(|domain| domain.starts_with('.')) {
        true => format!("http://{host}/{key}"),
        false => format!("http://{host}/{bucket}/{key}"),
    }
}

#[cfg(test)]
mod tests {
    use s3s::dto::ETag;

    use super::*;

    fn part(number: i32, tag: &str) -> CompletedPart {
        CompletedPart {
            part_number: Some(number),
            e_tag: Some(ETag::Strong(tag.to_owned())),
            ..CompletedPart::default()
        }
    }

    #[test]
    fn lists_of_parts_are_understood_or_refused() {
        let tag = "25f9e794323b453885f5181f1b624d0b";
        let list = asked(Some(vec![part(1, tag), part(10_000, "not one of ours")])).unwrap();
        assert_eq!((list[0].number, list[0].md5.is_some()), (1, true));
        assert_eq!((list[1].number, list[1].md5.is_some()), (10_000, false));
        let twice = asked(Some(vec![part(1, "one"), part(2, "other"), part(2, tag), part(3, tag)])).unwrap();
        assert_eq!(twice.iter().map(|part| part.number).collect::<Vec<_>>(), [1, 2, 3]);
        assert!(twice[1].md5.is_some(), "the later one counts");
        let nameless = CompletedPart { e_tag: None, ..part(1, tag) };
        let numberless = CompletedPart { part_number: None, ..part(1, tag) };
        for (list, code) in [
            (None, "MalformedXML"),
            (Some(vec![]), "MalformedXML"),
            (Some(vec![nameless]), "MalformedXML"),
            (Some(vec![numberless]), "MalformedXML"),
            (Some(vec![part(1, tag); 10_001]), "MalformedXML"),
            (Some(vec![part(2, tag), part(1, tag)]), "InvalidPartOrder"),
            (Some(vec![part(0, tag)]), "InvalidArgument"),
            (Some(vec![part(10_001, tag)]), "InvalidArgument"),
        ] {
            assert_eq!(asked(list).unwrap_err().code().as_str(), code);
        }
    }

    #[test]
    fn locations_are_as_the_client_addressed_the_bucket() {
        for (host, expected) in [
            ("localhost:9000", "http://localhost:9000/photos/a%20b/c"),
            ("photos.localhost:9000", "http://photos.localhost:9000/a%20b/c"),
            ("photosy:80", "http://photosy:80/photos/a%20b/c"),
        ] {
            let headers = HeaderMap::from_iter([(header::HOST, host.parse().unwrap())]);
            assert_eq!(location(&headers, "photos", "a b/c"), expected);
        }
    }
}

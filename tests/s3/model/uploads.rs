//! Multipart uploads: parts of random sizes and numbers, copied parts, and an end that is right or wrong.

use aws_sdk_s3::types::{CompletedMultipartUpload, CompletedPart};
use bytes::Bytes;
use cairn_harness::seed;
use md5::{Digest, Md5};
use rand::RngExt;
use rand::seq::IndexedRandom;

use super::bucket::{Condition, Object, Refusal, Upload, etag};
use super::copies::named;
use super::worker::{Worker, metadata};

/// What every part but the last must have.
const PART_BYTES_MIN: usize = 5 << 20;

/// The most uploads of a bucket at once: more would only make listings long.
const UPLOADS_MAX: usize = 12;

const NO_SUCH_UPLOAD: Refusal = (404, "NoSuchUpload");

/// How an upload is ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    Complete,
    /// With whatever parts there are, though they may be too small.
    Careless,
    WrongTag,
    WrongOrder,
    Abort,
}

impl Worker {
    pub async fn create_upload(&mut self, of: usize) {
        if self.buckets[of].uploads.len() >= UPLOADS_MAX {
            return;
        }
        let (key, colour) = (self.key(), self.colour());
        self.doing(of, &key);
        let create = self.s3.create_multipart_upload().bucket(&self.buckets[of].name).key(&key);
        let answer = create.set_metadata(metadata(colour.as_deref())).send().await;
        let done = self.judged(Ok(()), answer).expect("it was not to be refused");
        let id = done.upload_id().unwrap().to_owned();
        self.buckets[of].uploads.push(Upload { key, id, colour, parts: Default::default() });
    }

    /// One of the uploads, by its place.
    fn upload(&mut self, of: usize) -> Option<(usize, Upload)> {
        let count = self.buckets[of].uploads.len();
        (count > 0).then(|| self.chance.random_range(0..count)).map(|at| (at, self.buckets[of].uploads[at].clone()))
    }

    pub async fn put_part(&mut self, of: usize) {
        let Some((at, upload)) = self.upload(of) else { return };
        let number = self.chance.random_range(1..=12);
        let body = if self.chance.random_ratio(1, 16) {
            let length = PART_BYTES_MIN + self.chance.random_range(0..100);
            seed::bytes(&mut self.chance, length)
        } else {
            self.body()
        };
        self.doing(of, (&upload.key, &upload.id, number, body.len()));
        let put = self.s3.upload_part().bucket(&self.buckets[of].name).key(&upload.key).upload_id(&upload.id);
        let answer = put.part_number(number).body(body.clone().into()).send().await;
        let done = self.judged(Ok(()), answer).expect("it was not to be refused");
        self.agree(Some(etag(&body).as_str()), done.e_tag());
        self.buckets[of].uploads[at].parts.insert(number, body);
    }

    pub async fn copy_part(&mut self, of: usize) {
        let Some((at, upload)) = self.upload(of) else { return };
        let from = usize::from(self.chance.random_ratio(1, 2));
        let (source, version) = self.key_and_version(from);
        let number = self.chance.random_range(1..=12);
        let found = self.source(from, &source, version.as_deref());
        let length = found.as_ref().map(|object| object.body.len()).unwrap_or_default();
        let range = (self.chance.random_ratio(1, 2) && length > 0).then(|| {
            let start = self.chance.random_range(0..length);
            (start, self.chance.random_range(start..length))
        });
        self.doing(of, (&upload.key, number, from, &source, &version, range));
        let body = found.map(|object| match range {
            None => object.body,
            Some((start, last)) => object.body.slice(start..=last),
        });
        let copy = self.s3.upload_part_copy().bucket(&self.buckets[of].name).key(&upload.key).upload_id(&upload.id);
        let copy = copy.copy_source(named(&self.buckets[from].name, &source, version.as_deref())).part_number(number);
        let range = range.map(|(start, last)| format!("bytes={start}-{last}"));
        let answer = copy.set_copy_source_range(range).send().await;
        let Some(done) = self.judged(body.as_ref().map(drop).map_err(|&refusal| refusal), answer) else { return };
        let body = body.expect("both said yes");
        self.agree(Some(etag(&body).as_str()), done.copy_part_result().and_then(|result| result.e_tag()));
        self.buckets[of].uploads[at].parts.insert(number, body);
    }

    pub async fn end_upload(&mut self, of: usize) {
        let Some((at, upload)) = self.upload(of) else { return };
        self.list_parts(of, &upload).await;
        let end = match self.chance.random_range(0..12) {
            0 => End::Abort,
            1..3 => End::Careless,
            3 => End::WrongTag,
            4 => End::WrongOrder,
            _ => End::Complete,
        };
        if end == End::Abort {
            self.doing(of, (&upload.key, &upload.id, end));
            self.abort(of, at).await;
            let gone = self.s3.list_parts().bucket(&self.buckets[of].name).key(&upload.key).upload_id(&upload.id);
            let answer = gone.send().await;
            self.judged(Err(NO_SUCH_UPLOAD), answer);
            return;
        }
        let parts = self.chosen(end, &upload);
        if parts.is_empty() || (end == End::WrongOrder && parts.len() < 2) {
            return;
        }
        let condition = if self.chance.random_ratio(1, 8) { Condition::Absent } else { Condition::None };
        let sizes: Vec<_> = parts.iter().map(|(number, body)| (number, body.len())).collect();
        self.doing(of, (&upload.key, &upload.id, end, sizes, &condition));
        let mut expected = judge(end, &parts);
        if expected.is_ok() {
            expected = self.buckets[of].admits(&upload.key, &condition);
        } else if matches!(condition, Condition::Absent) {
            // Two reasons to refuse: which of them is said is not promised.
            return;
        }
        let sent = parts.iter().map(|(number, body)| {
            let tag = if end == End::WrongTag { etag(b"another part") } else { etag(body) };
            CompletedPart::builder().part_number(*number).e_tag(tag).build()
        });
        let sent = CompletedMultipartUpload::builder().set_parts(Some(sent.collect())).build();
        let complete = self.s3.complete_multipart_upload().bucket(&self.buckets[of].name).key(&upload.key);
        let mut complete = complete.upload_id(&upload.id).multipart_upload(sent);
        if matches!(condition, Condition::Absent) {
            complete = complete.if_none_match("*");
        }
        let answer = complete.send().await;
        let Some(done) = self.judged(expected, answer) else { return };
        let mut tags = Md5::new();
        let mut body = Vec::new();
        for (_, part) in &parts {
            tags.update(Md5::digest(part));
            body.extend_from_slice(part);
        }
        let etag = format!("\"{}-{}\"", hex::encode(tags.finalize()), parts.len());
        self.agree(Some(etag.as_str()), done.e_tag());
        let object = Object { body: body.into(), etag, colour: upload.colour };
        self.buckets[of].put(&upload.key, object, done.version_id());
        self.buckets[of].uploads.remove(at);
    }

    /// The parts that an end names.
    fn chosen(&mut self, end: End, upload: &Upload) -> Vec<(i32, Bytes)> {
        let all: Vec<_> = upload.parts.iter().map(|(number, body)| (*number, body.clone())).collect();
        match end {
            End::WrongOrder => all.into_iter().rev().collect(),
            End::Careless => all.into_iter().filter(|_| self.chance.random_ratio(2, 3)).collect(),
            End::Complete | End::WrongTag | End::Abort => {
                let Some((last, _)) = all.choose(&mut self.chance).cloned() else { return all };
                let fits = |(number, body): &(i32, Bytes)| *number < last && body.len() >= PART_BYTES_MIN;
                all.into_iter().filter(|part| part.0 == last || fits(part)).collect()
            }
        }
    }

    async fn list_parts(&mut self, of: usize, upload: &Upload) {
        let page = *[1, 2, 5, 1000].choose(&mut self.chance).expect("there are pages");
        let expected: Vec<_> =
            upload.parts.iter().map(|(number, body)| (*number, body.len() as i64, etag(body))).collect();
        let mut found = Vec::new();
        let mut marker = None;
        loop {
            let list = self.s3.list_parts().bucket(&self.buckets[of].name).key(&upload.key).upload_id(&upload.id);
            let answer = list.max_parts(page).set_part_number_marker(marker).send().await;
            let listed = self.judged(Ok(()), answer).expect("it was not to be refused");
            assert!(listed.parts().len() <= page as usize, "{}: too many on a page", self.at);
            found.extend(
                listed
                    .parts()
                    .iter()
                    .map(|part| (part.part_number().unwrap(), part.size().unwrap(), part.e_tag().unwrap().to_owned())),
            );
            if listed.is_truncated() != Some(true) {
                break;
            }
            marker = listed.next_part_number_marker;
        }
        self.agree(expected, found);
    }

    async fn abort(&mut self, of: usize, at: usize) {
        let upload = self.buckets[of].uploads.remove(at);
        let abort =
            self.s3.abort_multipart_upload().bucket(&self.buckets[of].name).key(upload.key).upload_id(upload.id);
        let answer = abort.send().await;
        self.judged(Ok(()), answer);
    }

    pub async fn abort_all(&mut self, of: usize) {
        while !self.buckets[of].uploads.is_empty() {
            self.abort(of, 0).await;
        }
    }
}

/// Whether parts may become an object.
fn judge(end: End, parts: &[(i32, Bytes)]) -> Result<(), Refusal> {
    let (_, early) = parts.split_last().expect("there are parts");
    match end {
        End::WrongTag => Err((400, "InvalidPart")),
        End::WrongOrder => Err((400, "InvalidPartOrder")),
        _ if early.iter().any(|(_, body)| body.len() < PART_BYTES_MIN) => Err((400, "EntityTooSmall")),
        _ => Ok(()),
    }
}

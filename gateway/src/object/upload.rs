//! A body as it arrives: counted against its declared length, hashed, and in the end compared with what was promised.

use std::sync::{Arc, LazyLock};
use std::time::Duration;

use bytes::Bytes;
use cairn_core::Buffers;
use cairn_core::units::{KIB, MIB, PUT_BYTES_MAX};
use cairn_machine::rows::object::{Checksum, ChecksumKind, Etag};
use futures::StreamExt;
use http::HeaderMap;
use s3s::dto::StreamingBlob;
use s3s::{TrailingHeaders, s3_error};

use crate::body::BodyFault;
use crate::digest::{Digests, Promises};
use crate::fault::Fault;

/// How many bytes a second a body must bring, on average over an extent.
const RATE_MIN: u64 = 64 * KIB;

/// How long a body may take beside what its length allows.
const PATIENCE: Duration = Duration::from_secs(30);

/// Where long bodies are gathered: one that has been written leaves its memory to the next. What is kept beside that is
/// as much as two extents take, and not reserved by anybody.
static BODIES: LazyLock<Arc<Buffers>> = LazyLock::new(|| Buffers::keeping(32 * MIB as usize));

/// Says of a request, among its extensions, that nobody knows the length of its body before its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LengthAtEnd {
    /// How long it may become.
    pub bytes_max: u64,
}

/// A body on its way in.
#[derive(Debug)]
pub struct Upload {
    stream: StreamingBlob,
    /// What came with the last read and was not asked for yet.
    rest: Bytes,
    /// Exactly, or at most where the end is not known.
    left: u64,
    length_at_end: bool,
    promises: Promises,
    trailers: Option<TrailingHeaders>,
}

impl Upload {
    /// A body whose length must be known beforehand, as S3 demands.
    pub fn new(
        stream: StreamingBlob,
        declared: Option<i64>,
        headers: &HeaderMap,
        trailers: Option<TrailingHeaders>,
    ) -> Result<Self, Fault> {
        let declared = declared.ok_or_else(|| s3_error!(MissingContentLength))?;
        let left = u64::try_from(declared).map_err(|_| s3_error!(InvalidArgument, "A negative length."))?;
        if left > PUT_BYTES_MAX {
            return Err(BodyFault::TooLarge.into());
        }
        let promises = Promises::from_headers(headers)?;
        Ok(Self { stream, rest: Bytes::new(), left, length_at_end: false, promises, trailers })
    }

    /// A body that ends where its stream does, which knows how long it may be: nothing of it is told before.
    pub fn with_length_at_end(stream: StreamingBlob, at_end: LengthAtEnd, headers: &HeaderMap) -> Result<Self, Fault> {
        let (left, promises) = (at_end.bytes_max.min(PUT_BYTES_MAX), Promises::from_headers(headers)?);
        Ok(Self { stream, rest: Bytes::new(), left, length_at_end: true, promises, trailers: None })
    }

    /// Has this checksum computed where the client named none.
    pub fn or_kind(mut self, kind: ChecksumKind) -> Self {
        self.promises = self.promises.or_kind(kind);
        self
    }

    /// How many bytes are still to come; at most so many, where the length is known at the end.
    pub fn left(&self) -> u64 {
        self.left
    }

    /// What was promised.
    pub fn promises(&self) -> &Promises {
        &self.promises
    }

    /// The next bytes, exactly so many, in one piece; fewer only where the length is known at the end, and this is it. Memory for them is reserved by whoever asks, so they must come at
    /// [`RATE_MIN`] at least: a client that dawdles would keep others from writing.
    pub async fn take(&mut self, wanted: u64) -> Result<Bytes, Fault> {
        let patience = PATIENCE + Duration::from_secs(wanted / RATE_MIN);
        let taken = tokio::time::timeout(patience, self.gather(wanted)).await;
        taken.unwrap_or(Err(BodyFault::Idle(patience).into()))
    }

    async fn gather(&mut self, wanted: u64) -> Result<Bytes, Fault> {
        assert!(wanted > 0 && wanted <= self.left, "nobody asks for more than was declared");
        let length = usize::try_from(wanted).expect("an extent fits in memory");
        let Some(first) = self.next().await? else {
            self.left = 0;
            return Ok(Bytes::new());
        };
        self.left -= wanted;
        if first.len() >= length {
            self.rest = first;
            return Ok(self.rest.split_to(length));
        }
        // Gathered by copying: slices of the connection's buffers would pin far more than they hold.
        let mut gathered = BODIES.take(length);
        let (mut filled, mut part) = (0, first);
        loop {
            let piece = part.split_to(part.len().min(length - filled));
            gathered.room()[filled..filled + piece.len()].copy_from_slice(&piece);
            filled += piece.len();
            self.rest = part;
            if filled == length {
                break;
            }
            let Some(next) = self.next().await? else {
                self.left = 0;
                break;
            };
            part = next;
        }
        gathered.truncate(filled);
        Ok(gathered.into_bytes())
    }

    /// Some more bytes, at least one; none at an end that was not known before.
    async fn next(&mut self) -> Result<Option<Bytes>, Fault> {
        if !self.rest.is_empty() {
            return Ok(Some(std::mem::take(&mut self.rest)));
        }
        loop {
            match self.stream.next().await {
                Some(Ok(part)) if part.is_empty() => {}
                Some(Ok(part)) => return Ok(Some(part)),
                Some(Err(error)) => return Err(BodyFault::classify(&*error).into()),
                None if self.length_at_end => return Ok(None),
                None => return Err(BodyFault::Incomplete.into()),
            }
        }
    }

    /// Makes sure that the body ends where it was said to, and that it is what was promised. The ETag and the checksum to
    /// keep with it.
    pub async fn finish(mut self, digests: &Digests) -> Result<(Etag, Option<Checksum>), Fault> {
        assert_eq!(self.left, 0, "the end is looked for behind the last byte");
        if !self.rest.is_empty() {
            return Err(BodyFault::Overlong.into());
        }
        // The end must be asked for: signatures of the last chunk and of trailers are checked on the way to it.
        while let Some(part) = self.stream.next().await {
            match part {
                Ok(part) if part.is_empty() => {}
                Ok(_) => return Err(BodyFault::Overlong.into()),
                Err(error) => return Err(BodyFault::classify(&*error).into()),
            }
        }
        let trailers = self.trailers.as_ref().and_then(TrailingHeaders::take);
        let checksum = self.promises.verify(digests, trailers.as_ref())?;
        Ok((Etag { md5: digests.md5, parts: None }, Some(checksum)))
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use futures::stream;

    use super::*;
    use crate::digest::BodyHasher;

    fn upload(parts: &[&'static str], declared: Option<i64>) -> Result<Upload, Fault> {
        let parts: Vec<_> = parts.iter().map(|part| Ok::<_, io::Error>(Bytes::from_static(part.as_bytes()))).collect();
        Upload::new(StreamingBlob::wrap(stream::iter(parts)), declared, &HeaderMap::new(), None)
    }

    async fn whole(parts: &[&'static str], declared: i64, step: u64) -> Result<(String, Etag), Fault> {
        let mut upload = upload(parts, Some(declared))?;
        let mut hasher = BodyHasher::new(upload.promises());
        let mut text = String::new();
        while upload.left() > 0 {
            let bytes = upload.take(upload.left().min(step)).await?;
            hasher.update(&bytes);
            text.push_str(std::str::from_utf8(&bytes).unwrap());
        }
        let (etag, _) = upload.finish(&hasher.finish()).await?;
        Ok((text, etag))
    }

    #[tokio::test]
    async fn any_cut_of_the_stream_gives_the_same_bytes() {
        for parts in [&["123456789"][..], &["1", "2345", "", "6789"], &["12345678", "9", ""]] {
            for step in 1..=9 {
                let (text, etag) = whole(parts, 9, step).await.unwrap();
                assert_eq!(text, "123456789");
                assert_eq!(etag.to_string(), "25f9e794323b453885f5181f1b624d0b");
            }
        }
        assert_eq!(whole(&[], 0, 1).await.unwrap().1.to_string(), "d41d8cd98f00b204e9800998ecf8427e");
    }

    #[tokio::test]
    async fn a_body_may_say_its_length_with_its_end() {
        for (parts, most) in [(&["123456789"][..], 9), (&["1", "2345", "", "6789"], 20), (&["12345678", "9", ""], 10)] {
            for step in 1..=21 {
                let parts: Vec<_> =
                    parts.iter().map(|part| Ok::<_, io::Error>(Bytes::from_static(part.as_bytes()))).collect();
                let stream = StreamingBlob::wrap(stream::iter(parts));
                let at_end = LengthAtEnd { bytes_max: most };
                let mut upload = Upload::with_length_at_end(stream, at_end, &HeaderMap::new()).unwrap();
                let mut text = Vec::new();
                while upload.left() > 0 {
                    text.extend_from_slice(&upload.take(upload.left().min(step)).await.unwrap());
                }
                assert_eq!(text, b"123456789", "{most} in steps of {step}");
                let digests = BodyHasher::new(upload.promises()).finish();
                upload.finish(&digests).await.unwrap();
            }
        }
    }

    #[tokio::test]
    async fn a_body_of_another_length_is_no_object() {
        let incomplete = whole(&["1234"], 5, 5).await.unwrap_err();
        assert!(matches!(incomplete, Fault::Body(BodyFault::Incomplete)), "{incomplete}");
        for parts in [&["123456"][..], &["12345", "6"]] {
            let overlong = whole(parts, 5, 5).await.unwrap_err();
            assert!(matches!(overlong, Fault::Body(BodyFault::Overlong)), "{overlong}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_dawdles_is_given_up() {
        // A byte every 50 seconds is never idle for long, and would hold its memory for years.
        let drops = stream::unfold((), |()| async {
            tokio::time::sleep(Duration::from_secs(50)).await;
            Some((Ok::<_, io::Error>(Bytes::from_static(b"x")), ()))
        });
        let drops = sync_wrapper(drops);
        let length = 4 * 1024 * 1024;
        let mut upload = Upload::new(drops, Some(length), &HeaderMap::new(), None).unwrap();
        let began = tokio::time::Instant::now();
        let slow = upload.take(length as u64).await.unwrap_err();
        assert!(matches!(slow, Fault::Body(BodyFault::Idle(_))), "{slow}");
        assert_eq!(began.elapsed(), PATIENCE + Duration::from_secs(64));
    }

    /// A body must be shareable between threads; a channel is, whatever feeds it.
    fn sync_wrapper(stream: impl futures::Stream<Item = io::Result<Bytes>> + Send + 'static) -> StreamingBlob {
        let (sender, receiver) = tokio::sync::mpsc::channel(1);
        tokio::spawn(async move {
            let mut stream = std::pin::pin!(stream);
            while let Some(part) = stream.next().await {
                if sender.send(part).await.is_err() {
                    return;
                }
            }
        });
        struct Received(tokio::sync::mpsc::Receiver<io::Result<Bytes>>);
        impl futures::Stream for Received {
            type Item = io::Result<Bytes>;
            fn poll_next(
                mut self: std::pin::Pin<&mut Self>,
                cx: &mut std::task::Context<'_>,
            ) -> std::task::Poll<Option<Self::Item>> {
                self.0.poll_recv(cx)
            }
        }
        StreamingBlob::wrap(Received(receiver))
    }

    #[test]
    fn a_length_is_demanded_and_bounded() {
        let code = |fault| s3s::S3Error::from(fault).code().as_str().to_owned();
        assert_eq!(code(upload(&[], None).unwrap_err()), "MissingContentLength");
        assert_eq!(code(upload(&[], Some(5 << 30 | 1)).unwrap_err()), "EntityTooLarge");
        assert_eq!(upload(&[], Some(5 << 30)).unwrap().left(), 5 << 30);
    }
}

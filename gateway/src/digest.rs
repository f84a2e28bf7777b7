//! What a client says about a body beforehand, what the body turns out to be, and whether the two agree.
//!
//! s3s checks `x-amz-content-sha256`; everything else that a client may promise is checked here: `Content-MD5`,
//! `x-amz-checksum-*` as a header, and the same as a trailer behind the body. [`combine`] makes one checksum of those of
//! many parts, [`md5`] the ETag.

pub mod combine;
pub mod md5;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use cairn_machine::rows::object::{Checksum, ChecksumKind};
use http::HeaderMap;
use s3s::{S3Error, S3ErrorCode, S3Result, s3_error};
use sha1::Sha1;
use sha2::{Digest as _, Sha256};

use self::md5::RunningMd5;
use self::md5::together::Together;

/// The kinds that are built, with their names in headers.
const KINDS: [(ChecksumKind, &str, usize); 5] = [
    (ChecksumKind::Crc32, "crc32", 4),
    (ChecksumKind::Crc32c, "crc32c", 4),
    (ChecksumKind::Crc64Nvme, "crc64nvme", 8),
    (ChecksumKind::Sha1, "sha1", 20),
    (ChecksumKind::Sha256, "sha256", 32),
];

/// How a kind is called in `x-amz-checksum-<name>`, and how long its digest is.
pub fn name_and_length(kind: ChecksumKind) -> (&'static str, usize) {
    let found = KINDS.iter().find(|(other, ..)| *other == kind);
    found.map(|(_, name, length)| (*name, *length)).expect("every kind stands in the table")
}

/// The kind that clients call by this name, in whatever case, and how long its digest is.
pub fn kind_named(name: &str) -> Option<(ChecksumKind, usize)> {
    KINDS.iter().find(|(_, other, _)| other.eq_ignore_ascii_case(name)).map(|(kind, _, length)| (*kind, *length))
}

/// A running checksum of one kind.
pub(crate) enum Running {
    Crc(crc_fast::Digest, usize),
    Sha1(Sha1),
    Sha256(Sha256),
}

impl Running {
    pub(crate) fn new(kind: ChecksumKind) -> Self {
        match (kind, combine::crc(kind)) {
            (_, Some(algorithm)) => Self::Crc(crc_fast::Digest::new(algorithm), name_and_length(kind).1),
            (ChecksumKind::Sha1, None) => Self::Sha1(Sha1::new()),
            (_, None) => Self::Sha256(Sha256::new()),
        }
    }

    pub(crate) fn update(&mut self, bytes: &[u8]) {
        match self {
            Self::Crc(crc, _) => crc.update(bytes),
            Self::Sha1(sha1) => sha1.update(bytes),
            Self::Sha256(sha256) => sha256.update(bytes),
        }
    }

    pub(crate) fn finish(self) -> Vec<u8> {
        match self {
            Self::Crc(crc, length) => crc.finalize().to_be_bytes()[8 - length..].to_vec(),
            Self::Sha1(sha1) => sha1.finalize().to_vec(),
            Self::Sha256(sha256) => sha256.finalize().to_vec(),
        }
    }
}

/// Hashes a body as it comes: the MD5 that becomes the ETag, and what the client asked for.
pub struct BodyHasher {
    md5: RunningMd5,
    kind: ChecksumKind,
    running: Running,
}

/// What a body turned out to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Digests {
    /// Its MD5.
    pub md5: [u8; 16],
    /// Its checksum.
    pub checksum: (ChecksumKind, Vec<u8>),
}

impl BodyHasher {
    /// Computes what these promises need, and a checksum of the default kind where they name none.
    pub fn new(promises: &Promises) -> Self {
        let kind = promises.kind();
        Self { md5: RunningMd5::default(), kind, running: Running::new(kind) }
    }

    /// The next bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        self.md5.update(bytes);
        self.running.update(bytes);
    }

    /// The next bytes, their MD5 in step with that of other streams.
    pub async fn update_together(self, bytes: Bytes, together: &Together) -> Self {
        let Self { md5, kind, mut running } = self;
        let checksum = {
            let bytes = bytes.clone();
            together.pool().run(bytes.len(), move || {
                running.update(&bytes);
                running
            })
        };
        let (md5, running) = tokio::join!(together.update(md5, bytes), checksum);
        Self { md5, kind, running }
    }

    /// The end.
    pub fn finish(self) -> Digests {
        Digests { md5: self.md5.finish(), checksum: (self.kind, self.running.finish()) }
    }
}

impl core::fmt::Debug for BodyHasher {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("BodyHasher")
    }
}

/// The kind that is computed and kept where a client names none: the one that AWS takes, so that every object has a
/// checksum that newer clients compare when they read it. It costs a thirtieth of the MD5.
pub const KIND_DEFAULT: ChecksumKind = ChecksumKind::Crc64Nvme;

/// A checksum that a client promised.
#[derive(Debug, Clone, PartialEq, Eq)]
enum PromisedChecksum {
    /// It stands in a header.
    Header(ChecksumKind, Vec<u8>),
    /// It will stand in a trailer.
    Trailer(ChecksumKind),
    /// None will come: the server is to compute it.
    Asked(ChecksumKind),
}

impl PromisedChecksum {
    fn kind(&self) -> ChecksumKind {
        match self {
            Self::Header(kind, _) | Self::Trailer(kind) | Self::Asked(kind) => *kind,
        }
    }
}

/// What a client said about a body before it sent it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Promises {
    md5: Option<[u8; 16]>,
    checksum: Option<PromisedChecksum>,
}

impl Promises {
    /// Reads them from the headers of a request. What contradicts itself or is not built is refused.
    pub fn from_headers(headers: &HeaderMap) -> S3Result<Self> {
        let md5 = headers.get("content-md5").map(|value| decode_md5(value.as_bytes())).transpose()?;
        let mut checksum = None;
        for (name, value) in headers {
            let Some(suffix) = name.as_str().strip_prefix("x-amz-checksum-") else { continue };
            if matches!(suffix, "mode" | "type" | "algorithm") {
                continue;
            }
            let (kind, length) = kind_named(suffix)
                .ok_or_else(|| s3_error!(NotImplemented, "The checksum {suffix} is not implemented."))?;
            let digest = decode(value.as_bytes(), length)
                .ok_or_else(|| s3_error!(InvalidRequest, "Value for {name} header is invalid."))?;
            if checksum.replace(PromisedChecksum::Header(kind, digest)).is_some() {
                return Err(several());
            }
        }
        for name in trailer_names(headers)? {
            let suffix = name.strip_prefix("x-amz-checksum-");
            let (kind, _) = suffix
                .and_then(kind_named)
                .ok_or_else(|| s3_error!(NotImplemented, "The trailer {name} is not implemented."))?;
            if checksum.replace(PromisedChecksum::Trailer(kind)).is_some() {
                return Err(several());
            }
        }
        let mut promises = Self { md5, checksum };
        promises.take_announced(headers)?;
        Ok(promises)
    }

    /// Reads only what is said in `Content-MD5`: where the checksums in the headers are of something else than the body.
    pub fn md5_only(headers: &HeaderMap) -> S3Result<Self> {
        let md5 = headers.get("content-md5").map(|value| decode_md5(value.as_bytes())).transpose()?;
        Ok(Self { md5, checksum: None })
    }

    /// Two headers name a kind. What `x-amz-sdk-checksum-algorithm` announces must be there; what
    /// `x-amz-checksum-algorithm` names is computed where it is not.
    fn take_announced(&mut self, headers: &HeaderMap) -> S3Result<()> {
        for header in ["x-amz-sdk-checksum-algorithm", "x-amz-checksum-algorithm"] {
            let Some(announced) = headers.get(header).filter(|value| !value.is_empty()) else { continue };
            let kind = announced.to_str().ok().and_then(kind_named).map(|(kind, _)| kind);
            let kind = kind.ok_or_else(|| s3_error!(InvalidRequest, "Checksum algorithm provided is unsupported."))?;
            match self.checksum.as_ref().map(PromisedChecksum::kind) {
                Some(sent) if sent == kind => {}
                // Older clients announce a checksum and send Content-MD5: the body is covered all the same.
                None if self.md5.is_some() => self.checksum = Some(PromisedChecksum::Asked(kind)),
                None if header == "x-amz-checksum-algorithm" => self.checksum = Some(PromisedChecksum::Asked(kind)),
                _ => {
                    return Err(s3_error!(
                        InvalidRequest,
                        "{header} specified, but no corresponding x-amz-checksum-* or x-amz-trailer headers were found."
                    ));
                }
            }
        }
        Ok(())
    }

    /// Has this kind computed where the client named none: the parts of an upload have the kind of the upload.
    pub fn or_kind(mut self, kind: ChecksumKind) -> Self {
        self.checksum.get_or_insert(PromisedChecksum::Asked(kind));
        self
    }

    /// The kind that the client named.
    pub fn named_kind(&self) -> Option<ChecksumKind> {
        self.checksum.as_ref().map(PromisedChecksum::kind)
    }

    /// Which checksum is computed.
    pub fn kind(&self) -> ChecksumKind {
        self.named_kind().unwrap_or(KIND_DEFAULT)
    }

    /// Whether anything was said at all.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Compares with what came. The checksum is what is kept with the object.
    pub fn verify(&self, digests: &Digests, trailers: Option<&HeaderMap>) -> S3Result<Checksum> {
        if self.md5.is_some_and(|promised| promised != digests.md5) {
            return Err(s3_error!(BadDigest, "The Content-MD5 you specified did not match what we received."));
        }
        let (kind, computed) = &digests.checksum;
        assert_eq!(*kind, self.kind(), "digests by a hasher that was made from these promises");
        let (name, length) = name_and_length(*kind);
        let matches = match &self.checksum {
            None | Some(PromisedChecksum::Asked(_)) => true,
            Some(PromisedChecksum::Header(_, digest)) => digest == computed,
            Some(PromisedChecksum::Trailer(_)) => {
                let header = format!("x-amz-checksum-{name}");
                let value = trailers.and_then(|map| map.get(&header)).ok_or_else(missing_trailer)?;
                let digest = decode(value.as_bytes(), length)
                    .ok_or_else(|| s3_error!(InvalidRequest, "Value for {header} trailing header is invalid."))?;
                &digest == computed
            }
        };
        if !matches {
            let name = name.to_ascii_uppercase();
            return Err(s3_error!(BadDigest, "The {name} you specified did not match the calculated checksum."));
        }
        Ok(Checksum { kind: *kind, digest: computed.clone(), parts: None })
    }
}

fn several() -> S3Error {
    s3_error!(InvalidRequest, "Expecting a single x-amz-checksum- header. Multiple checksum Types are not allowed.")
}

/// A body that ends without what `x-amz-trailer` promised.
pub fn missing_trailer() -> S3Error {
    let mut error = S3Error::with_message(
        S3ErrorCode::Custom("MalformedTrailerError".into()),
        "The request contained trailing data that was not well-formed or did not conform to our published schema.",
    );
    error.set_status_code(http::StatusCode::BAD_REQUEST);
    error
}

/// The names in `x-amz-trailer`, in lower case.
fn trailer_names(headers: &HeaderMap) -> S3Result<Vec<String>> {
    let mut names = Vec::new();
    for value in headers.get_all("x-amz-trailer") {
        let value = value.to_str().map_err(|_| s3_error!(InvalidRequest, "x-amz-trailer is not text."))?;
        names.extend(value.split(',').map(|name| name.trim().to_ascii_lowercase()).filter(|name| !name.is_empty()));
    }
    Ok(names)
}

fn decode(text: &[u8], length: usize) -> Option<Vec<u8>> {
    BASE64.decode(text).ok().filter(|digest| digest.len() == length)
}

fn decode_md5(text: &[u8]) -> S3Result<[u8; 16]> {
    decode(text, 16).and_then(|digest| digest.try_into().ok()).ok_or_else(|| s3_error!(InvalidDigest))
}

/// A digest as headers carry it.
pub fn encode(digest: &[u8]) -> String {
    BASE64.encode(digest)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (http::HeaderName::from_static(name), value.parse().unwrap())).collect()
    }

    fn digests(promises: &Promises, body: &[u8]) -> Digests {
        let mut hasher = BodyHasher::new(promises);
        body.chunks(3).for_each(|part| hasher.update(part));
        hasher.finish()
    }

    fn code(result: S3Result<impl core::fmt::Debug>) -> String {
        result.unwrap_err().code().as_str().to_owned()
    }

    /// The check values of the algorithms' own definitions, over "123456789".
    #[test]
    fn each_kind_computes_its_known_answer() {
        for (kind, hex_digest) in [
            (ChecksumKind::Crc32, "cbf43926"),
            (ChecksumKind::Crc32c, "e3069283"),
            (ChecksumKind::Crc64Nvme, "ae8b14860a799888"),
            (ChecksumKind::Sha1, "f7c3bc1d808e04732adf679965ccc34ca7ae3441"),
            (ChecksumKind::Sha256, "15e2b0d3c33891ebb0f1ef609ec419420c20e320ce94c65fbc8c3312448eb225"),
        ] {
            let (name, length) = name_and_length(kind);
            let digest = hex::decode(hex_digest).unwrap();
            assert_eq!(digest.len(), length);
            let header = http::HeaderName::from_bytes(format!("x-amz-checksum-{name}").as_bytes()).unwrap();
            let sent = HeaderMap::from_iter([(header, encode(&digest).parse().unwrap())]);
            let promises = Promises::from_headers(&sent).unwrap();
            let kept = promises.verify(&digests(&promises, b"123456789"), None).unwrap();
            assert_eq!((kept.kind, kept.digest), (kind, digest));
            assert_eq!(code(promises.verify(&digests(&promises, b"12345678"), None)), "BadDigest");
        }
    }

    #[test]
    fn content_md5_is_checked() {
        let sent = headers(&[("content-md5", "JfnnlDI7RTiF9RgfG2JNCw==")]);
        let promises = Promises::from_headers(&sent).unwrap();
        promises.verify(&digests(&promises, b"123456789"), None).unwrap();
        assert_eq!(code(promises.verify(&digests(&promises, b"x"), None)), "BadDigest");
        assert_eq!(code(Promises::from_headers(&headers(&[("content-md5", "short")]))), "InvalidDigest");
    }

    #[test]
    fn a_promised_trailer_must_come() {
        let promises = Promises::from_headers(&headers(&[("x-amz-trailer", "x-amz-checksum-crc32")])).unwrap();
        let digests = digests(&promises, b"123456789");
        let right = headers(&[("x-amz-checksum-crc32", "y/Q5Jg==")]);
        promises.verify(&digests, Some(&right)).unwrap();
        assert_eq!(code(promises.verify(&digests, None)), "MalformedTrailerError");
        assert_eq!(code(promises.verify(&digests, Some(&HeaderMap::new()))), "MalformedTrailerError");
        let wrong = headers(&[("x-amz-checksum-crc32", "AAAAAA==")]);
        assert_eq!(code(promises.verify(&digests, Some(&wrong))), "BadDigest");
    }

    #[test]
    fn a_checksum_is_computed_where_none_came() {
        for (sent, kind, digest) in [
            (&[][..], ChecksumKind::Crc64Nvme, "rosUhgp5mIg="),
            (&[("x-amz-checksum-algorithm", "CRC32")], ChecksumKind::Crc32, "y/Q5Jg=="),
            (&[("x-amz-checksum-algorithm", "sha1")], ChecksumKind::Sha1, "98O8HYCOBHMq32eZZczDTKeuNEE="),
            (
                &[("content-md5", "JfnnlDI7RTiF9RgfG2JNCw=="), ("x-amz-sdk-checksum-algorithm", "CRC32")],
                ChecksumKind::Crc32,
                "y/Q5Jg==",
            ),
        ] {
            let promises = Promises::from_headers(&headers(sent)).unwrap();
            let kept = promises.verify(&digests(&promises, b"123456789"), None).unwrap();
            assert_eq!((kept.kind, encode(&kept.digest)), (kind, digest.to_owned()), "{sent:?}");
        }
        let part = Promises::default().or_kind(ChecksumKind::Crc32c);
        assert_eq!((part.kind(), part.named_kind()), (ChecksumKind::Crc32c, Some(ChecksumKind::Crc32c)));
        let named = Promises::from_headers(&headers(&[("x-amz-checksum-crc32", "y/Q5Jg==")])).unwrap();
        assert_eq!(named.or_kind(ChecksumKind::Crc32c).kind(), ChecksumKind::Crc32);
    }

    #[test]
    fn contradictions_and_what_is_not_built_are_refused() {
        for (sent, expected) in [
            (
                &[("x-amz-checksum-crc32", "y/Q5Jg=="), ("x-amz-checksum-sha1", "98O8HYCOBHMq32eZZczDTKeuNEE=")][..],
                "InvalidRequest",
            ),
            (&[("x-amz-checksum-crc32", "AAAA")], "InvalidRequest"),
            (&[("x-amz-checksum-xxhash3", "AAAA")], "NotImplemented"),
            (&[("x-amz-trailer", "x-amz-meta-late")], "NotImplemented"),
            (&[("x-amz-trailer", "x-amz-checksum-crc32"), ("x-amz-checksum-crc32", "y/Q5Jg==")], "InvalidRequest"),
            (&[("x-amz-sdk-checksum-algorithm", "CRC32")], "InvalidRequest"),
            (&[("x-amz-sdk-checksum-algorithm", "SHA1"), ("x-amz-checksum-crc32", "y/Q5Jg==")], "InvalidRequest"),
        ] {
            assert_eq!(code(Promises::from_headers(&headers(sent))), expected, "{sent:?}");
        }
        assert!(Promises::from_headers(&headers(&[("x-amz-checksum-mode", "ENABLED")])).unwrap().is_empty());
    }
}

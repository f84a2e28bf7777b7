//! Why a request has no success, and what S3 calls that.
//!
//! The object and bucket layers speak of [`Fault`]s, which say what the caller does about them; here, and only here, they
//! become the codes that AWS would send.

use cairn_core::WallTime;
use cairn_erasure::{ReadStripeError, WriteStripeError};
use cairn_machine::rows::object::Etag;
use cairn_machine::{Refusal, RowError};
use cairn_metadata::{ProposeError, ReadError};
use cairn_placement::PlaceError;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use s3s::{S3Error, s3_error};

use crate::body::BodyFault;
use crate::budget::OutOfMemory;
use crate::object::lock;

/// Why a request has no success.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    /// The client named a bucket that is not there.
    #[error("no such bucket")]
    NoSuchBucket,
    /// The client named a key that is not there.
    #[error("no such key")]
    NoSuchKey,
    /// What the client wants to read is a delete marker.
    #[error("it is a delete marker")]
    DeleteMarker {
        /// The marker's id, as clients know it.
        version_id: String,
        /// Since when it is there, where the client named this very version: then it is no object that is missing, but the
        /// wrong question.
        named: Option<WallTime>,
    },
    /// The client named a version that is not there.
    #[error("no such version")]
    NoSuchVersion,
    /// A condition of the client's does not hold.
    #[error("a condition does not hold")]
    PreconditionFailed,
    /// What the client has is what there is.
    #[error("not modified")]
    NotModified {
        /// The tag of what there is.
        etag: Etag,
        /// Since when it is there.
        modified: WallTime,
    },
    /// The client asked for bytes behind the object's end.
    #[error("the range lies outside of {size} bytes")]
    InvalidRange {
        /// How many bytes the object has.
        size: u64,
    },
    /// The body is not what it should be: the client mends it or sends it again.
    #[error(transparent)]
    Body(#[from] BodyFault),
    /// The request is wrong in a way that is best said in S3's own words.
    #[error("{0}")]
    Request(S3Error),
    /// Nothing happened, and it would go well a little later.
    #[error("too much is under way")]
    Busy,
    /// Nobody knows whether it happened. The client looks, or does it again where that does no harm.
    #[error("it is not known whether it happened: {0}")]
    Unknown(String),
    /// Metadata cannot be asked at the moment.
    #[error("metadata is not available: {0}")]
    Unavailable(String),
    /// Metadata can be read and not written. The client hears why: only an operator can help.
    #[error("{0}")]
    ReadOnly(String),
    /// Too few drives take data for what the profile promises (invariant 9). An operator brings drives back.
    #[error("too few drives take data")]
    TooFewDrives(#[source] Option<WriteStripeError>),
    /// Bytes that were acknowledged cannot be read at the moment, or are lost. An operator looks at the drives.
    #[error("bytes cannot be read")]
    Unreadable(#[from] ReadStripeError),
    /// Rows cannot be read or contradict themselves. An operator looks at the node.
    #[error("rows cannot be read")]
    Rows(#[from] RowError),
    /// The state machine refused what this gateway asked of it. A defect: report it.
    #[error("the state machine refused: {0}")]
    Refused(Refusal),
}

impl Fault {
    /// The fault behind a refusal that concerns the client.
    pub fn of_refusal(refusal: Refusal) -> Self {
        match refusal {
            Refusal::NoSuchBucket => Self::NoSuchBucket,
            Refusal::NoSuchKey => Self::NoSuchKey,
            Refusal::NoSuchVersion => Self::NoSuchVersion,
            Refusal::PreconditionFailed => Self::PreconditionFailed,
            Refusal::Marker => Self::Request(s3_error!(MethodNotAllowed)),
            Refusal::Locked => {
                Self::Request(s3_error!(AccessDenied, "Access Denied because object protected by object lock."))
            }
            Refusal::NoLock => Self::Request(lock::no_lock()),
            Refusal::VersioningRequired => Self::Request(s3_error!(
                InvalidBucketState,
                "Versioning must be 'Enabled' on the bucket while its versions can be locked."
            )),
            Refusal::NoSuchUpload => Self::Request(s3_error!(NoSuchUpload)),
            Refusal::BucketNotEmpty => Self::Request(s3_error!(BucketNotEmpty)),
            Refusal::BucketExists { .. } => Self::Request(s3_error!(BucketAlreadyOwnedByYou)),
            // The write lost its session or its drives on the way, and is whole again when it is repeated.
            Refusal::SessionEnded | Refusal::StaleWrite | Refusal::PlaceAnew { .. } => Self::Busy,
            other => Self::Refused(other),
        }
    }

    /// Whether an operator should hear of it.
    fn is_ours(&self) -> bool {
        matches!(
            self,
            Self::TooFewDrives(_) | Self::Unreadable(_) | Self::Rows(_) | Self::Refused(_) | Self::Unknown(_)
        )
    }
}

impl From<OutOfMemory> for Fault {
    fn from(_: OutOfMemory) -> Self {
        Self::Busy
    }
}

impl From<ProposeError> for Fault {
    fn from(error: ProposeError) -> Self {
        match error {
            ProposeError::Unavailable(reason) => Self::Unknown(reason),
            ProposeError::Overloaded | ProposeError::SessionEnded(_) => Self::Busy,
            ProposeError::Closed | ProposeError::NotYet { .. } => Self::Unavailable(error.to_string()),
            ProposeError::ReadOnly(covered) => Self::ReadOnly(covered.to_string()),
            ProposeError::Refused(refusal) => Self::of_refusal(refusal),
            ProposeError::TooLarge { .. } => Self::Refused(Refusal::TooLarge),
        }
    }
}

impl From<PlaceError> for Fault {
    fn from(error: PlaceError) -> Self {
        match error {
            PlaceError::Busy => Self::Busy,
            PlaceError::TooFewDrives(cause) => Self::TooFewDrives(cause),
            PlaceError::Unreadable(error) => Self::Unreadable(error),
            PlaceError::Rows(error) => Self::Rows(error),
            PlaceError::Propose(error) => error.into(),
            PlaceError::Refused(refusal) => Self::of_refusal(refusal),
        }
    }
}

impl From<ReadError> for Fault {
    fn from(error: ReadError) -> Self {
        Self::Unavailable(error.to_string())
    }
}

impl From<S3Error> for Fault {
    fn from(error: S3Error) -> Self {
        Self::Request(error)
    }
}

/// `Last-Modified` and its like, to the second.
pub fn http_date(time: WallTime) -> HeaderValue {
    let text = httpdate::fmt_http_date(time.to_system());
    HeaderValue::try_from(text).expect("a date is a header's value")
}

/// A tag as headers carry it, quotes included.
pub fn etag_header(etag: &Etag) -> HeaderValue {
    HeaderValue::try_from(format!("\"{etag}\"")).expect("hexadecimal digits are a header's value")
}

impl From<Fault> for S3Error {
    fn from(fault: Fault) -> Self {
        if fault.is_ours() {
            let cause = std::error::Error::source(&fault).map(ToString::to_string);
            tracing::warn!(%fault, cause, "a request failed for a reason of our own");
        }
        match fault {
            Fault::NoSuchBucket => s3_error!(NoSuchBucket),
            Fault::NoSuchKey => s3_error!(NoSuchKey),
            Fault::DeleteMarker { version_id, named } => marker_error(&version_id, named),
            Fault::NoSuchVersion => s3_error!(NoSuchVersion),
            Fault::PreconditionFailed => s3_error!(PreconditionFailed),
            Fault::NotModified { etag, modified } => {
                let mut error = s3_error!(NotModified);
                let headers = [("etag", etag_header(&etag)), ("last-modified", http_date(modified))];
                error.set_headers(with_headers(headers));
                error
            }
            Fault::InvalidRange { size } => {
                let mut error = s3_error!(InvalidRange);
                let range = HeaderValue::try_from(format!("bytes */{size}")).expect("digits are a header's value");
                error.set_headers(with_headers([("content-range", range)]));
                error
            }
            Fault::Body(fault) => fault.into(),
            Fault::Request(error) => error,
            Fault::Busy => s3_error!(SlowDown),
            Fault::Unknown(_) | Fault::Unavailable(_) | Fault::TooFewDrives(_) => s3_error!(ServiceUnavailable),
            Fault::ReadOnly(why) => s3_error!(ServiceUnavailable, "{why}"),
            Fault::Unreadable(_) => {
                let mut error = s3_error!(InternalError, "The object cannot be read at the moment.");
                error.set_status_code(StatusCode::SERVICE_UNAVAILABLE);
                error
            }
            Fault::Rows(_) | Fault::Refused(_) => s3_error!(InternalError),
        }
    }
}

/// A delete marker has nothing to read. Asked for as the newest version it is a key that is not there; asked for by its
/// id it is something that can only be deleted.
fn marker_error(version_id: &str, named: Option<WallTime>) -> S3Error {
    let version_id = HeaderValue::try_from(version_id).expect("digits and letters are a header's value");
    let marker = [("x-amz-delete-marker", HeaderValue::from_static("true")), ("x-amz-version-id", version_id)];
    let mut headers = with_headers(marker);
    let mut error = match named {
        None => s3_error!(NoSuchKey),
        Some(modified) => {
            headers.insert(header::ALLOW, HeaderValue::from_static("DELETE"));
            headers.insert(header::LAST_MODIFIED, http_date(modified));
            s3_error!(MethodNotAllowed)
        }
    };
    error.set_headers(headers);
    error
}

/// s3s replaces all headers of an error by those that are set, so its content type is among them.
fn with_headers<const N: usize>(headers: [(&'static str, HeaderValue); N]) -> HeaderMap {
    let xml = (header::CONTENT_TYPE, HeaderValue::from_static("application/xml"));
    headers.into_iter().map(|(name, value)| (http::HeaderName::from_static(name), value)).chain([xml]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_have_the_codes_and_statuses_of_s3() {
        let etag = Etag { md5: [0; 16], parts: None };
        for (fault, code, status) in [
            (Fault::NoSuchBucket, "NoSuchBucket", 404),
            (Fault::NoSuchKey, "NoSuchKey", 404),
            (Fault::DeleteMarker { version_id: "null".into(), named: None }, "NoSuchKey", 404),
            (Fault::DeleteMarker { version_id: "null".into(), named: Some(WallTime(0)) }, "MethodNotAllowed", 405),
            (Fault::PreconditionFailed, "PreconditionFailed", 412),
            (Fault::NotModified { etag, modified: WallTime(0) }, "NotModified", 304),
            (Fault::InvalidRange { size: 5 }, "InvalidRange", 416),
            (Fault::Busy, "SlowDown", 503),
            (Fault::TooFewDrives(None), "ServiceUnavailable", 503),
            (Fault::Unknown(String::new()), "ServiceUnavailable", 503),
            (Fault::Body(BodyFault::Incomplete), "IncompleteBody", 400),
            (Fault::Body(BodyFault::TooLarge), "EntityTooLarge", 400),
            (Fault::of_refusal(Refusal::BucketNotEmpty), "BucketNotEmpty", 409),
            (Fault::of_refusal(Refusal::Locked), "AccessDenied", 403),
            (Fault::of_refusal(Refusal::NoLock), "InvalidRequest", 400),
            (Fault::of_refusal(Refusal::VersioningRequired), "InvalidBucketState", 409),
            (Fault::of_refusal(Refusal::LeaseHeld), "InternalError", 500),
        ] {
            let error = S3Error::from(fault);
            assert_eq!((error.code().as_str(), error.status_code().unwrap().as_u16()), (code, status));
        }
    }

    #[test]
    fn answers_that_carry_headers_carry_them() {
        let error = S3Error::from(Fault::InvalidRange { size: 5 });
        assert_eq!(error.headers().unwrap()["content-range"], "bytes */5");
        let etag = Etag { md5: [0xAB; 16], parts: Some(2) };
        let error = S3Error::from(Fault::NotModified { etag, modified: WallTime(0) });
        assert_eq!(error.headers().unwrap()["etag"], "\"abababababababababababababababab-2\"");
        assert_eq!(error.headers().unwrap()["last-modified"], "Thu, 01 Jan 1970 00:00:00 GMT");
    }
}

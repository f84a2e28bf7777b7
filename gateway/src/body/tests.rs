//! What a watched body lets through, and what it calls what it does not.

use std::convert::Infallible;

use http::HeaderMap;
use http_body_util::{BodyExt, Full, StreamBody};

use super::*;

const IDLE: Duration = Duration::from_secs(30);

fn promises(name: &'static str, value: &str) -> Promises {
    Promises::from_headers(&HeaderMap::from_iter([(http::HeaderName::from_static(name), value.parse().unwrap())]))
        .unwrap()
}

async fn read(
    body: WatchedBody<impl Body<Data = Bytes, Error = impl Error + 'static> + Unpin>,
) -> Result<Bytes, BodyFault> {
    body.collect().await.map(http_body_util::Collected::to_bytes)
}

/// A body that says it has so many bytes, and then yields what it likes.
struct Claims {
    length: u64,
    parts: Vec<Bytes>,
}

impl Body for Claims {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Ready(self.parts.pop().map(|part| Ok(Frame::data(part))))
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.length)
    }
}

#[tokio::test]
async fn a_body_that_nobody_promised_anything_about_passes() {
    let watch = Arc::new(BodyWatch::default());
    let body = WatchedBody::new(Full::new(Bytes::from_static(b"abc")), Arc::clone(&watch), IDLE);
    assert_eq!(read(body).await.unwrap(), "abc");
    assert_eq!(watch.fault(), None);
}

#[tokio::test]
async fn digests_of_a_short_body_are_judged_with_its_last_bytes() {
    for (body, right) in [("123456789", true), ("12345678x", false), ("", false)] {
        let watch = Arc::new(BodyWatch::default());
        watch.expect(promises("x-amz-checksum-crc32", "y/Q5Jg=="), None, 100);
        let mut watched = WatchedBody::new(Full::new(Bytes::from_static(body.as_bytes())), Arc::clone(&watch), IDLE);
        let first = watched.frame().await;
        assert_eq!(first.unwrap().is_ok(), right, "{body}");
        assert_eq!(watch.fault().is_none(), right);
    }
}

#[tokio::test]
async fn the_sha256_of_a_short_body_is_named_as_such() {
    let watch = Arc::new(BodyWatch::default());
    watch.expect(Promises::default(), Some([0; 32]), 100);
    let body = WatchedBody::new(Full::new(Bytes::from_static(b"abc")), Arc::clone(&watch), IDLE);
    assert_eq!(read(body).await.unwrap_err(), BodyFault::Sha256);
    assert_eq!(S3Error::from(watch.fault().unwrap().clone()).code().as_str(), "XAmzContentSHA256Mismatch");
}

#[tokio::test]
async fn bytes_are_counted_against_the_declared_length() {
    let parts = |texts: &[&'static str]| texts.iter().rev().map(|text| Bytes::from_static(text.as_bytes())).collect();
    for (length, texts, expected) in [
        (6, &["abc", "def"][..], Ok("abcdef".into())),
        (7, &["abc", "def"], Err(BodyFault::Incomplete)),
        (5, &["abc", "def"], Err(BodyFault::Overlong)),
    ] {
        let body = WatchedBody::new(Claims { length, parts: parts(texts) }, Arc::default(), IDLE);
        assert_eq!(read(body).await, expected);
    }
}

#[tokio::test]
async fn a_body_over_the_limit_is_refused_before_it_is_read() {
    let watch = Arc::new(BodyWatch::default());
    watch.expect(Promises::default(), None, 2);
    let body = WatchedBody::new(Full::new(Bytes::from_static(b"abc")), watch, IDLE);
    assert_eq!(read(body).await.unwrap_err(), BodyFault::TooLarge);
}

#[tokio::test(start_paused = true)]
async fn a_body_that_stands_still_is_given_up() {
    let first = futures::stream::iter([Ok::<_, Infallible>(Frame::data(Bytes::from_static(b"abc")))]);
    let body = StreamBody::new(futures::StreamExt::chain(first, futures::stream::pending()));
    let watch = Arc::new(BodyWatch::default());
    let body = WatchedBody::new(body, Arc::clone(&watch), IDLE);
    assert_eq!(read(body).await.unwrap_err(), BodyFault::Idle(IDLE));
    assert_eq!(S3Error::from(watch.fault().unwrap().clone()).code().as_str(), "RequestTimeout");
}

#[test]
fn faults_are_found_below_other_errors() {
    let wrapped = UploadStreamError::Underlying(Box::new(BodyFault::Idle(IDLE)));
    assert_eq!(BodyFault::classify(&wrapped), BodyFault::Idle(IDLE));
    let chunked = AwsChunkedStreamError::Underlying(Box::new(UploadStreamError::Sha256Mismatch));
    assert_eq!(BodyFault::classify(&chunked), BodyFault::Sha256);
    assert_eq!(BodyFault::classify(&AwsChunkedStreamError::SignatureMismatch), BodyFault::ChunkSignature);
    assert_eq!(BodyFault::classify(&AwsChunkedStreamError::LengthMismatch), BodyFault::Overlong);
    assert_eq!(BodyFault::classify(&std::io::Error::other("reset")), BodyFault::Incomplete);
}

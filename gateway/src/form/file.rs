//! The file in a form: everything until the form goes on behind it.
//!
//! What may be the beginning of a delimiter is held back until it is known to be one or not: never more than a
//! delimiter's length. Fields behind the file are ignored, as in S3; a little of them is read, so that the connection can
//! be used again.

use core::ops::RangeInclusive;
use core::pin::Pin;
use core::task::{Context, Poll, ready};

use bytes::{Bytes, BytesMut};
use http_body::{Body, Frame};
use memchr::memmem::Finder;

use super::parts;
use crate::body::BodyFault;

/// How much behind the file is read. Whoever sends more has its connection closed.
const TAIL_BYTES_MAX: usize = 64 * 1024;

/// Finds the end of the file. No I/O.
struct Cutter {
    delimiter: Finder<'static>,
    kept: Bytes,
}

/// What is known of the bytes that came.
enum Cut {
    /// These are the file's, and it goes on.
    More(Bytes),
    /// These are its last, and this follows the delimiter.
    End(Bytes, Bytes),
}

impl Cutter {
    fn cut(&mut self, data: Bytes) -> Cut {
        let mut data = if self.kept.is_empty() {
            data
        } else {
            let mut joined = BytesMut::with_capacity(self.kept.len() + data.len());
            joined.extend_from_slice(&std::mem::take(&mut self.kept));
            joined.extend_from_slice(&data);
            joined.freeze()
        };
        let delimiter = self.delimiter.needle();
        if let Some(at) = self.delimiter.find(&data) {
            let behind = data.split_off(at + delimiter.len());
            data.truncate(at);
            return Cut::End(data, behind);
        }
        let longest = data.len().min(delimiter.len() - 1);
        let kept = (1..=longest).rev().find(|&length| data.ends_with(&delimiter[..length])).unwrap_or(0);
        self.kept = data.split_off(data.len() - kept);
        Cut::More(data)
    }
}

enum State {
    /// The file; first these bytes, which came with the head.
    File(Option<Bytes>),
    /// What follows its delimiter: so many bytes were read of it, and these begin it.
    Tail(BytesMut),
    Done,
}

/// The file of a form, as the body of a PUT. Ends with an error where the form does not, or where the file is not as long
/// as it must be.
pub struct FileBody<B> {
    inner: B,
    cutter: Cutter,
    state: State,
    length: u64,
    range: RangeInclusive<u64>,
}

impl<B> core::fmt::Debug for FileBody<B> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "FileBody({} bytes so far)", self.length)
    }
}

impl<B> FileBody<B> {
    /// The file in a body, of which these bytes were read already. Its length must be in this range.
    pub fn new(inner: B, rest: Bytes, boundary: &str, range: RangeInclusive<u64>) -> Self {
        let delimiter = Finder::new(&parts::delimiter(boundary)).into_owned();
        let cutter = Cutter { delimiter, kept: Bytes::new() };
        Self { inner, cutter, state: State::File(Some(rest)), length: 0, range }
    }

    fn count(&mut self, data: &Bytes) -> Result<(), BodyFault> {
        self.length += data.len() as u64;
        if self.length > *self.range.end() { Err(BodyFault::TooLarge) } else { Ok(()) }
    }

    /// What came of the file next: an error ends it.
    fn take_in(&mut self, data: Bytes) -> Result<Bytes, BodyFault> {
        match self.cutter.cut(data) {
            Cut::More(data) => {
                self.count(&data)?;
                Ok(data)
            }
            Cut::End(data, behind) => {
                self.count(&data)?;
                if self.length < *self.range.start() {
                    return Err(BodyFault::TooSmall);
                }
                self.state = State::Tail(BytesMut::from(&behind[..behind.len().min(TAIL_BYTES_MAX)]));
                Ok(data)
            }
        }
    }
}

impl<B> FileBody<B>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    fn poll_data(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, BodyFault>>> {
        loop {
            match ready!(Pin::new(&mut self.inner).poll_frame(cx)) {
                Some(Ok(frame)) => {
                    if let Ok(data) = frame.into_data() {
                        return Poll::Ready(Some(Ok(data)));
                    }
                }
                Some(Err(error)) => return Poll::Ready(Some(Err(BodyFault::classify(&*error.into())))),
                None => return Poll::Ready(None),
            }
        }
    }

    fn poll_file(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, BodyFault>>> {
        loop {
            match &mut self.state {
                State::File(rest) => {
                    let data = match rest.take() {
                        Some(rest) => rest,
                        None => match ready!(self.poll_data(cx)) {
                            Some(data) => data?,
                            None => return Poll::Ready(Some(Err(BodyFault::Incomplete))),
                        },
                    };
                    let data = self.take_in(data)?;
                    if !data.is_empty() {
                        return Poll::Ready(Some(Ok(data)));
                    }
                }
                State::Tail(tail) => {
                    let ends = tail.starts_with(b"--") || tail.starts_with(b"\r\n");
                    if tail.len() >= 2 && !ends {
                        return Poll::Ready(Some(Err(BodyFault::Form)));
                    }
                    if tail.len() >= TAIL_BYTES_MAX {
                        self.state = State::Done;
                        continue;
                    }
                    match ready!(self.poll_data(cx)) {
                        Some(data) => {
                            let data = data?;
                            let State::Tail(tail) = &mut self.state else {
                                unreachable!("nothing changed it meanwhile")
                            };
                            tail.extend_from_slice(&data[..data.len().min(TAIL_BYTES_MAX - tail.len())]);
                        }
                        None if ends => self.state = State::Done,
                        None => return Poll::Ready(Some(Err(BodyFault::Incomplete))),
                    }
                }
                State::Done => return Poll::Ready(None),
            }
        }
    }
}

impl<B> Body for FileBody<B>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    type Data = Bytes;
    type Error = BodyFault;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyFault>>> {
        let polled = ready!(self.poll_file(cx));
        if matches!(polled, Some(Err(_))) {
            self.state = State::Done;
        }
        Poll::Ready(polled.map(|data| data.map(Frame::data)))
    }
}

#[cfg(test)]
mod tests {
    use futures::stream;
    use http_body_util::{BodyExt, StreamBody};

    use super::*;

    async fn read(text: &str, step: usize, range: RangeInclusive<u64>) -> Result<Vec<u8>, BodyFault> {
        let pieces: Vec<_> = text.as_bytes().chunks(step).map(Bytes::copy_from_slice).collect();
        let frames = stream::iter(pieces.into_iter().map(|piece| Ok::<_, BodyFault>(Frame::data(piece))));
        let mut file = FileBody::new(StreamBody::new(frames), Bytes::new(), "xyz", range);
        let mut read = Vec::new();
        while let Some(frame) = file.frame().await {
            read.extend_from_slice(&frame?.into_data().unwrap());
        }
        Ok(read)
    }

    #[tokio::test]
    async fn the_file_is_everything_before_the_delimiter_however_it_is_cut() {
        let long = "\r\n--xy\r\n--xyw\r\r\n-".repeat(20);
        for file in ["", "bar", "\r\n", "\r\n--xy", "--xyz", &long] {
            for tail in ["--", "--\r\n", "\r\nContent-Disposition: form-data; name=submit\r\n\r\nsend\r\n--xyz--\r\n"] {
                let text = format!("{file}\r\n--xyz{tail}");
                for step in 1..=text.len() {
                    let bytes = read(&text, step, 0..=1000).await.unwrap();
                    assert_eq!(String::from_utf8(bytes).unwrap(), *file, "in steps of {step}");
                }
            }
        }
    }

    #[tokio::test]
    async fn a_form_that_does_not_end_has_no_file() {
        for (text, fault) in [
            ("bar", BodyFault::Incomplete),
            ("bar\r\n--xy", BodyFault::Incomplete),
            ("bar\r\n--xyz", BodyFault::Incomplete),
            ("bar\r\n--xyz-", BodyFault::Incomplete),
            ("bar\r\n--xyzzy", BodyFault::Form),
        ] {
            assert_eq!(read(text, 3, 0..=9).await, Err(fault), "{text}");
        }
    }

    #[tokio::test]
    async fn the_file_is_as_long_as_it_must_be() {
        let text = "12345\r\n--xyz--";
        for (range, expected) in [
            (0..=4, Err(BodyFault::TooLarge)),
            (0..=5, Ok(b"12345".to_vec())),
            (5..=5, Ok(b"12345".to_vec())),
            (6..=9, Err(BodyFault::TooSmall)),
        ] {
            assert_eq!(read(text, 2, range).await, expected);
        }
    }
}

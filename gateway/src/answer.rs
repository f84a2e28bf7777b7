//! The last touch on every answer: names for the request, and errors in the form that AWS gives them.
//!
//! s3s writes errors with code and message alone, some of them before any of our code ran. Here they get the resource and
//! the request's id; and an answer to HEAD never has a body. XML that says something else to its reader than it did to its
//! writer is put right.

use bytes::Bytes;
use http::header::{CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, SERVER, TRANSFER_ENCODING};
use http::{HeaderName, HeaderValue, Method, StatusCode};
use s3s::{Body, HttpResponse, S3Error};

use crate::request_id::RequestId;

const REQUEST_ID: HeaderName = HeaderName::from_static("x-amz-request-id");
const EXTENDED_ID: HeaderName = HeaderName::from_static("x-amz-id-2");

/// What the answer is for.
#[derive(Debug, Clone, Copy)]
pub struct Asked<'a> {
    /// The method.
    pub method: &'a Method,
    /// The path, as it was sent.
    pub path: &'a str,
    /// Where this is. Clients that signed for another region sign anew for the one that the error names.
    pub region: &'a str,
    /// The request's name.
    pub id: RequestId,
}

/// Writes an error as an answer. Falls back to a bare status where not even that can be written.
pub fn of_error(error: S3Error) -> HttpResponse {
    let status = error.status_code().unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    error.to_http_response().unwrap_or_else(|error| {
        tracing::error!(%error, "an error could not be written");
        let mut answer = HttpResponse::new(Body::empty());
        *answer.status_mut() = status;
        answer
    })
}

/// Finishes an answer.
pub fn finish(mut answer: HttpResponse, asked: Asked<'_>) -> HttpResponse {
    if *asked.method == Method::HEAD {
        if answer.status().is_client_error() || answer.status().is_server_error() {
            answer.headers_mut().remove(CONTENT_LENGTH);
            answer.headers_mut().remove(CONTENT_TYPE);
        } else if answer.headers().contains_key(CONTENT_RANGE) {
            // s3s answers every HEAD with 200; one for a part is answered as the GET would be.
            *answer.status_mut() = StatusCode::PARTIAL_CONTENT;
        }
        *answer.body_mut() = Body::empty();
    } else if is_xml(&answer)
        && let Some(text) = answer.body().bytes()
    {
        let failed = answer.status().is_client_error() || answer.status().is_server_error();
        let completed = if failed { complete(&text, asked) } else { None };
        let faithful = faithful(completed.as_ref().unwrap_or(&text));
        if let Some(text) = faithful.or(completed) {
            answer.headers_mut().remove(CONTENT_LENGTH);
            *answer.body_mut() = Body::from(text);
        }
    }
    let headers = answer.headers_mut();
    headers.remove(TRANSFER_ENCODING);
    headers.insert(SERVER, HeaderValue::from_static("Cairn"));
    for (name, value) in [(REQUEST_ID, asked.id.to_string()), (EXTENDED_ID, asked.id.extended())] {
        headers.insert(name, HeaderValue::try_from(value).expect("hexadecimal digits are a header's value"));
    }
    answer
}

fn is_xml(answer: &HttpResponse) -> bool {
    answer.headers().get(CONTENT_TYPE).is_some_and(|value| value.as_bytes().starts_with(b"application/xml"))
}

/// A document that its reader reads as it was meant, where it would not: a carriage return becomes a line feed in every
/// reader unless it is escaped, and two characters that s3s lets pass are no XML at all.
fn faithful(text: &Bytes) -> Option<Bytes> {
    let noncharacter = |window: &[u8]| matches!(window, [0xEF, 0xBF, 0xBE | 0xBF]);
    // Nearly every document has neither, nor a character that begins as those two do.
    if !text.iter().any(|byte| matches!(byte, b'\r' | 0xEF)) {
        return None;
    }
    if !text.contains(&b'\r') && !text.windows(3).any(noncharacter) {
        return None;
    }
    let mut written = Vec::with_capacity(text.len() + 64);
    let mut rest = &text[..];
    while let [first, behind @ ..] = rest {
        rest = behind;
        match first {
            b'\r' => written.extend_from_slice(b"&#13;"),
            0xEF if noncharacter(&[0xEF, *behind.first().unwrap_or(&0), *behind.get(1).unwrap_or(&0)]) => {
                written.extend_from_slice("\u{FFFD}".as_bytes());
                rest = &behind[2..];
            }
            other => written.push(*other),
        }
    }
    Some(Bytes::from(written))
}

/// The error's document with resource and names in it.
fn complete(text: &Bytes, asked: Asked<'_>) -> Option<Bytes> {
    let begun = text.strip_suffix(b"</Error>")?;
    let mut completed = Vec::with_capacity(begun.len() + asked.path.len() + 160);
    completed.extend_from_slice(begun);
    if memchr::memmem::find(begun, b"<Code>AuthorizationHeaderMalformed</Code>").is_some() {
        completed.extend_from_slice(b"<Region>");
        escape(asked.region, &mut completed);
        completed.extend_from_slice(b"</Region>");
    }
    completed.extend_from_slice(b"<Resource>");
    escape(asked.path, &mut completed);
    completed.extend_from_slice(b"</Resource><RequestId>");
    completed.extend_from_slice(asked.id.to_string().as_bytes());
    completed.extend_from_slice(b"</RequestId><HostId>");
    completed.extend_from_slice(asked.id.extended().as_bytes());
    completed.extend_from_slice(b"</HostId></Error>");
    Some(Bytes::from(completed))
}

/// Writes a text into a document.
pub fn escape(text: &str, out: &mut Vec<u8>) {
    for byte in text.bytes() {
        match byte {
            b'<' => out.extend_from_slice(b"&lt;"),
            b'>' => out.extend_from_slice(b"&gt;"),
            b'&' => out.extend_from_slice(b"&amp;"),
            other => out.push(other),
        }
    }
}

#[cfg(test)]
mod tests {
    use cairn_core::NodeId;
    use cairn_core::entropy::SeededEntropy;
    use s3s::s3_error;

    use super::*;
    use crate::request_id::RequestIds;

    fn finished(method: &Method) -> HttpResponse {
        let id = RequestIds::new(NodeId(1), &*SeededEntropy::new(1)).next();
        finish(of_error(s3_error!(NoSuchKey)), Asked { method, path: "/b/a&<b", region: "here", id })
    }

    #[test]
    fn whoever_signed_for_another_region_hears_which_one_is_right() {
        let id = RequestIds::new(NodeId(1), &*SeededEntropy::new(1)).next();
        for (error, named) in [(s3_error!(AuthorizationHeaderMalformed), true), (s3_error!(NoSuchKey), false)] {
            let asked = Asked { method: &Method::PUT, path: "/b", region: "here", id };
            let text = String::from_utf8(finish(of_error(error), asked).body().bytes().unwrap().to_vec()).unwrap();
            assert_eq!(text.contains("<Region>here</Region>"), named, "{text}");
        }
    }

    #[test]
    fn an_error_names_its_resource_and_request() {
        let answer = finished(&Method::GET);
        let id = answer.headers()["x-amz-request-id"].to_str().unwrap().to_owned();
        let text = String::from_utf8(answer.body().bytes().unwrap().to_vec()).unwrap();
        assert!(text.contains("<Code>NoSuchKey</Code>"), "{text}");
        assert!(text.contains("<Resource>/b/a&amp;&lt;b</Resource>"), "{text}");
        assert!(text.contains(&format!("<RequestId>{id}</RequestId>")), "{text}");
        assert!(text.ends_with("</HostId></Error>"), "{text}");
        assert_eq!((answer.status().as_u16(), &answer.headers()["server"]), (404, &HeaderValue::from_static("Cairn")));
    }

    #[test]
    fn an_error_for_head_has_no_body() {
        let answer = finished(&Method::HEAD);
        assert_eq!(answer.status(), 404);
        assert!(answer.body().bytes().unwrap().is_empty());
        assert!(answer.headers().contains_key("x-amz-id-2"));
    }

    #[test]
    fn xml_says_to_its_reader_what_it_did_to_its_writer() {
        for (written, expected) in [
            ("<a>b\nc\td</a>", None),
            ("<a>b\rc</a>", Some("<a>b&#13;c</a>")),
            ("<a>\u{FFFF}ä\u{FFFE}\u{FFFD}\r\n</a>", Some("<a>\u{FFFD}ä\u{FFFD}\u{FFFD}&#13;\n</a>")),
        ] {
            let faithful = faithful(&Bytes::from_static(written.as_bytes()));
            assert_eq!(faithful.as_deref(), expected.map(str::as_bytes), "{written:?}");
        }
    }
}

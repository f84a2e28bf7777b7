//! What a browser is told whose form was taken: as the form asks, an empty answer, a document, or another page.

use http::header::{CONTENT_LENGTH, CONTENT_TYPE, ETAG, LOCATION};
use http::{HeaderValue, StatusCode, Uri};
use s3s::{Body, HttpResponse};

use super::parts::Form;
use crate::answer;
use crate::bucket::url_encoding;
use crate::names;

/// What was made.
#[derive(Debug, Clone, Copy)]
pub struct Made<'a> {
    /// In which bucket.
    pub bucket: &'a str,
    /// Under which key.
    pub key: &'a str,
    /// Where it is found.
    pub location: &'a str,
}

/// The answer to the form, made from that to the PUT: whose tag, version and checksum it keeps.
pub fn success(mut done: HttpResponse, form: &Form, made: &Made<'_>) -> HttpResponse {
    let etag = done.headers().get(ETAG).and_then(|etag| etag.to_str().ok()).unwrap_or_default().to_owned();
    *done.body_mut() = Body::empty();
    done.headers_mut().remove(CONTENT_LENGTH);
    done.headers_mut().remove(CONTENT_TYPE);
    if let Some(page) = redirect(form, made, &etag) {
        *done.status_mut() = StatusCode::SEE_OTHER;
        done.headers_mut().insert(LOCATION, page);
        return done;
    }
    if let Ok(location) = HeaderValue::try_from(made.location) {
        done.headers_mut().insert(LOCATION, location);
    }
    *done.status_mut() = match form.field("success_action_status") {
        Some("200") => StatusCode::OK,
        Some("201") => {
            *done.body_mut() = Body::from(document(made, &etag));
            done.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/xml"));
            StatusCode::CREATED
        }
        // Whatever else was asked for is passed over, as S3 does.
        _ => StatusCode::NO_CONTENT,
    };
    done
}

/// The page that the form asks to go on with. What is no address is passed over.
fn redirect(form: &Form, made: &Made<'_>, etag: &str) -> Option<HeaderValue> {
    let page = form.field("success_action_redirect").or_else(|| form.field("redirect"))?;
    let uri: Uri = page.parse().ok()?;
    uri.scheme_str().filter(|scheme| matches!(*scheme, "http" | "https"))?;
    let mark = if uri.query().is_some() { '&' } else { '?' };
    let [bucket, key, etag] = [made.bucket, made.key, etag].map(url_encoding::encode);
    HeaderValue::try_from(format!("{page}{mark}bucket={bucket}&key={key}&etag={etag}")).ok()
}

fn document(made: &Made<'_>, etag: &str) -> Vec<u8> {
    let mut xml = b"<?xml version=\"1.0\" encoding=\"UTF-8\"?><PostResponse>".to_vec();
    for (name, value) in [("Location", made.location), ("Bucket", made.bucket), ("Key", made.key), ("ETag", etag)] {
        xml.extend_from_slice(format!("<{name}>").as_bytes());
        answer::escape(&names::xml_text(value.to_owned()), &mut xml);
        xml.extend_from_slice(format!("</{name}>").as_bytes());
    }
    xml.extend_from_slice(b"</PostResponse>");
    xml
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answered(fields: &[(&str, &str)]) -> HttpResponse {
        let mut done = HttpResponse::new(Body::from("".to_owned()));
        done.headers_mut().insert(ETAG, HeaderValue::from_static("\"ab\""));
        let fields = fields.iter().map(|&(name, value)| (name.to_owned(), value.to_owned())).collect();
        let form = Form { fields, ..Form::default() };
        success(done, &form, &Made { bucket: "b", key: "a<b c", location: "http://h/b/a%3Cb%20c" })
    }

    #[test]
    fn the_form_chooses_its_answer() {
        for (status, expected) in [(None, 204), (Some("200"), 200), (Some("404"), 204), (Some("201"), 201)] {
            let fields: Vec<_> = status.iter().map(|status| ("success_action_status", *status)).collect();
            let answer = answered(&fields);
            assert_eq!(
                (answer.status().as_u16(), &answer.headers()[ETAG]),
                (expected, &HeaderValue::from_static("\"ab\""))
            );
            assert_eq!(answer.headers()[LOCATION], "http://h/b/a%3Cb%20c");
            let body = String::from_utf8(answer.body().bytes().unwrap().to_vec()).unwrap();
            assert_eq!(body.contains("<Key>a&lt;b c</Key><ETag>\"ab\"</ETag>"), expected == 201, "{body}");
        }
        for (page, expected) in [
            ("https://x/done", "https://x/done?bucket=b&key=a%3Cb%20c&etag=%22ab%22"),
            ("http://x/?q=1", "http://x/?q=1&bucket=b&key=a%3Cb%20c&etag=%22ab%22"),
        ] {
            let answer = answered(&[("success_action_redirect", page), ("success_action_status", "201")]);
            assert_eq!((answer.status().as_u16(), answer.headers()[LOCATION].to_str().unwrap()), (303, expected));
        }
        for page in ["javascript:alert(1)", "/relative", ""] {
            assert_eq!(answered(&[("success_action_redirect", page)]).status(), 204, "{page}");
        }
    }
}

//! The head of a form: its fields, until its file begins.
//!
//! ```text
//! --boundary CRLF headers CRLF CRLF value CRLF
//! --boundary CRLF headers of the file CRLF CRLF the file ...
//! ```
//! Nothing here does I/O: whoever reads the body asks again when more of it is there. All of the head is bounded, so
//! that it costs little to begin anew at each try.

use http::{HeaderMap, header};
use memchr::memmem;
use s3s::{S3Error, S3Result, s3_error};

/// The most bytes before the file. S3 allows 20 KB of fields; the headers of the parts come on top.
pub const HEAD_BYTES_MAX: usize = 32 * 1024;

/// What stands for the name of the file in a field.
const FILE_NAME: &str = "${filename}";

/// Fields that are verified as they were sent.
const SIGNED: &[&str] = &["policy", "signature", "x-amz-signature"];

/// The longest boundary: what RFC 2046 allows.
const BOUNDARY_BYTES_MAX: usize = 70;

/// What stands at the end of a form beside the boundary, at least: the line break before it and two hyphens on each side.
pub const END_BYTES: usize = 6;

/// What a form says before its file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Form {
    /// Names, in lower case, and values. No name comes twice.
    pub fields: Vec<(String, String)>,
    /// The name of the file, without the directories that some browsers put before it.
    pub file_name: Option<String>,
    /// Where the file begins.
    pub consumed: usize,
}

impl Form {
    /// Puts the file's name where a field asks for it. A policy is judged on what fields say after that: otherwise it
    /// would allow a key that nobody sent, and could not demand one that begins with the name of the file. What was
    /// signed stays as it was sent. A short form may ask for a long name many times, so the sum is bounded.
    pub fn expand(&mut self) -> S3Result<()> {
        let name = self.file_name.as_deref().unwrap_or_default();
        let mut bytes = 0;
        for (field, value) in &mut self.fields {
            if !SIGNED.contains(&field.as_str()) {
                let asked = value.matches(FILE_NAME).count();
                bytes += value.len() + asked * name.len();
                if bytes > HEAD_BYTES_MAX {
                    return Err(s3_error!(MaxPostPreDataLengthExceededError));
                }
                if asked > 0 {
                    *value = value.replace(FILE_NAME, name);
                }
            }
        }
        Ok(())
    }

    /// The value of a field; the name is given in lower case.
    pub fn field(&self, name: &str) -> Option<&str> {
        self.fields.iter().find(|(other, _)| other == name).map(|(_, value)| value.as_str())
    }
}

/// How far it was read.
#[derive(Debug, PartialEq, Eq)]
pub enum Progress {
    /// The file has not begun.
    Incomplete,
    /// It begins.
    File(Form),
}

/// What a client hears whose form is none.
pub fn malformed() -> S3Error {
    s3_error!(MalformedPOSTRequest, "The body of your POST request is not well-formed multipart/form-data.")
}

/// What stands between the parts, as the request says.
pub fn boundary(headers: &HeaderMap) -> S3Result<String> {
    let sent = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let boundary = parameters(sent).into_iter().find(|(name, _)| name == "boundary").map(|(_, value)| value);
    let fits = |boundary: &String| !boundary.is_empty() && boundary.len() <= BOUNDARY_BYTES_MAX;
    boundary.filter(fits).ok_or_else(malformed)
}

/// What separates parts.
pub fn delimiter(boundary: &str) -> Vec<u8> {
    format!("\r\n--{boundary}").into_bytes()
}

/// Reads what there is of a form.
pub fn read(begun: &[u8], boundary: &str) -> S3Result<Progress> {
    let delimiter = delimiter(boundary);
    // The first one may stand at the very beginning, with no line before it.
    let first = &delimiter[2..];
    let mut at = if begun.starts_with(first) {
        first.len()
    } else {
        match memmem::find(begun, &delimiter) {
            Some(before) => before + delimiter.len(),
            None => return Ok(Progress::Incomplete),
        }
    };
    let mut form = Form::default();
    loop {
        let part = &begun[at..];
        if part.len() < 2 {
            return Ok(Progress::Incomplete);
        }
        if part.starts_with(b"--") {
            return Err(s3_error!(IncorrectNumberOfFilesInPostRequest));
        }
        if !part.starts_with(b"\r\n") {
            return Err(malformed());
        }
        let Some(end) = memmem::find(part, b"\r\n\r\n") else { return Ok(Progress::Incomplete) };
        let (name, file_name) = disposition(part.get(2..end).ok_or_else(malformed)?)?;
        at += end + 4;
        if name == "file" {
            form.file_name = file_name;
            form.consumed = at;
            return Ok(Progress::File(form));
        }
        let Some(length) = memmem::find(&begun[at..], &delimiter) else { return Ok(Progress::Incomplete) };
        let value = std::str::from_utf8(&begun[at..at + length]).map_err(|_| malformed())?;
        if form.field(&name).is_some() {
            return Err(s3_error!(InvalidArgument, "A field of the form was sent more than once."));
        }
        form.fields.push((name, value.to_owned()));
        at += length + delimiter.len();
    }
}

/// The name of a part in lower case, and the name of its file.
fn disposition(headers: &[u8]) -> S3Result<(String, Option<String>)> {
    let headers = std::str::from_utf8(headers).map_err(|_| malformed())?;
    let line = headers.split("\r\n").filter_map(|line| line.split_once(':'));
    let mut line = line.filter(|(name, _)| name.trim().eq_ignore_ascii_case("content-disposition"));
    let (_, value) = line.next().ok_or_else(malformed)?;
    let (mut name, mut file_name) = (None, None);
    for (parameter, value) in parameters(value) {
        match parameter.as_str() {
            "name" => name = Some(value.to_ascii_lowercase()),
            "filename" => file_name = value.rsplit(['/', '\\']).next().map(str::to_owned),
            _ => {}
        }
    }
    Ok((name.ok_or_else(malformed)?, file_name))
}

/// The parameters of a header, names in lower case, values without their quotes. In quotes a backslash stands for itself
/// unless a quote follows it: browsers send paths that way.
fn parameters(value: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut rest = value;
    while let Some((_, behind)) = rest.split_once(';') {
        rest = behind.trim_start();
        let Some((name, begun)) = rest.split_once('=') else { break };
        let mut text = String::new();
        if let Some(quoted) = begun.strip_prefix('"') {
            let mut chars = quoted.char_indices().peekable();
            let mut end = quoted.len();
            while let Some((at, char)) = chars.next() {
                match char {
                    '\\' if chars.next_if(|(_, next)| *next == '"').is_some() => text.push('"'),
                    '"' => {
                        end = at;
                        break;
                    }
                    other => text.push(other),
                }
            }
            rest = &quoted[end..];
        } else {
            let end = begun.find(';').unwrap_or(begun.len());
            text.push_str(begun[..end].trim());
            rest = &begun[end..];
        }
        found.push((name.trim().to_ascii_lowercase(), text));
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    const FORM: &str = "--xyz\r\nContent-Disposition: form-data; name=\"kEy\"\r\n\r\nfoo${filename}\r\n--xyz\r\n\
                        content-type: text/plain\r\nCONTENT-DISPOSITION: form-data; name=acl; filename=\"acl\"\r\n\r\n\r\nprivate\r\n\
                        --xyz\r\nContent-Disposition: form-data; filename=\"C:\\dir\\a \\\"b\\\";.txt\"; name=\"file\"\r\n\r\nthe file";

    fn code(result: S3Result<Progress>) -> String {
        result.unwrap_err().code().as_str().to_owned()
    }

    #[test]
    fn fields_are_read_until_the_file_begins() {
        let Progress::File(form) = read(FORM.as_bytes(), "xyz").unwrap() else { panic!("it is all there") };
        assert_eq!(form.field("key"), Some("foo${filename}"));
        assert_eq!(form.field("acl"), Some("\r\nprivate"));
        assert_eq!(form.file_name.as_deref(), Some("a \"b\";.txt"));
        assert_eq!(&FORM[form.consumed..], "the file");
        let preamble = format!("to be ignored\r\n{FORM}");
        let Progress::File(later) = read(preamble.as_bytes(), "xyz").unwrap() else { panic!("it is all there") };
        assert_eq!((later.fields, later.consumed), (form.fields, form.consumed + "to be ignored\r\n".len()));
    }

    #[test]
    fn every_field_may_ask_for_the_name_of_the_file() {
        let fields = |fields: &[(&str, &str)]| -> Vec<(String, String)> {
            fields.iter().map(|&(name, value)| (name.to_owned(), value.to_owned())).collect()
        };
        let expanded = |sent: &[(&str, &str)], name: Option<&str>| {
            let mut form = Form { fields: fields(sent), file_name: name.map(str::to_owned), consumed: 0 };
            form.expand().map(|()| form.fields).map_err(|error| error.code().as_str().to_owned())
        };
        let sent = [("key", "a/${filename}-${filename}"), ("x-amz-meta-of", "${filename}"), ("policy", "${filename}")];
        let wanted = [("key", "a/b-b"), ("x-amz-meta-of", "b"), ("policy", "${filename}")];
        assert_eq!(expanded(&sent, Some("b")), Ok(fields(&wanted)));
        assert_eq!(expanded(&[("key", "a${filename}")], None), Ok(fields(&[("key", "a")])));
        assert_eq!(expanded(&[("key", "${filename}")], Some("${filename}")), Ok(fields(&[("key", "${filename}")])));
        let (long, many) = ("x".repeat(HEAD_BYTES_MAX / 4), "${filename}".repeat(5));
        assert_eq!(expanded(&[("key", &many)], Some(&long)), Err("MaxPostPreDataLengthExceededError".to_owned()));
    }

    #[test]
    fn whatever_is_missing_is_waited_for() {
        let begins = FORM.len() - "the file".len();
        for length in 0..begins {
            assert_eq!(read(&FORM.as_bytes()[..length], "xyz").unwrap(), Progress::Incomplete, "{length}");
        }
        assert!(matches!(read(&FORM.as_bytes()[..begins], "xyz").unwrap(), Progress::File(_)));
    }

    #[test]
    fn what_is_no_form_is_refused() {
        let one = "--x\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\n1\r\n";
        for (text, expected) in [
            (format!("{one}--x--\r\n"), "IncorrectNumberOfFilesInPostRequest"),
            (format!("{one}{one}--x--"), "InvalidArgument"),
            ("--x?\r\n".to_owned(), "MalformedPOSTRequest"),
            ("--x\r\n\r\nvalue\r\n--x".to_owned(), "MalformedPOSTRequest"),
            ("--x\r\nContent-Type: a\r\n\r\nvalue\r\n--x".to_owned(), "MalformedPOSTRequest"),
            ("--x\r\nContent-Disposition: form-data\r\n\r\nvalue\r\n--x".to_owned(), "MalformedPOSTRequest"),
        ] {
            assert_eq!(code(read(text.as_bytes(), "x")), expected, "{text}");
        }
    }

    #[test]
    fn a_boundary_is_demanded() {
        let of = |value: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::CONTENT_TYPE, value.parse().unwrap());
            boundary(&headers).ok()
        };
        assert_eq!(of("multipart/form-data; charset=utf-8; BOUNDARY=\"a b\"").as_deref(), Some("a b"));
        assert_eq!(of("multipart/form-data;boundary=ab;x=y").as_deref(), Some("ab"));
        assert_eq!(of("multipart/form-data"), None);
        assert_eq!(of("multipart/form-data; boundary="), None);
        assert_eq!(of(&format!("multipart/form-data; boundary={}", "x".repeat(71))), None);
    }
}

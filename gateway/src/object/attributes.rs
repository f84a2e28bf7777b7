//! What a PUT says about its object beside the bytes.

use std::collections::HashMap;

use cairn_machine::rows::object::{Attributes, Checksum, ContentHeaders, Etag};
use cairn_machine::rows::profile::ProfileId;
use s3s::dto::PutObjectInput;
use s3s::{S3Error, s3_error};

/// The most bytes of user metadata, names and values together: what S3 allows.
const METADATA_BYTES_MAX: usize = 2 * 1024;

/// The most bytes of the headers that are kept: what S3 allows for all of a request's.
const CONTENT_HEADERS_BYTES_MAX: usize = 8 * 1024;

/// What a client said, checked, before its bytes are there.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Described {
    headers: ContentHeaders,
    metadata: Vec<(String, String)>,
}

impl Described {
    /// Takes it out of a request.
    pub fn take(input: &mut PutObjectInput) -> Result<Self, S3Error> {
        let headers = ContentHeaders {
            content_type: input.content_type.take(),
            content_encoding: input.content_encoding.take().and_then(|value| without_aws_chunked(&value)),
            content_disposition: input.content_disposition.take(),
            content_language: input.content_language.take(),
            cache_control: input.cache_control.take(),
            expires: input.expires.take(),
            website_redirect: None,
        };
        let described = Self { headers, metadata: sorted(input.metadata.take().unwrap_or_default()) };
        let metadata: usize = described.metadata.iter().map(|(name, value)| name.len() + value.len()).sum();
        if metadata > METADATA_BYTES_MAX {
            return Err(s3_error!(MetadataTooLarge));
        }
        if described.content_header_bytes() > CONTENT_HEADERS_BYTES_MAX {
            return Err(s3_error!(InvalidRequest, "Your request header section exceeds the maximum allowed size."));
        }
        Ok(described)
    }

    fn content_header_bytes(&self) -> usize {
        let ContentHeaders {
            content_type,
            content_encoding,
            content_disposition,
            content_language,
            cache_control,
            expires,
            website_redirect,
        } = &self.headers;
        [
            content_type,
            content_encoding,
            content_disposition,
            content_language,
            cache_control,
            expires,
            website_redirect,
        ]
        .into_iter()
        .flatten()
        .map(String::len)
        .sum()
    }

    /// About how many bytes an operation with these takes in the log, beside its key.
    pub fn weight(&self) -> usize {
        let metadata: usize = self.metadata.iter().map(|(name, value)| name.len() + value.len() + 8).sum();
        metadata + self.content_header_bytes()
    }

    /// The attributes, once the bytes are known.
    pub fn attributes(self, size: u64, etag: Etag, checksum: Option<Checksum>) -> Attributes {
        let Self { headers, metadata } = self;
        Attributes { size, etag, profile: ProfileId::STANDARD, headers, metadata, checksum, tags: None, upload: None }
    }
}

fn sorted(metadata: HashMap<String, String>) -> Vec<(String, String)> {
    let mut metadata: Vec<_> = metadata.into_iter().collect();
    metadata.sort();
    metadata
}

/// `aws-chunked` is how the bytes travelled, not what they are.
fn without_aws_chunked(value: &str) -> Option<String> {
    let kept: Vec<_> = value
        .split(',')
        .map(str::trim)
        .filter(|coding| !coding.is_empty() && !coding.eq_ignore_ascii_case("aws-chunked"))
        .collect();
    (!kept.is_empty()).then(|| kept.join(","))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_coding_of_the_journey_is_not_kept() {
        for (sent, kept) in [
            ("aws-chunked", None),
            ("aws-chunked,gzip", Some("gzip")),
            ("gzip, aws-chunked", Some("gzip")),
            ("gzip", Some("gzip")),
            ("", None),
        ] {
            assert_eq!(without_aws_chunked(sent).as_deref(), kept, "{sent}");
        }
    }

    #[test]
    fn metadata_is_bounded_and_sorted() {
        let metadata = Some(HashMap::from([("b".into(), "2".into()), ("a".into(), "1".into())]));
        let mut input = PutObjectInput { metadata, ..PutObjectInput::default() };
        let described = Described::take(&mut input).unwrap();
        assert_eq!(described.metadata, [("a".into(), "1".into()), ("b".to_owned(), "2".to_owned())]);
        for (value, code) in [(2047, None), (2048, Some("MetadataTooLarge"))] {
            input.metadata = Some(HashMap::from([("a".into(), "x".repeat(value))]));
            let error = Described::take(&mut input).err();
            assert_eq!(error.map(|error| error.code().as_str().to_owned()).as_deref(), code);
        }
    }
}

//! The server's address.

use http::Uri;
use http::uri::Scheme;

/// Where requests go: `http://HOST[:PORT]`, and nothing behind it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    host: String,
}

/// Why an address cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EndpointError {
    /// It is none.
    #[error("{0} is not an address such as http://127.0.0.1:9000")]
    Malformed(String),
    /// TLS is not built in.
    #[error("{0} asks for TLS, which this load generator does not speak: measure behind it, over http://")]
    Tls(String),
}

impl Endpoint {
    /// Reads an address.
    pub fn parse(text: &str) -> Result<Self, EndpointError> {
        let malformed = || EndpointError::Malformed(text.to_owned());
        let uri: Uri = text.parse().map_err(|_| malformed())?;
        if uri.scheme() == Some(&Scheme::HTTPS) {
            return Err(EndpointError::Tls(text.to_owned()));
        }
        let authority = uri.authority().ok_or_else(malformed)?;
        let bare = matches!(uri.path(), "" | "/") && uri.query().is_none();
        if uri.scheme() != Some(&Scheme::HTTP) || !bare || authority.as_str().contains('@') {
            return Err(malformed());
        }
        Ok(Self { host: authority.as_str().to_owned() })
    }

    /// Host and port, as they stand in the header.
    pub fn host(&self) -> &str {
        &self.host
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_that_cannot_be_asked_are_refused() {
        for text in ["http://127.0.0.1:9000", "http://127.0.0.1:9000/", "http://store.example", "http://[::1]:9000"] {
            Endpoint::parse(text).unwrap();
        }
        assert_eq!(Endpoint::parse("http://127.0.0.1:9000/").unwrap().host(), "127.0.0.1:9000");
        assert!(matches!(Endpoint::parse("https://s3.example"), Err(EndpointError::Tls(_))));
        for text in ["", "127.0.0.1:9000", "ftp://x", "http://x/bucket", "http://x?y", "http://user:secret@x"] {
            assert!(matches!(Endpoint::parse(text), Err(EndpointError::Malformed(_))), "{text}");
        }
    }
}

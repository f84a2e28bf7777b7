//! Which bucket the `Host` header names: `bucket.localhost`, `bucket.` before a configured domain, or none.
//!
//! A host that is neither is path style, whatever it looks like: an IP address, `localhost` itself or a name that some
//! resolver made up is never a bucket.

use http::uri::Authority;
use http::{HeaderMap, Uri, header};
use s3s::S3Result;
use s3s::host::{S3Host, VirtualHost};

/// The domains below which a first label is a bucket.
#[derive(Debug, Clone)]
pub struct Hosts {
    domains: Vec<String>,
}

impl Hosts {
    /// `localhost` and these.
    pub fn new(domains: &[String]) -> Self {
        let configured = domains.iter().map(|domain| domain.trim_matches('.').to_ascii_lowercase());
        let mut domains: Vec<_> = configured.chain(["localhost".to_owned()]).filter(|d| !d.is_empty()).collect();
        // The longest first, so that of two domains, one below the other, the closer one decides.
        domains.sort_by_key(|domain| std::cmp::Reverse(domain.len()));
        Self { domains }
    }

    /// The bucket that the host of a request names.
    pub fn bucket_of(&self, headers: &HeaderMap, uri: &Uri) -> Option<String> {
        let header = headers.get(header::HOST).and_then(|host| host.to_str().ok());
        self.bucket(header.or_else(|| uri.authority().map(Authority::as_str))?)
    }

    /// The bucket that a host names.
    pub fn bucket(&self, host: &str) -> Option<String> {
        let name = without_port(host).trim_end_matches('.').to_ascii_lowercase();
        if self.domains.contains(&name) {
            return None;
        }
        let bucket = self.domains.iter().find_map(|domain| name.strip_suffix(domain.as_str())?.strip_suffix('.'))?;
        (!bucket.is_empty()).then(|| bucket.to_owned())
    }
}

/// The host without `:port`. An IPv6 address keeps its brackets.
fn without_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port)) if !name.is_empty() && port.bytes().all(|b| b.is_ascii_digit()) => name,
        _ => host,
    }
}

impl S3Host for Hosts {
    fn parse_host_header<'a>(&'a self, host: &'a str) -> S3Result<VirtualHost<'a>> {
        Ok(match self.bucket(host) {
            Some(bucket) => VirtualHost::new(host).with_bucket(bucket),
            None => VirtualHost::new(host),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_stands_before_a_known_domain_is_a_bucket() {
        let hosts = Hosts::new(&["s3.example.com".into(), "example.com".into()]);
        for (host, bucket) in [
            ("localhost", None),
            ("localhost:9000", None),
            ("LOCALHOST:9000", None),
            ("127.0.0.1", None),
            ("127.0.0.1:9000", None),
            ("[::1]:9000", None),
            ("[::1]", None),
            ("myhost:9000", None),
            ("photos.internal", None),
            ("photos.localhost", Some("photos")),
            ("photos.localhost:9000", Some("photos")),
            ("my.dotted.bucket.localhost:1", Some("my.dotted.bucket")),
            ("photos.s3.example.com", Some("photos")),
            ("s3.example.com", None),
            ("example.com:443", None),
            ("photos.example.com", Some("photos")),
            ("evillocalhost", None),
            (".localhost", None),
        ] {
            assert_eq!(hosts.bucket(host).as_deref(), bucket, "{host}");
        }
    }
}

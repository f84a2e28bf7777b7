//! AWS Signature Version 4 over the headers of a request, cheaply: what depends on the day is computed once a day, what
//! depends on the second once a second.

use cairn_core::WallTime;
use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};
use time::OffsetDateTime;

type HmacSha256 = Hmac<Sha256>;

/// The SHA-256 of no bytes.
pub const EMPTY_SHA256: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

/// What stands for the hash of a body that is not signed.
pub const UNSIGNED: &str = "UNSIGNED-PAYLOAD";

/// An access key with its secret. Debug never shows the secret.
#[derive(Clone)]
pub struct Key {
    /// What is sent.
    pub access_key: String,
    /// What is signed with.
    pub secret_key: String,
}

impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Key").field("access_key", &self.access_key).finish_non_exhaustive()
    }
}

/// What of a request is signed.
#[derive(Debug, Clone, Copy)]
pub struct Signed<'a> {
    /// `GET`, `PUT` and so on.
    pub method: &'a str,
    /// Host and port, as in the header.
    pub host: &'a str,
    /// The path, percent-encoded as it is sent.
    pub path: &'a str,
    /// The query: encoded, sorted by name, every name with an `=`.
    pub query: &'a str,
    /// The SHA-256 of the body in hexadecimal, or [`UNSIGNED`].
    pub body: &'a str,
}

/// Signs requests.
pub struct Signer {
    key: Key,
    region: String,
    stamp: Option<Stamp>,
}

/// What is the same for all requests of a second.
struct Stamp {
    second: u64,
    /// `20261121`.
    date: String,
    /// `20261121T120000Z`.
    moment: String,
    /// Keyed with everything but the request.
    keyed: HmacSha256,
}

impl std::fmt::Debug for Signer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Signer").field("key", &self.key).field("region", &self.region).finish_non_exhaustive()
    }
}

impl Signer {
    /// Signs for this key.
    pub fn new(key: Key, region: &str) -> Self {
        Self { key, region: region.to_owned(), stamp: None }
    }

    /// The values of `x-amz-date` and `authorization`.
    pub fn sign(&mut self, request: Signed<'_>, now: WallTime) -> (String, String) {
        let second = now.as_millis() / 1000;
        let stamp = match self.stamp.take() {
            Some(stamp) if stamp.second == second => stamp,
            before => self.stamp_of(second, before),
        };
        let Signed { method, host, path, query, body } = request;
        let Stamp { date, moment, keyed, .. } = &stamp;
        let headers = "host;x-amz-content-sha256;x-amz-date";
        let canonical = format!(
            "{method}\n{path}\n{query}\nhost:{host}\nx-amz-content-sha256:{body}\nx-amz-date:{moment}\n\n{headers}\n{body}"
        );
        let scope = format!("{date}/{}/s3/aws4_request", self.region);
        let mut mac = keyed.clone();
        mac.update(b"AWS4-HMAC-SHA256\n");
        for line in [moment, &scope] {
            mac.update(line.as_bytes());
            mac.update(b"\n");
        }
        mac.update(hex::encode(Sha256::digest(canonical)).as_bytes());
        let signature = hex::encode(mac.finalize().into_bytes());
        let access_key = &self.key.access_key;
        let authorization =
            format!("AWS4-HMAC-SHA256 Credential={access_key}/{scope},SignedHeaders={headers},Signature={signature}");
        let moment = moment.clone();
        self.stamp = Some(stamp);
        (moment, authorization)
    }

    fn stamp_of(&self, second: u64, before: Option<Stamp>) -> Stamp {
        let seconds = i64::try_from(second).unwrap_or(i64::MAX);
        let at = OffsetDateTime::from_unix_timestamp(seconds).unwrap_or(OffsetDateTime::UNIX_EPOCH);
        let date = format!("{:04}{:02}{:02}", at.year(), u8::from(at.month()), at.day());
        let moment = format!("{date}T{:02}{:02}{:02}Z", at.hour(), at.minute(), at.second());
        let keyed = match before {
            Some(before) if before.date == date => before.keyed,
            _ => {
                let first = format!("AWS4{}", self.key.secret_key);
                let steps = [date.as_str(), &self.region, "s3", "aws4_request"];
                let key = steps.into_iter().fold(first.into_bytes(), |key, step| {
                    let mut mac = keyed_with(&key);
                    mac.update(step.as_bytes());
                    mac.finalize().into_bytes().to_vec()
                });
                keyed_with(&key)
            }
        };
        Stamp { second, date, moment, keyed }
    }
}

fn keyed_with(key: &[u8]) -> HmacSha256 {
    HmacSha256::new_from_slice(key).expect("HMAC takes keys of every length")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 2013-05-24 00:00:00 UTC, the day of the examples in the documentation of Amazon S3.
    const THAT_DAY: u64 = 1_369_353_600_000;

    fn signer() -> Signer {
        let key = Key {
            access_key: "AKIAIOSFODNN7EXAMPLE".into(),
            secret_key: "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY".into(),
        };
        Signer::new(key, "us-east-1")
    }

    fn get(query: &'static str) -> Signed<'static> {
        let host = "examplebucket.s3.amazonaws.com";
        Signed { method: "GET", host, path: "/", query, body: EMPTY_SHA256 }
    }

    #[test]
    fn signatures_are_those_of_the_published_examples() {
        let mut signer = signer();
        for (query, signature) in [
            ("lifecycle=", "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543"),
            ("max-keys=2&prefix=J", "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7"),
        ] {
            let (moment, authorization) = signer.sign(get(query), WallTime(THAT_DAY));
            assert_eq!(moment, "20130524T000000Z");
            let expected = format!(
                "AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request,\
                 SignedHeaders=host;x-amz-content-sha256;x-amz-date,Signature={signature}"
            );
            assert_eq!(authorization, expected);
        }
    }

    #[test]
    fn what_is_kept_from_a_request_to_the_next_follows_the_clock() {
        let mut kept = signer();
        for later in [0, 1, 999, 1000, 86_399_999, 86_400_000, 0] {
            let now = WallTime(THAT_DAY + later);
            assert_eq!(kept.sign(get(""), now), signer().sign(get(""), now), "{later} ms later");
        }
    }

    #[test]
    fn a_secret_is_not_shown() {
        assert!(!format!("{:?}", signer()).contains("wJalr"));
    }
}

//! AWS Signature Version 4 over the headers of a request: the admin API is guarded as S3 is.

use cairn_core::WallTime;
use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};

use crate::calendar::civil;
use crate::credentials::Credentials;

const EMPTY_BODY: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
const REGION: &str = "us-east-1";

/// What of a request is signed.
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    /// `GET`, `PUT` and so on.
    pub method: &'a str,
    /// Host and port, as in the header.
    pub host: &'a str,
    /// The path, percent-encoded as it is sent.
    pub path: &'a str,
    /// The query without its question mark: encoded, sorted by name, every name with an `=`.
    pub query: &'a str,
    /// Whether there is a body; its bytes are not signed.
    pub has_body: bool,
}

/// The headers that make a request the holder's of the key.
pub fn sign(request: Request<'_>, key: &Credentials, now: WallTime) -> [(&'static str, String); 4] {
    let Request { method, host, path, query, has_body } = request;
    let (date, moment) = stamps(now);
    let scope = format!("{date}/{REGION}/s3/aws4_request");
    let headers = "host;x-amz-content-sha256;x-amz-date";
    let body = if has_body { "UNSIGNED-PAYLOAD" } else { EMPTY_BODY };
    let canonical = format!(
        "{method}\n{path}\n{query}\nhost:{host}\nx-amz-content-sha256:{body}\nx-amz-date:{moment}\n\n{headers}\n{body}"
    );
    let text = format!("AWS4-HMAC-SHA256\n{moment}\n{scope}\n{}", hex::encode(Sha256::digest(canonical)));
    let mut signing = keyed(format!("AWS4{}", key.secret_key).as_bytes(), date.as_bytes());
    for step in [REGION, "s3", "aws4_request"] {
        signing = keyed(&signing, step.as_bytes());
    }
    let signature = hex::encode(keyed(&signing, text.as_bytes()));
    let authorization = format!(
        "AWS4-HMAC-SHA256 Credential={}/{scope}, SignedHeaders={headers}, Signature={signature}",
        key.access_key
    );
    [
        ("host", host.to_owned()),
        ("x-amz-content-sha256", body.to_owned()),
        ("x-amz-date", moment),
        ("authorization", authorization),
    ]
}

fn keyed(key: &[u8], data: &[u8]) -> Vec<u8> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes keys of every length");
    mac.update(data);
    mac.finalize().into_bytes().to_vec()
}

/// `20261121` and `20261121T120000Z`.
fn stamps(now: WallTime) -> (String, String) {
    let seconds = now.as_millis() / 1000;
    let (days, rest) = (seconds / 86_400, seconds % 86_400);
    let (year, month, day) = civil(days);
    let date = format!("{year:04}{month:02}{day:02}");
    let moment = format!("{date}T{:02}{:02}{:02}Z", rest / 3600, rest / 60 % 60, rest % 60);
    (date, moment)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stamps_follow_the_calendar() {
        assert_eq!(stamps(WallTime(0)), ("19700101".into(), "19700101T000000Z".into()));
        assert_eq!(stamps(WallTime(1_709_210_096_000)).1, "20240229T123456Z");
        assert_eq!(stamps(WallTime(4_102_444_800_000)).0, "21000101");
    }

    /// The signature as an independent implementation (botocore 1.43, S3SigV4Auth) computes it for these inputs.
    #[test]
    fn the_signature_is_what_others_compute() {
        let key = Credentials {
            access_key: "AKIDEXAMPLE".into(),
            secret_key: "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY".into(),
        };
        let asked =
            Request { method: "GET", host: "127.0.0.1:9000", path: "/.cairn/v1/status", query: "", has_body: false };
        let signed = sign(asked, &key, WallTime(1_709_210_096_000));
        let authorization = &signed[3].1;
        assert!(
            authorization.ends_with("Signature=afd89a9a4e4e5a8d179b12382c925cbc2cdc4f263ffdaab9ec915b7a18e891d8"),
            "{authorization}"
        );
    }
}

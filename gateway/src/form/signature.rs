//! Who signed a form. What is signed is its policy as it was sent, in base64, and nothing else: which fields there may be
//! is for the policy to say.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use hmac::{Hmac, KeyInit, Mac};
use s3s::{S3Error, S3Result, s3_error};
use sha1::Sha1;
use sha2::Sha256;

use super::parts::Form;

/// The one algorithm of version 4.
const ALGORITHM_4: &str = "AWS4-HMAC-SHA256";

/// A signature that a form carries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signed<'f> {
    /// What is signed.
    pub policy: &'f str,
    key: Key<'f>,
    signature: &'f str,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Key<'f> {
    Version2 { access_key: &'f str },
    Version4 { access_key: &'f str, date: &'f str, region: &'f str },
}

fn missing(field: &str) -> S3Error {
    s3_error!(
        InvalidArgument,
        "Bucket POST must contain a field named '{field}'. If it is specified, please check the order of the fields."
    )
}

/// The signature of a form; `None` where nothing in it speaks of one.
pub fn of(form: &Form) -> S3Result<Option<Signed<'_>>> {
    let demanded = |name: &'static str| form.field(name).ok_or_else(|| missing(name));
    let speaks = |names: &[&str]| names.iter().any(|name| form.field(name).is_some());
    let version_2 = speaks(&["awsaccesskeyid", "signature"]);
    let version_4 = speaks(&["x-amz-algorithm", "x-amz-credential", "x-amz-date", "x-amz-signature"]);
    let key = match (version_2, version_4) {
        (false, false) if form.field("policy").is_none() => return Ok(None),
        (true, true) => return Err(s3_error!(InvalidArgument, "Only one auth mechanism allowed.")),
        (false, true) => {
            if demanded("x-amz-algorithm")? != ALGORITHM_4 {
                return Err(s3_error!(InvalidArgument, "x-amz-algorithm only supports {ALGORITHM_4}"));
            }
            let (credential, stamp) = (demanded("x-amz-credential")?, demanded("x-amz-date")?);
            let scope: Vec<_> = credential.rsplitn(5, '/').collect();
            match scope[..] {
                ["aws4_request", "s3", region, date, access_key] if is_day_of(date, stamp) => {
                    Key::Version4 { access_key, date, region }
                }
                _ => return Err(s3_error!(InvalidArgument, "x-amz-credential is malformed.")),
            }
        }
        _ => Key::Version2 { access_key: demanded("awsaccesskeyid")? },
    };
    let signature = demanded(if version_4 { "x-amz-signature" } else { "signature" })?;
    Ok(Some(Signed { policy: demanded("policy")?, key, signature }))
}

fn is_day_of(date: &str, stamp: &str) -> bool {
    date.len() == 8 && date.bytes().all(|byte| byte.is_ascii_digit()) && stamp.starts_with(date)
}

fn hmac(key: &[u8], text: &str) -> Hmac<Sha256> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("an HMAC takes a key of any length");
    mac.update(text.as_bytes());
    mac
}

impl Signed<'_> {
    /// Who is said to have signed.
    pub fn access_key(&self) -> &str {
        match self.key {
            Key::Version2 { access_key } | Key::Version4 { access_key, .. } => access_key,
        }
    }

    /// Whether it is of the older version.
    pub fn is_version_2(&self) -> bool {
        matches!(self.key, Key::Version2 { .. })
    }

    /// Whether whoever holds this secret signed it, for this region where there is one. Takes the same time for every wrong
    /// signature.
    pub fn verify(&self, secret: &str, here: Option<&str>) -> S3Result<()> {
        let wrong = || s3_error!(SignatureDoesNotMatch);
        match self.key {
            Key::Version2 { .. } => {
                let signature = BASE64.decode(self.signature).map_err(|_| wrong())?;
                let key = secret.as_bytes();
                let mut mac = Hmac::<Sha1>::new_from_slice(key).expect("an HMAC takes a key of any length");
                mac.update(self.policy.as_bytes());
                mac.verify_slice(&signature).map_err(|_| wrong())
            }
            Key::Version4 { date, region, .. } => {
                if here.is_some_and(|here| here != region) {
                    return Err(s3_error!(InvalidArgument, "The region of x-amz-credential is wrong."));
                }
                let signature = hex::decode(self.signature).map_err(|_| wrong())?;
                let first = hmac(format!("AWS4{secret}").as_bytes(), date);
                let steps = [region, "s3", "aws4_request"];
                let last = steps.into_iter().fold(first, |mac, step| hmac(&mac.finalize().into_bytes(), step));
                let mac = hmac(&last.finalize().into_bytes(), self.policy);
                mac.verify_slice(&signature).map_err(|_| wrong())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn form(fields: &[(&str, &str)]) -> Form {
        let fields = fields.iter().map(|&(name, value)| (name.to_owned(), value.to_owned())).collect();
        Form { fields, ..Form::default() }
    }

    fn code<T>(result: S3Result<T>) -> Option<String> {
        result.err().map(|error| error.code().as_str().to_owned())
    }

    const V4: [(&str, &str); 5] = [
        ("policy", "e30="),
        ("x-amz-algorithm", ALGORITHM_4),
        ("x-amz-credential", "a/key/20260101/here/s3/aws4_request"),
        ("x-amz-date", "20260101T000000Z"),
        ("x-amz-signature", "c55cf3a9d9f4a7bc0d10a4ac4e9cdf75d2b4e1b42b0ec8cc0ba4b9e6b1b0b0b0"),
    ];

    #[test]
    fn signatures_are_whole_or_there_is_none() {
        assert_eq!(of(&form(&[("key", "k")])).unwrap(), None);
        let without = |all: &[(&'static str, &'static str)], name: &str| -> Vec<_> {
            all.iter().copied().filter(|(other, _)| *other != name).collect()
        };
        for (left_out, _) in V4 {
            let refused = code(of(&form(&without(&V4, left_out))));
            assert_eq!(refused.as_deref(), Some("InvalidArgument"), "without {left_out}");
        }
        let v2 = [("policy", "e30="), ("awsaccesskeyid", "k"), ("signature", "s")];
        for (left_out, _) in v2 {
            let refused = code(of(&form(&without(&v2, left_out))));
            assert_eq!(refused.as_deref(), Some("InvalidArgument"), "without {left_out}");
        }
        assert_eq!(code(of(&form(&[&V4[..], &v2[1..]].concat()))).as_deref(), Some("InvalidArgument"));
        for (name, value) in [
            ("x-amz-credential", "key/20260102/here/s3/aws4_request"),
            ("x-amz-credential", "key/20260101/here/ec2/aws4_request"),
            ("x-amz-credential", "20260101/here/s3/aws4_request"),
            ("x-amz-algorithm", "AWS4-ECDSA-P256-SHA256"),
        ] {
            let fields = V4.map(|field| if field.0 == name { (name, value) } else { field });
            assert_eq!(code(of(&form(&fields))).as_deref(), Some("InvalidArgument"), "{value}");
        }
    }

    #[test]
    fn only_the_right_secret_region_and_policy_verify() {
        let fields = form(&V4);
        let mut signed = of(&fields).unwrap().unwrap();
        assert_eq!((signed.access_key(), signed.is_version_2()), ("a/key", false));
        let steps = ["here", "s3", "aws4_request"];
        let key = steps
            .into_iter()
            .fold(hmac(b"AWS4secret", "20260101"), |mac, step| hmac(&mac.finalize().into_bytes(), step));
        let right = hex::encode(hmac(&key.finalize().into_bytes(), "e30=").finalize().into_bytes());
        assert_eq!(code(signed.verify("secret", None)).as_deref(), Some("SignatureDoesNotMatch"));
        signed.signature = &right;
        signed.verify("secret", None).unwrap();
        signed.verify("secret", Some("here")).unwrap();
        assert_eq!(code(signed.verify("secret", Some("there"))).as_deref(), Some("InvalidArgument"));
        assert_eq!(code(signed.verify("other", None)).as_deref(), Some("SignatureDoesNotMatch"));
        signed.policy = "e31=";
        assert_eq!(code(signed.verify("secret", None)).as_deref(), Some("SignatureDoesNotMatch"));
    }
}

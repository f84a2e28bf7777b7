//! Signatures of version 2, written down from the protocol and not from the code that verifies them: what is signed is
//! given by the test.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use hmac::{Hmac, KeyInit, Mac};
use sha1::Sha1;

/// HMAC-SHA1 of a text, in base64.
pub fn sign(secret: &str, text: &str) -> String {
    let mut mac = Hmac::<Sha1>::new_from_slice(secret.as_bytes()).unwrap();
    mac.update(text.as_bytes());
    BASE64.encode(mac.finalize().into_bytes())
}

/// The value of `Authorization`.
pub fn authorization(key: &str, secret: &str, text: &str) -> String {
    format!("AWS {key}:{}", sign(secret, text))
}

/// The query of a signed address. `text` is what is signed.
pub fn query(key: &str, secret: &str, expires: u64, text: &str) -> String {
    let signature = sign(secret, text).replace('+', "%2B").replace('/', "%2F").replace('=', "%3D");
    format!("AWSAccessKeyId={key}&Expires={expires}&Signature={signature}")
}

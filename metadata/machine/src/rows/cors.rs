//! Cross-origin rules of a bucket: which pages a browser lets talk to it. What they mean is decided by the gateway.

use minicbor::{Decode, Encode};

/// The most rules of a bucket: what S3 allows.
pub const CORS_RULES_MAX: usize = 100;

/// One rule.
#[derive(Debug, Clone, Default, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct CorsRule {
    /// What people call it.
    #[n(0)]
    pub id: Option<String>,
    /// Origins, each with at most one `*`.
    #[n(1)]
    pub origins: Vec<String>,
    /// Methods.
    #[n(2)]
    pub methods: Vec<String>,
    /// Headers that requests may have, each with at most one `*`.
    #[n(3)]
    pub headers: Vec<String>,
    /// Headers that pages may see.
    #[n(4)]
    pub exposed: Vec<String>,
    /// For how many seconds a browser may remember the answer.
    #[n(5)]
    pub max_age_seconds: Option<u32>,
}

impl CorsRule {
    /// About how many bytes it has when encoded.
    pub fn weight(&self) -> usize {
        let texts = |texts: &[String]| 4 + texts.iter().map(|text| text.len() + 4).sum::<usize>();
        let Self { id, origins, methods, headers, exposed, max_age_seconds: _ } = self;
        24 + id.as_ref().map_or(0, |id| id.len() + 4)
            + texts(origins)
            + texts(methods)
            + texts(headers)
            + texts(exposed)
    }
}

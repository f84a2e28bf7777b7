//! Objects: from a request's stream to an acknowledged version, and back.
//!
//! ```text
//! put     -> upload (counted, hashed) -+-> small: packer, many objects to a stripe -+-> stripes -> commit -> 200
//!                                      +-> large: extents, a manifest where many ---+
//! get     -> version at one index -> locate, page by page -> reader, every block checked -> stream
//! delete  -> one operation a key
//! ```
//!
//! - [`upload`]: a body as it arrives, and whether it is what was promised
//! - [`put`]: what an object is; [`store`]: which way its body takes; [`packer`] and [`large`]: the two ways
//! - [`purpose`]: object or part, which take the same ways; [`manifest`]: a list of extents or parts while it is filled
//! - [`copy`]: one version more of bytes that are there; [`tagging`]: what is said about a version
//! - [`stripes`]: durable first, committed then: the order that makes a write safe
//! - [`lookup`]: which version is meant; [`get`], [`inspect`]: what is answered; [`read`]: the bytes of it
//! - [`range`], [`part`], [`preconditions`], [`attributes`], [`storage_class`]: pure decisions about requests

pub mod attributes;
pub mod copy;
pub mod delete;
pub mod get;
pub mod inspect;
pub mod large;
pub mod lock;
pub mod lookup;
pub mod manifest;
pub mod packer;
pub mod part;
pub mod preconditions;
pub mod purpose;
pub mod put;
pub mod range;
pub mod read;
pub mod storage_class;
pub mod store;
pub mod tagging;
pub mod upload;

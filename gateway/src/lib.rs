//! The only room that knows S3.
//!
//! ```text
//! connection (server) -> request (service) -> how is it signed (entrance)
//!     -> s3s: signature (auth, host), or ours for version 2 (signature_v2) and for forms (form)
//!     -> access: who asks, and is every part of the question one that is built (guard)
//!     -> body, watched and counted (body, digest)
//!     -> operation (front) -> bucket:: or object:: -> erasure and metadata
//!     -> answer: names, XML errors (answer, fault)
//! ```
//!
//! Behind [`front`] nobody speaks S3's protocol: the object layer knows streams, extents, stripes and operations. What goes
//! wrong is a [`fault::Fault`], and becomes an S3 code in one place.
//!
//! - [`gateway`]: all of it put together, and what can be configured
//! - [`server`], [`patience`], [`service`], [`request_id`], [`answer`], [`cors`]: HTTP
//! - [`entrance`], [`signature_v2`], [`form`], [`mended`], [`query_string`]: what s3s must not see, or not as it was sent
//! - [`host`], [`auth`], [`seal`], [`access`], [`authority`]: which bucket, whose key, may it
//! - [`guard`]: nothing that a client asks for is silently ignored, one file for each kind of asking
//! - [`body`], [`digest`]: bytes on their way in, and whether they are what was promised
//! - [`budget`]: memory, reserved whole before it is used
//! - [`object`], [`bucket`], [`acl`]: the operations; [`tags`] belong to both
//! - [`outcome`]: one operation, proposed and answered
//! - [`traffic`]: what passes through, counted
//! - [`names`]: between S3's words and ours
//! - [`admin`]: the way to the administration, behind the same signatures
//!
//! What is deliberately not here: TLS, session tokens. What is built of S3 and what
//! is not stands in `docs/s3-compatibility.md`.

pub mod access;
pub mod acl;
pub mod admin;
pub mod answer;
pub mod auth;
pub mod authority;
pub mod body;
pub mod bucket;
pub mod budget;
pub mod cors;
pub mod digest;
pub mod entrance;
pub mod fault;
pub mod form;
pub mod front;
pub mod gateway;
pub mod guard;
pub mod host;
pub mod mended;
pub mod multipart;
pub mod names;
pub mod object;
pub mod outcome;
pub mod patience;
pub mod query_string;
pub mod request_id;
pub mod seal;
pub mod server;
pub mod service;
pub mod signature_v2;
pub mod tags;
pub mod traffic;

pub use admin::{ADMIN_PREFIX, AdminApi};
pub use gateway::{ConfigError, Gateway, GatewayConfig, Surroundings};
pub use seal::SecretSealer;

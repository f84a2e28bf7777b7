//! The rows: one file for each kind of thing that the log amounts to.

pub mod access_key;
pub mod acl;
pub mod bucket;
pub mod cluster;
pub mod config;
pub mod cors;
pub mod extent;
pub mod garbage;
pub mod here;
pub mod lock;
pub mod manifest;
pub mod object;
pub mod profile;
pub mod session;
pub mod spent;
pub mod stripe;
pub mod topology;
pub mod upload;

//! The gateway over HTTP, as clients see it: a real server on a loopback port, a real metadata voter, drives in memory
//! that fail on demand.
#![allow(clippy::unwrap_used, reason = "a test stops where it is surprised")]

mod authority;
mod buckets;
mod configurations;
mod copies;
mod cors;
mod forms;
mod keys;
mod locks;
mod multipart;
mod objects;
mod reading;
mod requests;
mod signatures;
mod support;
mod tagging;
mod versions;

//! Real servers for tests.
//!
//! - [`server`]: a `cairn dev` process on a free loopback port; killed, restarted, and ended by its pid when the test ends,
//!   however it ends
//! - [`cluster`]: `cairn dev --processes N`, whose nodes are killed and started again one by one
//! - [`s3`]: a small S3 client that never retries and tells "failed" from "may have happened"
//! - [`clients`]: aws-cli and boto3 in an environment of their own below the target directory
//! - [`history`]: what clients saw, and whether an order of everything explains it
//! - [`seed`]: the seed of a randomised test, printed so that a failure can be replayed

pub mod clients;
pub mod cluster;
pub mod history;
pub mod s3;
pub mod seed;
pub mod server;

pub use cluster::Cluster;
pub use history::History;
pub use s3::{Answer, S3};
pub use seed::Seed;
pub use server::Server;

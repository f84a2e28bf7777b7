//! The only room that knows S3.

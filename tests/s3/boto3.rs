//! boto3 with its default integrity settings: each script is a test of its own, run against a fresh server.

use std::path::Path;

use crate::{clients, fresh, run};

fn script(name: &str) {
    let Some(clients) = clients() else { return };
    let home = tempfile::tempdir().unwrap();
    let server = fresh(&home).start();
    let key = server.credentials();
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/s3").join(name);
    let said = run(clients
        .python()
        .arg(path)
        .arg(server.endpoint())
        .env("AWS_ACCESS_KEY_ID", key.access_key)
        .env("AWS_SECRET_ACCESS_KEY", key.secret_key)
        .env("AWS_DEFAULT_REGION", "us-east-1")
        .env("AWS_CONFIG_FILE", "/dev/null")
        .env("PYTHONDONTWRITEBYTECODE", "1"));
    // A script that ended early without an error would otherwise pass.
    assert!(said.trim_end().ends_with("all of it holds"), "{said}");
}

#[test]
fn the_daily_operations() {
    script("daily.py");
}

#[test]
fn a_gibibyte_in_one_request() {
    script("gibibyte.py");
}

#[test]
fn a_gibibyte_in_parts() {
    script("transfer.py");
}

#[test]
fn keys_that_others_lose() {
    script("keys.py");
}

#[test]
fn listings() {
    script("listings.py");
}

#[test]
fn multipart_uploads() {
    script("multipart.py");
}

#[test]
fn presigned_urls_of_both_versions() {
    script("presigned.py");
}

#[test]
fn versions_copies_and_tags() {
    script("versions.py");
}

#[test]
fn what_is_refused() {
    script("refusals.py");
}

#[test]
fn signed_addresses_of_both_versions() {
    script("signatures.py");
}

//! The AWS SDK for Rust, set up for a server of a test: no TLS, and no retries, so that a test sees what the server said.

use aws_sdk_s3::Client;
use aws_sdk_s3::config::retry::RetryConfig;
use aws_sdk_s3::config::{BehaviorVersion, Credentials, Region};
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use aws_smithy_http_client::Builder;
use cairn_harness::server::Server;

/// A client of a server, with the SDK's defaults for everything that concerns integrity.
pub fn client(server: &Server) -> Client {
    let key = server.credentials();
    let config = aws_sdk_s3::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .credentials_provider(Credentials::new(key.access_key, key.secret_key, None, None, "test"))
        .endpoint_url(server.endpoint())
        .force_path_style(true)
        .http_client(Builder::new().build_http())
        .region(Region::new("us-east-1"))
        .retry_config(RetryConfig::disabled());
    Client::from_conf(config.build())
}

/// What a server refused with: status and code. A HEAD has no body, so its code is empty. Panics where no answer came, and
/// where an answer has no request id.
pub fn refusal<E>(error: SdkError<E>) -> (u16, String)
where
    E: ProvideErrorMetadata + std::error::Error + 'static,
{
    match error {
        SdkError::ServiceError(said) => {
            let status = said.raw().status().as_u16();
            let request_id = said.raw().headers().get("x-amz-request-id");
            assert!(request_id.is_some(), "an answer without a request id: {:?}", said.err());
            (status, said.err().code().unwrap_or_default().to_owned())
        }
        other => panic!("no answer: {other:?}"),
    }
}

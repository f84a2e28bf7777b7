//! What a bucket cannot have, and can be asked for all the same.
//!
//! There is no encryption here, no lifecycle and so on, so no bucket has any of it; to say so is the whole
//! truth, and what clients expect of a bucket for which nothing was configured. To take such a thing away succeeds, as it
//! does where there is none. To configure it is refused with NotImplemented: those operations are not in the table.
//!
//! The table is read twice: by [`crate::guard`], for the shapes of the operations, and by [`crate::front`], which is made
//! of them.

use http::StatusCode;
use s3s::{S3Error, S3ErrorCode};

use crate::fault::Fault;
use crate::front::Core;
use crate::guard::{BodyKind, OperationShape};
use crate::names;

/// Calls a macro with every line: the operation, its parameters, its body, its method, its input and output, its answer.
macro_rules! table {
    ($use:ident) => {
        $use! {
            "GetBucketEncryption" ["encryption"] BodyKind::None, get_bucket_encryption(GetBucketEncryptionInput)
                -> GetBucketEncryptionOutput = Err(unconfigured::not_found(
                    S3ErrorCode::ServerSideEncryptionConfigurationNotFoundError,
                    "The server side encryption configuration was not found"
                ));
            "DeleteBucketEncryption" ["encryption"] BodyKind::None, delete_bucket_encryption(DeleteBucketEncryptionInput)
                -> DeleteBucketEncryptionOutput = Ok(DeleteBucketEncryptionOutput {});
            "GetBucketLifecycleConfiguration" ["lifecycle"] BodyKind::None,
                get_bucket_lifecycle_configuration(GetBucketLifecycleConfigurationInput)
                -> GetBucketLifecycleConfigurationOutput
                = Err(s3_error!(NoSuchLifecycleConfiguration, "The lifecycle configuration does not exist"));
            "DeleteBucketLifecycle" ["lifecycle"] BodyKind::None, delete_bucket_lifecycle(DeleteBucketLifecycleInput)
                -> DeleteBucketLifecycleOutput = Ok(DeleteBucketLifecycleOutput {});
            "GetBucketWebsite" ["website"] BodyKind::None, get_bucket_website(GetBucketWebsiteInput)
                -> GetBucketWebsiteOutput = Err(s3_error!(
                    NoSuchWebsiteConfiguration,
                    "The specified bucket does not have a website configuration"
                ));
            "DeleteBucketWebsite" ["website"] BodyKind::None, delete_bucket_website(DeleteBucketWebsiteInput)
                -> DeleteBucketWebsiteOutput = Ok(DeleteBucketWebsiteOutput {});
            "GetBucketReplication" ["replication"] BodyKind::None, get_bucket_replication(GetBucketReplicationInput)
                -> GetBucketReplicationOutput = Err(s3_error!(
                    ReplicationConfigurationNotFoundError,
                    "The replication configuration was not found"
                ));
            "DeleteBucketReplication" ["replication"] BodyKind::None,
                delete_bucket_replication(DeleteBucketReplicationInput)
                -> DeleteBucketReplicationOutput = Ok(DeleteBucketReplicationOutput {});
            "GetBucketLogging" ["logging"] BodyKind::None, get_bucket_logging(GetBucketLoggingInput)
                -> GetBucketLoggingOutput = Ok(GetBucketLoggingOutput::default());
            "GetBucketNotificationConfiguration" ["notification"] BodyKind::None,
                get_bucket_notification_configuration(GetBucketNotificationConfigurationInput)
                -> GetBucketNotificationConfigurationOutput = Ok(GetBucketNotificationConfigurationOutput::default());
            "GetBucketRequestPayment" ["requestPayment"] BodyKind::None,
                get_bucket_request_payment(GetBucketRequestPaymentInput)
                -> GetBucketRequestPaymentOutput
                = Ok(GetBucketRequestPaymentOutput { payer: Some(Payer::from_static(Payer::BUCKET_OWNER)) });
            "GetBucketAccelerateConfiguration" ["accelerate"] BodyKind::None,
                get_bucket_accelerate_configuration(GetBucketAccelerateConfigurationInput)
                -> GetBucketAccelerateConfigurationOutput = Ok(GetBucketAccelerateConfigurationOutput::default());
        }
    };
}

/// Makes the methods of the front, written out as `async_trait` would: it does not look into macros.
macro_rules! methods {
    ($($name:literal $query:tt $body:expr, $method:ident($input:ident) -> $output:ident = $answer:expr;)*) => { $(
        fn $method<'front, 'answer>(
            &'front self,
            request: S3Request<$input>,
        ) -> core::pin::Pin<Box<dyn Future<Output = S3Result<S3Response<$output>>> + Send + 'answer>>
        where
            'front: 'answer,
            Self: 'answer,
        {
            Box::pin(async move {
                self.0.must_exist(&request.input.bucket).await?;
                let answer: S3Result<$output> = $answer;
                Ok(S3Response::new(answer?))
            })
        }
    )* };
}

macro_rules! shapes {
    ($($name:literal [$($query:literal),*] $body:expr, $method:ident($input:ident) -> $output:ident = $answer:expr;)*) => {
        /// The shapes of these operations.
        pub const SHAPES: &[OperationShape] =
            &[$(OperationShape { name: $name, query: &[$($query),*], headers: &["x-amz-request-payer"], body: $body }),*];
    };
}

table!(shapes);

pub(crate) use {methods, table};

/// For codes of which s3s does not know that AWS sends them with 404.
pub(crate) fn not_found(code: S3ErrorCode, message: &'static str) -> S3Error {
    let mut error = S3Error::with_message(code, message);
    error.set_status_code(StatusCode::NOT_FOUND);
    error
}

impl Core {
    /// Whether there is such a bucket now.
    pub async fn must_exist(&self, bucket: &str) -> Result<(), Fault> {
        let name = names::bucket(bucket).map_err(|_| Fault::NoSuchBucket)?;
        self.bucket_row(&name).await.map(|_| ())
    }
}

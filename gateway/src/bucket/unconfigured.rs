//! What a bucket cannot have, and can be asked for all the same.
//!
//! There are no policies here, no encryption, no lifecycle and so on, so no bucket has any of it; to say so is the whole
//! truth, and what clients expect of a bucket for which nothing was configured. To take such a thing away succeeds, as it
//! does where there is none. To configure it is refused with NotImplemented: those operations are not in the table.
//!
//! The table is read twice: by [`crate::guard`], for the shapes of the operations, and by [`crate::front`], which is made
//! of them.

use cairn_core::units::KIB;
use http::StatusCode;
use s3s::{S3Error, S3ErrorCode, s3_error};

use crate::bucket::unconfigured;
use crate::fault::Fault;
use crate::front::Core;
use crate::guard::{BodyKind, OperationShape};
use crate::names;

/// A short document that is read and not needed.
const DOCUMENT: BodyKind = BodyKind::Xml { bytes_max: 64 * KIB };

/// Calls a macro with every line: the operation, its parameters, its body, its method, its input and output, its answer.
macro_rules! table {
    ($use:ident) => {
        $use! {
            "GetBucketPolicy" ["policy"] BodyKind::None, get_bucket_policy(GetBucketPolicyInput)
                -> GetBucketPolicyOutput = Err(s3_error!(NoSuchBucketPolicy, "The bucket policy does not exist"));
            "DeleteBucketPolicy" ["policy"] BodyKind::None, delete_bucket_policy(DeleteBucketPolicyInput)
                -> DeleteBucketPolicyOutput = Ok(DeleteBucketPolicyOutput {});
            "GetBucketPolicyStatus" ["policyStatus"] BodyKind::None, get_bucket_policy_status(GetBucketPolicyStatusInput)
                -> GetBucketPolicyStatusOutput = Ok(GetBucketPolicyStatusOutput {
                    policy_status: Some(PolicyStatus { is_public: Some(false) }),
                });
            "GetPublicAccessBlock" ["publicAccessBlock"] BodyKind::None, get_public_access_block(GetPublicAccessBlockInput)
                -> GetPublicAccessBlockOutput = Err(unconfigured::not_found(
                    S3ErrorCode::Custom("NoSuchPublicAccessBlockConfiguration".into()),
                    "The public access block configuration was not found"
                ));
            "DeletePublicAccessBlock" ["publicAccessBlock"] BodyKind::None,
                delete_public_access_block(DeletePublicAccessBlockInput)
                -> DeletePublicAccessBlockOutput = Ok(DeletePublicAccessBlockOutput {});
            "GetBucketOwnershipControls" ["ownershipControls"] BodyKind::None,
                get_bucket_ownership_controls(GetBucketOwnershipControlsInput)
                -> GetBucketOwnershipControlsOutput
                = Err(s3_error!(OwnershipControlsNotFoundError, "The bucket ownership controls were not found"));
            "DeleteBucketOwnershipControls" ["ownershipControls"] BodyKind::None,
                delete_bucket_ownership_controls(DeleteBucketOwnershipControlsInput)
                -> DeleteBucketOwnershipControlsOutput = Ok(DeleteBucketOwnershipControlsOutput {});
            "GetBucketCors" ["cors"] BodyKind::None, get_bucket_cors(GetBucketCorsInput)
                -> GetBucketCorsOutput
                = Err(s3_error!(NoSuchCORSConfiguration, "The CORS configuration does not exist"));
            "DeleteBucketCors" ["cors"] BodyKind::None, delete_bucket_cors(DeleteBucketCorsInput)
                -> DeleteBucketCorsOutput = Ok(DeleteBucketCorsOutput {});
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
            "GetObjectLockConfiguration" ["object-lock"] BodyKind::None,
                get_object_lock_configuration(GetObjectLockConfigurationInput)
                -> GetObjectLockConfigurationOutput = Err(s3_error!(
                    ObjectLockConfigurationNotFoundError,
                    "Object Lock configuration does not exist for this bucket"
                ));
            "PutObjectLockConfiguration" ["object-lock"] unconfigured::DOCUMENT,
                put_object_lock_configuration(PutObjectLockConfigurationInput)
                -> PutObjectLockConfigurationOutput = Err(s3_error!(
                    InvalidBucketState,
                    "Object Lock configuration cannot be enabled on existing buckets"
                ));
            "GetObjectRetention" ["retention", "versionId"] BodyKind::None, get_object_retention(GetObjectRetentionInput)
                -> GetObjectRetentionOutput = Err(unconfigured::no_lock());
            "PutObjectRetention" ["retention", "versionId"] unconfigured::DOCUMENT,
                put_object_retention(PutObjectRetentionInput)
                -> PutObjectRetentionOutput = Err(unconfigured::no_lock());
            "GetObjectLegalHold" ["legal-hold", "versionId"] BodyKind::None, get_object_legal_hold(GetObjectLegalHoldInput)
                -> GetObjectLegalHoldOutput = Err(unconfigured::no_lock());
            "PutObjectLegalHold" ["legal-hold", "versionId"] unconfigured::DOCUMENT,
                put_object_legal_hold(PutObjectLegalHoldInput)
                -> PutObjectLegalHoldOutput = Err(unconfigured::no_lock());
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

/// What AWS says of retention and legal holds where no lock was configured.
pub(crate) fn no_lock() -> S3Error {
    s3_error!(InvalidRequest, "Bucket is missing Object Lock Configuration")
}

impl Core {
    /// Whether there is such a bucket now.
    pub async fn must_exist(&self, bucket: &str) -> Result<(), Fault> {
        let name = names::bucket(bucket).map_err(|_| Fault::NoSuchBucket)?;
        self.bucket_row(&name).await.map(|_| ())
    }
}

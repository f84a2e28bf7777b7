//! Where s3s hands over: its operations, each a line that leads into the bucket or the object layer.

use std::sync::Arc;

use cairn_core::{Clock, ClusterId};
use cairn_placement::Stripes;
use s3s::dto::*;
use s3s::{S3, S3ErrorCode, S3Request, S3Response, S3Result, s3_error};

use crate::authority::Identity;
use crate::bucket::unconfigured::{self, methods};
use crate::budget::MemoryBudget;
use crate::digest::md5::together::Together;
use crate::object::packer::Packer;
use crate::object::read::ObjectReader;
use crate::{acl, bucket, multipart, object};

/// What operations work with.
#[derive(Debug)]
pub struct Core {
    /// Makes and commits stripes; has the client of the metadata.
    pub stripes: Arc<Stripes>,
    /// Packs small objects.
    pub packer: Packer,
    /// Reads objects.
    pub reader: ObjectReader,
    /// The memory of writes.
    pub write_budget: MemoryBudget,
    /// Hashes bodies, those of several requests in step.
    pub hashing: Together,
    /// The longest extent of an object that does not share a stripe.
    pub extent_bytes_max: u64,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Which cluster this is.
    pub cluster: ClusterId,
    /// Who owns the cluster, and all that no user owns.
    pub owner: String,
    /// Where this gateway says it is; none stands in any region.
    pub region: Option<String>,
}

/// The operations that are built. All others answer NotImplemented, before they get here.
#[derive(Debug, Clone)]
pub struct Front(pub Arc<Core>);

fn ok<T>(output: T) -> S3Result<S3Response<T>> {
    Ok(S3Response::new(output))
}

/// Who asks, as the access check found out. Nobody, where it did not.
fn identity<T>(request: &S3Request<T>) -> Identity {
    request.extensions.get::<Identity>().cloned().unwrap_or(Identity::Anonymous)
}

#[async_trait::async_trait]
impl S3 for Front {
    async fn list_buckets(&self, request: S3Request<ListBucketsInput>) -> S3Result<S3Response<ListBucketsOutput>> {
        let identity = identity(&request);
        ok(bucket::list(&self.0, request.input, &identity).await?)
    }

    async fn create_bucket(&self, request: S3Request<CreateBucketInput>) -> S3Result<S3Response<CreateBucketOutput>> {
        let identity = identity(&request);
        ok(bucket::create(&self.0, request.input, &identity, &request.headers).await?)
    }

    async fn head_bucket(&self, request: S3Request<HeadBucketInput>) -> S3Result<S3Response<HeadBucketOutput>> {
        ok(bucket::head(&self.0, &request.input.bucket).await?)
    }

    async fn delete_bucket(&self, request: S3Request<DeleteBucketInput>) -> S3Result<S3Response<DeleteBucketOutput>> {
        bucket::removal::delete(&self.0, &request.input.bucket).await?;
        ok(DeleteBucketOutput {})
    }

    async fn get_bucket_location(
        &self,
        request: S3Request<GetBucketLocationInput>,
    ) -> S3Result<S3Response<GetBucketLocationOutput>> {
        ok(bucket::location(&self.0, &request.input.bucket).await?)
    }

    async fn list_objects(&self, request: S3Request<ListObjectsInput>) -> S3Result<S3Response<ListObjectsOutput>> {
        ok(bucket::listing::list(&self.0, request.input).await?)
    }

    async fn list_objects_v2(
        &self,
        request: S3Request<ListObjectsV2Input>,
    ) -> S3Result<S3Response<ListObjectsV2Output>> {
        ok(bucket::listing::list_v2(&self.0, request.input).await?)
    }

    async fn get_bucket_tagging(
        &self,
        request: S3Request<GetBucketTaggingInput>,
    ) -> S3Result<S3Response<GetBucketTaggingOutput>> {
        ok(bucket::tagging::get(&self.0, &request.input.bucket).await?)
    }

    async fn put_bucket_tagging(
        &self,
        request: S3Request<PutBucketTaggingInput>,
    ) -> S3Result<S3Response<PutBucketTaggingOutput>> {
        bucket::tagging::put(&self.0, request.input).await?;
        ok(PutBucketTaggingOutput {})
    }

    async fn delete_bucket_tagging(
        &self,
        request: S3Request<DeleteBucketTaggingInput>,
    ) -> S3Result<S3Response<DeleteBucketTaggingOutput>> {
        bucket::tagging::delete(&self.0, &request.input.bucket).await?;
        ok(DeleteBucketTaggingOutput {})
    }

    async fn get_bucket_acl(&self, request: S3Request<GetBucketAclInput>) -> S3Result<S3Response<GetBucketAclOutput>> {
        ok(acl::of_bucket(&self.0, &request.input.bucket).await?)
    }

    async fn put_bucket_acl(&self, request: S3Request<PutBucketAclInput>) -> S3Result<S3Response<PutBucketAclOutput>> {
        acl::put_of_bucket(&self.0, request.input, &request.headers).await?;
        ok(PutBucketAclOutput {})
    }

    async fn list_object_versions(
        &self,
        request: S3Request<ListObjectVersionsInput>,
    ) -> S3Result<S3Response<ListObjectVersionsOutput>> {
        ok(bucket::versions::list(&self.0, request.input).await?)
    }

    async fn get_bucket_versioning(
        &self,
        request: S3Request<GetBucketVersioningInput>,
    ) -> S3Result<S3Response<GetBucketVersioningOutput>> {
        ok(bucket::versioning::get(&self.0, &request.input.bucket).await?)
    }

    async fn put_bucket_versioning(
        &self,
        request: S3Request<PutBucketVersioningInput>,
    ) -> S3Result<S3Response<PutBucketVersioningOutput>> {
        bucket::versioning::put(&self.0, request.input).await?;
        ok(PutBucketVersioningOutput {})
    }

    async fn put_object(&self, request: S3Request<PutObjectInput>) -> S3Result<S3Response<PutObjectOutput>> {
        ok(Box::pin(object::put::put(&self.0, request)).await?)
    }

    async fn copy_object(&self, request: S3Request<CopyObjectInput>) -> S3Result<S3Response<CopyObjectOutput>> {
        ok(Box::pin(object::copy::copy(&self.0, request)).await?)
    }

    async fn get_object_tagging(
        &self,
        request: S3Request<GetObjectTaggingInput>,
    ) -> S3Result<S3Response<GetObjectTaggingOutput>> {
        ok(object::tagging::get(&self.0, request.input).await?)
    }

    async fn put_object_tagging(
        &self,
        request: S3Request<PutObjectTaggingInput>,
    ) -> S3Result<S3Response<PutObjectTaggingOutput>> {
        ok(object::tagging::put(&self.0, request.input).await?)
    }

    async fn delete_object_tagging(
        &self,
        request: S3Request<DeleteObjectTaggingInput>,
    ) -> S3Result<S3Response<DeleteObjectTaggingOutput>> {
        ok(object::tagging::delete(&self.0, request.input).await?)
    }

    async fn get_object_acl(&self, request: S3Request<GetObjectAclInput>) -> S3Result<S3Response<GetObjectAclOutput>> {
        ok(acl::of_object(&self.0, request.input).await?)
    }

    async fn put_object_acl(&self, request: S3Request<PutObjectAclInput>) -> S3Result<S3Response<PutObjectAclOutput>> {
        acl::put_of_object(&self.0, request.input, &request.headers).await?;
        ok(PutObjectAclOutput::default())
    }

    async fn get_object(&self, request: S3Request<GetObjectInput>) -> S3Result<S3Response<GetObjectOutput>> {
        ok(object::get::get(&self.0, request).await?)
    }

    async fn head_object(&self, request: S3Request<HeadObjectInput>) -> S3Result<S3Response<HeadObjectOutput>> {
        ok(object::get::head(&self.0, request).await?)
    }

    async fn get_object_attributes(
        &self,
        request: S3Request<GetObjectAttributesInput>,
    ) -> S3Result<S3Response<GetObjectAttributesOutput>> {
        ok(object::inspect::attributes(&self.0, request).await?)
    }

    async fn create_multipart_upload(
        &self,
        request: S3Request<CreateMultipartUploadInput>,
    ) -> S3Result<S3Response<CreateMultipartUploadOutput>> {
        let identity = identity(&request);
        ok(multipart::create::create(&self.0, request.input, &identity, &request.headers).await?)
    }

    async fn upload_part(&self, request: S3Request<UploadPartInput>) -> S3Result<S3Response<UploadPartOutput>> {
        ok(Box::pin(multipart::part::upload(&self.0, request)).await?)
    }

    async fn upload_part_copy(
        &self,
        request: S3Request<UploadPartCopyInput>,
    ) -> S3Result<S3Response<UploadPartCopyOutput>> {
        ok(multipart::part_copy::copy(&self.0, request).await?)
    }

    async fn complete_multipart_upload(
        &self,
        request: S3Request<CompleteMultipartUploadInput>,
    ) -> S3Result<S3Response<CompleteMultipartUploadOutput>> {
        ok(multipart::complete::complete(&self.0, request).await?)
    }

    async fn abort_multipart_upload(
        &self,
        request: S3Request<AbortMultipartUploadInput>,
    ) -> S3Result<S3Response<AbortMultipartUploadOutput>> {
        ok(multipart::abort(&self.0, request.input).await?)
    }

    async fn list_parts(&self, request: S3Request<ListPartsInput>) -> S3Result<S3Response<ListPartsOutput>> {
        ok(multipart::list_parts::list(&self.0, request.input).await?)
    }

    async fn list_multipart_uploads(
        &self,
        request: S3Request<ListMultipartUploadsInput>,
    ) -> S3Result<S3Response<ListMultipartUploadsOutput>> {
        ok(multipart::list::list(&self.0, request.input).await?)
    }

    async fn delete_object(&self, request: S3Request<DeleteObjectInput>) -> S3Result<S3Response<DeleteObjectOutput>> {
        ok(object::delete::delete(&self.0, request.input).await?)
    }

    async fn delete_objects(
        &self,
        request: S3Request<DeleteObjectsInput>,
    ) -> S3Result<S3Response<DeleteObjectsOutput>> {
        ok(object::delete::delete_many(&self.0, request).await?)
    }

    async fn get_bucket_cors(
        &self,
        request: S3Request<GetBucketCorsInput>,
    ) -> S3Result<S3Response<GetBucketCorsOutput>> {
        ok(bucket::cors::get(&self.0, &request.input.bucket).await?)
    }

    async fn put_bucket_cors(
        &self,
        request: S3Request<PutBucketCorsInput>,
    ) -> S3Result<S3Response<PutBucketCorsOutput>> {
        bucket::cors::put(&self.0, request.input).await?;
        ok(PutBucketCorsOutput {})
    }

    async fn delete_bucket_cors(
        &self,
        request: S3Request<DeleteBucketCorsInput>,
    ) -> S3Result<S3Response<DeleteBucketCorsOutput>> {
        bucket::cors::delete(&self.0, &request.input.bucket).await?;
        ok(DeleteBucketCorsOutput {})
    }

    async fn get_bucket_policy(
        &self,
        request: S3Request<GetBucketPolicyInput>,
    ) -> S3Result<S3Response<GetBucketPolicyOutput>> {
        ok(bucket::policy::get(&self.0, &request.input.bucket).await?)
    }

    async fn get_bucket_policy_status(
        &self,
        request: S3Request<GetBucketPolicyStatusInput>,
    ) -> S3Result<S3Response<GetBucketPolicyStatusOutput>> {
        ok(bucket::policy::status(&self.0, &request.input.bucket).await?)
    }

    async fn put_bucket_policy(
        &self,
        request: S3Request<PutBucketPolicyInput>,
    ) -> S3Result<S3Response<PutBucketPolicyOutput>> {
        bucket::policy::put(&self.0, request.input).await?;
        ok(PutBucketPolicyOutput {})
    }

    async fn delete_bucket_policy(
        &self,
        request: S3Request<DeleteBucketPolicyInput>,
    ) -> S3Result<S3Response<DeleteBucketPolicyOutput>> {
        bucket::policy::delete(&self.0, &request.input.bucket).await?;
        ok(DeleteBucketPolicyOutput {})
    }

    async fn get_public_access_block(
        &self,
        request: S3Request<GetPublicAccessBlockInput>,
    ) -> S3Result<S3Response<GetPublicAccessBlockOutput>> {
        ok(bucket::public_access::get(&self.0, &request.input.bucket).await?)
    }

    async fn put_public_access_block(
        &self,
        request: S3Request<PutPublicAccessBlockInput>,
    ) -> S3Result<S3Response<PutPublicAccessBlockOutput>> {
        bucket::public_access::put(&self.0, request.input).await?;
        ok(PutPublicAccessBlockOutput {})
    }

    async fn delete_public_access_block(
        &self,
        request: S3Request<DeletePublicAccessBlockInput>,
    ) -> S3Result<S3Response<DeletePublicAccessBlockOutput>> {
        bucket::public_access::delete(&self.0, &request.input.bucket).await?;
        ok(DeletePublicAccessBlockOutput {})
    }

    async fn get_bucket_ownership_controls(
        &self,
        request: S3Request<GetBucketOwnershipControlsInput>,
    ) -> S3Result<S3Response<GetBucketOwnershipControlsOutput>> {
        ok(bucket::ownership::get(&self.0, &request.input.bucket).await?)
    }

    async fn put_bucket_ownership_controls(
        &self,
        request: S3Request<PutBucketOwnershipControlsInput>,
    ) -> S3Result<S3Response<PutBucketOwnershipControlsOutput>> {
        bucket::ownership::put(&self.0, request.input).await?;
        ok(PutBucketOwnershipControlsOutput {})
    }

    async fn delete_bucket_ownership_controls(
        &self,
        request: S3Request<DeleteBucketOwnershipControlsInput>,
    ) -> S3Result<S3Response<DeleteBucketOwnershipControlsOutput>> {
        bucket::ownership::delete(&self.0, &request.input.bucket).await?;
        ok(DeleteBucketOwnershipControlsOutput {})
    }

    async fn get_object_lock_configuration(
        &self,
        request: S3Request<GetObjectLockConfigurationInput>,
    ) -> S3Result<S3Response<GetObjectLockConfigurationOutput>> {
        ok(bucket::lock::get(&self.0, &request.input.bucket).await?)
    }

    async fn put_object_lock_configuration(
        &self,
        request: S3Request<PutObjectLockConfigurationInput>,
    ) -> S3Result<S3Response<PutObjectLockConfigurationOutput>> {
        bucket::lock::put(&self.0, request.input).await?;
        ok(PutObjectLockConfigurationOutput::default())
    }

    async fn get_object_retention(
        &self,
        request: S3Request<GetObjectRetentionInput>,
    ) -> S3Result<S3Response<GetObjectRetentionOutput>> {
        ok(object::lock::get_retention(&self.0, request.input).await?)
    }

    async fn put_object_retention(
        &self,
        request: S3Request<PutObjectRetentionInput>,
    ) -> S3Result<S3Response<PutObjectRetentionOutput>> {
        object::lock::put_retention(&self.0, request.input).await?;
        ok(PutObjectRetentionOutput::default())
    }

    async fn get_object_legal_hold(
        &self,
        request: S3Request<GetObjectLegalHoldInput>,
    ) -> S3Result<S3Response<GetObjectLegalHoldOutput>> {
        ok(object::lock::get_hold(&self.0, request.input).await?)
    }

    async fn put_object_legal_hold(
        &self,
        request: S3Request<PutObjectLegalHoldInput>,
    ) -> S3Result<S3Response<PutObjectLegalHoldOutput>> {
        object::lock::put_hold(&self.0, request.input).await?;
        ok(PutObjectLegalHoldOutput::default())
    }

    unconfigured::table!(methods);
}

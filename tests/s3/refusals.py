"""What is not built says so: NotImplemented, never silence."""
import sys

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

s3 = boto3.client(
    "s3", endpoint_url=sys.argv[1], config=Config(s3={"addressing_style": "path"}, retries={"total_max_attempts": 1})
)
s3.create_bucket(Bucket="refusals")
s3.put_object(Bucket="refusals", Key="k", Body=b"kept")

NOT_BUILT = [
    (s3.put_bucket_lifecycle_configuration, {"LifecycleConfiguration": {"Rules": []}}),
    (s3.put_bucket_website, {"WebsiteConfiguration": {"IndexDocument": {"Suffix": "i"}}}),
    (s3.put_bucket_encryption, {"ServerSideEncryptionConfiguration": {"Rules": []}}),
    (s3.put_object, {"Key": "k", "Body": b"x", "ServerSideEncryption": "aws:kms"}),
    (s3.put_object, {"Key": "k", "Body": b"x", "SSECustomerAlgorithm": "AES256", "SSECustomerKey": "0" * 32}),
    (s3.restore_object, {"Key": "k", "RestoreRequest": {"Days": 1}}),
]
for call, arguments in NOT_BUILT:
    try:
        call(Bucket="refusals", **arguments)
        raise AssertionError(f"{call.__name__} with {sorted(arguments)} was taken")
    except ClientError as error:
        code, status = error.response["Error"]["Code"], error.response["ResponseMetadata"]["HTTPStatusCode"]
        assert (code, status) == ("NotImplemented", 501), (call.__name__, sorted(arguments), code, status)
assert s3.get_object(Bucket="refusals", Key="k")["Body"].read() == b"kept"

# What S3 itself refuses where it was not configured.
REFUSED_BY_S3 = [
    (s3.put_object, {"Key": "k", "Body": b"x", "StorageClass": "GLACIER_OF_MINE"}, "InvalidStorageClass"),
    (s3.put_object_lock_configuration, {"ObjectLockConfiguration": {"ObjectLockEnabled": "Enabled"}}, "InvalidBucketState"),
    (s3.put_object_retention, {"Key": "k", "Retention": {"Mode": "GOVERNANCE", "RetainUntilDate": "2040-01-01T00:00:00Z"}}, "InvalidRequest"),
    (s3.put_bucket_policy, {"Policy": "{}"}, "MalformedPolicy"),
]
for call, arguments, code in REFUSED_BY_S3:
    try:
        call(Bucket="refusals", **arguments)
        raise AssertionError(f"{call.__name__} with {sorted(arguments)} was taken")
    except ClientError as error:
        assert error.response["Error"]["Code"] == code, error
# Headers with default values are accepted.
s3.put_object(Bucket="refusals", Key="k", Body=b"kept", ACL="private", StorageClass="STANDARD")
print("all of it holds")

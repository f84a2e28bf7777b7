"""What is not built says so: NotImplemented, never silence."""
import sys

import boto3
import urllib3
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
    (s3.restore_object, {"Key": "k", "RestoreRequest": {"Days": 1}}),
]

# Encryption is not built, and nothing is ever kept in plain that was to be encrypted, whichever way it was asked for.
BY_SERVER = [
    {"ServerSideEncryption": "AES256"},
    {"ServerSideEncryption": "aws:kms"},
    {"ServerSideEncryption": "aws:kms:dsse", "SSEKMSKeyId": "key"},
    {"SSEKMSKeyId": "key"},
    {"SSEKMSEncryptionContext": "e30="},
    {"BucketKeyEnabled": True},
]
BY_CLIENT = {"SSECustomerAlgorithm": "AES256", "SSECustomerKey": "0" * 32}
SOURCE = {"Bucket": "refusals", "Key": "k"}
UPLOAD = {"UploadId": s3.create_multipart_upload(Bucket="refusals", Key="begun")["UploadId"], "Key": "begun", "PartNumber": 1}
for asked in [*BY_SERVER, BY_CLIENT]:
    NOT_BUILT += [
        (s3.put_object, {"Key": "k", "Body": b"x", **asked}),
        (s3.create_multipart_upload, {"Key": "k", **asked}),
        (s3.copy_object, {"Key": "copy", "CopySource": SOURCE, **asked}),
    ]
NOT_BUILT += [
    (s3.copy_object, {"Key": "copy", "CopySource": SOURCE, **{f"CopySource{name}": value for name, value in BY_CLIENT.items()}}),
    (s3.upload_part, {**UPLOAD, "Body": b"x", **BY_CLIENT}),
    (s3.upload_part_copy, {**UPLOAD, "CopySource": SOURCE, **BY_CLIENT}),
    (s3.get_object, {"Key": "k", **BY_CLIENT}),
    (s3.head_object, {"Key": "k", **BY_CLIENT}),
]
NOT_BUILT += [
    (s3.put_bucket_encryption, {"ServerSideEncryptionConfiguration": {"Rules": rules}})
    for rules in [
        [],
        [{"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "AES256"}}],
        [{"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": "key"}, "BucketKeyEnabled": True}],
    ]
]
for call, arguments in NOT_BUILT:
    try:
        call(Bucket="refusals", **arguments)
        raise AssertionError(f"{call.__name__} with {sorted(arguments)} was taken")
    except ClientError as error:
        code, status = error.response["Error"]["Code"], error.response["ResponseMetadata"]["HTTPStatusCode"]
        code = {"501": "NotImplemented"}.get(code, code)  # an answer to HEAD has no body that could name it
        assert (code, status) == ("NotImplemented", 501), (call.__name__, sorted(arguments), code, status)
assert s3.get_object(Bucket="refusals", Key="k")["Body"].read() == b"kept"



def answer(url, headers, body, method):
    """The status of a request that somebody without a key makes."""
    return urllib3.PoolManager().request(method, url, headers=headers, body=body).status


# Signed addresses carry the wish in their query or demand it as a header, forms as a field.
ENCRYPTED = {"x-amz-server-side-encryption": "AES256"}
for version in ["s3", "s3v4"]:
    signer = boto3.client("s3", endpoint_url=sys.argv[1], config=Config(signature_version=version, s3={"addressing_style": "path"}))
    url = signer.generate_presigned_url("put_object", {"Bucket": "refusals", "Key": "signed", "ServerSideEncryption": "AES256"})
    statuses = [answer(url, headers, b"x", "PUT") for headers in [ENCRYPTED, {}]]
    # What the query says need not be said again; a header that was signed cannot be left out.
    assert statuses in ([501, 501], [501, 403]), (version, statuses)
form = s3.generate_presigned_post("refusals", "form", Fields=ENCRYPTED, Conditions=[ENCRYPTED])
lines = [f'--b\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n' for name, value in form["fields"].items()]
body = "".join(lines) + '--b\r\nContent-Disposition: form-data; name="file"; filename="f"\r\n\r\nx\r\n--b--\r\n'
assert answer(form["url"], {"Content-Type": "multipart/form-data; boundary=b"}, body.encode(), "POST") == 501
# Of all that nothing came to be.
s3.abort_multipart_upload(Bucket="refusals", Key="begun", UploadId=UPLOAD["UploadId"])
assert "Uploads" not in s3.list_multipart_uploads(Bucket="refusals")
assert [listed["Key"] for listed in s3.list_objects_v2(Bucket="refusals")["Contents"]] == ["k"]
try:
    s3.get_bucket_encryption(Bucket="refusals")
    raise AssertionError("the bucket says that it encrypts")
except ClientError as error:
    assert error.response["Error"]["Code"] == "ServerSideEncryptionConfigurationNotFoundError", error

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

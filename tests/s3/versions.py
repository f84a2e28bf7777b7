"""Versions, copies and tags as an application uses them."""
import sys

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

s3 = boto3.client(
    "s3", endpoint_url=sys.argv[1], config=Config(s3={"addressing_style": "path"}, retries={"total_max_attempts": 1})
)
for bucket in ["kept", "plain"]:
    s3.create_bucket(Bucket=bucket)


def refused(code, status, call, **arguments):
    try:
        call(**arguments)
    except ClientError as error:
        found = (error.response["Error"]["Code"], error.response["ResponseMetadata"]["HTTPStatusCode"])
        assert found == (code, status), found
        return error.response["ResponseMetadata"]["HTTPHeaders"]
    raise AssertionError(f"{code} was expected")


def read(key, **arguments):
    return s3.get_object(Bucket="kept", Key=key, **arguments)["Body"].read()


# A version from before versions were switched on is the null version, and stays.
assert "Status" not in s3.get_bucket_versioning(Bucket="kept")
s3.put_object(Bucket="kept", Key="k", Body=b"before")
s3.put_bucket_versioning(Bucket="kept", VersioningConfiguration={"Status": "Enabled"})
ids = [s3.put_object(Bucket="kept", Key="k", Body=body)["VersionId"] for body in (b"one", b"two")]
marker = s3.delete_object(Bucket="kept", Key="k")
assert marker["DeleteMarker"] is True
headers = refused("NoSuchKey", 404, s3.get_object, Bucket="kept", Key="k")
assert headers["x-amz-delete-marker"] == "true" and headers["x-amz-version-id"] == marker["VersionId"], headers
refused("MethodNotAllowed", 405, s3.get_object, Bucket="kept", Key="k", VersionId=marker["VersionId"])
assert [read("k", VersionId=version) for version in ["null", *ids]] == [b"before", b"one", b"two"]
page = s3.list_object_versions(Bucket="kept")
assert [(version["VersionId"], version["IsLatest"]) for version in page["Versions"]] == [(ids[1], False), (ids[0], False), ("null", False)]
assert [(marker["VersionId"], marker["IsLatest"]) for marker in page["DeleteMarkers"]] == [(marker["VersionId"], True)]
assert "Contents" not in s3.list_objects_v2(Bucket="kept")
s3.delete_object(Bucket="kept", Key="k", VersionId=marker["VersionId"])
assert read("k") == b"two"

# Suspended: the null version is written anew, the others stay.
s3.put_bucket_versioning(Bucket="kept", VersioningConfiguration={"Status": "Suspended"})
s3.put_object(Bucket="kept", Key="k", Body=b"suspended")
assert read("k") == read("k", VersionId="null") == b"suspended" and read("k", VersionId=ids[0]) == b"one"
assert len(s3.list_object_versions(Bucket="kept")["Versions"]) == 3
refused("NoSuchVersion", 404, s3.get_object, Bucket="kept", Key="k", VersionId=marker["VersionId"])

# Copies: of a version, to another bucket, with metadata kept or replaced, under conditions.
copied = s3.copy_object(Bucket="plain", Key="copy", CopySource={"Bucket": "kept", "Key": "k", "VersionId": ids[0]})
assert copied["CopySourceVersionId"] == ids[0]
assert s3.get_object(Bucket="plain", Key="copy")["Body"].read() == b"one"
s3.put_object(Bucket="plain", Key="a+b %/ü", Body=b"odd", Metadata={"colour": "blue"}, ContentType="text/plain")
odd = {"Bucket": "plain", "Key": "a+b %/ü"}
s3.copy_object(Bucket="plain", Key="c", CopySource=odd)
head = s3.head_object(Bucket="plain", Key="c")
assert head["Metadata"] == {"colour": "blue"} and head["ContentType"] == "text/plain", head
s3.copy_object(Bucket="plain", Key="c", CopySource=odd, MetadataDirective="REPLACE", Metadata={"new": "yes"}, ContentType="a/b")
head = s3.head_object(Bucket="plain", Key="c")
assert head["Metadata"] == {"new": "yes"} and head["ContentType"] == "a/b", head
refused("InvalidRequest", 400, s3.copy_object, Bucket="plain", Key="c", CopySource={"Bucket": "plain", "Key": "c"})
refused("PreconditionFailed", 412, s3.copy_object, Bucket="plain", Key="d", CopySource=odd, CopySourceIfNoneMatch=head["ETag"])
refused("NoSuchKey", 404, s3.copy_object, Bucket="plain", Key="d", CopySource={"Bucket": "plain", "Key": "nothing"})

# Tags of objects, of their versions and copies, and of buckets.
def tags(**arguments):
    return {tag["Key"]: tag["Value"] for tag in s3.get_object_tagging(**arguments)["TagSet"]}


s3.put_object(Bucket="plain", Key="tagged", Body=b"x", Tagging="a=1&b=%C3%BC+c")
assert tags(Bucket="plain", Key="tagged") == {"a": "1", "b": "ü c"}
assert s3.get_object(Bucket="plain", Key="tagged")["TagCount"] == 2
s3.copy_object(Bucket="plain", Key="copy", CopySource={"Bucket": "plain", "Key": "tagged"})
assert tags(Bucket="plain", Key="copy") == {"a": "1", "b": "ü c"}
s3.copy_object(Bucket="plain", Key="copy", CopySource={"Bucket": "plain", "Key": "tagged"}, TaggingDirective="REPLACE", Tagging="c=3")
assert tags(Bucket="plain", Key="copy") == {"c": "3"}
s3.put_object_tagging(Bucket="kept", Key="k", VersionId=ids[0], Tagging={"TagSet": [{"Key": "old", "Value": ""}]})
assert tags(Bucket="kept", Key="k", VersionId=ids[0]) == {"old": ""} and tags(Bucket="kept", Key="k") == {}
s3.delete_object_tagging(Bucket="plain", Key="tagged")
assert tags(Bucket="plain", Key="tagged") == {}
eleven = {"TagSet": [{"Key": str(number), "Value": ""} for number in range(11)]}
refused("InvalidTag", 400, s3.put_object_tagging, Bucket="plain", Key="tagged", Tagging=eleven)
refused("NoSuchTagSet", 404, s3.get_bucket_tagging, Bucket="plain")
s3.put_bucket_tagging(Bucket="plain", Tagging={"TagSet": [{"Key": "team", "Value": "storage"}]})
assert s3.get_bucket_tagging(Bucket="plain")["TagSet"] == [{"Key": "team", "Value": "storage"}]
s3.delete_bucket_tagging(Bucket="plain")
refused("NoSuchTagSet", 404, s3.get_bucket_tagging, Bucket="plain")

# A bucket goes when its last version is gone.
refused("BucketNotEmpty", 409, s3.delete_bucket, Bucket="kept")
page = s3.list_object_versions(Bucket="kept")
every = [{"Key": item["Key"], "VersionId": item["VersionId"]} for item in page["Versions"] + page.get("DeleteMarkers", [])]
assert "Errors" not in s3.delete_objects(Bucket="kept", Delete={"Objects": every})
s3.delete_bucket(Bucket="kept")
print("all of it holds")

"""What an application does every day: buckets, objects, ranges, metadata, checksums, deletes, presigned URLs."""
import hashlib
import sys
import urllib.error
import urllib.request

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError, MissingDependencyException

s3 = boto3.client(
    "s3",
    endpoint_url=sys.argv[1],
    config=Config(s3={"addressing_style": "path"}, signature_version="s3v4", retries={"total_max_attempts": 1}),
)


def refused(code, status, call, **arguments):
    try:
        call(**arguments)
    except ClientError as error:
        found = (error.response["Error"]["Code"], error.response["ResponseMetadata"]["HTTPStatusCode"])
        assert found == (code, status), found
        return
    raise AssertionError(f"{code} was expected")


# Buckets.
s3.create_bucket(Bucket="daily")
s3.head_bucket(Bucket="daily")
assert [bucket["Name"] for bucket in s3.list_buckets()["Buckets"]] == ["daily"]
refused("404", 404, s3.head_bucket, Bucket="nowhere")
refused("NoSuchBucket", 404, s3.list_objects_v2, Bucket="nowhere")

# Sizes around every border: empty, packed, the largest packed, one extent, two extents, more than the row names.
MIB = 1 << 20
for size in [0, 1, 4095, 4096, 4097, 65536, MIB - 1, MIB, MIB + 1, 5 * MIB, 16 * MIB - 1, 16 * MIB, 16 * MIB + 1, 40 * MIB]:
    body = hashlib.shake_256(str(size).encode()).digest(size)
    put = s3.put_object(Bucket="daily", Key=f"size/{size}", Body=body)
    assert put["ETag"] == f'"{hashlib.md5(body).hexdigest()}"', size
    got = s3.get_object(Bucket="daily", Key=f"size/{size}")
    assert got["Body"].read() == body, size
    assert got["ETag"] == put["ETag"] and got["ContentLength"] == size
    assert got["AcceptRanges"] == "bytes"

# Ranges.
body = hashlib.shake_256(b"range").digest(300_000)
s3.put_object(Bucket="daily", Key="range", Body=body)
for asked, wanted in [("bytes=0-0", body[:1]), ("bytes=5-", body[5:]), ("bytes=-7", body[-7:]), ("bytes=1000-299999999", body[1000:])]:
    got = s3.get_object(Bucket="daily", Key="range", Range=asked)
    assert got["Body"].read() == wanted, asked
    assert got["ResponseMetadata"]["HTTPStatusCode"] == 206
    start = len(body) - len(wanted) if wanted != body[:1] else 0
    assert got["ContentRange"] == f"bytes {start}-{start + len(wanted) - 1}/{len(body)}"
refused("InvalidRange", 416, s3.get_object, Bucket="daily", Key="range", Range="bytes=300000-")

# Metadata and headers come back as they were given; an overwrite replaces all of them.
s3.put_object(
    Bucket="daily", Key="meta", Body=b"x", ContentType="text/plain; charset=utf-8", CacheControl="max-age=60",
    ContentDisposition='attachment; filename="x"', ContentEncoding="gzip", ContentLanguage="de",
    Metadata={"colour": "blue", "Mixed-Case": "kept"},
)
head = s3.head_object(Bucket="daily", Key="meta")
assert head["ContentType"] == "text/plain; charset=utf-8" and head["CacheControl"] == "max-age=60"
assert head["ContentDisposition"] == 'attachment; filename="x"' and head["ContentEncoding"] == "gzip"
assert head["ContentLanguage"] == "de" and head["Metadata"] == {"colour": "blue", "mixed-case": "kept"}
s3.put_object(Bucket="daily", Key="meta", Body=b"y")
head = s3.head_object(Bucket="daily", Key="meta")
assert head["Metadata"] == {} and "CacheControl" not in head and head["ContentType"] == "binary/octet-stream"

# Checksums: computed by the client in a header or a trailer, verified by the server, given back on request.
for kind in ["CRC32", "CRC32C", "SHA1", "SHA256", "CRC64NVME"]:
    try:
        s3.put_object(Bucket="daily", Key=f"sum/{kind}", Body=b"summed", ChecksumAlgorithm=kind)
    except MissingDependencyException:
        continue  # botocore computes some kinds only with an extra package; the server is not at fault
    head = s3.head_object(Bucket="daily", Key=f"sum/{kind}", ChecksumMode="ENABLED")
    assert head.get(f"Checksum{kind}"), head
    assert s3.get_object(Bucket="daily", Key=f"sum/{kind}", ChecksumMode="ENABLED")["Body"].read() == b"summed"
refused("BadDigest", 400, s3.put_object, Bucket="daily", Key="bad", Body=b"x", ContentMD5="1B2M2Y8AsgTpgAmY7PhCfg==")
refused("BadDigest", 400, s3.put_object, Bucket="daily", Key="bad", Body=b"x", ChecksumCRC32="AAAAAA==")
refused("404", 404, s3.head_object, Bucket="daily", Key="bad")

# Conditions.
put = s3.put_object(Bucket="daily", Key="once", Body=b"1", IfNoneMatch="*")
refused("PreconditionFailed", 412, s3.put_object, Bucket="daily", Key="once", Body=b"2", IfNoneMatch="*")
s3.put_object(Bucket="daily", Key="once", Body=b"3", IfMatch=put["ETag"])
refused("PreconditionFailed", 412, s3.put_object, Bucket="daily", Key="once", Body=b"4", IfMatch=put["ETag"])
assert s3.get_object(Bucket="daily", Key="once")["Body"].read() == b"3"
refused("304", 304, s3.get_object, Bucket="daily", Key="once", IfNoneMatch=s3.head_object(Bucket="daily", Key="once")["ETag"])

# Presigned URLs, and requests without a signature.
url = s3.generate_presigned_url("get_object", Params={"Bucket": "daily", "Key": "once"}, ExpiresIn=60)
assert urllib.request.urlopen(url).read() == b"3"
url = s3.generate_presigned_url("put_object", Params={"Bucket": "daily", "Key": "presigned"}, ExpiresIn=60)
urllib.request.urlopen(urllib.request.Request(url, data=b"by url", method="PUT"))
assert s3.get_object(Bucket="daily", Key="presigned")["Body"].read() == b"by url"
for tampered in [url.split("?")[0], url.replace("presigned", "other")]:
    try:
        urllib.request.urlopen(urllib.request.Request(tampered, data=b"no", method="PUT"))
        raise AssertionError("an unsigned or tampered request was served")
    except urllib.error.HTTPError as error:
        assert error.code == 403, error.code

# Deletes: one, many, what is not there, and a bucket that still holds something.
refused("BucketNotEmpty", 409, s3.delete_bucket, Bucket="daily")
s3.delete_object(Bucket="daily", Key="was never there")
keys = [item["Key"] for page in s3.get_paginator("list_objects_v2").paginate(Bucket="daily") for item in page["Contents"]]
deleted = s3.delete_objects(Bucket="daily", Delete={"Objects": [{"Key": key} for key in keys + ["nor this"]]})
assert sorted(item["Key"] for item in deleted["Deleted"]) == sorted(keys + ["nor this"]) and "Errors" not in deleted
refused("NoSuchKey", 404, s3.get_object, Bucket="daily", Key="once")
s3.delete_bucket(Bucket="daily")
refused("NoSuchBucket", 404, s3.put_object, Bucket="daily", Key="x", Body=b"")
print("all of it holds")

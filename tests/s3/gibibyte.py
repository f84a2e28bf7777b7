"""One object of 1 GiB, put and got in one request each."""
import hashlib
import sys

import boto3
from botocore.config import Config

import pattern
from pattern import BLOCK, LENGTH, Pattern

s3 = boto3.client(
    "s3",
    endpoint_url=sys.argv[1],
    config=Config(s3={"addressing_style": "path"}, retries={"total_max_attempts": 1}, read_timeout=300),
)
s3.create_bucket(Bucket="large")

s3.put_object(Bucket="large", Key="gibibyte", Body=Pattern(), ContentLength=LENGTH)
head = s3.head_object(Bucket="large", Key="gibibyte")
assert head["ContentLength"] == LENGTH, head

found = hashlib.sha256()
for part in s3.get_object(Bucket="large", Key="gibibyte")["Body"].iter_chunks(BLOCK):
    found.update(part)
assert found.hexdigest() == pattern.sha256(), "what came down is not what went up"

# Ranges across the borders of extents and of manifest pages.
for start, length in [(0, 1), ((16 << 20) - 5, 10), ((512 << 20) - 1, 3), (LENGTH - 7, 7), ((160 << 20) + 123, 40 << 20)]:
    got = s3.get_object(Bucket="large", Key="gibibyte", Range=f"bytes={start}-{start + length - 1}")["Body"].read()
    source = Pattern()
    source.seek(start)
    assert got == source.read(length), (start, length)

s3.delete_object(Bucket="large", Key="gibibyte")
assert "Contents" not in s3.list_objects_v2(Bucket="large")
print("all of it holds")

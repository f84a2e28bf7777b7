"""One object of 1 GiB, up and down as boto3 moves large files: parts of 8 MiB, several at a time."""
import hashlib
import sys

import boto3
from boto3.s3.transfer import TransferConfig
from botocore.config import Config

import pattern

PARTS = pattern.LENGTH // (8 << 20)


class Sink:
    """Takes bytes in their order and keeps their hash."""

    def __init__(self):
        self.hash = hashlib.sha256()

    def write(self, data):
        self.hash.update(data)
        return len(data)


s3 = boto3.client(
    "s3",
    endpoint_url=sys.argv[1],
    config=Config(s3={"addressing_style": "path"}, retries={"total_max_attempts": 1}, read_timeout=300),
)
s3.create_bucket(Bucket="large")
s3.upload_fileobj(pattern.Pattern(), "large", "gibibyte", ExtraArgs={"Metadata": {"colour": "blue"}})
head = s3.head_object(Bucket="large", Key="gibibyte")
assert head["ContentLength"] == pattern.LENGTH and head["Metadata"] == {"colour": "blue"}, head
assert head["ETag"].endswith(f'-{PARTS}"'), head["ETag"]
assert "Uploads" not in s3.list_multipart_uploads(Bucket="large")

sink = Sink()
s3.download_fileobj("large", "gibibyte", sink)
assert sink.hash.hexdigest() == pattern.sha256(), "what came down is not what went up"

# Ranges across the borders of parts and extents, and single parts.
for start, length in [(0, 1), ((8 << 20) - 5, 10), ((512 << 20) - 1, 3), (pattern.LENGTH - 7, 7), ((160 << 20) + 123, 40 << 20)]:
    got = s3.get_object(Bucket="large", Key="gibibyte", Range=f"bytes={start}-{start + length - 1}")["Body"].read()
    source = pattern.Pattern()
    source.seek(start)
    assert got == source.read(length), (start, length)
part = s3.head_object(Bucket="large", Key="gibibyte", PartNumber=PARTS)
assert part["PartsCount"] == PARTS and part["ContentLength"] == 8 << 20, part

# A managed copy of what is larger than the threshold goes by copied parts.
s3.copy({"Bucket": "large", "Key": "gibibyte"}, "large", "copy", Config=TransferConfig(multipart_chunksize=200 << 20))
sink = Sink()
s3.download_fileobj("large", "copy", sink)
assert sink.hash.hexdigest() == pattern.sha256(), "the copy is not what was copied"
for key in ["gibibyte", "copy"]:
    s3.delete_object(Bucket="large", Key=key)
s3.delete_bucket(Bucket="large")
print("all of it holds")

"""One object of 1 GiB, put and got in one request each."""
import hashlib
import sys

import boto3
from botocore.config import Config

LENGTH = 1 << 30
BLOCK = 1 << 20


class Pattern:
    """A file of 1 GiB that is never held in memory: each block is derived from its number."""

    def __init__(self):
        self.at = 0

    def __len__(self):
        return LENGTH

    def tell(self):
        return self.at

    def seek(self, offset, whence=0):
        self.at = {0: 0, 1: self.at, 2: LENGTH}[whence] + offset
        return self.at

    def read(self, size=-1):
        if size is None or size < 0:
            size = LENGTH - self.at
        size = min(size, LENGTH - self.at)
        parts = []
        while size > 0:
            number, within = divmod(self.at, BLOCK)
            part = block(number)[within : within + size]
            parts.append(part)
            self.at += len(part)
            size -= len(part)
        return b"".join(parts)


SEED = hashlib.shake_256(b"gibibyte").digest(BLOCK)


def block(number):
    """The seed with its number in front: no two blocks are equal, and none costs a hash."""
    return number.to_bytes(8, "big") + SEED[8:]


s3 = boto3.client(
    "s3",
    endpoint_url=sys.argv[1],
    config=Config(s3={"addressing_style": "path"}, retries={"total_max_attempts": 1}, read_timeout=300),
)
s3.create_bucket(Bucket="large")

wanted = hashlib.sha256()
for number in range(LENGTH // BLOCK):
    wanted.update(block(number))

s3.put_object(Bucket="large", Key="gibibyte", Body=Pattern(), ContentLength=LENGTH)
head = s3.head_object(Bucket="large", Key="gibibyte")
assert head["ContentLength"] == LENGTH, head

found = hashlib.sha256()
for part in s3.get_object(Bucket="large", Key="gibibyte")["Body"].iter_chunks(BLOCK):
    found.update(part)
assert found.hexdigest() == wanted.hexdigest(), "what came down is not what went up"

# Ranges across the borders of extents and of manifest pages.
for start, length in [(0, 1), ((16 << 20) - 5, 10), ((512 << 20) - 1, 3), (LENGTH - 7, 7), ((160 << 20) + 123, 40 << 20)]:
    got = s3.get_object(Bucket="large", Key="gibibyte", Range=f"bytes={start}-{start + length - 1}")["Body"].read()
    source = Pattern()
    source.seek(start)
    assert got == source.read(length), (start, length)

s3.delete_object(Bucket="large", Key="gibibyte")
assert "Contents" not in s3.list_objects_v2(Bucket="large")
print("all of it holds")

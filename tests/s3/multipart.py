"""Multipart uploads step by step: parts listed, replaced, left out, copied; ends that are refused; checksums; aborts."""
import base64
import hashlib
import sys
import zlib

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

MIB = 1 << 20
s3 = boto3.client(
    "s3", endpoint_url=sys.argv[1], config=Config(s3={"addressing_style": "path"}, retries={"total_max_attempts": 1})
)
s3.create_bucket(Bucket="parts")


def refused(code, status, call, **arguments):
    try:
        call(**arguments)
    except ClientError as error:
        found = (error.response["Error"]["Code"], error.response["ResponseMetadata"]["HTTPStatusCode"])
        assert found == (code, status), found
        return
    raise AssertionError(f"{code} was expected")


def body(number, size):
    return hashlib.shake_256(str(number).encode()).digest(size)


def begin(key, **arguments):
    return {"Bucket": "parts", "Key": key, "UploadId": s3.create_multipart_upload(Bucket="parts", Key=key, **arguments)["UploadId"]}


def send(upload, number, data, **arguments):
    return {"PartNumber": number, "ETag": s3.upload_part(**upload, PartNumber=number, Body=data, **arguments)["ETag"]}


def complete(upload, parts):
    return s3.complete_multipart_upload(**upload, MultipartUpload={"Parts": parts})


# Of the parts that were sent, a subset becomes the object; one that was sent twice is what it was last.
upload = begin("subset", ContentType="text/x-parts", Metadata={"colour": "blue"})
first, _, third, last = [send(upload, number, body(number, 5 * MIB)) for number in (1, 2, 3)] + [send(upload, 9, b"old")]
last = send(upload, 9, b"the end")
pages = s3.get_paginator("list_parts").paginate(**upload, PaginationConfig={"PageSize": 2})
assert [part["PartNumber"] for page in pages for part in page["Parts"]] == [1, 2, 3, 9]
refused("InvalidPart", 400, s3.complete_multipart_upload, **upload, MultipartUpload={"Parts": [first, {"PartNumber": 4, "ETag": first["ETag"]}]})
refused("InvalidPartOrder", 400, s3.complete_multipart_upload, **upload, MultipartUpload={"Parts": [third, first]})
refused("EntityTooSmall", 400, s3.complete_multipart_upload, **upload, MultipartUpload={"Parts": [last, send(upload, 10, b"x")]})
refused("NoSuchKey", 404, s3.get_object, Bucket="parts", Key="subset")
done = complete(upload, [first, third, last])
wanted = body(1, 5 * MIB) + body(3, 5 * MIB) + b"the end"
tags = b"".join(hashlib.md5(part).digest() for part in (body(1, 5 * MIB), body(3, 5 * MIB), b"the end"))
assert done["ETag"] == f'"{hashlib.md5(tags).hexdigest()}-3"', done
got = s3.get_object(Bucket="parts", Key="subset")
assert got["Body"].read() == wanted and got["ETag"] == done["ETag"]
assert got["ContentType"] == "text/x-parts" and got["Metadata"] == {"colour": "blue"}
# A part keeps the number under which it was sent.
got = s3.get_object(Bucket="parts", Key="subset", PartNumber=3)
assert got["Body"].read() == body(3, 5 * MIB) and got["PartsCount"] == 3
assert got["ContentRange"] == f"bytes {5 * MIB}-{10 * MIB - 1}/{len(wanted)}"
refused("NoSuchUpload", 404, s3.upload_part, **upload, PartNumber=1, Body=b"x")
refused("NoSuchUpload", 404, s3.abort_multipart_upload, Bucket="parts", Key="subset", UploadId="made-up")

# Parts copied from an object, whole and in ranges.
upload = begin("copied")
source = {"Bucket": "parts", "Key": "subset"}
parts = []
for number, range_ in [(1, None), (2, f"bytes={5 * MIB - 3}-{5 * MIB + 3}")]:
    arguments = {"CopySourceRange": range_} if range_ else {}
    copied = s3.upload_part_copy(**upload, PartNumber=number, CopySource=source, **arguments)["CopyPartResult"]
    parts.append({"PartNumber": number, "ETag": copied["ETag"]})
refused("InvalidRange", 416, s3.upload_part_copy, **upload, PartNumber=3, CopySource=source, CopySourceRange=f"bytes=0-{len(wanted)}")
complete(upload, parts)
assert s3.get_object(Bucket="parts", Key="copied")["Body"].read() == wanted + wanted[5 * MIB - 3 : 5 * MIB + 4]

# Checksums of parts, and of the whole.
upload = begin("summed", ChecksumAlgorithm="SHA256")
sent = []
for number, data in [(1, body(1, 5 * MIB)), (2, b"tail")]:
    part = s3.upload_part(**upload, PartNumber=number, Body=data, ChecksumAlgorithm="SHA256")
    assert part["ChecksumSHA256"] == base64.b64encode(hashlib.sha256(data).digest()).decode()
    sent.append({"PartNumber": number, "ETag": part["ETag"], "ChecksumSHA256": part["ChecksumSHA256"]})
wrong = [sent[0], {**sent[1], "ChecksumSHA256": sent[0]["ChecksumSHA256"]}]
refused("InvalidPart", 400, s3.complete_multipart_upload, **upload, MultipartUpload={"Parts": wrong})
done = complete(upload, sent)
of_sums = hashlib.sha256(b"".join(hashlib.sha256(data).digest() for data in (body(1, 5 * MIB), b"tail"))).digest()
assert done["ChecksumSHA256"] == base64.b64encode(of_sums).decode() + "-2", done
assert done["ChecksumType"] == "COMPOSITE", done
upload = begin("whole", ChecksumAlgorithm="CRC32", ChecksumType="FULL_OBJECT")
parts = [send(upload, 1, body(1, 5 * MIB), ChecksumAlgorithm="CRC32"), send(upload, 2, b"tail", ChecksumAlgorithm="CRC32")]
done = s3.complete_multipart_upload(**upload, MultipartUpload={"Parts": parts}, ChecksumType="FULL_OBJECT")
whole = base64.b64encode(zlib.crc32(body(1, 5 * MIB) + b"tail").to_bytes(4, "big")).decode()
assert (done["ChecksumCRC32"], done["ChecksumType"]) == (whole, "FULL_OBJECT"), done
head = s3.head_object(Bucket="parts", Key="whole", ChecksumMode="ENABLED")
assert head["ChecksumCRC32"] == whole, head
parts = s3.get_object_attributes(Bucket="parts", Key="summed", ObjectAttributes=["ObjectParts", "Checksum", "ObjectSize"])
assert parts["ObjectSize"] == 5 * MIB + 4 and parts["ObjectParts"]["TotalPartsCount"] == 2, parts

# Uploads are listed by key, and in one key by age; a condition may end one; what is aborted is gone.
ids = {key: [begin(key)["UploadId"] for _ in range(2)] for key in ["a/1", "a/2", "b", "ü"]}
wanted = [(key, upload_id) for key in sorted(ids) for upload_id in ids[key]]
for size in [1, 2, 3, 1000]:
    pages = s3.get_paginator("list_multipart_uploads").paginate(Bucket="parts", PaginationConfig={"PageSize": size})
    found = [(upload["Key"], upload["UploadId"]) for page in pages for upload in page.get("Uploads", [])]
    assert found == wanted, (size, found, wanted)
page = s3.list_multipart_uploads(Bucket="parts", Delimiter="/")
assert [prefix["Prefix"] for prefix in page["CommonPrefixes"]] == ["a/"] and len(page["Uploads"]) == 4, page
upload = {"Bucket": "parts", "Key": "b", "UploadId": ids["b"][0]}
s3.put_object(Bucket="parts", Key="b", Body=b"there already")
part = send(upload, 1, b"x")
refused("PreconditionFailed", 412, s3.complete_multipart_upload, **upload, MultipartUpload={"Parts": [part]}, IfNoneMatch="*")
assert s3.get_object(Bucket="parts", Key="b")["Body"].read() == b"there already"
for key, upload_id in wanted:
    s3.abort_multipart_upload(Bucket="parts", Key=key, UploadId=upload_id)
assert "Uploads" not in s3.list_multipart_uploads(Bucket="parts")
refused("NoSuchUpload", 404, s3.list_parts, **upload)
print("all of it holds")

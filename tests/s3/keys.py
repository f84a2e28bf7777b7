"""Keys that other stores refuse or lose: each is written, read, copied, listed and deleted as what it is."""
import sys

import boto3
from botocore.config import Config

s3 = boto3.client(
    "s3", endpoint_url=sys.argv[1], config=Config(s3={"addressing_style": "path"}, retries={"total_max_attempts": 1})
)
KEYS = [
    "a", "a/", "a/b", "a//b", "./y", "../x", "..", ".", "x/../y", "x/./y", "//", "/", "/a", " ", " a", "a ", "a  b",
    "p" * 1024, "é" * 512, "q/" * 512, "ü", "u\u0308", "\u212b", "\u00c5", "\U0001f600", "\uffff", "\u200b", "\u202ekey",
    "%", "%20", "%2F", "%25", "+", "a+b", "a b", "&amp;", "<&>\"'", "]]>", "?", "#", "a?b=c", "a#b", "\\", "a\\b", ";", ":", "*", "|",
    "\t", "\n", "\r", "\r\n", "line\nbreak", "\x01", "\x1f", "\x7f", "\x80", "bell\x07", "~", "`", "{}", "[]", "^", "null", "undefined", "true",
    "CON", "nul.txt", "desktop.ini", ".git/config", "?uploads", "?delete", "?versioning", ".cairn/v1/status",
]  # fmt: skip
for bucket in ["keys", "copies"]:
    s3.create_bucket(Bucket=bucket)
for key in KEYS:
    s3.put_object(Bucket="keys", Key=key, Body=key.encode(), Metadata={"of": str(KEYS.index(key))})
for key in KEYS:
    got = s3.get_object(Bucket="keys", Key=key)
    assert got["Body"].read() == key.encode(), key
    assert s3.head_object(Bucket="keys", Key=key)["Metadata"] == {"of": str(KEYS.index(key))}, key
    s3.copy_object(Bucket="copies", Key=key, CopySource={"Bucket": "keys", "Key": key})
wanted = sorted(KEYS, key=lambda key: key.encode())
for bucket in ["keys", "copies"]:
    for size in [1, 7, 1000]:
        for name, item in [("list_objects_v2", "Contents"), ("list_objects", "Contents"), ("list_object_versions", "Versions")]:
            pages = s3.get_paginator(name).paginate(Bucket=bucket, PaginationConfig={"PageSize": size})
            found = [entry["Key"] for page in pages for entry in page.get(item, [])]
            assert found == wanted, (name, size, set(found) ^ set(wanted))
    done = s3.delete_objects(Bucket=bucket, Delete={"Objects": [{"Key": key} for key in KEYS if key.isprintable()]})
    assert len(done["Deleted"]) == len([key for key in KEYS if key.isprintable()]) and "Errors" not in done
    for key in KEYS:
        s3.delete_object(Bucket=bucket, Key=key)
    s3.delete_bucket(Bucket=bucket)
print("all of it holds")

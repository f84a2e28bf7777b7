"""Listings against a model: prefixes, delimiters, pages of every size, keys that other stores lose."""
import random
import sys

import boto3
from botocore.config import Config

s3 = boto3.client("s3", endpoint_url=sys.argv[1], config=Config(s3={"addressing_style": "path"}))
s3.create_bucket(Bucket="lists")
KEYS = sorted(
    ["a", "a/b", "a//b", "a/b/c", "./y", "../x", "b", "b/", "b/1", "b/2", "b0", "ü/ö", "ü", "z z", "z+z", "z%z", "\U0001f600",
     "p" * 1024, "q/" * 500 + "q", "<&>", "tab\tkey", "C", "c", "d=1,e=2", "d=1,e=3", "d=2"],
    key=lambda key: key.encode(),
)
for key in KEYS:
    s3.put_object(Bucket="lists", Key=key, Body=key.encode())
    assert s3.get_object(Bucket="lists", Key=key)["Body"].read() == key.encode(), key


def model(prefix, delimiter, after):
    """Keys and common prefixes in the order of their bytes, as AWS lists them."""
    shown = []
    for key in KEYS:
        if not key.startswith(prefix) or key.encode() <= after.encode():
            continue
        at = key.find(delimiter, len(prefix)) if delimiter else -1
        item = key if at < 0 else key[: at + len(delimiter)]
        kind = "key" if at < 0 else "prefix"
        if (kind, item) not in shown:
            shown.append((kind, item))
    return shown


def listed(page):
    items = [("key", item["Key"]) for item in page.get("Contents", [])]
    items += [("prefix", item["Prefix"]) for item in page.get("CommonPrefixes", [])]
    return sorted(items, key=lambda item: item[1].encode())


seed = random.randrange(1 << 32)
print("seed", seed)
chance = random.Random(seed)
for _ in range(300):
    prefix = chance.choice(["", "a", "a/", "b", "b/", "ü", "nothing", "q/", "d=1", "z"])
    delimiter = chance.choice(["", "/", "/", "b", "=", ",e", "ö", "//"])
    size = chance.choice([1, 2, 3, 7, 1000])
    arguments = {"Bucket": "lists", "Prefix": prefix, "MaxKeys": size}
    if delimiter:
        arguments["Delimiter"] = delimiter
    wanted, found = model(prefix, delimiter, ""), []
    if chance.random() < 0.5:
        while True:
            page = s3.list_objects_v2(**arguments)
            items = listed(page)
            assert len(items) <= size and page["KeyCount"] == len(items), page
            found += items
            if not page["IsTruncated"]:
                break
            arguments["ContinuationToken"] = page["NextContinuationToken"]
    else:
        while True:
            page = s3.list_objects(**arguments)
            items = listed(page)
            assert len(items) <= size, page
            found += items
            if not page["IsTruncated"]:
                break
            arguments["Marker"] = page.get("NextMarker") or items[-1][1]
    assert found == wanted, (prefix, delimiter, size, found, wanted)

for after in ["", "a", "b/1", "c", "zzz"]:
    assert listed(s3.list_objects_v2(Bucket="lists", StartAfter=after)) == model("", "", after), after
assert s3.list_objects_v2(Bucket="lists", MaxKeys=0)["KeyCount"] == 0
print("all of it holds")

"""Addresses signed by boto3 in both versions, used by a client that knows nothing of S3; and version 2 by header."""
import sys
import urllib.error
import urllib.request

import boto3
from botocore.config import Config


def client(version, style="path"):
    config = Config(signature_version=version, s3={"addressing_style": style})
    return boto3.client("s3", endpoint_url=sys.argv[1], config=config)


def ask(method, url, body=None, headers=None):
    request = urllib.request.Request(url, method=method, data=body, headers=headers or {})
    try:
        with urllib.request.urlopen(request) as answer:
            return answer.status, answer.read(), answer.headers
    except urllib.error.HTTPError as error:
        return error.code, error.read(), error.headers


client("s3v4").create_bucket(Bucket="addresses")
for version in ["s3", "s3v4"]:
    s3 = client(version)
    for key in ["plain", "a b+c%d/\u00fc", "x//y"]:
        where = {"Bucket": "addresses", "Key": key}
        url = s3.generate_presigned_url("put_object", Params={**where, "Metadata": {"colour": "dark green"}})
        headers = {"Content-Type": ""} if version == "s3" else {"x-amz-meta-colour": "dark green", "Content-Type": ""}
        status, said, _ = ask("PUT", url, b"hello", headers)
        assert status == 200, (version, key, status, said)
        assert s3.head_object(**where)["Metadata"] == {"colour": "dark green"}, (version, key)

        override = {"ResponseContentType": "text/x; charset=utf-8", "ResponseContentDisposition": 'attachment; filename="a b"'}
        url = s3.generate_presigned_url("get_object", Params={**where, **override})
        status, body, headers = ask("GET", url)
        assert (status, body) == (200, b"hello"), (version, key, status, body)
        assert headers["Content-Disposition"] == 'attachment; filename="a b"', headers
        for spoiled in [url.replace("a%20b", "c%20d").replace("a+b", "c+d"), url.replace("text", "next")]:
            assert spoiled == url or ask("GET", spoiled)[0] == 403, (version, spoiled)
        assert ask("DELETE", url)[0] == 403
        assert ask("GET", url + "&tagging&tagging")[0] in (400, 403, 501)
        url = s3.generate_presigned_url("get_object", Params=where, ExpiresIn=-10 if version == "s3" else 1)
        if version == "s3":
            assert ask("GET", url)[0] == 403, "it has expired"
        url = s3.generate_presigned_url("delete_object", Params=where)
        assert ask("DELETE", url)[0] == 204
    url = s3.generate_presigned_url("list_objects_v2", Params={"Bucket": "addresses", "Prefix": "x"})
    assert ask("GET", url)[0] == 200
    # The same client by header.
    s3.put_object(Bucket="addresses", Key="by-header", Body=b"x" * 100_000)
    assert s3.get_object(Bucket="addresses", Key="by-header", Range="bytes=1-2")["Body"].read() == b"xx"
    assert [entry["Key"] for entry in s3.list_objects_v2(Bucket="addresses")["Contents"]] == ["by-header"]
    s3.delete_objects(Bucket="addresses", Delete={"Objects": [{"Key": "by-header"}]})
    assert s3.get_bucket_location(Bucket="addresses")["ResponseMetadata"]["HTTPStatusCode"] == 200

print("all of it holds")

"""Presigned URLs of both signature versions: boto3 still makes those of version 2 when an endpoint is given."""
import sys
import urllib.error
import urllib.request

import boto3
from botocore.config import Config


def forged(url, mark):
    """The address with another first digit in its signature."""
    before, signature = url.split(mark)
    return before + mark + ("1" if signature[0] == "0" else "0") + signature[1:]


def client(version):
    return boto3.client("s3", endpoint_url=sys.argv[1], config=Config(s3={"addressing_style": "path"}, signature_version=version))


def fetch(url, data=None, method="GET", headers={}):
    """Status, body and headers of an answer, whatever it says."""
    try:
        answer = urllib.request.urlopen(urllib.request.Request(url, data=data, method=method, headers=headers))
    except urllib.error.HTTPError as error:
        answer = error
    return answer.status, answer.read(), answer.headers


client("s3v4").create_bucket(Bucket="signed")
for version in ["s3", "s3v4"]:
    s3 = client(version)
    mark = "Signature=" if version == "s3" else "X-Amz-Signature="
    for key in ["plain", "dir/ü +%&?", "a//b", version]:
        params = {"Bucket": "signed", "Key": key}
        put = s3.generate_presigned_url("put_object", Params=params, ExpiresIn=60)
        assert mark in put, put
        # urllib sends a content type of its own, which version 2 signs; an empty one is what was signed.
        status, said, _ = fetch(put, data=key.encode(), method="PUT", headers={"Content-Type": ""})
        assert status == 200, (version, key, said)
        get = s3.generate_presigned_url("get_object", Params={**params, "ResponseContentType": "text/x-asked"}, ExpiresIn=60)
        status, body, headers = fetch(get)
        assert (status, body) == (200, key.encode()), (version, key, body)
        assert headers["Content-Type"] == "text/x-asked", headers
        # Nothing of what was signed can be changed.
        for other in [get.replace("x-asked", "x-other"), forged(get, mark), get.replace("/signed/", "/other/"), get.split("?")[0]]:
            status, said, _ = fetch(other)
            assert status == 403, (version, other, status, said)
        assert fetch(get, method="DELETE")[0] == 403
    # Uploads by URL, too, and ends of them.
    params = {"Bucket": "signed", "Key": f"parts-{version}"}
    upload = s3.create_multipart_upload(**params)["UploadId"]
    part = s3.generate_presigned_url("upload_part", Params={**params, "UploadId": upload, "PartNumber": 1}, ExpiresIn=60)
    status, said, headers = fetch(part, data=b"a part", method="PUT", headers={"Content-Type": ""})
    assert status == 200, said
    s3.complete_multipart_upload(**params, UploadId=upload, MultipartUpload={"Parts": [{"PartNumber": 1, "ETag": headers["ETag"]}]})
    assert s3.get_object(**params)["Body"].read() == b"a part"
# A URL of version 2 says until when it holds.
expired = client("s3").generate_presigned_url("get_object", Params={"Bucket": "signed", "Key": "plain"}, ExpiresIn=-1)
status, said, _ = fetch(expired)
assert status == 403 and b"AccessDenied" in said, said
print("all of it holds")

// The AWS SDK for JavaScript: the daily operations, a managed upload in parts, presigned URLs, conditions.
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import * as sdk from "@aws-sdk/client-s3";
import { Upload } from "@aws-sdk/lib-storage";
import { getSignedUrl } from "@aws-sdk/s3-request-presigner";

const s3 = new sdk.S3({ endpoint: process.argv.at(-1), forcePathStyle: true, maxAttempts: 1 });
const Bucket = "javascript";
const read = async (Key) => Buffer.from(await (await s3.getObject({ Bucket, Key })).Body.transformToByteArray());
const refused = async (name, status, promise) =>
  assert.rejects(promise, (error) => error.name === name && error.$metadata.httpStatusCode === status);

await s3.createBucket({ Bucket });
for (const size of [0, 1, 4096, 1 << 20, (1 << 20) + 1]) {
  const body = Buffer.alloc(size, String(size));
  const put = await s3.putObject({ Bucket, Key: "dir/ü +%", Body: body, Metadata: { colour: "blue" } });
  assert.equal(put.ETag, `"${createHash("md5").update(body).digest("hex")}"`);
  assert.ok((await read("dir/ü +%")).equals(body));
}
await refused("PreconditionFailed", 412, s3.putObject({ Bucket, Key: "dir/ü +%", Body: "x", IfNoneMatch: "*" }));
await refused("NoSuchKey", 404, s3.getObject({ Bucket, Key: "nothing" }));

const large = Buffer.alloc(17 << 20, "0123456789abcdef!");
const upload = new Upload({ client: s3, params: { Bucket, Key: "large", Body: large }, partSize: 5 << 20 });
await upload.done();
assert.ok((await read("large")).equals(large));
assert.match((await s3.headObject({ Bucket, Key: "large" })).ETag, /-4"$/);

// By itself this SDK signs the checksum of an empty body into the URL, which no body that is sent to it can have.
const signer = new sdk.S3({ endpoint: process.argv.at(-1), forcePathStyle: true, requestChecksumCalculation: "WHEN_REQUIRED" });
const put = await getSignedUrl(signer, new sdk.PutObjectCommand({ Bucket, Key: "by url" }), { expiresIn: 60 });
assert.equal((await fetch(put, { method: "PUT", body: "by url" })).status, 200);
const get = await getSignedUrl(s3, new sdk.GetObjectCommand({ Bucket, Key: "by url" }), { expiresIn: 60 });
assert.equal(await (await fetch(get)).text(), "by url");
assert.equal((await fetch(get.replace("by%20url", "large"))).status, 403);

await s3.copyObject({ Bucket, Key: "copy", CopySource: `${Bucket}/large` });
const keys = [];
for await (const page of sdk.paginateListObjectsV2({ client: s3, pageSize: 1 }, { Bucket })) {
  keys.push(...page.Contents.map((object) => object.Key));
}
assert.deepEqual(keys, ["by url", "copy", "dir/ü +%", "large"]);
const deleted = await s3.deleteObjects({ Bucket, Delete: { Objects: keys.map((Key) => ({ Key })) } });
assert.equal(deleted.Deleted.length, 4);
await s3.deleteBucket({ Bucket });
console.log("all of it holds");

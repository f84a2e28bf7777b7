// The daily work of a program that uses AWS's SDK for Go, with its default settings: `go run . http://127.0.0.1:PORT`.
package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"log"
	"math/rand"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/feature/s3/manager"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/aws/smithy-go"
)

const bucket = "gophers"

// must stops where something went wrong.
func must[T any](value T, err error) T {
	if err != nil {
		log.Fatal(err)
	}
	return value
}

// holds stops where something is not as it should be.
func holds(is bool, what string) {
	if !is {
		log.Fatalf("it does not hold: %s", what)
	}
}

// refused stops unless an error has this code.
func refused(err error, code string) {
	var api smithy.APIError
	if !errors.As(err, &api) || api.ErrorCode() != code {
		log.Fatalf("%s was expected, and this came: %v", code, err)
	}
}

func main() {
	ctx := context.Background()
	client := s3.NewFromConfig(must(config.LoadDefaultConfig(ctx)), func(options *s3.Options) {
		options.BaseEndpoint = aws.String(os.Args[1])
		options.UsePathStyle = true
	})
	must(client.CreateBucket(ctx, &s3.CreateBucketInput{Bucket: aws.String(bucket)}))

	// Keys as they come, and what was put is what is read.
	for _, key := range []string{"plain", "with space", "a//b", "./y", "ü/漢", "plus+and=more&", "%41", strings.Repeat("k", 1024)} {
		text := []byte("what is under " + key)
		must(client.PutObject(ctx, &s3.PutObjectInput{
			Bucket: aws.String(bucket), Key: aws.String(key), Body: bytes.NewReader(text),
			ContentType: aws.String("text/plain"), Metadata: map[string]string{"colour": "green"},
		}))
		read := must(client.GetObject(ctx, &s3.GetObjectInput{Bucket: aws.String(bucket), Key: aws.String(key), ChecksumMode: types.ChecksumModeEnabled}))
		holds(bytes.Equal(must(io.ReadAll(read.Body)), text), key)
		holds(read.Metadata["colour"] == "green" && *read.ContentType == "text/plain", "what is said of "+key)
	}
	pages, count := s3.NewListObjectsV2Paginator(client, &s3.ListObjectsV2Input{Bucket: aws.String(bucket), MaxKeys: aws.Int32(3)}), 0
	for pages.HasMorePages() {
		count += len(must(pages.NextPage(ctx)).Contents)
	}
	holds(count == 8, "every key is listed once")

	// Conditions, in both directions.
	_, err := client.PutObject(ctx, &s3.PutObjectInput{Bucket: aws.String(bucket), Key: aws.String("plain"), Body: strings.NewReader("x"), IfNoneMatch: aws.String("*")})
	refused(err, "PreconditionFailed")
	head := must(client.HeadObject(ctx, &s3.HeadObjectInput{Bucket: aws.String(bucket), Key: aws.String("plain")}))
	must(client.PutObject(ctx, &s3.PutObjectInput{Bucket: aws.String(bucket), Key: aws.String("plain"), Body: strings.NewReader("new"), IfMatch: head.ETag}))
	_, err = client.GetObject(ctx, &s3.GetObjectInput{Bucket: aws.String(bucket), Key: aws.String("never")})
	refused(err, "NoSuchKey")
	_, err = client.HeadObject(ctx, &s3.HeadObjectInput{Bucket: aws.String(bucket), Key: aws.String("never")})
	refused(err, "NotFound")

	// In parts, side by side, of a length that nobody knows beforehand; and down again in ranges.
	large := make([]byte, 37<<20+12345)
	rand.New(rand.NewSource(1)).Read(large)
	uploader := manager.NewUploader(client, func(uploader *manager.Uploader) { uploader.PartSize = 8 << 20 })
	must(uploader.Upload(ctx, &s3.PutObjectInput{Bucket: aws.String(bucket), Key: aws.String("large"), Body: io.MultiReader(bytes.NewReader(large))}))
	down := manager.NewWriteAtBuffer(nil)
	must(manager.NewDownloader(client).Download(ctx, down, &s3.GetObjectInput{Bucket: aws.String(bucket), Key: aws.String("large")}))
	holds(sha256.Sum256(down.Bytes()) == sha256.Sum256(large), "what came down is what went up")
	ranged := must(client.GetObject(ctx, &s3.GetObjectInput{Bucket: aws.String(bucket), Key: aws.String("large"), Range: aws.String("bytes=8388600-8388619")}))
	holds(bytes.Equal(must(io.ReadAll(ranged.Body)), large[8388600:8388620]), "a range over the end of a part")

	// Copies, versions, deletes.
	must(client.PutBucketVersioning(ctx, &s3.PutBucketVersioningInput{Bucket: aws.String(bucket), VersioningConfiguration: &types.VersioningConfiguration{Status: types.BucketVersioningStatusEnabled}}))
	copied := must(client.CopyObject(ctx, &s3.CopyObjectInput{Bucket: aws.String(bucket), Key: aws.String("copy"), CopySource: aws.String(bucket + "/with%20space")}))
	must(client.DeleteObject(ctx, &s3.DeleteObjectInput{Bucket: aws.String(bucket), Key: aws.String("copy")}))
	_, err = client.GetObject(ctx, &s3.GetObjectInput{Bucket: aws.String(bucket), Key: aws.String("copy")})
	refused(err, "NoSuchKey")
	old := must(client.GetObject(ctx, &s3.GetObjectInput{Bucket: aws.String(bucket), Key: aws.String("copy"), VersionId: copied.VersionId}))
	holds(string(must(io.ReadAll(old.Body))) == "what is under with space", "a version by its id")

	// An address for somebody without a key.
	presigned := must(s3.NewPresignClient(client).PresignGetObject(ctx, &s3.GetObjectInput{Bucket: aws.String(bucket), Key: aws.String("ü/漢")}, s3.WithPresignExpires(time.Minute)))
	answer := must(http.Get(presigned.URL))
	holds(answer.StatusCode == 200 && string(must(io.ReadAll(answer.Body))) == "what is under ü/漢", "a signed address")

	// Everything goes, in one request for each page.
	versions := s3.NewListObjectVersionsPaginator(client, &s3.ListObjectVersionsInput{Bucket: aws.String(bucket)})
	for versions.HasMorePages() {
		page, listed := must(versions.NextPage(ctx)), []types.ObjectIdentifier{}
		for _, version := range page.Versions {
			listed = append(listed, types.ObjectIdentifier{Key: version.Key, VersionId: version.VersionId})
		}
		for _, marker := range page.DeleteMarkers {
			listed = append(listed, types.ObjectIdentifier{Key: marker.Key, VersionId: marker.VersionId})
		}
		done := must(client.DeleteObjects(ctx, &s3.DeleteObjectsInput{Bucket: aws.String(bucket), Delete: &types.Delete{Objects: listed}}))
		holds(len(done.Errors) == 0 && len(done.Deleted) == len(listed), "all of a page goes")
	}
	must(client.DeleteBucket(ctx, &s3.DeleteBucketInput{Bucket: aws.String(bucket)}))
	fmt.Println("all of it holds")
}

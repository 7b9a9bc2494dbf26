package blobs

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"path/filepath"
	"strings"
	"time"

	"gocloud.dev/blob"
	_ "gocloud.dev/blob/fileblob" // file://
	_ "gocloud.dev/blob/memblob"  // mem://, for tests
	_ "gocloud.dev/blob/s3blob"   // s3://
	"gocloud.dev/gcerrors"
)

var (
	// ErrNotFound: there is nothing under the key.
	ErrNotFound = errors.New("blobs: not found")
	// ErrURL: the address is none that this package opens.
	ErrURL = errors.New("blobs: bad address")
)

// Entry is one key of a listing.
type Entry struct {
	Key      string
	Size     int64 // bytes
	Modified time.Time
}

// Bucket is an open folder or bucket. It may be used from any goroutine.
type Bucket struct {
	b     *blob.Bucket
	shown string
}

// Open opens the bucket that an address names. It does not reach out yet,
// except that the folder of a file:// address is made.
//
//	file:///var/lib/tidemark/checkpoints     a folder
//	s3://bucket?region=eu-central-1          Amazon S3
//	s3://bucket?endpoint=http://minio:9000   another server that speaks S3
//	s3://bucket?prefix=a/                    every key below a/
//
// The credentials of S3 are found as all programs of AWS find them: AWS_ACCESS_KEY_ID
// and AWS_SECRET_ACCESS_KEY, the shared files, the machine's role. None stands in
// an address.
func Open(ctx context.Context, address string) (*Bucket, error) {
	u, err := Parse(address)
	if err != nil {
		return nil, err
	}
	shown := u.Scheme + "://" + u.Host + u.Path
	b, err := blob.OpenBucket(ctx, u.String())
	if err != nil {
		return nil, fmt.Errorf("%w: %s: %w", ErrURL, shown, err)
	}
	return &Bucket{b: b, shown: shown}, nil
}

// Parse checks an address and adds what Tidemark wants of a store; it reaches
// nothing. The error wraps ErrURL and says what would do.
func Parse(address string) (*url.URL, error) {
	u, err := url.Parse(address)
	if err != nil {
		return nil, fmt.Errorf("%w: it is no URL", ErrURL) // url.Error would show what may be a password
	}
	if u.User != nil {
		return nil, fmt.Errorf("%w: an address holds no user and no password; give AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY", ErrURL)
	}
	q := u.Query()
	byDefault := func(key, value string) {
		if !q.Has(key) {
			q.Set(key, value)
		}
	}
	switch u.Scheme {
	case "file":
		if u.Host == "." {
			// file://./x: relative to the working directory.
			abs, err := filepath.Abs(u.Host + u.Path)
			if err != nil {
				return nil, fmt.Errorf("%w: %w", ErrURL, err)
			}
			u.Host, u.Path = "", abs
		}
		if u.Host != "" || !strings.HasPrefix(u.Path, "/") {
			return nil, fmt.Errorf("%w: a folder is written with three slashes, such as file:///var/lib/tidemark/checkpoints", ErrURL)
		}
		byDefault("create_dir", "true")
		byDefault("no_tmp_dir", "true") // the temporary file must be on the same file system
		byDefault("metadata", "skip")
	case "s3":
		if u.Host == "" {
			return nil, fmt.Errorf("%w: no bucket is named; write s3://BUCKET?region=REGION", ErrURL)
		}
		if q.Has("endpoint") {
			if e, err := url.Parse(q.Get("endpoint")); err != nil || e.Host == "" || e.Scheme != "http" && e.Scheme != "https" {
				return nil, fmt.Errorf("%w: the endpoint is not of the form http://HOST:PORT or https://HOST:PORT", ErrURL)
			}
			// Other servers than Amazon's mostly know buckets by path alone, have one
			// region, and not all know the newer checksums.
			byDefault("use_path_style", "true")
			byDefault("region", "us-east-1")
			byDefault("request_checksum_calculation", "when_required")
			byDefault("response_checksum_validation", "when_required")
		}
	case "mem":
	case "":
		return nil, fmt.Errorf("%w: it has no scheme; write file:///PATH or s3://BUCKET", ErrURL)
	default:
		return nil, fmt.Errorf("%w: %s:// is not known; write file:///PATH or s3://BUCKET", ErrURL, u.Scheme)
	}
	u.RawQuery = q.Encode()
	return u, nil
}

// String names the bucket, without its parameters.
func (b *Bucket) String() string { return b.shown }

// Close ends its connections.
func (b *Bucket) Close() error { return b.b.Close() }

// partBytes is how much of an upload is held in memory at a time.
const partBytes = 5 << 20

// Put writes what r gives under key, as a whole or not at all.
func (b *Bucket) Put(ctx context.Context, key string, r io.Reader) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel() // before Close: what was written is thrown away
	w, err := b.b.NewWriter(ctx, key, &blob.WriterOptions{ContentType: "application/octet-stream", DisableContentTypeDetection: true,
		BufferSize: partBytes, MaxConcurrency: 1})
	if err != nil {
		return b.failed("put", key, err)
	}
	if _, err := io.Copy(w, r); err != nil {
		cancel()
		w.Close()
		return b.failed("put", key, err)
	}
	if err := w.Close(); err != nil {
		return b.failed("put", key, err)
	}
	return nil
}

// Get returns what stands under key; it must be closed.
func (b *Bucket) Get(ctx context.Context, key string) (io.ReadCloser, error) {
	r, err := b.b.NewReader(ctx, key, nil)
	if err != nil {
		return nil, b.failed("get", key, err)
	}
	return r, nil
}

// Stat says what List would say of one key.
func (b *Bucket) Stat(ctx context.Context, key string) (Entry, error) {
	a, err := b.b.Attributes(ctx, key)
	if err != nil {
		return Entry{}, b.failed("stat", key, err)
	}
	return Entry{Key: key, Size: a.Size, Modified: a.ModTime}, nil
}

// List returns every key that begins with prefix, in order.
func (b *Bucket) List(ctx context.Context, prefix string) ([]Entry, error) {
	it := b.b.List(&blob.ListOptions{Prefix: prefix})
	var out []Entry
	for {
		o, err := it.Next(ctx)
		if errors.Is(err, io.EOF) {
			return out, nil
		}
		if err != nil {
			return nil, b.failed("list", prefix, err)
		}
		if !o.IsDir {
			out = append(out, Entry{Key: o.Key, Size: o.Size, Modified: o.ModTime})
		}
	}
}

// Delete removes a key. One that is not there is no error.
func (b *Bucket) Delete(ctx context.Context, key string) error {
	err := b.b.Delete(ctx, key)
	if err == nil || gcerrors.Code(err) == gcerrors.NotFound {
		return nil
	}
	return b.failed("delete", key, err)
}

func (b *Bucket) failed(op, key string, err error) error {
	if gcerrors.Code(err) == gcerrors.NotFound {
		return fmt.Errorf("%w: %s %s of %s: %w", ErrNotFound, op, key, b.shown, err)
	}
	return fmt.Errorf("blobs: %s %s of %s: %w", op, key, b.shown, err)
}

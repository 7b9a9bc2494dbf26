package blobs

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"testing"
)

// each runs a test on a folder, in memory, and on a real S3 server if the
// environment names one.
func each(t *testing.T, test func(t *testing.T, b *Bucket)) {
	addresses := map[string]string{"folder": "file://" + t.TempDir() + "/made/here", "memory": "mem://"}
	if s3 := os.Getenv("TIDEMARK_TEST_S3"); s3 != "" {
		addresses["s3"] = s3 + fmt.Sprintf("&prefix=%s-%d/", t.Name(), os.Getpid())
	}
	for name, address := range addresses {
		t.Run(name, func(t *testing.T) {
			b, err := Open(t.Context(), address)
			if err != nil {
				t.Fatal(err)
			}
			defer b.Close()
			test(t, b)
		})
	}
}

func TestBucket(t *testing.T) {
	each(t, func(t *testing.T, b *Bucket) {
		ctx := t.Context()
		big := bytes.Repeat([]byte("0123456789abcdef"), 13<<20/16) // more than two parts
		for key, v := range map[string][]byte{"a/2": big, "a/1": []byte("one"), "b/3": nil} {
			if err := b.Put(ctx, key, bytes.NewReader(v)); err != nil {
				t.Fatal(err)
			}
		}
		r, err := b.Get(ctx, "a/2")
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(r)
		r.Close()
		if err != nil || !bytes.Equal(got, big) {
			t.Fatalf("got %d bytes, %v", len(got), err)
		}
		l, err := b.List(ctx, "a/")
		if err != nil || len(l) != 2 || l[0].Key != "a/1" || l[0].Size != 3 || l[1].Size != int64(len(big)) || l[0].Modified.IsZero() {
			t.Fatalf("listed %+v, %v", l, err)
		}
		if e, err := b.Stat(ctx, "a/1"); err != nil || e.Size != 3 || e.Modified.IsZero() {
			t.Fatalf("stat %+v, %v", e, err)
		}
		for range 2 { // the second time it is not there
			if err := b.Delete(ctx, "a/1"); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := b.Get(ctx, "a/1"); !errors.Is(err, ErrNotFound) {
			t.Fatal(err)
		}
		if _, err := b.Stat(ctx, "a/1"); !errors.Is(err, ErrNotFound) {
			t.Fatal(err)
		}
		if err := b.Put(ctx, "a/2", strings.NewReader("new")); err != nil {
			t.Fatal(err)
		}
		if e, err := b.Stat(ctx, "a/2"); err != nil || e.Size != 3 {
			t.Fatalf("put again: %+v, %v", e, err)
		}
	})
}

var errHalf = errors.New("half way")

// A reader that fails, or a context that ends, leaves nothing.
func TestPutIsAllOrNothing(t *testing.T) {
	each(t, func(t *testing.T, b *Bucket) {
		half := io.MultiReader(bytes.NewReader(make([]byte, 7<<20)), readerFunc(func([]byte) (int, error) { return 0, errHalf }))
		if err := b.Put(t.Context(), "k", half); !errors.Is(err, errHalf) {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		ended := io.MultiReader(bytes.NewReader(make([]byte, 7<<20)), readerFunc(func([]byte) (int, error) { cancel(); return 0, io.EOF }))
		if err := b.Put(ctx, "k", ended); err == nil {
			t.Fatal("the context had ended")
		}
		if _, err := b.Get(t.Context(), "k"); !errors.Is(err, ErrNotFound) {
			t.Fatal(err)
		}
		if l, err := b.List(t.Context(), ""); err != nil || len(l) != 0 {
			t.Fatal(l, err)
		}
	})
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

func TestParse(t *testing.T) {
	for address, want := range map[string]string{
		"file:///a/b":                           "file:///a/b?create_dir=true&metadata=skip&no_tmp_dir=true",
		"s3://b?region=eu-central-1":            "s3://b?region=eu-central-1",
		"s3://b?endpoint=http://127.0.0.1:7070": "s3://b?endpoint=http%3A%2F%2F127.0.0.1%3A7070&region=us-east-1&request_checksum_calculation=when_required&response_checksum_validation=when_required&use_path_style=true",
	} {
		u, err := Parse(address)
		if err != nil || u.String() != want {
			t.Errorf("%s: got %v, %v, want %s", address, u, err, want)
		}
	}
	for _, address := range []string{"", "/a/b", "file://a/b", "s3://", "s3://b?endpoint=x:1", "ftp://x/y", "s3://user:secret@b", "s3://b\x7f:secret"} {
		_, err := Parse(address)
		if !errors.Is(err, ErrURL) || strings.Contains(fmt.Sprint(err), "secret") {
			t.Errorf("%q: %v", address, err)
		}
	}
}

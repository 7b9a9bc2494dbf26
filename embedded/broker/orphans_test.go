package broker

import (
	"context"
	"os"
	"slices"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"
)

// A transaction that a kill cut short stays aborted after a second kill, though
// its producer has committed another one in between.
func TestCutShortStaysAborted(t *testing.T) {
	ctx := deadline(t)
	// killed leaves a broker as a kill would: what lies in its folder is copied
	// while it runs.
	killed := func(b *Broker, dir string) string {
		t.Helper()
		to := t.TempDir()
		if err := os.CopyFS(to, os.DirFS(dir)); err != nil {
			t.Fatal(err)
		}
		if err := b.Close(); err != nil {
			t.Fatal(err)
		}
		return to
	}
	start := func(dir string) *Broker {
		t.Helper()
		b, err := Start(Options{Dir: dir})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { b.Close() })
		return b
	}
	write := func(b *Broker, value string) *kgo.Client {
		t.Helper()
		c, err := kgo.NewClient(kgo.SeedBrokers(b.Addr()), kgo.DefaultProduceTopic("out"), kgo.TransactionalID("task-0"))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(c.Close)
		if err := c.BeginTransaction(); err != nil {
			t.Fatal(err)
		}
		if err := c.ProduceSync(ctx, kgo.StringRecord(value)).FirstErr(); err != nil {
			t.Fatal(err)
		}
		return c
	}
	commit := func(c *kgo.Client) {
		t.Helper()
		if err := c.EndTransaction(ctx, kgo.TryCommit); err != nil {
			t.Fatal(err)
		}
	}
	dir := t.TempDir()
	b := start(dir)
	if err := b.CreateTopics(ctx, []Topic{{Name: "out", Partitions: 1}}); err != nil {
		t.Fatal(err)
	}
	commit(write(b, "first"))
	write(b, "cut short")
	dir = killed(b, dir)
	b = start(dir)
	commit(write(b, "second"))
	dir = killed(b, dir)
	b = start(dir)
	commit(write(b, "third"))
	if got, want := upToThird(ctx, t, b), []string{"first", "second", "third"}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

// upToThird reads the topic out up to the record "third".
func upToThird(ctx context.Context, t *testing.T, b *Broker) (out []string) {
	t.Helper()
	c, err := kgo.NewClient(kgo.SeedBrokers(b.Addr()), kgo.ConsumeTopics("out"), kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for !slices.Contains(out, "third") {
		fs := c.PollFetches(ctx)
		if err := fs.Err0(); err != nil {
			t.Fatal(err, out)
		}
		fs.EachRecord(func(r *kgo.Record) { out = append(out, string(r.Value)) })
	}
	return out
}

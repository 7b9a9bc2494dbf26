package testkit

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"os"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"tidemark/embedded/broker"
)

// Env names the environment variable with the address, host:port, of a real broker.
const Env = "TIDEMARK_KAFKA"

// Limit bounds every call of this package.
const Limit = 30 * time.Second

var brokers perTest[*broker.Broker]

// Real says whether tests run against a real broker.
func Real() bool { return os.Getenv(Env) != "" }

// Broker returns the bootstrap address for this test: the real broker's, or the
// embedded one's, which lives as long as the test that asked first. A subtest shares the
// broker of the nearest test above it that has one.
func Broker(t testing.TB) string {
	t.Helper()
	if addr := os.Getenv(Env); addr != "" {
		return addr
	}
	return Embedded(t).Addr()
}

// Fake returns the cluster inside the embedded broker, for tests that inject faults
// into it (Fault, ControlKey, Compact). Against a real broker such a test is skipped:
// there is nothing to inject into.
func Fake(t testing.TB) *kfake.Cluster {
	t.Helper()
	return Embedded(t).Cluster()
}

// Embedded returns the test's embedded broker, and skips the test against a real one.
func Embedded(t testing.TB) *broker.Broker {
	t.Helper()
	if Real() {
		t.Skipf("needs the embedded broker; %s names a real one", Env)
	}
	return brokers.get(t, "the embedded broker", func() (*broker.Broker, func() error, error) {
		b, err := broker.Start(broker.Options{})
		if err != nil {
			return nil, nil, err
		}
		return b, b.Close, nil
	})
}

// Unique returns name with a random ending, for groups, transactional ids and
// all else that lives in the broker beyond the test.
func Unique(t testing.TB, name string) string {
	t.Helper()
	var b [5]byte
	rand.Read(b[:])
	return name + "-" + hex.EncodeToString(b[:])
}

// Context ends after Limit, a little before the test binary's deadline, and with the test.
func Context(t testing.TB) context.Context {
	t.Helper()
	limit := time.Now().Add(Limit)
	if d, ok := t.(interface{ Deadline() (time.Time, bool) }); ok {
		if end, ok := d.Deadline(); ok && end.Add(-time.Second).Before(limit) {
			limit = end.Add(-time.Second)
		}
	}
	ctx, cancel := context.WithDeadline(context.Background(), limit)
	t.Cleanup(cancel)
	return ctx
}

// Client returns a franz-go client for the test's broker; it is closed with the test.
func Client(t testing.TB, options ...kgo.Opt) *kgo.Client {
	t.Helper()
	c, err := kgo.NewClient(append([]kgo.Opt{kgo.SeedBrokers(Broker(t))}, options...)...)
	if err != nil {
		t.Fatalf("kafka client: %v", err)
	}
	t.Cleanup(c.Close)
	return c
}

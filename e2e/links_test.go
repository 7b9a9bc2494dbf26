package e2e

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	toxiproxy "github.com/Shopify/toxiproxy/v2"
	"github.com/rs/zerolog"
)

// link is the network between one process and the broker: a TCP proxy whose
// connections can be cut, held back or made deaf on one side.
type link struct {
	proxy *toxiproxy.Proxy
	addr  string // the same when it was down and comes up again
}

func newLink(t *testing.T, name, upstream string) *link {
	t.Helper()
	server := toxiproxy.NewServer(toxiproxy.NewMetricsContainer(nil), zerolog.Nop())
	l := &link{proxy: toxiproxy.NewProxy(server, name, "127.0.0.1:0", upstream)}
	if err := l.proxy.Start(); err != nil {
		t.Fatal(err)
	}
	l.addr = l.proxy.Listen
	t.Cleanup(l.proxy.Stop)
	return l
}

// toxic is one impairment of one direction: "downstream" are the broker's answers.
type toxic struct{ kind, direction, attributes string }

// with impairs the link for d, or until ctx ends, and then lifts that.
func (l *link) with(ctx context.Context, d time.Duration, toxics ...toxic) error {
	for i, x := range toxics {
		text := fmt.Sprintf(`{"name": "%d", "type": %q, "stream": %q, "attributes": {%s}}`, i, x.kind, x.direction, x.attributes)
		if _, err := l.proxy.Toxics.AddToxicJson(strings.NewReader(text)); err != nil {
			return fmt.Errorf("%s: %w", text, err)
		}
	}
	nap(ctx, d)
	for i := range toxics {
		if err := l.proxy.Toxics.RemoveToxic(context.WithoutCancel(ctx), fmt.Sprint(i)); err != nil {
			return err
		}
	}
	return nil
}

// cut breaks all connections and refuses new ones for d.
func (l *link) cut(ctx context.Context, d time.Duration) error {
	l.proxy.Stop()
	nap(ctx, d)
	return l.proxy.Start()
}

// linkFaults impairs one link after the other until ctx ends; all links are sound then.
func linkFaults(ctx context.Context, links []*link, rng *rand.Rand, faults *tally, done chan<- error) {
	between := func(low, high time.Duration) time.Duration { return low + time.Duration(rng.Int64N(int64(high-low))) }
	for nap(ctx, between(200*time.Millisecond, 2*time.Second)) {
		l := links[rng.IntN(len(links))]
		var name string
		var err error
		switch bytes := rng.IntN(6000); rng.IntN(8) {
		case 0:
			name, err = "cut", l.cut(ctx, between(time.Millisecond, 1500*time.Millisecond))
		case 1:
			name, err = "reset", l.with(ctx, between(50*time.Millisecond, 500*time.Millisecond), toxic{"reset_peer", "downstream", `"timeout": 0`})
		case 2:
			// The broker did it and nobody hears of it.
			name, err = "answers lost", l.with(ctx, between(300*time.Millisecond, 4*time.Second), toxic{"timeout", "downstream", `"timeout": 0`})
		case 3:
			name, err = "requests lost", l.with(ctx, between(300*time.Millisecond, 4*time.Second), toxic{"timeout", "upstream", `"timeout": 0`})
		case 4:
			late := fmt.Sprintf(`"latency": %d, "jitter": %d`, 20+rng.IntN(600), rng.IntN(300))
			name, err = "delayed", l.with(ctx, between(time.Second, 4*time.Second), toxic{"latency", "upstream", late}, toxic{"latency", "downstream", late})
		case 5:
			name, err = "broken off inside a request", l.with(ctx, between(200*time.Millisecond, time.Second), toxic{"limit_data", "upstream", fmt.Sprintf(`"bytes": %d`, bytes)})
		case 6:
			name, err = "broken off inside an answer", l.with(ctx, between(200*time.Millisecond, time.Second), toxic{"limit_data", "downstream", fmt.Sprintf(`"bytes": %d`, bytes)})
		case 7:
			// The broker's side is closed, the process's stays open and silent.
			name, err = "half closed", l.with(ctx, between(time.Second, 4*time.Second),
				toxic{"limit_data", "upstream", fmt.Sprintf(`"bytes": %d`, bytes)}, toxic{"slow_close", "downstream", `"delay": 5000`})
		}
		if err != nil {
			done <- fmt.Errorf("%s: %w", name, err)
			return
		}
		faults.add("link " + name)
		faults.add("links")
	}
	done <- nil
}

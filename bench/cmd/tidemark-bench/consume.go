package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
	"github.com/twmb/franz-go/pkg/kgo"
)

// markPrefix begins the id of a marked customer; what follows is the instant,
// in nanoseconds since 1970, at which the event was due to be published.
const markPrefix = "m"

// consumeCmd is the reader of triggers as a downstream system is one: its own
// process, read_committed. It prints "ready" and, at the end of its standard
// input or when it has all, what it saw.
type consumeCmd struct {
	Broker string `required:""`
	Topic  string `required:""`
	Expect int    `required:"" help:"Marked triggers."`
}

// consumed is what the reader prints.
type consumed struct {
	Received int   `json:"received"`
	Twice    int   `json:"twice"`
	P50      int64 `json:"p50_us"`
	P90      int64 `json:"p90_us"`
	P99      int64 `json:"p99_us"`
	P999     int64 `json:"p999_us"`
	Max      int64 `json:"max_us"`
}

func (c *consumeCmd) Run(ctx context.Context) error {
	ctx, cancel := untilInputEnds(ctx)
	defer cancel()
	cl, err := kgo.NewClient(kgo.SeedBrokers(c.Broker), kgo.ConsumeTopics(c.Topic), kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	if err != nil {
		return err
	}
	defer cl.Close()
	if err := cl.Ping(ctx); err != nil {
		return err
	}
	fmt.Println("ready")
	h := newHistogram()
	seen := make(map[string]bool, c.Expect)
	var out consumed
	for out.Received < c.Expect && ctx.Err() == nil {
		fs := cl.PollFetches(ctx)
		now := time.Now().UnixNano()
		if err := fs.Err0(); err != nil && ctx.Err() == nil {
			return err
		}
		fs.EachRecord(func(r *kgo.Record) {
			key := string(r.Key)
			due, ok := strings.CutPrefix(key, markPrefix)
			if !ok {
				return
			}
			ns, err := strconv.ParseInt(due, 10, 64)
			if err != nil {
				return
			}
			if seen[key] {
				out.Twice++
				return
			}
			seen[key] = true
			out.Received++
			_ = h.RecordValue(max((now-ns)/1000, 1))
		})
	}
	out.P50, out.P90, out.P99, out.P999, out.Max = h.ValueAtQuantile(50), h.ValueAtQuantile(90), h.ValueAtQuantile(99), h.ValueAtQuantile(99.9), h.Max()
	return json.NewEncoder(os.Stdout).Encode(out)
}

// newHistogram holds microseconds up to two minutes to three digits.
func newHistogram() *hdrhistogram.Histogram { return hdrhistogram.New(1, 120_000_000, 3) }

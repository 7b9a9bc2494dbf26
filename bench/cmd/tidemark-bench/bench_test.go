package main

import (
	"math"
	"os"
	"testing"
	"time"

	"tidemark/bench/internal/proc"
	"tidemark/playbook"
)

// A process that spends 5 µs an event and commits 50,000 at once, looked at by
// two samples, seems to cost less or more by where the samples fall; the line
// must not.
func TestSlopeOfAStaircase(t *testing.T) {
	const perEvent, rate, commit = 5e-6, 200_000.0, 50_000.0
	var s []sample
	begin := time.Unix(0, 0)
	for at := 0.0; at < 9; at += .1 {
		events := math.Floor(at*rate/commit) * commit
		s = append(s, sample{at: begin.Add(time.Duration(at * 1e9)), events: events, triggers: events / 10, mallocs: at * rate * 7,
			use: proc.Usage{User: time.Duration(at * rate * perEvent * 1e9)}})
	}
	b := &bench{}
	ph := b.slope(s, meter{}, meter{})
	near := func(name string, got, want, tolerance float64) {
		t.Helper()
		if math.Abs(got-want) > tolerance*want {
			t.Errorf("%s: got %g, want %g", name, got, want)
		}
	}
	near("events/s", ph.EventsPerSecond, rate, .02)
	near("CPU s/M", ph.CPUSecondsPerMillion, perEvent*1e6, .02)
	near("triggers/event", ph.TriggersPerEvent, .1, .001)
	near("allocs/event", ph.AllocsPerEvent, 7, .02)
}

func TestSlopeOfTooLittle(t *testing.T) {
	b := &bench{}
	if got := b.slope([]sample{{events: 1}, {events: 2}}, meter{}, meter{}); got.EventsPerSecond != 0 {
		t.Errorf("two samples give %v events/s, want none", got.EventsPerSecond)
	}
}

func TestCount(t *testing.T) {
	for text, want := range map[string]count{"250": 250, "100k": 100_000, "1M": 1_000_000, "10m": 10_000_000} {
		var c count
		if err := c.UnmarshalText([]byte(text)); err != nil || c != want {
			t.Errorf("%s: got %d, %v, want %d", text, c, err, want)
		}
	}
	for _, text := range []string{"", "k", "0", "-1", "1.5k", "9999m"} {
		var c count
		if err := c.UnmarshalText([]byte(text)); err == nil {
			t.Errorf("%q: got %d, want an error", text, c)
		}
	}
	if got, want := count(1_000_000).String(), "1m"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

// The latency runs replace one line of the playbook.
func TestPlaybookTurnsLive(t *testing.T) {
	text, err := os.ReadFile("../../playbook.yaml")
	if err != nil {
		t.Fatal(err)
	}
	live, err := turnLive(text)
	if err != nil {
		t.Fatal(err)
	}
	pb, err := playbook.Compile(live, "bench/playbook.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if pb.Clock != playbook.Live {
		t.Error("the playbook is not live")
	}
	if _, err := turnLive(live); err == nil {
		t.Error("a playbook without clock: input is taken")
	}
	// Every marked order must lift its customer at once.
	if got, want := int64(markAmount), pb.Tiers[0].Levels[1].Reach*100; got < want {
		t.Errorf("a marked order is %d, the second level begins at %d", got, want)
	}
}

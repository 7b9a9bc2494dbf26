package runtime

import (
	"testing"
	"time"

	"tidemark/processor/core"
)

// A task that is far behind waits for a full batch, but neither at the end of
// its inputs, nor when no more can come, nor for ever.
func TestGathering(t *testing.T) {
	now := time.Unix(1_700_000_000, 0)
	fresh := func() *life {
		l := &life{cfg: &Config{QueueRecords: 100}}
		l.q[0] = queue{recs: make([]core.Record, 50), next: 50, end: 1_000_000}
		return l
	}
	for _, c := range []struct {
		name string
		set  func(l *life)
		want bool
	}{
		{"far behind", func(*life) {}, true},
		{"far behind and nothing here", func(l *life) { l.q[0].recs = nil }, true},
		{"enough is here", func(l *life) { l.q[0].recs = make([]core.Record, 100) }, false},
		{"enough is here of both", func(l *life) { l.q[1].recs = make([]core.Record, 50) }, false},
		{"near the end", func(l *life) { l.q[0].end = 50 + takeAtOnce }, false},
		{"fetching is paused", func(l *life) { l.q[1].held = true }, false},
		{"a replay", func(l *life) { l.q[0].need = 1 }, false},
	} {
		l := fresh()
		c.set(l)
		if got := l.gathering(now); got != c.want {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
		}
	}
	l := fresh()
	for _, s := range []struct {
		after time.Duration
		want  bool
	}{{0, true}, {gatherFor - 1, true}, {gatherFor, false}, {gatherFor + 1, true}, {2*gatherFor + 1, false}} {
		if got := l.gathering(now.Add(s.after)); got != s.want {
			t.Errorf("after %v: %v, want %v", s.after, got, s.want)
		}
	}
}

package runtime

import (
	"testing"
	"time"

	"tidemark/processor/core"
	"tidemark/schemas"
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

// Only a backlog makes commits wait: not what is here and about to be taken, and
// not the end of the inputs.
func TestFar(t *testing.T) {
	for _, c := range []struct {
		name    string
		waiting int
		beyond  schemas.Offset
		want    bool
	}{
		{"nothing", 0, 0, false},
		{"as much as it takes twice", takeAtOnce, takeAtOnce, false},
		{"one more here", takeAtOnce + 1, takeAtOnce, true},
		{"one more on the broker", 0, farBehind + 1, true},
	} {
		l := &life{cfg: &Config{}}
		l.q[1] = queue{recs: make([]core.Record, c.waiting+5), at: 5, next: 100, end: 100 + c.beyond}
		if got := l.far(); got != c.want {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
		}
	}
}

// A task that is far behind hands a commit over when it is full or the patience
// is over, and one that is not at once.
func TestPatience(t *testing.T) {
	now := time.Now()
	for _, c := range []struct {
		name string
		end  schemas.Offset
		last time.Time
		want int
	}{
		{"far behind", 1_000_000, now, 0},
		{"far behind for long", 1_000_000, now.Add(-2 * patience), 1},
		{"near the end", 1000, now, 1},
	} {
		k, err := core.New(core.Config{App: "shop", Tasks: 1, CacheBytes: 1 << 20}, core.Empty{}, core.Zero())
		if err != nil {
			t.Fatal(err)
		}
		l := &life{cfg: &Config{}, core: k, commits: make(chan job, 1), lastFlush: c.last}
		l.cfg.defaults()
		l.q[0] = queue{end: c.end}
		dead := core.Record{Input: schemas.OrderEvents, Dead: &core.Dead{Step: core.StepDecode, Reason: core.ReasonUndecodable}, Raw: &core.Raw{Topic: "orders"}}
		if n, err := k.Take([]core.Record{dead}, 1); n != 1 || err != nil {
			t.Fatal(n, err)
		}
		if err := l.flush(false); err != nil {
			t.Fatal(err)
		}
		if got := len(l.commits); got != c.want {
			t.Errorf("%s: %d commits, want %d", c.name, got, c.want)
		}
	}
}

package sim

import (
	"bytes"
	"cmp"
	"container/heap"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"sync"
	"testing/synctest"
	"time"

	"github.com/cespare/xxhash/v2"
)

// world is one run: the scheduler, and all that it drives. Its methods are the
// scheduler's alone unless they say otherwise.
type world struct {
	script Script
	began  time.Time
	queue  agenda
	nth    map[string]int // how often a key was seen
	counts map[string]int
	armed  []*Fault
	trace  uint64 // hash over all that was delivered
	steps  int
	log    *lines

	cluster  *cluster
	registry *registry
	store    *store
	procs    []*process
	group    *membership
	load     *load
	wrong    Mutant
	ends     map[string]int64    // of journals, as a mutant read them too early
	slow     map[string]*request // by transactional id: an EndTxn that a mutant sent twice
	runaway  bool                // a processor that never rests
	over     bool                // nothing boots any more
	stopped  map[int32]bool      // tasks that stopped for good, as they had to

	mu      sync.Mutex
	arrived []*request
	asked   []*blobCall
	calls   []func() // from goroutines of the processors
	wake    chan struct{}
	wg      sync.WaitGroup // processes that still wind down
}

func newWorld(s Script, wrong Mutant, log *lines) *world {
	w := &world{script: s, began: time.Now(), nth: map[string]int{}, counts: map[string]int{}, wake: make(chan struct{}, 1), wrong: wrong, ends: map[string]int64{}, slow: map[string]*request{}, stopped: map[int32]bool{}, log: log}
	w.cluster = newCluster(w)
	w.registry = newRegistry(w)
	w.store = &store{w: w, blobs: map[string]blob{}}
	w.group = &membership{w: w}
	w.load = newLoad(w)
	return w
}

// event is something to be done at a time.
type event struct {
	at  time.Duration
	key string // orders what is due at the same time
	do  func()
}

type agenda []*event

func (a agenda) Len() int { return len(a) }
func (a agenda) Less(i, j int) bool {
	return a[i].at < a[j].at || a[i].at == a[j].at && a[i].key < a[j].key
}
func (a agenda) Swap(i, j int) { a[i], a[j] = a[j], a[i] }
func (a *agenda) Push(x any)   { *a = append(*a, x.(*event)) }
func (a *agenda) Pop() any {
	old := *a
	x := old[len(old)-1]
	*a = old[:len(old)-1]
	return x
}

// now is the time since the run began. Any goroutine may ask.
func (w *world) now() time.Duration { return time.Since(w.began) }

// after plans do; key must say what it is, the same in every run of the seed.
func (w *world) after(d time.Duration, key string, do func()) {
	heap.Push(&w.queue, &event{w.now() + max(d, 0), key, do})
}

// chance is a random source that depends on the seed, the key, and how often
// the key was asked for, and on nothing else.
func (w *world) chance(key string) *rand.Rand {
	w.nth[key]++
	return rand.New(rand.NewPCG(w.script.Seed, xxhash.Sum64String(fmt.Sprint(key, w.nth[key]))))
}

func (w *world) count(what string) { w.counts[what]++ }

// post hands something to the scheduler. Any goroutine may call it.
func (w *world) post(r *request, call func()) {
	w.mu.Lock()
	if r != nil {
		w.arrived = append(w.arrived, r)
	} else {
		w.calls = append(w.calls, call)
	}
	w.mu.Unlock()
	select {
	case w.wake <- struct{}{}:
	default:
	}
}

// ask hands a request to the blob store to the scheduler. Any goroutine may call it.
func (w *world) ask(c *blobCall) {
	w.mu.Lock()
	w.asked = append(w.asked, c)
	w.mu.Unlock()
	select {
	case w.wake <- struct{}{}:
	default:
	}
}

// mostSteps bounds a run; a common one has some thousands.
const mostSteps = 60_000

// run delivers one thing after the other until done says so.
func (w *world) run(done func() bool) {
	for limit := w.steps + mostSteps; !done(); {
		if w.steps > limit {
			w.runaway = true
			return
		}
		synctest.Wait()
		w.intake()
		d := time.Second
		if len(w.queue) > 0 {
			if d = w.queue[0].at - w.now(); d <= 0 {
				e := heap.Pop(&w.queue).(*event)
				w.steps++
				w.trace = xxhash.Sum64String(fmt.Sprint(w.trace, w.now(), e.key))
				e.do()
				continue
			}
		}
		timer := time.NewTimer(d)
		select {
		case <-w.wake:
		case <-timer.C:
		}
		timer.Stop()
	}
}

// intake takes what the processors sent since, in an order of its own.
func (w *world) intake() {
	w.mu.Lock()
	arrived, calls, asked := w.arrived, w.calls, w.asked
	w.arrived, w.calls, w.asked = nil, nil, nil
	w.mu.Unlock()
	for _, call := range calls {
		call()
	}
	slices.SortStableFunc(arrived, func(a, b *request) int { return cmp.Compare(a.key, b.key) })
	for _, r := range arrived {
		w.receive(r)
	}
	slices.SortStableFunc(asked, func(a, b *blobCall) int { return cmp.Compare(a.key, b.key) })
	for _, c := range asked {
		w.called(c)
	}
}

// telling is what a processor logs when something happened that a test wants to
// have happened.
var telling = map[string]string{
	"it is moved aside and made anew":            "damaged store made anew",
	"msg=checkpoint ":                            "checkpoint saved",
	"msg=\"restoring a checkpoint\"":             "checkpoint restored, or tried",
	"a checkpoint can't be used":                 "unfit checkpoint passed over",
	"looking for a newer checkpoint":             "newer checkpoint looked for, since the input was gone",
	"there is room on the disk again":            "full disk waited out",
	"a standby follows":                          "standby followed",
	"the input no longer holds the next records": "task told that its input is gone",
}

// lines keeps the last of what was logged. Any goroutine may write.
type lines struct {
	mu    sync.Mutex
	all   []string
	began time.Time
	said  map[string]int // how often what was looked for was logged
}

func (l *lines) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for text, what := range telling {
		if bytes.Contains(b, []byte(text)) {
			l.said[what]++
		}
	}
	l.all = append(l.all, string(b))
	return len(b), nil
}

func (l *lines) add(format string, args ...any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.all = append(l.all, fmt.Sprintf("%v ", time.Since(l.began).Round(time.Microsecond))+fmt.Sprintf(format, args...)+"\n")
}

func (l *lines) logger(proc string) *slog.Logger {
	return slog.New(slog.NewTextHandler(l, &slog.HandlerOptions{Level: slog.LevelInfo, ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
		if a.Key == slog.TimeKey {
			a.Value = slog.DurationValue(a.Value.Time().Sub(l.began).Round(time.Microsecond))
		}
		return a
	}})).With("proc", proc)
}

// Last gives the last n lines.
func (l *lines) Last(n int) (out string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, s := range l.all[max(len(l.all)-n, 0):] {
		out += s
	}
	return out
}

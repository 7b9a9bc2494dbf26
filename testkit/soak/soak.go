package soak

import (
	"fmt"
	"hash/fnv"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"runtime/debug"
	"slices"
	"strconv"
	"sync/atomic"
	"testing"
	"time"
)

// F is what a target needs of *testing.F.
type F interface {
	testing.TB
	Add(args ...any)
	Fuzz(ff any)
}

// Targets are the targets of a package, by the name of their Fuzz function.
type Targets map[string]func(F)

// Limit is how long one execution may take.
const Limit = 20 * time.Second

// Run soaks each target in the order of their names, as the environment says,
// and logs one line for each: its name, executions, seed and corpus.
func Run(t *testing.T, targets Targets) {
	n, _ := strconv.ParseInt(os.Getenv("TIDEMARK_TEST_SOAK"), 10, 64)
	if n <= 0 {
		t.Skip("TIDEMARK_TEST_SOAK says how many executions, and is not set")
	}
	seed, err := strconv.ParseUint(os.Getenv("TIDEMARK_TEST_SOAK_SEED"), 10, 64)
	if err != nil {
		seed = 1
	}
	only, err := regexp.Compile(os.Getenv("TIDEMARK_TEST_SOAK_ONLY"))
	if err != nil {
		t.Fatal(err)
	}
	names := make([]string, 0, len(targets))
	for name := range targets {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		if !only.MatchString(name) {
			continue
		}
		t.Run(name, func(t *testing.T) {
			s := &soaked{T: t, name: name, dir: filepath.Join("testdata", "fuzz", name), n: n, seed: seed}
			began := time.Now()
			targets[name](s)
			t.Logf("soak %s executions %d skipped %d seed %d corpus %d %s in %v", name, s.done.Load(), s.skipped, seed, s.corpus, s.sum, time.Since(began).Round(time.Millisecond))
		})
	}
}

// soaked is an F that executes many times.
type soaked struct {
	*testing.T
	name, dir string
	n         int64
	seed      uint64
	added     [][]any
	corpus    int
	sum       string
	done      atomic.Int64
	skipped   int64
	now       atomic.Pointer[[]any] // what is executed
}

// Add is testing.F's.
func (s *soaked) Add(args ...any) { s.added = append(s.added, args) }

// Fuzz is testing.F's, with a generator of its own.
func (s *soaked) Fuzz(ff any) {
	s.Helper()
	call, kinds := caller(ff)
	found, err := kept(s.dir)
	if err != nil {
		s.Fatal(err)
	}
	corpus := append(s.added, found...)
	if len(corpus) == 0 { // a target without seeds
		var zero []any
		for _, k := range kinds {
			zero = append(zero, reflect.Zero(k).Interface())
		}
		corpus = append(corpus, zero)
	}
	for _, args := range corpus {
		if !fits(args, kinds) {
			s.Fatalf("an input has other arguments than the target: %.200v", args)
		}
	}
	s.corpus, s.sum = len(corpus), sum(corpus)
	h := fnv.New64a()
	h.Write([]byte(s.name))
	m := newMutator(s.seed, h.Sum64(), corpus)
	stop := make(chan struct{})
	defer close(stop)
	go s.watch(stop)
	for s.done.Load() < s.n && !s.Failed() {
		ended := make(chan bool)
		// A target that skips or fails ends its goroutine.
		go func() {
			whole := false
			defer func() {
				if !whole {
					if v := recover(); v != nil {
						s.save()
						s.Errorf("panic: %v\n%s", v, debug.Stack())
					}
					s.done.Add(1)
				}
				ended <- whole
			}()
			args := make([]any, len(kinds))
			for s.done.Load() < s.n {
				m.next(args)
				s.now.Store(&args)
				call(s.T, args)
				if s.Failed() { // by Error, which goes on
					break
				}
				s.done.Add(1)
			}
			whole = !s.Failed()
		}()
		if whole := <-ended; !whole && !s.Failed() {
			s.skipped++
		}
	}
	if s.Failed() {
		s.save()
	}
}

// save keeps the input that is executed where `go test` finds it.
func (s *soaked) save() {
	args := s.now.Load()
	if args == nil {
		return
	}
	text := encode(*args)
	h := fnv.New64a()
	h.Write([]byte(text))
	path := filepath.Join(s.dir, fmt.Sprintf("%016x", h.Sum64()))
	if err := os.MkdirAll(s.dir, 0o755); err != nil {
		s.Error(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		s.Error(err)
	}
	s.Logf("failing input written to %s (seed %d, execution %d)", path, s.seed, s.done.Load())
}

// watch ends the process when one execution takes too long.
func (s *soaked) watch(stop chan struct{}) {
	tick := time.NewTicker(Limit / 2)
	defer tick.Stop()
	last, since := int64(-1), time.Now()
	for {
		select {
		case <-stop:
			return
		case <-tick.C:
		}
		if n := s.done.Load(); n != last {
			last, since = n, time.Now()
		} else if time.Since(since) > Limit {
			s.save()
			panic(fmt.Sprintf("soak: execution %d of %s with seed %d takes longer than %v", n, s.name, s.seed, Limit))
		}
	}
}

func fits(args []any, kinds []reflect.Type) bool {
	return slices.EqualFunc(args, kinds, func(a any, k reflect.Type) bool { return reflect.TypeOf(a) == k })
}

// caller gives a way to call a target, without reflection where that would
// cost more than many targets do.
func caller(ff any) (call func(*testing.T, []any), kinds []reflect.Type) {
	fn := reflect.TypeOf(ff)
	for i := 1; i < fn.NumIn(); i++ {
		kinds = append(kinds, fn.In(i))
	}
	switch f := ff.(type) {
	case func(*testing.T, []byte):
		return func(t *testing.T, a []any) { f(t, a[0].([]byte)) }, kinds
	case func(*testing.T, string):
		return func(t *testing.T, a []any) { f(t, a[0].(string)) }, kinds
	case func(*testing.T, uint8, []byte):
		return func(t *testing.T, a []any) { f(t, a[0].(uint8), a[1].([]byte)) }, kinds
	case func(*testing.T, []byte, int64, int64):
		return func(t *testing.T, a []any) { f(t, a[0].([]byte), a[1].(int64), a[2].(int64)) }, kinds
	}
	v := reflect.ValueOf(ff)
	in := make([]reflect.Value, 1+len(kinds))
	return func(t *testing.T, a []any) {
		in[0] = reflect.ValueOf(t)
		for i := range a {
			in[1+i] = reflect.ValueOf(a[i])
		}
		v.Call(in)
	}, kinds
}

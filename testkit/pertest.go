package testkit

import (
	"strings"
	"sync"
	"testing"
)

// perTest holds one running server for each running test, by the test's name. A
// subtest finds the server of the nearest test above it.
type perTest[T any] struct {
	mu sync.Mutex
	of map[string]T
}

// get returns the test's server, and starts one, to be stopped with t, if neither t
// nor a test above it has any.
func (p *perTest[T]) get(t testing.TB, what string, start func() (server T, stop func() error, err error)) T {
	t.Helper()
	p.mu.Lock()
	defer p.mu.Unlock()
	for name, more := t.Name(), true; more; {
		if server, ok := p.of[name]; ok {
			return server
		}
		cut := strings.LastIndexByte(name, '/')
		if more = cut >= 0; more {
			name = name[:cut]
		}
	}
	server, stop, err := start()
	if err != nil {
		t.Fatalf("starting %s: %v", what, err)
	}
	if p.of == nil {
		p.of = map[string]T{}
	}
	p.of[t.Name()] = server
	t.Cleanup(func() {
		p.mu.Lock()
		delete(p.of, t.Name())
		p.mu.Unlock()
		if err := stop(); err != nil {
			t.Errorf("stopping %s: %v", what, err)
		}
	})
	return server
}

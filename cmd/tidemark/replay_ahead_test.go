package main

import (
	"errors"
	"testing"

	"tidemark/schemas"
)

// Reading ahead gives every event once and in order, then the source's error
// again and again; and it may be stopped in the midst.
func TestReadingAhead(t *testing.T) {
	end := errors.New("end")
	source := func(n int) func() (*schemas.Event, error) {
		at := 0
		return func() (*schemas.Event, error) {
			if at == n {
				return nil, end
			}
			at++
			return &schemas.Event{AmountMinor: int64(at - 1)}, nil
		}
	}
	for _, n := range []int{0, 1, 2047, 2048, 2049, 50_000} {
		next, stop := ahead(source(n))
		for i := range n {
			if e, err := next(); err != nil || e.AmountMinor != int64(i) {
				t.Fatalf("%d events: at %d: %+v %v", n, i, e, err)
			}
		}
		for range 2 {
			if _, err := next(); err != end {
				t.Errorf("%d events: after the last: %v, want %v", n, err, end)
			}
		}
		stop()
	}
	next, stop := ahead(source(1 << 30))
	if _, err := next(); err != nil {
		t.Fatal(err)
	}
	stop()
}

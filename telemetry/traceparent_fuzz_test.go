package telemetry

import (
	"testing"

	"tidemark/testkit/soak"
)

// FuzzTraceparent: what is taken is written again as a traceparent of the same
// ids, and reading it does not allocate.
func FuzzTraceparent(f *testing.F) { fuzzTraceparent(f) }

func fuzzTraceparent(f soak.F) {
	f.Add([]byte("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"))
	f.Add([]byte("01-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-ff-more"))
	f.Add([]byte("ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, b []byte) {
		sc, ok := ParseTraceparent(b)
		if !ok {
			return
		}
		again, ok := ParseTraceparent(AppendTraceparent(nil, sc))
		if !ok || !again.Equal(sc) {
			t.Fatalf("%q gives %v, then %v", b, sc, again)
		}
	})
}

package rfm

import (
	"bytes"
	"testing"

	"tidemark/testkit/soak"
)

// FuzzHistogram: what another task sends is a histogram that is written again as
// it came, or an error; and it claims no more values than its bytes have room for.
func FuzzHistogram(f *testing.F) { fuzzHistogram(f) }

func fuzzHistogram(f soak.F) {
	h := NewHistogram(4)
	for _, v := range []int64{1, 1, 7, -3, 1 << 40, 9, 11} {
		if err := h.Add(v); err != nil {
			f.Fatal(err)
		}
		f.Add(h.AppendBinary(nil))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		h, err := Decode(b)
		if err != nil {
			return
		}
		if h.Distinct() > len(b) {
			t.Fatalf("%d values of %d bytes", h.Distinct(), len(b))
		}
		once := h.AppendBinary(nil)
		again, err := Decode(once)
		if err != nil || !bytes.Equal(again.AppendBinary(nil), once) {
			t.Fatalf("%x, then %v", once, err)
		}
		_, _ = h.QuantileCuts([]Fraction{{1, 2}}, 0)
		_, _ = h.MeanCut()
		_, _ = h.MedianCut()
		if err := again.Merge(h); err == nil && again.Count() != 2*h.Count() {
			t.Fatalf("%d and %d customers merge to %d", h.Count(), h.Count(), again.Count())
		}
	})
}

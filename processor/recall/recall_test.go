package recall

import "testing"

func TestCustomerType(t *testing.T) {
	for orders, want := range map[int64]string{-1: "", 0: "", 1: "one_order", 2: "repeat", 900: "repeat"} {
		if got := CustomerType(orders, false); got != want {
			t.Errorf("%d orders: %q, want %q", orders, got, want)
		}
		if want != "" {
			want = "lost_to_competitor"
		}
		if got := CustomerType(orders, true); got != want {
			t.Errorf("%d orders and a signal: %q, want %q", orders, got, want)
		}
	}
}

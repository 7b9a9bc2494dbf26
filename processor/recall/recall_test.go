package recall

import (
	"fmt"
	"testing"

	"tidemark/playbook"
)

// The draw is a promise about every customer for the life of a campaign, so
// some of its outcomes stand here.
func TestDrawStays(t *testing.T) {
	r := &playbook.Recall{Salt: "come_back", HoldoutPPM: 100_000, Arms: []playbook.Arm{{Name: "a", Weight: 1}, {Name: "b", Weight: 2}}}
	want := map[string]int{"c1": 0, "c2": 0, "c3": 1, "c7": Holdout, "c10": 0, "顾客": 1, "": 0}
	for id, arm := range want {
		if got := Draw(r, id); got != arm {
			t.Errorf("%q: %d, want %d", id, got, arm)
		}
	}
}

func TestShares(t *testing.T) {
	r := &playbook.Recall{Salt: "s", HoldoutPPM: 100_000, Arms: []playbook.Arm{{Weight: 1}, {Weight: 2}}}
	other := *r
	other.Salt = "t"
	const n = 200_000
	var got [3]int
	both := 0
	for i := range n {
		id := fmt.Sprint("customer-", i)
		d := Draw(r, id)
		got[d+1]++
		if d == Holdout && Draw(&other, id) == Holdout {
			both++
		}
	}
	for i, want := range [3]float64{.1, .3, .6} {
		if share := float64(got[i]) / n; share < want-.005 || share > want+.005 {
			t.Errorf("arm %d has %.4f of the customers, want %.2f", i-1, share, want)
		}
	}
	// Two campaigns draw independently of each other.
	if share := float64(both) / n; share < .008 || share > .012 {
		t.Errorf("%.4f are in both holdouts, want 0.01", share)
	}
}

func TestNoHoldoutNoArms(t *testing.T) {
	for i := range 1000 {
		id := fmt.Sprint(i)
		if d := Draw(&playbook.Recall{Arms: []playbook.Arm{{Weight: 1}}}, id); d != 0 {
			t.Fatalf("%s drew %d of one arm", id, d)
		}
		if d := Draw(&playbook.Recall{}, id); d != 0 {
			t.Fatalf("%s drew %d without arms", id, d)
		}
	}
}

func TestCustomerType(t *testing.T) {
	for orders, want := range map[int64]string{-1: "", 0: "", 1: "one_order", 2: "repeat", 900: "repeat"} {
		if got := CustomerType(orders); got != want {
			t.Errorf("%d orders: %q, want %q", orders, got, want)
		}
	}
}

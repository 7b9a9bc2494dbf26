package core

import (
	"errors"
	"fmt"
	"testing"

	"tidemark/playbook"
)

// TestRolloutIsMonotone: whoever is touched at 1 % is at 10 % and at 100 %, the
// shares are as said, and two rules are rolled out to other customers.
func TestRolloutIsMonotone(t *testing.T) {
	c := &Core{pb: &playbook.Playbook{}}
	at := func(rule string, ppm int64, id string) bool {
		e := &entry{}
		e.ID = id
		return c.rolledOut(e, rule, &playbook.Touching{RolloutPPM: ppm})
	}
	const n = 50_000
	steps := []int64{0, 10_000, 100_000, 500_000, 1_000_000}
	counts := make([]int, len(steps))
	both := 0
	for i := range n {
		id := fmt.Sprint("customer-", i)
		was := false
		for k, ppm := range steps {
			now := at("a", ppm, id)
			if was && !now {
				t.Fatalf("%s was touched at %d ppm and is not at %d", id, steps[k-1], ppm)
			}
			if was = now; now {
				counts[k]++
			}
		}
		if at("a", 100_000, id) && at("b", 100_000, id) {
			both++
		}
	}
	for k, ppm := range steps {
		if want := float64(ppm) / 1e6 * n; float64(counts[k]) < want-400 || float64(counts[k]) > want+400 {
			t.Errorf("%d ppm: %d of %d", ppm, counts[k], n)
		}
	}
	if both < 400 || both > 600 {
		t.Errorf("%d are in both tenths, want about 500", both)
	}
}

func TestBrakeSaysWhatItIs(t *testing.T) {
	for _, b := range []Brake{{Scope: "rule"}, {Scope: "channel"}, {Scope: "everything"}, {}} {
		if _, err := NewBrake(ControlPause, b, "test", 1); !errors.Is(err, errBrake) {
			t.Errorf("%+v: %v", b, err)
		}
	}
	r, err := NewBrake(ControlResume, Brake{Scope: PauseAll, Name: "ignored", Send: true}, "test", 1)
	if err != nil || r.Name != "" || r.Kind != ControlResume {
		t.Errorf("%+v, %v", r, err)
	}
}

package experiment

import (
	"fmt"
	"math/big"
	"testing"

	"pgregory.net/rapid"

	"tidemark/playbook"
	"tidemark/schemas"
)

// The draw is a promise about every customer for the life of an experiment, so
// some of its outcomes stand here.
func TestDrawStays(t *testing.T) {
	x := &playbook.Experiment{Salt: "come_back", HoldoutPPM: 100_000, Arms: []playbook.Arm{{Name: "a", Weight: 1}, {Name: "b", Weight: 2}}}
	want := map[string]int{"c1": 0, "c2": 0, "c3": 1, "c7": Holdout, "c10": 0, "顾客": 1, "": 0}
	for id, arm := range want {
		if got := Draw(x, id); got != arm {
			t.Errorf("%q: %d, want %d", id, got, arm)
		}
	}
	g := &playbook.GlobalControl{Salt: "shop", PPM: 300_000}
	for cycle, want := range map[schemas.EventTime]string{0: "c0 c4 c6 ", 7776000000: "c0 c3 c6 "} {
		got := ""
		for i := range 10 {
			if id := fmt.Sprintf("c%d", i); InGlobal(g, cycle, id) {
				got += id + " "
			}
		}
		if got != want {
			t.Errorf("in global control from %d: %q, want %q", cycle, got, want)
		}
	}
}

// TestDrawsAreFairAndIndependent holds the draws of a set of experiments against
// chi-square: shares as the weights say, and of any two experiments, of experiment
// and global control, and of two cycles of it, each independent of the other.
// Customers and salts are fixed, so the test gives one answer for ever; the limits
// are the .001 quantile for the degrees of freedom.
func TestDrawsAreFairAndIndependent(t *testing.T) {
	limits := map[int]float64{1: 10.828, 3: 16.266, 9: 27.877}
	const n = 120_000
	exp := func(salt string) func(string) int {
		x := &playbook.Experiment{Salt: salt, HoldoutPPM: 100_000, Arms: []playbook.Arm{{Weight: 1}, {Weight: 2}, {Weight: 6}}}
		return func(id string) int { return Draw(x, id) + 1 }
	}
	g := &playbook.GlobalControl{Salt: "shop", PPM: 250_000}
	global := func(cycle schemas.EventTime) func(string) int {
		return func(id string) int {
			if InGlobal(g, cycle, id) {
				return 0
			}
			return 1
		}
	}
	four := []float64{.1, .1, .2, .6}
	two := []float64{.25, .75}
	draws := []struct {
		name   string
		of     func(string) int
		shares []float64
	}{{"recall", exp("recall"), four}, {"birthday", exp("birthday"), four}, {"recall 2", exp("recall 2"), four},
		{"global, first quarter", global(1_700_000_000_000), two}, {"global, second quarter", global(1_707_776_000_000), two}}
	ids := make([]string, n)
	for i := range ids {
		ids[i] = fmt.Sprint("customer-", i)
	}
	got := make([][]int, len(draws))
	for k, d := range draws {
		got[k] = make([]int, n)
		seen := make([]float64, len(d.shares))
		for i, id := range ids {
			got[k][i] = d.of(id)
			seen[got[k][i]]++
		}
		x := 0.0
		for i, share := range d.shares {
			want := share * n
			x += (seen[i] - want) * (seen[i] - want) / want
		}
		if limit := limits[len(d.shares)-1]; x > limit {
			t.Errorf("%s: shares %v, chi-square %.1f over %.1f", d.name, seen, x, limit)
		}
	}
	for a := range draws {
		for b := range a {
			x, rows, cols := 0.0, len(draws[a].shares), len(draws[b].shares)
			table := make([]float64, rows*cols)
			for i := range n {
				table[got[a][i]*cols+got[b][i]]++
			}
			for r := range rows {
				for c := range cols {
					row, col := 0.0, 0.0
					for i := range cols {
						row += table[r*cols+i]
					}
					for i := range rows {
						col += table[i*cols+c]
					}
					want := row * col / n
					x += (table[r*cols+c] - want) * (table[r*cols+c] - want) / want
				}
			}
			if limit := limits[(rows-1)*(cols-1)]; x > limit {
				t.Errorf("%s and %s: chi-square %.1f over %.1f", draws[a].name, draws[b].name, x, limit)
			}
		}
	}
}

func TestNoHoldoutNoArms(t *testing.T) {
	for i := range 1000 {
		id := fmt.Sprint(i)
		if d := Draw(&playbook.Experiment{Arms: []playbook.Arm{{Weight: 1}}}, id); d != 0 {
			t.Fatalf("%s drew %d of one arm", id, d)
		}
		if d := Draw(&playbook.Experiment{}, id); d != 0 {
			t.Fatalf("%s drew %d without arms", id, d)
		}
	}
}

// What was added and removed again leaves nothing, tasks merge to the whole, and
// the square is exact past 64 bits.
func TestSums(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		outcome := rapid.Custom(func(t *rapid.T) Outcome {
			return Outcome{rapid.Int64Range(0, 50).Draw(t, "orders"), rapid.Int64Range(-1<<40, 1<<40).Draw(t, "revenue")}
		})
		all := rapid.SliceOfN(outcome, 0, 40).Draw(rt, "outcomes")
		var whole, left, right Sums
		square := new(big.Int)
		for i, o := range all {
			whole.Add(o)
			if i%2 == 0 {
				left.Add(o)
			} else {
				right.Add(o)
			}
			v := big.NewInt(o.Revenue)
			square.Add(square, v.Mul(v, v))
		}
		if got, want := whole.Square(), square.String(); got != want {
			rt.Fatalf("square %s, want %s", got, want)
		}
		merged := left
		merged.Merge(right)
		if merged != whole {
			rt.Fatalf("merged %+v, whole %+v", merged, whole)
		}
		for _, o := range all {
			whole.Remove(o)
		}
		if whole != (Sums{}) {
			rt.Fatalf("left over: %+v", whole)
		}
	})
}

package churn

import (
	"math/rand/v2"
	"testing"

	"tidemark/schemas"
)

// Over random parameters and histories, asked in any order and again and again,
// a Memo answers what DueTime does.
func TestMemoIsDueTime(t *testing.T) {
	const seed = 7
	rng := rand.New(rand.NewPCG(seed, 0))
	sets, asked := 60, 4000
	if testing.Short() {
		sets = 10
	}
	kinds := map[Solution]int{}
	for set := range sets {
		p := Params{R: .05 + 4*rng.Float64(), Alpha: .5 + 30*rng.Float64(), A: .05 + 3*rng.Float64(), B: .1 + 5*rng.Float64(), Unit: Week, Modified: set%3 == 0}
		if set == 1 { // the bench's
			p = Params{R: 2.5, Alpha: 11, A: .6, B: 3, Unit: Week}
		}
		horizon, limit := schemas.EventTime(1+rng.IntN(60))*Week, float64(1+rng.IntN(99))/100
		switch set % 20 {
		case 5:
			limit = 1
		case 6:
			limit = 1.5
		case 7:
			limit = 0
		case 8:
			limit = .9999995
		}
		m := NewMemo(p, horizon, limit)
		for range asked {
			x, tx := rng.IntN(12), schemas.EventTime(rng.IntN(60))*schemas.Day
			if rng.IntN(10) == 0 {
				x, tx = rng.IntN(400)-1, schemas.EventTime(rng.IntN(8000)-1)*schemas.Day
			}
			t0 := tx + schemas.EventTime(rng.Int64N(int64(90*schemas.Day)))
			switch rng.IntN(20) {
			case 0:
				t0 = tx
			case 1:
				t0 = tx - 1
			case 2:
				t0 = tx + schemas.EventTime(rng.Int64N(int64(MaxSilence)))
			}
			if due, st := DueTime(p, x, tx, tx, horizon, limit); st == Crosses && rng.IntN(4) == 0 {
				t0 = due - 1 + schemas.EventTime(rng.IntN(3)) // beside the crossing itself
			}
			gotDue, got := m.DueTime(x, tx, t0)
			wantDue, want := DueTime(p, x, tx, t0, horizon, limit)
			if gotDue != wantDue || got != want {
				t.Fatalf("seed %d, %+v, horizon %d, limit %v, x %d, tx %d, t0 %d: %d %v, want %d %v", seed, p, horizon, limit, x, tx, t0, gotDue, got, wantDue, want)
			}
			kinds[got]++
		}
	}
	for _, k := range []Solution{Undefined, Already, Crosses, Never} {
		if kinds[k] == 0 {
			t.Errorf("no question was answered %v", k)
		}
	}
}

// BenchmarkMemo is one question, of pairs as a task's customers have them.
func BenchmarkMemo(b *testing.B) {
	p := Params{R: 2.5, Alpha: 11, A: .6, B: 3, Unit: Week}
	rng := rand.New(rand.NewPCG(1, 0))
	type ask struct {
		x      int
		tx, t0 schemas.EventTime
	}
	asks := make([]ask, 1<<16)
	for i := range asks {
		x := 5 + rng.IntN(10)
		tx := schemas.EventTime(30*x+rng.IntN(10*x)-5*x) * schemas.Day
		asks[i] = ask{x, tx, tx + 14*schemas.Day + schemas.EventTime(rng.Int64N(int64(schemas.Day)))}
	}
	m := NewMemo(p, 13*Week, .7)
	b.Run("memo", func(b *testing.B) {
		b.ReportAllocs()
		for i := 0; b.Loop(); i++ {
			a := &asks[i&(1<<16-1)]
			m.DueTime(a.x, a.tx, a.t0)
		}
	})
	b.Run("solved", func(b *testing.B) {
		b.ReportAllocs()
		for i := 0; b.Loop(); i++ {
			a := &asks[i&(1<<16-1)]
			DueTime(p, a.x, a.tx, a.t0, 13*Week, .7)
		}
	})
}

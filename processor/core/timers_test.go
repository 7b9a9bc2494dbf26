package core

import (
	"fmt"
	"math"
	"testing"

	"pgregory.net/rapid"

	"tidemark/schemas"
)

// TestTimersInOrder holds the timers in memory, read from the store in chunks
// of two while batches are on their way, against a plain map.
func TestTimersInOrder(t *testing.T) {
	pb := rules(t, "live", "")
	rapid.Check(t, func(rt *rapid.T) {
		w := bed(t, pb, Config{CacheBytes: 0})
		defer w.close()
		w.small = true
		if err := w.commitAll(); err != nil {
			rt.Fatal(err)
		}
		if err := w.fresh(); err != nil {
			rt.Fatal(err)
		}
		c := w.core
		model := map[string]schemas.EventTime{}
		var ready []*Ready
		set := func(id string, due schemas.EventTime) {
			e, err := c.customer(id)
			if err != nil {
				rt.Fatal(err)
			}
			c.touch(e)
			e.Wake, e.Latest = due, 1
			if delete(model, id); due != 0 {
				model[id] = due
				c.timers.add(due, id)
			}
		}
		next := func() (timer, bool) {
			for {
				n, ok, err := c.nextTimer(math.MaxInt64)
				if err != nil {
					rt.Fatal(err)
				}
				if !ok {
					return n, false
				}
				e, err := c.customer(n.id)
				if err != nil {
					rt.Fatal(err)
				}
				if e.Wake == n.due {
					return n, true
				}
			}
		}
		rt.Repeat(map[string]func(*rapid.T){
			"arm": func(rt *rapid.T) {
				set(fmt.Sprintf("c%d", rapid.IntRange(0, 9).Draw(rt, "customer")), schemas.EventTime(rapid.IntRange(1, 12).Draw(rt, "due")))
			},
			"fire": func(rt *rapid.T) {
				got, ok := next()
				var want timer
				for id, due := range model {
					if n := (timer{due, id}); want.id == "" || n.less(want) {
						want = n
					}
				}
				if ok != (want.id != "") || ok && got != want {
					rt.Fatalf("next is %v %v, want %v", got, ok, want)
				}
				if ok {
					set(got.id, schemas.EventTime(rapid.SampledFrom([]int{0, 0, 20, 21}).Draw(rt, "again")))
				}
			},
			"ready": func(*rapid.T) {
				c.items = append(c.items, schemas.JournalItem{Kind: schemas.SweepItem})
				ready = append(ready, c.Ready())
			},
			"apply": func(rt *rapid.T) {
				if len(ready) == 0 {
					rt.Skip()
				}
				if err := w.apply(ready[0]); err != nil {
					rt.Fatal(err)
				}
				ready = ready[1:]
			},
		})
	})
}

package core

import (
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strconv"

	"github.com/cespare/xxhash/v2"

	"tidemark/playbook"
	"tidemark/processor/history"
	"tidemark/processor/rfm"
	"tidemark/schemas"
	"tidemark/state"
)

// Cut points over all customers are made once a period. At a period's end T, by
// its own clock, each task sends its histograms to the task that owns the
// rule's name; when the last has come that one merges them in task order and
// publishes a version to the control topic, which every task takes as an
// input. It holds from T + delay, or from when it is taken if that is later;
// in a history every task waits at T + delay until it has come.

// cutsState is the schedule and the versions of one rule.
type cutsState struct {
	Rule     string              `json:"rule"`
	Next     schemas.EventTime   `json:"next"`              // the next period's end; 0: none
	Awaited  []schemas.EventTime `json:"awaited,omitempty"` // ends whose version has not come
	Versions []cutsVersion       `json:"versions,omitempty"`
	Coming   []cutsVersion       `json:"coming,omitempty"` // taken, not yet in force
}

// cutsVersion is one set of cut points.
type cutsVersion struct {
	Version int64             `json:"version"`
	End     schemas.EventTime `json:"end"`  // the period's end that it was made at
	From    schemas.EventTime `json:"from"` // in force from here
	rfm.Cuts
	Customers int64 `json:"customers"`
}

// keepCuts is how many versions are kept, so that the past can be scored again.
const keepCuts = 64

const (
	transferPartial = "partial"
	sweepCuts       = "cuts"
	sweepPlaybook   = "playbook"
)

// sweepState is a walk over all customers under way.
type sweepState struct {
	Kind   string            `json:"kind"`
	Name   string            `json:"name"`
	Rules  []string          `json:"rules,omitempty"` // of a playbook: those that it changed
	From   schemas.EventTime `json:"from"`
	Cursor string            `json:"cursor"`
	Moved  bool              `json:"moved"` // Cursor was reached; false: it stands before the first
}

// histKey names a histogram; fact 0 is minus the day of the last order, 1 the
// frequency, 2 the monetary value. With days negated, the recency at T is the
// value plus T's day, and a quantile moves along with it.
type histKey struct {
	rule uint32
	fact byte
}

type histogram struct{ *rfm.Histogram }

// scheduleCuts gives each rule with computed cuts its first period.
func (c *Core) scheduleCuts() {
	c.scheduleReports()
	for _, r := range c.rule {
		r, ok := r.(*rfmRule)
		if !ok || r.pb.By == playbook.CutsFixed {
			continue
		}
		r.cuts = nil
		for i := range c.ts.Cuts {
			if c.ts.Cuts[i].Rule == r.pb.Name {
				r.cuts = &c.ts.Cuts[i]
			}
		}
		if r.cuts == nil && c.ts.Genesis {
			c.ts.Cuts = append(c.ts.Cuts, cutsState{Rule: r.pb.Name, Next: c.nextPeriod(r.pb, max(c.ts.Start, c.pos.Clock))})
			c.tsDirty = true
			c.scheduleCuts() // the slice may have moved
			return
		}
		for fact := range byte(3) {
			k := histKey{r.rid, fact}
			if c.hist[k] == nil {
				c.hist[k] = &histogram{rfm.NewHistogram(r.pb.Exact)}
			}
		}
	}
}

func (c *Core) nextPeriod(pb *playbook.RFM, after schemas.EventTime) schemas.EventTime {
	if pb.Refresh.Cycle != "" {
		t, _ := c.zone.Cycle(pb.Refresh.Cycle, after)
		return t
	}
	for _, t := range pb.Refresh.At {
		if t > after {
			return t
		}
	}
	return 0
}

// duty is something that is due for the task as a whole.
type duty struct {
	at   schemas.EventTime
	rule *rfmRule
	kind uint8
	end  schemas.EventTime // dutyBarrier: the period whose cuts are awaited
	n    int               // dutyReport: its place
}

const (
	dutyPartial uint8 = iota
	dutyActivate
	dutyBarrier
	dutyReport
)

// nextDuty returns the first of them.
func (c *Core) nextDuty() (duty, bool) {
	var best duty
	found := false
	take := func(d duty) {
		if !found || d.at < best.at {
			best, found = d, true
		}
	}
	for i := range c.ts.Cuts {
		k := &c.ts.Cuts[i]
		r := c.rfmNamed(k.Rule)
		if r == nil {
			continue
		}
		for _, v := range k.Coming {
			take(duty{at: v.From, rule: r, kind: dutyActivate})
		}
		if c.pb.Clock == playbook.Input {
			for _, end := range k.Awaited {
				take(duty{at: end + r.pb.Delay, rule: r, kind: dutyBarrier, end: end})
			}
		}
		if k.Next != 0 {
			take(duty{at: k.Next, rule: r, kind: dutyPartial})
		}
	}
	for i := range c.ts.Reports {
		if r := &c.ts.Reports[i]; c.experimentNamed(r.Rule) != nil {
			take(duty{at: r.Next, kind: dutyReport, n: i})
		}
	}
	return best, found
}

func (c *Core) rfmNamed(name string) *rfmRule {
	for _, r := range c.rule {
		if r, ok := r.(*rfmRule); ok && r.pb.Name == name && r.cuts != nil {
			return r
		}
	}
	return nil
}

// duty does it.
func (c *Core) duty(d duty) error {
	if d.kind == dutyReport {
		return c.report(d.n)
	}
	k := d.rule.cuts
	c.tsDirty = true
	switch d.kind {
	case dutyPartial:
		body := []byte{}
		for fact := range byte(3) {
			h := c.hist[histKey{d.rule.rid, fact}].AppendBinary(nil)
			body = appendBlob(body, h)
		}
		c.transferTo(owner(k.Rule, c.cfg.Tasks), transferPartial, k.Rule, k.Next, body)
		k.Awaited = append(k.Awaited, k.Next)
		k.Next = c.nextPeriod(d.rule.pb, k.Next)
	case dutyActivate:
		for i := range k.Coming {
			if k.Coming[i].From == d.at {
				c.activate(d.rule, k.Coming[i])
				k.Coming = append(k.Coming[:i], k.Coming[i+1:]...)
				break
			}
		}
	}
	return nil
}

// activate puts a version in force and begins to move every customer to it.
func (c *Core) activate(r *rfmRule, v cutsVersion) {
	r.cuts.Versions = append(r.cuts.Versions, v)
	if n := len(r.cuts.Versions) - keepCuts; n > 0 {
		r.cuts.Versions = append(r.cuts.Versions[:0], r.cuts.Versions[n:]...)
	}
	c.beginSweep(sweepState{Kind: sweepCuts, Name: r.pb.Name, From: v.From})
}

// takeCuts takes a version from the control topic.
func (c *Core) takeCuts(rec *schemas.Control) error {
	var v cutsVersion
	if err := json.Unmarshal(rec.Body, &v); err != nil {
		return fmt.Errorf("core: cuts in the control topic: %w", err)
	}
	for i := range c.ts.Cuts {
		k := &c.ts.Cuts[i]
		if k.Rule != rec.Name {
			continue
		}
		c.tsDirty = true
		kept := k.Awaited[:0]
		for _, end := range k.Awaited {
			if end != v.End {
				kept = append(kept, end)
			}
		}
		k.Awaited = kept
		known := func(o cutsVersion) bool { return o.Version >= v.Version }
		if slices.ContainsFunc(k.Versions, known) || slices.ContainsFunc(k.Coming, known) || v.Customers == 0 {
			return nil // a repeat, or nobody to cut
		}
		v.From = max(rec.EffectiveAt, c.pos.Clock)
		k.Coming = append(k.Coming, v)
	}
	return nil
}

// takePartial takes one task's histograms; the last one makes the version.
func (c *Core) takePartial(t *schemas.Transfer) error {
	key := func(task, chunk int32) []byte {
		return state.MetaKey(nil, fmt.Sprintf("partial/%s/%d/%d/%d", t.Name, t.At, task, chunk))
	}
	// What was set aside is found by its first byte: 1, so that an empty body is not none.
	c.spill(key(t.FromTask, t.Chunk), append([]byte{1, byte(t.Chunks)}, t.Body...))
	merged := [3]*rfm.Histogram{}
	var used [][]byte
	for task := range c.cfg.Tasks {
		var body []byte
		for chunk, chunks := int32(0), int32(1); chunk < chunks; chunk++ {
			v, err := c.spilledGet(key(task, chunk))
			if err != nil {
				return err
			}
			if len(v) < 2 {
				return nil // not all have come
			}
			chunks = int32(v[1])
			body = append(body, v[2:]...)
			used = append(used, key(task, chunk))
		}
		for fact := range merged {
			var blob []byte
			blob, body = cutBlob(body)
			h, err := rfm.Decode(blob)
			if err != nil {
				return fmt.Errorf("core: partial of task %d: %w", task, err)
			}
			if merged[fact] == nil {
				merged[fact] = h
			} else if err := merged[fact].Merge(h); err != nil {
				return fmt.Errorf("core: partial of task %d: %w", task, err)
			}
		}
	}
	for _, k := range used {
		c.ops = append(c.ops, state.Op{Kind: state.Delete, Key: k})
		c.spilled[string(k)] = spilledValue{value: []byte{}}
	}
	// A rule that is no longer in force here still gets its version, an empty
	// one: other tasks may wait for it.
	v, delay := cutsVersion{Version: int64(t.At), End: t.At}, schemas.EventTime(0)
	if r := c.rfmNamed(t.Name); r != nil {
		var err error
		if v, err = c.makeCuts(r, merged, t.At); err != nil {
			return err
		}
		delay = r.pb.Delay
	}
	body, err := json.Marshal(v)
	if err != nil {
		return err
	}
	c.controls = append(c.controls, &schemas.Control{ControlID: fmt.Sprintf("cuts-%s-%d", t.Name, t.At), Kind: ControlCuts, Name: t.Name,
		Version: v.Version, EffectiveAt: t.At + delay, Body: body, IssuedBy: fmt.Sprintf("task %d", c.cfg.Task), IssuedAt: t.At})
	return nil
}

func (c *Core) makeCuts(r *rfmRule, h [3]*rfm.Histogram, end schemas.EventTime) (cutsVersion, error) {
	v := cutsVersion{Version: int64(end), End: end, Customers: h[1].Count()}
	if v.Customers == 0 {
		return v, nil
	}
	// Recency as of the end of the period, in whole local days: as it is scored
	// from then on.
	shift := [3]int64{c.zone.Day(end), 0, 0}
	var cuts [3][]int64
	for i := range h {
		var err error
		switch r.pb.By {
		case playbook.CutsQuantile:
			var q []rfm.Fraction
			for _, p := range r.pb.At {
				q = append(q, rfm.Fraction{Num: int64(math.Round(p * 1e6)), Den: 1e6})
			}
			cuts[i], err = h[i].QuantileCuts(q, r.pb.Plus+shift[i])
		case playbook.CutsThirds:
			cuts[i], err = h[i].QuantileCuts([]rfm.Fraction{{Num: 1, Den: 3}, {Num: 2, Den: 3}}, shift[i])
		case playbook.CutsMean:
			var m int64
			m, err = h[i].MeanCut()
			cuts[i] = []int64{m + shift[i]}
		case playbook.CutsMedian:
			var m int64
			m, err = h[i].MedianCut()
			cuts[i] = []int64{m + shift[i]}
		}
		if err != nil {
			return v, fmt.Errorf("core: cuts of %s: %w", r.pb.Name, err)
		}
	}
	v.R, v.F, v.M = cuts[0], cuts[1], cuts[2]
	return v, nil
}

// owner is the task that merges what concerns all under a name.
func owner(name string, tasks int32) int32 { return int32(xxhash.Sum64String(name) % uint64(tasks)) }

// cutsAfter is the first instant after at from which a rule's cuts are others.
func (c *Core) cutsAfter(r rule, at schemas.EventTime) schemas.EventTime {
	k, ok := r.(*rfmRule)
	if !ok || k.cuts == nil {
		return 0
	}
	for i := range k.cuts.Versions {
		if f := k.cuts.Versions[i].From; f > at {
			return f
		}
	}
	return 0
}

// count keeps the histograms in step with a customer's values.
func (c *Core) count(e *entry, v history.View, r rule, at schemas.EventTime) {
	k, ok := r.(*rfmRule)
	if !ok || k.pb.By == playbook.CutsFixed {
		return
	}
	st := e.Rule(k.rid)
	var vals [3]int64
	x, counted := k.values(v, at)
	if counted {
		vals = [3]int64{-v.Zone.Day(x.last), x.frequency, x.monetary}
	}
	if counted == st.Counted && vals == st.Vals {
		return
	}
	for fact := range byte(3) {
		h := c.hist[histKey{k.rid, fact}]
		if h == nil {
			return
		}
		if st.Counted {
			if err := h.Remove(st.Vals[fact]); err != nil && c.fault == nil {
				c.fault = fmt.Errorf("%w: histogram of %s: %w", ErrInvariant, k.pb.Name, err)
			}
		}
		if counted {
			if err := h.Add(vals[fact]); err != nil && c.fault == nil {
				c.fault = fmt.Errorf("%w: histogram of %s: %w", ErrInvariant, k.pb.Name, err)
			}
		}
	}
	st.Counted, st.Vals = counted, vals
}

func appendBlob(dst, b []byte) []byte {
	dst = append(dst, byte(len(b)>>24), byte(len(b)>>16), byte(len(b)>>8), byte(len(b)))
	return append(dst, b...)
}

func cutBlob(b []byte) (blob, rest []byte) {
	if len(b) < 4 {
		return nil, nil
	}
	n := int(b[0])<<24 | int(b[1])<<16 | int(b[2])<<8 | int(b[3])
	if n > len(b)-4 {
		return nil, nil
	}
	return b[4 : 4+n], b[4+n:]
}

func (c *Core) headerKey(k histKey) []byte {
	return state.MetaKey(nil, fmt.Sprintf("histogram/%d/%d", k.rule, k.fact))
}

// saveHistograms writes the buckets that changed.
func (c *Core) saveHistograms(b *state.Batch) {
	// Of all rules ever named: one that a playbook left out may come back.
	for i := range c.ts.Names {
		for fact := range byte(3) {
			k := histKey{uint32(i + 1), fact}
			h := c.hist[k]
			if h == nil {
				continue
			}
			n := 0
			h.EachChanged(func(value, count int64) {
				n++
				key := state.HistogramKey(c.work.key[:0], k.rule, fact, value)
				c.work.key = key
				if count == 0 {
					b.Delete(key)
				} else {
					b.Set(key, strconv.AppendInt(nil, count, 10))
				}
			})
			if n > 0 {
				b.Set(c.headerKey(k), h.AppendHeader(nil))
				h.ClearChanged()
			}
		}
	}
}

// loadHistograms reads them back and binds the rules to their schedules.
func (c *Core) loadHistograms() error {
	if c.pb == nil {
		return nil
	}
	loaders := map[histKey]*rfm.Loader{}
	for i := range c.ts.Names {
		for fact := range byte(3) {
			k := histKey{uint32(i + 1), fact}
			v, err := c.rd.Get(c.headerKey(k))
			if err != nil {
				return err
			}
			if v == nil {
				continue
			}
			if loaders[k], err = rfm.NewLoader(v); err != nil {
				return fmt.Errorf("core: histogram: %w", err)
			}
		}
	}
	err := c.rd.EachHistogram(func(key, value []byte) error {
		rule, fact, bucket, ok := state.ParseHistogramKey(key)
		l := loaders[histKey{rule, fact}]
		if !ok || l == nil {
			return nil // of a rule that is gone
		}
		n, err := strconv.ParseInt(string(value), 10, 64)
		if err != nil {
			return err
		}
		return l.Load(bucket, n)
	})
	if err != nil {
		return fmt.Errorf("core: histogram: %w", err)
	}
	for i := range c.ts.Names {
		for fact := range byte(3) {
			k := histKey{uint32(i + 1), fact}
			if loaders[k] == nil {
				continue
			}
			h, err := loaders[k].Done()
			if err != nil {
				return fmt.Errorf("core: histogram: %w", err)
			}
			c.hist[k] = &histogram{h}
		}
	}
	c.scheduleCuts()
	return nil
}

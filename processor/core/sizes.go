package core

import (
	"fmt"

	"tidemark/processor/rfm"
)

// PhaseSize says how many customers of the task stand in a phase of a rule of
// phases: in a segment, with a tag, in a stage. Those who stand where everybody
// begins are not counted.
type PhaseSize struct {
	Block, Rule, Phase string
	Customers          int64
}

// sized keeps the counts, which stand beside the histograms of RFM in the store.
func (c *Core) sized(r rule, was, now int32) {
	k, ok := r.(*phaseRule)
	if !ok || was == now {
		return
	}
	key := histKey{k.rid, 0}
	h := c.hist[key]
	if h == nil {
		h = &histogram{rfm.NewHistogram(maxPhases)}
		c.hist[key] = h
	}
	if was != 0 {
		if err := h.Remove(int64(was)); err != nil && c.fault == nil {
			c.fault = fmt.Errorf("%w: size of %s: %w", ErrInvariant, k.pb.Name, err)
		}
	}
	if now != 0 {
		if err := h.Add(int64(now)); err != nil && c.fault == nil {
			c.fault = fmt.Errorf("%w: size of %s: %w", ErrInvariant, k.pb.Name, err)
		}
	}
	if c.resized == nil {
		c.resized = map[int]bool{}
	}
	c.resized[k.n] = true
}

// maxPhases keeps the counts exact: no rule has so many phases.
const maxPhases = 1 << 16

// Sizes lists the sizes of all phases of all rules of phases, in the order of the playbook.
func (c *Core) Sizes() []PhaseSize {
	if c.group == nil {
		return nil
	}
	var out []PhaseSize
	for _, r := range c.group.rules {
		out = c.sizes(out, r)
	}
	return out
}

func (c *Core) sizes(out []PhaseSize, r *phaseRule) []PhaseSize {
	at := len(out)
	for p := 1; p < len(r.pb.Names); p++ {
		out = append(out, PhaseSize{Block: r.pb.Block, Rule: r.pb.Name, Phase: r.pb.Names[p]})
	}
	if h := c.hist[histKey{r.rid, 0}]; h != nil {
		h.Each(func(value, count int64) {
			if i := at + int(value) - 1; i < len(out) {
				out[i].Customers = count
			}
		})
	}
	return out
}

// changedSizes are the sizes that changed since the last call.
func (c *Core) changedSizes() []PhaseSize {
	if len(c.resized) == 0 || c.group == nil {
		return nil
	}
	var out []PhaseSize
	for _, r := range c.group.rules {
		if c.resized[r.n] {
			out = c.sizes(out, r)
		}
	}
	clear(c.resized)
	return out
}

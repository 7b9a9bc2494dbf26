package core

import (
	"encoding/json"
	"fmt"

	"tidemark/playbook"
	"tidemark/processor/ledger"
	"tidemark/schemas"
	"tidemark/state"
)

// A pool (a budget or a stock) is shared by all tasks, and never is more given out
// than its total. At a cycle's begin every task has a share of half the total, by
// its own reckoning; the task that owns the ledger's name keeps the rest, and hands
// it out to who asks. What it hands out leaves its reserve in the transaction that
// carries the message, so at every commit
//
//	reserve + what the tasks have and gave out + what is on its way = total.
//
// Whoever finds a share empty waits for the answer, with what it wants still
// open. With clock: input there are no messages, for when one arrives would
// decide: the shares are the whole total.
type poolState struct {
	Name    string            `json:"name"`
	Cycle   schemas.EventTime `json:"cycle"`
	Left    int64             `json:"left"`
	Spent   int64             `json:"spent"`
	Asked   bool              `json:"asked,omitempty"`
	Dry     bool              `json:"dry,omitempty"` // the reserve is empty
	Waiting []string          `json:"waiting,omitempty"`
	Reserve []reserveState    `json:"reserve,omitempty"` // of the owner, by cycle
}

type reserveState struct {
	Cycle schemas.EventTime `json:"cycle"`
	Left  int64             `json:"left"`
}

// poolMessage asks for a part of the reserve, or answers.
type poolMessage struct {
	Cycle schemas.EventTime `json:"cycle"`
	Ask   int64             `json:"ask,omitempty"`
	Give  int64             `json:"give,omitempty"`
	Dry   bool              `json:"dry,omitempty"`
}

const (
	transferPool = "budget"
	keepReserves = 4
	// poolWaits bounds the customers that wait for an answer at once; who comes
	// after them is told that there is nothing.
	poolWaits = 4096
)

// share is what a task has at a cycle's begin, and what is left for the reserve.
func (c *Core) share(total int64) (mine, reserve int64) {
	n := int64(c.cfg.Tasks)
	if n == 1 || c.pb.Clock == playbook.Input {
		mine = total / n
		if int64(c.cfg.Task) < total%n {
			mine++
		}
		return mine, 0
	}
	mine = total / 2 / n
	return mine, total - mine*n
}

func (c *Core) poolNamed(name string) *poolState {
	for i := range c.ts.Pools {
		if c.ts.Pools[i].Name == name {
			return &c.ts.Pools[i]
		}
	}
	c.ts.Pools = append(c.ts.Pools, poolState{Name: name, Cycle: -1})
	return &c.ts.Pools[len(c.ts.Pools)-1]
}

// pool is the task's part of a ledger's pool in the cycle that an instant lies in,
// or in a later one that the task has begun.
func (c *Core) pool(k *bookRule, at schemas.EventTime) *poolState {
	p := c.poolNamed(k.pb.Name)
	if start := c.poolCycle(k, at); start > p.Cycle {
		p.Cycle, p.Spent, p.Asked, p.Dry = start, 0, false, false
		p.Left, _ = c.share(k.pb.Pool.Total)
		c.tsDirty = true
	}
	return p
}

func (c *Core) poolCycle(k *bookRule, at schemas.EventTime) schemas.EventTime {
	if k.pb.Pool.Cycle == "" {
		return 0
	}
	start, _ := c.zone.CycleStart(k.pb.Pool.Cycle, at)
	return start
}

// pay pays for what an account wants, as far as the pool reaches. What waits for an
// answer stays open.
func (c *Core) pay(e *entry, k *bookRule, a *state.Account, wants []ledger.Want, cause string) {
	p := c.pool(k, c.reached(e))
	c.tsDirty = true
	for _, w := range wants {
		if p.Left < w.Units && !p.Dry && c.cfg.Tasks > 1 && c.pb.Clock == playbook.Live && len(p.Waiting) < poolWaits {
			if !p.Asked {
				p.Asked = true
				c.poolSend(owner(p.Name, c.cfg.Tasks), p.Name, poolMessage{Cycle: p.Cycle, Ask: w.Units - p.Left})
			}
			if k := len(p.Waiting); k == 0 || p.Waiting[k-1] != e.ID {
				p.Waiting = append(p.Waiting, e.ID)
			}
			continue
		}
		n := min(p.Left, w.Units)
		p.Left -= n
		p.Spent += n
		post := state.Post{Kind: ledger.PostFunded, At: w.At, Key: w.Key, Units: n}
		if n == 0 {
			post.Units = -1
		}
		a.Post(post)
		if n < w.Units {
			c.unpaid(e, k, w, w.Units-n, cause)
		}
	}
}

// unpaid tells what was not given for want of a budget or stock.
func (c *Core) unpaid(e *entry, k *bookRule, w ledger.Want, missing int64, cause string) {
	if c.quiet {
		return
	}
	kind := ledger.Earned
	if k.pb.Benefit {
		kind = ledger.Granted
	}
	t := c.moveTrigger(k, &ledger.Move{Kind: kind, At: w.At, Key: w.Key, Units: missing})
	t.Balance, t.Evidence = nil, []schemas.Evidence{compared("pool_left", 0, "<", missing)}
	st := e.Rule(k.rid)
	st.Episode++
	f := state.Firing{Episode: st.Episode, At: w.At}
	c.head(e, k.pb.Name, &f, schemas.Fired, cause, t)
	c.suppress(e.ID, t, SuppressedBudget, fmt.Sprintf("%d are missing", missing), "")
}

// payBack gives back to the pool what was paid for and never counted, in the same cycle.
func (c *Core) payBack(e *entry, k *bookRule, a *state.Account, backs []ledger.Back) {
	for _, b := range backs {
		before := int64(0)
		for i := range a.Posts {
			if q := &a.Posts[i]; q.Kind == ledger.PostBack && q.Key == b.Key {
				before = q.Units
			}
		}
		if b.Units <= before {
			continue
		}
		a.Post(state.Post{Kind: ledger.PostBack, At: b.At, Key: b.Key, Units: b.Units})
		p := c.pool(k, c.reached(e))
		if n := min(b.Units-before, p.Spent); c.poolCycle(k, b.At) == p.Cycle {
			p.Left += n
			p.Spent -= n
			c.tsDirty = true
		}
	}
}

func (c *Core) poolSend(to int32, name string, m poolMessage) {
	body, err := json.Marshal(m)
	if err != nil {
		panic("core: pool message: " + err.Error()) // plain fields always encode
	}
	c.transferTo(to, transferPool, name, max(m.Cycle, 0), body)
}

// takePool takes what another task asks for or answers.
func (c *Core) takePool(r *schemas.Transfer) error {
	var m poolMessage
	if err := json.Unmarshal(r.Body, &m); err != nil {
		return fmt.Errorf("core: a message about a pool: %w", err)
	}
	c.tsDirty = true
	k := c.ledgerNamed(r.Name)
	if m.Ask > 0 {
		answer := poolMessage{Cycle: m.Cycle, Dry: true}
		if k != nil {
			answer.Give, answer.Dry = c.handOut(c.poolNamed(r.Name), k.pb.Pool.Total, m)
		}
		c.poolSend(r.FromTask, r.Name, answer)
		return nil
	}
	p := c.poolNamed(r.Name)
	if p.Cycle == m.Cycle {
		p.Left += m.Give
		p.Asked, p.Dry = false, m.Dry
	}
	waiting := p.Waiting
	p.Waiting = nil
	if k == nil {
		return nil
	}
	for _, id := range waiting {
		e, err := c.customer(id)
		if err != nil {
			return err
		}
		if !e.known {
			continue // erased since
		}
		c.touch(e)
		c.ensure(e)
		c.reconcile(e, c.view(e), k, "")
		c.arm(e)
	}
	c.denied = c.denied[:0]
	return nil
}

// handOut takes a part out of the reserve of a cycle.
func (c *Core) handOut(p *poolState, total int64, m poolMessage) (give int64, dry bool) {
	at := -1
	for i := range p.Reserve {
		if p.Reserve[i].Cycle == m.Cycle {
			at = i
		}
	}
	if at < 0 {
		for _, r := range p.Reserve {
			if r.Cycle > m.Cycle && len(p.Reserve) == keepReserves {
				return 0, true // long over
			}
		}
		_, rest := c.share(total)
		p.Reserve = append(p.Reserve, reserveState{Cycle: m.Cycle, Left: rest})
		at = len(p.Reserve) - 1
		if len(p.Reserve) > keepReserves {
			first := 0
			for i := range p.Reserve {
				if p.Reserve[i].Cycle < p.Reserve[first].Cycle {
					first = i
				}
			}
			p.Reserve = append(p.Reserve[:first], p.Reserve[first+1:]...)
			at = len(p.Reserve) - 1
		}
	}
	r := &p.Reserve[at]
	give = min(r.Left, max(m.Ask, total/int64(4*c.cfg.Tasks)))
	r.Left -= give
	return give, r.Left == 0
}

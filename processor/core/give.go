package core

import (
	"encoding/json"
	"fmt"

	"tidemark/playbook"
	"tidemark/processor/history"
	"tidemark/processor/ledger"
	"tidemark/schemas"
	"tidemark/state"
)

// Points that a customer gives another are taken from her when the event is, and
// credited when the message about them comes to the task of the other: at every
// commit
//
//	what all customers sent = what they received + the named accounts + what is on its way.
//
// A transfer is decided once, by what is known then, and never undone: it stands
// after all that is known of the sender, so that it changes nothing that was
// decided before.

// namedState is what a ledger's fees brought to an account that is no customer's.
type namedState struct {
	Ledger string `json:"ledger"`
	Name   string `json:"name"`
	Units  int64  `json:"units"`
}

// NamedSum is what stands on a named account of a ledger, on this task.
type NamedSum struct {
	Ledger, Name string
	Units        int64
}

const transferPoints = "points"

// undelivered is the named account of what came for a ledger that is no more.
const undelivered = "undelivered"

// pointsMessage is the body of a message about points.
type pointsMessage struct {
	Key   uint64       `json:"key"`
	Parts []pointsPart `json:"parts"`
}

// pointsPart keeps the end of what was given: it gets no younger on its way.
type pointsPart struct {
	Expires schemas.EventTime `json:"expires"`
	Units   int64             `json:"units"`
}

// Named lists the named accounts of the task's ledgers.
func (c *Core) Named() []NamedSum {
	var out []NamedSum
	for _, n := range c.ts.Named {
		out = append(out, NamedSum(n))
	}
	return out
}

func (c *Core) credit(ledger, name string, units int64) {
	c.tsDirty, c.rebooked = true, true
	for i := range c.ts.Named {
		if n := &c.ts.Named[i]; n.Ledger == ledger && n.Name == name {
			n.Units += units
			return
		}
	}
	c.ts.Named = append(c.ts.Named, namedState{Ledger: ledger, Name: name, Units: units})
}

// taskOf is the task of a customer.
func (c *Core) taskOf(id string) int32 {
	if c.cfg.Tasks <= 1 {
		return 0
	}
	return c.cfg.Partition([]byte(id), c.cfg.Tasks)
}

// sendPoints takes points from a customer for another.
func (c *Core) sendPoints(r *Record, e *entry, ev *schemas.Event, hash uint64) {
	name, _ := ev.Attribute("ledger")
	k := c.ledgerNamed(name)
	if k == nil || k.pb.Benefit {
		return // of a ledger that others keep
	}
	var m state.Mark
	points(ev, &m)
	to, _ := ev.Attribute("to")
	refuse := func(reason, format string, args ...any) {
		c.deadLetter(r, &Dead{StepApply, reason, fmt.Sprintf(format, args...)})
	}
	if k.pb.Transfer == nil {
		refuse(ReasonNoTransfer, "the ledger %s has no transfers between customers", quoted(name))
		return
	}
	if c.cfg.Tasks > 1 && c.cfg.Partition == nil {
		refuse(ReasonNoTransfer, "this program does not know the partitioner, and so not the task of %s", quoted(to))
		return
	}
	c.ensure(e)
	a := e.EnsureAccount(k.rid)
	now := max(c.reached(e), a.AsOf+1)
	v := c.view(e)
	given, _ := c.givenTo(v, k, a, now)
	s := k.book.At(v, a, given, now)
	if s.Balance() < m.Value {
		refuse(ReasonOverdrawn, "%s of %d is more than the account %s holds", ev.Type, m.Value, quoted(name))
		return
	}
	if most := k.pb.Transfer.CapDay; most > 0 {
		sum := m.Value
		for i := range a.Posts {
			if p := &a.Posts[i]; p.Kind == ledger.PostSent && c.zone.Day(p.At) == c.zone.Day(now) {
				sum += p.Units
			}
		}
		if sum > most {
			refuse(ReasonNoTransfer, "with this she would have sent %d of %s in a day; %d are allowed", sum, quoted(name), most)
			return
		}
	}
	a.Post(state.Post{Kind: ledger.PostSent, At: now, Key: hash, Units: m.Value})
	left := m.Value
	for _, f := range k.pb.Transfer.Fees {
		fee := history.Portion(m.Value, f.PPM, 1_000_000)
		c.credit(name, f.To, fee)
		left -= fee
	}
	if left > 0 {
		msg := pointsMessage{Key: hash}
		fees := m.Value - left
		for _, l := range s.Lots { // in the order in which they are used
			if l.Available == 0 || l.Available > now || l.Claim != 0 {
				continue
			}
			n := l.Units
			skip := min(n, fees) // what ends first pays the fees
			fees -= skip
			if n = min(n-skip, left); n > 0 {
				left -= n
				if k := len(msg.Parts) - 1; k >= 0 && msg.Parts[k].Expires == l.Expires {
					msg.Parts[k].Units += n
					continue
				}
				msg.Parts = append(msg.Parts, pointsPart{Expires: l.Expires, Units: n})
			}
		}
		body, err := json.Marshal(msg)
		if err != nil {
			panic("core: points: " + err.Error()) // plain fields always encode
		}
		c.transferTo(c.taskOf(to), transferPoints, name, now, body)
		c.moves[len(c.moves)-1].CustomerID = to
	}
	c.reconcile(e, v, k, ev.EventID)
	c.arm(e)
}

// takePoints credits what another customer sent.
func (c *Core) takePoints(r *schemas.Transfer) error {
	var m pointsMessage
	if err := json.Unmarshal(r.Body, &m); err != nil {
		return fmt.Errorf("core: a message about points: %w", err)
	}
	k := c.ledgerNamed(r.Name)
	if k == nil {
		for _, p := range m.Parts {
			c.credit(r.Name, undelivered, p.Units)
		}
		return nil
	}
	e, err := c.customer(r.CustomerID)
	if err != nil {
		return err
	}
	if e.alias != "" {
		c.passOn(e, r)
		return nil
	}
	c.touch(e)
	if len(c.ts.Sweeps) > 0 {
		c.ahead(e)
	}
	c.ensure(e)
	a := e.EnsureAccount(k.rid)
	for i, p := range m.Parts {
		a.Post(state.Post{Kind: ledger.PostReceived, At: max(r.At, a.AsOf+1), Key: mix(m.Key, uint64(i)), Expires: p.Expires, Units: p.Units})
	}
	c.reconcile(e, c.view(e), k, "")
	c.denied = c.denied[:0]
	c.arm(e)
	return nil
}

// badTransfer judges a transfer by itself.
func (c *Core) badTransfer(e *schemas.Event) string {
	to, _ := e.Attribute("to")
	if to == "" || len(to) > maxID || to == e.CustomerID {
		return "the attribute to must name another customer in 1 to 1024 bytes"
	}
	for i := range len(to) {
		if to[i] == 0 {
			return "the attribute to must have no NUL"
		}
	}
	return ""
}

// pointsTransferred is the type of the event by which a customer gives points away.
const pointsTransferred = playbook.PointsTransferred

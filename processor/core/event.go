package core

import (
	"fmt"
	"strings"

	"tidemark/schemas"
	"tidemark/state"
)

// maxID bounds the ids that are kept or published.
const maxID = 1024

// maxAmount bounds one amount, so that sums of a customer's life can't overflow.
const maxAmount = 1 << 50

// validate judges an event by itself, the clock and the wall of its fetch.
func (c *Core) validate(e *schemas.Event) *Dead {
	bad := func(reason, format string, args ...any) *Dead {
		return &Dead{StepValidate, reason, fmt.Sprintf(format, args...)}
	}
	switch {
	case e.CustomerID == "" || len(e.CustomerID) > maxID || strings.IndexByte(e.CustomerID, 0) >= 0:
		return bad(ReasonBadCustomer, "customer_id must have 1 to %d bytes and no NUL", maxID)
	case e.EventID == "" || len(e.EventID) > maxID:
		return bad(ReasonBadEvent, "event_id must have 1 to %d bytes", maxID)
	case e.OccurredAt < 0:
		return bad(ReasonBefore1970, "occurred_at %d is before 1970", e.OccurredAt)
	case e.OccurredAt > c.wall+c.pb.Future:
		return bad(ReasonFuture, "occurred_at %d lies %d ms after its fetch at %d; %d ms are allowed", e.OccurredAt, e.OccurredAt-c.wall, c.wall, c.pb.Future)
	case e.OccurredAt < c.pos.Clock-c.pb.Horizon && c.pos.Clock >= c.ts.FireFrom:
		return bad(ReasonTooLate, "occurred_at %d is older than the horizon of %d ms before the clock %d", e.OccurredAt, c.pb.Horizon, c.pos.Clock)
	}
	if e.Kind == schemas.Behavior {
		if e.Type == "" || len(e.Type) > maxID {
			return bad(ReasonUnknownType, "type must have 1 to %d bytes", maxID)
		}
		return nil
	}
	switch {
	case e.OrderID == "" || len(e.OrderID) > maxID:
		return bad(ReasonBadOrder, "order_id must have 1 to %d bytes", maxID)
	case e.Order == schemas.OrderUnknown:
		return bad(ReasonUnknownType, "the order event has no known type")
	case e.AmountMinor < 0:
		return bad(ReasonNegativeAmount, "amount_minor is %d", e.AmountMinor)
	case e.AmountMinor > maxAmount:
		return bad(ReasonOverflow, "amount_minor %d is over %d", e.AmountMinor, int64(maxAmount))
	}
	for i := range e.Items {
		if a := e.Items[i].AmountMinor; a > maxAmount || a < -maxAmount {
			return bad(ReasonOverflow, "amount_minor of item %q is %d", e.Items[i].SKU, a)
		}
	}
	if e.Currency != c.pb.Currency {
		if _, ok := c.convert(e.AmountMinor, e.Currency, e.OccurredAt); !ok && e.Order != schemas.Cancelled {
			return bad(ReasonNoRate, "the playbook counts in %s and has no rate for %q at %d", c.pb.Currency, e.Currency, e.OccurredAt)
		}
	}
	return nil
}

func (c *Core) convert(amount int64, currency string, at schemas.EventTime) (int64, bool) {
	if currency == c.pb.Currency {
		return amount, true
	}
	if c.pb.Rates == nil {
		return 0, false
	}
	return c.pb.Rates.Convert(amount, currency, at)
}

// event applies one valid event.
func (c *Core) event(r *Record, ev *schemas.Event) error {
	e, err := c.customer(ev.CustomerID)
	if err != nil {
		return err
	}
	hash, day := c.hash('e', ev.EventID), state.UTCDay(ev.OccurredAt)
	if seen, err := c.seen(e, hash, day); err != nil {
		return err
	} else if seen {
		c.stats.Repeats++
		return nil
	}
	c.stats.Events++
	c.touch(e)
	if len(c.ts.Sweeps) > 0 {
		c.ahead(e)
	}
	// The customer's own time reaches the event before the event does.
	for e.Wake != 0 && e.Wake < ev.OccurredAt {
		if err := c.wake(e, e.Wake); err != nil {
			return err
		}
	}
	ch := change{at: ev.OccurredAt, cause: ev.EventID, prior: e.Latest, tc: -1}
	if ev.Kind == schemas.Order {
		if err := c.order(r, e, ev, hash, day, &ch); err != nil {
			return err
		}
	} else {
		e.AddSeen(hash, day)
	}
	e.Latest = max(e.Latest, ev.OccurredAt)
	if ch.tc >= 0 {
		c.settle(e, &ch)
	}
	return c.fold(e)
}

// change is one change of a customer's facts.
type change struct {
	tc        schemas.EventTime // the instant from which the facts differ; -1: they do not
	at        schemas.EventTime // occurred_at of the cause
	prior     schemas.EventTime // the customer's latest event before
	cause     string            // event_id; "" when time alone caused it
	unmatched bool              // by a refund that met no order
}

func (c *Core) order(r *Record, e *entry, ev *schemas.Event, hash uint64, day int32, ch *change) error {
	id := c.hash('o', ev.OrderID)
	o, err := c.findOrder(e, id)
	if err != nil {
		return err
	}
	counts := ev.Order == schemas.Paid && !c.pb.CountsAtPlaced || ev.Order == schemas.Placed && c.pb.CountsAtPlaced
	switch {
	case counts && (o == nil || o.Paid == 0 && o.Refunded > 0):
		var was int64
		if o != nil { // an unmatched refund stood in for it
			was = o.Refunded
			e.AddSeen(o.Event, state.UTCDay(o.At))
			e.RemoveOrder(id)
		}
		n := state.Order{ID: id, Event: hash, At: ev.OccurredAt, Paid: ev.AmountMinor, Refunded: min(was, ev.AmountMinor), Omitted: c.omitted(ev)}
		if ev.Currency != c.pb.Currency {
			n.Base, _ = c.convert(ev.AmountMinor, ev.Currency, ev.OccurredAt)
		}
		c.claimWaiting(r, e, &n, ev)
		e.InsertOrder(n)
		ch.tc = ev.OccurredAt
	case counts:
		ch.tc = min(o.At, ev.OccurredAt)
		e.AddSeen(hash, day)
		n := *o
		if ev.Currency != c.pb.Currency || n.Base != 0 {
			b, _ := c.convert(ev.AmountMinor, ev.Currency, ev.OccurredAt)
			if n.Base == 0 {
				n.Base = n.Paid
			}
			n.Base += b
		}
		n.Paid += ev.AmountMinor
		n.Omitted += c.omitted(ev)
		if n.Cancelled != 0 && ev.OccurredAt <= n.Cancelled {
			n.Voided += ev.AmountMinor
		}
		n.At = ch.tc
		e.RemoveOrder(id)
		e.InsertOrder(n)
	case ev.Order == schemas.Cancelled:
		e.AddSeen(hash, day)
		if o == nil {
			c.await(e, id, hash, ev, -1)
			return nil
		}
		before := o.Net()
		o.Cancelled = ev.OccurredAt
		o.Voided = o.Paid
		if o.Net() != before {
			ch.tc = o.At
		}
	case ev.Order == schemas.Refunded:
		e.AddSeen(hash, day)
		if o == nil {
			c.await(e, id, hash, ev, ev.AmountMinor)
			return nil
		}
		before := o.Net()
		c.refund(r, o, ev.AmountMinor)
		if o.Net() != before {
			ch.tc = o.At
		}
	default: // PLACED under counts_at PAID, or PAID under counts_at PLACED
		e.AddSeen(hash, day)
	}
	return nil
}

// refund takes what was paid back; the excess is a dead letter.
func (c *Core) refund(r *Record, o *state.Order, amount int64) {
	room := max(o.Paid-o.Refunded, 0)
	o.Refunded += min(amount, room)
	if amount > room && r != nil {
		c.deadLetter(r, &Dead{StepApply, ReasonRefundExceeds, fmt.Sprintf("the order has %d left of what was paid, the refund says %d; %d was applied", room, amount, room)})
	}
}

// await keeps a refund or cancellation (amount -1) until its order comes.
func (c *Core) await(e *entry, order, hash uint64, ev *schemas.Event, amount int64) {
	w := state.Waiting{Order: order, Event: hash, At: ev.OccurredAt, Until: ev.OccurredAt + c.pb.RefundWait, Amount: amount}
	copy(w.Code[:], ev.Currency)
	i := len(e.Wait)
	for i > 0 && w.At < e.Wait[i-1].At {
		i--
	}
	e.Wait = append(e.Wait, state.Waiting{})
	copy(e.Wait[i+1:], e.Wait[i:])
	e.Wait[i] = w
	c.arm(e)
}

// claimWaiting gives a new order the refunds and cancellations that waited for it.
func (c *Core) claimWaiting(r *Record, e *entry, o *state.Order, ev *schemas.Event) {
	kept := e.Wait[:0]
	for _, w := range e.Wait {
		if w.Order != o.ID {
			kept = append(kept, w)
			continue
		}
		if w.Amount < 0 {
			o.Cancelled = w.At
			if o.At <= w.At {
				o.Voided = o.Paid
			}
			continue
		}
		c.refund(r, o, w.Amount)
	}
	e.Wait = kept
}

// expire gives up waiting for the orders of refunds whose time is over.
func (c *Core) expire(e *entry, at schemas.EventTime) {
	for len(e.Wait) > 0 {
		i := -1
		for k := range e.Wait {
			if e.Wait[k].Until <= at && (i < 0 || e.Wait[k].Until < e.Wait[i].Until) {
				i = k
			}
		}
		if i < 0 {
			return
		}
		w := e.Wait[i]
		e.Wait = append(e.Wait[:i], e.Wait[i+1:]...)
		if w.Amount < 0 {
			continue // a cancellation of what never counted changes nothing
		}
		amount, ok := c.convert(w.Amount, string(w.Code[:]), w.At)
		if !c.pb.UnlinkedApply || !ok {
			c.unlinked(e, &w)
			continue
		}
		ch := change{tc: w.At, at: w.Until, prior: e.Latest, unmatched: true}
		e.InsertOrder(state.Order{ID: w.Order, Event: w.Event, At: w.At, Refunded: amount})
		c.settle(e, &ch)
	}
}

// omitted is the part of an order in categories that earn no growth value.
func (c *Core) omitted(ev *schemas.Event) int64 {
	if len(c.omit) == 0 {
		return 0
	}
	n := int64(0)
	for i := range ev.Items {
		if it := &ev.Items[i]; it.AmountMinor > 0 && c.omit[it.Category] {
			n += it.AmountMinor
		}
	}
	return min(n, ev.AmountMinor)
}

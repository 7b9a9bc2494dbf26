package core

import (
	"fmt"
	"strings"
	"unicode/utf8"

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
	case e.OccurredAt < c.pos.Clock-c.pb.Horizon && c.pos.Clock >= c.ts.FireFrom && e.Type != ErasedType: // a wish to be forgotten is never too late
		return bad(ReasonTooLate, "occurred_at %d is older than the horizon of %d ms before the clock %d", e.OccurredAt, c.pb.Horizon, c.pos.Clock)
	}
	if e.Kind == schemas.Behavior {
		if e.Type == "" || len(e.Type) > maxID {
			return bad(ReasonUnknownType, "type must have 1 to %d bytes", maxID)
		}
		if e.Type == MergedType {
			if into, _ := e.Attribute("into"); into == "" || len(into) > maxID || strings.IndexByte(into, 0) >= 0 || !utf8.ValidString(into) || !utf8.ValidString(e.CustomerID) {
				return bad(ReasonBadCustomer, "the attribute into must name a customer by 1 to %d bytes of UTF-8 without NUL", maxID)
			}
		}
		if c.ledgers != nil {
			if why := c.badPoints(e); why != "" {
				return bad(ReasonBadPoints, "%s", why)
			}
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
	e := c.work.here
	if e == nil || e.ID != ev.CustomerID {
		var err error
		if e, err = c.customer(ev.CustomerID); err != nil {
			return err
		}
	}
	if e.erased != 0 && ev.OccurredAt <= e.erased {
		c.stats.Forgotten++
		return nil
	}
	if e.alias != "" {
		return c.forward(e, ev)
	}
	if ev.Kind == schemas.Behavior {
		switch ev.Type {
		case ErasedType:
			return c.erase(e, ev)
		case MergedType:
			if seen, err := c.seen(e, c.hash('e', ev.EventID), state.UTCDay(ev.OccurredAt)); err != nil {
				return err
			} else if seen {
				c.stats.Repeats++
				return nil
			}
			c.stats.Events++
			return c.merge(r, e, ev)
		}
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
	var was []closed
	if c.ledgers != nil {
		c.closeBooks(e, max(c.pos.Clock, e.Latest, ev.OccurredAt))
		key, at := hash, ev.OccurredAt
		if ev.Kind == schemas.Order {
			key = c.hash('o', ev.OrderID)
			o, err := c.findOrder(e, key)
			if err != nil {
				return err
			}
			if o != nil {
				at = min(at, o.At)
			}
		}
		was = c.beforeClosed(e, key, at)
	}
	if ev.Kind == schemas.Order {
		if err := c.order(r, e, ev, hash, day, &ch); err != nil {
			return err
		}
		ch.orders = ch.tc >= 0
		if len(c.streams.byOrder[ev.Order]) > 0 {
			c.marks(e, ev, hash, &ch)
		}
	} else if !c.streams.any || !c.marks(e, ev, hash, &ch) {
		e.AddSeen(hash, day)
	}
	if was != nil {
		c.afterClosed(e, ev, hash, was)
	}
	e.Latest = max(e.Latest, ev.OccurredAt)
	if ch.tc >= 0 {
		c.settle(e, &ch)
	}
	if c.ledgers != nil && ev.Type == pointsTransferred {
		c.sendPoints(r, e, ev, hash)
	}
	if len(c.denied) > 0 {
		c.deny(r, ev, hash)
	}
	return c.fold(e)
}

// change is one change of a customer's facts.
type change struct {
	tc        schemas.EventTime // the instant from which the facts differ; -1: they do not
	at        schemas.EventTime // occurred_at of the cause
	prior     schemas.EventTime // the customer's latest event before
	cause     string            // event_id; "" when time alone caused it
	fresh     bool              // an order came at tc and nothing else changed
	unmatched bool              // by a refund that met no order
	orders    bool              // orders changed
	marks     bool              // marks changed
	granted   bool              // a tier was given or taken by hand
}

func (c *Core) order(r *Record, e *entry, ev *schemas.Event, hash uint64, day int32, ch *change) error {
	id := c.hash('o', ev.OrderID)
	o, err := c.findOrder(e, id)
	if err != nil {
		return err
	}
	counts := ev.Order == schemas.Paid && !c.pb.CountsAtPlaced || ev.Order == schemas.Placed && c.pb.CountsAtPlaced
	switch {
	case counts && (o == nil || o.StandIn()):
		n := state.Order{ID: id, Event: hash, At: ev.OccurredAt, Paid: ev.AmountMinor, Omitted: c.omitted(ev)}
		if ev.Currency != c.pb.Currency {
			n.Base, _ = c.convert(ev.AmountMinor, ev.Currency, ev.OccurredAt)
		}
		ch.tc, ch.fresh = ev.OccurredAt, true
		if o != nil { // a refund that waited in vain stood in for it
			n.Refunded = min(o.Refunded, n.Paid)
			ch.tc, ch.fresh = min(ch.tc, o.At), false
			e.RemoveOrder(id)
		}
		c.claimWaiting(e, &n)
		e.InsertOrder(n)
	case counts:
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
		// The order stands where its first payment does, and with that one's trace.
		if ev.OccurredAt < n.At {
			e.AddSeen(n.Event, state.UTCDay(n.At))
			n.At, n.Event = ev.OccurredAt, hash
		} else {
			e.AddSeen(hash, day)
		}
		ch.tc = n.At
		e.RemoveOrder(id)
		e.InsertOrder(n)
	case ev.Order == schemas.Cancelled:
		e.AddSeen(hash, day)
		if o == nil || o.StandIn() {
			c.await(e, id, hash, ev, -1)
			return nil
		}
		before, counted := o.Net(), o.Counts()
		o.Cancelled = max(o.Cancelled, ev.OccurredAt, 1)
		o.Voided = o.Paid
		if o.Net() != before || o.Counts() != counted {
			ch.tc = o.At
		}
	case ev.Order == schemas.Refunded:
		e.AddSeen(hash, day)
		if o == nil || o.StandIn() {
			c.await(e, id, hash, ev, ev.AmountMinor)
			return nil
		}
		before, counted := o.Net(), o.Counts()
		if over := refund(o, ev.AmountMinor); over > 0 {
			c.deadLetter(r, &Dead{StepApply, ReasonRefundExceeds,
				fmt.Sprintf("the order has %d left of what was paid, the refund says %d; %d was applied", ev.AmountMinor-over, ev.AmountMinor, ev.AmountMinor-over)})
		}
		if o.Net() != before || o.Counts() != counted {
			ch.tc = o.At
		}
	default: // PLACED under counts_at PAID, or PAID under counts_at PLACED
		e.AddSeen(hash, day)
	}
	return nil
}

// refund takes back what was paid and returns the excess.
func refund(o *state.Order, amount int64) (over int64) {
	room := max(o.Paid-o.Refunded, 0)
	o.Refunded += min(amount, room)
	return max(amount-room, 0)
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
func (c *Core) claimWaiting(e *entry, o *state.Order) {
	kept := e.Wait[:0]
	for i := range e.Wait {
		w := e.Wait[i]
		switch {
		case w.Order != o.ID:
			kept = append(kept, w)
		case w.Amount < 0:
			o.Cancelled = max(o.Cancelled, w.At, 1)
			if o.At <= w.At {
				o.Voided = o.Paid
			}
		default:
			if over := refund(o, w.Amount); over > 0 {
				c.waited(e, &w, ReasonRefundExceeds, fmt.Sprintf("a refund of %d %s (minor units) came before its order and is %d more than what was paid; the rest was applied", w.Amount, w.Code[:], over))
			}
		}
	}
	e.Wait = kept
}

// expire gives up waiting for the orders of refunds whose time is over.
func (c *Core) expire(e *entry, at schemas.EventTime) {
	ch := change{tc: -1, at: at, prior: e.Latest, unmatched: true, orders: true}
	kept := e.Wait[:0]
	for i := range e.Wait {
		w := e.Wait[i]
		if w.Until > at {
			kept = append(kept, w)
			continue
		}
		if w.Amount <= 0 {
			continue // a cancellation of what never counted changes nothing
		}
		amount, ok := c.convert(w.Amount, string(w.Code[:]), w.At)
		if !c.pb.UnlinkedApply || !ok {
			c.waited(e, &w, ReasonRefundUnmatched, fmt.Sprintf("a refund of %d %s (minor units) waited for its order in vain", w.Amount, w.Code[:]))
			continue
		}
		n := state.Order{ID: w.Order, Event: w.Event, At: w.At, Refunded: w.Amount}
		if string(w.Code[:]) != c.pb.Currency {
			n.Base = amount
		}
		var was []closed
		if c.ledgers != nil {
			c.closeBooks(e, max(c.pos.Clock, e.Latest, at))
			was = c.beforeClosed(e, w.Order, w.At)
		}
		if o := e.FindOrder(w.Order); o != nil { // an earlier one stands in already
			n.At, n.Event = o.At, o.Event
			n.Refunded += o.Refunded
			n.Base += o.Base
			e.RemoveOrder(w.Order)
		}
		e.InsertOrder(n)
		c.unlinked(e, &n, was, at)
		if ch.tc < 0 || n.At < ch.tc {
			ch.tc = n.At
		}
	}
	e.Wait = kept
	if ch.tc >= 0 {
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

package core

import (
	"strconv"
	"strings"

	"tidemark/playbook"
	"tidemark/processor/history"
	"tidemark/processor/ledger"
	"tidemark/schemas"
	"tidemark/state"
)

// bookRule keeps one ledger. What the account holds follows from the history kept
// since it was closed (package ledger); here what should be told of it is laid
// beside what was. In the log of its rule At is when it happened, To the kind
// (ledger.Kind), From tells two of a kind apart. It holds what may still be
// corrected: an account is closed up to the end of a local day that is older than
// correct_within, or up to what is about to be folded.
type bookRule struct {
	pb      *playbook.Ledger
	rid     uint32
	book    ledger.Book
	within  schemas.EventTime // how far back what happened may still be told otherwise
	sources []source          // of a benefit
}

// BookSum is what all customers of the task hold of one ledger.
type BookSum struct {
	Name   string
	Totals state.Totals
	Minor  int64 // what is open, less what is owed, is worth; 0 where no ratio is given
	Named  []NamedSum
}

// TotalNames says what the places of Totals are called in metrics, in their order.
var TotalNames = [state.TotalsLen]string{"earned", "granted", "adjusted", "received", "forgiven", "pending", "claimable", "available", "owed", "cancelled",
	"lapsed", "redeemed", "expired", "reversed", "sent"}

// bookState is the totals of one ledger over the task's customers.
type bookState struct {
	Name   string       `json:"name"`
	Totals state.Totals `json:"totals"`
}

func (c *Core) bindBooks() {
	c.ledgers = nil
	ids := func(i int) history.Stream { return c.streams.ids[i] }
	for i := range c.pb.Ledgers {
		l := &c.pb.Ledgers[i]
		k := &bookRule{pb: l, rid: c.name(l.Name), book: ledger.Bind(l, ids), within: max(l.CorrectWithin, c.pb.Disorder)}
		c.bindSources(k)
		c.ledgers = append(c.ledgers, k)
		for _, cat := range l.Earn.OmitCategories {
			if c.omit == nil {
				c.omit = map[string]bool{}
			}
			c.omit[cat] = true
		}
	}
}

// A gift is units that another rule gives a customer: one for each Key, however
// often it is told. With Units 0 it is taken back.
type gift struct {
	Rule    string // of a ledger
	Key     uint64
	At      schemas.EventTime
	Expires schemas.EventTime // 0: as the ledger says
	Units   int64
	Was     int64 // what was given under the same key before
}

// give gives units. Rules that settle before the books call it; what it changes is
// told when the books settle.
func (c *Core) give(e *entry, g gift) {
	for _, k := range c.ledgers {
		if k.pb.Name != g.Rule {
			continue
		}
		a := e.EnsureAccount(k.rid)
		c.given = true
		if g.At > a.AsOf {
			a.Post(state.Post{Kind: ledger.PostGrant, At: g.At, Key: g.Key, Expires: g.Expires, Units: g.Units})
			return
		}
		// The account is closed there: it is an ordinary change now.
		now := c.reached(e)
		switch d := g.Units - g.Was; {
		case d > 0:
			a.Post(state.Post{Kind: ledger.PostGrant, At: now, Key: g.Key, Expires: g.Expires, Units: d})
		case d < 0:
			a.Post(state.Post{Kind: ledger.PostReversal, At: now, Key: g.Key, Of: g.Key, Expires: g.Expires, Units: -d})
		}
		return
	}
}

// settleBooks brings the ledgers in line with a change of the facts.
func (c *Core) settleBooks(e *entry, v history.View, ch *change) {
	for _, k := range c.ledgers {
		if ch.marks || c.given || k.book.Earns() || k.sources != nil {
			c.reconcile(e, v, k, ch.cause)
		}
	}
	c.given = false
}

// wakeBooks does what time alone does to the ledgers.
func (c *Core) wakeBooks(e *entry, v history.View, at schemas.EventTime) {
	for _, k := range c.ledgers {
		if st := e.Rule(k.rid); c.given || k.sources != nil || st.Due != 0 && st.Due <= at {
			c.reconcile(e, v, k, "")
		}
	}
	c.given, c.denied = false, c.denied[:0]
}

// reconcile lays what was told of an account beside what it comes to now.
func (c *Core) reconcile(e *entry, v history.View, k *bookRule, cause string) {
	a, st := e.EnsureAccount(k.rid), e.Rule(k.rid)
	now := c.reached(e)
	given, next := c.givenTo(v, k, a, now)
	s := k.book.At(v, a, given, now)
	if len(s.Wants) > 0 {
		c.pay(e, k, a, s.Wants, cause)
		s = k.book.At(v, a, given, now)
	}
	if len(s.Backs) > 0 {
		c.payBack(e, k, a, s.Backs)
	}
	c.tally(k, a, &s)
	st.Due = sooner(s.Next, next)
	c.denied = append(c.denied, s.Denied...)
	if c.quiet {
		st.Log = st.Log[:0]
		return
	}
	var kept []state.Firing
	old := st.Log
	used := make([]bool, len(old))
	for i := range s.Moves {
		m := &s.Moves[i]
		if m.Units == 0 {
			continue
		}
		from := fold32(m.Key)
		f := -1
		for j := range old {
			if !used[j] && old[j].To == int32(m.Kind) && old[j].From == from {
				f = j
				break
			}
		}
		t := c.moveTrigger(k, m)
		if f < 0 {
			st.Episode++
			n := state.Firing{Episode: st.Episode, At: m.At, From: from, To: int32(m.Kind), Hash: c.moveHash(t)}
			n.Withheld = c.publish(e, k.pb.Name, &n, schemas.Fired, cause, k.pb.MaxAge, t)
			kept = append(kept, n)
			continue
		}
		used[f] = true
		n := old[f]
		if h := c.moveHash(t); h != n.Hash || n.At != m.At {
			n.Revision++
			n.At, n.Hash = m.At, h
			balance := s.Balance() // as it is now, not as it was then
			if !k.pb.Benefit {
				t.Balance = &balance
			}
			c.publish(e, k.pb.Name, &n, schemas.Corrected, cause, 0, t)
		}
		kept = append(kept, n)
	}
	for j := range old {
		if used[j] {
			continue
		}
		n := old[j]
		n.Revision++
		t := c.moveTrigger(k, &ledger.Move{Kind: ledger.Kind(n.To), At: n.At, Before: s.Balance(), Balance: s.Balance()})
		c.publish(e, k.pb.Name, &n, schemas.Retracted, cause, 0, t)
	}
	sortFirings(kept)
	st.Log = kept
}

// sortFirings orders a short log by (At, Episode), in place and without allocating.
func sortFirings(log []state.Firing) {
	for i := 1; i < len(log); i++ {
		for j := i; j > 0 && (log[j].At < log[j-1].At || log[j].At == log[j-1].At && log[j].Episode < log[j-1].Episode); j-- {
			log[j], log[j-1] = log[j-1], log[j]
		}
	}
}

func fold32(key uint64) int32 { return int32((key ^ key>>32) & 0x7fffffff) }

// tally keeps the task's totals in step with an account.
func (c *Core) tally(k *bookRule, a *state.Account, s *ledger.State) {
	if !s.Balanced() && c.fault == nil {
		c.fault = &bookError{k.pb.Name}
	}
	if a.Now == s.Totals {
		return
	}
	b := c.bookState(k.pb.Name)
	for i := range b.Totals {
		b.Totals[i] += s.Totals[i] - a.Now[i]
	}
	a.Now = s.Totals
	c.tsDirty, c.rebooked = true, true
}

// uncountAccounts takes a customer's accounts out of the task's totals.
func (c *Core) uncountAccounts(e *entry) {
	for i := range e.Accounts {
		a := &e.Accounts[i]
		b := c.bookState(c.RuleName(a.ID))
		for i := range b.Totals {
			b.Totals[i] -= a.Now[i]
		}
		c.tsDirty, c.rebooked = true, true
	}
}

type bookError struct{ name string }

func (e *bookError) Error() string {
	return ErrInvariant.Error() + ": the account of " + e.name + " does not add up"
}
func (e *bookError) Unwrap() error { return ErrInvariant }

// bookState is the totals of a ledger, made where they are missing.
func (c *Core) bookState(name string) *bookState {
	for i := range c.ts.Books {
		if c.ts.Books[i].Name == name {
			return &c.ts.Books[i]
		}
	}
	c.ts.Books = append(c.ts.Books, bookState{Name: name})
	return &c.ts.Books[len(c.ts.Books)-1]
}

// Books lists what the task's customers hold, in the order of the playbook.
func (c *Core) Books() []BookSum {
	var out []BookSum
	for _, k := range c.ledgers {
		s := BookSum{Name: k.pb.Name}
		for i := range c.ts.Books {
			if c.ts.Books[i].Name == s.Name {
				s.Totals = c.ts.Books[i].Totals
			}
		}
		for _, n := range c.ts.Named {
			if n.Ledger == s.Name {
				s.Named = append(s.Named, NamedSum(n))
			}
		}
		s.Minor = worth(k.pb, s.Totals[state.SumOpen]-s.Totals[state.SumOwed])
		out = append(out, s)
	}
	return out
}

func (c *Core) changedBooks() []BookSum {
	if !c.rebooked {
		return nil
	}
	c.rebooked = false
	return c.Books()
}

// worth is what points are worth in minor units, rounded towards 0.
func worth(l *playbook.Ledger, points int64) int64 {
	if l.Redeem.Points == 0 {
		return 0
	}
	q, r := points/l.Redeem.Points, points%l.Redeem.Points
	return q*l.Redeem.Minor + r*l.Redeem.Minor/l.Redeem.Points
}

// What the moves are called in triggers.
var moveKinds = map[ledger.Kind]string{ledger.Earned: "points_earned", ledger.Claimable: "points_claimable", ledger.Lapsed: "points_lapsed",
	ledger.Redeemed: "points_redeemed", ledger.Adjusted: "points_adjusted", ledger.Reversed: "points_reversed", ledger.Expiring: "points_expiring",
	ledger.Expired: "points_expired", ledger.Granted: "points_granted", ledger.Received: "points_received", ledger.Sent: "points_sent"}

var benefitKinds = map[ledger.Kind]string{ledger.Earned: "benefit_granted", ledger.Claimable: "benefit_claimable", ledger.Lapsed: "benefit_lapsed",
	ledger.Redeemed: "benefit_used", ledger.Reversed: "benefit_revoked", ledger.Expiring: "benefit_expiring", ledger.Expired: "benefit_expired",
	ledger.Granted: "benefit_granted"}

// benefitTrigger says a move of a benefit.
func (c *Core) benefitTrigger(k *bookRule, m *ledger.Move) *schemas.EngagementTrigger {
	t := &schemas.EngagementTrigger{Kind: benefitKinds[m.Kind], Name: k.pb.Name, Item: k.pb.Name, Quantity: m.Units}
	if m.Kind == ledger.Earned && k.pb.ClaimWithin > 0 {
		t.Kind = "benefit_claimed"
	}
	if m.Until != 0 {
		until := m.Until
		t.DueAt = &until
	}
	t.Evidence = []schemas.Evidence{compared("quantity", m.Units, ">=", 1)}
	if m.Kind == ledger.Redeemed && m.Units > 0 {
		t.Evidence = []schemas.Evidence{compared("left_before", m.Before, ">=", m.Units)}
	}
	return t
}

func (c *Core) moveTrigger(k *bookRule, m *ledger.Move) *schemas.EngagementTrigger {
	if k.pb.Benefit {
		return c.benefitTrigger(k, m)
	}
	t := &schemas.EngagementTrigger{Kind: moveKinds[m.Kind], Name: k.pb.Name, Ledger: k.pb.Name, Points: m.Units}
	balance := m.Balance
	t.Balance = &balance
	if m.Until != 0 {
		until := m.Until
		t.DueAt = &until
	}
	size := m.Units
	if size < 0 {
		size = -size
	}
	switch m.Kind {
	case ledger.Redeemed, ledger.Adjusted:
		operator, reason, _ := strings.Cut(m.Text, "\n")
		t.Operator = operator
		if reason != "" {
			t.Attributes = append(t.Attributes, schemas.Attribute{Key: "reason", Value: reason})
		}
		if m.Units > 0 && m.Kind == ledger.Adjusted || k.pb.Overdraft == playbook.OverdraftAllow {
			t.Evidence = []schemas.Evidence{compared("points", size, ">=", 1)}
		} else {
			t.Evidence = []schemas.Evidence{compared("balance_before", m.Before, ">=", max(size, 1))}
			if m.Units == 0 { // taken back: it was not covered, or never happened
				t.Evidence = []schemas.Evidence{compared("points", 0, ">=", 1)}
			}
		}
	default:
		t.Evidence = []schemas.Evidence{compared("points", size, ">=", 1)}
	}
	if m.Kind == ledger.Expiring && m.Until > m.At {
		t.Evidence = append(t.Evidence, compared("days_left", int64((m.Until-m.At+schemas.Day-1)/schemas.Day), ">=", 0))
	}
	if k.pb.Redeem.Points > 0 {
		t.Attributes = append(t.Attributes, schemas.Attribute{Key: "worth_minor", Value: strconv.FormatInt(worth(k.pb, m.Units), 10)})
	}
	return t
}

// moveHash is over what a move says, but for the balance around it, which every
// change of the past moves.
func (c *Core) moveHash(t *schemas.EngagementTrigger) uint32 {
	x := *t
	x.Balance, x.Evidence = nil, nil
	return c.valueHash(&x)
}

// closeBooks folds into the accounts what can't be told again: what is older than
// correct_within at an instant, and what fold is about to sum.
func (c *Core) closeBooks(e *entry, now schemas.EventTime) {
	if len(e.Accounts) == 0 {
		return
	}
	must := c.pos.Clock - c.pb.Horizon - 1
	if n := len(e.Orders) - rowOrders; n > 0 {
		must = max(must, e.Orders[n-1].At)
	}
	if n := len(e.Marks) - rowMarks; n > 0 {
		must = max(must, e.Marks[n-1].At)
	}
	v := history.View{C: &e.Customer, Zone: c.zone}
	for _, k := range c.ledgers {
		a := e.Account(k.rid)
		if a == nil {
			continue
		}
		upTo := max(must, c.edge(k, now))
		if upTo <= a.AsOf {
			continue
		}
		given, _ := c.givenTo(v, k, a, max(now, c.reached(e)))
		k.book.Close(v, a, given, upTo, now)
		st := e.Rule(k.rid)
		n := 0
		for n < len(st.Log) && st.Log[n].At <= upTo {
			n++
		}
		st.Log = append(st.Log[:0], st.Log[n:]...)
	}
}

// edge is up to where an account is closed. What a source granted is known as far
// back as its rule's log reaches, so there it is to the millisecond.
func (c *Core) edge(k *bookRule, now schemas.EventTime) schemas.EventTime {
	if k.sources != nil {
		return now - k.within - 1
	}
	return c.zone.Midnight(c.zone.Day(now-k.within)) - 1
}

func (c *Core) ledgerNamed(name string) *bookRule {
	for _, k := range c.ledgers {
		if k.pb.Name == name {
			return k
		}
	}
	return nil
}

func (c *Core) view(e *entry) history.View { return history.View{C: &e.Customer, Zone: c.zone} }

// closed is what the accounts hold of an order or behavior that they have closed.
type closed struct {
	k     *bookRule
	key   uint64
	units int64
	ends  schemas.EventTime
}

// beforeClosed notes what an event may change of what is closed. at is when the
// order that it is about was paid.
func (c *Core) beforeClosed(e *entry, key uint64, at schemas.EventTime) []closed {
	var out []closed
	v := history.View{C: &e.Customer, Zone: c.zone}
	for _, k := range c.ledgers {
		if a := e.Account(k.rid); a != nil && at <= a.AsOf {
			units, ends := k.book.Worth(v, key, a.AsOf)
			out = append(out, closed{k, key, units, ends})
		}
	}
	return out
}

// afterClosed writes down what an event changed of what is closed: it counts from
// its own instant.
func (c *Core) afterClosed(e *entry, ev *schemas.Event, hash uint64, was []closed) {
	v := history.View{C: &e.Customer, Zone: c.zone}
	for _, w := range was {
		a := e.Account(w.k.rid)
		at := max(ev.OccurredAt, a.AsOf+1)
		units, _ := w.k.book.Worth(v, w.key, a.AsOf)
		switch d := units - w.units; {
		case d > 0:
			for i := range a.Posts { // a further payment of the same order
				if p := &a.Posts[i]; p.Kind == ledger.PostEarned && p.Key == w.key {
					d += p.Units
				}
			}
			a.Post(state.Post{Kind: ledger.PostEarned, At: at, Key: w.key, Units: d})
		case d < 0:
			a.Post(state.Post{Kind: ledger.PostReversal, At: at, Key: hash, Of: w.key, Expires: w.ends, Units: -d})
		}
	}
	if ev.Kind != schemas.Behavior {
		return
	}
	for _, k := range c.ledgers {
		a := e.Account(k.rid)
		if a == nil || ev.OccurredAt > a.AsOf {
			continue
		}
		for i := range e.Marks {
			m := &e.Marks[i]
			if m.Event != hash {
				continue
			}
			p := state.Post{At: a.AsOf + 1, Key: hash, Units: m.Value}
			switch m.Stream {
			case c.streams.ids[k.pb.Redeemed].ID:
				p.Kind = ledger.PostRedeemed
			case c.streams.ids[k.pb.Adjusted].ID:
				p.Kind = ledger.PostAdjusted
			case c.streams.ids[k.pb.Claimed].ID:
				if p.Kind = ledger.PostClaimed; p.Units == 0 {
					p.Units = -1
				}
			default:
				continue
			}
			a.Post(p)
		}
	}
}

// unlinked writes down a refund that met no order and lies in what is closed.
func (c *Core) unlinked(e *entry, o *state.Order, was []closed, at schemas.EventTime) {
	v := history.View{C: &e.Customer, Zone: c.zone}
	for _, w := range was {
		a := e.Account(w.k.rid)
		if units, _ := w.k.book.Worth(v, w.key, a.AsOf); units < w.units {
			a.Post(state.Post{Kind: ledger.PostUnlinked, At: max(at, a.AsOf+1), Key: o.Event, Units: w.units - units})
		}
	}
}

// deny makes a dead letter of an event that asked for more than there was.
func (c *Core) deny(r *Record, ev *schemas.Event, hash uint64) {
	for _, d := range c.denied {
		if d != hash {
			continue
		}
		points, _ := ev.Attribute("points")
		name, benefit := ev.Attribute("benefit")
		if !benefit {
			name, _ = ev.Attribute("ledger")
		}
		switch ev.Type {
		case playbook.BenefitUsed:
			c.deadLetter(r, &Dead{StepApply, ReasonNoBenefit, "she has less of the benefit " + quoted(name) + " than was used"})
			c.denied = c.denied[:0]
			return
		case playbook.BenefitClaimed:
			c.deadLetter(r, &Dead{StepApply, ReasonNotClaimable, "nothing of the benefit " + quoted(name) + " waits to be claimed"})
			c.denied = c.denied[:0]
			return
		}
		if ev.Type == playbook.PointsClaimed {
			c.deadLetter(r, &Dead{StepApply, ReasonNotClaimable, "nothing in the account " + quoted(name) + " waits to be claimed"})
			break
		}
		c.deadLetter(r, &Dead{StepApply, ReasonOverdrawn, ev.Type + " of " + quoted(points) + " is more than the account " + quoted(name) + " holds"})
		break
	}
	c.denied = c.denied[:0]
}

func quoted(s string) string { return strconv.Quote(clip(s)) }

// badPoints judges an event about points by itself.
func (c *Core) badPoints(e *schemas.Event) string {
	if e.Type == playbook.BenefitUsed || e.Type == playbook.BenefitClaimed {
		v, ok := e.Attribute(playbook.BenefitMoved)
		if n, err := strconv.ParseInt(v, 10, 64); ok && (err != nil || n <= 0 || n > maxAmount) {
			return "the attribute quantity is " + quoted(v) + "; it must be a whole number above 0"
		}
		return ""
	}
	if e.Type == playbook.PointsTransferred {
		if why := c.badTransfer(e); why != "" {
			return why
		}
	} else if e.Type != playbook.PointsRedeemed && e.Type != playbook.PointsClaimed && e.Type != playbook.PointsAdjusted {
		return ""
	}
	v, ok := e.Attribute("points")
	if !ok && e.Type == playbook.PointsClaimed {
		return ""
	}
	n, err := strconv.ParseInt(v, 10, 64)
	switch {
	case err != nil || n == 0 || n > maxAmount || n < -maxAmount:
		return "the attribute points is " + quoted(v) + "; it must be a whole number that is not 0"
	case n < 0 && e.Type != playbook.PointsAdjusted:
		return "the attribute points is " + quoted(v) + "; it must be above 0"
	}
	return ""
}

// points fills the mark of an event about points.
func points(ev *schemas.Event, m *state.Mark) {
	if v, ok := ev.Attribute("points"); ok {
		m.Value, _ = strconv.ParseInt(v, 10, 64)
	}
	operator, _ := ev.Attribute("operator")
	reason, _ := ev.Attribute("reason")
	if operator == "" && reason == "" {
		return
	}
	m.Text = strings.ToValidUTF8(clipText(operator+"\n"+reason), "")
}

// quantity fills the mark of an event about a benefit.
func quantity(ev *schemas.Event, m *state.Mark) {
	if v, ok := ev.Attribute(playbook.BenefitMoved); ok {
		m.Value, _ = strconv.ParseInt(v, 10, 64)
	} else if ev.Type == playbook.BenefitUsed {
		m.Value = 1
	}
}

// clipText bounds a text of a mark, and copies it out of the record.
func clipText(s string) string {
	if len(s) > state.MarkText {
		s = s[:state.MarkText]
	}
	return strings.Clone(s)
}

// armBooks lets a ledger that a new playbook brought or changed begin: what was
// there before earns nothing, and nothing is told.
func (c *Core) armBooks(e *entry, v history.View, names []string, at schemas.EventTime) {
	for _, k := range c.ledgers {
		st := e.Rule(k.rid)
		for _, name := range names {
			if name != k.pb.Name || st.Armed >= at {
				continue
			}
			st.Armed = at
			if e.Account(k.rid) == nil {
				e.EnsureAccount(k.rid).AsOf = at
			}
			c.quiet = true
			c.reconcile(e, v, k, "")
			c.quiet = false
			if a := e.Account(k.rid); a.AsOf < at {
				given, _ := c.givenTo(v, k, a, at)
				k.book.Close(v, a, given, at, at)
			}
		}
	}
	c.denied = c.denied[:0]
}

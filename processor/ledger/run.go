package ledger

import (
	"math/bits"
	"sort"

	"tidemark/processor/history"
	"tidemark/schemas"
	"tidemark/state"
)

// item is one line that a run goes through.
type item struct {
	at      schemas.EventTime
	rank    uint8
	event   uint64
	key     uint64
	units   int64
	of      int               // of earned and reversed: which award
	settled schemas.EventTime // of earned
	expires schemas.EventTime
	text    string
	took    int64 // of a reversal: how much there was to take back
	slot    int   // of a source, -1: of another
	cycle   schemas.EventTime
}

// Ranks: what comes first at one instant.
const (
	rankEarned uint8 = iota
	rankReversed
	rankUnlinked // a refund that met no order
	rankTaken    // a reversal of what was closed
	rankReturned // the same, told before
	rankRevoked
	rankGranted
	rankReceived
	rankLate // earned, and told too late
	rankClaimed
	rankAdjusted
	rankRedeemed
	rankSent
)

type phase uint8

const (
	pending phase = iota
	claimable
	open
)

// lot is units on their way.
type lot struct {
	state.Lot
	phase phase
	src   int   // which award; -1: none of this run
	used  int64 // of it, or paid by it
	gone  int64 // lapsed or expired of it
	move  int   // what told of it last; -1: nothing in this run
	fund  int   // which post of the pool paid for it; -1: none
}

// fund is what the pool paid for.
type fund struct {
	key        uint64
	at         schemas.EventTime
	paid, left int64 // left: of paid, not come in
	back       int64 // of what came in, gone before it counted
}

type run struct {
	b        *Book
	z        history.Zone
	now      schemas.EventTime
	lots     []lot
	debt     int64
	caps     []state.CapUse
	t        state.Totals
	moves    []Move
	denied   []uint64
	items    []item
	later    []item              // reversals after the instant asked about
	entitled []int64             // by award: what of it is not taken back
	earned   []schemas.EventTime // by award: when
	funds    []fund
	wants    []Want
	ahead    schemas.EventTime // the first post after the instant asked about; 0: none
}

func (b *Book) run(v history.View, a *state.Account, given []Given, at schemas.EventTime) *run {
	r := &run{b: b, z: v.Zone, now: a.AsOf, debt: a.Debt, t: a.Base}
	r.caps = append(r.caps, a.Caps...)
	slots := len(b.Def.Caps) + len(b.Def.Sources)
	for len(r.caps) < slots {
		r.caps = append(r.caps, state.CapUse{})
	}
	r.caps = r.caps[:slots]
	r.t[state.SumPending], r.t[state.SumClaimable], r.t[state.SumOpen], r.t[state.SumOwed] = 0, 0, 0, 0
	for _, l := range a.Lots {
		x := lot{Lot: l, phase: open, src: -1, move: -1, fund: -1}
		switch {
		case l.Available == 0 && b.earn != nil && b.Def.Earn.Settle.On != "":
			x.phase = pending
			if s := b.earn.SettledAt(v, l.Key, l.At, at); s != 0 {
				x.Available = max(s, a.AsOf+1)
			}
		case l.Available == 0 || l.Available > a.AsOf:
			x.phase, x.Available = pending, max(l.Available, a.AsOf+1)
		case l.Claim != 0:
			x.phase = claimable
		}
		r.lots = append(r.lots, x)
	}
	r.awards(v, a.AsOf, at)
	r.marks(v, a.AsOf, at)
	for i := range given {
		g := &given[i]
		if g.At <= a.AsOf || g.At > at {
			continue
		}
		it := item{at: g.At, rank: rankGranted, event: g.Key, key: g.Source, units: g.Units, of: -1, slot: -1}
		if g.Revoke {
			it.rank = rankRevoked
		} else if g.Slot >= 0 {
			it.slot, it.cycle = len(b.Def.Caps)+g.Slot, g.Cycle
		}
		r.items = append(r.items, it)
	}
	for _, p := range a.Posts {
		switch p.Kind {
		case PostFunded:
			r.funds = append(r.funds, fund{key: p.Key, at: p.At, paid: max(p.Units, 0), left: max(p.Units, 0)})
			continue
		case PostBack:
			continue
		}
		if p.At > at {
			if r.ahead == 0 || p.At < r.ahead {
				r.ahead = p.At
			}
		} else {
			r.items = append(r.items, item{at: p.At, rank: postRank[p.Kind], event: p.Key, key: p.Of, units: p.Units, of: -1, expires: p.Expires, slot: -1})
		}
	}
	sort.SliceStable(r.items, func(i, j int) bool {
		x, y := &r.items[i], &r.items[j]
		if x.at != y.at {
			return x.at < y.at
		}
		if x.rank != y.rank {
			return x.rank < y.rank
		}
		return x.event < y.event
	})
	for i := range r.items {
		r.until(r.items[i].at)
		r.apply(&r.items[i])
	}
	r.until(at)
	return r
}

var postRank = [...]uint8{PostGrant: rankGranted, PostEarned: rankLate, PostReversal: rankTaken, PostRedeemed: rankRedeemed,
	PostAdjusted: rankAdjusted, PostClaimed: rankClaimed, PostReceived: rankReceived, PostSent: rankSent,
	PostReturned: rankReturned, PostUnlinked: rankUnlinked}

// awards lists what was earned after from and up to at, one line for each event
// and settlement, and what refunds took back of it.
func (r *run) awards(v history.View, from, at schemas.EventTime) {
	if r.b.earn == nil {
		return
	}
	list := r.b.earn.List(recent(v, from), at)
	for i := range list {
		x := &list[i]
		if x.At <= from {
			continue
		}
		if x.Units < 0 {
			r.items = append(r.items, item{at: x.At, rank: rankUnlinked, event: x.Event, units: -x.Units, of: -1})
			continue
		}
		units, gross := x.Units, max(x.Gross, x.Units)
		if i > 0 && x.Event != 0 && len(r.entitled) > 0 {
			// Several factors reward one event: they are one lot.
			if k := r.lineOf(x.Event, x.At, x.Settled); k != nil {
				k.units += gross
				r.entitled[k.of] += units
				continue
			}
		}
		n := len(r.entitled)
		r.entitled, r.earned = append(r.entitled, units), append(r.earned, x.At)
		r.items = append(r.items, item{at: x.At, rank: rankEarned, event: x.Event, key: x.Event, units: gross, of: n, settled: x.Settled})
	}
	for k, n := 0, len(r.items); k < n; k++ {
		if r.items[k].rank == rankEarned {
			r.reversals(v, k, at)
		}
	}
}

// recent leaves out the orders of local days before the one of an instant, which
// earn nothing that is asked for and use up nothing of a day's cap that counts.
func recent(v history.View, from schemas.EventTime) history.View {
	if from == 0 {
		return v
	}
	c := *v.C
	day := v.Zone.Midnight(v.Zone.Day(from))
	n := sort.Search(len(c.Orders), func(i int) bool { return c.Orders[i].At >= day })
	c.Orders, c.Days, c.Base = c.Orders[n:], nil, state.Base{}
	v.C = &c
	return v
}

func (r *run) lineOf(event uint64, at, settled schemas.EventTime) *item {
	for i := range r.items {
		if k := &r.items[i]; k.rank == rankEarned && k.event == event && k.at == at && k.settled == settled {
			return k
		}
	}
	return nil
}

// reversals adds what refunds leave of an award, each at its own instant. A
// refund whose instant is not known took back at once.
func (r *run) reversals(v history.View, k int, at schemas.EventTime) {
	x := r.items[k]
	gross, net := x.units, r.entitled[x.of]
	if net >= gross {
		r.entitled[x.of] = gross
		return
	}
	var marks []*state.Mark
	sum, cancelled := int64(0), false
	for i := range v.C.Marks {
		if m := &v.C.Marks[i]; m.Stream == r.b.refunds.ID && m.Key == x.key && r.b.refunds.ID != 0 {
			marks = append(marks, m)
			if m.Value < 0 {
				cancelled = true
			} else {
				sum += m.Value
			}
		}
	}
	if len(marks) == 0 {
		r.items[k].units, r.entitled[x.of] = net, net
		return
	}
	whole := sum // what takes all of gross-net back
	if cancelled {
		if o := v.C.FindOrder(x.key); o != nil {
			whole = o.Base
			if whole == 0 {
				whole = o.Paid
			}
		}
	}
	r.entitled[x.of] = gross
	back, gone := gross-net, int64(0)
	for i, m := range marks {
		if gone += max(m.Value, 0); m.Value < 0 {
			gone = whole
		}
		left := net
		if i < len(marks)-1 && gone < whole {
			left = gross - portion(back, gone, whole)
		}
		it := item{at: max(m.At, x.at), rank: rankReversed, event: m.Event, key: x.key, units: left, of: x.of}
		if it.at > at {
			r.later = append(r.later, it)
		} else {
			r.items = append(r.items, it)
		}
	}
}

// portion is a×b/c rounded down; b at most c.
func portion(a, b, c int64) int64 {
	if c <= 0 {
		return a
	}
	hi, lo := bits.Mul64(uint64(a), uint64(min(b, c)))
	q, _ := bits.Div64(hi, lo, uint64(c))
	return int64(q)
}

// marks lists what events asked of the ledger after from and up to at.
func (r *run) marks(v history.View, from, at schemas.EventTime) {
	for i := range v.C.Marks {
		m := &v.C.Marks[i]
		if m.At <= from || m.At > at {
			continue
		}
		it := item{at: m.At, event: m.Event, key: m.Event, units: m.Value, of: -1, text: m.Text}
		switch m.Stream {
		case r.b.redeemed.ID:
			it.rank = rankRedeemed
		case r.b.claimed.ID:
			it.rank = rankClaimed
		case r.b.adjusted.ID:
			it.rank = rankAdjusted
		default:
			continue
		}
		r.items = append(r.items, it)
	}
}

// until does what time alone does up to an instant.
func (r *run) until(t schemas.EventTime) {
	for {
		next := r.next()
		if next == 0 || next > t {
			break
		}
		r.fire(next)
		r.now = max(r.now, next)
	}
	r.now = max(r.now, t)
}

// next is the first instant, now or later, at which time does something; 0: none.
func (r *run) next() schemas.EventTime {
	var best schemas.EventTime
	take := func(t schemas.EventTime) {
		if t != 0 && (best == 0 || t < best) {
			best = t
		}
	}
	for i := range r.lots {
		l := &r.lots[i]
		switch {
		case l.Units == 0:
		case l.phase == pending:
			take(l.Available)
		case l.phase == claimable:
			take(l.Claim)
		case l.Expires != 0:
			take(l.Expires)
			if n := l.Expires - r.b.Def.Notice; r.b.Def.Notice > 0 && n > r.now {
				take(n)
			}
		}
	}
	return best
}

// fire does what is due at an instant: first what ends, then what begins.
func (r *run) fire(t schemas.EventTime) {
	for i := range r.lots {
		l := &r.lots[i]
		if l.Units == 0 {
			continue
		}
		switch {
		case l.phase == open && l.Expires != 0 && l.Expires <= t:
			r.t[state.SumExpired] += l.Units
			r.together(Expired, l.Expires, l.Units, 0)
			l.gone += l.Units
			l.Units = 0
		case l.phase == claimable && l.Claim <= t:
			r.t[state.SumLapsed] += l.Units
			r.tell(Move{Kind: Lapsed, At: l.Claim, Key: l.Key, Units: l.Units})
			l.gone += l.Units
			r.back(l, l.Units)
			l.Units = 0
		}
	}
	if n := r.b.Def.Notice; n > 0 {
		for i := range r.lots {
			if l := &r.lots[i]; l.Units > 0 && l.phase == open && l.Expires != 0 && l.Expires-n > r.now && l.Expires-n <= t {
				r.together(Expiring, l.Expires-n, l.Units, l.Expires)
			}
		}
	}
	for i := range r.lots {
		l := &r.lots[i]
		if l.Units == 0 || l.phase != pending || l.Available == 0 || l.Available > t {
			continue
		}
		if w := r.b.Def.ClaimWithin; w > 0 {
			l.phase, l.Claim = claimable, l.Available+w
			l.move = r.tell(Move{Kind: Claimable, At: l.Available, Key: l.Key, Units: l.Units, Until: l.Claim})
			continue
		}
		r.open(l, l.Available, Earned, l.Key, "")
	}
}

// open lets a lot count; it pays first what is owed.
func (r *run) open(l *lot, at schemas.EventTime, kind Kind, key uint64, text string) {
	before, units := r.balance(), l.Units
	l.phase, l.Available, l.Claim = open, at, 0
	if l.Expires == 0 {
		l.Expires = r.b.Ends(r.z, at)
	}
	pay := min(l.Units, r.debt)
	r.debt -= pay
	l.Units -= pay
	l.used += pay
	l.move = r.tellFrom(before, Move{Kind: kind, At: at, Key: key, Units: units, Until: l.Expires, Text: text})
}

func (r *run) balance() int64 {
	sum := -r.debt
	for i := range r.lots {
		if l := &r.lots[i]; l.phase == open {
			sum += l.Units
		}
	}
	return sum
}

func (r *run) tell(m Move) int { return r.tellFrom(r.balance(), m) }

func (r *run) tellFrom(before int64, m Move) int {
	m.Before, m.Balance = before, r.balance()
	r.moves = append(r.moves, m)
	return len(r.moves) - 1
}

// together adds to the move of that kind and instant, or makes it: what ends at
// one instant is told as one.
func (r *run) together(kind Kind, at schemas.EventTime, units int64, until schemas.EventTime) {
	gone := int64(0)
	if kind == Expired {
		gone = units
	}
	for i := len(r.moves) - 1; i >= 0; i-- {
		if m := &r.moves[i]; m.Kind == kind && m.At == at {
			m.Units += units
			m.Balance -= gone
			return
		}
	}
	i := r.tell(Move{Kind: kind, At: at, Key: uint64(at), Units: units, Until: until})
	r.moves[i].Balance -= gone
}

// fund is how much of what comes in the pool pays for; without a pool all of it.
func (r *run) fund(it *item, units int64) (paid int64, of int) {
	if r.b.Def.Pool.Total == 0 || units == 0 {
		return units, -1
	}
	for i := range r.funds {
		if f := &r.funds[i]; f.key == it.event {
			paid = min(units, f.left)
			f.left -= paid
			return paid, i
		}
	}
	r.wants = append(r.wants, Want{Key: it.event, At: it.at, Units: units})
	return 0, -1
}

// back notes units that went before they counted.
func (r *run) back(l *lot, units int64) {
	if l.fund >= 0 {
		r.funds[l.fund].back += units
	}
}

// debit takes units from what is open, in the order in which it ends, and says
// how much was missing.
func (r *run) debit(units int64) (missing int64) {
	for units > 0 {
		var best *lot
		for i := range r.lots {
			if l := &r.lots[i]; l.phase == open && l.Units > 0 && (best == nil || sooner(&l.Lot, &best.Lot)) {
				best = l
			}
		}
		if best == nil {
			return units
		}
		n := min(units, best.Units)
		best.Units -= n
		best.used += n
		units -= n
	}
	return 0
}

func sooner(a, b *state.Lot) bool {
	switch {
	case a.Expires != b.Expires:
		return a.Expires != 0 && (b.Expires == 0 || a.Expires < b.Expires)
	case a.Available != b.Available:
		return a.Available < b.Available
	case a.At != b.At:
		return a.At < b.At
	}
	return a.Key < b.Key
}

// state is what the run came to.
func (r *run) state(at schemas.EventTime) State {
	s := State{Debt: r.debt, Caps: r.caps, Totals: r.t, Moves: r.moves, Denied: r.denied}
	for i := range r.lots {
		l := &r.lots[i]
		if l.Units == 0 {
			continue
		}
		s.Totals[[...]int{pending: state.SumPending, claimable: state.SumClaimable, open: state.SumOpen}[l.phase]] += l.Units
		s.Lots = append(s.Lots, l.Lot)
	}
	s.Totals[state.SumOwed] = r.debt
	s.Wants = r.wants
	for i := range r.funds {
		if f := &r.funds[i]; f.left+f.back > 0 {
			s.Backs = append(s.Backs, Back{Key: f.key, At: f.at, Units: f.left + f.back})
		}
	}
	sort.SliceStable(s.Lots, func(i, j int) bool { return sooner(&s.Lots[i], &s.Lots[j]) })
	if n := r.next(); n > at {
		s.Next = n
	}
	if r.ahead != 0 && (s.Next == 0 || r.ahead < s.Next) {
		s.Next = r.ahead
	}
	return s
}

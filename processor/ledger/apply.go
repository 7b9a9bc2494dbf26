package ledger

import (
	"tidemark/playbook"
	"tidemark/schemas"
	"tidemark/state"
)

// apply does one line.
func (r *run) apply(it *item) {
	switch it.rank {
	case rankEarned:
		r.earn(it)
	case rankReversed:
		if n := r.entitled[it.of] - it.units; n > 0 {
			r.entitled[it.of] = it.units
			r.reverse(it, n)
		}
	case rankTaken, rankReturned:
		if it.expires == 0 || it.expires > it.at {
			told := len(r.moves)
			if r.reverse(it, it.units); it.rank == rankReturned {
				r.moves = r.moves[:told]
			}
		}
	case rankUnlinked:
		// A refund that met no order lowers what there is, and never below 0.
		if n := min(it.units, max(r.balance(), 0)); n > 0 {
			before := r.balance()
			r.debit(n)
			r.t[state.SumReversed] += n
			r.tellFrom(before, Move{Kind: Reversed, At: it.at, Key: it.event, Units: n})
		}
	case rankGranted:
		if it.slot >= 0 {
			u := &r.caps[it.slot]
			if u.Used > 0 && u.Start >= it.cycle {
				return // once in a cycle, however often she comes
			}
			*u = state.CapUse{Start: it.cycle, Used: it.units}
		}
		r.given(it, Granted, state.SumGranted)
	case rankRevoked:
		r.revoke(it)
	case rankReceived:
		r.t[state.SumReceived] += it.units
		r.lots = append(r.lots, r.fresh(it))
		r.open(&r.lots[len(r.lots)-1], it.at, Received, it.event, "")
	case rankLate:
		r.given(it, Earned, state.SumEarned)
	case rankClaimed:
		r.claim(it)
	case rankAdjusted:
		r.adjust(it)
	case rankRedeemed:
		r.redeem(it)
	case rankSent:
		before := r.balance()
		r.debt += r.debit(it.units)
		r.t[state.SumSent] += it.units
		r.tellFrom(before, Move{Kind: Sent, At: it.at, Key: it.event, Units: it.units})
	}
}

func (r *run) fresh(it *item) lot {
	l := lot{Lot: state.Lot{Key: it.event, At: it.at, Available: it.at, Expires: it.expires, Units: it.units}, src: -1, move: -1, fund: -1}
	if it.rank == rankGranted && it.key != 0 {
		l.Key = it.key
	}
	return l
}

// given is units that count at once, unless they must be claimed.
func (r *run) given(it *item, kind Kind, sum int) {
	x := r.fresh(it)
	if x.Units, x.fund = r.fund(it, it.units); x.Units == 0 {
		return
	}
	r.t[sum] += x.Units
	r.lots = append(r.lots, x)
	l := &r.lots[len(r.lots)-1]
	if w := r.b.Def.ClaimWithin; w > 0 {
		l.phase, l.Claim = claimable, it.at+w
		l.move = r.tell(Move{Kind: Claimable, At: it.at, Key: it.event, Units: l.Units, Until: l.Claim})
		return
	}
	r.open(l, it.at, kind, it.event, "")
}

// earn makes the lot of an award, as far as the caps let it.
func (r *run) earn(it *item) {
	units := it.units
	for i, c := range r.b.Def.Caps {
		u := &r.caps[i]
		if start, _ := r.z.CycleStart(c.Cycle, it.at); start > u.Start {
			*u = state.CapUse{Start: start}
		}
		units = min(units, max(c.AtMost-u.Used, 0))
	}
	for i := range r.b.Def.Caps {
		r.caps[i].Used += units
	}
	paid, of := r.fund(it, units)
	r.entitled[it.of] = paid
	if paid == 0 {
		return
	}
	r.t[state.SumEarned] += paid
	r.lots = append(r.lots, lot{Lot: state.Lot{Key: it.key, At: it.at, Available: it.settled, Units: paid}, src: it.of, move: -1, fund: of})
}

// reverse takes back units of one award or order: first what does not count yet,
// then what is left of the rest, then what was used. What lapsed or expired is gone.
func (r *run) reverse(it *item, units int64) {
	before, back, all := r.balance(), int64(0), units
	told := -1
	mine := func(l *lot) bool { return it.key != 0 && l.Key == it.key && (it.of < 0 || l.src == it.of) }
	for i := range r.lots {
		if l := &r.lots[i]; mine(l) && l.phase != open {
			n := min(units, l.Units)
			l.Units -= n
			units -= n
			r.t[state.SumCancelled] += n
			r.back(l, n)
			if l.move >= 0 {
				r.moves[l.move].Units -= n
			}
			if it.of < 0 && it.rank == rankTaken {
				gone := min(units, l.gone)
				units, all = units-gone, all-gone
			}
		}
	}
	for i := range r.lots {
		l := &r.lots[i]
		if !mine(l) || l.phase != open || units == 0 {
			continue
		}
		n := min(units, l.Units)
		l.Units -= n
		units -= n
		r.t[state.SumReversed] += n
		back += n
		n += r.owe(min(units, l.used), &units, &back)
		if l.move >= 0 {
			told = l.move
			r.moves[told].Units -= n
		}
	}
	if it.of < 0 { // the rest is of what was closed
		r.owe(units, &units, &back)
	}
	it.took = all - units
	if back > 0 && told < 0 {
		r.tellFrom(before, Move{Kind: Reversed, At: it.at, Key: it.event, Units: back})
	}
}

// owe takes back units that were used already.
func (r *run) owe(n int64, units, back *int64) int64 {
	if n <= 0 {
		return 0
	}
	*units -= n
	missing := r.debit(n)
	r.t[state.SumReversed] += n
	if r.b.Def.Overdraft == playbook.OverdraftForgive {
		r.t[state.SumForgiven] += missing
	} else {
		r.debt += missing
	}
	*back += n
	return n
}

// revoke takes back what is unused of all that one source gave.
func (r *run) revoke(it *item) {
	before, n := r.balance(), int64(0)
	for i := range r.lots {
		l := &r.lots[i]
		if l.Key != it.key || l.Units == 0 {
			continue
		}
		if l.phase == open {
			r.t[state.SumReversed] += l.Units
		} else {
			r.t[state.SumCancelled] += l.Units
		}
		n += l.Units
		r.back(l, l.Units)
		l.Units = 0
	}
	if n > 0 {
		r.tellFrom(before, Move{Kind: Reversed, At: it.at, Key: it.event, Units: n})
	}
}

// claim lets what is claimable count, what lapses first first.
func (r *run) claim(it *item) {
	left := it.units
	all := left <= 0
	before, got := r.balance(), int64(0)
	var until schemas.EventTime
	var made []int
	for all || left > 0 {
		best := -1
		for i := range r.lots {
			if l := &r.lots[i]; l.phase == claimable && l.Units > 0 && (best < 0 || l.Claim < r.lots[best].Claim || l.Claim == r.lots[best].Claim && sooner(&l.Lot, &r.lots[best].Lot)) {
				best = i
			}
		}
		if best < 0 {
			break
		}
		n := r.lots[best].Units
		if !all {
			n = min(n, left)
		}
		left -= n
		got += n
		if n < r.lots[best].Units { // the rest waits on
			rest := r.lots[best]
			rest.Units -= n
			rest.used = 0
			r.lots = append(r.lots, rest)
			r.lots[best].Units = n
		}
		l := &r.lots[best]
		r.open(l, it.at, Earned, it.event, it.text)
		r.moves = r.moves[:len(r.moves)-1] // they are told together
		until = l.Expires
		made = append(made, best)
	}
	if got == 0 {
		r.denied = append(r.denied, it.event)
		return
	}
	m := r.tellFrom(before, Move{Kind: Earned, At: it.at, Key: it.event, Units: got, Until: until, Text: it.text})
	for _, i := range made {
		r.lots[i].move = m
	}
}

// adjust gives or takes units by hand.
func (r *run) adjust(it *item) {
	before := r.balance()
	if it.units > 0 {
		r.t[state.SumAdjusted] += it.units
		r.lots = append(r.lots, r.fresh(it))
		r.open(&r.lots[len(r.lots)-1], it.at, Adjusted, it.event, it.text)
		return
	}
	if !r.covered(-it.units) {
		r.denied = append(r.denied, it.event)
		return
	}
	r.debt += r.debit(-it.units)
	r.t[state.SumAdjusted] += it.units
	r.tellFrom(before, Move{Kind: Adjusted, At: it.at, Key: it.event, Units: it.units, Text: it.text})
}

// redeem uses units.
func (r *run) redeem(it *item) {
	if !r.covered(it.units) {
		r.denied = append(r.denied, it.event)
		return
	}
	before := r.balance()
	r.debt += r.debit(it.units)
	r.t[state.SumRedeemed] += it.units
	r.tellFrom(before, Move{Kind: Redeemed, At: it.at, Key: it.event, Units: it.units, Text: it.text})
}

func (r *run) covered(units int64) bool {
	return r.b.Def.Overdraft == playbook.OverdraftAllow || units <= r.balance()
}

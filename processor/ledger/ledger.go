package ledger

import (
	"tidemark/playbook"
	"tidemark/processor/award"
	"tidemark/processor/history"
	"tidemark/schemas"
	"tidemark/state"
)

// Kinds of posts. The numbers stand in rows: they never change.
const (
	PostGrant    uint8 = 1 + iota // units that another rule gave
	PostEarned                    // earned in what was closed already
	PostReversal                  // taken back of what was closed already; Of is its order
	PostRedeemed                  // as the events, of what was closed already
	PostAdjusted
	PostClaimed // Units -1: all
	PostReceived
	PostSent
	PostReturned // as PostReversal, of what was told as a correction
	PostUnlinked // a refund that met no order
	PostFunded   // what of Key the pool paid for, -1: nothing; At is that of what it pays for
	PostBack     // what of that went back to the pool
)

// Kind says what a move is. The numbers stand in rows: they never change.
type Kind int32

const (
	Earned Kind = 1 + iota // units count from now on
	Claimable
	Lapsed
	Redeemed
	Adjusted
	Reversed
	Expiring
	Expired
	Granted
	Received
	Sent
)

// Move is one change of an account that is worth telling.
type Move struct {
	Kind    Kind
	At      schemas.EventTime
	Key     uint64 // with Kind its identity
	Units   int64  // of Adjusted below 0 where units were taken
	Before  int64  // balance just before
	Balance int64  // balance just after: open units less what is owed
	// Until is when units end; of Claimable until when they must be claimed; 0: never.
	Until schemas.EventTime
	Text  string // of the mark that made it
}

// State is an account as of an instant.
type State struct {
	Lots   []state.Lot
	Debt   int64
	Caps   []state.CapUse
	Totals state.Totals
	Moves  []Move   // since the account was closed, in order of time
	Denied []uint64 // hashes of events that more was asked by than there was
	Wants  []Want   // what the pool has not paid for
	Backs  []Back   // what of it was not used after all, and may go back
	Next   schemas.EventTime
}

// Balance is what may be used, less what is owed.
func (s *State) Balance() int64 { return s.Totals[state.SumOpen] - s.Debt }

// Given is what stands beside the history: a benefit that a rule's phase grants, or
// with Revoke takes back.
type Given struct {
	At     schemas.EventTime
	Key    uint64 // of the grant
	Source uint64 // of what grants, which takes back what is unused of it
	Units  int64
	Revoke bool
	// Of a source that grants once in a cycle: its place among the account's caps
	// and the cycle's begin. Slot -1: of another.
	Slot  int
	Cycle schemas.EventTime
}

// Want is units that come in only when the pool pays for them.
type Want struct {
	Key   uint64
	At    schemas.EventTime
	Units int64
}

// Back is what of a Want that was paid for never came in or never counted, in all.
type Back struct {
	Key   uint64
	At    schemas.EventTime
	Units int64
}

// Book is a ledger bound to the streams of a store.
type Book struct {
	Def                                  *playbook.Ledger
	earn                                 *award.Rule // nil: nothing earns by itself
	redeemed, claimed, adjusted, refunds history.Stream
}

// Bind resolves a ledger; ids gives the stream of a store for an index into Playbook.Streams.
func Bind(def *playbook.Ledger, ids func(int) history.Stream) Book {
	b := Book{Def: def, redeemed: ids(def.Redeemed), claimed: ids(def.Claimed), adjusted: ids(def.Adjusted)}
	if len(def.Earn.Factors) > 0 {
		b.earn, b.refunds = award.Bind(&def.Earn, ids), ids(def.Refunds)
	}
	return b
}

// Earns says whether orders and behaviors earn by themselves.
func (b *Book) Earns() bool { return b.earn != nil }

// Ends is when units that count from an instant on end; 0: never.
func (b *Book) Ends(z history.Zone, from schemas.EventTime) schemas.EventTime {
	x := &b.Def.Expires
	switch {
	case x.After > 0:
		return z.Midnight(z.Day(from) + int64(x.After/schemas.Day) + 1)
	case x.Cycle != "":
		t := from
		for range x.Later + 1 {
			t, _ = z.Cycle(x.Cycle, t)
		}
		return t
	}
	return 0
}

// Worth is what an order or behavior that earned up to an account's closing gives, as
// known now, and when these units end if they were let count at once; 0: never.
func (b *Book) Worth(v history.View, key uint64, upTo schemas.EventTime) (units int64, ends schemas.EventTime) {
	if b.earn == nil {
		return 0, 0
	}
	for _, a := range b.earn.List(v, upTo) {
		if a.Event == key {
			units += a.Units
			ends = b.Ends(v.Zone, max(a.Settled, a.At)+b.Def.ClaimWithin)
		}
	}
	return units, ends
}

// Balanced says whether an account's totals add up, and agree with its lots.
func (s *State) Balanced() bool {
	t := &s.Totals
	in := t[state.SumEarned] + t[state.SumGranted] + t[state.SumAdjusted] + t[state.SumReceived] + t[state.SumForgiven]
	out := t[state.SumPending] + t[state.SumClaimable] + t[state.SumOpen] - t[state.SumOwed] + t[state.SumCancelled] + t[state.SumLapsed] +
		t[state.SumRedeemed] + t[state.SumExpired] + t[state.SumReversed] + t[state.SumSent]
	held := int64(0)
	for i := range s.Lots {
		if s.Lots[i].Units <= 0 {
			return false
		}
		held += s.Lots[i].Units
	}
	return in == out && held == t[state.SumPending]+t[state.SumClaimable]+t[state.SumOpen] && s.Debt == t[state.SumOwed] && s.Debt >= 0
}

// Close folds all up to an instant into the account; now is how far the customer's
// time has come. What is kept of it is what is left: units that count by the day on
// which they end, the others singly. Refunds of what is closed that are known by now
// become posts.
func (b *Book) Close(v history.View, a *state.Account, given []Given, upTo, now schemas.EventTime) {
	r := b.run(v, a, given, upTo)
	var returned []state.Post
	if len(r.later) > 0 {
		known := b.run(v, a, given, max(now, upTo))
		for _, it := range known.items {
			if it.rank != rankReversed || it.at <= upTo || it.took == 0 || known.earned[it.of] > upTo {
				continue
			}
			if k := len(returned) - 1; k >= 0 && returned[k].Key == it.event && returned[k].Of == it.key {
				returned[k].Units += it.took
				continue
			}
			returned = append(returned, state.Post{Kind: PostReturned, At: it.at, Key: it.event, Of: it.key, Units: it.took})
		}
	}
	kept := a.Posts[:0]
	for _, p := range a.Posts {
		if p.At > upTo {
			kept = append(kept, p)
		}
	}
	a.Posts = kept
	for _, p := range returned {
		a.Post(p)
	}
	s := r.state(upTo)
	a.AsOf, a.Debt, a.Caps, a.Base, a.Lots = upTo, s.Debt, s.Caps, s.Totals, a.Lots[:0]
	for _, l := range s.Lots {
		if l.Available == 0 || l.Available > upTo || l.Claim != 0 {
			a.Lots = append(a.Lots, l)
			continue
		}
		if l.At = l.Available; !b.Def.Benefit { // who gave a benefit may take it back
			l.Key = 0
		}
		if k := len(a.Lots) - 1; k >= 0 && a.Lots[k].Key == l.Key && a.Lots[k].Available != 0 && a.Lots[k].Available <= upTo && a.Lots[k].Claim == 0 && a.Lots[k].Expires == l.Expires {
			a.Lots[k].Units += l.Units
			continue
		}
		a.Lots = append(a.Lots, l)
	}
}

// At is the account as of an instant. What lies after it is not read, but for
// what a refund leaves of an order that earned by then.
func (b *Book) At(v history.View, a *state.Account, given []Given, at schemas.EventTime) State {
	s := b.run(v, a, given, at).state(at)
	for _, p := range a.Posts {
		if p.Kind == PostReceived && p.At > at { // here, and not to be used before its instant
			s.Totals[state.SumReceived] += p.Units
			s.Totals[state.SumPending] += p.Units
			s.Lots = append(s.Lots, state.Lot{Key: p.Key, At: p.At, Available: p.At, Expires: p.Expires, Units: p.Units})
		}
	}
	return s
}

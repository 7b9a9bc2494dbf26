package state

import (
	"encoding/binary"
	"sort"

	"tidemark/schemas"
)

// Account is what one customer holds in one ledger, or of one benefit.
//
// All up to AsOf stands in Lots, Debt, Caps and Base, and can't be told again;
// what came later is in the history that the row keeps, and in Posts.
type Account struct {
	ID    uint32 // in the store's dictionary of names
	AsOf  schemas.EventTime
	Debt  int64    // units owed: taken back or spent beyond what was there
	Lots  []Lot    // by (Expires, Available, Key)
	Posts []Post   // by (At, Kind, Key)
	Caps  []CapUse // by place of the cap in the playbook
	Base  Totals   // of all up to AsOf
	Now   Totals   // as the task's own sums count this account
}

// Lot is units that came together and end together.
type Lot struct {
	Key       uint64            // hash of the order or event that they are of; 0: nothing can ask for them any more
	At        schemas.EventTime // when they were earned
	Available schemas.EventTime // from when they count; 0: not known yet
	Claim     schemas.EventTime // until when they must be claimed; 0: that is not asked, or done
	Expires   schemas.EventTime // 0: never
	Units     int64             // what is left of them
}

// Post is a line of an account that another rule wrote, or that came too late to
// be told in its place.
type Post struct {
	Kind    uint8 // the ledger's own
	At      schemas.EventTime
	Key     uint64            // one post stands for each kind and key
	Of      uint64            // the Key of the lot that it changes; 0: of none
	Expires schemas.EventTime // of units given; 0: as the ledger says
	Units   int64
}

// CapUse is how much of a cap is used in the cycle that began at Start.
type CapUse struct {
	Start schemas.EventTime
	Used  int64
}

// Totals count an account's units by where they came from and went to. The
// numbers are places in rows: they never change, more may be added before TotalsLen.
type Totals [TotalsLen]int64

// Places in Totals. What came in (Earned, Granted, Adjusted, Received, Forgiven)
// is what is there (Pending, Claimable, Open, less Owed) and what went.
const (
	SumEarned    = iota // by the ledger's own rules, before what was cancelled
	SumGranted          // by other rules
	SumAdjusted         // by hand, less what was taken
	SumReceived         // from other customers
	SumForgiven         // owed and let go
	SumPending          // not settled yet
	SumClaimable        // settled and not claimed
	SumOpen             // to be used
	SumOwed             // Debt
	SumCancelled        // taken back before it counted
	SumLapsed           // not claimed in time
	SumRedeemed         // used
	SumExpired          // not used in time
	SumReversed         // taken back after it counted
	SumSent             // to other customers, fees included
	TotalsLen
)

// Account returns the account with that id, nil if there is none.
func (c *Customer) Account(id uint32) *Account {
	for i := range c.Accounts {
		if c.Accounts[i].ID == id {
			return &c.Accounts[i]
		}
	}
	return nil
}

// EnsureAccount is Account, made if missing. The pointer holds until the next.
func (c *Customer) EnsureAccount(id uint32) *Account {
	if a := c.Account(id); a != nil {
		return a
	}
	i := sort.Search(len(c.Accounts), func(i int) bool { return c.Accounts[i].ID > id })
	c.Accounts = append(c.Accounts, Account{})
	copy(c.Accounts[i+1:], c.Accounts[i:])
	c.Accounts[i] = Account{ID: id}
	return &c.Accounts[i]
}

// Post writes a line, in the place of one of the same kind and key; units 0
// takes that one out.
func (a *Account) Post(p Post) {
	for i := range a.Posts {
		if q := &a.Posts[i]; q.Kind == p.Kind && q.Key == p.Key {
			a.Posts = append(a.Posts[:i], a.Posts[i+1:]...)
			break
		}
	}
	if p.Units == 0 {
		return
	}
	i := sort.Search(len(a.Posts), func(i int) bool {
		q := &a.Posts[i]
		if q.At != p.At {
			return q.At > p.At
		}
		return q.Kind > p.Kind || q.Kind == p.Kind && q.Key > p.Key
	})
	a.Posts = append(a.Posts, Post{})
	copy(a.Posts[i+1:], a.Posts[i:])
	a.Posts[i] = p
}

const (
	lotKey = 1 << iota
	lotAvailable
	lotClaim
	lotExpires
	lotAll = 1<<iota - 1
)

func appendAccounts(dst []byte, c *Customer) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(c.Accounts)))
	for i := range c.Accounts {
		a := &c.Accounts[i]
		dst = binary.AppendUvarint(dst, uint64(a.ID))
		dst = binary.AppendVarint(dst, int64(c.Latest-a.AsOf))
		dst = binary.AppendVarint(dst, a.Debt)
		dst = binary.AppendUvarint(dst, uint64(len(a.Lots)))
		prev := a.AsOf
		for k := range a.Lots {
			l := &a.Lots[k]
			var f byte
			if l.Key != 0 {
				f |= lotKey
			}
			if l.Available != 0 {
				f |= lotAvailable
			}
			if l.Claim != 0 {
				f |= lotClaim
			}
			if l.Expires != 0 {
				f |= lotExpires
			}
			dst = append(dst, f)
			if f&lotKey != 0 {
				dst = binary.LittleEndian.AppendUint64(dst, l.Key)
			}
			dst = binary.AppendVarint(dst, int64(a.AsOf-l.At))
			if f&lotAvailable != 0 {
				dst = binary.AppendVarint(dst, int64(l.Available-l.At))
			}
			if f&lotClaim != 0 {
				dst = binary.AppendVarint(dst, int64(l.Claim-l.At))
			}
			if f&lotExpires != 0 {
				dst = binary.AppendVarint(dst, int64(l.Expires-prev))
				prev = l.Expires
			}
			dst = binary.AppendVarint(dst, l.Units)
		}
		dst = binary.AppendUvarint(dst, uint64(len(a.Posts)))
		for k := range a.Posts {
			p := &a.Posts[k]
			dst = append(dst, p.Kind)
			dst = binary.AppendVarint(dst, int64(c.Latest-p.At))
			dst = binary.LittleEndian.AppendUint64(dst, p.Key)
			dst = binary.LittleEndian.AppendUint64(dst, p.Of)
			dst = appendOptional(dst, p.Expires, p.At)
			dst = binary.AppendVarint(dst, p.Units)
		}
		dst = binary.AppendUvarint(dst, uint64(len(a.Caps)))
		for _, u := range a.Caps {
			dst = binary.AppendVarint(dst, int64(a.AsOf-u.Start))
			dst = binary.AppendVarint(dst, u.Used)
		}
		dst = appendTotals(dst, &a.Base)
		dst = appendTotals(dst, &a.Now)
	}
	return dst
}

// appendTotals writes which totals are not 0, and these.
func appendTotals(dst []byte, t *Totals) []byte {
	var bits uint64
	for i, v := range t {
		if v != 0 {
			bits |= 1 << i
		}
	}
	dst = binary.AppendUvarint(dst, bits)
	for _, v := range t {
		if v != 0 {
			dst = binary.AppendVarint(dst, v)
		}
	}
	return dst
}

func (d *decoder) accounts(c *Customer) {
	n := d.count(8)
	if n == 0 {
		d.fail() // a row without accounts does not say so
		return
	}
	c.Accounts = make([]Account, n)
	for i := range c.Accounts {
		a := &c.Accounts[i]
		a.ID = uint32(d.uvarint())
		a.AsOf = c.Latest - schemas.EventTime(d.varint())
		a.Debt = d.varint()
		if n := d.count(3); n > 0 {
			a.Lots = make([]Lot, n)
			prev := a.AsOf
			for k := range a.Lots {
				l := &a.Lots[k]
				f := d.flags(lotAll)
				if f&lotKey != 0 {
					l.Key = d.fixed64()
				}
				l.At = a.AsOf - schemas.EventTime(d.varint())
				if f&lotAvailable != 0 {
					l.Available = l.At + schemas.EventTime(d.varint())
				}
				if f&lotClaim != 0 {
					l.Claim = l.At + schemas.EventTime(d.varint())
				}
				if f&lotExpires != 0 {
					l.Expires = prev + schemas.EventTime(d.varint())
					prev = l.Expires
				}
				l.Units = d.varint()
			}
		}
		if n := d.count(20); n > 0 {
			a.Posts = make([]Post, n)
			for k := range a.Posts {
				p := &a.Posts[k]
				p.Kind = d.byte()
				p.At = c.Latest - schemas.EventTime(d.varint())
				p.Key = d.fixed64()
				p.Of = d.fixed64()
				if d.flags(1) != 0 {
					p.Expires = p.At + schemas.EventTime(d.varint())
				}
				p.Units = d.varint()
			}
		}
		if n := d.count(2); n > 0 {
			a.Caps = make([]CapUse, n)
			for k := range a.Caps {
				a.Caps[k] = CapUse{Start: a.AsOf - schemas.EventTime(d.varint()), Used: d.varint()}
			}
		}
		d.totals(&a.Base)
		d.totals(&a.Now)
	}
}

func (d *decoder) totals(t *Totals) {
	bits := d.uvarint()
	if bits>>TotalsLen != 0 {
		d.fail()
		return
	}
	for i := range t {
		if bits&(1<<i) != 0 {
			t[i] = d.varint()
		}
	}
}

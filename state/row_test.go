package state

import (
	"encoding/hex"
	"errors"
	"reflect"
	"testing"

	"pgregory.net/rapid"

	"tidemark/schemas"
	"tidemark/testkit/soak"
)

// known is the row that FORMAT.md takes apart.
func known() *Customer {
	return &Customer{
		ID: "c1", Latest: 1_704_448_800_000, Wake: 1_707_904_800_000,
		Base:   Base{Count: 1, Sum: 900, Days: 1, First: 1_600_000_000_000, Last: 1_600_000_000_000},
		Days:   []DaySum{{Last: 1_704_362_400_000, Count: 2, Sum: 500, Omitted: 100}},
		Orders: []Order{{ID: 0x1112131415161718, Event: 0x2122232425262728, At: 1_704_448_700_000, Paid: 12_000, Refunded: 2_000}},
		Seen:   []Seen{{Hash: 0x3132333435363738, Day: 19_727}},
		Wait:   []Waiting{{Order: 0x41, Event: 0x42, At: 1_704_448_800_000, Until: 1_704_448_800_000 + 30*schemas.Day, Amount: 700, Code: [3]byte{'C', 'N', 'Y'}}},
		Rules: []Rule{{ID: 1, Phase: 1, Episode: 2, Since: 1_704_448_700_000, Due: 1_735_984_700_000, Aux: 7,
			Log: []Firing{{Episode: 2, Revision: 1, At: 1_704_448_700_000, From: 0, To: 1, Hash: 0xa1a2a3a4, Withheld: 1}}}},
		Spilled: 617,
	}
}

// The bytes of FORMAT.md. A change here is a new RowVersion.
const knownRow = "01" + "7f" +
	"80d485919b63" + "01" + "8080f3df19" +
	"02" + "880e" + "02" + "8080f4f6905d" + "00" + "00" + "00" +
	"01" + "80f0b252" + "04" + "e807" + "c801" + "00" +
	"01" + "02" + "1817161514131211" + "2827262524232221" + "c09a0c" + "e05d" + "d00f" +
	"01" + "00" + "3837363534333231" +
	"01" + "4100000000000000" + "4200000000000000" + "00" + "80a0f6a713" + "f80a" + "434e59" +
	"01" + "1b" + "01" + "02" + "02" + "c09a0c" + "c095fdfaea01" + "0e" +
	"01" + "02" + "00" + "01" + "c09a0c" + "00" + "02" + "a4a3a2a1" + "01" +
	"d209"

func TestKnownRow(t *testing.T) {
	if got := hex.EncodeToString(AppendRow(nil, known())); got != knownRow {
		t.Errorf("got\n%s, want\n%s", got, knownRow)
	}
	raw, err := hex.DecodeString(knownRow)
	if err != nil {
		t.Fatal(err)
	}
	c := Customer{ID: "c1"}
	if err := DecodeRow(&c, raw); err != nil {
		t.Fatal(err)
	}
	if want := known(); !reflect.DeepEqual(&c, want) {
		t.Errorf("got %+v, want %+v", &c, want)
	}
}

func TestKnownPosition(t *testing.T) {
	p := Position{Generation: 1, Task: 3, Engine: 1, Sequence: 300, Hash: 0x0102030405060708, JournalNext: 601,
		Inputs: [schemas.Inputs]schemas.Offset{10, 20, 2, 0}, Clock: 1_704_448_800_000, Fired: 1_704_448_799_999, Playbook: "1-a"}
	const want = "01" + "02" + "06" + "02" + "d804" + "0807060504030201" + "b209" + "14280400" + "80d485919b63" + "fed385919b63" + "03312d61"
	if got := hex.EncodeToString(AppendPosition(nil, &p)); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	raw, _ := hex.DecodeString(want)
	got, err := DecodePosition(raw)
	if err != nil || got != p {
		t.Errorf("got %+v, %v", got, err)
	}
	for n := range raw {
		if _, err := DecodePosition(raw[:n]); !errors.Is(err, ErrPosition) {
			t.Errorf("%d bytes: %v", n, err)
		}
	}
}

func anyTime(t *rapid.T) schemas.EventTime {
	return schemas.EventTime(rapid.Int64Range(0, 1<<50).Draw(t, "time"))
}

func anyAmount(t *rapid.T) int64 { return rapid.Int64Range(0, 1<<62).Draw(t, "amount") }

func anyCustomer(t *rapid.T) *Customer {
	id := func() uint64 { return rapid.Uint64().Draw(t, "id") }
	some := func(n int) int { return rapid.IntRange(0, n).Draw(t, "some") }
	maybe := func() bool { return rapid.Bool().Draw(t, "maybe") }
	c := &Customer{ID: "c", Latest: anyTime(t)}
	if maybe() {
		c.Wake = anyTime(t)
	}
	if maybe() {
		c.Base = Base{Count: anyAmount(t), Sum: anyAmount(t), Days: anyAmount(t), First: anyTime(t), Last: anyTime(t), Refunded: anyAmount(t), Omitted: anyAmount(t)}
	}
	for range some(3) {
		c.Days = append(c.Days, DaySum{Last: anyTime(t), Count: anyAmount(t), Sum: -anyAmount(t), Omitted: anyAmount(t), Refunded: anyAmount(t)})
	}
	for range some(3) {
		o := Order{ID: id(), Event: id(), At: anyTime(t), Paid: anyAmount(t)}
		for _, f := range []*int64{&o.Refunded, &o.Voided, &o.Omitted, &o.Base} {
			if maybe() {
				*f = anyAmount(t)
			}
		}
		if maybe() {
			o.Cancelled = anyTime(t)
		}
		c.Orders = append(c.Orders, o)
	}
	for range some(3) {
		c.Seen = append(c.Seen, Seen{Hash: id(), Day: int32(rapid.IntRange(0, 1<<20).Draw(t, "day"))})
	}
	for range some(2) {
		c.Wait = append(c.Wait, Waiting{Order: id(), Event: id(), At: anyTime(t), Until: anyTime(t), Amount: anyAmount(t) - 1, Code: [3]byte{'U', 'S', 'D'}})
	}
	for range some(3) {
		r := Rule{ID: rapid.Uint32().Draw(t, "rule"), Phase: rapid.Int32().Draw(t, "phase"), Episode: rapid.Uint32().Draw(t, "episode"), Aux: rapid.Int64().Draw(t, "aux")}
		for _, f := range []*schemas.EventTime{&r.Since, &r.Due, &r.Armed, &r.Sent} {
			if maybe() {
				*f = anyTime(t)
			}
		}
		if r.Counted = maybe(); r.Counted {
			r.Vals = [3]int64{rapid.Int64().Draw(t, "r"), anyAmount(t), anyAmount(t)}
		}
		for range some(3) {
			f := Firing{Episode: rapid.Uint32().Draw(t, "episode"), Revision: rapid.Uint32().Draw(t, "revision"), At: anyTime(t),
				From: rapid.Int32().Draw(t, "from"), To: rapid.Int32().Draw(t, "to"), Hash: rapid.Uint32().Draw(t, "hash"), Withheld: rapid.Uint8().Draw(t, "withheld")}
			if maybe() {
				f.Ended = anyTime(t)
			}
			r.Log = append(r.Log, f)
		}
		c.Rules = append(c.Rules, r)
	}
	c.Spilled = rapid.Int32().Draw(t, "spilled")
	text := func() string { return rapid.SampledFrom([]string{"", "app", "上海"}).Draw(t, "text") }
	for range some(3) {
		c.Marks = append(c.Marks, Mark{Stream: rapid.Uint32().Draw(t, "stream"), At: anyTime(t), Event: id(), Key: id() % 3, Value: rapid.Int64Range(-2, 2).Draw(t, "value"), Text: text()})
	}
	for range some(2) {
		c.MarkDays = append(c.MarkDays, MarkDay{Stream: rapid.Uint32().Draw(t, "stream"), Last: anyTime(t), Count: anyAmount(t), Sum: -anyAmount(t), Value: anyAmount(t)})
	}
	for range some(2) {
		c.MarkBases = append(c.MarkBases, MarkBase{Stream: rapid.Uint32().Draw(t, "stream"), Count: anyAmount(t), Sum: anyAmount(t), Days: anyAmount(t), First: anyTime(t), Last: anyTime(t), Value: anyAmount(t), FirstText: text(), Text: text()})
	}
	for range some(2) {
		a := Account{ID: rapid.Uint32().Draw(t, "account"), AsOf: anyTime(t), Debt: anyAmount(t)}
		for range some(3) {
			l := Lot{Key: id() % 3, At: anyTime(t), Units: anyAmount(t)}
			for _, f := range []*schemas.EventTime{&l.Available, &l.Claim, &l.Expires} {
				if maybe() {
					*f = anyTime(t)
				}
			}
			a.Lots = append(a.Lots, l)
		}
		for range some(2) {
			p := Post{Kind: rapid.Uint8().Draw(t, "kind"), At: anyTime(t), Key: id(), Of: id(), Units: -anyAmount(t)}
			if maybe() {
				p.Expires = anyTime(t)
			}
			a.Posts = append(a.Posts, p)
		}
		for range some(2) {
			a.Caps = append(a.Caps, CapUse{Start: anyTime(t), Used: anyAmount(t)})
		}
		a.Base[rapid.IntRange(0, TotalsLen-1).Draw(t, "place")] = -anyAmount(t)
		a.Now[rapid.IntRange(0, TotalsLen-1).Draw(t, "place")] = anyAmount(t)
		c.Accounts = append(c.Accounts, a)
	}
	return c
}

func TestRowRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := anyCustomer(t)
		row := AppendRow(nil, want)
		got := Customer{ID: "c"}
		if err := DecodeRow(&got, row); err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(&got, want) {
			t.Fatalf("got %+v, want %+v", &got, want)
		}
		cut := rapid.IntRange(0, len(row)-1).Draw(t, "cut")
		if err := DecodeRow(&Customer{}, row[:cut]); !errors.Is(err, ErrRow) {
			t.Fatalf("%d of %d bytes: %v", cut, len(row), err)
		}
		if err := DecodeRow(&Customer{}, append(row, 0)); !errors.Is(err, ErrRow) {
			t.Fatalf("a byte too many: %v", err)
		}
	})
}

// FuzzRow: no bytes make the decoder panic, and none make it allocate far more
// than they are long; what it takes, it writes again with the same meaning.
func FuzzRow(f *testing.F) { fuzzRow(f) }

func fuzzRow(f soak.F) {
	raw, err := hex.DecodeString(knownRow)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(raw)
	f.Add([]byte{1, 0x7f})
	f.Add([]byte{2, 0})
	customers := rapid.Custom(anyCustomer)
	for seed := range 12 {
		f.Add(AppendRow(nil, customers.Example(seed)))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		var c Customer
		if err := DecodeRow(&c, b); err != nil {
			if !errors.Is(err, ErrRow) {
				t.Fatal(err)
			}
			return
		}
		if n := len(c.Days) + len(c.Orders) + len(c.Seen) + len(c.Wait) + len(c.Rules) + len(c.Marks) + len(c.MarkDays) + len(c.MarkBases); n > len(b) {
			t.Fatalf("%d entries of %d bytes", n, len(b))
		}
		var again Customer
		if err := DecodeRow(&again, AppendRow(nil, &c)); err != nil {
			t.Fatal(err)
		}
	})
}

func TestKeys(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, b := rapid.Int64().Draw(t, "a"), rapid.Int64().Draw(t, "b")
		id := rapid.StringMatching(`[a-z]{1,9}`).Draw(t, "id")
		due, who, ok := ParseTimerKey(TimerKey(nil, schemas.EventTime(a), id))
		if !ok || int64(due) != a || string(who) != id {
			t.Fatal(due, who, ok)
		}
		if less := string(TimerKey(nil, schemas.EventTime(a), id)) < string(TimerKey(nil, schemas.EventTime(b), id)); less != (a < b) {
			t.Fatalf("%d and %d do not sort as keys", a, b)
		}
		rule, fact, bucket, ok := ParseHistogramKey(HistogramKey(nil, uint32(a), byte(b), a))
		if !ok || rule != uint32(a) || fact != byte(b) || bucket != a {
			t.Fatal(rule, fact, bucket, ok)
		}
		if less := string(HistogramKey(nil, 1, 0, a)) < string(HistogramKey(nil, 1, 0, b)); less != (a < b) {
			t.Fatalf("buckets %d and %d do not sort as keys", a, b)
		}
	})
}

// A row decoded into the memory of another customer is the same as one decoded
// into none, and changes nothing of what that customer's rules still hold.
func TestRowIntoUsedMemory(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		was, is := anyCustomer(t), anyCustomer(t)
		row := AppendRow(nil, is)
		used, fresh := Customer{ID: is.ID, Orders: was.Orders[:0], Rules: was.Rules[:0]}, Customer{ID: is.ID}
		held := make([]*Firing, 0, 8)
		for i := range was.Rules {
			for k := range was.Rules[i].Log {
				held = append(held, &was.Rules[i].Log[k])
			}
		}
		before := make([]Firing, len(held))
		for i, f := range held {
			before[i] = *f
		}
		if err := DecodeRow(&used, row); err != nil {
			t.Fatal(err)
		}
		if err := DecodeRow(&fresh, row); err != nil {
			t.Fatal(err)
		}
		if got, want := hex.EncodeToString(AppendRow(nil, &used)), hex.EncodeToString(row); got != want {
			t.Fatalf("got\n%s, want\n%s", got, want)
		}
		if len(used.Orders) == 0 {
			used.Orders = nil
		}
		if len(used.Rules) == 0 {
			used.Rules = nil
		}
		if !reflect.DeepEqual(used, fresh) {
			t.Fatalf("got %+v, want %+v", used, fresh)
		}
		for i, f := range held {
			if *f != before[i] {
				t.Fatalf("a firing of the customer before became %+v", *f)
			}
		}
	})
}

package fit

import (
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"tidemark/examples"
	"tidemark/playbook"
	"tidemark/schemas"
)

func TestChurnOnCDNOW(t *testing.T) {
	h := sample(t)
	r, err := Churn(h, ChurnOptions{Horizon: 273})
	if err != nil {
		t.Fatal(err)
	}
	if r.Customers != 2357 || r.Cut != "1997-09-30" || r.HorizonDays != 273 {
		t.Errorf("%d customers to %s, horizon %d", r.Customers, r.Cut, r.HorizonDays)
	}
	auc := map[string]float64{}
	for _, m := range r.Models {
		auc[m.Name] = m.AUC
		t.Logf("%-13s AUC %.4f usable %v levels %v notes %v", m.Name, m.AUC, m.Usable, m.Levels, m.notes())
		for _, p := range m.Table {
			t.Logf("   %6.3f warned %5d precision %.3f recall %.3f expected %.3f", p.At, p.Warned, p.Precision, p.Recall, p.Expected)
			if m.Usable && p.Expected > 0 && p.Warned > 300 && math.Abs(p.Expected-p.Precision) > .08 {
				t.Errorf("%s at %v: expected %v, measured %v", m.Name, p.At, p.Expected, p.Precision)
			}
		}
		if !m.Usable {
			continue
		}
		for i := 1; i < len(m.Levels); i++ {
			if m.Levels[i].At <= m.Levels[i-1].At {
				t.Errorf("%s: levels %v", m.Name, m.Levels)
			}
		}
	}
	near(t, "AUC of bgnbd", auc["bgnbd"], .757, .02)
	near(t, "AUC of hiatus", auc["hiatus"], .771, .02)
	if r.Recommended == "" || auc[r.Recommended] < auc["bgnbd"]-.005 {
		t.Errorf("recommends %s", r.Recommended)
	}
	t.Log(r.Recommended, r.Why, r.BaseRate, r.Fallback)

	// With a shorter horizon the curves reach far enough too. The file is one that a playbook can name, whatever the model.
	if r, err = Churn(h, ChurnOptions{}); err != nil {
		t.Fatal(err)
	}
	text, err := r.File(h, Source{Name: "CDNOW sample", Files: []string{"CDNOW_sample.txt.gz"}})
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "p.yaml"), text, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, m := range r.Models {
		if !m.Usable {
			t.Errorf("%s is not usable: %v", m.Name, m.notes())
			continue
		}
		book := "playbook: a\ntime_zone: UTC\ncurrency: USD\n" + r.Block(m.Name, "p.yaml")
		path := filepath.Join(dir, "book.yaml")
		if err := os.WriteFile(path, []byte(book), 0o600); err != nil {
			t.Fatal(err)
		}
		pb, err := playbook.Load(path)
		if err != nil {
			t.Errorf("%s: %v\n%s\n%s", m.Name, err, book, text)
			continue
		}
		c := pb.Churn[0]
		if c.BaseRate == nil || *c.BaseRate != r.BaseRate || c.Levels[0].Precision == nil || len(c.Levels) < 2 || c.Spend.P == 0 {
			t.Errorf("%s: %+v", m.Name, c)
		}
	}
	again, err := r.File(h, Source{Name: "CDNOW sample", Files: []string{"CDNOW_sample.txt.gz"}})
	if err != nil || string(again) != string(text) {
		t.Error("the same report makes another file")
	}
}

func TestChurnSaysWhatItCannot(t *testing.T) {
	h := dataset(t, examples.OnlineRetail, examples.OnlineRetailMapping)
	r, err := Churn(h, ChurnOptions{Horizon: 90})
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range r.Models {
		t.Logf("%-13s AUC %.4f usable %v %v", m.Name, m.AUC, m.Usable, m.notes())
		if m.Name == "bgnbd" && (m.Usable || len(m.notes()) == 0) {
			t.Errorf("a drop-out that is not there is used: %+v", m.Fit)
		}
	}
	if r.Recommended == "bgnbd" {
		t.Error("recommends what is not identified")
	}
	if _, err := Churn(h, ChurnOptions{Horizon: 400}); !errors.Is(err, ErrHistory) {
		t.Errorf("a horizon longer than the history: %v", err)
	}
}

func event(customer, order string, kind schemas.OrderType, at schemas.EventTime, amount int64) *schemas.Event {
	return &schemas.Event{Kind: schemas.Order, Order: kind, CustomerID: customer, OrderID: order, OccurredAt: at, AmountMinor: amount, Currency: "EUR"}
}

// A refunded order is as if it had not been, and the order of events does not matter.
func TestHistory(t *testing.T) {
	day := func(n int) schemas.EventTime { return schemas.EventTime(n) * schemas.Day }
	events := []*schemas.Event{
		event("a", "1", schemas.Paid, day(10), 100), event("a", "2", schemas.Paid, day(10)+5, 50), event("a", "3", schemas.Paid, day(20), 70),
		event("a", "3", schemas.Refunded, day(25), 70), event("a", "4", schemas.Paid, day(30), 80), event("a", "4", schemas.Refunded, day(31), 30),
		event("b", "5", schemas.Paid, day(12), 10), event("b", "5", schemas.Cancelled, day(12), 0),
	}
	want := ""
	for turn := range 2 {
		b := NewBuilder(nil)
		for i := range events {
			if turn == 1 {
				i = len(events) - 1 - i
			}
			b.Add(events[i])
		}
		h, err := b.History()
		if err != nil {
			t.Fatal(err)
		}
		got := fmt.Sprint(h.Customers, h.First, h.Last, h.Orders, h.Currency)
		if turn == 0 {
			want = got
			if got != "[{a [{10 150} {30 50}] 3  }] 10 31 3EUR" {
				t.Errorf("got %s", got)
			}
		} else if got != want {
			t.Errorf("backwards %s, forwards %s", got, want)
		}
	}
	if _, err := NewBuilder(nil).History(); !errors.Is(err, ErrHistory) {
		t.Errorf("nothing: %v", err)
	}
}

// Kaplan and Meier by hand: 5 spells, of which 2 are censored.
func TestSurvival(t *testing.T) {
	s := newSpells()
	for _, d := range []int{3, 5, 8} {
		s.add(d, true)
	}
	s.add(5, false)
	s.add(9, false)
	k := s.survival()
	for day, want := range map[int]float64{0: 1, 2: 1, 3: .8, 4: .8, 5: .8 * .75, 7: .6, 8: .3, 100: .3} {
		near(t, fmt.Sprint("day ", day), k.At(day), want, 1e-12)
	}
	if k.Quantile(.5) != 5 || k.Quantile(1) != 8 || k.Censored != 2 {
		t.Errorf("quantiles %d %d", k.Quantile(.5), k.Quantile(1))
	}
	// A curve strays from its estimate by no more than it promises.
	h := sample(t)
	pooled := pool(h, h.Last)
	c := pooled.Curve(.004)
	if err := c.Validate(); err != nil {
		t.Fatal(err)
	}
	for d := 1; d <= int(c.End()/schemas.Day); d++ {
		got := 1 - (1 - c.NoReturn(0, schemas.EventTime(d)*schemas.Day))
		if math.Abs(got-pooled.At(d)) > .005 {
			t.Errorf("day %d: %v on the curve, %v", d, got, pooled.At(d))
		}
	}
	if len(c) > 100 {
		t.Errorf("%d knots", len(c))
	}
	t.Log(len(c), strings.TrimSpace(fmt.Sprint(c[:3])))
}

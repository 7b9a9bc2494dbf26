package fit

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"tidemark/examples"
	"tidemark/playbook"
	"tidemark/schemas"

	"pgregory.net/rapid"
)

// On Online Retail the chance of one more within 90 days is known: .455 .635
// .728 .818 .903 .887 after 1 to 6 invoices of those whose 90 days were seen;
// censoring moves it by a hundredth or two. It stops rising after 5.
func TestInflectionOnOnlineRetail(t *testing.T) {
	r, err := Inflections(dataset(t, examples.OnlineRetail, examples.OnlineRetailMapping), InflectionOptions{})
	if err != nil {
		t.Fatal(err)
	}
	g := r.Groups[0]
	for i, want := range []float64{.455, .635, .728, .818, .903, .887} {
		near(t, fmt.Sprint("after ", i+1), g.Chances[i].Chance, want, .02)
	}
	if g.Stable != 5 {
		t.Errorf("stable at %d, want 5", g.Stable)
	}
	if !(g.Declining < g.Lost && g.Declining < g.Dormant && g.Lost < g.EarlyLost) {
		t.Errorf("%+v", g)
	}
	last := 1.0
	for _, x := range g.Curve {
		if x.Away > last || x.NoReturn > 1 {
			t.Errorf("%+v rises", x)
		}
		last = x.Away
	}
	book := "playbook: a\ntime_zone: UTC\ncurrency: GBP\n" + r.Block()
	if _, err := playbook.Compile([]byte(book), "block"); err != nil {
		t.Errorf("%v\n%s", err, book)
	}
}

// Channels with 300 customers are told apart: here those of the shop return
// every 20 days, those of the fair every 60.
func TestInflectionByChannel(t *testing.T) {
	b := NewBuilder(nil)
	add := func(channel string, n, every int) {
		for i := range n {
			for k := range 2 + i%6 {
				e := event(fmt.Sprint(channel, i), fmt.Sprint(channel, i, "-", k), schemas.Paid, schemas.EventTime(k*every+i%30)*schemas.Day, 1000)
				e.Channel = channel
				e.Items = []schemas.Item{{Category: "tea"}}
				b.Add(e)
			}
		}
	}
	add("shop", 400, 20)
	add("fair", 300, 60)
	add("odd", 299, 5)
	b.Add(event("nobody", "x", schemas.Paid, 600*schemas.Day, 1))
	h, err := b.History()
	if err != nil {
		t.Fatal(err)
	}
	r, err := Inflections(h, InflectionOptions{})
	if err != nil {
		t.Fatal(err)
	}
	names, days := []string{}, map[string]int{}
	for _, g := range r.Groups {
		names = append(names, g.Group)
		days[g.Group] = g.Declining
	}
	if got, want := strings.Join(names, ", "), "all, channel: fair, channel: shop, category: tea"; got != want {
		t.Errorf("groups %s, want %s", got, want)
	}
	if days["channel: fair"] != 60 || days["channel: shop"] != 20 || r.Small == 0 {
		t.Errorf("%v, %d left out", days, r.Small)
	}
	if _, err := Inflections(h, InflectionOptions{Within: 900}); !errors.Is(err, ErrHistory) {
		t.Errorf("900 days in 600: %v", err)
	}
}

func TestTiersOnCDNOW(t *testing.T) {
	h := sample(t)
	r, err := Tiers(h, TierOptions{Shares: []float64{60, 25, 10, 4, 1}, Window: 365, Points: 1, PointWorth: .01})
	if err != nil {
		t.Fatal(err)
	}
	total := 0
	for i, l := range r.Levels {
		total += l.Highest
		near(t, l.Name+" share", l.Share, []float64{.6, .25, .1, .04, .01}[i], .02)
	}
	if total != 2357 || r.CostShare != .01 || math.Abs(r.PointsCost-r.Revenue/100) > .1 {
		t.Errorf("%d customers, points %v of %v", total, r.PointsCost, r.Revenue)
	}
	up, down, now := 0.0, 0.0, 0
	for i, l := range r.Levels {
		up, down = up+l.Upgrades, down+l.Downgrades
		now += l.Now
		if i > 0 && l.Reach <= r.Levels[i-1].Reach {
			t.Errorf("%+v", r.Levels)
		}
	}
	if !(up > down && down > 0) || now != 2357 {
		t.Errorf("%v upgrades, %v downgrades, %d on the last day", up, down, now)
	}
	double, err := Tiers(h, TierOptions{Shares: []float64{60, 25, 10, 4, 1}, Window: 365, Points: 1, PointWorth: .01, Multipliers: []float64{2, 2, 2, 2, 2}})
	if err != nil || math.Abs(double.PointsCost-2*r.PointsCost) > .1 {
		t.Errorf("twice the points cost %v, once %v (%v)", double.PointsCost, r.PointsCost, err)
	}
	book := "playbook: a\ntime_zone: UTC\ncurrency: USD\n" + r.Block()
	pb, err := playbook.Compile([]byte(book), "block")
	if err != nil {
		t.Fatalf("%v\n%s", err, book)
	}
	if pb.Tiers[0].Levels[4].Reach != r.Levels[4].Reach {
		t.Errorf("%+v", pb.Tiers[0])
	}
	for _, bad := range [][]float64{{100}, {50, 40}, {50, -10, 60}} {
		if _, err := Tiers(h, TierOptions{Shares: bad}); err == nil {
			t.Errorf("shares %v are taken", bad)
		}
	}
}

// The walk over a window against sums made anew for each day.
func TestStepsAreTheWindow(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := &Customer{}
		day := 0
		for range rapid.IntRange(1, 12).Draw(t, "days") {
			day += rapid.IntRange(1, 30).Draw(t, "gap")
			c.Days = append(c.Days, Day{day, rapid.Int64Range(0, 100).Draw(t, "net")})
		}
		window, last := rapid.IntRange(1, 60).Draw(t, "window"), day+rapid.IntRange(0, 80).Draw(t, "more")
		at := map[int]int64{}
		steps(c, window, last, func(d int, sum, _ int64) { at[d] = sum })
		sum := int64(0)
		for d := 0; d <= last; d++ {
			if s, ok := at[d]; ok {
				sum = s
			}
			want := int64(0)
			for _, x := range c.Days {
				if x.Number <= d && x.Number > d-window {
					want += x.Net
				}
			}
			if sum != want {
				t.Fatalf("day %d: %d, want %d", d, sum, want)
			}
		}
	})
}

// Leads that convert with a chance of .1 a day for a week, then of .02: the
// window is that week. Some are lost, some never converted.
func TestWindow(t *testing.T) {
	l := NewLeads("", "", "")
	const day = schemas.Day
	rng := rand.New(rand.NewPCG(7, 7))
	send := func(kind, customer string, at schemas.EventTime) {
		l.Add(&schemas.Event{Kind: schemas.Behavior, Type: kind, CustomerID: customer, OccurredAt: at, Attributes: []schemas.Attribute{{Key: "lead_id", Value: "1"}}})
	}
	for i := range 4000 {
		c := fmt.Sprint("c", i)
		send("lead.created", c, day)
		send("lead.created", c, 2*day) // a repeat of the same lead
		for d := range 60 {
			chance := .1
			if d >= 7 {
				chance = .02
			}
			if rng.Float64() < chance {
				send("lead.visited", c, day+schemas.EventTime(d)*day+schemas.Hour)
				break
			}
			if rng.Float64() < .01 {
				send("lead.lost", c, day+schemas.EventTime(d)*day+2*schemas.Hour)
				break
			}
		}
	}
	send("lead.visited", "who began before", 70*day)
	r, err := l.Window()
	if err != nil {
		t.Fatal(err)
	}
	if r.Leads != 4000 || r.Days < 7 || r.Days > 8 || r.Peak > 6 {
		t.Errorf("%d leads, window %d, peak %d", r.Leads, r.Days, r.Peak)
	}
	near(t, "hazard of day 3", r.Curve[3].Hazard, .1, .015)
	near(t, "hazard of day 20", r.Curve[20].Hazard, .02, .01)
	if _, err := NewLeads("", "", "").Window(); !errors.Is(err, ErrHistory) {
		t.Errorf("no lead: %v", err)
	}
	o := NewLeads("lead.created", Order, "")
	for i := range 50 {
		c := fmt.Sprint(i)
		o.Add(&schemas.Event{Kind: schemas.Behavior, Type: "lead.created", CustomerID: c, OccurredAt: day})
		o.Add(event(c, "o"+c, schemas.Paid, schemas.EventTime(1+i%5)*day, 5))
	}
	if r, err := o.Window(); err != nil || r.Converted != 50 {
		t.Errorf("by orders: %+v, %v", r, err)
	}
}

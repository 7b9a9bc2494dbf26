package playbook

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"tidemark/schemas"
)

var testNames = Names{
	Tiers: map[string][]string{"club": {"Lv1", "Gold"}, "other": {"A"}},
	RFM:   []string{"map"}, Churn: []string{"silent"},
}

func compiled(t testing.TB, source string) Condition {
	t.Helper()
	c, err := NewCondition(source, testNames)
	if err != nil {
		t.Fatalf("%s: %v", source, err)
	}
	return c
}

var someone = &Facts{Orders: 3, SpendMinor: 12050, Orders365: 2, Spend365Minor: 5000, AOVMinor: 4016, DaysSinceFirst: 400,
	DaysSinceLast: 12, Refunds: 1, Tiers: map[string]string{"club": "Gold"}, TierLevels: map[string]int64{"club": 1},
	Classes: map[string]string{"map": "champions"}, Churn: map[string]string{"silent": "late"}}

func TestConditionFacts(t *testing.T) {
	for source, want := range map[string]bool{
		"true":                    true,
		"orders == 3":             true,
		"spend_minor >= 12050":    true,
		"spend_minor > 12050":     false,
		"orders_365d == 2":        true,
		"spend_365d_minor < 5000": false,
		"aov_minor == 4016":       true,
		"days_since_first > 365 && days_since_last < 30":                 true,
		"refunds * 2 < orders":                                           true,
		"refunds > 0.5":                                                  true, // whole against decimal
		"double(spend_minor) * 0.5 == 6025.0":                            true,
		`tier["club"] == "Gold"`:                                         true,
		`tier.club in ["Lv1", ""]`:                                       false,
		`tier["other"] == ""`:                                            true, // no entry yet
		`tier_level["club"] >= 1 && tier_level.other == 0`:               true,
		`rfm["map"].startsWith("champ")`:                                 true,
		`churn["silent"] != "" && !(churn["silent"] == "early")`:         true,
		`orders > 100 ? false : tier["club"] != "Lv1"`:                   true,
		`size(rfm["map"]) == 9 && "map".contains("a")`:                   true,
		`orders == 0 || spend_minor / orders >= 4000 && -orders % 2 < 0`: true,
	} {
		c := compiled(t, source)
		if c.Source() != source {
			t.Errorf("source %q", c.Source())
		}
		got, err := c.Eval(someone)
		if err != nil || got != want {
			t.Errorf("%s: got %v, %v, want %v", source, got, err, want)
		}
		if _, err := c.Eval(&Facts{}); err != nil { // a customer of whom nothing is known, nil maps
			t.Errorf("%s on empty facts: %v", source, err)
		}
	}
	if _, err := compiled(t, "spend_minor / orders > 1").Eval(&Facts{}); err == nil {
		t.Error("division by zero gave no error")
	}
}

func TestConditionReads(t *testing.T) {
	for source, want := range map[string]string{
		"true": "[]",
		`tier["club"] == "Gold" && (orders > 1 || tier.other == "" || spend_minor / orders > 3)`: "[orders spend_minor tier]",
		`rfm["map"] in ["a"] && tier_level["club"] > refunds`:                                    "[refunds rfm tier_level]",
	} {
		if got := fmt.Sprint(compiled(t, source).Reads()); got != want {
			t.Errorf("%s reads %s, want %s", source, got, want)
		}
	}
}

// TestNoClock: nothing that depends on an instant, a zone or a random number
// can be said in a condition.
func TestNoClock(t *testing.T) {
	for _, source := range []string{"now() > 1", `timestamp("2024-01-01T00:00:00Z") == timestamp("2024-01-01T00:00:00Z")`,
		`duration("1h") > duration("1s")`, `type(orders) == int`, `dyn(orders) == 1`, `orders.getHours() > 1`,
		`[1].all(x, x > 0)`, `has(tier.club)`, `"a".matches("a")`, `uint("1") == 1u`, `string(orders) == "3"`} {
		if _, err := NewCondition(source, testNames); err == nil {
			t.Errorf("%s was accepted", source)
		}
	}
}

func TestConditionLimits(t *testing.T) {
	for name, source := range map[string]string{
		"long":   "orders > 1" + strings.Repeat(" || orders > 1", 400),
		"deep":   strings.Repeat("(", 5000) + "true" + strings.Repeat(")", 5000),
		"nested": strings.Repeat("(", 500) + "true" + strings.Repeat(")", 500),
		"text":   "size(\"" + strings.Repeat("a", 5000) + "\") > 1",
	} {
		_, err := NewCondition(source, testNames)
		var e *Errors
		if !errors.As(err, &e) || len(e.Problems) == 0 {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestCompared(t *testing.T) {
	for _, c := range []struct{ source, want string }{
		{`orders >= 2 && spend_minor > 5000`, "orders 3 >= 2; spend_minor 12050 > 5000"},
		{`2 <= orders`, "orders 3 >= 2"},
		{`tier["club"] == "Gold"`, `tier["club"] Gold == Gold`},
		{`tier.club != "Lv1"`, `tier["club"] Gold != Lv1`},
		{`tier_level["other"] < 1`, `tier_level["other"] 0 < 1`},
		// What does not hold is told as what does.
		{`orders > 5 || refunds == 1`, "orders 3 <= 5; refunds 1 == 1"},
		{`!(days_since_last >= 30)`, "days_since_last 12 < 30"},
		{`churn["silent"] in ["early", "late"]`, `churn["silent"] late == late`},
		{`!(churn["silent"] in ["early", "lost"])`, `churn["silent"] late != early; churn["silent"] late != lost`},
		{`refunds > 0.5`, "refunds 1 > 0.5"},
		{`orders > refunds`, ""}, // not of the plain form
		{`spend_minor / orders > 3`, ""},
		{`true`, ""},
	} {
		var got []string
		for _, e := range Compared(compiled(t, c.source), someone) {
			got = append(got, fmt.Sprintf("%s %s %s %s", e.Fact, e.Value, e.Comparison, e.Limit))
		}
		if strings.Join(got, "; ") != c.want {
			t.Errorf("%s: got %q, want %q", c.source, strings.Join(got, "; "), c.want)
		}
	}
	if Compared(nil, someone) != nil {
		t.Error("evidence of nothing")
	}
}

// TestComparedHolds: whatever the facts, each line of the evidence is true of
// them, and the answer follows from the lines alone.
func TestComparedHolds(t *testing.T) {
	const seed = 7
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	c := compiled(t, `!(orders > 2) || spend_minor >= 100 && (refunds != 1 || days_since_last <= 3)`)
	for range 500 {
		f := &Facts{Orders: r.Int64N(5), SpendMinor: 98 + r.Int64N(5), Refunds: r.Int64N(3), DaysSinceLast: r.Int64N(6)}
		values := map[string]int64{"orders": f.Orders, "spend_minor": f.SpendMinor, "refunds": f.Refunds, "days_since_last": f.DaysSinceLast}
		lines := Compared(c, f)
		if len(lines) != 4 {
			t.Fatalf("%d lines", len(lines))
		}
		for _, e := range lines {
			var limit int64
			fmt.Sscan(e.Limit, &limit)
			v := values[e.Fact]
			ok := map[string]bool{"<": v < limit, "<=": v <= limit, ">": v > limit, ">=": v >= limit, "==": v == limit, "!=": v != limit}[e.Comparison]
			if !ok || e.Value != fmt.Sprint(v) {
				t.Fatalf("%+v is not true of %+v", e, f)
			}
		}
		told := lines[0].Comparison != ">" || lines[1].Comparison == ">=" && (lines[2].Comparison == "!=" || lines[3].Comparison == "<=")
		got, err := c.Eval(f)
		if err != nil || got != told {
			t.Fatalf("%v, %v, but the evidence says %v: %+v", got, err, told, lines)
		}
	}
}

func BenchmarkCondition(b *testing.B) {
	c := compiled(b, `orders >= 2 && spend_365d_minor >= 5000 && tier["club"] == "Gold"`)
	b.ReportAllocs()
	for b.Loop() {
		if ok, err := c.Eval(someone); !ok || err != nil {
			b.Fatal(ok, err)
		}
	}
}

func TestRates(t *testing.T) {
	text := `playbook: r
time_zone: UTC
currency: USD
rates:
  EUR:
    - {from: 2024-01-01, rate: "1.5"}
    - {from: 2025-01-01, rate: "0.015"}
  JPY: "0.0065"
  KWD: "3.25"
  GBP: "1"
  CLF: "123456789.123456789123456789"
`
	p, err := Compile([]byte(text), "r.yaml")
	if err != nil {
		t.Fatal(err)
	}
	at := func(s string) schemas.EventTime {
		i, err := parseInstant(s, p.Zone)
		if err != nil {
			t.Fatal(err)
		}
		return i
	}
	for _, c := range []struct {
		amount int64
		from   string
		at     string
		want   int64
		ok     bool
	}{
		{100, "USD", "1990-01-01", 100, true},
		{100, "EUR", "2023-12-31", 0, false}, // before the first rate
		{100, "EUR", "2024-01-01", 150, true},
		{1, "EUR", "2024-06-01", 2, true}, // 1.5 to the even 2
		{3, "EUR", "2024-06-01", 4, true}, // 4.5 to the even 4
		{5, "EUR", "2024-06-01", 8, true}, // 7.5 to the even 8
		{-3, "EUR", "2024-06-01", -4, true},
		{100, "EUR", "2025-01-01", 2, true},    // 1.5
		{300, "EUR", "2025-01-01", 4, true},    // 4.5
		{301, "EUR", "2025-01-01", 5, true},    // 4.515
		{1000, "JPY", "2024-01-01", 650, true}, // 1000 yen: 6.50
		{1, "JPY", "2024-01-01", 1, true},      // 0.65 cents
		{1000, "KWD", "2024-01-01", 325, true}, // 1.000 dinar: 3.25
		{2, "KWD", "2024-01-01", 1, true},      // 0.65
		{9223372036854775807, "GBP", "2024-01-01", 9223372036854775807, true},
		{9223372036854775807, "EUR", "2024-01-01", 0, false}, // does not fit
		{10000, "CLF", "2024-01-01", 12345678912, true},      // through the big numbers
		{100, "CHF", "2024-01-01", 0, false},
	} {
		got, ok := p.Rates.Convert(c.amount, c.from, at(c.at))
		if ok != c.ok || ok && got != c.want {
			t.Errorf("%d %s at %s: got %d, %v, want %d, %v", c.amount, c.from, c.at, got, ok, c.want, c.ok)
		}
	}
}

// TestRatesBothWays: the fast path and the big numbers agree.
func TestRatesBothWays(t *testing.T) {
	const seed = 11
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	for range 5000 {
		digits, scale, _ := parseDecimal(fmt.Sprintf("%d.%d", r.Int64N(100), 1+r.Int64N(1000)))
		x := newRate(0, digits, scale, int(r.Int64N(5)), int(r.Int64N(5)))
		amount := r.Int64() >> r.Int64N(63)
		if r.Int64N(2) == 0 {
			amount = -amount
		}
		a, okA := x.convert(amount)
		b, okB := x.convertBig(amount)
		if okA != okB || okA && a != b {
			t.Fatalf("%d at %s/%s: %d %v and %d %v", amount, x.numerator, x.denominator, a, okA, b, okB)
		}
	}
}

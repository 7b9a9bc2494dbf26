package playbook

import (
	"errors"
	"testing"
	"time"

	"tidemark/testkit/soak"
)

// FuzzCondition: every text is a condition or an *Errors with a place inside it;
// a condition answers twice the same, compares what it says that it reads, and
// is done in time, since it has no loops and a cost limit behind that.
func FuzzCondition(f *testing.F) { fuzzCondition(f) }

func fuzzCondition(f soak.F) {
	for _, s := range []string{`orders >= 2 && spend_minor / orders > 5000`, `tier["main"] in ["gold", "black"] || tier_level.main > 1`,
		`rfm["r"].startsWith("重要") ? churn["c"] != "" : !(days_since_last < 30)`, `1 / 0 == 1`, `-9223372036854775808 / -1 == 0`,
		`size("a" + "b" + tier["main"]) % 2 == 0`, `double(orders) * 1e308 * 10.0 > 1.0`, `[1, 2.0, orders].size() > 0 && 1 in [orders]`,
		`((((((((((((((((((((((((true))))))))))))))))))))))))`, `"\x00\u00e9" == tier.main`, `{"a": 1}["a"] == 1`, `[1].map(x, x) == [1]`, "a\n\n== b", `true && "`} {
		f.Add(s)
	}
	names := Names{Tiers: map[string][]string{"main": {"silver", "gold"}}, RFM: []string{"r"}, Churn: []string{"c"}}
	facts := []*Facts{{}, {Orders: 3, SpendMinor: 1 << 62, Orders365: 1, Spend365Minor: -1 << 63, AOVMinor: 7, DaysSinceFirst: -1, DaysSinceLast: 1 << 40, Refunds: 1,
		Tiers: map[string]string{"main": "gold"}, TierLevels: map[string]int64{"main": 1}, Classes: map[string]string{"r": "重要价值"}, Churn: map[string]string{"c": "high"}}}
	f.Fuzz(func(t *testing.T, source string) {
		began := time.Now()
		c, err := NewCondition(source, names)
		if err != nil {
			var e *Errors
			if !errors.As(err, &e) || len(e.Problems) == 0 || e.Problems[0].Line < 1 || e.Problems[0].Column < 1 || err.Error() == "" {
				t.Fatalf("error %#v", err)
			}
			return
		}
		for _, x := range facts {
			got, err := c.Eval(x)
			again, errAgain := c.Eval(x)
			if got != again || (err == nil) != (errAgain == nil) {
				t.Fatalf("%v %v, then %v %v", got, err, again, errAgain)
			}
			for _, e := range Compared(c, x) {
				if e.Fact == "" {
					t.Fatalf("evidence without a fact: %+v", e)
				}
			}
		}
		if took := time.Since(began); took > 5*time.Second {
			t.Fatalf("took %v", took)
		}
	})
}

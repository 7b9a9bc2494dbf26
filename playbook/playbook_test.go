package playbook

import (
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/datadriven"

	"tidemark/schemas"
	"tidemark/testkit/soak"
)

// full uses every key of the language at least once; the tests that compare
// the compiler's vocabulary with what it reads start from it.
func full(t testing.TB) []byte {
	t.Helper()
	text, err := os.ReadFile("testdata/full.yaml")
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// TestWrongPlaybooks shows the message of every mistake that we could think
// of: testdata/wrong holds whole playbooks and what a marketing reader is told.
func TestWrongPlaybooks(t *testing.T) {
	cases := 0
	datadriven.Walk(t, "testdata/wrong", func(t *testing.T, path string) {
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			cases++
			text := d.Input
			if d.Cmd == "rule" { // the head that every playbook needs stands in lines 1 to 3
				text = "playbook: shop\ntime_zone: Asia/Shanghai\ncurrency: CNY\n" + text
			}
			p, err := Compile([]byte(text), "shop.yaml")
			if err == nil {
				return "accepted: " + p.Name + "\n"
			}
			var e *Errors
			if !errors.As(err, &e) || len(e.Problems) == 0 {
				t.Fatalf("not an *Errors with problems: %#v", err)
			}
			if p != nil {
				t.Fatal("a playbook came with the error")
			}
			return err.Error() + "\n"
		})
	})
	if cases < 25 {
		t.Fatalf("only %d wrong playbooks", cases)
	}
}

func TestExamples(t *testing.T) {
	files, err := filepath.Glob("../examples/playbooks/*.yaml")
	if err != nil || len(files) < 3 {
		t.Fatalf("examples: %v, %v", files, err)
	}
	for _, f := range files {
		p, err := Load(f)
		if err != nil {
			t.Errorf("%v", err)
			continue
		}
		if p.Clock != Input {
			t.Errorf("%s: an example over history needs clock: input", f)
		}
	}
	p, err := Load("../examples/playbooks/cdnow.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if got, want := p.Tiers[0].Levels[4], (Level{"Diamond", 500, 500, []string{"new release mail", "free shipping", "early access", "personal advice"}}); fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("got %v, want %v", got, want)
	}
	if g := p.Growth[0]; g.Numerator != 1 || g.Denominator != 100 {
		t.Errorf("growth %d/%d, want 1/100 per cent", g.Numerator, g.Denominator)
	}
	c := p.Churn[0]
	if c.Model != BGNBD || c.R != .243 || c.Alpha != 4.414 || c.A != .793 || c.B != 2.426 || c.Unit != 7*schemas.Day ||
		c.Horizon != 273*schemas.Day || c.Threshold != .8 || c.MinSilence != 7*schemas.Day || c.Fallback != 119*schemas.Day {
		t.Errorf("bgnbd: %+v", c)
	}
	if got, want := p.Horizon, 395*schemas.Day; got != want {
		t.Errorf("horizon %s, want the longest window and correct_within: %s", FormatDuration(got), FormatDuration(want))
	}
	if got, want := p.Recall[0].Experiment.HoldoutPPM, int64(100_000); got != want {
		t.Errorf("holdout %d, want %d", got, want)
	}
	golden, err := Load("../examples/playbooks/rfm-golden.yaml")
	if err != nil {
		t.Fatal(err)
	}
	r := golden.RFM[0]
	if want := schemas.EventTime(time.Date(2006, 12, 31, 0, 0, 0, 0, time.UTC).UnixMilli()); r.Window != 0 || r.Delay != 0 || len(r.Refresh.At) != 1 || r.Refresh.At[0] != want || r.Plus != 1 {
		t.Errorf("golden: %+v", r)
	}
}

func TestDefaults(t *testing.T) {
	p, err := Compile([]byte("playbook: a\ntime_zone: UTC\ncurrency: USD\nchurn: [{name: c, model: hiatus, after: 5d}]\n"), "a.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if p.Clock != Live || p.CountsAtPlaced || p.Disorder != 10*schemas.Minute || p.PublishDelay != 2*schemas.Second ||
		p.Future != 10*schemas.Minute || p.RefundWait != 30*schemas.Day || !p.UnlinkedApply || p.MaxEventBytes != 1<<20 ||
		p.PauseAfterDead != 100 || p.Salt != "a" || p.Horizon != 395*schemas.Day || p.Rates == nil {
		t.Errorf("defaults: %+v", p)
	}
	c := p.Churn[0]
	if c.CorrectWithin != 30*schemas.Day || c.MaxAge != 0 || c.Level != "early" || c.MinSilence != 5*schemas.Day {
		t.Errorf("defaults of a rule: %+v", c)
	}
	if _, err := Load("testdata/none.yaml"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a missing file: %v", err)
	}
}

func TestFull(t *testing.T) {
	p, err := Compile(full(t), "full.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if got := p.Tiers[0].CorrectWithin; got != 10*schemas.Day {
		t.Errorf("a rule's own correct_within: %d", got)
	}
	if got := p.RFM[0].CorrectWithin; got != 20*schemas.Day {
		t.Errorf("the default's correct_within: %d", got)
	}
	if got := p.Tiers[0].MaxAge; got != 0 {
		t.Errorf("max_age none over a default: %d", got)
	}
	if got := p.RFM[0].MaxAge; got != schemas.Day {
		t.Errorf("max_age of defaults: %d", got)
	}
	if p.Growth[0].Numerator != 1 || p.Growth[0].Denominator != 500 { // 0.5 per 2.50 yuan: 1 per 500 fen
		t.Errorf("growth %d/%d", p.Growth[0].Numerator, p.Growth[0].Denominator)
	}
	if got, want := fmt.Sprint(p.RFM[0].R, p.RFM[0].F, p.RFM[0].M), "[30] [2] [9950]"; got != want {
		t.Errorf("cuts %s, want %s", got, want)
	}
	if p.Recall[0].Churn != 1 || p.Tiers[0].Growth != 0 {
		t.Errorf("references: %d %d", p.Recall[0].Churn, p.Tiers[0].Growth)
	}
}

func TestDurations(t *testing.T) {
	for _, c := range []struct {
		in   string
		want schemas.EventTime
	}{
		{"30d", 30 * schemas.Day}, {"12h", 12 * schemas.Hour}, {"10m", 10 * schemas.Minute}, {"2s", 2000}, {"13w", 91 * schemas.Day},
		{"500ms", 500}, {"1d12h", 36 * schemas.Hour}, {"1m1ms", 60001}, {"0s", 0}, {"36500d", 36500 * schemas.Day},
		{"", -1}, {"30", -1}, {"d", -1}, {"1.5d", -1}, {"-1d", -1}, {"30 d", -1}, {"12h1d", -1}, {"1d1d", -1}, {"30D", -1},
		{"1y", -1}, {"36501d", -1}, {"36500d1ms", -1}, {"99999999999999999999d", -1}, {"30日", -1},
	} {
		got, err := ParseDuration(c.in)
		if (err != nil) != (c.want < 0) || err == nil && got != c.want {
			t.Errorf("%q: got %d, %v, want %d", c.in, got, err, c.want)
		}
		if err == nil {
			if again, err := ParseDuration(FormatDuration(got)); err != nil || again != got {
				t.Errorf("%q written as %q reads as %d, %v", c.in, FormatDuration(got), again, err)
			}
		}
	}
}

func TestMoney(t *testing.T) {
	for _, c := range []struct {
		in, currency string
		want         int64
		ok           bool
	}{
		{"1.00", "USD", 100, true}, {"1", "USD", 100, true}, {".5", "USD", 50, true}, {"0.10", "USD", 10, true},
		{"12", "JPY", 12, true}, {"12.00", "JPY", 12, true}, {"12.5", "JPY", 0, false}, {"1.234", "KWD", 1234, true},
		{"1.2345", "CLF", 12345, true}, {"1.005", "USD", 0, false}, {"92233720368547758.07", "USD", math.MaxInt64, true},
		{"92233720368547758.08", "USD", 0, false}, {"1,000", "USD", 0, false}, {"1e3", "USD", 0, false}, {"1.", "USD", 0, false},
		{"", "USD", 0, false}, {"-2.50", "USD", -250, true}, {"1", "XXX", 0, false}, {"一", "CNY", 0, false},
	} {
		got, err := ParseMoney(c.in, c.currency)
		if (err == nil) != c.ok || got != c.want {
			t.Errorf("%s %s: got %d, %v, want %d", c.in, c.currency, got, err, c.want)
		}
	}
}

func TestPercent(t *testing.T) {
	for in, want := range map[string]int64{"10%": 100_000, "2.5%": 25_000, "0.0001%": 1, "0%": 0, "100%": 1_000_000,
		"10": -1, "0.00001%": -1, "%": -1, "ten%": -1} {
		got, err := parsePercent(in)
		if (err != nil) != (want < 0) || err == nil && got != want {
			t.Errorf("%q: got %d, %v, want %d", in, got, err, want)
		}
	}
}

func TestInstants(t *testing.T) {
	shanghai, _ := time.LoadLocation("Asia/Shanghai")
	saoPaulo, _ := time.LoadLocation("America/Sao_Paulo")
	for _, c := range []struct {
		in   string
		zone *time.Location
		want string
	}{
		{"2024-01-31", shanghai, "2024-01-30T16:00:00Z"},
		{"2024-01-31", time.UTC, "2024-01-31T00:00:00Z"},
		{"2018-11-04", saoPaulo, "2018-11-04T03:00:00Z"}, // midnight was skipped: the day began at 01:00
		{"2024-01-31T08:00:00+08:00", saoPaulo, "2024-01-31T00:00:00Z"},
	} {
		got, err := parseInstant(c.in, c.zone)
		if err != nil || time.UnixMilli(int64(got)).UTC().Format(time.RFC3339) != c.want {
			t.Errorf("%s in %s: got %s, %v, want %s", c.in, c.zone, time.UnixMilli(int64(got)).UTC(), err, c.want)
		}
	}
	for _, bad := range []string{"2024-02-30", "2024-1-1", "now", "2024-01-31T08:00:00", "2024-01-31T08:00:00.0001Z"} {
		if _, err := parseInstant(bad, time.UTC); err == nil {
			t.Errorf("%q was accepted", bad)
		}
	}
}

// TestVersions: what a reader does not see does not change the version; what
// the rules see does.
func TestVersions(t *testing.T) {
	version := func(text string) string {
		t.Helper()
		p, err := Compile([]byte(text), "v.yaml")
		if err != nil {
			t.Fatal(err)
		}
		return p.Version
	}
	base := version("playbook: v\nversion: 3\ntime_zone: UTC\ncurrency: USD\nchurn:\n  - {name: c, model: hiatus, after: 30d}\n")
	// The form is in triggers and journals: it may never change for a text that does not.
	if want := "3-fcd6a937"; base != want {
		t.Errorf("version %s, want %s", base, want)
	}
	for _, same := range []string{
		"# why\ncurrency:   'USD'   # dollars\nversion: \"3\"\n\ntime_zone: UTC\nchurn:\n- after: 30d\n  name: c\n  model: hiatus\nplaybook: v\n",
		"{playbook: v, version: 3, time_zone: UTC, currency: USD, churn: [{name: c, model: hiatus, after: 30d}]}",
		"playbook: v\r\nversion: 3\r\ntime_zone: UTC\r\ncurrency: USD\r\nchurn:\r\n  - {name: c, model: hiatus, after: 30d}\r\n",
	} {
		if got := version(same); got != base {
			t.Errorf("version %s, want %s, of\n%s", got, base, same)
		}
	}
	other := version("playbook: v\nversion: 3\ntime_zone: UTC\ncurrency: USD\nchurn:\n  - {name: c, model: hiatus, after: 31d}\n")
	if other == base || !strings.HasPrefix(other, "3-") {
		t.Errorf("another value, the version %s", other)
	}
	if got := version("playbook: v\ntime_zone: UTC\ncurrency: USD\n"); !strings.HasPrefix(got, "1-") || len(got) != 10 {
		t.Errorf("version without one: %s", got)
	}
}

// TestConditionPlaces: a problem inside a condition points at its own characters,
// in every style of writing it.
func TestConditionPlaces(t *testing.T) {
	const head = "playbook: a\ntime_zone: UTC\ncurrency: USD\nchurn: [{name: c, model: hiatus, after: 30d}]\n"
	recall := func(audience string) string {
		return head + "recall:\n  - name: r\n    on: c\n    holdout: 0%\n    arms: [{name: x}]\n    audience: " + audience + "\n"
	}
	for _, c := range []struct {
		audience     string
		line, column int
	}{
		{"orders > 1 && wat", 10, 29},
		{"'orders > 1 && wat'", 10, 30},
		{`"churn.c == '' && wat"`, 10, 33},
		{`"churn[\"c\"] == '' && wat"`, 10, 38},
		{"|\n      orders > 1 &&\n        wat", 12, 9},
		{"|-\n      wat", 11, 7},
		{">\n      orders > 1\n      && wat", 10, 15},
		{"orders > 1\n      && wat", 10, 15},
	} {
		_, err := Compile([]byte(recall(c.audience)), "a.yaml")
		var e *Errors
		if !errors.As(err, &e) || len(e.Problems) != 1 {
			t.Errorf("%s: %v", c.audience, err)
			continue
		}
		if p := e.Problems[0]; p.Line != c.line || p.Column != c.column {
			t.Errorf("%s: at %d:%d, want %d:%d", c.audience, p.Line, p.Column, c.line, c.column)
		}
	}
}

func FuzzCompile(f *testing.F) { fuzzCompile(f) }

func fuzzCompile(f soak.F) {
	f.Add(full(f))
	files, _ := filepath.Glob("../examples/playbooks/*.yaml")
	for _, name := range files {
		text, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(text)
	}
	for _, s := range []string{"", "a: [", "? a\n: b", "&a [*a]", "a: &b {c: *b}", "<<: 1", "- - - -", "a: |\n b\n  c", "\xff", "!!int a",
		"rates: {EUR: [{from: 2020-01-01, rate: .1}]}", "a: 'b\n\n c'", "---\n...\n---\na", "{{{{{{{{{{{{{{{{{{{{{{"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		p, err := Compile(text, "fuzz.yaml")
		if (p == nil) == (err == nil) {
			t.Fatalf("playbook %v, error %v", p, err)
		}
		if err != nil {
			var e *Errors
			if !errors.As(err, &e) || len(e.Problems) == 0 || err.Error() == "" {
				t.Fatalf("error %#v", err)
			}
		}
	})
}

// TestDeepText: texts made to exhaust the stack or the patience of a reader
// are refused in time.
func TestDeepText(t *testing.T) {
	const n = 100_000
	for name, text := range map[string]string{
		"entries":   strings.Repeat("- ", n),
		"lists":     strings.Repeat("[", n),
		"maps":      strings.Repeat("{a: ", n),
		"closed":    strings.Repeat("[", n) + strings.Repeat("]", n),
		"keys":      strings.Repeat("? ", n),
		"one line":  strings.Repeat("a: ", n),
		"staircase": staircase(600),
		"large":     "playbook: " + strings.Repeat("a", maxText),
		"many":      "tiers:\n" + strings.Repeat("  - {nme: a}\n", 2000),
	} {
		p, err := Compile([]byte(text), "deep.yaml")
		var e *Errors
		if p != nil || !errors.As(err, &e) || len(e.Problems) == 0 {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func staircase(n int) string {
	var b strings.Builder
	for i := range n {
		b.WriteString(strings.Repeat(" ", i))
		b.WriteString("a:\n")
	}
	return b.String()
}

package rfm

import (
	"compress/gzip"
	"encoding/csv"
	"errors"
	"io"
	"maps"
	"math/big"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"
)

type customer struct{ recency, frequency, monetary int64 }

func histograms(t *testing.T, all []customer) (r, f, m *Histogram) {
	t.Helper()
	r, f, m = NewHistogram(1<<16), NewHistogram(1<<16), NewHistogram(1<<16)
	for _, c := range all {
		for _, e := range []error{r.Add(c.recency), f.Add(c.frequency), m.Add(c.monetary)} {
			if e != nil {
				t.Fatal(e)
			}
		}
	}
	return r, f, m
}

func classes(t *testing.T, name string, cuts *Cuts, all []customer) map[string]int {
	t.Helper()
	m, ok := MapNamed(name)
	if !ok {
		t.Fatalf("no map %q", name)
	}
	if err := cuts.Validate(); err != nil {
		t.Fatal(err)
	}
	if err := m.Fits(cuts); err != nil {
		t.Fatal(err)
	}
	got := map[string]int{}
	for _, c := range all {
		got[m.Class(ScoreOf(cuts, c.recency, c.frequency, c.monetary))]++
	}
	return got
}

func days(t *testing.T, from, to string) int64 {
	t.Helper()
	a, err := time.Parse(time.DateOnly, from)
	if err != nil {
		t.Fatal(err)
	}
	b, err := time.Parse(time.DateOnly, to)
	if err != nil {
		t.Fatal(err)
	}
	return int64(b.Sub(a).Hours() / 24)
}

// The R package rfm's own example: quintiles plus 1, Putler's grid.
func TestPutlerOnOrders(t *testing.T) {
	file, err := os.Open("../../examples/data/rfm/rfm_data_orders.csv")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	rows, err := csv.NewReader(file).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	by := map[string]*customer{}
	for _, row := range rows[1:] {
		c := by[row[0]]
		if c == nil {
			c = &customer{recency: 1 << 40}
			by[row[0]] = c
		}
		revenue, err := strconv.ParseInt(row[2], 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		c.recency = min(c.recency, days(t, row[1], "2006-12-31"))
		c.frequency++
		c.monetary += revenue
	}
	want := map[string]int{"loyal": 278, "potential_loyalist": 229, "champions": 158, "lost": 111, "at_risk": 86,
		"about_to_sleep": 50, "others": 48, "need_attention": 35}
	// In whole dollars, and in cents, where plus 1 is 100.
	for _, unit := range []int64{1, 100} {
		var all []customer
		for _, c := range by {
			all = append(all, customer{c.recency, c.frequency, c.monetary * unit})
		}
		r, f, m := histograms(t, all)
		var cuts Cuts
		if cuts.R, err = r.QuantileCuts(Quintiles(), 1); err != nil {
			t.Fatal(err)
		}
		if cuts.F, err = f.QuantileCuts(Quintiles(), 1); err != nil {
			t.Fatal(err)
		}
		if cuts.M, err = m.QuantileCuts(Quintiles(), unit); err != nil {
			t.Fatal(err)
		}
		if got := classes(t, "putler", &cuts, all); !maps.Equal(got, want) {
			t.Errorf("unit %d, cuts %v:\ngot  %v\nwant %v", unit, cuts, got, want)
		}
	}
}

// Online Retail, clean lines, cut at the mean. No customer stands on a mean, so
// that >= and > give the same figures here; >= is what Cuts mean.
func TestEightOnOnlineRetail(t *testing.T) {
	path := os.Getenv("TIDEMARK_ONLINE_RETAIL")
	if path == "" {
		path = "../../examples/data/onlineretail/online_retail.csv.gz"
		if _, err := os.Stat(path); err != nil {
			t.Skip("TIDEMARK_ONLINE_RETAIL is not set and examples/data/onlineretail is not there")
		}
	}
	all := readOnlineRetail(t, path)
	if got, want := len(all), 4338; got != want {
		t.Fatalf("got %d customers, want %d", got, want)
	}
	r, f, m := histograms(t, all)
	var cuts Cuts
	for _, d := range []struct {
		h   *Histogram
		cut *[]int64
	}{{r, &cuts.R}, {f, &cuts.F}, {m, &cuts.M}} {
		c, err := d.h.MeanCut()
		if err != nil {
			t.Fatal(err)
		}
		*d.cut = []int64{c}
	}
	want := map[string]int{"important_value": 689, "important_develop": 117, "important_keep": 27, "important_retain": 38,
		"general_value": 358, "general_develop": 1750, "general_keep": 40, "general_retain": 1319}
	if got := classes(t, "eight", &cuts, all); !maps.Equal(got, want) {
		t.Errorf("cuts %v:\ngot  %v\nwant %v", cuts, got, want)
	}
}

// readOnlineRetail gives recency in days, invoices, and money in pence (each
// line rounded to the nearest penny; a few prices have three decimals).
func readOnlineRetail(t *testing.T, path string) []customer {
	file, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	z, err := gzip.NewReader(file)
	if err != nil {
		t.Fatal(err)
	}
	rows := csv.NewReader(z)
	rows.ReuseRecord = true
	rows.LazyQuotes = true
	if _, err := rows.Read(); err != nil {
		t.Fatal(err)
	}
	by := map[string]*customer{}
	invoices := map[string]bool{}
	recency := map[string]int64{}
	for {
		row, err := rows.Read()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		invoice, id := row[0], strings.Clone(row[6])
		quantity, err := strconv.ParseInt(row[3], 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		price, ok := new(big.Rat).SetString(row[5])
		if !ok {
			t.Fatalf("price %q", row[5])
		}
		if id == "" || id == "NA" || strings.HasPrefix(invoice, "C") || quantity <= 0 || price.Sign() <= 0 {
			continue
		}
		c := by[id]
		if c == nil {
			c = &customer{recency: 1 << 40}
			by[id] = c
		}
		if !invoices[invoice] {
			invoices[strings.Clone(invoice)] = true
			c.frequency++
		}
		day := strings.Clone(row[4][:len(time.DateOnly)])
		if _, ok := recency[day]; !ok {
			recency[day] = days(t, day, "2011-12-10")
		}
		c.recency = min(c.recency, recency[day])
		price.Mul(price, big.NewRat(100*quantity, 1))
		pence, err := strconv.ParseInt(price.FloatString(0), 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		c.monetary += pence
	}
	var all []customer
	for _, c := range by {
		all = append(all, *c)
	}
	return all
}

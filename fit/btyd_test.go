package fit

import (
	"bufio"
	"compress/gzip"
	"context"
	"io"
	"math"
	"strings"
	"testing"
	"time"

	"tidemark/examples"
	"tidemark/ingest"
	"tidemark/processor/churn"
)

// dataset reads one of the examples.
func dataset(t testing.TB, data, mapping string) *History {
	t.Helper()
	m, err := ingest.ReadMapping(examples.Data, mapping)
	if err != nil {
		t.Fatal(err)
	}
	events, err := ingest.Open(context.Background(), []ingest.Source{{Path: data, FS: examples.Data, Mapping: m}}, ingest.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer events.Close()
	b := NewBuilder(nil)
	for {
		e, err := events.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		b.Add(e)
	}
	h, err := b.History()
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func sample(t testing.TB) *History {
	return dataset(t, "data/cdnow/CDNOW_sample.txt.gz", "data/cdnow/cdnow-sample.mapping.yaml")
}

// end39 is 1997-09-30, the last day of the sample's 39 weeks.
func end39() int { return int(time.Date(1997, 9, 30, 0, 0, 0, 0, time.UTC).Unix() / 86400) }

func near(t *testing.T, what string, got, want, within float64) {
	t.Helper()
	if !(math.Abs(got-want) <= within) {
		t.Errorf("%s: got %.6f, want %.6f", what, got, want)
	}
}

// TestBGNBDPublished: Fader, Hardie and Lee (2005), table 2; the further digits
// are those of R's CLVTools.
func TestBGNBDPublished(t *testing.T) {
	p, l, err := BGNBD(Summaries(sample(t), end39()), false)
	if err != nil {
		t.Fatal(err)
	}
	near(t, "r", p.R, .2425945, 2e-4)
	near(t, "alpha", p.Alpha, 4.4136019, 2e-3)
	near(t, "a", p.A, .7929199, 1e-3)
	near(t, "b", p.B, 2.4258881, 4e-3)
	near(t, "log-likelihood", l.LogLikelihood, -9582.429, 1e-3)
	if !l.Converged || !l.Identified || l.Customers != 2357 {
		t.Errorf("%+v", l)
	}
	for i, want := range []float64{.0126, .378, .186, .705} { // by the same Hessian, for order of size
		if e := l.Estimates[i].Error; e == nil || math.Abs(*e/want-1) > .25 {
			t.Errorf("standard error of %s: %v, want about %v", l.Estimates[i].Name, e, want)
		}
	}
	t.Logf("%+v, %d evaluations", p, l.Evaluations)
}

// TestMBGNBDPublished: the values of the Python package lifetimes
// (tests/test_estimation.py, TestModifiedBetaGammaFitter), after R's BTYDplus.
func TestMBGNBDPublished(t *testing.T) {
	p, l, err := BGNBD(Summaries(sample(t), end39()), true)
	if err != nil {
		t.Fatal(err)
	}
	near(t, "r", p.R, .525, 1e-3)
	near(t, "alpha", p.Alpha, 6.183, 4e-3)
	near(t, "a", p.A, .891, 2e-3)
	near(t, "b", p.B, 1.614, 3e-3)
	if !l.Converged || !l.Identified {
		t.Errorf("%+v", l)
	}
	t.Logf("%+v, log-likelihood %.4f", p, l.LogLikelihood)
}

// TestSpendPublished: Fader and Hardie, "The Gamma-Gamma Model of Monetary
// Value" (2013): p 6.25, q 3.74, gamma 15.44 over the repeat transactions of the
// sample's 946 repeat customers; the log-likelihood is CLVTools'.
func TestSpendPublished(t *testing.T) {
	x, m := repeatSpend(t)
	if len(x) != 946 {
		t.Fatalf("%d repeat customers, want 946", len(x))
	}
	s, l, err := Spend(x, m)
	if err != nil {
		t.Fatal(err)
	}
	near(t, "p", s.P, 6.25, .01)
	near(t, "q", s.Q, 3.74, .01)
	near(t, "gamma", s.Gamma, 15.44, .02)
	near(t, "log-likelihood", l.LogLikelihood, -4055.9177, .02)
}

// repeatSpend sums the sample by day: the mean over the days after the first.
func repeatSpend(t *testing.T) (x []int64, m []float64) {
	h := sample(t)
	for i := range h.Customers {
		c := &h.Customers[i]
		n, sum := int64(0), int64(0)
		for _, d := range c.Days[1:c.upto(end39())] {
			n++
			sum += d.Net
		}
		if n > 0 && sum > 0 {
			x, m = append(x, n), append(m, float64(sum)/100/float64(n))
		}
	}
	return x, m
}

// TestOnlineRetailHasNoDropOut: the fit must not pretend to know it.
func TestOnlineRetailHasNoDropOut(t *testing.T) {
	h := dataset(t, examples.OnlineRetail, examples.OnlineRetailMapping)
	_, l, err := BGNBD(Summaries(h, h.Last), false)
	if err != nil {
		t.Fatal(err)
	}
	if l.Identified || len(l.Notes) == 0 || !strings.Contains(strings.Join(l.Notes, " "), "drop-out is") {
		t.Errorf("%+v", l)
	}
	t.Logf("%+v", *l)
}

func TestTooLittle(t *testing.T) {
	if _, _, err := BGNBD([]churn.Summary{{X: 1, Tx: 1, T: 2, Weight: 10}}, false); err == nil {
		t.Error("ten customers are enough")
	}
	if _, _, err := Spend([]int64{1}, []float64{1}); err == nil {
		t.Error("one customer is enough")
	}
}

// The file is sorted by customer; the builder must not mind.
func TestSampleIsRead(t *testing.T) {
	f, err := examples.Data.Open("data/cdnow/CDNOW_sample.txt.gz")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	lines := int64(0)
	for s := bufio.NewScanner(z); s.Scan(); {
		lines++
	}
	h := sample(t)
	if h.Events != lines || len(h.Customers) != 2357 || h.Currency != "USD" || Date(h.First) != "1997-01-01" || Date(h.Last) != "1998-06-30" {
		t.Errorf("%d events of %d lines, %d customers, %s, %s to %s", h.Events, lines, len(h.Customers), h.Currency, Date(h.First), Date(h.Last))
	}
}

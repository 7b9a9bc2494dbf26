package proc

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestScrape(t *testing.T) {
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprint(w, "# TYPE a_total counter\na_total{task=\"0\",input=\"x\"} 2\na_total{task=\"1\",input=\"x\"} 3\na_total{task=\"0\",input=\"y\"} 5\n# TYPE g gauge\ng 7\n")
	}))
	defer srv.Close()
	m, err := Scrape(context.Background(), strings.TrimPrefix(srv.URL, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	if got, want := m.Sum("a_total"), 10.0; got != want {
		t.Errorf("sum %v, want %v", got, want)
	}
	if got, want := m.By("a_total", "input")["x"], 5.0; got != want {
		t.Errorf("x %v, want %v", got, want)
	}
	if got, want := m.Sum("g")+m.Sum("absent"), 7.0; got != want {
		t.Errorf("gauge %v, want %v", got, want)
	}
}

// A child that keeps one core busy for a while must be seen to have done so, by
// /proc while it runs and by rusage when it has ended.
func TestUsageOfAChild(t *testing.T) {
	p, err := Start(filepath.Join(t.TempDir(), "log"), false, "/bin/sh", "-c", "while :; do :; done")
	if err != nil {
		t.Fatal(err)
	}
	defer p.Kill()
	var u Usage
	for deadline := time.Now().Add(30 * time.Second); u.CPU() < 200*time.Millisecond; {
		if u, err = Of(p.Pid()); err != nil {
			t.Fatal(err)
		}
		if time.Now().After(deadline) {
			t.Fatalf("after 30 s the busy child has used %v", u.CPU())
		}
	}
	if u.PeakRSS < 1<<10 {
		t.Errorf("peak memory %d bytes", u.PeakRSS)
	}
	if end := p.Kill(); end.CPU() < u.CPU()-2*tick {
		t.Errorf("rusage %v, /proc said %v before", end.CPU(), u.CPU())
	}
	if busy, err := Busy(); err != nil || busy < u.CPU() {
		t.Errorf("the machine was busy for %v (%v), the child for %v", busy, err, u.CPU())
	}
}

func TestStopByInput(t *testing.T) {
	p, err := Start(filepath.Join(t.TempDir(), "log"), true, "/bin/sh", "-c", "echo here; cat >/dev/null")
	if err != nil {
		t.Fatal(err)
	}
	line, err := p.Line()
	if got, want := string(line), "here\n"; got != want || err != nil {
		t.Fatalf("got %q, %v", got, err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	if _, err := p.Stop(ctx); err != nil {
		t.Errorf("stop: %v", err)
	}
}

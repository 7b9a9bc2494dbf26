package telemetry

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"go.opentelemetry.io/otel/trace"
	"go.uber.org/goleak"

	"tidemark/schemas"
)

func TestMain(m *testing.M) {
	// Whoever runs the tests may have a collector of their own.
	for _, kv := range os.Environ() {
		if name, _, _ := strings.Cut(kv, "="); strings.HasPrefix(name, "OTEL_") {
			os.Unsetenv(name)
		}
	}
	goleak.VerifyTestMain(m)
}

func start(t *testing.T, o Options) *Telemetry {
	t.Helper()
	tel, err := Start(context.Background(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := tel.Shutdown(context.Background()); err != nil {
			t.Errorf("shutdown: %v", err)
		}
	})
	return tel
}

func get(t *testing.T, tel *Telemetry, path, host string) (int, string) {
	t.Helper()
	transport := &http.Transport{DisableKeepAlives: true}
	req, err := http.NewRequest("GET", "http://"+tel.Addr()+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Host = host
	resp, err := (&http.Client{Transport: transport}).Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(body)
}

func TestEndpoint(t *testing.T) {
	tel := start(t, Options{ServiceVersion: "1.2.3", App: "shop"})
	if host, _, _ := net.SplitHostPort(tel.Addr()); host != "127.0.0.1" {
		t.Errorf("listens on %s, want loopback", tel.Addr())
	}
	recordBatch(tel.Metrics)
	tel.Tasks.Process("")
	tel.Tasks.Set(300, TaskStatus{State: Running})

	code, metrics := get(t, tel, "/metrics", "")
	if got, want := code, 200; got != want {
		t.Errorf("/metrics: %d, want %d", got, want)
	}
	for _, line := range []string{
		`tidemark_events_taken_total{input="order-events",task="300"} 500`,
		`tidemark_triggers_published_total{status="FIRED",topic="tier-changes"} 3`,
		`tidemark_triggers_suppressed_total{reason="history"} 3`,
		`tidemark_dead_letters_total{reason="too_late"} 1`,
		`tidemark_commits_total{outcome="committed",task="300"} 1`,
		`tidemark_commit_duration_seconds_count{task="300"} 1`,
		`tidemark_commit_duration_seconds_bucket{task="300",le="0.005"} 1`,
		`tidemark_commit_phase_duration_seconds_count{phase="end_txn"} 1`,
		`tidemark_timers_fired_total{task="300"} 4`,
		`tidemark_timer_lag_seconds_sum{task="300"} 1`,
		`tidemark_input_lag{input="order-events",task="300"} 10`,
		`tidemark_store_bytes{task="300"} 1`,
		`tidemark_task_state{state="running",task="300"} 1`,
		`service_version="1.2.3"`,
		`tidemark_app="shop"`,
		"tidemark_clock_lag_seconds{",
		"go_goroutines ",
		"process_resident_memory_bytes ",
	} {
		if !strings.Contains(metrics, line) {
			t.Errorf("/metrics lacks %s", line)
		}
	}

	if code, body := get(t, tel, "/healthz", ""); code != 200 || body != "ok\n" {
		t.Errorf("/healthz: %d %q", code, body)
	}
	if code, body := get(t, tel, "/readyz", ""); code != 200 || !strings.Contains(body, `"ready":true`) {
		t.Errorf("/readyz: %d %q", code, body)
	}
	tel.Tasks.Set(2, TaskStatus{State: Waiting, Detail: "schema registry answers 503"})
	code, body := get(t, tel, "/readyz", "")
	if code != 503 || !strings.Contains(body, `"task":2,"state":"waiting","detail":"schema registry answers 503"`) {
		t.Errorf("/readyz: %d %q", code, body)
	}

	if code, body := get(t, tel, "/debug/pprof/cmdline", ""); code != 200 || body == "" {
		t.Errorf("pprof: %d %q", code, body)
	}
	for host, want := range map[string]int{"localhost:1": 200, "[::1]:9": 200, "127.0.0.1": 200, "evil.example:80": 403, "10.0.0.1": 403} {
		if got, _ := get(t, tel, "/debug/pprof/cmdline", host); got != want {
			t.Errorf("pprof for host %s: %d, want %d", host, got, want)
		}
	}
}

// The SDK folds series beyond the 2000th of an instrument into one unless told not to.
func TestManyTasksKeepTheirSeries(t *testing.T) {
	tel := start(t, Options{})
	for task := range int32(700) {
		for input := range schemas.Inputs {
			tel.Metrics.Batch(task, input, 1)
		}
	}
	_, body := get(t, tel, "/metrics", "")
	if got, want := strings.Count(body, "tidemark_events_taken_total{input="), 700*int(schemas.Inputs); got != want {
		t.Errorf("%d series, want %d", got, want)
	}
}

func TestOtherMachinesAreRefused(t *testing.T) {
	for _, addr := range []string{"0.0.0.0:0", ":0", "[::]:0", "192.0.2.1:0", "[2001:db8::1]:0"} {
		_, err := Start(context.Background(), Options{HTTPAddr: addr})
		if !errors.Is(err, ErrNotLoopback) {
			t.Errorf("%s: %v, want %v", addr, err, ErrNotLoopback)
		}
	}
	for _, addr := range []string{"localhost:0", "127.0.0.1:0", "127.1.2.3:0"} {
		tel, err := Start(context.Background(), Options{HTTPAddr: addr})
		if err != nil {
			t.Errorf("%s: %v", addr, err)
			continue
		}
		if err := tel.Shutdown(context.Background()); err != nil {
			t.Error(err)
		}
	}
}

func TestRemoteEndpointHasNoProfiles(t *testing.T) {
	tel := start(t, Options{HTTPAddr: "0.0.0.0:0", AllowRemote: true})
	server := httptest.NewServer(tel.Handler())
	defer server.Close()
	defer server.Client().CloseIdleConnections()
	for path, want := range map[string]int{"/debug/pprof/": 404, "/debug/pprof/heap": 404, "/healthz": 200} {
		resp, err := server.Client().Get(server.URL + path)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if got := resp.StatusCode; got != want {
			t.Errorf("%s: %d, want %d", path, got, want)
		}
	}
}

func TestStartRefuses(t *testing.T) {
	if _, err := Start(context.Background(), Options{CustomerKey: []byte("short")}); !errors.Is(err, ErrShortKey) {
		t.Errorf("short key: %v", err)
	}
	taken := start(t, Options{})
	if _, err := Start(context.Background(), Options{HTTPAddr: taken.Addr()}); err == nil || !strings.Contains(err.Error(), taken.Addr()) {
		t.Errorf("address in use: %v", err)
	}
	if _, err := Start(context.Background(), Options{HTTPAddr: "no port"}); err == nil {
		t.Error("an address without a port was taken")
	}
	for _, name := range []string{"OTEL_TRACES_EXPORTER", "OTEL_METRICS_EXPORTER"} {
		t.Run(name, func(t *testing.T) {
			t.Setenv(name, "carrier-pigeon")
			_, err := Start(context.Background(), Options{})
			if err == nil || !strings.Contains(err.Error(), name+`="carrier-pigeon"`) {
				t.Errorf("%v", err)
			}
		})
	}
}

// collector is an OTLP/HTTP receiver that keeps the bytes.
type collector struct {
	*httptest.Server
	mu   sync.Mutex
	sent map[string][]byte
}

func newCollector(t *testing.T) *collector {
	c := &collector{sent: map[string][]byte{}}
	c.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		c.mu.Lock()
		defer c.mu.Unlock()
		c.sent[r.URL.Path] = append(c.sent[r.URL.Path], body...)
	}))
	t.Cleanup(c.Close)
	return c
}

func (c *collector) got(path string) []byte {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.sent[path]
}

// oneOfEverything records a batch with a trigger and gives the header that goes out.
func oneOfEverything(t *testing.T, tel *Telemetry) string {
	recordBatch(tel.Metrics)
	_, b := tel.Tracer.StartBatch(context.Background(), 3, 10)
	out := b.Trigger(testSpan(parent(t, sampledParent)))
	b.End(Committed)
	if err := tel.Shutdown(context.Background()); err != nil {
		t.Error(err)
	}
	return string(AppendTraceparent(nil, out))
}

func TestExportsWhatTheEnvironmentAsksFor(t *testing.T) {
	for _, c := range []struct {
		name            string
		env             map[string]string // COLLECTOR stands for its URL
		traces, metrics bool
		triggerSpans    bool
	}{
		{"nothing", nil, false, false, false},
		{"an endpoint", map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": "COLLECTOR"}, true, true, true},
		{"traces only", map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": "COLLECTOR", "OTEL_METRICS_EXPORTER": "none"}, true, false, true},
		{"metrics only", map[string]string{"OTEL_EXPORTER_OTLP_METRICS_ENDPOINT": "COLLECTOR/v1/metrics"}, false, true, false},
		{"disabled", map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": "COLLECTOR", "OTEL_SDK_DISABLED": "true"}, false, false, false},
		{"sampler off", map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": "COLLECTOR", "OTEL_TRACES_SAMPLER": "always_off"}, false, true, false},
		{"parents only", map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": "COLLECTOR", "OTEL_TRACES_SAMPLER": "parentbased_always_off"}, true, true, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			collector := newCollector(t)
			for k, v := range c.env {
				t.Setenv(k, strings.ReplaceAll(v, "COLLECTOR", collector.URL))
			}
			tel := start(t, Options{ServiceVersion: "1.2.3", App: "shop", CustomerKey: testKey})
			header := oneOfEverything(t, tel)

			traces, metrics := collector.got("/v1/traces"), collector.got("/v1/metrics")
			if got, want := len(traces) > 0, c.traces; got != want {
				t.Errorf("traces sent: %t, want %t", got, want)
			}
			if got, want := len(metrics) > 0, c.metrics; got != want {
				t.Errorf("metrics sent: %t, want %t", got, want)
			}
			if got, want := bytes.Contains(metrics, []byte("tidemark.events.taken")), c.metrics; got != want {
				t.Errorf("events among the metrics: %t, want %t", got, want)
			}
			if got, want := bytes.Contains(traces, []byte("send tier-changes")), c.triggerSpans; got != want {
				t.Errorf("trigger among the spans: %t, want %t", got, want)
			}
			if got, want := header != sampledParent, c.triggerSpans; got != want {
				t.Errorf("header %s has a span id of its own: %t, want %t", header, got, want)
			}
			for _, sent := range [][]byte{traces, metrics} {
				if len(sent) > 0 && !bytes.Contains(sent, []byte("1.2.3")) {
					t.Error("the service version was not sent")
				}
				if bytes.Contains(sent, []byte(testCustomer)) {
					t.Error("a customer id left the machine")
				}
			}
		})
	}
}

// TestMain then sees whether a goroutine was left.
func TestShutdownKeepsToItsTime(t *testing.T) {
	block := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-block }))
	defer server.Close()
	defer close(block)
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", server.URL)
	for name, limit := range map[string]time.Duration{"runs out": 50 * time.Millisecond, "has run out": 0} {
		t.Run(name, func(t *testing.T) {
			tel, err := Start(context.Background(), Options{})
			if err != nil {
				t.Fatal(err)
			}
			recordBatch(tel.Metrics)
			_, b := tel.Tracer.StartBatch(context.Background(), 3, 10)
			b.End(Committed)
			ctx, cancel := context.WithTimeout(context.Background(), limit)
			defer cancel()
			first := tel.Shutdown(ctx)
			if !errors.Is(first, context.DeadlineExceeded) {
				t.Errorf("shutdown: %v, want %v", first, context.DeadlineExceeded)
			}
			if got, want := tel.Shutdown(context.Background()), first; got != want {
				t.Errorf("second shutdown: %v, want %v", got, want)
			}
		})
	}
}

func TestDiscardTakesEverything(t *testing.T) {
	tel := Discard()
	header := oneOfEverything(t, tel)
	if got, want := header, sampledParent; got != want {
		t.Errorf("header %s, want %s", got, want)
	}
	tel.Tasks.Set(1, TaskStatus{State: Running})
	tel.DropTask(1)
	if got, want := tel.Addr(), ""; got != want {
		t.Errorf("address %q, want %q", got, want)
	}
}

func TestLogCarriesTheSpan(t *testing.T) {
	var out bytes.Buffer
	log, err := NewLogger(&out, "json", slog.LevelInfo)
	if err != nil {
		t.Fatal(err)
	}
	ctx := trace.ContextWithSpanContext(context.Background(), parent(t, sampledParent))
	log.With("task", 3).InfoContext(ctx, "taken over")
	log.Debug("not this")
	var line map[string]any
	if err := json.Unmarshal(out.Bytes(), &line); err != nil {
		t.Fatalf("%v: %q", err, out.String())
	}
	if got, want := line["trace_id"], "4bf92f3577b34da6a3ce929d0e0e4736"; got != want {
		t.Errorf("trace_id %v, want %v", got, want)
	}
	if got, want := line["span_id"], "00f067aa0ba902b7"; got != want {
		t.Errorf("span_id %v, want %v", got, want)
	}

	out.Reset()
	if log, err = NewLogger(&out, "text", slog.LevelInfo); err != nil {
		t.Fatal(err)
	}
	log.Info("plain")
	if strings.Contains(out.String(), "trace_id") || !strings.Contains(out.String(), "msg=plain") {
		t.Errorf("%q", out.String())
	}
	if _, err := NewLogger(&out, "xml", slog.LevelInfo); !errors.Is(err, ErrLogFormat) {
		t.Errorf("xml: %v", err)
	}
}

func TestPackageNamesEveryInput(t *testing.T) {
	for i := range schemas.Inputs {
		if i.String() == "unknown" {
			t.Errorf("input %d has no name for its series", i)
		}
	}
}

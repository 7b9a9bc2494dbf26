// Package otlp holds what Tidemark exports against the OpenTelemetry Collector's own
// receiver: over gRPC and over HTTP, metrics and traces arrive as the documentation
// says. It is a module of its own, so that Tidemark does not depend on the Collector.
package otlp

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/collector/confmap"
	"go.opentelemetry.io/collector/consumer/consumertest"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/pmetric"
	"go.opentelemetry.io/collector/pdata/ptrace"
	"go.opentelemetry.io/collector/receiver/otlpreceiver"
	"go.opentelemetry.io/collector/receiver/receivertest"
)

// collector starts the receiver as a collector's configuration would.
func collector(t *testing.T, protocol string) (address string, traces *consumertest.TracesSink, metrics *consumertest.MetricsSink) {
	t.Helper()
	traces, metrics = new(consumertest.TracesSink), new(consumertest.MetricsSink)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address = l.Addr().String()
	l.Close()
	f := otlpreceiver.NewFactory()
	cfg := f.CreateDefaultConfig()
	file := confmap.NewFromStringMap(map[string]any{"protocols": map[string]any{protocol: map[string]any{"endpoint": address}}})
	if err := file.Unmarshal(cfg); err != nil {
		t.Fatal(err)
	}
	set := receivertest.NewNopSettings(f.Type())
	ctx := context.Background()
	tr, err := f.CreateTraces(ctx, set, cfg, traces)
	if err != nil {
		t.Fatal(err)
	}
	mr, err := f.CreateMetrics(ctx, set, cfg, metrics) // the same receiver
	if err != nil {
		t.Fatal(err)
	}
	host := componenttest.NewNopHost()
	for _, r := range []interface {
		Shutdown(context.Context) error
	}{tr, mr} {
		t.Cleanup(func() { r.Shutdown(ctx) })
	}
	if err := tr.Start(ctx, host); err != nil {
		t.Fatal(err)
	}
	if err := mr.Start(ctx, host); err != nil {
		t.Fatal(err)
	}
	return address, traces, metrics
}

func TestExport(t *testing.T) {
	bin := filepath.Join(t.TempDir(), "tidemark")
	build := exec.Command("go", "build", "-o", bin, "./cmd/tidemark")
	build.Dir = filepath.Join("..", "..", "..")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for protocol, name := range map[string]string{"grpc": "grpc", "http": "http/protobuf"} {
		t.Run(name, func(t *testing.T) {
			address, traces, metrics := collector(t, protocol)
			ctx, cancel := context.WithTimeout(context.Background(), 3*time.Minute)
			defer cancel()
			cmd := exec.CommandContext(ctx, bin, "demo", "--source", "cdnow-sample", "--exit", "--dir", t.TempDir())
			cmd.Env = append(os.Environ(), "OTEL_EXPORTER_OTLP_ENDPOINT=http://"+address, "OTEL_EXPORTER_OTLP_PROTOCOL="+name,
				"OTEL_EXPORTER_OTLP_INSECURE=true", "OTEL_METRIC_EXPORT_INTERVAL=1000", "OTEL_RESOURCE_ATTRIBUTES=deployment.environment.name=test")
			var log bytes.Buffer
			cmd.Stderr = &log
			if err := cmd.Run(); err != nil {
				t.Fatalf("%v\n%s", err, log.String())
			}
			got := seen{resource: map[string]string{}, metrics: map[string]bool{}, spans: map[string]int{}}
			for _, m := range metrics.AllMetrics() {
				got.metricsOf(m)
			}
			for _, x := range traces.AllTraces() {
				got.tracesOf(x)
			}
			if got.resource["service.name"] != "tidemark" || got.resource["deployment.environment.name"] != "test" || got.resource["tidemark.app"] == "" {
				t.Errorf("resource: %v", got.resource)
			}
			for _, m := range always {
				if !got.metrics[m] {
					t.Errorf("the metric %s did not come", m)
				}
			}
			for m := range got.metrics {
				if strings.HasPrefix(m, "tidemark.") && !strings.Contains(docs(t), "`"+m+"`") {
					t.Errorf("the metric %s came and docs/operations.md does not have it", m)
				}
			}
			if got.spans["process"] == 0 || got.spans["send"] == 0 {
				t.Errorf("spans: %v\n%s", got.spans, log.String())
			}
			// CDNOW's customers are numbers of five digits; by their values they can't be
			// told from other numbers, so no attribute may be named for them but as a hash.
			for _, text := range got.texts {
				if strings.Contains(text, "customer") && !strings.Contains(text, "hash") {
					t.Errorf("an attribute of a span: %s", text)
				}
			}
			t.Logf("metrics %d, spans %v, an attribute: %q", len(got.metrics), got.spans, got.texts[len(got.texts)-1])
		})
	}
}

// always are metrics that every process sends that has something to do.
var always = []string{"tidemark.events.taken", "tidemark.triggers.published", "tidemark.timers.fired", "tidemark.commits", "tidemark.commit.duration",
	"tidemark.commit.phase.duration", "tidemark.clock.lag", "tidemark.input.lag", "tidemark.task.state"}

func docs(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile("../../../docs/operations.md")
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// seen is what arrived.
type seen struct {
	resource map[string]string
	metrics  map[string]bool
	spans    map[string]int
	texts    []string // attributes of spans
}

func (s *seen) of(r pcommon.Resource) {
	for k, v := range r.Attributes().All() {
		s.resource[k] = v.AsString()
	}
}

func (s *seen) metricsOf(m pmetric.Metrics) {
	for _, r := range m.ResourceMetrics().All() {
		s.of(r.Resource())
		for _, sc := range r.ScopeMetrics().All() {
			for _, x := range sc.Metrics().All() {
				s.metrics[x.Name()] = true
			}
		}
	}
}

func (s *seen) tracesOf(x ptrace.Traces) {
	for _, r := range x.ResourceSpans().All() {
		s.of(r.Resource())
		for _, sc := range r.ScopeSpans().All() {
			for _, span := range sc.Spans().All() {
				s.spans[strings.Fields(span.Name())[0]]++
				for k, v := range span.Attributes().All() {
					s.texts = append(s.texts, fmt.Sprintf("%s: %s=%s", span.Name(), k, v.AsString()))
				}
			}
		}
	}
}

package telemetry

import (
	"context"
	"testing"

	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"
	"pgregory.net/rapid"

	"tidemark/schemas"
)

const sampledParent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"

func TestParseTraceparent(t *testing.T) {
	for _, c := range []struct {
		name, in, out string // out "": invalid
	}{
		{"sampled", sampledParent, sampledParent},
		{"not sampled", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00"},
		{"random trace id", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-03", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-03"},
		{"unknown flags are cleared", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-fd", sampledParent},
		{"later version, same length", "cc-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", sampledParent},
		{"later version, more fields", "cc-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-what", sampledParent},
		{"later version, longer flags", "cc-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01.", ""},
		{"version 00, more fields", sampledParent + "-what", ""},
		{"version ff", "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", ""},
		{"zero trace id", "00-00000000000000000000000000000000-00f067aa0ba902b7-01", ""},
		{"zero span id", "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01", ""},
		{"upper case", "00-4BF92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", ""},
		{"no hex", "00-4bf92f3577b34da6a3ce929d0e0e473g-00f067aa0ba902b7-01", ""},
		{"no dash", "00-4bf92f3577b34da6a3ce929d0e0e4736x00f067aa0ba902b7-01", ""},
		{"short", sampledParent[:54], ""},
		{"empty", "", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			sc, ok := ParseTraceparent([]byte(c.in))
			if got, want := ok, c.out != ""; got != want {
				t.Fatalf("ok = %t, want %t", got, want)
			}
			if got, want := string(AppendTraceparent(nil, sc)), c.out; got != want {
				t.Errorf("appended %q, want %q", got, want)
			}
			if got := sc.TraceFlags() &^ (trace.FlagsSampled | trace.FlagsRandom); got != 0 {
				t.Errorf("flags %s were kept", got)
			}
			if got, want := sc.IsRemote(), ok; got != want {
				t.Errorf("remote = %t, want %t", got, want)
			}
		})
	}
}

// The reference is OpenTelemetry's own propagator.
func TestTraceparentAgreesWithOpenTelemetry(t *testing.T) {
	var reference propagation.TraceContext
	rapid.Check(t, func(t *rapid.T) {
		var cfg trace.SpanContextConfig
		copy(cfg.TraceID[:], rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, "trace"))
		copy(cfg.SpanID[:], rapid.SliceOfN(rapid.Byte(), 8, 8).Draw(t, "span"))
		cfg.TraceFlags = trace.TraceFlags(rapid.IntRange(0, 1).Draw(t, "flags"))
		cfg.Remote = true
		sc := trace.NewSpanContext(cfg)

		carrier := propagation.MapCarrier{}
		reference.Inject(trace.ContextWithSpanContext(context.Background(), sc), carrier)
		if got, want := string(AppendTraceparent(nil, sc)), carrier["traceparent"]; got != want {
			t.Fatalf("appended %q, the reference %q", got, want)
		}

		raw := []byte(sampledParent)
		if sc.IsValid() {
			raw = AppendTraceparent(nil, sc)
		}
		// Break it in one place; both must agree on what is left of it.
		raw[rapid.IntRange(0, len(raw)-1).Draw(t, "at")] = rapid.SampledFrom([]byte("0123456789abcdefAF-g ")).Draw(t, "byte")
		got, ok := ParseTraceparent(raw)
		want := trace.SpanContextFromContext(reference.Extract(context.Background(), propagation.MapCarrier{"traceparent": string(raw)}))
		if raw[53] != '0' || raw[54] > '3' {
			return // the reference refuses flags that level 2 says to ignore
		}
		if ok != want.IsValid() || !got.Equal(want) {
			t.Fatalf("%q: got %v %t, the reference %v", raw, got, ok, want)
		}
	})
}

func TestHeaderTraceparent(t *testing.T) {
	headers := []schemas.Header{{Key: "ce_id", Value: []byte("x")}, {Key: "traceparent", Value: []byte(sampledParent)}}
	sc, ok := HeaderTraceparent(headers)
	if got, want := string(AppendTraceparent(nil, sc)), sampledParent; !ok || got != want {
		t.Errorf("got %q %t, want %q", got, ok, want)
	}
	if _, ok := HeaderTraceparent(headers[:1]); ok {
		t.Error("found a context where there is none")
	}
}

func TestTraceparentDoesNotAllocate(t *testing.T) {
	headers := []schemas.Header{{Key: "ce_id"}, {Key: "traceparent", Value: []byte(sampledParent)}}
	none := headers[:1]
	buf := make([]byte, 0, 64)
	if got := testing.AllocsPerRun(100, func() {
		HeaderTraceparent(none)
		sc, _ := HeaderTraceparent(headers)
		buf = AppendTraceparent(buf[:0], sc)
	}); got != 0 {
		t.Errorf("%v allocations per call, want 0", got)
	}
}

func BenchmarkParseTraceparent(b *testing.B) {
	in := []byte(sampledParent)
	b.ReportAllocs()
	for b.Loop() {
		if _, ok := ParseTraceparent(in); !ok {
			b.Fatal("invalid")
		}
	}
}

package telemetry

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"

	"tidemark/schemas"
)

const (
	testCustomer = "customer-13800138000"
	testTrigger  = "trigger-9f2c"
)

var testKey = []byte("0123456789abcdef")

func testTracer(t testing.TB, sampler sdktrace.Sampler) (*Tracer, *tracetest.InMemoryExporter) {
	t.Helper()
	exporter := tracetest.NewInMemoryExporter()
	tp := sdktrace.NewTracerProvider(sdktrace.WithSyncer(exporter),
		sdktrace.WithSampler(sampler), sdktrace.WithIDGenerator(idGenerator{}))
	t.Cleanup(func() { tp.Shutdown(context.Background()) })
	return newTracer(tp, testKey), exporter
}

func parent(t testing.TB, s string) trace.SpanContext {
	t.Helper()
	sc, ok := ParseTraceparent([]byte(s))
	if !ok {
		t.Fatalf("%q is not valid", s)
	}
	return sc
}

func numbered(i int) string { return fmt.Sprintf("00-%032x-00f067aa0ba902b7-01", i+1) }

func testSpan(cause trace.SpanContext) TriggerSpan {
	return TriggerSpan{Cause: cause, Topic: schemas.TierChanges, Rule: "gold", Status: schemas.Fired,
		TriggerID: testTrigger, CustomerID: testCustomer}
}

func named(spans tracetest.SpanStubs, name string) (found tracetest.SpanStubs) {
	for _, s := range spans {
		if s.Name == name {
			found = append(found, s)
		}
	}
	return found
}

func attr(s tracetest.SpanStub, key attribute.Key) string {
	for _, kv := range s.Attributes {
		if kv.Key == key {
			return kv.Value.Emit()
		}
	}
	return ""
}

func TestTriggerContinuesItsEventsTrace(t *testing.T) {
	for _, flags := range []string{"01", "03"} {
		cause := parent(t, sampledParent[:53]+flags)
		tracer, exporter := testTracer(t, sdktrace.ParentBased(sdktrace.AlwaysSample()))
		_, b := tracer.StartBatch(context.Background(), 3, 500)
		b.Event(cause)
		out := b.Trigger(testSpan(cause))
		b.End(Committed)

		spans := exporter.GetSpans()
		if got, want := len(spans), 2; got != want {
			t.Fatalf("%d spans, want %d", got, want)
		}
		trigger, batch := spans[0], spans[1]
		if got, want := trigger.SpanContext.TraceID(), cause.TraceID(); got != want {
			t.Errorf("trace %s, want the event's %s", got, want)
		}
		if got, want := trigger.Parent.SpanID(), cause.SpanID(); got != want {
			t.Errorf("parent %s, want the event's %s", got, want)
		}
		if got, want := out.SpanID(), trigger.SpanContext.SpanID(); got != want {
			t.Errorf("header names span %s, want the one recorded, %s", got, want)
		}
		if got, want := out.TraceFlags(), cause.TraceFlags(); got != want {
			t.Errorf("flags %s, want %s", got, want)
		}
		if got, want := out.SpanID() == cause.SpanID(), false; got != want {
			t.Error("the trigger's span has the id of its parent")
		}
		if got, want := attr(trigger, "tidemark.customer.hash"), tracer.CustomerHash(testCustomer); got != want {
			t.Errorf("customer hash %q, want %q", got, want)
		}
		if got, want := attr(trigger, "messaging.destination.name"), "tier-changes"; got != want {
			t.Errorf("destination %q, want %q", got, want)
		}
		if len(trigger.Links) != 1 || trigger.Links[0].SpanContext.SpanID() != batch.SpanContext.SpanID() {
			t.Errorf("the trigger's links %v, want its batch", trigger.Links)
		}
		if len(batch.Links) != 1 || batch.Links[0].SpanContext.TraceID() != cause.TraceID() {
			t.Errorf("the batch's links %v, want the event", batch.Links)
		}
		if got, want := attr(batch, "messaging.batch.message_count"), "500"; got != want {
			t.Errorf("batch of %s, want %s", got, want)
		}
		if got, want := batch.SpanContext.TraceID() == cause.TraceID(), false; got != want {
			t.Error("the batch, which serves many, is part of one event's trace")
		}
	}
}

// What the header is in every case where nothing is recorded.
func TestTraceparentPassesThroughUnchanged(t *testing.T) {
	sampled := parent(t, sampledParent)
	unsampled := parent(t, sampledParent[:53]+"00")
	for _, c := range []struct {
		name    string
		sampler sdktrace.Sampler // nil: tracing is off
		cause   trace.SpanContext
	}{
		{"off, sampled event", nil, sampled},
		{"off, event not sampled", nil, unsampled},
		{"off, no event", nil, trace.SpanContext{}},
		{"on, event not sampled", sdktrace.ParentBased(sdktrace.AlwaysSample()), unsampled},
		{"sampler ignores parents, event not sampled", sdktrace.AlwaysSample(), unsampled},
		{"sampler says no", sdktrace.NeverSample(), sampled},
		{"sampler says no, no event", sdktrace.NeverSample(), trace.SpanContext{}},
	} {
		t.Run(c.name, func(t *testing.T) {
			tracer, exporter := discardTracer(testKey), tracetest.NewInMemoryExporter()
			if c.sampler != nil {
				tracer, exporter = testTracer(t, c.sampler)
			}
			_, b := tracer.StartBatch(context.Background(), 0, 1)
			b.Event(c.cause)
			out := b.Trigger(testSpan(c.cause))
			b.End(Committed)
			if got, want := string(AppendTraceparent(nil, out)), string(AppendTraceparent(nil, c.cause)); got != want {
				t.Errorf("header %q, want %q", got, want)
			}
			if got := named(exporter.GetSpans(), "send tier-changes"); len(got) != 0 {
				t.Errorf("recorded %v", got)
			}
		})
	}
}

func TestHeaderIsTheSameWhenABatchIsDoneAgain(t *testing.T) {
	for name, cause := range map[string]trace.SpanContext{"event": parent(t, sampledParent), "time alone": {}} {
		t.Run(name, func(t *testing.T) {
			tracer, exporter := testTracer(t, sdktrace.AlwaysSample())
			do := func(o Outcome, id string) string {
				_, b := tracer.StartBatch(context.Background(), 0, 1)
				s := testSpan(cause)
				s.TriggerID = id
				out := b.Trigger(s)
				b.End(o)
				b.End(o)
				return string(AppendTraceparent(nil, out))
			}
			first, second := do(Aborted, testTrigger), do(Committed, testTrigger)
			if got, want := second, first; got != want || got == "" {
				t.Errorf("header %q, before %q", got, want)
			}
			if got, want := len(named(exporter.GetSpans(), "send tier-changes")), 1; got != want {
				t.Errorf("%d trigger spans, want %d: what was thrown away was not sent", got, want)
			}
			batches := named(exporter.GetSpans(), "process batch")
			if got, want := len(batches), 2; got != want {
				t.Fatalf("%d batch spans, want %d", got, want)
			}
			if got, want := batches[0].Status.Code, codes.Error; got != want {
				t.Errorf("the aborted batch is %v, want %v", got, want)
			}
			if got, want := attr(batches[1], "tidemark.outcome"), "committed"; got != want {
				t.Errorf("outcome %q, want %q", got, want)
			}
			if do(Committed, "trigger-other") == first {
				t.Error("two triggers share a span id")
			}
		})
	}
}

func TestSpansOfOneBatchAreBounded(t *testing.T) {
	tracer, exporter := testTracer(t, sdktrace.AlwaysSample())
	_, b := tracer.StartBatch(context.Background(), 0, 1000)
	n := MaxTriggerSpans + 10
	for i := range n {
		cause := parent(t, numbered(i))
		b.Event(cause)
		b.Event(cause) // a trace is linked once
		s := testSpan(cause)
		s.TriggerID = fmt.Sprint(i)
		out := b.Trigger(s)
		if got, want := out.Equal(cause), i >= MaxTriggerSpans; got != want {
			t.Fatalf("trigger %d passes its context through: %t, want %t", i, got, want)
		}
	}
	b.End(Committed)
	b.Event(parent(t, sampledParent)) // too late, and harmless
	batch := named(exporter.GetSpans(), "process batch")[0]
	if got, want := len(batch.Links), MaxLinks; got != want {
		t.Errorf("%d links, want %d", got, want)
	}
	if got, want := attr(batch, "tidemark.triggers.left_out"), "10"; got != want {
		t.Errorf("triggers left out %q, want %q", got, want)
	}
	// Every event beyond the bound was given twice.
	if got, want := attr(batch, "tidemark.links.left_out"), fmt.Sprint(2*(n-MaxLinks)); got != want {
		t.Errorf("links left out %q, want %q", got, want)
	}
}

func TestNoIdOfACustomerInASpan(t *testing.T) {
	tracer, exporter := testTracer(t, sdktrace.AlwaysSample())
	_, b := tracer.StartBatch(context.Background(), 0, 1)
	b.Trigger(testSpan(parent(t, sampledParent)))
	b.Trigger(testSpan(trace.SpanContext{}))
	b.End(Committed)
	if got, want := len(exporter.GetSpans()), 3; got != want {
		t.Fatalf("%d spans, want %d", got, want)
	}
	for _, s := range exporter.GetSpans() {
		all := fmt.Sprintf("%+v", s)
		for _, id := range []string{testCustomer, testTrigger} {
			if strings.Contains(all, id) {
				t.Errorf("span %q shows %q: %s", s.Name, id, all)
			}
		}
	}
}

func TestCustomerHashIsKeyed(t *testing.T) {
	a, _ := testTracer(t, sdktrace.NeverSample())
	b := &Tracer{key: []byte("another key of 16")}
	if got, want := a.CustomerHash(testCustomer), "40abede4371641a9"; got != want {
		t.Errorf("hash %s, want %s: who kept it can't find the customer any more", got, want)
	}
	if a.CustomerHash(testCustomer) == b.CustomerHash(testCustomer) {
		t.Error("the key makes no difference")
	}
	if a.CustomerHash("") == a.CustomerHash(testCustomer) {
		t.Error("the customer makes no difference")
	}
	if one, two := Discard(), Discard(); one.Tracer.CustomerHash("c") == two.Tracer.CustomerHash("c") {
		t.Error("without a key the hash can be worked out by anyone")
	}
}

func TestBatchIsAChildOfItsContext(t *testing.T) {
	tracer, exporter := testTracer(t, sdktrace.AlwaysSample())
	ctx := trace.ContextWithSpanContext(context.Background(), parent(t, sampledParent))
	ctx, b := tracer.StartBatch(ctx, 0, 1)
	b.End(Failed)
	got := exporter.GetSpans()[0]
	if got, want := got.Parent.TraceID(), parent(t, sampledParent).TraceID(); got != want {
		t.Errorf("trace %s, want %s", got, want)
	}
	if got, want := trace.SpanContextFromContext(ctx).SpanID(), got.SpanContext.SpanID(); got != want {
		t.Errorf("the context holds span %s, want %s", got, want)
	}
}

func TestTracingThatIsOffDoesNotAllocate(t *testing.T) {
	tracer := discardTracer(testKey)
	s := testSpan(parent(t, sampledParent))
	var buf [64]byte
	if got := testing.AllocsPerRun(100, func() {
		_, b := tracer.StartBatch(context.Background(), 1, 500)
		b.Event(s.Cause)
		AppendTraceparent(buf[:0], b.Trigger(s))
		b.End(Committed)
	}); got != 0 {
		t.Errorf("%v allocations, want 0", got)
	}
}

func TestAnEventThatIsNotSampledDoesNotAllocate(t *testing.T) {
	tracer, _ := testTracer(t, sdktrace.AlwaysSample())
	_, b := tracer.StartBatch(context.Background(), 1, 500)
	s := testSpan(parent(t, sampledParent[:53]+"00"))
	if got := testing.AllocsPerRun(100, func() {
		b.Event(s.Cause)
		b.Trigger(s)
	}); got != 0 {
		t.Errorf("%v allocations, want 0", got)
	}
	b.End(Committed)
}

package telemetry

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"math/rand/v2"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/noop"

	"tidemark/schemas"
)

const (
	// MaxLinks is how many traces of events one batch's span links to.
	MaxLinks = 32
	// MaxTriggerSpans is how many triggers of one batch get a span; the header of
	// those beyond it is what the event brought.
	MaxTriggerSpans = 256
)

// Tracer makes spans if the environment asked for traces, and else costs nothing.
// It is safe for concurrent use; a Batch is not.
type Tracer struct {
	tracer trace.Tracer
	on     bool
	key    []byte
}

func newTracer(tp trace.TracerProvider, key []byte) *Tracer {
	return &Tracer{tracer: tp.Tracer(scope), on: true, key: key}
}

// discardTracer makes no span but still hashes, so it needs the key too.
func discardTracer(key []byte) *Tracer {
	return &Tracer{tracer: noop.NewTracerProvider().Tracer(scope), key: key}
}

// CustomerHash is what stands for a customer in attributes: the first 8 bytes of
// HMAC-SHA256 under Options.CustomerKey, in hex. Who holds the key can find a
// customer's spans by it, and nobody can find the customer by the spans.
func (t *Tracer) CustomerHash(customerID string) string {
	sum := t.sum("customer", customerID)
	return hex.EncodeToString(sum[:8])
}

// sum is HMAC-SHA256 over a use and an id, so that no hash of one use equals one of another.
func (t *Tracer) sum(use, id string) [sha256.Size]byte {
	h := hmac.New(sha256.New, t.key)
	h.Write([]byte(use))
	h.Write([]byte{0})
	h.Write([]byte(id))
	var sum [sha256.Size]byte
	h.Sum(sum[:0])
	return sum
}

// StartBatch begins the span of one batch of n records. The Batch is nil when
// nobody asked for traces; all its methods take that. The span is a root unless
// ctx holds one.
func (t *Tracer) StartBatch(ctx context.Context, task int32, n int) (context.Context, *Batch) {
	if !t.on {
		return ctx, nil
	}
	ctx, span := t.tracer.Start(ctx, "process batch",
		trace.WithSpanKind(trace.SpanKindConsumer),
		trace.WithAttributes(
			attribute.String("messaging.system", "kafka"),
			attribute.String("messaging.operation.type", "process"),
			attribute.Int("messaging.batch.message_count", n),
			attribute.Int("tidemark.task", int(task)),
		))
	return ctx, &Batch{tracer: t, span: span, task: task}
}

// Batch is the span of a batch and the spans of its triggers. It belongs to one
// goroutine. Trigger spans are exported only when the batch is committed: a batch
// that was thrown away is done again, with the same span ids.
type Batch struct {
	tracer   *Tracer
	span     trace.Span
	task     int32
	linked   []trace.TraceID
	unlinked int
	triggers []trace.Span
	bare     int
	ended    bool
}

// Event links the batch's span to the trace of an event that it took. Contexts
// that are not valid or not sampled, and traces linked before, are passed over;
// those beyond MaxLinks are counted only.
func (b *Batch) Event(sc trace.SpanContext) {
	if b == nil || b.ended || !sc.IsValid() || !sc.IsSampled() || !b.span.IsRecording() {
		return
	}
	for _, id := range b.linked {
		if id == sc.TraceID() {
			return
		}
	}
	if len(b.linked) == MaxLinks {
		b.unlinked++
		return
	}
	b.linked = append(b.linked, sc.TraceID())
	b.span.AddLink(trace.Link{SpanContext: sc})
}

// TriggerSpan is what a span says of an outgoing trigger. TriggerID and
// CustomerID go in as keyed hashes only.
type TriggerSpan struct {
	Cause      trace.SpanContext // of the event that caused it; zero if there was none
	Topic      schemas.Topic
	Rule       string
	Status     string
	TriggerID  string
	CustomerID string
}

// Trigger begins the span of a trigger if it is sampled, and gives the context
// whose traceparent goes out with it (see the package's comment). If that is not
// valid the trigger carries none.
func (b *Batch) Trigger(s TriggerSpan) trace.SpanContext {
	if b == nil || b.ended {
		return s.Cause
	}
	caused := s.Cause.IsValid()
	if caused && !s.Cause.IsSampled() {
		return s.Cause
	}
	if len(b.triggers) == MaxTriggerSpans {
		b.bare++
		return s.Cause
	}

	id := b.tracer.sum("trigger", s.TriggerID)
	ctx := context.WithValue(context.Background(), chosenKey{}, &id)
	if caused {
		ctx = trace.ContextWithRemoteSpanContext(ctx, s.Cause)
	}
	_, span := b.tracer.tracer.Start(ctx, "send "+string(s.Topic), trace.WithSpanKind(trace.SpanKindProducer))
	if !span.SpanContext().IsSampled() {
		return s.Cause
	}
	b.triggers = append(b.triggers, span)
	span.SetAttributes(
		attribute.String("messaging.system", "kafka"),
		attribute.String("messaging.operation.type", "send"),
		attribute.String("messaging.destination.name", string(s.Topic)),
		attribute.Int("tidemark.task", int(b.task)),
		attribute.String("tidemark.rule", s.Rule),
		attribute.String("tidemark.status", s.Status),
		attribute.String("tidemark.customer.hash", b.tracer.CustomerHash(s.CustomerID)),
	)
	if sc := b.span.SpanContext(); sc.IsSampled() {
		span.AddLink(trace.Link{SpanContext: sc})
	}
	return span.SpanContext()
}

// End ends the batch. If it was not committed the spans of its triggers are
// dropped, since the triggers were not published. A second call does nothing.
func (b *Batch) End(o Outcome) {
	if b == nil || b.ended {
		return
	}
	b.ended = true
	if o == Committed {
		for _, span := range b.triggers {
			span.End()
		}
	} else {
		b.span.SetStatus(codes.Error, o.String())
	}
	b.span.SetAttributes(attribute.String("tidemark.outcome", o.String()))
	if b.unlinked > 0 {
		b.span.SetAttributes(attribute.Int("tidemark.links.left_out", b.unlinked))
	}
	if b.bare > 0 {
		b.span.SetAttributes(attribute.Int("tidemark.triggers.left_out", b.bare))
	}
	b.span.End()
	b.triggers, b.linked = nil, nil
}

// idGenerator takes the ids that the context chose, and random ones where it
// chose none. The SDK has no other way to name a span.
type idGenerator struct{}

type chosenKey struct{}

func (idGenerator) NewIDs(ctx context.Context) (t trace.TraceID, s trace.SpanID) {
	if sum, ok := ctx.Value(chosenKey{}).(*[sha256.Size]byte); ok {
		copy(t[:], sum[8:24])
		copy(s[:], sum[:8])
	}
	for !t.IsValid() {
		binary.BigEndian.PutUint64(t[:8], rand.Uint64())
		binary.BigEndian.PutUint64(t[8:], rand.Uint64())
	}
	return t, orRandom(s)
}

func (idGenerator) NewSpanID(ctx context.Context, _ trace.TraceID) (s trace.SpanID) {
	if sum, ok := ctx.Value(chosenKey{}).(*[sha256.Size]byte); ok {
		copy(s[:], sum[:8])
	}
	return orRandom(s)
}

// orRandom replaces the one value that is not a span id.
func orRandom(s trace.SpanID) trace.SpanID {
	for !s.IsValid() {
		binary.BigEndian.PutUint64(s[:], rand.Uint64())
	}
	return s
}

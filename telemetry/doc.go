// Package telemetry says how a Tidemark process is doing: metrics, traces,
// readiness and the log's form. It is OpenTelemetry in the thin.
//
// What it promises:
//
//   - Nothing leaves the machine unless the standard OTEL_* environment asks
//     for it. What is always there is an HTTP endpoint on a loopback address:
//     /metrics (Prometheus), /healthz, /readyz, /debug/pprof/.
//   - Nothing here decides anything about an event or a trigger. A process with
//     telemetry off publishes the same values; only the traceparent header may
//     differ.
//   - The calls of the hot path (the methods of [Metrics], [ParseTraceparent],
//     [AppendTraceparent], and [Tracer] when nobody asked for traces) do not
//     allocate once a task's series exist. They are meant per batch, not per event.
//   - No customer id, event id, trigger id or error text becomes an attribute. A
//     trigger_id is an unkeyed hash over the customer's id, so it could be found
//     again by trying out ids; customers appear as keyed hashes only
//     ([Tracer.CustomerHash]), and span ids are keyed hashes too.
//   - The number of time series is bounded: by tasks × inputs, and by a fixed
//     number of values for every attribute that comes from outside.
//
// # Which traceparent an outgoing trigger carries
//
// The contract says that an event's traceparent continues in what the event
// causes. Three cases:
//
//   - A span of the trigger is recorded here: its trace id is the event's, and
//     its span id is a keyed hash of the trigger_id, so that a batch which is
//     thrown away and done again publishes the same header. Without an event
//     (time alone caused it) the trace id comes from the trigger_id too.
//   - Nothing is recorded here (tracing is off, the event was not sampled, our
//     sampler said no) and the event had a context: it passes through unchanged,
//     as W3C Trace Context asks of those who do not take part. A new span id
//     would be a parent that no backend has ever seen.
//   - Neither: no header.
//
// An event whose sampled flag is not set never gets a span, whatever the sampler.
// The flags that go out are those that came in.
//
// The package may import schemas, OpenTelemetry and Prometheus, nothing else of
// Tidemark. It starts the goroutines of the HTTP server and of the exporters, and
// [Telemetry.Shutdown] ends them all.
package telemetry

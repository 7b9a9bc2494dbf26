package telemetry

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"

	"go.opentelemetry.io/otel/trace"
)

// ErrLogFormat says that a log format is neither text nor json.
var ErrLogFormat = errors.New("telemetry: unknown log format")

// NewLogger writes logs to w, format "text" (or "") or "json", from level up. A
// record whose context holds a span carries trace_id and span_id, the names that
// OpenTelemetry gives them in logs that are not OTLP.
func NewLogger(w io.Writer, format string, level slog.Leveler) (*slog.Logger, error) {
	options := &slog.HandlerOptions{Level: level}
	switch format {
	case "", "text":
		return slog.New(spanHandler{slog.NewTextHandler(w, options)}), nil
	case "json":
		return slog.New(spanHandler{slog.NewJSONHandler(w, options)}), nil
	}
	return nil, fmt.Errorf("%w: %q, want text or json", ErrLogFormat, format)
}

type spanHandler struct{ slog.Handler }

func (h spanHandler) Handle(ctx context.Context, r slog.Record) error {
	if sc := trace.SpanContextFromContext(ctx); sc.IsValid() {
		r = r.Clone()
		r.AddAttrs(slog.String("trace_id", sc.TraceID().String()), slog.String("span_id", sc.SpanID().String()))
	}
	return h.Handler.Handle(ctx, r)
}

func (h spanHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return spanHandler{h.Handler.WithAttrs(attrs)}
}

func (h spanHandler) WithGroup(name string) slog.Handler {
	return spanHandler{h.Handler.WithGroup(name)}
}

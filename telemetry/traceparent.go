package telemetry

import (
	"encoding/hex"

	"go.opentelemetry.io/otel/trace"

	"tidemark/schemas"
)

// TraceparentHeader is the Kafka header's key: lower case, as W3C Trace Context has it.
const TraceparentHeader = "traceparent"

// Version 00: version 2, trace-id 32, parent-id 16, flags 2 hex digits, three dashes.
const traceparentLen = 55

// ParseTraceparent reads a traceparent value (W3C Trace Context level 2, §3.2).
// It answers false for anything that the specification calls invalid: version ff,
// zero ids, upper case, a version 00 of another length. A later version is read
// by its first four fields. Of the flags sampled and random are kept. The
// context is remote. It never allocates.
func ParseTraceparent(b []byte) (trace.SpanContext, bool) {
	if len(b) < traceparentLen || b[2] != '-' || b[35] != '-' || b[52] != '-' {
		return trace.SpanContext{}, false
	}
	var version, flags [1]byte
	var cfg trace.SpanContextConfig
	if !unhex(version[:], b[0:2]) || !unhex(cfg.TraceID[:], b[3:35]) ||
		!unhex(cfg.SpanID[:], b[36:52]) || !unhex(flags[:], b[53:55]) {
		return trace.SpanContext{}, false
	}
	switch {
	case version[0] == 0xff,
		version[0] == 0 && len(b) != traceparentLen,
		len(b) > traceparentLen && b[traceparentLen] != '-',
		!cfg.TraceID.IsValid(), !cfg.SpanID.IsValid():
		return trace.SpanContext{}, false
	}
	cfg.TraceFlags = trace.TraceFlags(flags[0]) & (trace.FlagsSampled | trace.FlagsRandom)
	cfg.Remote = true
	return trace.NewSpanContext(cfg), true
}

// unhex fills dst from lower-case hex digits; encoding/hex takes upper case too,
// which the specification does not allow.
func unhex(dst, src []byte) bool {
	for i := range dst {
		hi, lo := nibble(src[2*i]), nibble(src[2*i+1])
		if hi > 15 || lo > 15 {
			return false
		}
		dst[i] = hi<<4 | lo
	}
	return true
}

func nibble(c byte) byte {
	switch {
	case '0' <= c && c <= '9':
		return c - '0'
	case 'a' <= c && c <= 'f':
		return c - 'a' + 10
	}
	return 0xff
}

// HeaderTraceparent finds and parses the traceparent among a record's headers;
// where it stands twice the first one holds.
func HeaderTraceparent(headers []schemas.Header) (trace.SpanContext, bool) {
	for i := range headers {
		if headers[i].Key == TraceparentHeader {
			return ParseTraceparent(headers[i].Value)
		}
	}
	return trace.SpanContext{}, false
}

// AppendTraceparent appends sc as a version 00 traceparent, and nothing if sc is
// not valid.
func AppendTraceparent(dst []byte, sc trace.SpanContext) []byte {
	if !sc.IsValid() {
		return dst
	}
	traceID, spanID := sc.TraceID(), sc.SpanID()
	flags := [1]byte{byte(sc.TraceFlags() & (trace.FlagsSampled | trace.FlagsRandom))}
	dst = append(dst, "00-"...)
	dst = hex.AppendEncode(dst, traceID[:])
	dst = append(dst, '-')
	dst = hex.AppendEncode(dst, spanID[:])
	dst = append(dst, '-')
	return hex.AppendEncode(dst, flags[:])
}

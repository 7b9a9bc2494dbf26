package ingest

import (
	"fmt"
	"io"
	"strconv"
	"time"
	"unicode/utf8"

	"tidemark/schemas"
)

// WriteJSONL writes an event as one line of the contract's JSON Lines, with
// occurred_at in RFC 3339 to the millisecond, UTC. Reading the line gives the
// same event, except that bytes which are not UTF-8 become U+FFFD. It writes
// with one call of w.Write; an instant outside the years 0000 to 9999 is an error.
func WriteJSONL(w io.Writer, e *schemas.Event) error {
	line, err := AppendJSONL(nil, e)
	if err != nil {
		return err
	}
	_, err = w.Write(line)
	return err
}

// AppendJSONL appends what WriteJSONL writes, newline included, for callers
// that write millions and keep a buffer.
func AppendJSONL(dst []byte, e *schemas.Event) ([]byte, error) {
	if e.OccurredAt < minInstant || e.OccurredAt > maxInstant {
		return dst, fmt.Errorf("ingest: event %s: occurred_at %d lies outside the years 0000 to 9999", e.EventID, e.OccurredAt)
	}
	dst = append(dst, `{"event_id":`...)
	dst = appendQuoted(dst, e.EventID)
	dst = append(dst, `,"customer_id":`...)
	dst = appendQuoted(dst, e.CustomerID)
	kind := e.Type
	if e.Kind == schemas.Order {
		kind = e.Order.String()
		dst = append(dst, `,"order_id":`...)
		dst = appendQuoted(dst, e.OrderID)
	}
	dst = append(dst, `,"type":`...)
	dst = appendQuoted(dst, kind)
	dst = append(dst, `,"occurred_at":"`...)
	dst = time.UnixMilli(int64(e.OccurredAt)).UTC().AppendFormat(dst, "2006-01-02T15:04:05.000Z")
	dst = append(dst, '"')
	if e.Kind == schemas.Order {
		dst = append(dst, `,"amount_minor":`...)
		dst = strconv.AppendInt(dst, e.AmountMinor, 10)
		dst = append(dst, `,"currency":`...)
		dst = appendQuoted(dst, e.Currency)
	}
	if e.Channel != "" {
		dst = append(dst, `,"channel":`...)
		dst = appendQuoted(dst, e.Channel)
	}
	if e.Kind == schemas.Order && len(e.Items) > 0 {
		dst = append(dst, `,"items":[`...)
		for i := range e.Items {
			it := &e.Items[i]
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = append(dst, `{"sku":`...)
			dst = appendQuoted(dst, it.SKU)
			if it.Category != "" {
				dst = append(dst, `,"category":`...)
				dst = appendQuoted(dst, it.Category)
			}
			dst = append(dst, `,"quantity":`...)
			dst = strconv.AppendInt(dst, int64(it.Quantity), 10)
			dst = append(dst, `,"amount_minor":`...)
			dst = strconv.AppendInt(dst, it.AmountMinor, 10)
			dst = append(dst, '}')
		}
		dst = append(dst, ']')
	}
	if len(e.Attributes) > 0 {
		dst = append(dst, `,"attributes":{`...)
		for i := range e.Attributes {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = appendQuoted(dst, e.Attributes[i].Key)
			dst = append(dst, ':')
			dst = appendQuoted(dst, e.Attributes[i].Value)
		}
		dst = append(dst, '}')
	}
	return append(dst, '}', '\n'), nil
}

const hexDigits = "0123456789abcdef"

// appendQuoted escapes only what JSON demands, so Chinese text stays readable.
func appendQuoted(dst []byte, s string) []byte {
	dst = append(dst, '"')
	for i := 0; i < len(s); {
		c := s[i]
		switch {
		case c == '"' || c == '\\':
			dst = append(dst, '\\', c)
			i++
		case c == '\n':
			dst = append(dst, '\\', 'n')
			i++
		case c < 0x20:
			dst = append(dst, '\\', 'u', '0', '0', hexDigits[c>>4], hexDigits[c&15])
			i++
		case c < utf8.RuneSelf:
			dst = append(dst, c)
			i++
		default:
			r, n := utf8.DecodeRuneInString(s[i:])
			dst = utf8.AppendRune(dst, r)
			i += n
		}
	}
	return append(dst, '"')
}

package config

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math"
	"strconv"
	"strings"
	"time"
)

const mask = "********"

// Secret is a password, a token or a key. Whatever prints it prints where it
// came from, or a mask; Reveal alone gives the value. The zero Secret is not set.
type Secret struct{ value, from string }

// NewSecret returns a Secret that was given as it is.
func NewSecret(value string) Secret { return Secret{value: value} }

// Reveal returns the value; "" where none is set.
func (s Secret) Reveal() string { return s.value }

// IsSet reports whether there is a value.
func (s Secret) IsSet() bool { return s.value != "" }

// String returns file:PATH or env:NAME for a reference, a mask for a literal
// and "" where nothing is set.
func (s Secret) String() string {
	switch {
	case s.from != "":
		return s.from
	case s.value != "":
		return mask
	}
	return ""
}

// Format prints String, whatever the verb: %x or %#v would otherwise go around it.
func (s Secret) Format(f fmt.State, _ rune) { io.WriteString(f, s.String()) }

// MarshalText gives String to JSON, YAML and other encoders.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// LogValue gives String to log/slog.
func (s Secret) LogValue() slog.Value { return slog.StringValue(s.String()) }

// FireKind tells what FireFrom says.
type FireKind uint8

// The kinds of FireFrom.
const (
	FireNow       FireKind = iota // from the moment of the first start
	FireBeginning                 // everything
	FireAt                        // from FireFrom.At
)

// FireFrom is from when on triggers are sent.
type FireFrom struct {
	Kind FireKind
	At   time.Time // UTC, whole milliseconds; only with FireAt
}

func (f FireFrom) String() string {
	switch f.Kind {
	case FireNow:
		return "now"
	case FireBeginning:
		return "beginning"
	}
	return formatInstant(f.At)
}

func formatInstant(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(time.RFC3339Nano)
}

func parseInstant(s string) (time.Time, error) {
	t, err := time.Parse(time.RFC3339Nano, s)
	if err != nil {
		return time.Time{}, errors.New("is not an instant")
	}
	t = t.UTC()
	if t.Nanosecond()%int(time.Millisecond) != 0 {
		return time.Time{}, errors.New("is finer than a millisecond")
	}
	if t.Year() < 1970 || t.Year() > 9999 {
		return time.Time{}, errors.New("lies outside the years 1970 to 9999")
	}
	return t, nil
}

var durationUnits = []struct {
	name string
	size time.Duration
}{{"d", 24 * time.Hour}, {"h", time.Hour}, {"m", time.Minute}, {"s", time.Second}, {"ms", time.Millisecond}}

var sizeUnits = []struct {
	name string
	size int64
}{{"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10}, {"B", 1}}

var errNoUnit = errors.New("has no unit")

// parseDuration reads whole numbers with units, largest first and each at most
// once: 30d, 12h, 1m30s, 500ms. A day is 24 hours.
func parseDuration(s string) (time.Duration, error) {
	if isDigits(s) && s != "0" && len(s) <= 15 {
		return 0, errNoUnit
	}
	wrong := errors.New("is not a duration")
	if s == "" || s == "0" {
		return 0, wrong
	}
	var sum time.Duration
	rest, next := s, 0
	for rest != "" {
		n := leadingDigits(rest)
		unit := rest[n:]
		if at := strings.IndexAny(unit, "0123456789"); at >= 0 {
			unit = unit[:at]
		}
		i := next
		for i < len(durationUnits) && durationUnits[i].name != unit {
			i++
		}
		if n == 0 || n > 15 || i == len(durationUnits) {
			return 0, wrong
		}
		count, _ := strconv.ParseInt(rest[:n], 10, 64) // 15 digits fit
		if count > int64((math.MaxInt64-sum)/durationUnits[i].size) {
			return 0, errors.New("is too long")
		}
		sum += time.Duration(count) * durationUnits[i].size
		next, rest = i+1, rest[n+len(unit):]
	}
	return sum, nil
}

// formatDuration writes a duration as parseDuration reads it.
func formatDuration(d time.Duration) string {
	var b strings.Builder
	for _, u := range durationUnits {
		if n := d / u.size; n > 0 {
			fmt.Fprintf(&b, "%d%s", n, u.name)
			d -= n * u.size
		}
	}
	if d != 0 { // less than a millisecond, or negative: only code can have made it
		return d.String()
	}
	if b.Len() == 0 {
		return "0s"
	}
	return b.String()
}

// parseSize reads a whole number with a unit: 512B, 64KiB, 64MiB, 1GiB.
func parseSize(s string) (int64, error) {
	n := leadingDigits(s)
	if n > 0 && n <= 15 && n == len(s) {
		return 0, errNoUnit
	}
	for _, u := range sizeUnits {
		if s[n:] != u.name || n == 0 || n > 18 {
			continue
		}
		count, _ := strconv.ParseInt(s[:n], 10, 64)
		if count > math.MaxInt64/u.size {
			return 0, errors.New("is too large")
		}
		return count * u.size, nil
	}
	return 0, errors.New("is not a size")
}

// formatSize writes a size as parseSize reads it, in the largest unit that is exact.
func formatSize(n int64) string {
	for _, u := range sizeUnits {
		if n != 0 && n%u.size == 0 {
			return strconv.FormatInt(n/u.size, 10) + u.name
		}
	}
	return "0B"
}

func leadingDigits(s string) int { return len(s) - len(strings.TrimLeft(s, "0123456789")) }

func isDigits(s string) bool { return s != "" && leadingDigits(s) == len(s) }

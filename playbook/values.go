package playbook

import (
	"errors"
	"fmt"
	"math/big"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"tidemark/schemas"
)

const (
	week = 7 * schemas.Day
	// maxDuration is a hundred years: no rule needs more, and sums of a few of
	// these stay far from the ends of int64.
	maxDuration = 36500 * schemas.Day
)

var units = []struct {
	name string
	size schemas.EventTime
}{
	{"w", week}, {"d", schemas.Day}, {"h", schemas.Hour},
	{"m", schemas.Minute}, {"s", schemas.Second}, {"ms", schemas.Millisecond},
}

var errTooLong = errors.New("is longer than 36500d")

// ParseDuration reads whole numbers with units, largest unit first and each at
// most once: 30d, 12h, 10m, 2s, 500ms, 13w, 1d12h. A day is 24 hours.
// The largest is 36500d.
func ParseDuration(s string) (schemas.EventTime, error) {
	const form = "whole numbers with a unit w, d, h, m, s or ms, largest first, such as 30d, 12h or 1d12h"
	var sum schemas.EventTime
	rest, next := s, 0
	for rest != "" {
		digits := len(rest) - len(strings.TrimLeft(rest, "0123456789"))
		letters := digits + len(rest[digits:]) - len(strings.TrimLeft(rest[digits:], "abcdefghijklmnopqrstuvwxyz"))
		if digits == 0 || digits > 15 || letters == digits {
			return 0, fmt.Errorf("%q is not a duration: %s", shorten(s), form)
		}
		i := next
		for i < len(units) && units[i].name != rest[digits:letters] {
			i++
		}
		if i == len(units) {
			return 0, fmt.Errorf("%q is not a duration: %s", shorten(s), form)
		}
		n, _ := strconv.ParseInt(rest[:digits], 10, 64) // 15 digits fit
		if n > int64(maxDuration/units[i].size) {
			return 0, fmt.Errorf("%q %w", shorten(s), errTooLong)
		}
		sum += schemas.EventTime(n) * units[i].size
		next, rest = i+1, rest[letters:]
	}
	if s == "" {
		return 0, fmt.Errorf("%q is not a duration: %s", s, form)
	}
	if sum > maxDuration {
		return 0, fmt.Errorf("%q %w", shorten(s), errTooLong)
	}
	return sum, nil
}

// FormatDuration writes a duration of 0 or more in the form that ParseDuration
// reads, without weeks.
func FormatDuration(d schemas.EventTime) string {
	if d <= 0 {
		return "0s"
	}
	var b strings.Builder
	for _, u := range units[1:] {
		if n := d / u.size; n > 0 {
			fmt.Fprintf(&b, "%d%s", n, u.name)
			d -= n * u.size
		}
	}
	return b.String()
}

// parseDecimal reads digits with at most one point and an optional minus sign:
// value = digits / 10^scale, trailing zeros behind the point dropped.
func parseDecimal(s string) (digits *big.Int, scale int, ok bool) {
	body, negative := strings.CutPrefix(s, "-")
	whole, fraction, _ := strings.Cut(body, ".")
	if whole == "" && fraction == "" || len(body) > 40 || strings.HasSuffix(body, ".") {
		return nil, 0, false
	}
	fraction = strings.TrimRight(fraction, "0")
	for _, c := range whole + fraction {
		if c < '0' || c > '9' {
			return nil, 0, false
		}
	}
	digits, ok = new(big.Int).SetString("0"+whole+fraction, 10)
	if ok && negative {
		digits.Neg(digits)
	}
	return digits, len(fraction), ok
}

// ParseMoney turns a decimal amount of a currency into minor units, exactly.
func ParseMoney(s, currency string) (int64, error) {
	exponent, ok := Exponent(currency)
	if !ok {
		return 0, fmt.Errorf("%q is not a currency of ISO 4217", currency)
	}
	digits, scale, ok := parseDecimal(s)
	if !ok {
		return 0, fmt.Errorf("%q is not an amount of money such as 12 or 12.50", shorten(s))
	}
	if scale > exponent {
		return 0, fmt.Errorf("%q has more decimals than %s, which has %d", shorten(s), currency, exponent)
	}
	digits.Mul(digits, power10(exponent-scale))
	if !digits.IsInt64() {
		return 0, fmt.Errorf("%q is too large", shorten(s))
	}
	return digits.Int64(), nil
}

// parsePercent turns 10% or 2.5% into parts per million, exactly.
func parsePercent(s string) (int64, error) {
	body, ok := strings.CutSuffix(s, "%")
	digits, scale, isNumber := parseDecimal(strings.TrimSpace(body))
	if !ok || !isNumber {
		return 0, fmt.Errorf("%q is not a percentage such as 10%% or 2.5%%", shorten(s))
	}
	if scale > 4 {
		return 0, fmt.Errorf("%q has more than four decimals", shorten(s))
	}
	digits.Mul(digits, power10(4-scale))
	if !digits.IsInt64() {
		return 0, fmt.Errorf("%q is too large", shorten(s))
	}
	return digits.Int64(), nil
}

// ParseInstant reads RFC 3339, a date, which is the first moment of that day in
// zone, or milliseconds since 1970.
func ParseInstant(s string, zone *time.Location) (schemas.EventTime, error) {
	if ms, err := strconv.ParseInt(s, 10, 64); err == nil && len(s) > 8 {
		return schemas.EventTime(ms), nil
	}
	return parseInstant(s, zone)
}

// parseInstant reads RFC 3339 or a date, which is the first moment of that day
// in zone.
func parseInstant(s string, zone *time.Location) (schemas.EventTime, error) {
	if t, err := time.Parse(time.RFC3339Nano, s); err == nil {
		if t.Nanosecond()%int(time.Millisecond) != 0 {
			return 0, fmt.Errorf("%q is finer than a millisecond", shorten(s))
		}
		return schemas.EventTime(t.UnixMilli()), nil
	}
	t, err := time.ParseInLocation(time.DateOnly, s, zone)
	if err != nil {
		return 0, fmt.Errorf("%q is neither a date such as 2024-01-31 nor an instant such as 2024-01-31T08:00:00Z", shorten(s))
	}
	return schemas.EventTime(firstMoment(t).UnixMilli()), nil
}

// firstMoment corrects for zones whose clocks jump forward at midnight: there
// the day begins at 01:00, and time.Date may give 23:00 of the day before.
func firstMoment(t time.Time) time.Time {
	_, _, day := t.Date()
	if _, _, d := t.Add(time.Hour).Date(); t.Hour() == 23 && d != day {
		return t.Add(time.Hour)
	}
	return t
}

// nameProblem says what is wrong with the name of a rule, a level or an arm; "" if nothing is.
func nameProblem(s string) string {
	switch {
	case s == "":
		return "is empty"
	case utf8.RuneCountInString(s) > 64:
		return "is longer than 64 characters"
	case strings.TrimSpace(s) != s:
		return "begins or ends with a space"
	}
	for _, c := range s {
		if !unicode.IsPrint(c) || strings.ContainsRune(`"'`+"`\\/", c) {
			return fmt.Sprintf("holds the character %q", c)
		}
	}
	return ""
}

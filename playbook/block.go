package playbook

import (
	"errors"
	"fmt"
	"math/big"
	"sort"
	"strconv"
	"strings"
	"time"

	"tidemark/schemas"
)

// compiler gathers the problems of one text while the rules are built. Readers
// give the default, or a harmless value, after a problem, so that the rest is
// still looked at.
type compiler struct {
	problems []Problem
	zone     *time.Location
	currency string
}

func (c *compiler) problem(n *node, path, problem, allowed string) {
	if n == nil { // a key that is not there; path says which
		n = &node{line: 1, column: 1}
	}
	c.problems = append(c.problems, Problem{Line: n.line, Column: n.column, Path: path, Problem: problem, Allowed: allowed})
}

// block is a mapping whose keys are known.
type block struct {
	c      *compiler
	n      *node
	path   string
	values map[string]*node
}

// open checks the keys of n against the vocabulary's entry for shape and
// reports what is unknown, double or without a value. allowed narrows the
// shape's keys where they hang on a choice; why then says on which.
func (c *compiler) open(n *node, path, shape string, why string, allowed ...string) *block {
	b := &block{c: c, n: n, path: path, values: map[string]*node{}}
	keys := vocabulary[shape]
	if why == "" {
		allowed = keys
	}
	if n.kind != mapNode {
		c.problem(n, path, "must be a block of keys, not "+n.String(), strings.Join(allowed, ", "))
		b.n = nil
		return b
	}
	for _, e := range n.entries {
		key := e.key.text
		at := join(path, key)
		switch {
		case contains(allowed, key):
		case contains(keys, key):
			c.problem(e.key, at, fmt.Sprintf("%q has no meaning %s", key, why), strings.Join(allowed, ", "))
			continue
		case contains(planned[shape], key):
			c.problem(e.key, at, fmt.Sprintf("%q is not yet in this version", key), strings.Join(allowed, ", "))
			continue
		default:
			c.problem(e.key, at, fmt.Sprintf("unknown key %q%s", shorten(key), didYouMean(key, allowed)), strings.Join(allowed, ", "))
			continue
		}
		if _, double := b.values[key]; double {
			c.problem(e.key, at, fmt.Sprintf("%q stands here twice", key), "each key once")
			continue
		}
		b.values[key] = e.value
		if e.value.kind == nullNode && !e.value.refused {
			c.problem(e.key, at, fmt.Sprintf("%q has no value", key), "a value, or leave the key out")
		}
	}
	return b
}

func join(path, key string) string {
	if path == "" {
		return key
	}
	return path + "." + key
}

func contains(list []string, s string) bool {
	for _, x := range list {
		if x == s {
			return true
		}
	}
	return false
}

// get returns nil where the key is absent or empty.
func (b *block) get(key string) *node {
	if v := b.values[key]; v != nil && v.kind != nullNode {
		return v
	}
	return nil
}

// need is get for a key that must be there.
func (b *block) need(key, allowed string) *node {
	if b.n != nil && b.values[key] == nil {
		b.c.problem(b.n, join(b.path, key), fmt.Sprintf("%q is missing", key), allowed)
	}
	return b.get(key)
}

func (b *block) at(key string) string { return join(b.path, key) }

// scalar returns the text under key; false where it is absent or no scalar.
func (b *block) scalar(key, allowed string) (string, *node, bool) {
	v := b.get(key)
	if v == nil {
		return "", nil, false
	}
	text, ok := b.c.scalar(v, b.at(key), allowed)
	return text, v, ok
}

func (c *compiler) scalar(n *node, path, allowed string) (string, bool) {
	if n.kind == nullNode {
		c.problem(n, path, "has no value", allowed)
		return "", false
	}
	if n.kind != scalarNode {
		c.problem(n, path, "must be one value, not "+n.String(), allowed)
		return "", false
	}
	return n.text, true
}

// text reads free text of at most 500 characters.
func (b *block) text(key, otherwise string) string {
	s, v, ok := b.scalar(key, "text")
	if !ok {
		return otherwise
	}
	if s = strings.TrimSpace(s); s == "" || len([]rune(s)) > 500 {
		b.c.problem(v, b.at(key), "is empty or longer than 500 characters", "text of 1 to 500 characters")
		return otherwise
	}
	return s
}

const nameForm = "1 to 64 letters, digits, spaces and marks, without quotes and slashes"

func (b *block) name(key string) string {
	b.need(key, nameForm)
	s, v, ok := b.scalar(key, nameForm)
	if !ok {
		return ""
	}
	if what := nameProblem(s); what != "" {
		b.c.problem(v, b.at(key), fmt.Sprintf("the name %q %s", shorten(s), what), nameForm)
		return ""
	}
	return s
}

// names reads a list of names, none of them twice.
func (b *block) names(key string) []string {
	var out []string
	for i, item := range b.list(key, "a list of names") {
		path := fmt.Sprintf("%s[%d]", b.at(key), i)
		s, ok := b.c.scalar(item, path, nameForm)
		if !ok {
			continue
		}
		if what := nameProblem(s); what != "" {
			b.c.problem(item, path, fmt.Sprintf("the name %q %s", shorten(s), what), nameForm)
		} else if contains(out, s) {
			b.c.problem(item, path, fmt.Sprintf("%q stands here twice", s), "each name once")
		} else {
			out = append(out, s)
		}
	}
	return out
}

// list returns the items under key, nil where it is absent or no list.
func (b *block) list(key, allowed string) []*node {
	v := b.get(key)
	if v == nil {
		return nil
	}
	if v.kind != listNode {
		b.c.problem(v, b.at(key), "must be a list, not "+v.String(), allowed)
		return nil
	}
	return v.items
}

// choice reads one of the words; otherwise is what stands for an absent key.
func (b *block) choice(key, otherwise string, words ...string) string {
	allowed := strings.Join(words, ", ")
	s, v, ok := b.scalar(key, allowed)
	if !ok {
		return otherwise
	}
	if contains(words, s) {
		return s
	}
	if contains(plannedValues[shapeOf(b.at(key))], s) {
		b.c.problem(v, b.at(key), fmt.Sprintf("%q is not yet in this version", s), allowed)
	} else {
		b.c.problem(v, b.at(key), fmt.Sprintf("unknown value %q%s", shorten(s), didYouMean(s, words)), allowed)
	}
	return otherwise
}

// shapeOf drops the indices of a path.
func shapeOf(path string) string {
	var out strings.Builder
	for i := 0; i < len(path); i++ {
		out.WriteByte(path[i])
		if path[i] == '[' {
			for i+1 < len(path) && path[i+1] >= '0' && path[i+1] <= '9' {
				i++
			}
		}
	}
	return out.String()
}

// duration reads a duration within [low, high].
func (b *block) duration(key string, otherwise, low, high schemas.EventTime) schemas.EventTime {
	allowed := fmt.Sprintf("a duration from %s to %s, such as 30d or 12h", FormatDuration(low), FormatDuration(high))
	s, v, ok := b.scalar(key, allowed)
	if !ok {
		return otherwise
	}
	d, err := ParseDuration(s)
	if err != nil {
		b.c.problem(v, b.at(key), durationProblem(s, err), allowed)
		return otherwise
	}
	if d < low || d > high {
		b.c.problem(v, b.at(key), fmt.Sprintf("%s is out of range", s), allowed)
		return otherwise
	}
	return d
}

// durationProblem is shorter than err: what is allowed follows it in the message.
func durationProblem(s string, err error) string {
	if errors.Is(err, errTooLong) {
		return err.Error()
	}
	if s != "" && strings.Trim(s, "0123456789") == "" {
		return fmt.Sprintf("%q has no unit: w, d, h, m, s or ms", shorten(s))
	}
	return fmt.Sprintf("%q is not a duration", shorten(s))
}

// integer reads a whole number within [low, high].
func (b *block) integer(key string, otherwise, low, high int64) int64 {
	if v := b.get(key); v != nil {
		if n, ok := b.c.integer(v, b.at(key), low, high); ok {
			return n
		}
	}
	return otherwise
}

func (c *compiler) integer(v *node, path string, low, high int64) (int64, bool) {
	allowed := fmt.Sprintf("a whole number from %d to %d", low, high)
	s, ok := c.scalar(v, path, allowed)
	if !ok {
		return 0, false
	}
	digits, scale, ok := parseDecimal(s)
	if !ok || scale > 0 || strings.Contains(s, ".") {
		c.problem(v, path, fmt.Sprintf("%q is not a whole number", shorten(s)), allowed)
		return 0, false
	}
	if !digits.IsInt64() || digits.Int64() < low || digits.Int64() > high {
		c.problem(v, path, fmt.Sprintf("%s is out of range", shorten(s)), allowed)
		return 0, false
	}
	return digits.Int64(), true
}

// money reads an amount in the playbook's currency that is at least low minor units.
func (c *compiler) money(v *node, path string, low int64) (int64, bool) {
	if c.currency == "" { // refused already; without it there are no minor units
		return 0, false
	}
	allowed := "an amount in " + c.currency
	if low > 0 {
		allowed += " above 0"
	}
	s, ok := c.scalar(v, path, allowed)
	if !ok {
		return 0, false
	}
	minor, err := ParseMoney(s, c.currency)
	if err != nil {
		c.problem(v, path, err.Error(), allowed)
		return 0, false
	}
	if minor < low {
		c.problem(v, path, fmt.Sprintf("%s is out of range", s), allowed)
		return 0, false
	}
	return minor, true
}

// percent reads a share as parts per million within [low, high].
func (b *block) percent(key string, otherwise, low, high int64) int64 {
	allowed := fmt.Sprintf("a percentage from %s to %s", formatPPM(low), formatPPM(high))
	s, v, ok := b.scalar(key, allowed)
	if !ok {
		return otherwise
	}
	n, err := parsePercent(s)
	if err != nil {
		b.c.problem(v, b.at(key), err.Error(), allowed)
		return otherwise
	}
	if n < low || n > high {
		b.c.problem(v, b.at(key), fmt.Sprintf("%s is out of range", s), allowed)
		return otherwise
	}
	return n
}

func formatPPM(n int64) string {
	return strings.TrimSuffix(strings.TrimRight(fmt.Sprintf("%d.%04d", n/10000, n%10000), "0"), ".") + "%"
}

// real reads a decimal number strictly between low and high.
func (b *block) real(key string, otherwise, low, high float64) float64 {
	if v := b.get(key); v != nil {
		if x, ok := b.c.real(v, b.at(key), low, high); ok {
			return x
		}
	}
	return otherwise
}

func (c *compiler) real(v *node, path string, low, high float64) (float64, bool) {
	allowed := fmt.Sprintf("a number above %.0f and below %.0f", low, high)
	s, ok := c.scalar(v, path, allowed)
	if !ok {
		return 0, false
	}
	if _, _, ok := parseDecimal(s); !ok {
		c.problem(v, path, fmt.Sprintf("%q is not a number", shorten(s)), allowed)
		return 0, false
	}
	x, err := strconv.ParseFloat(s, 64)
	if err != nil || x <= low || x >= high {
		c.problem(v, path, fmt.Sprintf("%s is out of range", shorten(s)), allowed)
		return 0, false
	}
	return x, true
}

func (c *compiler) instant(v *node, path string) (schemas.EventTime, bool) {
	const allowed = "a date such as 2024-01-31, or an instant such as 2024-01-31T08:00:00Z"
	s, ok := c.scalar(v, path, allowed)
	if !ok {
		return 0, false
	}
	t, err := parseInstant(s, c.zone)
	if err != nil {
		c.problem(v, path, err.Error(), allowed)
		return 0, false
	}
	return t, true
}

// rates reads the table of exchange rates: by currency one rate that always
// holds, or a list of {from, rate}, ascending.
func (c *compiler) rates(v *node) *rateTable {
	table := &rateTable{currency: c.currency, rates: map[string][]rate{}}
	if v == nil {
		return table
	}
	const form = "currency codes, each with a rate or a list of {from, rate}"
	if v.kind != mapNode {
		c.problem(v, "rates", "must be a block of keys, not "+v.String(), form)
		return table
	}
	own := exponents[c.currency]
	for _, e := range v.entries {
		code := e.key.text
		path := "rates." + code
		exponent, known := Exponent(code)
		switch _, double := table.rates[code]; {
		case !known:
			c.problem(e.key, path, unknownCurrency(code), "a code of ISO 4217 such as EUR")
			continue
		case code == c.currency:
			c.problem(e.key, path, "this is the playbook's own currency", "other currencies")
			continue
		case double:
			c.problem(e.key, path, fmt.Sprintf("%q stands here twice", code), "each key once")
			continue
		}
		list := []rate{}
		if e.value.kind == listNode {
			for i, item := range e.value.items {
				at := fmt.Sprintf("%s[%d]", path, i)
				b := c.open(item, at, "rates.*[]", "")
				fv, rv := b.need("from", "a date or an instant"), b.need("rate", rateForm)
				if fv == nil || rv == nil {
					continue
				}
				from, ok := c.instant(fv, b.at("from"))
				digits, scale, ok2 := c.rate(rv, b.at("rate"))
				if !ok || !ok2 {
					continue
				}
				if n := len(list); n > 0 && from <= list[n-1].from {
					c.problem(fv, b.at("from"), "is not later than the one before", "ascending instants")
					continue
				}
				list = append(list, newRate(from, digits, scale, exponent, own))
			}
		} else if digits, scale, ok := c.rate(e.value, path); ok {
			list = append(list, newRate(-1<<63, digits, scale, exponent, own))
		}
		table.rates[code] = list
	}
	return table
}

const rateForm = `how many units of the playbook's currency one unit is worth, a decimal such as "1.0823"`

func (c *compiler) rate(v *node, path string) (*big.Int, int, bool) {
	s, ok := c.scalar(v, path, rateForm)
	if !ok {
		return nil, 0, false
	}
	digits, scale, ok := parseDecimal(s)
	if !ok || digits.Sign() <= 0 {
		c.problem(v, path, fmt.Sprintf("%q is not a rate above 0", shorten(s)), rateForm)
		return nil, 0, false
	}
	return digits, scale, true
}

// unknownCurrency knows the names under which some currencies go in daily life.
func unknownCurrency(code string) string {
	if meant, ok := map[string]string{"RMB": "CNY", "CNH": "CNY", "YUAN": "CNY", "EURO": "EUR", "YEN": "JPY", "UKP": "GBP", "NTD": "TWD"}[strings.ToUpper(code)]; ok {
		return fmt.Sprintf("unknown currency %q, did you mean %q?", code, meant)
	}
	return fmt.Sprintf("unknown currency %q%s", shorten(code), didYouMean(code, currencyCodes()))
}

func currencyCodes() []string {
	out := make([]string, 0, len(exponents))
	for code := range exponents {
		out = append(out, code)
	}
	sort.Strings(out)
	return out
}

package config

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"tidemark/spelling"
)

// fault is what is wrong with one value, without its place.
type fault struct {
	problem, allowed, cure string
	item                   int // of a list: which entry; -1 for the whole
}

func (f *field) fault(problem, cure string) *fault {
	return &fault{problem: problem, allowed: f.allowed(), cure: cure, item: -1}
}

// read stores a value that is written as text; a list with commas between its
// entries. getenv looks up env: secrets. After a fault the field is as it was.
func (f *field) read(s string, getenv func(string) (string, bool)) []fault {
	if !utf8.ValidString(s) {
		return []fault{*f.fault("is not UTF-8", "write it in UTF-8")}
	}
	if f.kind == listKind {
		return f.readList(split(s))
	}
	if wrong := f.readOne(s, getenv); wrong != nil {
		return []fault{*wrong}
	}
	return nil
}

func (f *field) readOne(s string, getenv func(string) (string, bool)) *fault {
	switch f.kind {
	case textKind:
		return f.readText(s)
	case choiceKind:
		for _, w := range f.words {
			if s == w {
				*f.value.(*string) = s
				return nil
			}
		}
		return f.fault("is not one of the words", f.choiceCure(s))
	case flagKind:
		if s != "true" && s != "false" {
			cure := "write true or false"
			switch strings.ToLower(s) {
			case "yes", "on", "1", "true", "y", "t":
				cure = "write true"
			case "no", "off", "0", "false", "n", "f":
				cure = "write false"
			}
			return f.fault("is neither true nor false", cure)
		}
		*f.value.(*bool) = s == "true"
	case numberKind:
		n, err := strconv.Atoi(s)
		if err != nil || strings.HasPrefix(s, "+") {
			return f.fault("is not a whole number", "write digits alone, such as "+f.shown(Default()))
		}
		if int64(n) < f.min || int64(n) > f.max {
			return f.fault("is out of range", fmt.Sprintf("choose a number in the range; the default is %s", f.shown(Default())))
		}
		*f.value.(*int) = n
	case durationKind:
		d, err := parseDuration(s)
		switch {
		case errors.Is(err, errNoUnit):
			return f.fault(err.Error(), fmt.Sprintf("write %ss or %sms, whichever is meant; units are d, h, m, s, ms", s, s))
		case err != nil:
			return f.fault(err.Error(), "write whole numbers with units d, h, m, s, ms, largest first, such as "+f.shown(Default())+" or 1m30s")
		case int64(d) < f.min || int64(d) > f.max:
			return f.fault("is out of range", "choose a duration in the range; the default is "+f.shown(Default()))
		}
		*f.value.(*time.Duration) = d
	case sizeKind:
		n, err := parseSize(s)
		switch {
		case errors.Is(err, errNoUnit):
			return f.fault(err.Error(), fmt.Sprintf("write %sMiB, or %sB if bytes are meant", s, s))
		case err != nil:
			return f.fault(err.Error(), "write a whole number with B, KiB, MiB or GiB, such as "+f.shown(Default())+"; 1MiB is 1,048,576 bytes")
		case n < f.min || n > f.max:
			return f.fault("is out of range", "choose a size in the range; the default is "+f.shown(Default()))
		}
		*f.value.(*int64) = n
	case secretKind:
		secret, fault := f.readSecret(s, getenv)
		if fault != nil {
			return fault
		}
		*f.value.(*Secret) = secret
	case instantKind:
		if s == "" {
			*f.value.(*time.Time) = time.Time{}
			return nil
		}
		t, err := parseInstant(s)
		if err != nil {
			return f.fault(err.Error(), instantCure(s))
		}
		*f.value.(*time.Time) = t
	case fireFromKind:
		switch s {
		case "now":
			*f.value.(*FireFrom) = FireFrom{Kind: FireNow}
		case "beginning":
			*f.value.(*FireFrom) = FireFrom{Kind: FireBeginning}
		default:
			t, err := parseInstant(s)
			if err != nil {
				return f.fault("is neither one of the words nor an instant: it "+err.Error(), instantCure(s))
			}
			*f.value.(*FireFrom) = FireFrom{Kind: FireAt, At: t}
		}
	}
	return nil
}

func instantCure(s string) string {
	if t, err := time.Parse(time.DateOnly, s); err == nil {
		return fmt.Sprintf("a day alone does not say in which time zone it begins; write %sT00:00:00Z or %sT00:00:00+08:00", t.Format(time.DateOnly), t.Format(time.DateOnly))
	}
	return "write date, time and zone as RFC 3339 has them, at most milliseconds: 2024-01-31T00:00:00Z"
}

func (f *field) choiceCure(s string) string {
	if w := spelling.Nearest(s, f.words); w != "" {
		return fmt.Sprintf("write %s", w)
	}
	if strings.HasPrefix(s, "librdkafka") || strings.HasPrefix(s, "consistent") || s == "crc32" {
		return "write murmur2, and set partitioner=murmur2_random in librdkafka's producers"
	}
	return "write one of the words; the default is " + f.shown(Default())
}

func (f *field) readText(s string) *fault {
	switch {
	case s == "":
		if !f.optional() {
			return f.fault("is empty", f.missingCure())
		}
	case strings.TrimSpace(s) != s || strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r == 0x7f }):
		return f.fault("begins or ends with a space, or holds a control character", "write it without them")
	case len(s) > 4096:
		return f.fault(fmt.Sprintf("has %d bytes", len(s)), "write at most 4096 bytes")
	case f.check != nil:
		if problem, cure := f.check(s); problem != "" {
			return f.fault(problem, cure)
		}
	}
	*f.value.(*string) = s
	return nil
}

func (f *field) missingCure() string {
	if f.required || f.sample != "" {
		return fmt.Sprintf("write a value such as %s, or set %s", f.sample, variable(f.path))
	}
	return "write a value, or leave the key out for its default, " + f.shown(Default())
}

// split cuts at commas; spaces around entries do not count.
func split(s string) []string {
	if strings.TrimSpace(s) == "" {
		return nil
	}
	items := strings.Split(s, ",")
	for i := range items {
		items[i] = strings.TrimSpace(items[i])
	}
	return items
}

const maxItems = 100

func (f *field) readList(items []string) (faults []fault) {
	if len(items) == 0 && f.required {
		return []fault{*f.fault("is empty", f.missingCure())}
	}
	if len(items) > maxItems {
		return []fault{*f.fault(fmt.Sprintf("has %d entries", len(items)), fmt.Sprintf("write at most %d", maxItems))}
	}
	seen := map[string]bool{}
	for i, s := range items {
		problem, cure := "is empty", "leave the entry out"
		if strings.TrimSpace(s) != "" {
			problem, cure = f.check(s)
		}
		if problem == "" && seen[s] {
			problem, cure = "stands in the list twice", "leave out one of them"
		}
		if problem != "" {
			faults = append(faults, fault{problem, f.allowed(), cure, i})
		}
		seen[s] = true
	}
	if len(faults) == 0 {
		*f.value.(*[]string) = append([]string(nil), items...)
	}
	return faults
}

const maxSecret = 64 << 10 // bytes

// readSecret never puts the value, or what a file or a variable holds, into a message.
func (f *field) readSecret(s string, getenv func(string) (string, bool)) (Secret, *fault) {
	if path, ok := strings.CutPrefix(s, "file:"); ok {
		value, err := readSmall(path, maxSecret)
		if err != nil {
			return Secret{}, f.fault(fmt.Sprintf("the file of the secret cannot be read: %v", err), "create the file, or let Tidemark's user read it")
		}
		text := strings.TrimSuffix(strings.TrimSuffix(string(value), "\n"), "\r")
		if text == "" {
			return Secret{}, f.fault(fmt.Sprintf("the file of the secret, %s, is empty", quote(path)), "write the secret into it")
		}
		if strings.ContainsAny(text, "\r\n\x00") {
			return Secret{}, f.fault(fmt.Sprintf("the file of the secret, %s, has more than one line", quote(path)), "write the secret alone into it")
		}
		return Secret{text, s}, nil
	}
	if name, ok := strings.CutPrefix(s, "env:"); ok {
		value, found := getenv(name)
		if !found || value == "" {
			return Secret{}, f.fault(fmt.Sprintf("the environment variable %s is not set, or is empty", quote(name)), "set it, or correct its name")
		}
		return Secret{value, s}, nil
	}
	if value, ok := strings.CutPrefix(s, "literal:"); ok {
		s = value
	}
	if strings.ContainsAny(s, "\r\n\x00") {
		return Secret{}, f.fault("has more than one line", "write the secret alone")
	}
	return Secret{value: s}, nil
}

func readSmall(path string, most int) ([]byte, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s is not a file", quote(path))
	}
	if info.Size() > int64(most) {
		return nil, fmt.Errorf("%s has %d bytes, at most %d are read", quote(path), info.Size(), most)
	}
	return os.ReadFile(path)
}

// text gives the value back as read takes it; of a secret what may be shown.
func (f *field) text() string {
	switch v := f.value.(type) {
	case *string:
		return *v
	case *bool:
		return strconv.FormatBool(*v)
	case *int:
		return strconv.Itoa(*v)
	case *int64:
		return formatSize(*v)
	case *time.Duration:
		return formatDuration(*v)
	case *[]string:
		return strings.Join(*v, ",")
	case *Secret:
		return v.String()
	case *FireFrom:
		return v.String()
	case *time.Time:
		return formatInstant(*v)
	}
	panic("config: no text for " + f.path)
}

// isSet reports whether there is anything at all.
func (f *field) isSet() bool { return f.text() != "" }

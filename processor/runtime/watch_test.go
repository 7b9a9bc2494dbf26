package runtime

import (
	"errors"
	"strings"
	"testing"
	"time"
)

// The append time must lie between request and answer, give or take the limit.
func TestSkew(t *testing.T) {
	at := time.UnixMilli(1_700_000_000_000)
	for _, x := range []struct {
		topic          string
		sent, answered time.Duration // from at
		want           string        // "" for no fault
	}{
		{"j", 0, 0, ""},
		{"j", -time.Minute, time.Minute, ""}, // a slow broker is no wrong clock
		{"j", 5 * time.Second, 5 * time.Second, ""},
		{"j", 6 * time.Second, 7 * time.Second, "6s ahead of it"},
		{"j", -9 * time.Second, -6 * time.Second, "6s behind it"},
		{"other", time.Hour, time.Hour, ""},
	} {
		s := &skew{limit: 5 * time.Second, journal: "j"}
		s.appended(x.topic, at, at.Add(x.sent), at.Add(x.answered))
		err := s.err()
		if (err == nil) != (x.want == "") || err != nil && (!errors.Is(err, ErrClock) || !strings.Contains(err.Error(), x.want)) {
			t.Errorf("%s %v %v: %v, want %q", x.topic, x.sent, x.answered, err, x.want)
		}
	}
	s := &skew{journal: "j"}
	if s.appended("j", at, at.Add(time.Hour), at.Add(time.Hour)); s.err() != nil {
		t.Error("no limit, and yet", s.err())
	}
}

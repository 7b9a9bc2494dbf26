package schemas

import (
	"bytes"
	"errors"
	"math"
	"testing"
)

func TestWireFormat(t *testing.T) {
	value := AppendWire([]byte("x"), 0x01020304, []byte("body"))[1:]
	if want := []byte("\x00\x01\x02\x03\x04body"); !bytes.Equal(value, want) {
		t.Errorf("%q, want %q", value, want)
	}
	for _, id := range []int32{0, 1, 256, math.MaxInt32, -1} {
		for _, body := range []string{"", "b", "\x00\x00"} {
			got, rest, err := ParseWire(AppendWire(nil, id, []byte(body)))
			if err != nil || got != id || string(rest) != body {
				t.Errorf("%d %q comes back as %d %q, %v", id, body, got, rest, err)
			}
		}
	}
}

func TestWireErrors(t *testing.T) {
	for _, c := range []struct {
		value string
		want  error
	}{
		{"", ErrWireShort}, {"\x00", ErrWireShort}, {"\x00\x00\x00\x00", ErrWireShort},
		{"{", ErrWireMagic}, {"{\"a\":1}", ErrWireMagic}, {"\x01\x00\x00\x00\x01body", ErrWireMagic},
	} {
		_, _, err := ParseWire([]byte(c.value))
		var typed *WireError
		if !errors.Is(err, c.want) || !errors.As(err, &typed) || typed.Length != len(c.value) {
			t.Errorf("%q: %v, want %v", c.value, err, c.want)
		}
	}
}

package soak

import (
	"bytes"
	"reflect"
	"testing"
)

func inputs(seed uint64, n int) (all []string) {
	m := newMutator(seed, 7, [][]any{{[]byte("alpha=12;beta=7"), int64(3), "x"}, {[]byte{0, 0, 0, 9, 1}, int64(-1), ""}})
	args := make([]any, 3)
	for range n {
		m.next(args)
		all = append(all, encode(args))
	}
	return all
}

// The same seed gives the same inputs, another gives others, and few are alike.
func TestSeedDecides(t *testing.T) {
	a, b, c := inputs(1, 5000), inputs(1, 5000), inputs(2, 5000)
	if !reflect.DeepEqual(a, b) {
		t.Error("the same seed gives other inputs")
	}
	if reflect.DeepEqual(a, c) {
		t.Error("another seed gives the same inputs")
	}
	different := map[string]bool{}
	for _, s := range a {
		different[s] = true
	}
	if got, want := len(different), 3000; got < want {
		t.Errorf("%d of 5000 inputs differ, want %d", got, want)
	}
}

// What a target does to its arguments reaches neither the corpus nor what follows.
func TestArgumentsAreTheTargetsOwn(t *testing.T) {
	corpus := [][]any{{[]byte("abcdefgh")}, {[]byte("ijkl")}}
	spoiled, clean := newMutator(1, 1, corpus), newMutator(1, 1, [][]any{{[]byte("abcdefgh")}, {[]byte("ijkl")}})
	a, b := make([]any, 1), make([]any, 1)
	for i := range 2000 {
		spoiled.next(a)
		clean.next(b)
		x := a[0].([]byte)
		if !bytes.Equal(x, b[0].([]byte)) {
			t.Fatalf("execution %d: %q, want %q", i, x, b[0])
		}
		if len(x) != cap(x) {
			t.Fatalf("room of %d behind %d bytes", cap(x), len(x))
		}
		clear(x)
	}
	if !bytes.Equal(corpus[0][0].([]byte), []byte("abcdefgh")) {
		t.Errorf("the corpus is now %q", corpus[0])
	}
}

func TestInputsAreReadAsWritten(t *testing.T) {
	args := []any{[]byte("a\x00\"\xff\n)"), "é\x80(", int64(-9), uint8(0xe9), uint8('\''), true, uint16(7), int32(-1), int(3)}
	got, err := decode(encode(args))
	if err != nil || !reflect.DeepEqual(got, args) {
		t.Errorf("got %#v, %v, want %#v", got, err, args)
	}
	// As Go writes them.
	got, err = decode("go test fuzz v1\nbyte('\\x00')\nint64(3)\n[]byte(\"0\\x00\")\nrune('é')\n")
	if want := []any{byte(0), int64(3), []byte("0\x00"), 'é'}; err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %#v, %v, want %#v", got, err, want)
	}
	for _, bad := range []string{"", "go test fuzz v2\n", head + "\nint64(x)", head + "\nfloat(1)", head + "\nint64"} {
		if got, err := decode(bad); err == nil {
			t.Errorf("%q gives %v", bad, got)
		}
	}
}

// A mistake that a change of the corpus must meet is met: a length field that is
// believed, a value at a border, a cut.
func TestMistakesAreFound(t *testing.T) {
	m := newMutator(1, 1, [][]any{{[]byte{0, 0, 0, 4, 'a', 'b', 'c', 'd'}}})
	found := map[string]int{}
	args := make([]any, 1)
	for i := range 20000 {
		m.next(args)
		b := args[0].([]byte)
		see := func(what string, is bool) {
			if is && found[what] == 0 {
				found[what] = i + 1
			}
		}
		see("length past the end", len(b) >= 4 && b[0] == 0 && b[1] == 0 && b[2] == 0 && int(b[3]) > len(b)-4)
		see("negative length", len(b) >= 4 && b[0] >= 0x80)
		see("cut within the length", len(b) < 4)
		see("empty", len(b) == 0)
		see("doubled", bytes.Count(b, []byte("abc")) > 1)
		see("all ones", bytes.HasPrefix(b, []byte{0xff, 0xff, 0xff, 0xff}))
	}
	for _, what := range []string{"length past the end", "negative length", "cut within the length", "empty", "doubled", "all ones"} {
		if found[what] == 0 {
			t.Errorf("20,000 executions never met: %s", what)
		}
	}
}

// Executions are counted with those that the target skipped, a target may have
// no seeds, and each argument is of the target's type.
func TestFuzzExecutes(t *testing.T) {
	var s *soaked
	executed := 0
	t.Run("one", func(t *testing.T) {
		s = &soaked{T: t, name: "FuzzNothing", dir: t.TempDir(), n: 500, seed: 3}
		s.Fuzz(func(t *testing.T, b []byte, n uint16, ok bool) {
			if executed++; executed%10 == 0 {
				t.SkipNow()
			}
		})
	})
	if got, want := s.done.Load(), int64(500); got != want || executed != 500 || s.skipped != 50 {
		t.Errorf("%d counted of %d, %d skipped", got, executed, s.skipped)
	}
}

func BenchmarkNext(b *testing.B) {
	m := newMutator(1, 7, [][]any{{[]byte("alpha=12;beta=7")}, {bytes.Repeat([]byte("0123"), 30)}})
	args := make([]any, 1)
	for b.Loop() {
		m.next(args)
	}
}

package core

import (
	"bytes"
	"reflect"
	"testing"

	"pgregory.net/rapid"

	"tidemark/schemas"
)

// A task that only publishes lets its triggers go, and says the same.
func TestBytesOnly(t *testing.T) {
	pb := rules(t, "input", "")
	triggers := 0
	rapid.Check(t, func(rt *rapid.T) {
		events := made(rt, 3, 8, true)
		whole, lean := bed(t, pb, Config{CacheBytes: 1 << 20}), bed(t, pb, Config{CacheBytes: 1 << 20, BytesOnly: true})
		var outs [2][]Out
		for i, w := range []*world{whole, lean} {
			w.give(events...)
			if err := w.take(nil); err != nil {
				rt.Fatal(err)
			}
			if err := w.tick(w.wall+400*schemas.Day, nil); err != nil {
				rt.Fatal(err)
			}
			outs[i] = w.core.out
			w.close()
		}
		if got, want := len(outs[1]), len(outs[0]); got != want {
			rt.Fatalf("%d records without structs, want %d", got, want)
		}
		for i := range outs[0] {
			want := outs[0][i]
			if tr, ok := want.Record.(schemas.Trigger); ok {
				triggers++
				if got := tr.AppendAvro(nil); !bytes.Equal(got, want.Body) {
					rt.Fatalf("record %d: its bytes changed after it was put out", i)
				}
				want.Record = nil
			}
			if got := outs[1][i]; !reflect.DeepEqual(got, want) {
				rt.Fatalf("record %d: got %+v, want %+v", i, got, want)
			}
		}
	})
	if triggers == 0 {
		t.Error("no trigger was compared")
	}
}

// What is kept for a commit stays as it was, whatever comes after it.
func TestKeep(t *testing.T) {
	var c Core
	var kept, want [][]byte
	for i := range 3000 {
		b := bytes.Repeat([]byte{byte(i)}, i*7%(bodyPage/3))
		kept = append(kept, c.keep(b))
		want = append(want, bytes.Clone(b))
		clear(b)
	}
	for i := range kept {
		if !bytes.Equal(kept[i], want[i]) {
			t.Fatalf("piece %d of %d bytes changed", i, len(want[i]))
		}
		if got, want := cap(kept[i])-len(kept[i]), 0; len(kept[i]) <= bodyPage/4 && got != want {
			t.Fatalf("piece %d has room for %d bytes of its neighbour", i, got)
		}
	}
}

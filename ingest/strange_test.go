package ingest

import (
	"fmt"
	"reflect"
	"strings"
	"testing"
)

// Keys that set nothing are counted the same whatever reads the blocks, and a file
// whose keys are data does not grow the report.
func TestUnknownKeys(t *testing.T) {
	var b strings.Builder
	for i := range 20_000 {
		fmt.Fprintf(&b, `{"event_id":"e%d","customer_id":"c","type":"t","occurred_at":%d,"chanel":"web","k%d":1}`+"\n", i, 1_700_000_000_000+i, i%5000)
	}
	var reports [2][]UnknownKey
	for i, workers := range []int{1, 4} {
		in, err := Open(t.Context(), []Source{{Path: "f", Reader: strings.NewReader(b.String())}}, Options{Workers: workers, MemoryBytes: 1 << 20})
		if err != nil {
			t.Fatal(err)
		}
		reports[i] = in.Report().Unknown
		if err := in.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if !reflect.DeepEqual(reports[0], reports[1]) {
		t.Error("the report depends on the workers")
	}
	got := reports[0]
	if len(got) != moreKeys {
		t.Fatalf("%d keys are told apart, want %d", len(got), moreKeys)
	}
	if want := (UnknownKey{Source: "f", Key: "chanel", Line: 1, Times: 20_000, Meant: "channel"}); got[0] != want {
		t.Errorf("%+v, want %+v", got[0], want)
	}
}

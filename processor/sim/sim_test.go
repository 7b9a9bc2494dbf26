package sim

import (
	"flag"
	"maps"
	"os"
	"runtime"
	"runtime/debug"
	"slices"
	"testing"
)

var (
	seeds = flag.Int("seeds", 200, "how many seeds to run")
	from  = flag.Uint64("from", 1, "the first seed")
	tail  = flag.Int("tail", 60, "lines of log to show of a run that failed")
)

func TestMain(m *testing.M) {
	flag.Parse()
	runtime.GOMAXPROCS(1)
	debug.SetGCPercent(400)
	os.Exit(m.Run())
}

// Nothing lost, nothing twice, whatever happens: every seed's history is sound,
// and each kind of fault has happened.
func TestSeeds(t *testing.T) {
	total := map[string]int{}
	var commits, records, published, steps int64
	for seed := *from; seed < *from+uint64(*seeds); seed++ {
		s := Generate(seed)
		res := Run(t, s, Sound)
		for k, n := range res.Counts {
			total[k] += n
		}
		if res.Err != nil {
			t.Errorf("seed %d: %v\n%s\n%s", seed, res.Err, s, res.Log.Last(*tail))
		}
		commits, records, published, steps = commits+res.Report.Commits, records+res.Report.Records, published+res.Report.Published, steps+int64(res.Steps)
	}
	t.Logf("seeds %d to %d: %d deliveries, %d commits, %d records taken, %d published", *from, *from+uint64(*seeds)-1, steps, commits, records, published)
	for _, k := range slices.Sorted(maps.Keys(total)) {
		t.Logf("%7d %s", total[k], k)
	}
	if *seeds < 200 {
		return
	}
	for _, k := range Kinds() {
		if total[string(k)] == 0 {
			t.Errorf("no fault of the kind %s ever happened", k)
		}
	}
	for _, k := range []string{"poison record", "aborted upstream transaction", "interleaved upstream transaction", "registry asked while away", "damaged store made anew",
		"transaction timed out at the broker", "fence: an open transaction aborted by InitProducerID", "blob lose-request", "blob lose-response", "blob late-request", "blob delay-request",
		"blob duplicate", "blob torn-put", "blob store asked while away", "blob store asked while slow", "checkpoint saved", "checkpoint restored, or tried", "unfit checkpoint passed over",
		"newer checkpoint looked for, since the input was gone", "task stopped for good, since its input is gone", "standby followed", "standby took over", "write met a full disk", "full disk waited out"} {
		if total[k] == 0 {
			t.Errorf("it never happened: %s", k)
		}
	}
}

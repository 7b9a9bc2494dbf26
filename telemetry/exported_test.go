package telemetry

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// What deploy/prometheus/metrics.txt lists is what /metrics gives: the names of
// alert rules and dashboards are held against that file, in a module of their own.
func TestExportedNames(t *testing.T) {
	tel := start(t, Options{App: "shop"})
	recordBatch(tel.Metrics)
	tel.Metrics.DataDir(t.TempDir())
	tel.Tasks.Set(300, TaskStatus{State: Running})
	_, page := get(t, tel, "/metrics", "")
	var got []string
	for _, m := range regexp.MustCompile(`(?m)^# TYPE (tidemark_\S+) (\S+)$`).FindAllStringSubmatch(page, -1) {
		got = append(got, m[1]+" "+m[2])
	}
	slices.Sort(got)
	const file = "../deploy/prometheus/metrics.txt"
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if want := strings.Split(strings.TrimSpace(string(text)), "\n"); !slices.Equal(got, want) {
		t.Errorf("%s should hold\n%s\n", file, strings.Join(got, "\n"))
	}
	if len(got) < 10 || !strings.Contains(page, "\ntidemark_disk_free_bytes{") && !strings.Contains(page, "\ntidemark_disk_free_bytes ") {
		t.Errorf("%d names; no free bytes of a disk", len(got))
	}
}

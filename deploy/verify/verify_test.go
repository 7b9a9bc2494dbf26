// Package verify holds the files under deploy/ against the parsers of the programs
// that read them: BuildKit, Compose, Prometheus. It is a module of its own, so that
// Tidemark does not depend on any of these.
package verify

import (
	"bytes"
	"encoding/json"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/compose-spec/compose-go/v2/cli"
	"github.com/compose-spec/compose-go/v2/types"
	"github.com/moby/buildkit/frontend/dockerfile/instructions"
	"github.com/moby/buildkit/frontend/dockerfile/linter"
	"github.com/moby/buildkit/frontend/dockerfile/parser"
	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/rulefmt"
	"github.com/prometheus/prometheus/promql"
	promparser "github.com/prometheus/prometheus/promql/parser"
	"github.com/prometheus/prometheus/promql/promqltest"
	"gopkg.in/yaml.v3"
)

func read(t *testing.T, path string) []byte {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", path))
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func TestDockerfile(t *testing.T) {
	result, err := parser.Parse(bytes.NewReader(read(t, "docker/Dockerfile")))
	if err != nil {
		t.Fatal(err)
	}
	for _, w := range result.Warnings {
		t.Errorf("%v", w)
	}
	stages, args, err := instructions.Parse(result.AST, linter.New(&linter.Config{}))
	if err != nil {
		t.Fatal(err)
	}
	if len(stages) != 2 || len(args) == 0 {
		t.Fatalf("%d stages, %d arguments", len(stages), len(args))
	}
	last := stages[1]
	if !strings.HasPrefix(last.BaseName, "gcr.io/distroless/static") || !strings.HasSuffix(last.BaseName, ":nonroot") {
		t.Errorf("the image is made from %s", last.BaseName)
	}
	var user, static bool
	var health *instructions.HealthCheckCommand
	for _, c := range last.Commands {
		switch c := c.(type) {
		case *instructions.UserCommand:
			user = c.User == "65532:65532"
		case *instructions.HealthCheckCommand:
			health = c
		case *instructions.RunCommand:
			t.Errorf("the last stage has no shell to run %v", c.CmdLine)
		}
	}
	for _, c := range stages[0].Commands {
		if r, ok := c.(*instructions.RunCommand); ok {
			static = static || strings.Contains(strings.Join(r.CmdLine, " "), "CGO_ENABLED=0")
		}
	}
	if !user || !static || health == nil || health.Health.Test[0] != "CMD" || health.Health.Test[1] != "/tidemark" {
		t.Errorf("user %v, static %v, health %+v", user, static, health)
	}
}

func compose(t *testing.T) *types.Project {
	t.Helper()
	options, err := cli.NewProjectOptions([]string{"../compose/compose.yaml"}, cli.WithResolvedPaths(true))
	if err != nil {
		t.Fatal(err)
	}
	project, err := options.LoadProject(t.Context()) // validates against the Compose schema
	if err != nil {
		t.Fatal(err)
	}
	return project
}

func TestCompose(t *testing.T) {
	project := compose(t)
	for _, name := range []string{"kafka", "registry", "tidemark", "collector", "jaeger", "prometheus", "grafana"} {
		if _, ok := project.Services[name]; !ok {
			t.Errorf("there is no service %s", name)
		}
	}
	for name, s := range project.Services {
		if _, tag, ok := strings.Cut(s.Image, ":"); !ok || tag == "latest" {
			t.Errorf("%s: the image %s has no fixed version", name, s.Image)
		}
		for _, p := range s.Ports {
			if p.HostIP != "127.0.0.1" {
				t.Errorf("%s: port %s is open to other machines", name, p.Published)
			}
		}
		for _, v := range s.Volumes {
			if v.Type == "bind" {
				if _, err := os.Stat(v.Source); err != nil {
					t.Errorf("%s: %v", name, err)
				}
			}
		}
	}
	s := project.Services["tidemark"]
	if !s.ReadOnly || s.User != "65532:65532" || !slices.Contains(s.CapDrop, "ALL") || s.StopGracePeriod == nil || time.Duration(*s.StopGracePeriod) < 16*time.Second {
		t.Errorf("tidemark runs with read_only %v, user %s, cap_drop %v, stop_grace_period %v", s.ReadOnly, s.User, s.CapDrop, s.StopGracePeriod)
	}
	if _, err := os.Stat(filepath.Join(s.Build.Context, s.Build.Dockerfile)); err != nil {
		t.Error(err)
	}
	// What the others are told to reach is a service's port.
	for _, address := range []string{"kafka:19092", "http://registry:8081"} {
		if !bytes.Contains(read(t, "compose/tidemark.yaml"), []byte(address)) {
			t.Errorf("tidemark.yaml does not reach %s", address)
		}
	}
	for file, node := range map[string]string{"compose/collector.yaml": "jaeger:4317", "compose/prometheus.yaml": "tidemark:9464",
		"compose/grafana/provisioning/datasources/sources.yaml": "http://prometheus:9090"} {
		text := read(t, file)
		if err := yaml.Unmarshal(text, new(map[string]any)); err != nil || !bytes.Contains(text, []byte(node)) {
			t.Errorf("%s: %v, or it does not reach %s", file, err, node)
		}
	}
}

// exported is what /metrics gives; a test of Tidemark's own holds the file against it.
func exported(t *testing.T) map[string]string {
	t.Helper()
	out := map[string]string{"up": "gauge", "process_resident_memory_bytes": "gauge", "go_goroutines": "gauge"}
	for line := range strings.Lines(string(read(t, "prometheus/metrics.txt"))) {
		name, kind, _ := strings.Cut(strings.TrimSpace(line), " ")
		out[name] = kind
	}
	if len(out) < 12 {
		t.Fatalf("%d metrics only", len(out))
	}
	return out
}

// check parses a query and finds each of its metrics among those that exist, a
// counter in a rate, a histogram by its buckets, sum or count.
func check(t *testing.T, where, query string, exists map[string]string) {
	t.Helper()
	query = strings.NewReplacer("$__rate_interval", "1m", "$instance", ".*").Replace(query)
	e, err := promparser.NewParser(promparser.Options{}).ParseExpr(query)
	if err != nil {
		t.Errorf("%s: %s: %v", where, query, err)
		return
	}
	found := 0
	promparser.Inspect(e, func(n promparser.Node, path []promparser.Node) error {
		s, ok := n.(*promparser.VectorSelector)
		if !ok {
			return nil
		}
		found++
		kind, ok := exists[s.Name]
		if !ok {
			for _, suffix := range []string{"_bucket", "_sum", "_count"} {
				if base, cut := strings.CutSuffix(s.Name, suffix); cut && exists[base] == "histogram" {
					kind, ok = "counter", true
				}
			}
		}
		ranged := false
		if len(path) > 0 {
			_, ranged = path[len(path)-1].(*promparser.MatrixSelector)
		}
		switch {
		case !ok:
			t.Errorf("%s: there is no metric %s", where, s.Name)
		case kind == "counter" && !ranged:
			t.Errorf("%s: the counter %s is looked at as it stands", where, s.Name)
		case kind == "histogram":
			t.Errorf("%s: %s is a histogram", where, s.Name)
		}
		return nil
	})
	if found == 0 {
		t.Errorf("%s: %s looks at no metric", where, query)
	}
}

func TestDashboards(t *testing.T) {
	files, _ := filepath.Glob("../grafana/*.json")
	if len(files) == 0 {
		t.Fatal("no dashboards")
	}
	exists := exported(t)
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var d struct {
			UID    string
			Panels []struct {
				ID         int
				Title      string
				Datasource struct{ UID string }
				Targets    []struct{ Expr string }
			}
		}
		if err := json.Unmarshal(text, &d); err != nil || d.UID == "" || len(d.Panels) == 0 {
			t.Fatalf("%s: %v, %d panels", file, err, len(d.Panels))
		}
		ids := map[int]bool{}
		for _, p := range d.Panels {
			if ids[p.ID] || len(p.Targets) == 0 || !bytes.Contains(read(t, "compose/grafana/provisioning/datasources/sources.yaml"), []byte("uid: "+p.Datasource.UID)) {
				t.Errorf("%s: panel %d %q", file, p.ID, p.Title)
			}
			ids[p.ID] = true
			for _, target := range p.Targets {
				check(t, p.Title, target.Expr, exists)
			}
		}
	}
}

func rules(t *testing.T) []rulefmt.Rule {
	t.Helper()
	groups, errs := rulefmt.Parse(read(t, "prometheus/tidemark.rules.yaml"), false, model.UTF8Validation, promparser.NewParser(promparser.Options{}), slog.New(slog.DiscardHandler))
	for _, err := range errs {
		t.Error(err)
	}
	if groups == nil || len(groups.Groups) != 1 {
		t.Fatal("not one group")
	}
	return groups.Groups[0].Rules
}

func TestRulesNameWhatExists(t *testing.T) {
	exists := exported(t)
	for _, r := range rules(t) {
		check(t, r.Alert, r.Expr, exists)
		if r.Annotations["summary"] == "" || r.Labels["severity"] != "page" && r.Labels["severity"] != "ticket" {
			t.Errorf("%s has no summary or no severity", r.Alert)
		}
		if !bytes.Contains(read(t, "../docs/operations.md"), []byte("`"+r.Alert+"`")) {
			t.Errorf("docs/operations.md does not tell what to do about %s", r.Alert)
		}
	}
}

// Each alert against a history in which it must fire, and one in which it must not.
func TestAlertsFire(t *testing.T) {
	const calm = `
		up{job="tidemark",instance="a"} 1x60
		tidemark_task_state{state="running",task="0"} 1x60
		tidemark_task_state{state="paused",task="0"} 0x60
		tidemark_task_state{state="restoring",task="0"} 0x60
		tidemark_task_state{state="waiting",task="0"} 0x60
		tidemark_input_lag{input="order-events",task="0"} 50000-500x60
		tidemark_clock_lag_seconds{task="0"} 8x60
		tidemark_timer_lag_seconds_bucket{task="0",le="1"} 0+10x60
		tidemark_timer_lag_seconds_bucket{task="0",le="300"} 0+10x60
		tidemark_timer_lag_seconds_bucket{task="0",le="+Inf"} 0+10x60
		tidemark_dead_letters_total{reason="too_late"} 0+1x60
		tidemark_commits_total{task="0",outcome="committed"} 0+60x60
		tidemark_commits_total{task="0",outcome="aborted"} 3x60
		tidemark_disk_free_bytes{instance="a"} 50000000000x60`
	bad := map[string][2]string{
		"TidemarkDown":           {`up{job="tidemark",instance="a"} 1x60`, `up{job="tidemark",instance="a"} 1x30 0x30`},
		"TidemarkTaskPaused":     {`tidemark_task_state{state="paused",task="0"} 0x60`, `tidemark_task_state{state="paused",task="0"} 1x60`},
		"TidemarkTaskStuck":      {`tidemark_task_state{state="waiting",task="0"} 0x60`, `tidemark_task_state{state="waiting",task="0"} 1x60`},
		"TidemarkLag":            {`50000-500x60`, `50000+500x60`},
		"TidemarkClockBehind":    {`tidemark_clock_lag_seconds{task="0"} 8x60`, `tidemark_clock_lag_seconds{task="0"} 0+60x60`},
		"TidemarkTimersLate":     {`tidemark_timer_lag_seconds_bucket{task="0",le="1"} 0+10x60`, `tidemark_timer_lag_seconds_bucket{task="0",le="1"} 0x60`},
		"TidemarkDeadLetters":    {`tidemark_dead_letters_total{reason="too_late"} 0+1x60`, `tidemark_dead_letters_total{reason="too_late"} 0+60x60`},
		"TidemarkBeginsAgain":    {`tidemark_commits_total{task="0",outcome="aborted"} 3x60`, `tidemark_commits_total{task="0",outcome="aborted"} 0+3x60`},
		"TidemarkDiskAlmostFull": {`50000000000x60`, `1000000000x60`},
	}
	engine := promqltest.NewTestEngine(t, false, 0, promqltest.DefaultMaxSamplesPerQuery)
	firing := func(expr, history string) bool {
		storage := promqltest.LoadedStorage(t, "load 1m"+history)
		defer storage.Close()
		q, err := engine.NewInstantQuery(t.Context(), storage, nil, expr, time.Unix(3600, 0))
		if err != nil {
			t.Fatal(err)
		}
		defer q.Close()
		r := q.Exec(t.Context())
		v, err := r.Vector()
		if err != nil {
			t.Fatalf("%s: %v", expr, err)
		}
		return len(v) > 0
	}
	var _ promql.QueryEngine = engine
	for _, r := range rules(t) {
		change, ok := bad[r.Alert]
		if !ok || !strings.Contains(calm, change[0]) {
			t.Errorf("%s is not tried", r.Alert)
			continue
		}
		if firing(r.Expr, calm) {
			t.Errorf("%s fires although all is well", r.Alert)
		}
		if !firing(r.Expr, strings.Replace(calm, change[0], change[1], 1)) {
			t.Errorf("%s does not fire", r.Alert)
		}
	}
}

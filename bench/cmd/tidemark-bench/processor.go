package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"tidemark/bench/internal/proc"
	"tidemark/schemas"
)

// processor is one `tidemark run` and the folder in which it works.
type processor struct {
	*proc.Process
	app, dir, binary string
	name             string // of its files: the app's, or another member's
	inputs           string // the app whose inputs it reads
	member           bool   // of the group, not standalone
	http             string // host:port of /metrics
	playbook         string
	began            time.Time
	blocking         bool // waits of goroutines are sampled
}

// newProcessor writes the configuration; every setting but addresses is the
// default of `tidemark run`, which TIDEMARK_* in the environment overrides.
func newProcessor(c *cluster, binary, dir, app string, playbook []byte) (*processor, error) {
	return newProcessorOn(c, binary, dir, app, app, playbook)
}

// newProcessorOn reads the inputs of another app, as several programs may.
func newProcessorOn(c *cluster, binary, dir, app, inputs string, playbook []byte) (*processor, error) {
	p := &processor{app: app, name: app, inputs: inputs, dir: dir, binary: binary, playbook: filepath.Join(dir, app+".playbook.yaml")}
	if err := os.WriteFile(p.playbook, playbook, 0o644); err != nil {
		return nil, err
	}
	return p, p.configure(c)
}

// another is another process of the same app, with a disk of its own.
func (p *processor) another(c *cluster, name string) (*processor, error) {
	o := &processor{app: p.app, name: p.app + "-" + name, inputs: p.inputs, dir: p.dir, binary: p.binary, playbook: p.playbook}
	return o, o.configure(c)
}

func (p *processor) configure(c *cluster) error {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	p.http = l.Addr().String()
	l.Close()
	text := fmt.Sprintf(`app: %s
instance: %s
data_dir: %s
playbook: %s
kafka:
  brokers: ["%s"]
  topics: {orders: %s, behaviors: %s}
  out_prefix: %s-
schema_registry: {urls: ["%s"]}
checkpoint: {url: "file://%s"}
http: {listen: "%s"}
log: {level: warn}
`, p.app, p.name, p.data(), p.playbook, c.Kafka, ordersTopic(p.inputs), behaviorsTopic(p.inputs), p.app, c.Registry, p.checkpoints(), p.http)
	return os.WriteFile(p.config(), []byte(text), 0o644)
}

func (p *processor) config() string { return filepath.Join(p.dir, p.name+".yaml") }
func (p *processor) checkpoints() string {
	dir, err := filepath.Abs(filepath.Join(p.dir, p.app+".checkpoints"))
	if err != nil {
		panic(err) // there is no working directory
	}
	return dir
}
func (p *processor) data() string { return filepath.Join(p.dir, p.name+".data") }

// start starts the process; it may be started again after it ended.
func (p *processor) start() (err error) {
	p.began = time.Now()
	args := []string{"run", "--config", p.config()}
	if !p.member {
		args = append(args, "--standalone")
	}
	if p.blocking {
		args = append(args, "--block-profile", "100us")
	}
	p.Process, err = proc.Start(filepath.Join(p.dir, p.name+".log"), false, p.binary, args...)
	return err
}

// sample is what a process had done and used at one moment.
type sample struct {
	at       time.Time
	events   float64
	triggers float64
	mallocs  float64
	alloced  float64
	use      proc.Usage
	all      proc.Metrics
}

// sample reads once; the error is nil as long as the process lives, and the
// sample is empty while it does not serve yet.
func (p *processor) sample(ctx context.Context) (sample, error) {
	s := sample{at: time.Now()}
	select {
	case <-p.Exited():
		return s, fmt.Errorf("tidemark run ended by itself:\n%s", p.LogTail())
	default:
	}
	var err error
	if s.use, err = proc.Of(p.Pid()); err != nil {
		return s, nil // it is ending; the next call says so
	}
	m, err := proc.Scrape(ctx, p.http)
	if err != nil {
		return s, ctx.Err()
	}
	s.all = m
	by := m.By("tidemark_events_taken_total", "input")
	s.events = by[schemas.OrderEvents.String()] + by[schemas.BehaviorEvents.String()] // not the control records
	s.triggers = m.Sum("tidemark_triggers_published_total")
	s.mallocs = m.Sum("go_memstats_mallocs_total")
	s.alloced = m.Sum("go_memstats_alloc_bytes_total")
	return s, nil
}

var errStuck = errors.New("no progress")

// follow samples until the process has taken that many events.
func (p *processor) follow(ctx context.Context, until int, every time.Duration, see func(sample)) (sample, error) {
	last, moved := 0.0, time.Now()
	for {
		s, err := p.sample(ctx)
		if err != nil {
			return s, err
		}
		if s.all != nil && see != nil {
			see(s)
		}
		if s.events > last {
			last, moved = s.events, time.Now()
		}
		if s.events >= float64(until) {
			return s, nil
		}
		if time.Since(moved) > 40*time.Second {
			return s, fmt.Errorf("%w for 40 s: %.0f of %d events\n%s", errStuck, last, until, p.LogTail())
		}
		select {
		case <-time.After(every):
		case <-ctx.Done():
			return s, ctx.Err()
		}
	}
}

// profile fetches a profile from /debug/pprof.
func (p *processor) profile(ctx context.Context, what, file string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+p.http+"/debug/pprof/"+what, nil)
	if err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	var b bytes.Buffer
	if _, err := b.ReadFrom(resp.Body); err != nil {
		return err
	}
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: %s: %s", req.URL, resp.Status, b.Bytes())
	}
	return os.WriteFile(file, b.Bytes(), 0o644)
}

// stop ends it calmly.
func (p *processor) stop() (proc.Usage, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	u, err := p.Stop(ctx)
	if err != nil {
		err = fmt.Errorf("tidemark run: %w\n%s", err, p.LogTail())
	}
	return u, err
}

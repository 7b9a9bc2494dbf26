package sim

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"tidemark/e2e"
	"tidemark/schemas"
)

// Result is what a run came to.
type Result struct {
	Err     error // nil: nothing wrong
	Counts  map[string]int
	Trace   uint64 // the same for the same history
	Steps   int
	Took    time.Duration // by the clock of the run
	Report  *e2e.Report
	Stopped []string // tasks that stopped for good, as they must once their input is gone
	Log     *lines
}

// catchUp is how long after the last fault everything must be processed.
const catchUp = 60 * time.Second

// Run runs one script in a bubble of its own.
func Run(t *testing.T, s Script, wrong Mutant) (res *Result) {
	log := &lines{said: map[string]int{}}
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(s, wrong, log)
		log.began = w.began
		res = w.all()
	})
	return res
}

func (w *world) all() *Result {
	w.load.plan()
	for n := range w.script.Procs {
		p := newProcess(w, n)
		w.procs = append(w.procs, p)
		w.after(time.Duration(n)*3*time.Millisecond, fmt.Sprintf("p%d boots", n), p.boot)
	}
	for i, f := range w.script.Faults {
		g := *f
		w.after(g.At, fmt.Sprint("fault ", i), func() { w.arm(&g) })
	}
	w.run(func() bool { return w.now() >= w.script.Until })
	w.calm()
	deadline := w.now() + catchUp
	settled, next := false, time.Duration(0)
	w.run(func() bool {
		if w.now() >= next {
			next = w.now() + 500*time.Millisecond
			settled = w.covered()
		}
		return settled || w.now() >= deadline
	})
	res := &Result{Counts: w.counts, Steps: w.steps, Log: w.log, Took: w.now()}
	stuck := ""
	if !settled {
		for _, p := range w.procs {
			p.mu.Lock()
			stuck += fmt.Sprintf(" p%d: link %v, stopped %v;", p.n, p.link != nil, p.paused)
			p.mu.Unlock()
		}
	}
	if n := w.registry.hit.Load(); n > 0 {
		w.counts["registry asked while away"] = int(n)
	}
	maps.Copy(w.counts, w.log.said)
	for _, p := range w.procs {
		if n := p.promoted; n > 0 {
			w.counts["standby took over"] += n
		}
		if n := p.refused.Load(); n > 0 {
			w.counts["write met a full disk"] += int(n)
		}
	}
	// All goroutines of the processors must end with them.
	w.over = true
	for _, p := range w.procs {
		if p.link != nil {
			p.wind()
		}
	}
	ended := false
	go func() { w.wg.Wait(); w.post(nil, func() { ended = true }) }()
	w.run(func() bool { return ended })
	w.run(w.cluster.settled) // an orphan is aborted after its time
	for task := range w.script.Tasks {
		if w.stopped[task] {
			w.count("task stopped for good, since its input is gone")
		}
	}
	res.Trace = w.trace
	log := w.read()
	res.Report, res.Err = log.Audit()
	for _, t := range slices.Sorted(maps.Keys(w.load.expired)) {
		res.Stopped = append(res.Stopped, fmt.Sprint("task ", t))
	}
	if res.Err == nil && w.runaway {
		res.Err = fmt.Errorf("a processor never rests: %d steps, and all were not processed:%s", w.steps, stuck)
	}
	if res.Err == nil && !settled {
		res.Err = fmt.Errorf("%v after the last fault not everything was processed:%s", catchUp, stuck)
	}
	return res
}

// calm ends all faults that last.
func (w *world) calm() {
	w.armed = nil
	w.registry.away.Store(false)
	w.store.away, w.store.slow = false, 0
	for n := range nodes {
		w.cluster.down[n].Store(false)
	}
	for _, p := range w.procs {
		if p.disk != nil {
			p.disk.full.Store(false)
			p.disk.slow.Store(0)
			p.disk.after.Store(0)
		}
		p.full = 0
	}
}

// covered says whether the journals cover all that is committed in the inputs,
// of all tasks that can go on.
func (w *world) covered() bool {
	if w.load.upends > 0 {
		return false
	}
	for task := range w.script.Tasks {
		var at [schemas.Inputs]int64
		j := w.cluster.partition(topics.Journal, task)
		for _, b := range j.log {
			if !j.committed(b) {
				continue
			}
			for _, r := range b.contents() {
				_, body, err := schemas.ParseWire(r.value)
				must(err)
				rec, err := schemas.DecodeJournal(body)
				must(err)
				for _, it := range rec.Items {
					if it.Kind == schemas.MergeItem || it.Kind == schemas.RunItem {
						at[it.Input] = int64(it.End)
					}
				}
			}
		}
		for i, name := range []string{topics.Orders, topics.Behaviors, topics.Control} {
			n := task
			if name == topics.Control {
				n = 0
			}
			p := w.cluster.partition(name, n)
			for _, b := range p.log {
				if p.committed(b) && b.last >= at[i] && !w.lost(task) {
					return false
				}
			}
		}
	}
	return true
}

// lost says that a task stopped, as it must, since its input is gone, and that
// there was no checkpoint that could have helped.
func (w *world) lost(task int32) bool {
	if !w.load.expired[task] {
		return false
	}
	for _, p := range w.procs {
		p.mu.Lock()
		why := p.paused[task]
		p.mu.Unlock()
		if strings.Contains(why, "the input no longer holds") && w.store.restorable(task) == "" {
			w.stopped[task] = true
			return true
		}
	}
	return false
}

// read gives what a read_committed consumer sees.
func (w *world) read() *e2e.Log {
	l := &e2e.Log{App: app, Tasks: w.script.Tasks, Out: map[schemas.Topic][][]*kgo.Record{}, BrokerTime: true,
		Schema: func(id int32) (string, []string, error) { return w.registry.SchemaByID(context.Background(), id) }}
	parts := func(topic string) [][]*kgo.Record {
		var all [][]*kgo.Record
		for _, p := range w.cluster.topics[topic] {
			all = append(all, p.records())
		}
		return all
	}
	l.Journal = parts(topics.Journal)
	l.Inputs[schemas.OrderEvents] = parts(topics.Orders)
	l.Inputs[schemas.BehaviorEvents] = parts(topics.Behaviors)
	l.Inputs[schemas.ControlInput] = parts(topics.Control)
	l.Inputs[schemas.TransferInput] = parts(topics.Transfers)
	for _, t := range schemas.OutTopics {
		l.Out[t] = parts(topics.Out(t))
	}
	return l
}

func (p *partition) records() (all []*kgo.Record) {
	for _, b := range p.log {
		if !p.committed(b) {
			continue
		}
		for _, c := range b.contents() {
			r := &kgo.Record{Topic: p.topic, Partition: p.number, Offset: c.offset, Key: c.key, Value: c.value, Timestamp: time.UnixMilli(c.timestamp),
				ProducerID: b.pid, ProducerEpoch: b.epoch}
			if p.broker {
				r.Attrs = kgo.NewRecordAttrs(kgo.RecordAttrsOpts{TimestampType: 1})
			}
			for _, h := range c.headers {
				r.Headers = append(r.Headers, kgo.RecordHeader{Key: h[0], Value: []byte(h[1])})
			}
			all = append(all, r)
		}
	}
	return all
}

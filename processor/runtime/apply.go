package runtime

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	kafka "github.com/segmentio/kafka-go"

	"tidemark/playbook"
	"tidemark/processor/core"
	"tidemark/processor/source"
	"tidemark/schemas"
)

// ErrFacts says that a playbook needs facts that the state does not hold.
var ErrFacts = errors.New("runtime: the state does not hold what the playbook needs")

// ErrNotBegun says that an app has no playbook yet.
var ErrNotBegun = errors.New("runtime: the app has not begun")

// ErrNotTaken says that a playbook stands in the control topic, and not every
// task has said in its journal that it took it.
var ErrNotTaken = errors.New("runtime: not every task has taken the playbook yet")

// ApplyOptions say which playbook is put in force, and how.
type ApplyOptions struct {
	Playbook *playbook.Playbook
	By       string
	DryRun   bool          // only find the difference
	Wait     time.Duration // for every task to take it; 0: do not wait
	// Told is called with the difference before anything is written; nil: nobody.
	Told func(*Applied)
}

// Applied is what ApplyPlaybook found and did.
type Applied struct {
	Was, Now   string // versions
	Difference core.Difference
	Written    bool    // a control record was written; false: it stood there already, or DryRun
	Taken      []int32 // tasks whose journal says that they took it
	Tasks      int32
}

// ApplyPlaybook puts another playbook in force in an app that has begun. It is
// one record of the control topic, acknowledged by all in-sync replicas, which
// each task takes at one journaled position; customers who qualify then already
// are armed and not told. An end in the midst of it, here or of a task, leaves
// the record there once or not at all: to call it again is safe.
func ApplyPlaybook(ctx context.Context, cfg Config, o ApplyOptions) (*Applied, error) {
	cfg.defaults()
	records, err := readControl(ctx, &cfg)
	if err != nil {
		return nil, fmt.Errorf("read the control topic: %w", err)
	}
	f, err := inForce(records)
	if err != nil {
		return nil, err
	}
	if f.playbook == nil || !f.begun {
		return nil, fmt.Errorf("%w: %s holds no playbook; the first one comes with the first start of run", ErrNotBegun, cfg.Topics.Control)
	}
	now := cfg.wall()
	a := &Applied{Was: f.playbook.Version, Now: o.Playbook.Version, Tasks: f.genesis.Partitions,
		Difference: core.Compare(f.playbook, o.Playbook, f.kept(now))}
	if a.Was == a.Now {
		a.Difference = core.Difference{}
	}
	if o.Told != nil {
		o.Told(a)
	}
	if m := a.Difference.Missing; len(m) > 0 {
		return a, fmt.Errorf("%w:\n  %s\nleave these as they are, or begin with the whole history under another app name", ErrFacts, strings.Join(m, "\n  "))
	}
	if o.DryRun {
		return a, nil
	}
	if a.Was != a.Now {
		c := &kafka.Client{Addr: kafka.TCP(cfg.Brokers...), Transport: cfg.Transport, Timeout: 30 * time.Second}
		if err := writeControl(ctx, &cfg, c, []*schemas.Control{core.NewPlaybook(o.Playbook, o.By, now)}); err != nil {
			return a, err
		}
		a.Written = true
	}
	if o.Wait <= 0 {
		return a, nil
	}
	return a, a.await(ctx, &cfg, o.Wait)
}

// await reads the journals until every task's last record names the version.
func (a *Applied) await(ctx context.Context, cfg *Config, limit time.Duration) error {
	var parts []source.TopicPartition
	for i := range a.Tasks {
		parts = append(parts, source.TopicPartition{Topic: cfg.Topics.Journal, Partition: i})
	}
	last := map[int32]string{}
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	c := source.NewClient(source.Config{Brokers: cfg.Brokers, Transport: cfg.Transport})
	defer c.Close()
	var from map[source.TopicPartition]int64
	for {
		ends, err := c.EndOffsets(ctx, parts, true)
		if from == nil && err == nil {
			from = map[source.TopicPartition]int64{}
			for tp, end := range ends {
				from[tp] = end - lastRecords
			}
		}
		var grown []source.TopicPartition
		for _, tp := range parts {
			if from[tp] < ends[tp] {
				grown = append(grown, tp)
			}
		}
		if err == nil && len(grown) > 0 {
			err = readAll(ctx, cfg, grown, from, func(f *source.Fetched) (bool, error) {
				from[source.TopicPartition{Topic: f.Topic, Partition: f.Partition}] = f.Next
				for i := range f.Records {
					_, body, err := schemas.ParseWire(f.Records[i].Value)
					if err != nil {
						return false, err
					}
					j, err := schemas.DecodeJournal(body)
					if err != nil {
						return false, err
					}
					last[f.Partition] = j.PlaybookVersion
				}
				return false, nil
			})
		}
		a.Taken = a.Taken[:0]
		for i := range a.Tasks {
			if last[i] == a.Now {
				a.Taken = append(a.Taken, i)
			}
		}
		if len(a.Taken) == int(a.Tasks) {
			return nil
		}
		if ctx.Err() == nil && err == nil {
			select {
			case <-ctx.Done():
			case <-time.After(100 * time.Millisecond):
			}
		}
		if ctx.Err() == nil && err == nil {
			continue
		}
		if err == nil {
			err = ctx.Err()
		}
		var behind []string
		for i := range a.Tasks {
			if last[i] != a.Now {
				behind = append(behind, fmt.Sprint(i))
			}
		}
		return fmt.Errorf("%w: it stands in %s, and each task takes it when it runs; not yet: task %s (waited at most %s): %w",
			ErrNotTaken, cfg.Topics.Control, strings.Join(behind, ", "), limit, err)
	}
}

// force is what the control topic says is in force.
type force struct {
	begun    bool
	genesis  core.Genesis
	playbook *playbook.Playbook // nil: none
	depth    schemas.EventTime  // how far back history was kept when it was put in force
	since    schemas.EventTime
}

// kept is how far back the state holds history at a wall time.
func (f *force) kept(now schemas.EventTime) schemas.EventTime {
	if f.playbook.Clock == playbook.Input {
		return f.depth
	}
	return min(f.playbook.Horizon, f.depth+max(now-f.since, 0))
}

// inForce goes through the control topic in its order, as the tasks do.
func inForce(records []*schemas.Control) (*force, error) {
	f := &force{}
	for _, r := range records {
		switch r.Kind {
		case core.ControlGenesis:
			if f.begun {
				continue
			}
			f.begun = true
			g, err := core.ReadGenesis(r)
			if err != nil {
				return nil, err
			}
			f.genesis = g
		case core.ControlPlaybook:
			pb, err := playbook.Compile(r.Body, "control topic")
			if err != nil {
				return nil, fmt.Errorf("the playbook %s in the control topic: %w", strings.TrimPrefix(r.ControlID, "playbook-"), err)
			}
			switch {
			case f.playbook == nil:
				f.depth = pb.Horizon
			case f.playbook.Version == pb.Version:
				continue
			default:
				f.depth = min(f.kept(r.IssuedAt), pb.Horizon)
			}
			f.playbook, f.since = pb, r.IssuedAt
		}
	}
	return f, nil
}

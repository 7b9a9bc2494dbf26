package publish

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sort"
	"time"

	"github.com/cespare/xxhash/v2"
	kafka "github.com/segmentio/kafka-go"

	"tidemark/processor/source"
	"tidemark/schemas"
)

// stateFormat is the version of the file.
const stateFormat = 1

// State says what brokers have acknowledged of a sorted stream of events: for
// each partition how many, and a hash over their ids in order. A later run over
// the same stream, or over one that only goes on longer, passes these over; a
// stream that differs before that point is found out and refused. It is a saving
// of time and never needed for the outcome, since a repeat changes nothing.
type State struct {
	Format       int            `json:"format"`
	Cluster      string         `json:"cluster"`
	Orders       string         `json:"orders"`
	Behaviors    string         `json:"behaviors"`
	Partitions   int32          `json:"partitions"`
	Acknowledged []Acknowledged `json:"acknowledged"` // by topic and partition
}

// Acknowledged is one partition's part of a State.
type Acknowledged struct {
	Topic     string `json:"topic"`
	Partition int32  `json:"partition"`
	Events    int64  `json:"events"`
	Hash      string `json:"hash"` // 16 hex digits: xxhash64 chained over the event ids
}

type place struct {
	topic     string
	partition int32
}

// mark is a position in the events of one partition.
type mark struct {
	Events int64
	hash   uint64
}

func (m mark) after(id string) mark {
	var d xxhash.Digest
	d.ResetWithSeed(m.hash)
	_, _ = d.WriteString(id)
	return mark{m.Events + 1, d.Sum64()}
}

var (
	// ErrState is matched by a state file that is not of this format.
	ErrState = errors.New("publish: not a state file of this version")
	// ErrResume is matched by every complaint that a State does not fit.
	ErrResume = errors.New("publish: the state file does not fit")
)

// ResumeError is a partition whose events are not those that were acknowledged.
type ResumeError struct {
	Topic     string
	Partition int32
	Events    int64 // acknowledged
}

func (e *ResumeError) Error() string {
	return fmt.Sprintf("%v: the first %d events of %s/%d are not the ones that were published; the files have changed. Remove the state file to publish all of them: repeats change nothing",
		ErrResume, e.Events, e.Topic, e.Partition)
}
func (e *ResumeError) Is(target error) bool { return target == ErrResume }

// ReadState reads a state file; nil without an error where there is none yet.
func ReadState(path string) (*State, error) {
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("publish: %w", err)
	}
	var s State
	if err := json.Unmarshal(text, &s); err != nil || s.Format != stateFormat {
		return nil, fmt.Errorf("%w: %s", ErrState, path)
	}
	return &s, nil
}

// Write replaces the file at path whole.
func (s *State) Write(path string) error {
	text, err := json.MarshalIndent(s, "", " ")
	if err != nil {
		return err
	}
	f, err := os.CreateTemp(filepath.Dir(path), ".tidemark-resume-*")
	if err != nil {
		return fmt.Errorf("publish: %w", err)
	}
	_, err = f.Write(append(text, '\n'))
	if err = errors.Join(err, f.Sync(), f.Close()); err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return fmt.Errorf("publish: %w", errors.Join(err, os.Remove(f.Name())))
	}
	return nil
}

// State returns what is acknowledged so far, earlier runs included.
func (p *Publisher) State(cluster string) *State {
	s := &State{Format: stateFormat, Cluster: cluster, Orders: p.cfg.Orders, Behaviors: p.cfg.Behaviors, Partitions: p.cfg.Partitions}
	p.mu.Lock()
	defer p.mu.Unlock()
	for at, m := range p.marks {
		s.Acknowledged = append(s.Acknowledged, Acknowledged{at.topic, at.partition, m.Events, fmt.Sprintf("%016x", m.hash)})
	}
	sort.Slice(s.Acknowledged, func(i, j int) bool {
		a, b := &s.Acknowledged[i], &s.Acknowledged[j]
		return a.Topic < b.Topic || a.Topic == b.Topic && a.Partition < b.Partition
	})
	return s
}

// resume takes a State over after it was held against the topics.
func (p *Publisher) resume(ctx context.Context, s *State) error {
	const cure = "publish to where it was written for, or remove the file"
	if s.Orders != p.cfg.Orders || s.Behaviors != p.cfg.Behaviors || s.Partitions != p.cfg.Partitions {
		return fmt.Errorf("%w: it is of %s and %s with %d partitions, not of %s and %s with %d; %s", ErrResume,
			s.Orders, s.Behaviors, s.Partitions, p.cfg.Orders, p.cfg.Behaviors, p.cfg.Partitions, cure)
	}
	var parts []source.TopicPartition
	for _, a := range s.Acknowledged {
		kind := schemas.Order
		if a.Topic == p.cfg.Behaviors {
			kind = schemas.Behavior
		}
		var m mark
		if _, err := fmt.Sscanf(a.Hash, "%016x", &m.hash); err != nil || a.Events < 0 || a.Partition < 0 || a.Partition >= s.Partitions {
			return fmt.Errorf("%w: partition %s/%d", ErrState, a.Topic, a.Partition)
		}
		m.Events = a.Events
		p.queue(a.Partition, kind).before = m
		p.marks[place{a.Topic, a.Partition}] = m
		parts = append(parts, source.TopicPartition{Topic: a.Topic, Partition: a.Partition})
	}
	c := source.NewClient(source.Config{Brokers: p.cfg.Brokers, Transport: p.cfg.Transport})
	defer c.Close()
	ends, err := c.EndOffsets(ctx, parts, false)
	if err != nil {
		return fmt.Errorf("publish: %w", err)
	}
	for _, a := range s.Acknowledged {
		if end := ends[source.TopicPartition{Topic: a.Topic, Partition: a.Partition}]; end < a.Events {
			return fmt.Errorf("%w: it has %d events of %s/%d as published, and the topic ends at offset %d, so it was made anew; %s",
				ErrResume, a.Events, a.Topic, a.Partition, end, cure)
		}
	}
	return nil
}

// Target is what Inspect found.
type Target struct {
	Partitions int32
	Cluster    string // its id
}

// ErrTopics is matched by input topics that events can't be published to.
var ErrTopics = errors.New("publish: topics")

// Inspect looks for the two input topics, which need the same number of partitions.
func Inspect(ctx context.Context, brokers []string, transport *kafka.Transport, orders, behaviors string) (Target, error) {
	if transport == nil { // and not an interface around a nil pointer
		transport = &kafka.Transport{ClientID: "tidemark-publish"}
	}
	c := &kafka.Client{Addr: kafka.TCP(brokers...), Transport: transport, Timeout: 30 * time.Second}
	m, err := c.Metadata(ctx, &kafka.MetadataRequest{Topics: []string{orders, behaviors}})
	if err != nil {
		return Target{}, fmt.Errorf("publish: %w", err)
	}
	t := Target{Cluster: m.ClusterID}
	counts := map[string]int32{}
	for _, x := range m.Topics {
		if x.Error == nil {
			counts[x.Name] = int32(len(x.Partitions))
		}
	}
	for _, name := range []string{orders, behaviors} {
		if counts[name] == 0 {
			return t, fmt.Errorf("%w: %s does not exist; create it with `tidemark topics create`", ErrTopics, name)
		}
	}
	if counts[orders] != counts[behaviors] {
		return t, fmt.Errorf("%w: %s has %d partitions and %s has %d; both need the same number", ErrTopics, orders, counts[orders], behaviors, counts[behaviors])
	}
	t.Partitions = counts[orders]
	return t, nil
}

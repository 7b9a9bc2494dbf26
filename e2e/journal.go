package e2e

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"slices"
	"sync"

	"github.com/cespare/xxhash/v2"
	"github.com/linkedin/goavro/v2"
	"github.com/twmb/franz-go/pkg/kgo"

	"tidemark/processor/core"
	"tidemark/processor/source"
	"tidemark/schemas"
)

// Log is what a read_committed consumer sees of an app's topics, each partition
// in the order of its offsets.
type Log struct {
	App     string
	Tasks   int32
	Prefix  string                                   // of the out topics
	Journal [][]*kgo.Record                          // by task
	Inputs  [schemas.Inputs][][]*kgo.Record          // by input and task; of the control topic the one partition there is
	Out     map[schemas.Topic][][]*kgo.Record        // by topic and task
	Schema  func(id int32) (string, []string, error) // of the registry as it is now
	// BrokerTime asks that journals carry LogAppendTime; the embedded broker takes the setting and does not act on it.
	BrokerTime bool
	// Engines may have written the journal, beside this one: those that say the same.
	Engines []int32
	readers map[readerID]func([]byte) (*schemas.Event, error)
}

type readerID struct {
	id   int32
	kind schemas.Kind
}

// Report counts what an audit saw.
type Report struct {
	Commits, Records, Published int64
	Orders, Behaviors           int64 // taken
	Dead                        int64 // marks in the journal
	Ticks, Sweeps               int64
	Writers, Epochs             int // how many processes and take-overs wrote the journals
	ByTopic                     map[schemas.Topic]int64
	ByStatus                    map[string]int64
	Left                        int64 // committed input records that no run covers yet
	Journals                    []*schemas.Journal
}

// Audit holds everything that was published against the journal. Its error
// joins what is wrong in each task, the first fault of each.
func (l *Log) Audit() (*Report, error) {
	r := &Report{ByTopic: map[schemas.Topic]int64{}, ByStatus: map[string]int64{}}
	l.readers = map[readerID]func([]byte) (*schemas.Event, error){}
	writers, epochs := map[string]bool{}, map[string]bool{}
	var errs []error
	sent := map[string][][]byte{} // transfers and controls that the replays gave, by where they must stand
	for task := range l.Tasks {
		a := &audit{Log: l, r: r, task: task, out: map[schemas.Topic][]*kgo.Record{}, sent: sent}
		if err := a.run(); err != nil {
			errs = append(errs, fmt.Errorf("task %d: %w", task, err))
		}
		for _, j := range a.journals {
			writers[j.Writer] = true
			epochs[fmt.Sprintf("%d/%d", task, j.Epoch)] = true
		}
		r.Journals = append(r.Journals, a.journals...)
	}
	r.Writers, r.Epochs = len(writers), len(epochs)
	if len(errs) == 0 {
		errs = append(errs, l.internal(sent))
	}
	return r, errors.Join(errs...)
}

type audit struct {
	*Log
	r        *Report
	task     int32
	core     *core.Core
	at       [schemas.Inputs]int             // how many records of each input the runs have covered
	out      map[schemas.Topic][]*kgo.Record // what is not accounted for yet
	sent     map[string][][]byte
	journals []*schemas.Journal
	dead     map[schemas.InputOffset]schemas.DeadMark
}

func (a *audit) input(i schemas.Input) []*kgo.Record {
	if i == schemas.ControlInput {
		return a.Inputs[i][0]
	}
	return a.Inputs[i][a.task]
}

func (a *audit) run() error {
	c, err := core.New(core.Config{App: a.App, Task: a.task, Tasks: a.Tasks, CacheBytes: -1, Writer: "audit", Partition: source.Partition}, core.Empty{}, core.Zero())
	if err != nil {
		return err
	}
	c.SetReplay(true)
	a.core = c
	for topic, parts := range a.Out {
		a.out[topic] = parts[a.task]
	}
	var before uint64
	var clock schemas.EventTime
	for i, rec := range a.Journal[a.task] {
		_, body, err := schemas.ParseWire(rec.Value)
		if err != nil {
			return fmt.Errorf("journal offset %d: %w", rec.Offset, err)
		}
		j, err := schemas.DecodeJournal(body)
		if err != nil {
			return fmt.Errorf("journal offset %d: %w", rec.Offset, err)
		}
		if err := a.record(rec, j, int64(i)+1, before, clock); err != nil {
			return fmt.Errorf("journal record %d (offset %d, by %s): %w", j.Sequence, rec.Offset, j.Writer, err)
		}
		before, clock = xxhash.Sum64(body), j.Clock
		a.journals = append(a.journals, j)
	}
	for topic, rest := range a.out {
		if len(rest) > 0 {
			return fmt.Errorf("%d records of %s from offset %d on belong to no journal record", len(rest), topic, rest[0].Offset)
		}
	}
	for i := range schemas.Inputs {
		if left := len(a.input(i)) - a.at[i]; left > 0 && i != schemas.ControlInput && i != schemas.TransferInput {
			a.r.Left += int64(left)
		}
	}
	return nil
}

// record checks one commit and replays it.
func (a *audit) record(rec *kgo.Record, j *schemas.Journal, sequence int64, before uint64, clock schemas.EventTime) error {
	switch {
	case j.Sequence != sequence:
		return fmt.Errorf("stands where %d should", sequence)
	case uint64(j.PreviousHash) != before:
		return errors.New("does not carry the hash of the one before")
	case j.Task != a.task || j.Engine != core.Engine && !slices.Contains(a.Engines, j.Engine) || j.Format != core.JournalFormat || j.Generation != 1:
		return fmt.Errorf("is of task %d, engine %d, format %d, generation %d", j.Task, j.Engine, j.Format, j.Generation)
	case j.Clock < clock:
		return fmt.Errorf("the clock went back from %d to %d", clock, j.Clock)
	case a.BrokerTime && rec.Attrs.TimestampType() != 1:
		return errors.New("does not carry the broker's time (LogAppendTime)")
	case len(j.Items) == 0:
		return errors.New("holds nothing")
	}
	position := a.core.Position()
	for _, s := range j.Starts {
		if position.Inputs[s.Input] != s.Offset {
			return fmt.Errorf("begins at offset %d of %s; the one before ended at %d", s.Offset, s.Input, position.Inputs[s.Input])
		}
	}
	a.dead = map[schemas.InputOffset]schemas.DeadMark{}
	for _, d := range j.Dead {
		a.dead[schemas.InputOffset{Input: d.Input, Offset: d.Offset}] = d
	}
	if len(a.dead) != len(j.Dead) {
		return errors.New("marks a record as dead twice")
	}
	var group []schemas.JournalItem
	for i := range j.Items {
		it := &j.Items[i]
		if err := wellFormed(it, group); err != nil {
			return fmt.Errorf("item %d: %w", i, err)
		}
		switch it.Kind {
		case schemas.MergeItem:
			group = append(group, *it)
		case schemas.RunItem:
			if err := a.take(append(group, *it)); err != nil {
				return fmt.Errorf("item %d: %w", i, err)
			}
			group = nil
		case schemas.TickItem:
			if it.To < a.core.Clock() {
				return fmt.Errorf("item %d: a tick to %d, before the clock at %d", i, it.To, a.core.Clock())
			}
			fallthrough
		default:
			if err := a.core.Replay(it); err != nil {
				return fmt.Errorf("item %d: %w", i, err)
			}
			if it.Kind == schemas.TickItem {
				a.r.Ticks++
			} else {
				a.r.Sweeps++
			}
		}
	}
	if len(group) > 0 {
		return errors.New("ends inside a merge")
	}
	if len(a.dead) > 0 {
		return fmt.Errorf("marks %d records as dead that it did not take", len(a.dead))
	}
	rd := a.core.Ready()
	if rd == nil {
		return errors.New("a replay of it does nothing")
	}
	_, body, _ := schemas.ParseWire(rec.Value)
	a.core.Adopt(rd, body)
	a.core.Applied(rd.Sequence)
	a.r.Commits++
	a.r.Dead += int64(len(j.Dead))
	if a.core.Clock() != j.Clock {
		return fmt.Errorf("the clock stands at %d, a replay's at %d", j.Clock, a.core.Clock())
	}
	if pb := a.core.Playbook(); pb != nil && pb.Version != j.PlaybookVersion {
		return fmt.Errorf("names playbook %s, a replay has %s", j.PlaybookVersion, pb.Version)
	}
	if got, want := int64(len(rd.Out)+len(rd.Transfers)+len(rd.Controls)), j.Triggers; got != want {
		return fmt.Errorf("says that it published %d records, a replay gives %d", want, got)
	}
	for i := range rd.Out {
		if err := a.published(rec, &rd.Out[i]); err != nil {
			return fmt.Errorf("published record %d of %d: %w", i+1, len(rd.Out), err)
		}
	}
	for _, m := range rd.Transfers {
		key := fmt.Sprintf("transfers of task %d to %d", a.task, m.ToTask)
		a.sent[key] = append(a.sent[key], m.AppendAvro(nil))
	}
	for _, m := range rd.Controls {
		key := fmt.Sprintf("control of task %d", a.task)
		a.sent[key] = append(a.sent[key], m.AppendAvro(nil))
	}
	if rd.Journal.TriggerHash != j.TriggerHash {
		return errors.New("has another hash of what was published than a replay")
	}
	return nil
}

func wellFormed(it *schemas.JournalItem, group []schemas.JournalItem) error {
	switch it.Kind {
	case schemas.RunItem, schemas.MergeItem:
		if it.Input < 0 || it.Input >= schemas.Inputs || it.Count <= 0 || it.End < schemas.Offset(it.Count) || it.To != 0 || len(it.Place) != 0 || it.Wall <= 0 {
			return fmt.Errorf("a run with %+v", *it)
		}
		for _, g := range group {
			if g.Input >= it.Input || g.Wall != it.Wall {
				return fmt.Errorf("a merge of %+v with %+v", g, *it)
			}
		}
		return nil
	case schemas.TickItem, schemas.SweepItem:
		if it.Input != 0 || it.Count != 0 || it.End != 0 || len(group) != 0 || it.Wall <= 0 || it.Kind == schemas.SweepItem && it.To != 0 {
			return fmt.Errorf("a tick or sweep with %+v", *it)
		}
		return nil
	}
	return fmt.Errorf("unknown kind %d", it.Kind)
}

// take hands the records of one merge to the core: always the earliest of the
// heads, of equal ones that of the lower input, those without a time first.
func (a *audit) take(group []schemas.JournalItem) error {
	heads := make([][]core.Record, len(group))
	total := 0
	for i, it := range group {
		all := a.input(it.Input)
		if a.at[it.Input]+int(it.Count) > len(all) {
			return fmt.Errorf("takes %d records of %s, and only %d committed ones follow", it.Count, it.Input, len(all)-a.at[it.Input])
		}
		for _, r := range all[a.at[it.Input]:][:it.Count] {
			c, err := a.decode(it.Input, r)
			if err != nil {
				return err
			}
			heads[i] = append(heads[i], c)
		}
		a.at[it.Input] += int(it.Count)
		if last := heads[i][it.Count-1].Offset; last+1 != it.End {
			return fmt.Errorf("a run of %d records of %s ends at offset %d, not %d", it.Count, it.Input, last+1, it.End)
		}
		total += int(it.Count)
		switch it.Input {
		case schemas.OrderEvents:
			a.r.Orders += it.Count
		case schemas.BehaviorEvents:
			a.r.Behaviors += it.Count
		}
	}
	a.r.Records += int64(total)
	when := func(r *core.Record) schemas.EventTime {
		if r.Event != nil {
			return r.Event.OccurredAt
		}
		return math.MinInt64
	}
	merged := make([]core.Record, 0, total)
	for len(merged) < total {
		first := -1
		for i := range heads {
			if len(heads[i]) > 0 && (first < 0 || when(&heads[i][0]) < when(&heads[first][0])) {
				first = i
			}
		}
		merged = append(merged, heads[first][0])
		heads[first] = heads[first][1:]
	}
	n, err := a.core.Take(merged, group[0].Wall)
	if err != nil {
		return err
	}
	if n != total {
		return fmt.Errorf("a replay takes only %d of %d records (%s)", n, total, a.core.Blocked())
	}
	return nil
}

// decode gives a record of an input to the core as the journal says it was:
// alive, or dead with the journal's reason.
func (a *audit) decode(in schemas.Input, r *kgo.Record) (core.Record, error) {
	c := core.Record{Input: in, Offset: schemas.Offset(r.Offset)}
	if in == schemas.OrderEvents || in == schemas.BehaviorEvents {
		c.Raw = &core.Raw{Topic: r.Topic, Partition: r.Partition, Timestamp: schemas.EventTime(r.Timestamp.UnixMilli()), Key: r.Key, Value: r.Value,
			Headers: func() []schemas.Header {
				var h []schemas.Header
				for _, x := range r.Headers {
					h = append(h, schemas.Header{Key: x.Key, Value: x.Value})
				}
				return h
			}}
	}
	place := schemas.InputOffset{Input: in, Offset: c.Offset}
	if d, ok := a.dead[place]; ok {
		delete(a.dead, place)
		if d.Step == "" || d.Reason == "" {
			return c, fmt.Errorf("offset %d of %s is dead without step and reason", r.Offset, in)
		}
		c.Dead = &core.Dead{Step: d.Step, Reason: d.Reason}
		return c, nil
	}
	id, body, err := schemas.ParseWire(r.Value)
	if err == nil {
		switch in {
		case schemas.OrderEvents:
			c.Event, err = a.event(id, schemas.Order, body)
		case schemas.BehaviorEvents:
			c.Event, err = a.event(id, schemas.Behavior, body)
		case schemas.ControlInput:
			c.Control, err = schemas.DecodeControl(body)
		case schemas.TransferInput:
			c.Transfer, err = schemas.DecodeTransfer(body)
		}
	}
	if err == nil && c.Event != nil && c.Event.CustomerID != string(r.Key) {
		err = fmt.Errorf("its key is %q and its customer %q", r.Key, c.Event.CustomerID)
	}
	if err != nil {
		return c, fmt.Errorf("offset %d of %s was taken as sound: %w", r.Offset, in, err)
	}
	return c, nil
}

func (l *Log) event(id int32, kind schemas.Kind, body []byte) (*schemas.Event, error) {
	key := readerID{id, kind}
	read := l.readers[key]
	if read == nil {
		text, refs, err := l.Schema(id)
		if err != nil {
			return nil, err
		}
		r, err := schemas.CompileReader(text, kind, refs...)
		if err != nil {
			return nil, err
		}
		read = func(b []byte) (*schemas.Event, error) {
			e := &schemas.Event{}
			return e, r.Decode(b, e)
		}
		l.readers[key] = read
	}
	return read(body)
}

// published finds the next record of the topic and holds it against what the
// replay gives.
func (a *audit) published(journal *kgo.Record, o *core.Out) error {
	rest := a.out[o.Topic]
	if len(rest) == 0 {
		return fmt.Errorf("%s of %q is missing from %s", o.ID, o.Key, o.Topic)
	}
	r := rest[0]
	a.out[o.Topic] = rest[1:]
	id, body, err := schemas.ParseWire(r.Value)
	if err != nil {
		return fmt.Errorf("%s offset %d: %w", o.Topic, r.Offset, err)
	}
	text, _, err := a.Schema(id)
	if err != nil {
		return fmt.Errorf("%s offset %d: %w", o.Topic, r.Offset, err)
	}
	if _, err := codec(text); err != nil {
		return fmt.Errorf("%s offset %d: its schema: %w", o.Topic, r.Offset, err)
	}
	want := o.Body
	if d, ok := o.Record.(*schemas.DeadLetter); ok {
		// The words for people are not in the journal.
		if d.Error, err = deadError(text, body); err != nil {
			return fmt.Errorf("%s offset %d: %w", o.Topic, r.Offset, err)
		}
		if d.Error == "" {
			return fmt.Errorf("%s offset %d says no error", o.Topic, r.Offset)
		}
		want = d.AppendAvro(nil)
	}
	switch {
	case string(r.Key) != o.Key:
		return fmt.Errorf("%s offset %d has key %q, a replay gives %q", o.Topic, r.Offset, r.Key, o.Key)
	case !bytes.Equal(body, want):
		return fmt.Errorf("%s offset %d of %q has another value than a replay gives:\n  %s\n  %s", o.Topic, r.Offset, r.Key, show(text, body), show(text, want))
	case r.ProducerID != journal.ProducerID || r.ProducerEpoch != journal.ProducerEpoch:
		return fmt.Errorf("%s offset %d was written by producer %d/%d, its journal record by %d/%d", o.Topic, r.Offset, r.ProducerID, r.ProducerEpoch, journal.ProducerID, journal.ProducerEpoch)
	case header(r, "ce_id") != o.ID:
		return fmt.Errorf("%s offset %d has ce_id %q, not %q", o.Topic, r.Offset, header(r, "ce_id"), o.ID)
	}
	a.r.Published++
	a.r.ByTopic[o.Topic]++
	a.r.ByStatus[o.Status]++
	return nil
}

// internal compares what the tasks sent to each other with what the replays gave.
func (l *Log) internal(want map[string][][]byte) error {
	got := map[string][][]byte{}
	for to, rs := range l.Inputs[schemas.TransferInput] {
		for _, r := range rs {
			_, body, err := schemas.ParseWire(r.Value)
			if err != nil {
				return err
			}
			m, err := schemas.DecodeTransfer(body)
			if err != nil {
				return err
			}
			key := fmt.Sprintf("transfers of task %d to %d", m.FromTask, to)
			got[key] = append(got[key], body)
		}
	}
	for _, r := range l.Inputs[schemas.ControlInput][0] {
		_, body, err := schemas.ParseWire(r.Value)
		if err != nil {
			continue // a dead letter
		}
		m, err := schemas.DecodeControl(body)
		if err != nil {
			continue
		}
		for task := range l.Tasks {
			if m.IssuedBy == fmt.Sprintf("task %d", task) {
				key := "control of " + m.IssuedBy
				got[key] = append(got[key], body)
			}
		}
	}
	for key := range got {
		if want[key] == nil {
			want[key] = nil
		}
	}
	for key, bodies := range want {
		if len(got[key]) != len(bodies) {
			return fmt.Errorf("%s: %d were published, the replays give %d", key, len(got[key]), len(bodies))
		}
		for i := range bodies {
			if !bytes.Equal(got[key][i], bodies[i]) {
				return fmt.Errorf("%s: number %d differs from what the replay gives", key, i+1)
			}
		}
	}
	return nil
}

var codecs sync.Map // text of a schema -> *goavro.Codec

func codec(text string) (*goavro.Codec, error) {
	if c, ok := codecs.Load(text); ok {
		return c.(*goavro.Codec), nil
	}
	c, err := goavro.NewCodec(text)
	if err == nil {
		codecs.Store(text, c)
	}
	return c, err
}

// Native decodes a body with goavro.
func Native(text string, body []byte) (map[string]any, error) {
	c, err := codec(text)
	if err != nil {
		return nil, err
	}
	v, rest, err := c.NativeFromBinary(body)
	if err != nil {
		return nil, err
	}
	if len(rest) > 0 {
		return nil, fmt.Errorf("%d bytes follow the record", len(rest))
	}
	return v.(map[string]any), nil
}

func deadError(text string, body []byte) (string, error) {
	v, err := Native(text, body)
	if err != nil {
		return "", err
	}
	return v["error"].(string), nil
}

func show(text string, body []byte) string {
	v, err := Native(text, body)
	if err != nil {
		return err.Error()
	}
	return fmt.Sprint(v)
}

func header(r *kgo.Record, key string) string {
	for _, h := range r.Headers {
		if h.Key == key {
			return string(h.Value)
		}
	}
	return ""
}

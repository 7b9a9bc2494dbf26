package deadletters

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strconv"

	"tidemark/processor/core"
	"tidemark/processor/source"
	"tidemark/schemas"
	"tidemark/tail"
)

// HeaderReplayed is the header that marks a record as put back; its value is the
// dead_letter_id.
const HeaderReplayed = "tidemark-replayed"

// Letter is one dead letter and where it stands.
type Letter struct {
	schemas.DeadLetter
	Topic     string // the dead letters' own
	Partition int32
	Offset    int64
	Published schemas.EventTime // its Kafka timestamp
}

// ReplayOf is the id of the dead letter that this record was put back from,
// before it was refused again; "" for a record that came by itself.
func (l *Letter) ReplayOf() (id string) {
	for _, h := range l.Headers {
		if h.Key == HeaderReplayed {
			id = string(h.Value)
		}
	}
	return id
}

// Source configures reading; see tail.Config.
type Source = tail.Config

// Read calls fn with every dead letter that cfg leads to, until fn says enough.
// A record that is no dead letter is an error: the topic holds something else.
func Read(ctx context.Context, cfg Source, fn func(*Letter) (enough bool, err error)) error {
	r, err := tail.Open(ctx, cfg)
	if err != nil {
		return err
	}
	defer r.Close()
	for {
		rec, err := r.Next(ctx)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		l := &Letter{Topic: rec.Topic, Partition: rec.Partition, Offset: rec.Offset, Published: rec.Timestamp}
		if rec.Problem == "" {
			err = json.Unmarshal(rec.Value, &l.DeadLetter)
		} else {
			err = errors.New(rec.Problem)
		}
		if err != nil {
			return fmt.Errorf("deadletters: %s/%d, offset %d is no dead letter: %w", rec.Topic, rec.Partition, rec.Offset, err)
		}
		if enough, err := fn(l); err != nil || enough {
			return err
		}
	}
}

// Name is how an operator names a dead letter: its id, or the place of the dead
// letter or of the record that it is about, as TOPIC-PARTITION-OFFSET.
type Name struct {
	id        string
	topic     string
	partition int32
	offset    int64
}

var placeForm = regexp.MustCompile(`^(.+)[-/:](\d{1,9})[-/:](\d{1,18})$`)

// ParseName takes every text: what has not the form of a place is an id.
func ParseName(s string) Name {
	n := Name{id: s}
	if m := placeForm.FindStringSubmatch(s); m != nil {
		p, _ := strconv.ParseInt(m[2], 10, 32)
		n.topic, n.partition = m[1], int32(p)
		n.offset, _ = strconv.ParseInt(m[3], 10, 64)
	}
	return n
}

// Names reports whether n means l.
func (n Name) Names(l *Letter) bool {
	if n.id == l.DeadLetterID {
		return true
	}
	return n.topic != "" && (n.topic == l.Topic && n.partition == l.Partition && n.offset == l.Offset ||
		n.topic == l.DeadLetter.Topic && n.partition == l.DeadLetter.Partition && n.offset == l.DeadLetter.Offset)
}

// Inputs are the two topics that records go back to, and their partition count.
type Inputs struct {
	Orders, Behaviors string
	Partitions        int32
}

// target is where a record goes back to.
func (in Inputs) target(l *Letter) source.TopicPartition {
	p := source.TopicPartition{Topic: l.DeadLetter.Topic, Partition: l.DeadLetter.Partition}
	if l.Key != nil {
		p.Partition = source.Partition(l.Key, in.Partitions)
	}
	return p
}

// hopeless says why a record put back can only be refused again; "" where it may
// be taken. The error is a registry's that gives no answer.
func (in Inputs) hopeless(ctx context.Context, l *Letter, values *tail.Values) (string, error) {
	switch l.Step {
	case core.StepFrame, core.StepKey:
		return "its " + l.Step + " is wrong (" + l.Reason + "): nothing outside the record can cure that", nil
	case core.StepSchema, core.StepDecode:
		_, err := values.JSON(ctx, l.Value)
		var unreadable *tail.UnreadableError
		if errors.As(err, &unreadable) {
			return "the cause is still there: " + err.Error(), nil
		}
		return "", err
	}
	return "", nil
}

// impossible says why a record cannot be put back at all; "" if it can.
func (in Inputs) impossible(l *Letter) string {
	switch {
	case l.DeadLetter.Topic != in.Orders && l.DeadLetter.Topic != in.Behaviors:
		return l.DeadLetter.Topic + " is not an input of events"
	case l.Truncated:
		return "its value was cut off: publish the event again"
	}
	return ""
}

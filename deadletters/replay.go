package deadletters

import (
	"context"
	"errors"
	"fmt"
	"io"

	kafka "github.com/segmentio/kafka-go"

	"tidemark/processor/source"
	"tidemark/schemas"
	"tidemark/sinks"
	"tidemark/tail"
)

// Config of a Replayer.
type Config struct {
	App       string
	Brokers   []string
	Transport *kafka.Transport
	Inputs    Inputs
	Schemas   tail.Schemas
	// Force sends also what can only fail again, but never what is impossible or
	// has been put back before.
	Force bool
}

// Outcome is what becomes of one dead letter.
type Outcome struct {
	Letter *Letter
	Topic  string // where it goes
	To     int32
	Send   bool
	Why    string // not sent: why
	Before bool   // not sent since it was put back before
	// Forgotten: the input's log begins after the record, so a mark of an earlier
	// replay may have been deleted with it.
	Forgotten bool
}

// Replayer puts dead letters back. It is for one goroutine.
type Replayer struct {
	cfg      Config
	values   *tail.Values
	producer *sinks.Producer
	sequence int64
}

// New returns a Replayer. It does no I/O.
func New(cfg Config) *Replayer {
	if cfg.Transport == nil {
		cfg.Transport = &kafka.Transport{ClientID: "tidemark-dlq"}
	}
	return &Replayer{cfg: cfg, values: tail.NewValues(cfg.Schemas)}
}

// TransactionalIDs are those of the app's replays, for access control lists.
func TransactionalIDs(app string) [2]string {
	return [2]string{"tidemark-" + app + "-dead-letters-0", "tidemark-" + app + "-dead-letters-1"}
}

// Plan says what Replay would do. It writes nothing and takes nobody's turn, so
// another replay at the same time can make it out of date.
func (r *Replayer) Plan(ctx context.Context, letters []*Letter) ([]Outcome, error) {
	return r.plan(ctx, letters)
}

// What one transaction holds at most.
const (
	maxRecords = 500
	maxBytes   = 4 << 20
)

// Replay puts back what Plan would, in transactions of some hundred records.
// After an error some may have been sent: calling again sends the rest.
func (r *Replayer) Replay(ctx context.Context, letters []*Letter) ([]Outcome, error) {
	r.producer = sinks.NewProducer(sinks.ProducerConfig{Addr: kafka.TCP(r.cfg.Brokers...), Transport: r.cfg.Transport, TransactionalIDs: TransactionalIDs(r.cfg.App)})
	if err := r.producer.Init(ctx); err != nil {
		return nil, fmt.Errorf("deadletters: %w", err)
	}
	plan, err := r.plan(ctx, letters) // after Init: nobody else can add a mark any more
	if err != nil {
		return nil, err
	}
	var out []sinks.TopicPartition
	n, size := 0, 0
	flush := func() error {
		if n == 0 {
			return nil
		}
		r.sequence++
		err := r.producer.Commit(ctx, r.sequence, out)
		out, n, size = nil, 0, 0
		switch {
		case errors.Is(err, sinks.ErrFenced):
			return fmt.Errorf("deadletters: another replay has taken over: %w", err)
		case err != nil:
			return fmt.Errorf("deadletters: run it again, what has arrived is not sent twice: %w", err)
		}
		return nil
	}
	for i := range plan {
		o := &plan[i]
		if !o.Send {
			continue
		}
		l := o.Letter
		headers := append(l.Headers[:len(l.Headers):len(l.Headers)], schemas.Header{Key: HeaderReplayed, Value: []byte(l.DeadLetterID)})
		out = append(out, sinks.TopicPartition{Topic: o.Topic, Partition: o.To, Records: []sinks.Record{{Key: l.Key, Value: l.Value, Headers: headers}}})
		n, size = n+1, size+len(l.Value)
		if n >= maxRecords || size >= maxBytes {
			if err := flush(); err != nil {
				return plan, err
			}
		}
	}
	return plan, flush()
}

func (r *Replayer) plan(ctx context.Context, letters []*Letter) ([]Outcome, error) {
	var plan []Outcome
	at := map[source.TopicPartition]int64{}
	seen := map[string]bool{}
	for _, l := range letters {
		if seen[l.DeadLetterID] {
			continue
		}
		seen[l.DeadLetterID] = true
		o := Outcome{Letter: l, Topic: l.DeadLetter.Topic, To: l.DeadLetter.Partition, Why: r.cfg.Inputs.impossible(l)}
		if o.Why == "" {
			p := r.cfg.Inputs.target(l)
			o.To = p.Partition
			// A mark stands behind the record itself, if both are in one partition.
			from := int64(0)
			if p.Partition == l.DeadLetter.Partition {
				from = l.DeadLetter.Offset + 1
			}
			if have, ok := at[p]; !ok || from < have {
				at[p] = from
			}
		}
		plan = append(plan, o)
	}
	if len(at) == 0 {
		return plan, nil
	}
	marks, starts, err := r.marks(ctx, at)
	if err != nil {
		return nil, err
	}
	for i := range plan {
		o := &plan[i]
		if o.Why != "" {
			continue
		}
		if marks[o.Letter.DeadLetterID] {
			o.Before, o.Why = true, "it was put back before"
			continue
		}
		o.Forgotten = o.Letter.DeadLetter.Partition == o.To && starts[source.TopicPartition{Topic: o.Topic, Partition: o.To}] > o.Letter.DeadLetter.Offset+1
		if !r.cfg.Force {
			if o.Why, err = r.cfg.Inputs.hopeless(ctx, o.Letter, r.values); err != nil {
				return nil, fmt.Errorf("deadletters: %w", err)
			}
		}
		o.Send = o.Why == ""
	}
	return plan, nil
}

// marks reads the inputs from the given offsets to their very end and returns
// the ids that stand there as put back, and where the logs begin.
func (r *Replayer) marks(ctx context.Context, at map[source.TopicPartition]int64) (map[string]bool, map[source.TopicPartition]int64, error) {
	var parts []source.TopicPartition
	for p := range at {
		parts = append(parts, p)
	}
	c := source.NewClient(source.Config{Brokers: r.cfg.Brokers, Transport: r.cfg.Transport})
	starts, err := c.StartOffsets(ctx, parts)
	c.Close()
	if err != nil {
		return nil, nil, fmt.Errorf("deadletters: %w", err)
	}
	in, err := tail.Open(ctx, tail.Config{Brokers: r.cfg.Brokers, Transport: r.cfg.Transport, At: at, ExitAtEnd: true, Settled: true})
	if err != nil {
		return nil, nil, err
	}
	defer in.Close()
	marks := map[string]bool{}
	for {
		rec, err := in.Next(ctx)
		if errors.Is(err, io.EOF) {
			return marks, starts, nil
		}
		if err != nil {
			return nil, nil, err
		}
		for _, h := range rec.Headers {
			if h.Key == HeaderReplayed {
				marks[string(h.Value)] = true
			}
		}
	}
}

package sinks

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	kafka "github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/protocol"
	"github.com/segmentio/kafka-go/protocol/initproducerid"
)

// Defaults of ProducerConfig.
const (
	DefaultTransactionTimeout = 10 * time.Second
	DefaultRequestTimeout     = 30 * time.Second
	DefaultRetryBackoff       = 5 * time.Millisecond
	// DefaultMaxBatchBytes leaves room below the broker's default of 1,048,588
	// bytes for max.message.bytes.
	DefaultMaxBatchBytes = 900_000

	maxRetryBackoff = 250 * time.Millisecond
)

// ProducerConfig says whom a Producer talks to, and as whom.
type ProducerConfig struct {
	Addr      net.Addr         // bootstrap brokers, see kafka.TCP
	Transport *kafka.Transport // shared by all producers of the process; nil: a new one
	// TransactionalIDs are the two ids of the task, stable for ever: their order
	// must never change, since a commit's id is its sequence number modulo two.
	TransactionalIDs [2]string
	// TransactionTimeout is how long a broker keeps an open transaction, in whole
	// milliseconds; no Commit goes on for longer. It also bounds how long an
	// orphan blocks readers.
	TransactionTimeout time.Duration
	// RequestTimeout bounds one request and its answer.
	RequestTimeout time.Duration
	// RetryBackoff is the first wait of a retry; it doubles up to 250 ms.
	RetryBackoff time.Duration
	// MaxBatchBytes bounds one encoded record batch.
	MaxBatchBytes int
	// Now gives the timestamp of published records. Nil: time.Now.
	Now func() time.Time
	// Wait sleeps for a back-off, or until ctx ends. Nil: a timer.
	Wait  func(ctx context.Context, d time.Duration) error
	Stats Stats
}

// Stats is a listener; every func may be nil. They are called on the goroutine
// of Init or Commit and must not block.
type Stats struct {
	// Phase tells how long one phase took, retries included, and how it ended.
	Phase func(op Op, took time.Duration, err error)
	// Retry tells of a wait because of an error code of the Kafka protocol.
	Retry func(op Op, code int16)
	// Appended is told when a topic with LogAppendTime took a batch: the broker's
	// clock then, and ours before the request and after the answer. It may be
	// called from several goroutines at once.
	Appended func(topic string, at, sent, answered time.Time)
	// Committed tells of a transaction that ended well.
	Committed func(records, batches, bytes int)
}

// TopicPartition is what a commit publishes to one partition, in order.
type TopicPartition struct {
	Topic     string
	Partition int32
	Records   []Record
}

// Producer publishes the commits of one task. Its methods may be called from
// any goroutine, and take turns.
type Producer struct {
	cfg ProducerConfig

	mu   sync.Mutex
	txns [2]txn
	// coordinators are the brokers that coordinate the two ids, or nobody.
	coordinators [2]int32
	// stale is set when a broker said that it does not lead a partition.
	stale bool
	// buffers are kept between commits, but never after a request without an
	// answer: the transport may still be reading them.
	buffers [][]byte
}

// NewProducer returns a Producer that must be initialised with Init. It does no I/O.
func NewProducer(cfg ProducerConfig) *Producer {
	if cfg.Transport == nil {
		cfg.Transport = &kafka.Transport{}
	}
	if cfg.TransactionTimeout <= 0 {
		cfg.TransactionTimeout = DefaultTransactionTimeout
	}
	if cfg.RequestTimeout <= 0 {
		cfg.RequestTimeout = DefaultRequestTimeout
	}
	if cfg.RetryBackoff <= 0 {
		cfg.RetryBackoff = DefaultRetryBackoff
	}
	if cfg.MaxBatchBytes <= 0 {
		cfg.MaxBatchBytes = DefaultMaxBatchBytes
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Wait == nil {
		cfg.Wait = wait
	}
	return &Producer{cfg: cfg, coordinators: [2]int32{nobody, nobody}}
}

func wait(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Epoch returns the producer epoch of the first transactional id; -1 before the
// first Init. It grows with every Init of any owner, until the broker changes
// the producer id and begins at 0 again.
func (p *Producer) Epoch() int16 { return p.EpochOf(0) }

// EpochOf returns the producer epoch under which a commit of this sequence is written.
func (p *Producer) EpochOf(sequence int64) int16 {
	p.mu.Lock()
	defer p.mu.Unlock()
	t := &p.txns[turn(sequence)]
	if t.sequences == nil {
		return -1
	}
	return t.epoch
}

// States returns where the two transactional ids stand.
func (p *Producer) States() [2]State {
	p.mu.Lock()
	defer p.mu.Unlock()
	return [2]State{p.txns[0].state, p.txns[1].state}
}

func turn(sequence int64) int { return int(uint64(sequence) & 1) }

// Init takes both transactional ids over: it fences every earlier owner and
// settles what they left open. Only after it may the journal be read. The codes
// 51, 14, 15 and 16 are waited out until ctx ends; every other failure is
// returned at once (ErrFenced, or the cause), leaves the Producer
// uninitialised, and Init may be called again. Ask the group before each call:
// an Init of a former owner fences the present one.
func (p *Producer) Init(ctx context.Context) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if ids := p.cfg.TransactionalIDs; ids[0] == "" || ids[1] == "" || ids[0] == ids[1] {
		return fmt.Errorf("sinks: two different transactional ids needed, got %q and %q", ids[0], ids[1])
	}
	if p.stale {
		// The transport answers metadata requests from its cache and offers no
		// way to renew it but to begin with new connections.
		p.cfg.Transport.CloseIdleConnections()
		p.stale = false
	}
	for i := range p.txns {
		p.txns[i].state = Uninitialised
		p.coordinators[i] = nobody
	}
	for i := range p.txns {
		began := time.Now()
		err := p.initOne(ctx, i)
		p.phase(OpInit, began, err)
		if err != nil {
			return err // Commit wants both ids ready
		}
	}
	return nil
}

func (p *Producer) initOne(ctx context.Context, i int) error {
	t, id := &p.txns[i], p.cfg.TransactionalIDs[i]
	return p.retrying(ctx, OpInit, func() (int16, error) {
		if err := t.begin(OpInit); err != nil {
			return 0, err
		}
		m, err := p.roundTrip(ctx, &initproducerid.Request{
			TransactionalID:      id,
			TransactionTimeoutMs: int32(p.cfg.TransactionTimeout.Milliseconds()),
			ProducerID:           -1,
			ProducerEpoch:        -1,
		})
		if err != nil {
			t.lost()
			return 0, fmt.Errorf("sinks: InitProducerID of %q: %w", id, err)
		}
		r := m.(*initproducerid.Response)
		switch t.answered(OpInit, r.ErrorCode) {
		case Done:
			t.initialised(r.ProducerID, r.ProducerEpoch)
		case Retry:
			return r.ErrorCode, nil
		case Refused:
			return 0, &FencedError{TransactionalID: id, Op: OpInit, Code: r.ErrorCode}
		default:
			return 0, fmt.Errorf("sinks: InitProducerID of %q: %w", id, kafkaError(r.ErrorCode))
		}
		return 0, nil
	})
}

// Commit publishes out in one transaction, under the id that belongs to
// sequence, and returns nil once the broker has confirmed its end. Records of a
// partition keep their order; entries of out for the same partition follow each
// other. Key, Value and Headers may be changed again after it returns.
//
// ErrFenced and ErrUnknownOutcome leave the Producer unusable until Init.
// ErrNotReady, ErrNothingToCommit and RecordTooLargeError mean that nothing was sent.
func (p *Producer) Commit(ctx context.Context, sequence int64, out []TopicPartition) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	for i := range p.txns {
		if p.txns[i].state != Ready {
			return fmt.Errorf("%w: transactional id %q is %v", ErrNotReady, p.cfg.TransactionalIDs[i], p.txns[i].state)
		}
	}
	plan, err := newPlan(out, p.cfg.MaxBatchBytes)
	if err != nil {
		return err
	}
	// A broker ends a transaction by itself after the timeout: to go on is no use.
	ctx, cancel := context.WithTimeout(ctx, p.cfg.TransactionTimeout)
	defer cancel()
	k := turn(sequence)
	c := &commit{Producer: p, turn: k, t: &p.txns[k], id: p.cfg.TransactionalIDs[k], plan: plan}
	for _, phase := range []struct {
		op Op
		do func(context.Context) error
	}{{OpAddPartitions, c.addPartitions}, {OpProduce, c.produce}, {OpEnd, c.end}} {
		began := time.Now()
		err := phase.do(ctx)
		p.phase(phase.op, began, err)
		if err == nil {
			continue
		}
		p.buffers = nil
		if errors.Is(err, ErrFenced) {
			return err
		}
		c.t.lost()
		return &UnknownOutcomeError{TransactionalID: c.id, Sequence: sequence, Op: phase.op, Err: err}
	}
	if p.cfg.Stats.Committed != nil {
		p.cfg.Stats.Committed(plan.records, c.batches, c.bytes)
	}
	return nil
}

func (p *Producer) phase(op Op, began time.Time, err error) {
	if p.cfg.Stats.Phase != nil {
		p.cfg.Stats.Phase(op, time.Since(began), err)
	}
}

// retrying repeats try for as long as it answers with a code to be waited out.
func (p *Producer) retrying(ctx context.Context, op Op, try func() (int16, error)) error {
	for backoff := p.cfg.RetryBackoff; ; backoff = min(2*backoff, maxRetryBackoff) {
		code, err := try()
		if err != nil || code == codeNone {
			return err
		}
		if p.cfg.Stats.Retry != nil {
			p.cfg.Stats.Retry(op, code)
		}
		if err := p.cfg.Wait(ctx, backoff); err != nil {
			return fmt.Errorf("sinks: %s, %w, still after: %w", op, err, kafkaError(code))
		}
	}
}

func (p *Producer) roundTrip(ctx context.Context, m protocol.Message) (protocol.Message, error) {
	ctx, cancel := context.WithTimeout(ctx, p.cfg.RequestTimeout)
	defer cancel()
	return p.cfg.Transport.RoundTrip(ctx, p.cfg.Addr, m)
}

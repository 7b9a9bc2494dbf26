package source

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"sync"
	"time"

	kafka "github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/protocol"
	"github.com/segmentio/kafka-go/protocol/metadata"
)

// Defaults of Config.
const (
	DefaultMaxWait           = 250 * time.Millisecond
	DefaultPartitionMaxBytes = 1 << 20
	DefaultMaxResponseBytes  = 512 << 20
	DefaultMaxBatchBytes     = 256 << 20
	DefaultRequestTimeout    = 30 * time.Second
	DefaultRetryBackoff      = 20 * time.Millisecond

	maxRetryBackoff = time.Second
)

// Config says what to read, and from whom.
type Config struct {
	Brokers []string // host:port, at least one
	// Transport gives Dial, DialTimeout, ClientID, TLS and SASL for connections
	// of this package's own; nothing is sent through it. Nil: plain TCP.
	Transport *kafka.Transport
	// Partitions to read; each needs a Seek before the first Poll.
	Partitions []TopicPartition

	// MaxWait is how long a broker holds a fetch without data, in whole milliseconds.
	MaxWait time.Duration
	// PartitionMaxBytes bounds what one response gives of one partition; a
	// larger batch still comes whole.
	PartitionMaxBytes int32
	MaxResponseBytes  int // limit of one response
	MaxBatchBytes     int // limit of one batch when decompressed
	RequestTimeout    time.Duration
	RetryBackoff      time.Duration // first wait of a retry; doubles up to 1 s
	// OnRetry is told of each failure that is being retried; it must not block.
	// It is called from several goroutines. Nil: nobody.
	OnRetry func(error)
}

func (c Config) withDefaults() Config {
	if c.Transport == nil {
		c.Transport = &kafka.Transport{}
	}
	if c.MaxWait <= 0 {
		c.MaxWait = DefaultMaxWait
	}
	if c.PartitionMaxBytes <= 0 {
		c.PartitionMaxBytes = DefaultPartitionMaxBytes
	}
	if c.MaxResponseBytes <= 0 {
		c.MaxResponseBytes = DefaultMaxResponseBytes
	}
	if c.MaxBatchBytes <= 0 {
		c.MaxBatchBytes = DefaultMaxBatchBytes
	}
	if c.RequestTimeout <= 0 {
		c.RequestTimeout = DefaultRequestTimeout
	}
	if c.RetryBackoff <= 0 {
		c.RetryBackoff = DefaultRetryBackoff
	}
	return c
}

// Client asks brokers about partitions: who leads them, where they begin and
// end. It is safe for concurrent use.
type Client struct {
	cfg Config

	mu      sync.Mutex
	leaders map[TopicPartition]string // address
	known   []string                  // brokers of the last metadata
	idle    map[string][]*conn
	closed  bool
}

// NewClient returns a Client. It does no I/O.
func NewClient(cfg Config) *Client {
	return &Client{cfg: cfg.withDefaults(), leaders: map[TopicPartition]string{}, idle: map[string][]*conn{}}
}

// Close closes the connections that are not in use; those in use are closed
// when they are given back.
func (c *Client) Close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closed = true
	for _, conns := range c.idle {
		for _, x := range conns {
			x.Close()
		}
	}
	c.idle = nil
}

// maxIdle bounds the unused connections that are kept per broker.
const maxIdle = 4

// with runs do on a connection to a broker, with the request timeout added to extra.
func (c *Client) with(ctx context.Context, address string, extra time.Duration, do func(context.Context, *conn) error) error {
	ctx, cancel := context.WithTimeout(ctx, c.cfg.RequestTimeout+extra)
	defer cancel()
	c.mu.Lock()
	if c.closed {
		c.mu.Unlock()
		return ErrClosed
	}
	var x *conn
	if n := len(c.idle[address]); n > 0 {
		x = c.idle[address][n-1]
		c.idle[address] = c.idle[address][:n-1]
	}
	c.mu.Unlock()
	if x == nil {
		var err error
		if x, err = dial(ctx, c.cfg.Transport, address, c.cfg.MaxResponseBytes); err != nil {
			return err
		}
	}
	err := do(ctx, x)
	c.mu.Lock()
	defer c.mu.Unlock()
	if x.broken || c.closed || len(c.idle[address]) >= maxIdle {
		x.Close()
	} else {
		c.idle[address] = append(c.idle[address], x)
	}
	return err
}

// leader returns the address of the broker that leads p, as far as known.
func (c *Client) leader(p TopicPartition) (string, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	address, ok := c.leaders[p]
	return address, ok
}

// forget drops what is known of p's leader.
func (c *Client) forget(p TopicPartition) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.leaders, p)
}

// refresh asks for the leaders of partitions. It returns nil only when all are
// known; a PartitionError whose code is not passing is not worth a retry.
func (c *Client) refresh(ctx context.Context, partitions []TopicPartition) error {
	c.mu.Lock()
	brokers := append(append([]string(nil), c.known...), c.cfg.Brokers...)
	c.mu.Unlock()
	var topics []string
	seen := map[string]bool{}
	for _, p := range partitions {
		if !seen[p.Topic] {
			seen[p.Topic] = true
			topics = append(topics, p.Topic)
		}
	}
	m, err := c.ask(ctx, brokers, &metadata.Request{TopicNames: topics})
	if err != nil {
		return err
	}
	return c.learn(m.(*metadata.Response), partitions)
}

// Ask sends a request that every broker can answer to the first one that does,
// without the cache that kafka.Transport answers metadata from.
func (c *Client) Ask(ctx context.Context, req protocol.Message) (protocol.Message, error) {
	c.mu.Lock()
	brokers := append(append([]string(nil), c.known...), c.cfg.Brokers...)
	c.mu.Unlock()
	return c.ask(ctx, brokers, req)
}

func (c *Client) ask(ctx context.Context, brokers []string, req protocol.Message) (protocol.Message, error) {
	var errs []error
	tried := map[string]bool{}
	for _, address := range brokers {
		if tried[address] {
			continue
		}
		tried[address] = true
		var m protocol.Message
		err := c.with(ctx, address, 0, func(ctx context.Context, x *conn) (err error) {
			m, err = x.message(ctx, req)
			return err
		})
		if err == nil {
			return m, nil
		}
		if ctx.Err() != nil {
			return nil, err
		}
		errs = append(errs, fmt.Errorf("%s: %w", address, err))
	}
	if len(brokers) == 0 {
		return nil, errors.New("source: no brokers configured")
	}
	return nil, fmt.Errorf("source: no broker answers: %w", errors.Join(errs...))
}

// learn takes a metadata response in.
func (c *Client) learn(r *metadata.Response, partitions []TopicPartition) error {
	addresses := map[int32]string{}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.known = c.known[:0]
	for _, b := range r.Brokers {
		addresses[b.NodeID] = net.JoinHostPort(b.Host, strconv.Itoa(int(b.Port)))
		c.known = append(c.known, addresses[b.NodeID])
	}
	codes := map[TopicPartition]int16{}
	for _, t := range r.Topics {
		for _, p := range t.Partitions {
			key := TopicPartition{t.Name, p.PartitionIndex}
			if address, ok := addresses[p.LeaderID]; ok {
				c.leaders[key] = address
				codes[key] = 0
			} else {
				delete(c.leaders, key)
				codes[key] = int16(kafka.LeaderNotAvailable)
			}
		}
		for _, p := range partitions {
			if p.Topic == t.Name && t.ErrorCode != 0 {
				delete(c.leaders, p)
				codes[p] = t.ErrorCode
			}
		}
	}
	var worst error
	for _, p := range partitions {
		code, ok := codes[p]
		if !ok {
			code = int16(kafka.UnknownTopicOrPartition)
		}
		if code == 0 {
			continue
		}
		err := &PartitionError{Op: "Metadata", Topic: p.Topic, Partition: p.Partition, Code: code}
		if !passing(code) {
			return err
		}
		worst = err
	}
	return worst
}

// retryable reports whether err, of refresh or of a request, may pass by itself.
func retryable(err error) bool {
	var p *PartitionError
	if errors.As(err, &p) {
		return passing(p.Code)
	}
	var k kafka.Error
	switch {
	case errors.Is(err, ErrClosed), errors.Is(err, ErrCorrupt), errors.Is(err, ErrTooLarge), errors.Is(err, ErrOldMessageFormat), errors.Is(err, ErrUnsupportedBroker):
		return false
	case errors.As(err, &k):
		return passing(int16(k))
	}
	return true // the network
}

// backoff sleeps the attempt-th wait, from 0.
func (c *Client) backoff(ctx context.Context, attempt int) error {
	t := time.NewTimer(min(c.cfg.RetryBackoff<<min(attempt, 10), maxRetryBackoff))
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (c *Client) retrying(err error) {
	if c.cfg.OnRetry != nil {
		c.cfg.OnRetry(err)
	}
}

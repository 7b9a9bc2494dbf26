package sinks

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	kafka "github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/protocol"
	"github.com/segmentio/kafka-go/protocol/addpartitionstotxn"
	"github.com/segmentio/kafka-go/protocol/endtxn"
	"github.com/segmentio/kafka-go/protocol/metadata"
	"github.com/segmentio/kafka-go/protocol/produce"
	"github.com/segmentio/kafka-go/protocol/rawproduce"
)

// commit is one run of Commit.
type commit struct {
	*Producer
	turn           int // which of the two ids
	t              *txn
	id             string
	plan           *plan
	batches, bytes int
}

func (c *commit) addPartitions(ctx context.Context) error {
	// The leaders are looked up first: while one is missing nothing has been sent.
	if _, err := c.leaders(ctx); err != nil {
		return err
	}
	req := &addPartitionsTo{
		TransactionalID: c.id, ProducerID: c.t.producerID, ProducerEpoch: c.t.epoch,
	}
	for _, topic := range c.plan.topics {
		req.Topics = append(req.Topics, addpartitionstotxn.RequestTopic{Name: topic.name, Partitions: topic.numbers()})
	}
	return c.retrying(ctx, OpAddPartitions, func() (int16, error) {
		broker, code, err := c.coordinator(ctx)
		if err != nil || code != codeNone {
			return code, err
		}
		req.broker = broker
		if err := c.t.begin(OpAddPartitions); err != nil {
			return 0, err
		}
		m, err := c.roundTrip(ctx, req)
		if err != nil {
			return 0, err
		}
		answers := 0
		for _, topic := range m.(*addpartitionstotxn.Response).Results {
			for _, partition := range topic.Results {
				answers++
				code = worseCode(OpAddPartitions, code, partition.ErrorCode)
			}
		}
		if answers < c.plan.partitions {
			return 0, fmt.Errorf("sinks: AddPartitionsToTxn of %d partitions answered for %d", c.plan.partitions, answers)
		}
		c.moved(code)
		return c.judge(OpAddPartitions, code)
	})
}

// judge moves the machine and gives what retrying wants to know.
func (c *commit) judge(op Op, code int16) (int16, error) {
	switch c.t.answered(op, code) {
	case Done:
		return codeNone, nil
	case Retry:
		return code, nil
	case Refused:
		return 0, &FencedError{TransactionalID: c.id, Op: op, Code: code}
	}
	return 0, kafkaError(code)
}

func (c *commit) end(ctx context.Context) error {
	if err := c.t.begin(OpEnd); err != nil {
		return err
	}
	m, err := c.roundTrip(ctx, &endTo{
		TransactionalID: c.id, ProducerID: c.t.producerID, ProducerEpoch: c.t.epoch, Committed: true,
		broker: c.coordinators[c.turn], // AddPartitionsToTxn has just met it
	})
	if err != nil {
		return err
	}
	_, err = c.judge(OpEnd, m.(*endtxn.Response).ErrorCode)
	return err
}

// produce sends the batches in rounds: a broker takes one batch per partition
// and request, and the batches of a partition must arrive in order.
func (c *commit) produce(ctx context.Context) error {
	if err := c.t.begin(OpProduce); err != nil {
		return err
	}
	now := c.cfg.Now().UnixMilli()
	used := 0
	for round := 0; ; round++ {
		var sends []*send
		for _, topic := range c.plan.topics {
			for _, part := range topic.parts {
				if round >= len(part.batches) {
					continue
				}
				records := part.batches[round]
				if used == len(c.buffers) {
					c.buffers = append(c.buffers, nil)
				}
				// RawRecordSet carries the record set as it stands in the request:
				// behind its 4-byte size.
				b := append(c.buffers[used][:0], 0, 0, 0, 0)
				b = AppendBatch(b, BatchHeader{
					ProducerID: c.t.producerID, Epoch: c.t.epoch,
					BaseSequence:  c.t.take(part.key, len(records)),
					Transactional: true, Timestamp: now,
				}, records)
				binary.BigEndian.PutUint32(b, uint32(len(b)-4))
				c.buffers[used] = b
				used++
				sends = append(sends, &send{key: part.key, batch: b})
				c.batches, c.bytes = c.batches+1, c.bytes+len(b)-4
			}
		}
		if len(sends) == 0 {
			return nil
		}
		if err := c.produceRound(ctx, sends); err != nil {
			return err
		}
		used = 0 // every answer of the round is in
	}
}

// send is one batch on its way.
type send struct {
	key   partitionKey
	batch []byte
	code  int16
}

// produceRound sends one batch per partition, one request per leader, and
// repeats what may be repeated, with the same bytes.
func (c *commit) produceRound(ctx context.Context, sends []*send) error {
	return c.retrying(ctx, OpProduce, func() (int16, error) {
		leaders, err := c.leaders(ctx)
		if err != nil {
			return 0, err
		}
		groups := map[int32][]*send{}
		for _, s := range sends {
			leader := leaders[s.key]
			groups[leader] = append(groups[leader], s)
		}
		errs := make(chan error, len(groups))
		for _, group := range groups {
			if len(groups) == 1 {
				errs <- c.produceTo(ctx, group)
				break
			}
			// Requests to different brokers don't disturb each other: what must
			// not cross are two verifications of one producer in one broker.
			go func() { errs <- c.produceTo(ctx, group) }()
		}
		moved := false
		for range groups {
			e := <-errs
			var notSent *rawproduce.Error
			if errors.As(e, &notSent) {
				moved = true
			} else if e != nil {
				err = e
			}
		}
		if err != nil {
			return 0, err
		}
		code := int16(codeNone)
		rest := sends[:0:0]
		for _, s := range sends {
			code = worseCode(OpProduce, code, s.code)
			if s.code != codeNone {
				rest = append(rest, s)
			}
		}
		if code == codeNone {
			return codeNone, nil
		}
		sends = rest
		if moved && code == notSentYet {
			return int16(kafka.LeaderNotAvailable), nil // a leader moved before the request left
		}
		switch code {
		case int16(kafka.NotLeaderForPartition), int16(kafka.UnknownTopicOrPartition),
			int16(kafka.LeaderNotAvailable), int16(kafka.KafkaStorageError):
			c.stale = true
		}
		return c.judge(OpProduce, code)
	})
}

// notSentYet stands in for an answer while there is none. It is the protocol's
// "operation not attempted", which a broker never answers a produce with.
const notSentYet = codeOperationNotAttempted

func (c *commit) produceTo(ctx context.Context, group []*send) error {
	req := &rawproduce.Request{
		TransactionalID: c.id,
		Acks:            -1,
		Timeout:         int32(c.cfg.RequestTimeout.Milliseconds()),
	}
	topics, byKey := map[string]int{}, make(map[partitionKey]*send, len(group))
	for _, s := range group {
		s.code = notSentYet
		byKey[s.key] = s
		i, ok := topics[s.key.topic]
		if !ok {
			i = len(req.Topics)
			topics[s.key.topic] = i
			req.Topics = append(req.Topics, rawproduce.RequestTopic{Topic: s.key.topic})
		}
		req.Topics[i].Partitions = append(req.Topics[i].Partitions, rawproduce.RequestPartition{
			Partition: s.key.partition,
			RecordSet: protocol.RawRecordSet{Reader: bytes.NewReader(s.batch)},
		})
	}
	sent := c.cfg.Now()
	m, err := c.roundTrip(ctx, req)
	if err != nil {
		return err
	}
	answers := 0
	for _, topic := range m.(*produce.Response).Topics {
		for _, partition := range topic.Partitions {
			if s := byKey[partitionKey{topic.Topic, partition.Partition}]; s != nil {
				s.code = partition.ErrorCode
				answers++
				if c.cfg.Stats.Appended != nil && partition.ErrorCode == 0 && partition.LogAppendTime > 0 {
					c.cfg.Stats.Appended(topic.Topic, time.UnixMilli(partition.LogAppendTime), sent, c.cfg.Now())
				}
			}
		}
	}
	if answers < len(group) {
		return fmt.Errorf("sinks: Produce of %d partitions answered for %d", len(group), answers)
	}
	return nil
}

// leaders returns the broker that leads each partition of the plan. The
// transport refuses a produce request whose partitions have several leaders, so
// the grouping is ours to do. Partitions without a leader are waited for until
// ctx ends.
func (c *commit) leaders(ctx context.Context) (map[partitionKey]int32, error) {
	names := make([]string, len(c.plan.topics))
	for i, topic := range c.plan.topics {
		names[i] = topic.name
	}
	var found map[partitionKey]int32
	err := c.retrying(ctx, OpProduce, func() (int16, error) {
		m, err := c.roundTrip(ctx, &metadata.Request{TopicNames: names})
		if err != nil {
			return 0, fmt.Errorf("sinks: metadata: %w", err)
		}
		found = make(map[partitionKey]int32, c.plan.partitions)
		for _, topic := range m.(*metadata.Response).Topics {
			for _, p := range topic.Partitions {
				if p.LeaderID >= 0 {
					found[partitionKey{topic.Name, p.PartitionIndex}] = p.LeaderID
				}
			}
		}
		for _, topic := range c.plan.topics {
			for _, part := range topic.parts {
				if _, ok := found[part.key]; !ok {
					c.cfg.Transport.CloseIdleConnections() // the only way to newer metadata
					return int16(kafka.LeaderNotAvailable), nil
				}
			}
		}
		return codeNone, nil
	})
	return found, err
}

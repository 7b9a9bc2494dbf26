package sim

import (
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/segmentio/kafka-go/protocol/addpartitionstotxn"
	"github.com/segmentio/kafka-go/protocol/endtxn"
	"github.com/segmentio/kafka-go/protocol/findcoordinator"
	"github.com/segmentio/kafka-go/protocol/initproducerid"
)

type txnState uint8

const (
	empty    txnState = iota // nothing open: new, or completed
	ongoing                  // partitions were added
	settling                 // decided; markers are on their way
)

// txn is what the coordinator knows of one transactional id (KIP-98, first
// version: the epoch changes with InitProducerID only).
type txn struct {
	id      string
	pid     int64
	epoch   int16
	state   txnState
	commit  bool // of the last transaction that was decided
	ever    bool // one was
	parts   []*partition
	timeout time.Duration
	began   int // counts transactions
	node    int
	loading time.Duration // until then
}

func (t *txn) has(p *partition) bool { return slices.Contains(t.parts, p) }

// coordinator gives the code with which a broker refuses to act for an id, 0 if it acts.
func (c *cluster) coordinator(r *request, t *txn) int16 {
	switch {
	case r.fault != nil && r.fault.Kind == Refuse:
		return int16(r.fault.N)
	case t.node != r.node:
		return notCoordinator
	case t.loading > c.w.now():
		return coordinatorLoading
	}
	return 0
}

func (c *cluster) findCoordinator(m *findcoordinator.Request) *findcoordinator.Response {
	node := 0
	if m.KeyType == 1 {
		node = c.txn(m.Key).node
	} else {
		for c.down[node].Load() {
			node++
		}
	}
	if c.down[node].Load() {
		return &findcoordinator.Response{ErrorCode: coordinatorGone, NodeID: -1}
	}
	return &findcoordinator.Response{NodeID: int32(node), Host: "kafka", Port: int32(firstPort + node)}
}

func (c *cluster) txn(id string) *txn {
	t := c.txns[id]
	if t == nil {
		t = &txn{id: id, epoch: -1, node: len(c.txns) % nodes}
		for c.down[t.node].Load() {
			t.node = (t.node + 1) % nodes
		}
		c.txns[id] = t
	}
	return t
}

func (c *cluster) moveCoordinator(t *txn, loading time.Duration) {
	for i := 1; i < nodes; i++ {
		if n := (t.node + i) % nodes; !c.down[n].Load() {
			t.node, t.loading = n, c.w.now()+loading
			return
		}
	}
}

func (c *cluster) initProducerID(r *request, m *initproducerid.Request) *initproducerid.Response {
	t := c.txn(m.TransactionalID)
	if code := c.coordinator(r, t); code != 0 {
		return &initproducerid.Response{ErrorCode: code, ProducerID: -1, ProducerEpoch: -1}
	}
	if pid, epoch, skip := c.w.mutateInit(r, t); skip {
		return &initproducerid.Response{ProducerID: pid, ProducerEpoch: epoch}
	}
	code := c.initialise(t, time.Duration(m.TransactionTimeoutMs)*time.Millisecond)
	if code != 0 {
		return &initproducerid.Response{ErrorCode: code, ProducerID: -1, ProducerEpoch: -1}
	}
	return &initproducerid.Response{ProducerID: t.pid, ProducerEpoch: t.epoch}
}

// initialise is InitProducerID: what is open is aborted under a higher epoch,
// and until its markers are written the answer is 51.
func (c *cluster) initialise(t *txn, timeout time.Duration) int16 {
	switch t.state {
	case settling:
		return concurrentTransaction
	case ongoing:
		c.w.count("fence: an open transaction aborted by InitProducerID")
		c.fence(t)
		return concurrentTransaction
	}
	if t.epoch < 0 || t.epoch >= math.MaxInt16-1 {
		delete(c.byPID, t.pid)
		c.pids++
		t.pid, t.epoch = c.pids, -1
		if len(c.txns) == 1 {
			t.epoch = math.MaxInt16 - 4 // so that the change of the producer id is met
		}
		c.byPID[t.pid] = t
	}
	t.epoch++
	t.timeout, t.ever = timeout, false
	return 0
}

// fence aborts the open transaction under a higher epoch.
func (c *cluster) fence(t *txn) {
	if t.epoch < math.MaxInt16-1 {
		t.epoch++
	}
	c.decide(t, false)
}

func (c *cluster) addPartitions(r *request, m *addpartitionstotxn.Request) *addpartitionstotxn.Response {
	t := c.txn(m.TransactionalID)
	code := c.coordinator(r, t)
	switch {
	case code != 0:
	case t.pid != m.ProducerID:
		code = invalidProducerID
	case t.epoch != m.ProducerEpoch:
		code = producerFenced
	case t.state == settling:
		code = concurrentTransaction
	}
	out := &addpartitionstotxn.Response{}
	for _, topic := range m.Topics {
		res := addpartitionstotxn.ResponseResult{Name: topic.Name}
		for _, n := range topic.Partitions {
			code := code
			p := c.partition(topic.Name, n)
			if p == nil {
				code = unknownTopic
			}
			res.Results = append(res.Results, addpartitionstotxn.ResponsePartition{PartitionIndex: n, ErrorCode: code})
			if code == 0 && !t.has(p) {
				t.parts = append(t.parts, p)
			}
		}
		out.Results = append(out.Results, res)
	}
	if code == 0 && t.state == empty {
		t.state = ongoing
		t.began++
		began, life := t.began, t.epoch
		c.w.after(t.timeout, t.id+" times out", func() {
			if t.state == ongoing && t.began == began && t.epoch == life {
				c.w.count("transaction timed out at the broker")
				c.fence(t)
			}
		})
	}
	return out
}

func (c *cluster) endTxn(r *request, m *endtxn.Request) *endtxn.Response {
	t := c.txn(m.TransactionalID)
	code := c.coordinator(r, t)
	switch {
	case code != 0:
	case t.pid != m.ProducerID:
		code = invalidProducerID
	case t.epoch != m.ProducerEpoch:
		code = producerFenced
	case t.state == settling && t.commit == m.Committed:
		code = concurrentTransaction
	case t.state == settling:
		code = invalidTxnState
	case t.state == empty && t.ever && t.commit == m.Committed:
		// It was done already: to a repeat the broker says yes.
	case t.state == empty:
		code = invalidTxnState
	default:
		c.decide(t, m.Committed)
	}
	return &endtxn.Response{ErrorCode: code}
}

// decide ends a transaction: the decision is durable at once, the markers take
// each their own time to the partitions.
func (c *cluster) decide(t *txn, commit bool) {
	t.state, t.commit, t.ever = settling, commit, true
	left := len(t.parts)
	finish := func() {
		t.state, t.parts = empty, nil
	}
	pid, epoch := t.pid, t.epoch
	for _, p := range t.parts {
		key := fmt.Sprintf("marker %s %s/%d", t.id, p.topic, p.number)
		d := c.w.chance(key)
		delay := time.Duration(d.Int64N(int64(8 * time.Millisecond)))
		if d.IntN(12) == 0 {
			delay += time.Duration(d.Int64N(int64(400 * time.Millisecond)))
		}
		c.w.after(delay, key, func() {
			p.mark(pid, epoch, commit, time.Now())
			if left--; left == 0 {
				finish()
			}
			c.grown()
		})
	}
	if left == 0 {
		finish()
	}
}

// settled says that no transaction is open or on its way to an end.
func (c *cluster) settled() bool {
	for _, t := range c.txns {
		if t.state != empty {
			return false
		}
	}
	return true
}

package sim

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"maps"
	"slices"
	"sync/atomic"
	"time"

	"github.com/segmentio/kafka-go/protocol"
	"github.com/segmentio/kafka-go/protocol/addpartitionstotxn"
	"github.com/segmentio/kafka-go/protocol/apiversions"
	"github.com/segmentio/kafka-go/protocol/endtxn"
	"github.com/segmentio/kafka-go/protocol/findcoordinator"
	"github.com/segmentio/kafka-go/protocol/initproducerid"
	"github.com/segmentio/kafka-go/protocol/metadata"
	"github.com/segmentio/kafka-go/protocol/offsetfetch"
	"github.com/segmentio/kafka-go/protocol/produce"
)

const (
	nodes     = 3
	firstPort = 9000
	bootstrap = "kafka:9000"
)

// Error codes of the protocol that the model gives.
const (
	offsetOutOfRange      = 1
	unknownTopic          = 3
	notLeader             = 6
	coordinatorLoading    = 14
	coordinatorGone       = 15
	notCoordinator        = 16
	notEnoughReplicas     = 19
	outOfOrderSequence    = 45
	invalidProducerEpoch  = 47
	invalidTxnState       = 48
	invalidProducerID     = 49
	concurrentTransaction = 51
	offsetNotAvailable    = 78
	producerFenced        = 90
)

// cluster is the model: three brokers with one log per partition, of which the
// acknowledged part is never lost (acks=all). All its methods are the scheduler's.
type cluster struct {
	w        *world
	down     [nodes]atomic.Bool
	topics   map[string][]*partition
	names    []string
	txns     map[string]*txn
	byPID    map[int64]*txn
	pids     int64
	parked   []*parked
	groups   map[string]map[int32]int64 // offsets for lag tools, by topic
	inflight map[*request]bool          // sent to a broker and not yet there
}

func newCluster(w *world) *cluster {
	return &cluster{w: w, topics: map[string][]*partition{}, txns: map[string]*txn{}, byPID: map[int64]*txn{}, pids: 1000, groups: map[string]map[int32]int64{}, inflight: map[*request]bool{}}
}

// partition is one log.
type partition struct {
	topic     string
	number    int32
	log       []*batch
	end       int64
	start     int64
	leader    int
	open      map[int64]int64 // first offset of the open transaction, by producer id
	aborted   []aborted
	producers map[int64]*producerState
	stale     time.Duration // until then its new leader knows no more than staleEnd
	staleEnd  int64
	broker    bool // append time is the broker's
}

type batch struct {
	base, last   int64
	pid          int64
	epoch        int16
	txn, control bool
	raw          []byte
}

type aborted struct{ pid, first, last int64 }

type producerState struct {
	epoch  int16
	next   int32
	recent []sent // the last batches, to know a repeated one
}

type sent struct {
	sequence int32
	count    int32
	base     int64
}

func (c *cluster) create(topic string, partitions int32, brokerTime bool) {
	for i := range partitions {
		c.topics[topic] = append(c.topics[topic], &partition{topic: topic, number: i, broker: brokerTime, leader: (len(c.names) + int(i)) % nodes,
			open: map[int64]int64{}, producers: map[int64]*producerState{}})
	}
	c.names = append(c.names, topic)
	slices.Sort(c.names)
}

func (c *cluster) partition(topic string, number int32) *partition {
	if ps := c.topics[topic]; number >= 0 && int(number) < len(ps) {
		return ps[number]
	}
	return nil
}

// stable is the last stable offset.
func (p *partition) stable() int64 {
	lso := p.end
	for _, first := range p.open {
		lso = min(lso, first)
	}
	return lso
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// append puts a batch (magic 2) at the end of the log.
func (p *partition) append(raw []byte, now time.Time) *batch {
	be := binary.BigEndian
	b := &batch{base: p.end, raw: raw, pid: int64(be.Uint64(raw[43:])), epoch: int16(be.Uint16(raw[51:]))}
	b.last = b.base + int64(be.Uint32(raw[23:]))
	attributes := be.Uint16(raw[21:])
	b.txn, b.control = attributes&0x10 != 0, attributes&0x20 != 0
	be.PutUint64(raw, uint64(b.base))
	if p.broker {
		be.PutUint16(raw[21:], attributes|0x08)
		be.PutUint64(raw[35:], uint64(now.UnixMilli()))
		be.PutUint32(raw[17:], crc32.Checksum(raw[21:], castagnoli))
	}
	if b.txn && !b.control {
		if _, ok := p.open[b.pid]; !ok {
			p.open[b.pid] = b.base
		}
	}
	p.log = append(p.log, b)
	p.end = b.last + 1
	return b
}

// mark ends a producer's transaction here.
func (p *partition) mark(pid int64, epoch int16, commit bool, now time.Time) {
	kind := byte(0)
	if commit {
		kind = 1
	}
	raw := controlBatch(pid, epoch, []byte{0, 0, 0, kind}, []byte{0, 0, 0, 0, 0, 0}, now)
	b := p.append(raw, now)
	if first, ok := p.open[pid]; ok {
		if !commit {
			p.aborted = append(p.aborted, aborted{pid, first, b.base})
		}
		delete(p.open, pid)
	}
	s := p.producers[pid]
	if s == nil {
		s = &producerState{}
		p.producers[pid] = s
	}
	if epoch > s.epoch {
		*s = producerState{epoch: epoch}
	}
}

// committed says what became of the records of a batch, once it is settled.
func (p *partition) committed(b *batch) bool {
	if b.control || b.base >= p.stable() {
		return false
	}
	if b.txn {
		for _, a := range p.aborted {
			if a.pid == b.pid && a.first <= b.base && b.base < a.last {
				return false
			}
		}
	}
	return true
}

// handle does what a request asks for, at the broker that it was sent to.
func (c *cluster) handle(r *request) {
	w := c.w
	delete(c.inflight, r)
	if c.down[r.node].Load() {
		return
	}
	if f := r.fault; f != nil {
		if f.staged(Before) {
			w.strike(f)
			if r.conn.link.dead.Load() && w.chance(r.key+" sent").IntN(2) == 0 {
				return // it had not left
			}
		}
	}
	out := c.respond(r)
	if out == nil {
		return // parked
	}
	w.answer(r, out)
}

func (c *cluster) respond(r *request) []byte {
	switch r.api {
	case 0:
		return c.produce(r)
	case 1:
		return c.fetch(r)
	case 2:
		return c.listOffsets(r)
	}
	whole := append(binary.BigEndian.AppendUint32(nil, uint32(len(r.frame))), r.frame...)
	_, _, _, m, err := protocol.ReadRequest(bytes.NewReader(whole))
	if err != nil {
		panic(fmt.Sprintf("sim: a request that the model does not read: %v", err))
	}
	var answer protocol.Message
	switch m := m.(type) {
	case *apiversions.Request:
		answer = c.versions()
	case *metadata.Request:
		answer = c.metadata()
	case *findcoordinator.Request:
		answer = c.findCoordinator(m)
	case *initproducerid.Request:
		answer = c.initProducerID(r, m)
	case *addpartitionstotxn.Request:
		answer = c.addPartitions(r, m)
	case *endtxn.Request:
		answer = c.endTxn(r, m)
	case *offsetfetch.Request:
		answer = c.offsetFetch(m)
	default:
		panic(fmt.Sprintf("sim: the model does not answer %T", m))
	}
	return encode(r.version, answer)
}

// encode gives an answer behind size and correlation id.
func encode(version int16, m protocol.Message) []byte {
	var b bytes.Buffer
	if err := protocol.WriteResponse(&b, version, 0, m); err != nil {
		panic(fmt.Sprintf("sim: an answer that can't be written: %v", err))
	}
	return b.Bytes()[8:]
}

func (c *cluster) versions() *apiversions.Response {
	r := &apiversions.Response{}
	for _, k := range [...][3]int16{{0, 3, 7}, {1, 4, 11}, {2, 1, 5}, {3, 0, 8}, {9, 0, 5}, {10, 0, 2}, {18, 0, 2}, {22, 0, 1}, {24, 0, 2}, {26, 0, 2}} {
		r.ApiKeys = append(r.ApiKeys, apiversions.ApiKeyResponse{ApiKey: k[0], MinVersion: k[1], MaxVersion: k[2]})
	}
	return r
}

func (c *cluster) metadata() *metadata.Response {
	r := &metadata.Response{ClusterID: "sim"}
	for n := range nodes {
		if !c.down[n].Load() {
			r.Brokers = append(r.Brokers, metadata.ResponseBroker{NodeID: int32(n), Host: "kafka", Port: int32(firstPort + n)})
			r.ControllerID = int32(n)
		}
	}
	for _, name := range c.names {
		t := metadata.ResponseTopic{Name: name}
		for _, p := range c.topics[name] {
			t.Partitions = append(t.Partitions, metadata.ResponsePartition{PartitionIndex: p.number, LeaderID: int32(p.leader)})
			if p.leader < 0 {
				t.Partitions[len(t.Partitions)-1].ErrorCode = 5
			}
		}
		r.Topics = append(r.Topics, t)
	}
	return r
}

func (c *cluster) offsetFetch(m *offsetfetch.Request) *offsetfetch.Response {
	r := &offsetfetch.Response{}
	for _, t := range m.Topics {
		out := offsetfetch.ResponseTopic{Name: t.Name}
		for _, p := range t.PartitionIndexes {
			o, ok := c.groups[t.Name][p]
			if !ok {
				o = -1
			}
			out.Partitions = append(out.Partitions, offsetfetch.ResponsePartition{PartitionIndex: p, CommittedOffset: o})
		}
		r.Topics = append(r.Topics, out)
	}
	return r
}

// produce reads and answers a Produce request, version 3 to 7. Its records are
// kept as the bytes that came.
func (c *cluster) produce(r *request) []byte {
	d := reader{b: r.frame[8:]}
	d.string() // client id
	d.string() // transactional id
	d.int16()
	d.int32()
	answer := &produce.Response{}
	for range d.int32() {
		topic := produce.ResponseTopic{Topic: d.string()}
		for range d.int32() {
			n := d.int32()
			raw := bytes.Clone(d.bytes())
			code, base := c.produceTo(r, topic.Topic, n, raw)
			topic.Partitions = append(topic.Partitions, produce.ResponsePartition{Partition: n, ErrorCode: code, BaseOffset: base, LogAppendTime: -1})
		}
		answer.Topics = append(answer.Topics, topic)
	}
	c.grown()
	return encode(r.version, answer)
}

func (c *cluster) produceTo(r *request, topic string, number int32, raw []byte) (int16, int64) {
	p := c.partition(topic, number)
	switch {
	case p == nil:
		return unknownTopic, -1
	case p.leader != r.node:
		return notLeader, -1
	case r.fault != nil && r.fault.Kind == Refuse:
		return int16(r.fault.N), -1
	}
	be := binary.BigEndian
	pid, epoch, sequence := int64(be.Uint64(raw[43:])), int16(be.Uint16(raw[51:])), int32(be.Uint32(raw[53:]))
	count := int32(be.Uint32(raw[57:]))
	s := p.producers[pid]
	if s == nil {
		s = &producerState{epoch: -1}
	}
	if epoch < s.epoch {
		return invalidProducerEpoch, -1
	}
	if epoch == s.epoch {
		for _, old := range s.recent {
			if old.sequence == sequence && old.count == count {
				return 0, old.base // a repeat of what is there
			}
		}
	}
	if _, open := p.open[pid]; !open {
		// The leader asks the coordinator whether the transaction is really open
		// with this partition in it (KIP-890, part one).
		t := c.byPID[pid]
		switch {
		case t == nil:
			return invalidProducerID, -1
		case epoch < t.epoch:
			return invalidProducerEpoch, -1
		case t.state != ongoing || !t.has(p):
			return invalidTxnState, -1
		}
	}
	want := int32(0)
	if epoch == s.epoch {
		want = s.next
	}
	if sequence != want {
		return outOfOrderSequence, -1
	}
	b := p.append(raw, time.Now())
	if epoch > s.epoch {
		*s = producerState{epoch: epoch}
	}
	s.next = sequence + count
	s.recent = append(s.recent, sent{sequence, count, b.base})
	s.recent = s.recent[max(0, len(s.recent)-5):]
	p.producers[pid] = s
	return 0, b.base
}

// moveLeader gives a partition to another broker, which for a while knows an
// older end than the one that was there.
func (c *cluster) moveLeader(p *partition, stale time.Duration) {
	if p.leader < 0 {
		return
	}
	p.staleEnd = max(p.start, p.stable()-3)
	p.stale = c.w.now() + stale
	for i := 1; i < nodes; i++ {
		if n := (p.leader + i) % nodes; !c.down[n].Load() {
			p.leader = n
			return
		}
	}
}

// stop takes a broker down: its partitions and its coordinators move.
func (c *cluster) stop(node int, stale time.Duration) {
	for n := range nodes {
		if n != node && c.down[n].Load() {
			return // one at a time: two of three hold the acknowledged records
		}
	}
	c.down[node].Store(true)
	for _, name := range c.names {
		for _, p := range c.topics[name] {
			if p.leader == node {
				c.moveLeader(p, stale)
			}
		}
	}
	for _, id := range slices.Sorted(maps.Keys(c.txns)) {
		if t := c.txns[id]; t.node == node {
			c.moveCoordinator(t, stale)
		}
	}
	for _, p := range c.w.procs {
		if p.link != nil {
			p.link.cut(node)
		}
	}
}

// restart takes a broker down for a while. What it was asked and has not
// answered is either done all the same, or was in the tail that was lost.
func (c *cluster) restart(node int, d time.Duration, tail bool) {
	if !tail {
		var there []*request
		for r := range c.inflight {
			if r.node == node {
				there = append(there, r)
			}
		}
		slices.SortFunc(there, func(a, b *request) int { return cmp.Compare(a.key, b.key) })
		for _, r := range there {
			r.muted = true
			c.handle(r)
		}
	}
	for r := range c.inflight {
		if r.node == node {
			delete(c.inflight, r)
		}
	}
	c.stop(node, d/2)
	c.w.after(d, fmt.Sprintf("broker %d is back", node), func() { c.down[node].Store(false) })
}

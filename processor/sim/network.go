package sim

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cespare/xxhash/v2"
)

// Names of the requests, as scripts spell them.
var apiNames = map[int16]string{0: "Produce", 1: "Fetch", 2: "ListOffsets", 3: "Metadata", 9: "OffsetFetch", 10: "FindCoordinator",
	18: "ApiVersions", 22: "InitProducerID", 24: "AddPartitionsToTxn", 26: "EndTxn"}

// link is one life of a process as the network sees it.
type link struct {
	w     *world
	proc  int
	life  int
	dead  atomic.Bool // killed: nothing leaves it and nothing reaches it
	mu    sync.Mutex
	conns map[*conn]bool
	until time.Duration // cut off until then; the scheduler's
}

// conn is the broker's end of a connection.
type conn struct {
	net.Conn
	link   *link
	client net.Conn
	node   int
}

var errRefused = errors.New("sim: connection refused")

// dial is the transport's Dial.
func (l *link) dial(ctx context.Context, _, address string) (net.Conn, error) {
	_, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	n, err := strconv.Atoi(port)
	if err != nil || n < firstPort || n >= firstPort+nodes {
		return nil, fmt.Errorf("sim: no such broker: %s", address)
	}
	node := n - firstPort
	if l.dead.Load() || l.w.cluster.down[node].Load() {
		return nil, errRefused
	}
	client, server := net.Pipe()
	c := &conn{Conn: server, link: l, client: client, node: node}
	l.mu.Lock()
	l.conns[c] = true
	l.mu.Unlock()
	go c.read()
	return &outgoing{client, l}, nil
}

// outgoing is the processor's end. A dead process sends nothing more.
type outgoing struct {
	net.Conn
	link *link
}

func (o *outgoing) Write(b []byte) (int, error) {
	if o.link.dead.Load() {
		return 0, net.ErrClosed
	}
	return o.Conn.Write(b)
}

// cut ends all connections of the process, or those to one node (-1: all).
func (l *link) cut(node int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for c := range l.conns {
		if node < 0 || c.node == node {
			c.Close()
			delete(l.conns, c)
		}
	}
}

func (c *conn) close() {
	c.link.mu.Lock()
	delete(c.link.conns, c)
	c.link.mu.Unlock()
	c.Close()
}

// read hands frames to the scheduler until the connection ends.
func (c *conn) read() {
	defer c.close()
	var size [4]byte
	for {
		if _, err := io.ReadFull(c, size[:]); err != nil {
			return
		}
		frame := make([]byte, binary.BigEndian.Uint32(size[:]))
		if _, err := io.ReadFull(c, frame); err != nil {
			return
		}
		if c.link.dead.Load() {
			return
		}
		r := &request{conn: c, proc: c.link.proc, node: c.node, frame: frame,
			api: int16(binary.BigEndian.Uint16(frame)), version: int16(binary.BigEndian.Uint16(frame[2:])), correlation: int32(binary.BigEndian.Uint32(frame[4:]))}
		said := frame[8:]
		if r.api == 9 { // its client lists the topics in the order of a map
			said = nil
		}
		r.key = fmt.Sprintf("p%d.%d n%d %s %016x", r.proc, c.link.life, r.node, apiNames[r.api], xxhash.Sum64(said))
		c.link.w.post(r, nil)
	}
}

// request is one request on its way.
type request struct {
	conn         *conn
	proc, node   int
	api, version int16
	correlation  int32
	frame        []byte // behind its size
	key          string
	fault        *Fault // what shall befall it; nil: nothing
	muted        bool   // its answer is never sent
	done         func() // called when the answer is decided
}

func (r *request) name() string { return apiNames[r.api] }

// receive decides what becomes of a request that left a processor.
func (w *world) receive(r *request) {
	d := w.chance(r.key)
	latency := 150*time.Microsecond + time.Duration(d.Int64N(int64(1500*time.Microsecond)))
	l := r.conn.link
	if l.until > w.now() {
		// Cut off: what was sent is held, and comes through late or never.
		if d.IntN(2) == 0 {
			return
		}
		latency += l.until - w.now()
	}
	if w.mutateRequest(r) {
		return
	}
	r.fault = w.match(r)
	again := false
	if f := r.fault; f != nil {
		switch f.Kind {
		case LoseRequest:
			w.hangUp(r, d.Int64N(int64(3*time.Second)))
			return
		case LateRequest: // the client sees the connection end and goes on; the broker has it still
			w.hangUp(r, 0)
			r.muted = true
			latency += f.For
		case DelayRequest:
			latency += f.For
		case Duplicate:
			again = true
		}
	}
	w.cluster.inflight[r] = true
	w.after(latency, r.key, func() {
		if w.cluster.inflight[r] {
			w.cluster.handle(r)
		}
	})
	if again {
		twin := *r
		twin.fault, twin.muted, twin.key = nil, true, r.key+" again"
		gap := time.Duration(1)
		if r.api == 22 { // the one that a client may send again after it gave up on the first
			gap = r.fault.For
		}
		w.after(latency+gap, twin.key, func() { w.cluster.handle(&twin) })
	}
}

// hangUp ends a request's connection some time from now.
func (w *world) hangUp(r *request, within int64) {
	if within == 0 {
		r.conn.close()
		return
	}
	w.after(time.Duration(within), r.key+" reset", r.conn.close)
}

// answer sends body, which is the answer behind its size and correlation id.
func (w *world) answer(r *request, body []byte) {
	if r.done != nil {
		r.done()
	}
	if r.muted {
		return
	}
	d := w.chance(r.key + " answer")
	latency := 100*time.Microsecond + time.Duration(d.Int64N(int64(900*time.Microsecond)))
	if l := r.conn.link; l.until > w.now() {
		if d.IntN(2) == 0 {
			return
		}
		latency += l.until - w.now()
	}
	if f := r.fault; f != nil {
		switch f.Kind {
		case LoseResponse:
			w.hangUp(r, 1+d.Int64N(int64(3*time.Second)))
			return
		case DelayResponse:
			latency += f.For
		}
		if f.staged(After) {
			w.strike(f) // before the answer arrives
		}
	}
	w.after(latency, r.key+" answer", func() {
		if r.conn.link.dead.Load() {
			return
		}
		out := make([]byte, 8, 8+len(body))
		binary.BigEndian.PutUint32(out, uint32(4+len(body)))
		binary.BigEndian.PutUint32(out[4:], uint32(r.correlation))
		out = append(out, body...)
		go r.conn.Write(out) // whoever gave up does not read any more
	})
}

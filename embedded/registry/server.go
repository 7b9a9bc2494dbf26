package registry

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"

	"tidemark/embedded/internal/loopback"
)

// DefaultTopic is where Confluent's registry keeps its state too.
const DefaultTopic = "_schemas"

// Options say how a registry runs.
type Options struct {
	// Addr is host:port. The host must be a loopback address, port 0 takes a free one. Default 127.0.0.1:0.
	Addr string
	// Brokers are the Kafka bootstrap addresses, host:port. At least one.
	Brokers []string
	// Topic holds the schemas. Default _schemas. It is created if it is not there.
	Topic string
}

// Server is a running registry. It is also an http.Handler, so that its API
// can stand behind another server.
type Server struct {
	topic *topic
	http  *http.Server
	url   string
	mux   *http.ServeMux

	// writing is held from the decision what to write until that is read back,
	// so that every decision sees what was decided before. It is taken before mu.
	writing sync.Mutex

	mu      sync.RWMutex
	state   *state
	applied int64         // offset of the next record to apply
	changed chan struct{} // closed and replaced when applied moves or broken is set
	broken  error         // why no write is possible any more
	maxID   int           // largest id handed out here; a write that failed may still stand in the topic

	stop    context.CancelFunc
	stopped sync.WaitGroup
	closing sync.Once
	closed  error
}

// Start creates or checks the topic, reads it to its end and then serves. ctx
// bounds the start only.
//
// It fails with [ErrNotLoopback], when the address is taken, when the brokers
// can't be reached before ctx ends, when the topic could not hold the state,
// or when it holds something that is not understood.
func Start(ctx context.Context, o Options) (*Server, error) {
	if o.Addr == "" {
		o.Addr = "127.0.0.1:0"
	}
	if o.Topic == "" {
		o.Topic = DefaultTopic
	}
	if len(o.Brokers) == 0 {
		return nil, errors.New("registry: no broker is given")
	}
	listen, err := loopback.Resolve(o.Addr)
	if err != nil {
		return nil, fmt.Errorf("registry: %w", err)
	}
	t, err := openTopic(ctx, o.Brokers, o.Topic, rand.Text())
	if err != nil {
		return nil, err
	}
	s := &Server{topic: t, state: newState(), changed: make(chan struct{})}
	if err := s.readToEnd(ctx); err != nil {
		t.client.Close()
		return nil, err
	}
	ln, err := net.Listen("tcp", listen)
	if err != nil {
		t.client.Close()
		return nil, fmt.Errorf("registry: %w", err)
	}
	s.url = "http://" + ln.Addr().String()
	s.mux = s.routes()
	s.http = &http.Server{Handler: s, ReadHeaderTimeout: 10 * time.Second}
	reading, stop := context.WithCancel(context.Background())
	s.stop = stop
	s.stopped.Add(2)
	go s.follow(reading)
	go func() {
		defer s.stopped.Done()
		_ = s.http.Serve(ln) // always ErrServerClosed, or the listener is broken and clients see it
	}()
	return s, nil
}

// URL is the base URL, without a slash at its end.
func (s *Server) URL() string { return s.url }

// Close lets running requests finish, for at most two seconds, and stops.
// Calling it again changes nothing and returns the same.
func (s *Server) Close() error {
	s.closing.Do(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
		defer cancel()
		// Shutdown also waits for connections on which nothing was ever asked.
		if err := s.http.Shutdown(ctx); err != nil {
			s.closed = s.http.Close()
		}
		s.stop()
		s.stopped.Wait()
		s.topic.client.Close()
	})
	return s.closed
}

func (s *Server) readToEnd(ctx context.Context) error {
	first, err := s.topic.offset(ctx, earliestOffset)
	if err != nil {
		return err
	}
	end, err := s.topic.offset(ctx, latestOffset)
	if err != nil {
		return err
	}
	s.applied = first
	for s.applied < end {
		recs, next, err := s.topic.read(ctx, s.applied)
		if err != nil {
			if stop := pause(ctx); stop != nil {
				return fmt.Errorf("registry: read topic %s: %w", s.topic.name, errors.Join(err, stop))
			}
			continue
		}
		for _, r := range recs {
			if err := s.state.apply(r.Key, r.Value); err != nil {
				return fmt.Errorf("registry: topic %s offset %d: %w", s.topic.name, r.Offset, err)
			}
		}
		s.applied = next
	}
	s.maxID = s.state.maxID
	return nil
}

// follow applies what comes into the topic until ctx ends.
func (s *Server) follow(ctx context.Context) {
	defer s.stopped.Done()
	for from := s.applied; ctx.Err() == nil; {
		recs, next, err := s.topic.read(ctx, from)
		if errors.Is(err, kerr.OffsetOutOfRange) {
			s.fail(fmt.Errorf("registry: topic %s no longer has offset %d: it was cut off or created anew", s.topic.name, from))
			return
		}
		if err != nil {
			_ = pause(ctx) // the loop's condition looks at ctx
			continue
		}
		s.mu.Lock()
		for _, r := range recs {
			if err := s.state.apply(r.Key, r.Value); err != nil && s.broken == nil {
				s.broken = fmt.Errorf("registry: topic %s offset %d: %w", s.topic.name, r.Offset, err)
			}
			if !s.topic.isOwn(r) && s.broken == nil {
				s.broken = fmt.Errorf("%w (topic %s, offset %d)", ErrOtherWriter, s.topic.name, r.Offset)
			}
		}
		s.applied = next
		s.maxID = max(s.maxID, s.state.maxID)
		close(s.changed)
		s.changed = make(chan struct{})
		s.mu.Unlock()
		from = next
	}
}

// fail refuses every write from now on. Reads go on from what is known.
func (s *Server) fail(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.broken = err
	close(s.changed)
	s.changed = make(chan struct{})
}

// store writes records and returns when they have been applied. The caller holds s.writing.
func (s *Server) store(ctx context.Context, recs ...record) error {
	if len(recs) == 0 {
		return nil
	}
	// A client that hangs up must not leave a write half known: it is seen through.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), writeLimit)
	defer cancel()
	if err := s.writable(); err != nil {
		return err
	}
	end, err := s.topic.write(ctx, recs)
	if err != nil {
		return refuse(codeStore, "Error while writing to the schemas topic: %v", err)
	}
	for {
		s.mu.RLock()
		applied, changed, broken := s.applied, s.changed, s.broken
		s.mu.RUnlock()
		if broken != nil {
			return broken
		}
		if applied >= end {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return refuse(codeStoreTimeout, "The write was not read back from the schemas topic in time; it may have happened")
		}
	}
}

func (s *Server) writable() error {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.broken
}

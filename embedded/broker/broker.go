package broker

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"
	"github.com/twmb/franz-go/pkg/kversion"

	"tidemark/embedded/internal/loopback"
)

var (
	// ErrNotLoopback reports an address that other machines could reach.
	ErrNotLoopback = loopback.ErrNotLoopback
	// ErrDirInUse reports a directory that another broker has open.
	ErrDirInUse = errors.New("broker: the directory is in use by another embedded broker")
	// ErrClosed reports a call after Close.
	ErrClosed = errors.New("broker: closed")
)

// cleanerNever keeps kfake's log cleaner from running: a hundred years, which
// still fits a time.Duration. See doc.go for why.
const cleanerNever = "3153600000000"

// lockFile stands beside kfake's own files, none of which has this name.
const lockFile = "tidemark-broker.lock"

// Options say how a broker runs. The zero value is a broker in memory on a free port.
type Options struct {
	// Dir is where everything is kept; it is created if it is not there.
	// Empty: everything is in memory and gone after Close.
	Dir string
	// Addr is host:port. The host must be a loopback address, port 0 takes a
	// free one. Clients that outlive a restart need a fixed port.
	// Default 127.0.0.1:0.
	Addr string
	// Sync makes the broker fsync every batch before it answers.
	Sync bool
	// RetentionEvery is how often retention.ms is applied. Default one minute.
	RetentionEvery time.Duration
	// ClusterID is what metadata responses carry. A Dir keeps its first one. Default tidemark-embedded.
	ClusterID string
	// Log takes the broker's warnings and errors, such as a full disk. It may
	// be called from several goroutines. Default: they are dropped, except that
	// an error while closing is returned by Close.
	Log func(level, message string)
}

func (o *Options) ensureDefaults() {
	if o.Addr == "" {
		o.Addr = "127.0.0.1:0"
	}
	if o.RetentionEvery <= 0 {
		o.RetentionEvery = time.Minute
	}
	if o.ClusterID == "" {
		o.ClusterID = "tidemark-embedded"
	}
	if o.Log == nil {
		o.Log = func(string, string) {}
	}
}

// Broker is a running broker. Its methods are safe for concurrent use.
type Broker struct {
	cluster *kfake.Cluster
	addr    string
	lock    interface{ Close() error }
	log     *problemLog

	retention     *retention
	stopRetention context.CancelFunc
	stopped       sync.WaitGroup

	mu       sync.RWMutex // held to read by calls into cluster, which hang once it is closed
	closed   bool
	closeErr error
}

// Start returns a broker that already serves. With a Dir it loads what is
// there first, so it takes as long as that.
//
// It fails with [ErrNotLoopback], with [ErrDirInUse], or when the address is
// taken or the directory can't be read.
func Start(o Options) (*Broker, error) {
	o.ensureDefaults()
	listen, err := loopback.Resolve(o.Addr)
	if err != nil {
		return nil, fmt.Errorf("broker: %w", err)
	}
	log := &problemLog{next: o.Log}
	opts := []kfake.Opt{
		kfake.NumBrokers(1),
		kfake.ClusterID(o.ClusterID),
		kfake.MaxVersions(apiVersions()),
		kfake.BrokerConfigs(map[string]string{"log.cleaner.backoff.ms": cleanerNever}),
		// Kafka's own minimum of 6 s makes trying a hand-over a long wait.
		kfake.GroupMinSessionTimeout(time.Second),
		kfake.WithLogger(log),
		kfake.ListenFn(func(string, string) (net.Listener, error) { return net.Listen("tcp", listen) }),
	}
	b := &Broker{log: log, stopRetention: func() {}}
	if o.Dir != "" {
		if b.lock, err = lockDir(o.Dir); err != nil {
			return nil, err
		}
		opts = append(opts, kfake.DataDir(o.Dir))
	}
	if o.Sync {
		opts = append(opts, kfake.SyncWrites())
	}
	if b.cluster, err = kfake.NewCluster(opts...); err != nil {
		if b.lock != nil {
			err = errors.Join(err, b.lock.Close())
		}
		return nil, fmt.Errorf("broker: start on %s: %w", o.Addr, err)
	}
	b.cluster.ControlKey(int16(kmsg.CreateTopics), b.screenCreateTopics)
	b.cluster.ControlKey(int16(kmsg.ListGroups), lowerGroupTypes)
	b.addr = b.cluster.ListenAddrs()[0]
	if b.retention, err = newRetention(b); err != nil {
		return nil, errors.Join(fmt.Errorf("broker: start: %w", err), b.Close())
	}
	if o.Dir != "" {
		if err := b.endOrphans(b.retention.client); err != nil {
			return nil, errors.Join(fmt.Errorf("broker: ending what a kill left: %w", err), b.Close())
		}
	}
	ctx, cancel := context.WithCancel(context.Background())
	b.stopRetention = cancel
	b.stopped.Add(1)
	go b.applyRetention(ctx, o.RetentionEvery)
	return b, nil
}

// Addr is the host:port that the broker listens on and tells its clients.
func (b *Broker) Addr() string { return b.addr }

// Cluster is the kfake cluster below, for tests: ControlKey and Fault put
// faults in, Compact runs the log cleaner. What is done to it is outside what
// this package promises.
func (b *Broker) Cluster() *kfake.Cluster { return b.cluster }

// ControlKey lets a test look at, change or answer requests of one kind; see
// [kfake.Cluster.ControlKey]. For CreateTopics the function runs after the
// broker's own check.
func (b *Broker) ControlKey(key int16, fn func(kmsg.Request) (kmsg.Response, error, bool)) {
	b.cluster.ControlKey(key, fn)
}

// Close stops the broker, writes what is still in memory to Dir and returns
// what went wrong with that. Clients lose their connections; transactions
// that are open stay open until their timeout. Calling it again changes
// nothing and returns the same.
func (b *Broker) Close() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return b.closeErr
	}
	b.closed = true
	b.stopRetention()
	b.stopped.Wait()
	if b.retention != nil {
		b.retention.client.Close()
	}
	b.log.keep.Store(true)
	b.cluster.Close()
	b.closeErr = b.log.kept()
	if b.lock != nil {
		b.closeErr = errors.Join(b.closeErr, b.lock.Close())
	}
	return b.closeErr
}

func (b *Broker) applyRetention(ctx context.Context, every time.Duration) {
	defer b.stopped.Done()
	t := time.NewTicker(every)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-t.C:
			if err := b.retention.apply(ctx, now); err != nil && ctx.Err() == nil {
				b.log.next("warning", err.Error())
			}
		}
	}
}

// apiVersions is what Kafka 4.1.0 announces, less what the embedded broker
// should not: CreateTopics above v4, client quotas (48, 49), telemetry (71,
// 72), describe topic partitions (75) and share groups (76 to 79, 90 to 92).
// With these the Java admin client and the command line tools fail on kfake.
func apiVersions() *kversion.Versions {
	v := kversion.V4_1_0()
	v.SetMaxKeyVersion(19, 4)
	for _, key := range []int16{48, 49, 71, 72, 75, 76, 77, 78, 79, 90, 91, 92} {
		v.SetMaxKeyVersion(key, -1)
	}
	return v
}

// lowerGroupTypes writes the types that a ListGroups request asks for as kfake
// writes them. Kafka takes "Classic" for "classic", kfake does not, and
// kafka-consumer-groups --list would find nothing. It may change the request:
// kfake decodes one for each that comes.
func lowerGroupTypes(kreq kmsg.Request) (kmsg.Response, error, bool) {
	if req, ok := kreq.(*kmsg.ListGroupsRequest); ok {
		for i, t := range req.TypesFilter {
			req.TypesFilter[i] = strings.ToLower(t)
		}
	}
	return nil, nil, false
}

func lockDir(dir string) (interface{ Close() error }, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, fmt.Errorf("broker: directory: %w", err)
	}
	lock, err := vfs.Default.Lock(filepath.Join(dir, lockFile))
	if err != nil {
		return nil, fmt.Errorf("%w: %s: %w", ErrDirInUse, dir, err)
	}
	return lock, nil
}

// problemLog passes kfake's warnings and errors on. kfake reports a failed
// save at shutdown in no other way, so during Close the errors are kept.
type problemLog struct {
	next func(level, message string)
	keep atomic.Bool
	mu   sync.Mutex
	errs []error
}

func (l *problemLog) Logf(level kfake.LogLevel, format string, args ...any) {
	if level > kfake.LogLevelWarn {
		return
	}
	msg := fmt.Sprintf(format, args...)
	name := "warning"
	if level == kfake.LogLevelError {
		name = "error"
		if l.keep.Load() {
			l.mu.Lock()
			l.errs = append(l.errs, fmt.Errorf("broker: close: %s", msg))
			l.mu.Unlock()
		}
	}
	l.next(name, msg)
}

func (l *problemLog) kept() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return errors.Join(l.errs...)
}

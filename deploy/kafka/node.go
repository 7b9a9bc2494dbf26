package kafka

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

var (
	// ErrPortInUse says that the port asked for belongs to another program.
	ErrPortInUse = errors.New("port in use")
	// errDied says that the Java process ended while it was waited for.
	errDied = errors.New("the Kafka process ended")
)

const (
	defaultStartLimit = 90 * time.Second
	defaultStopLimit  = 20 * time.Second
	defaultHeap       = "768m"
	// portTries is how often a start is tried when free ports are taken in between.
	portTries = 4
	// logTail is how many bytes of the log an error carries.
	logTail = 4000
)

// Options of a node. The zero value is a node on free ports.
type Options struct {
	// Cache is the folder for jars and nodes; "" is CacheDir.
	Cache string
	// Port of the broker on 127.0.0.1; 0 is any free one.
	Port int
	// Properties are added to server.properties and win over its own.
	Properties map[string]string
	// Users makes the node a secured one: TLS everywhere, SCRAM-SHA-512 and
	// OAUTHBEARER on the client listener, StandardAuthorizer without any rule. It
	// holds passwords by name and must name Admin. The shared node takes none.
	Users map[string]string
	// Heap is the largest heap in Java's notation; "" is 768m.
	Heap string
	// StartLimit bounds one start, fetching jars apart; 0 is 90 s.
	StartLimit time.Duration
	// StopLimit is how long a stop may take before the node is killed; 0 is 20 s.
	StopLimit time.Duration
}

func (o Options) withDefaults() (Options, error) {
	cache, err := resolveCache(o.Cache)
	if err != nil {
		return o, err
	}
	o.Cache = cache
	if o.Port < 0 || o.Port > 65535 {
		return o, fmt.Errorf("port %d is not within 0 to 65535", o.Port)
	}
	if o.Heap == "" {
		o.Heap = defaultHeap
	}
	if o.StartLimit <= 0 {
		o.StartLimit = defaultStartLimit
	}
	if o.StopLimit <= 0 {
		o.StopLimit = defaultStopLimit
	}
	return o, nil
}

// Node is a running, stopped or killed Kafka. Its methods are not for
// concurrent use, Addr apart.
type Node struct {
	options Options
	dir     string
	// jarsFromNode is the path of the jars from dir.
	jarsFromNode string
	ports        ports
	clusterID    string
	process      *process
	owner        *os.File // nil for the shared node
	secured      *Secured // nil for an open one
}

// Start formats and starts a private node. Whoever called it closes it.
//
// Its errors: ErrNoJava, ErrNoMaven, ErrPortInUse for a Port that was asked for,
// the context's, and else the end of Kafka's log.
func Start(ctx context.Context, o Options) (*Node, error) {
	o, err := o.withDefaults()
	if err != nil {
		return nil, err
	}
	n, err := claim(ctx, o)
	if err != nil {
		return nil, err
	}
	if err := n.bringUp(ctx); err != nil {
		return nil, errors.Join(err, n.Close())
	}
	return n, nil
}

// claim clears what dead owners left and makes a folder that this process owns.
func claim(ctx context.Context, o Options) (*Node, error) {
	unlock, err := lockCache(ctx, o.Cache)
	if err != nil {
		return nil, err
	}
	defer unlock()
	if err := clearLeftovers(o.Cache); err != nil {
		return nil, err
	}
	jars, err := jarsLocked(ctx, o.Cache)
	if err != nil {
		return nil, err
	}
	private := filepath.Join(o.Cache, "private")
	if err := os.MkdirAll(private, 0o755); err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp(private, "")
	if err != nil {
		return nil, err
	}
	owner, ok, err := tryLock(filepath.Join(dir, "owner.lock"))
	if err != nil {
		return nil, err
	}
	if !ok {
		return nil, fmt.Errorf("%s was just made and is locked", dir)
	}
	return newNode(o, dir, jars, owner)
}

func newNode(o Options, dir, jars string, owner *os.File) (*Node, error) {
	fromNode, err := filepath.Rel(dir, jars)
	if err != nil {
		return nil, err
	}
	return &Node{options: o, dir: dir, jarsFromNode: fromNode, owner: owner}, nil
}

// bringUp formats and launches, again on other ports while free ones are taken in between.
func (n *Node) bringUp(ctx context.Context) error {
	for try := 1; ; try++ {
		p, err := freePorts(n.options.Port)
		if err != nil {
			return err
		}
		n.ports = p
		err = n.formatAndLaunch(ctx)
		if errors.Is(err, ErrPortInUse) && n.options.Port == 0 && try < portTries {
			continue
		}
		return err
	}
}

func (n *Node) formatAndLaunch(ctx context.Context) error {
	for _, name := range []string{dataDir, "kafka.log", "address"} {
		if err := os.RemoveAll(filepath.Join(n.dir, name)); err != nil {
			return err
		}
	}
	more := n.options.Properties
	var format []string
	if n.options.Users != nil {
		var err error
		if n.secured, err = newSecured(n.dir, n.options.Users); err != nil {
			return fmt.Errorf("securing Kafka: %w", err)
		}
		more, format = n.secured.properties(n.ports), n.secured.formatArgs()
		maps.Copy(more, n.options.Properties)
	}
	text := properties(n.ports, more)
	if err := os.WriteFile(n.propertiesFile(), []byte(text), 0o644); err != nil {
		return err
	}
	n.clusterID = newClusterID()
	bin, err := java()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, n.options.StartLimit)
	defer cancel()
	// A run of less than a second earns nothing from the optimising compiler.
	args := append([]string{"-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC"}, n.javaArgs("128m",
		"kafka.tools.StorageTool", append([]string{"format", "-t", n.clusterID, "-c", n.propertiesFile()}, format...)...)...)
	cmd := exec.CommandContext(ctx, bin, args...)
	cmd.Dir = n.dir
	out, err := cmd.CombinedOutput()
	if err != nil {
		return fmt.Errorf("formatting Kafka's storage: %w\n%s", errors.Join(err, ctx.Err()), out)
	}
	return n.launch(ctx)
}

// launch starts the process on the folder as it is and waits until it answers.
func (n *Node) launch(ctx context.Context) error {
	p, err := spawn(n.dir, n.javaArgs(n.options.Heap, "kafka.Kafka", n.propertiesFile()))
	if err != nil {
		return err
	}
	n.process = p
	var client []kgo.Opt
	if n.secured != nil {
		client = n.secured.Client(Admin)
	}
	if err := waitReady(ctx, p, n.Addr(), n.clusterID, client...); err != nil {
		killed := p.kill()
		log := n.logEnd()
		if errors.Is(err, errDied) && bytes.Contains(log, []byte("Address already in use")) {
			err = fmt.Errorf("%w: %s or %s", ErrPortInUse, loopback(n.ports.broker), loopback(n.ports.controller))
		}
		return errors.Join(fmt.Errorf("starting Kafka: %w\n%s", err, log), killed)
	}
	return os.WriteFile(filepath.Join(n.dir, "address"), []byte(n.Addr()+"\n"), 0o644)
}

// javaArgs gives the class path relative to the node's folder: a class path is a
// list too, and the path of a checkout may hold a colon. The path of server.properties
// among args stays absolute, since it is what tells the process from others.
func (n *Node) javaArgs(heap, main string, args ...string) []string {
	var secure []string
	if n.secured != nil {
		secure = n.secured.javaArgs()
	}
	return append(append(secure,
		"-Xmx"+heap,
		"-XX:+ExitOnOutOfMemoryError",
		"-Djava.awt.headless=true",
		"-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
		"-Dorg.slf4j.simpleLogger.showDateTime=true",
		"-Dorg.slf4j.simpleLogger.dateTimeFormat=HH:mm:ss.SSS",
		"-cp", filepath.Join(n.jarsFromNode, "*"),
		main,
	), args...)
}

func (n *Node) propertiesFile() string { return filepath.Join(n.dir, "server.properties") }

func (n *Node) logEnd() []byte {
	log, err := os.ReadFile(filepath.Join(n.dir, "kafka.log"))
	if err != nil {
		return nil
	}
	return log[max(0, len(log)-logTail):]
}

// Addr is the bootstrap address, host:port. It stays the same across a Restart.
func (n *Node) Addr() string { return loopback(n.ports.broker) }

// Secured is what a client needs of a node with Options.Users, nil of another.
func (n *Node) Secured() *Secured { return n.secured }

// Dir is the node's folder; kafka.log in it is what to read when something is odd.
func (n *Node) Dir() string { return n.dir }

// Stop shuts the node down in order and keeps its data; it kills it when that
// takes longer than StopLimit or ctx ends, and says so with an error. A node
// that does not run is left as it is.
func (n *Node) Stop(ctx context.Context) error {
	if n.process == nil {
		return nil
	}
	clean, err := n.process.stop(ctx, n.options.StopLimit)
	if err != nil {
		return err
	}
	n.process = nil
	if !clean {
		return fmt.Errorf("Kafka at %s did not stop by itself and was killed\n%s", n.Addr(), n.logEnd())
	}
	return nil
}

// Kill ends the node as a crash would and keeps its data. What the operating
// system holds of its files survives; it is no power loss.
func (n *Node) Kill() error {
	if n.process == nil {
		return nil
	}
	if err := n.process.kill(); err != nil {
		return err
	}
	n.process = nil
	return nil
}

// Restart starts a stopped or killed node again on the same address and data. After
// a Kill it takes some seconds longer: the controller still holds the broker's old
// registration until broker.session.timeout.ms, 9 s unless Properties say otherwise.
func (n *Node) Restart(ctx context.Context) error {
	if n.process != nil {
		return errors.New("restart of a node that was neither stopped nor killed")
	}
	ctx, cancel := context.WithTimeout(ctx, n.options.StartLimit)
	defer cancel()
	return n.launch(ctx)
}

// Close stops the node and removes its folder. A second Close does nothing.
func (n *Node) Close() error {
	if n.owner == nil {
		return nil
	}
	stopped := n.Stop(context.Background())
	if n.process != nil {
		return stopped // it still runs: leave the folder for the next start to clear
	}
	removed := os.RemoveAll(n.dir)
	closed := n.owner.Close()
	n.owner = nil
	return errors.Join(stopped, removed, closed)
}

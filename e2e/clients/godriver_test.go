package clients

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hamba/avro/v2"
	"github.com/hamba/avro/v2/registry"
)

// driverEnv makes the test binary a driver of the Go client that it names.
const driverEnv = "TIDEMARK_TEST_DRIVER"

const (
	endKey    = "end"
	session   = 6 * time.Second // the shortest that a real broker allows by default
	heartbeat = 300 * time.Millisecond
)

// goClient is a client for Go. A partition that it does not set is the one that
// its partitioner, told as docs/clients.md says, chooses.
type goClient interface {
	module() string
	produce(ctx context.Context, broker, topic string, orders []keyed) error
	consume(ctx context.Context, broker, topic string, partitions int, each func(read) error) error
	member(ctx context.Context, broker, topic, group string) error
	admin(ctx context.Context, broker, topic string) (administered, error)
}

var goClients = map[string]goClient{"franz": franz{}, "sarama": saramaClient{}, "kafkago": kafkago{}}

type keyed struct {
	key   string
	value []byte
}

// read is a record as drivers print it.
type read struct {
	Partition int32   `json:"partition"`
	Offset    int64   `json:"offset"`
	Key       string  `json:"key"`
	Value     trigger `json:"value,omitzero"`
	value     []byte
}

// trigger is what drivers print of a decoded trigger.
type trigger struct {
	TriggerID  string `json:"trigger_id" avro:"trigger_id"`
	CustomerID string `json:"customer_id" avro:"customer_id"`
	Rule       string `json:"rule" avro:"rule"`
	Status     string `json:"status" avro:"status"`
	Episode    int64  `json:"episode" avro:"episode"`
}

type administered struct {
	Partitions int    `json:"partitions"`
	Retention  string `json:"retention"`
	Listed     bool   `json:"listed"`
	Altered    string `json:"altered"`
}

// order is the contract's order event for hamba/avro.
type order struct {
	EventID     string            `json:"event_id" avro:"event_id"`
	CustomerID  string            `json:"customer_id" avro:"customer_id"`
	OrderID     string            `json:"order_id" avro:"order_id"`
	Type        string            `json:"type" avro:"type"`
	OccurredAt  int64             `json:"occurred_at" avro:"occurred_at"`
	AmountMinor int64             `json:"amount_minor" avro:"amount_minor"`
	Currency    string            `json:"currency" avro:"currency"`
	Channel     string            `json:"channel" avro:"channel"`
	Items       []orderItem       `json:"items" avro:"items"`
	Attributes  map[string]string `json:"attributes" avro:"attributes"`
}

type orderItem struct {
	SKU         string `json:"sku" avro:"sku"`
	Category    string `json:"category" avro:"category"`
	Quantity    int    `json:"quantity" avro:"quantity"`
	AmountMinor int64  `json:"amount_minor" avro:"amount_minor"`
}

var stdout sync.Mutex

func say(v any) {
	stdout.Lock()
	defer stdout.Unlock()
	_ = json.NewEncoder(os.Stdout).Encode(v)
}

func TestMain(m *testing.M) {
	if name := os.Getenv(driverEnv); name != "" {
		ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
		if err := drive(ctx, goClients[name], os.Args[1:]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		cancel()
		os.Exit(0)
	}
	code := m.Run()
	removeBuilt()
	os.Exit(code)
}

func drive(ctx context.Context, c goClient, args []string) error {
	switch args[0] {
	case "version":
		out, err := exec.CommandContext(ctx, "go", "list", "-m", "-f", "{{.Version}}", c.module()).Output()
		say(map[string]string{"version": strings.TrimSpace(string(out))})
		return err
	case "produce":
		orders, err := encode(ctx, args[2], args[3], args[4])
		if err != nil {
			return err
		}
		if err := c.produce(ctx, args[1], args[3], orders); err != nil {
			return err
		}
		say(map[string]int{"taken": len(orders)})
	case "consume":
		client, err := registry.NewClient(args[2])
		if err != nil {
			return err
		}
		decoder := registry.NewDecoder(client, registry.WithAPI(avro.DefaultConfig))
		n, err := strconv.Atoi(args[4])
		if err != nil {
			return err
		}
		return c.consume(ctx, args[1], args[3], n, func(r read) error {
			if err := decoder.Decode(ctx, r.value, &r.Value); err != nil {
				return fmt.Errorf("offset %d: %w", r.Offset, err)
			}
			say(r)
			return nil
		})
	case "member":
		return c.member(stdinEnds(ctx), args[1], args[2], args[3])
	case "admin":
		ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
		defer cancel()
		a, err := c.admin(ctx, args[1], args[2])
		if err == nil {
			say(a)
		}
		return err
	}
	return nil
}

// settled asks again and again until what is seen is good: a broker of Apache
// Kafka answers before it shows what a change has made.
func settled[T any](ctx context.Context, look func() (T, error), good func(T) bool) (seen T, err error) {
	for {
		if seen, err = look(); err == nil && good(seen) {
			return seen, nil
		}
		select {
		case <-ctx.Done():
			return seen, errors.Join(ctx.Err(), err)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

func anything(string) bool { return true }

// encode reads orders from stdin and encodes them with the id that the registry gives.
func encode(ctx context.Context, url, topic, schemaFile string) (out []keyed, err error) {
	text, err := os.ReadFile(schemaFile)
	if err != nil {
		return nil, err
	}
	client, err := registry.NewClient(url)
	if err != nil {
		return nil, err
	}
	id, schema, err := client.CreateSchema(ctx, topic+"-value", string(text))
	if err != nil {
		return nil, err
	}
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		var o order
		if err := json.Unmarshal(lines.Bytes(), &o); err != nil {
			return nil, err
		}
		body, err := avro.Marshal(schema, o)
		if err != nil {
			return nil, err
		}
		value := append([]byte{0, byte(id >> 24), byte(id >> 16), byte(id >> 8), byte(id)}, body...)
		out = append(out, keyed{o.CustomerID, value})
	}
	return out, lines.Err()
}

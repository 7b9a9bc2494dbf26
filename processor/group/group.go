package group

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	kafka "github.com/segmentio/kafka-go"
)

// Config of the membership.
type Config struct {
	Brokers                                    []string
	Group                                      string
	Topics                                     []string // whose partition numbers are the tasks
	Dialer                                     *kafka.Dialer
	Session, Heartbeat, Rebalance, JoinBackoff time.Duration
	Owned                                      func() []int32         // what this process runs now; told to the others so that it keeps it
	Warm                                       func() map[int32]int64 // copies of tasks on this disk and where they stand; may be nil
	Host                                       string                 // this machine; standbys are placed on another if there is one
	Journal                                    string                 // the journal's topic, by whose partitions standbys are assigned; "": none are
	Standbys                                   int                    // copies of each task that follow it elsewhere
	OnError                                    func(error)            // told of what is tried again; may be nil
}

// Assignment is what this process should own until the next one.
type Assignment struct {
	Generation int32
	Member     string
	Tasks      []int32
	Standbys   []int32 // tasks of others whose journal this process should follow
	// Commit stores offsets in the group, for tools that show lag; nothing reads them here.
	Commit func(offsets map[string]map[int]int64) error
	// Done is closed when the group no longer vouches for it: it talks anew, or the
	// membership was lost. Nil: it holds for ever.
	Done <-chan struct{}
}

// Run keeps the membership until ctx ends, and calls on with every assignment.
// on must not block: tasks go on beside it. Between two assignments, while the
// group talks, tasks keep what they have.
func Run(ctx context.Context, cfg Config, on func(Assignment)) error {
	quiet := kafka.LoggerFunc(func(string, ...any) {})
	topics := cfg.Topics
	if cfg.Journal != "" { // a member is told only of partitions of topics that it subscribes to
		topics = slices.Concat(topics, []string{cfg.Journal})
	}
	for ctx.Err() == nil {
		g, err := kafka.NewConsumerGroup(kafka.ConsumerGroupConfig{
			ID: cfg.Group, Brokers: cfg.Brokers, Dialer: cfg.Dialer, Topics: topics,
			GroupBalancers:    []kafka.GroupBalancer{&sticky{owned: cfg.Owned, warm: cfg.Warm, host: cfg.Host, journal: cfg.Journal, copies: cfg.Standbys}},
			HeartbeatInterval: cfg.Heartbeat, SessionTimeout: cfg.Session, RebalanceTimeout: cfg.Rebalance,
			JoinGroupBackoff: cfg.JoinBackoff, StartOffset: kafka.FirstOffset, Logger: quiet, ErrorLogger: quiet,
		})
		if err != nil {
			return fmt.Errorf("group: %w", err)
		}
		err = follow(ctx, g, cfg, on)
		closeErr := g.Close()
		if ctx.Err() != nil {
			return nil
		}
		if cfg.OnError != nil {
			cfg.OnError(errors.Join(err, closeErr))
		}
		select {
		case <-ctx.Done():
		case <-time.After(cfg.JoinBackoff):
		}
	}
	return nil
}

func follow(ctx context.Context, g *kafka.ConsumerGroup, cfg Config, on func(Assignment)) error {
	for {
		gen, err := g.Next(ctx)
		if err != nil {
			if ctx.Err() != nil {
				return nil
			}
			if errors.Is(err, kafka.ErrGroupClosed) {
				return err
			}
			if cfg.OnError != nil {
				cfg.OnError(err)
			}
			continue
		}
		done := make(chan struct{})
		gen.Start(func(ctx context.Context) {
			<-ctx.Done()
			close(done)
		})
		a := Assignment{Generation: gen.ID, Member: gen.MemberID, Commit: gen.CommitOffsets, Done: done}
		seen := map[int32]bool{}
		for _, topic := range cfg.Topics {
			for _, p := range gen.Assignments[topic] {
				if t := int32(p.ID); !seen[t] {
					seen[t] = true
					a.Tasks = append(a.Tasks, t)
				}
			}
		}
		for _, p := range gen.Assignments[cfg.Journal] {
			if t := int32(p.ID); cfg.Journal != "" && !seen[t] {
				a.Standbys = append(a.Standbys, t)
			}
		}
		on(a)
	}
}

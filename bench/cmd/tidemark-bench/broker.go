package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"

	"tidemark/embedded/broker"
	"tidemark/embedded/registry"
)

// brokerCmd is a process that holds the embedded broker and the registry, or
// the registry alone beside another broker. It prints where they are and ends
// with its standard input.
type brokerCmd struct {
	Dir   string `help:"Folder of the embedded broker."`
	Kafka string `help:"Another broker: only the registry is started."`
}

// brokerAddrs is what the broker's process prints once it serves.
type brokerAddrs struct {
	Kafka    string `json:"kafka"`
	Registry string `json:"registry"`
}

func (c *brokerCmd) Run(ctx context.Context) error {
	ctx, cancel := untilInputEnds(ctx)
	defer cancel()
	a := brokerAddrs{Kafka: c.Kafka}
	if a.Kafka == "" {
		b, err := broker.Start(broker.Options{Dir: c.Dir, Log: func(level, msg string) { fmt.Fprintln(os.Stderr, "broker:", level+":", msg) }})
		if err != nil {
			return err
		}
		defer b.Close()
		a.Kafka = b.Addr()
	}
	r, err := registry.Start(ctx, registry.Options{Brokers: []string{a.Kafka}})
	if err != nil {
		return err
	}
	defer r.Close()
	a.Registry = r.URL()
	if err := json.NewEncoder(os.Stdout).Encode(a); err != nil {
		return err
	}
	<-ctx.Done()
	return nil
}

// untilInputEnds is done when standard input is closed: a child must not
// outlive the bench, however that ends.
func untilInputEnds(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(ctx)
	go func() {
		var b [64]byte
		for {
			if _, err := os.Stdin.Read(b[:]); err != nil {
				cancel()
				return
			}
		}
	}()
	return ctx, cancel
}

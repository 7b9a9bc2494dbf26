package main

import (
	"bufio"
	"context"
	"io"
	"os"

	"tidemark/bench/orders"
	"tidemark/ingest"
	"tidemark/schemas"
)

// load says which orders are generated.
type load struct {
	Seed    uint64  `help:"Of the generator." default:"1"`
	Events  int     `help:"Orders that are measured." default:"2000000"`
	Zipf    float64 `help:"Exponent, above 1, of a skewed choice of customers; 0: all alike." default:"0"`
	Refunds float64 `help:"Share of refunds." default:"0.01"`
	Repeats float64 `help:"Share of events that come twice." default:"0.001"`
}

func (l load) config(customers int) orders.Config {
	return orders.Config{Seed: l.Seed, Customers: customers, Events: l.Events, Warm: true, Zipf: l.Zipf, Refunds: l.Refunds, Repeats: l.Repeats}
}

type generateCmd struct {
	load
	Customers count `help:"How many." default:"100k"`
}

func (g *generateCmd) Run(context.Context) error {
	return writeJSONL(os.Stdout, g.config(int(g.Customers)))
}

func writeJSONL(w io.Writer, cfg orders.Config) error {
	g, err := orders.New(cfg)
	if err != nil {
		return err
	}
	out := bufio.NewWriterSize(w, 1<<20)
	var e schemas.Event
	var line []byte
	for g.Next(&e) {
		if line, err = ingest.AppendJSONL(line[:0], &e); err != nil {
			return err
		}
		if _, err = out.Write(line); err != nil {
			return err
		}
	}
	return out.Flush()
}

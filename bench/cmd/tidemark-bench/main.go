// Command tidemark-bench measures `tidemark run` and `tidemark replay` from
// outside: the binary that users run, as a process of its own, with the broker
// and the reader of the triggers in other processes. See bench/README.md.
//
// Each scenario is one file. People's output goes to stderr and, for the table,
// to stdout; the record is JSON. Exit code 0: measured, 1: failed, 2: wrong use.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/alecthomas/kong"
)

type cli struct {
	Suite    suiteCmd    `cmd:"" help:"Measure, print a table and write a record."`
	Generate generateCmd `cmd:"" help:"Write generated orders as JSON Lines to stdout."`
	Table    tableCmd    `cmd:"" help:"Print the table of records that were written before."`
	Broker   brokerCmd   `cmd:"" hidden:"" help:"The broker's process."`
	Consume  consumeCmd  `cmd:"" hidden:"" help:"The reader's process."`
}

func main() {
	var c cli
	kctx := kong.Parse(&c, kong.Name("tidemark-bench"), kong.Description("Measures tidemark."), kong.UsageOnError(),
		kong.Exit(func(code int) {
			if code != 0 {
				code = 2
			}
			os.Exit(code)
		}))
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	kctx.BindTo(ctx, (*context.Context)(nil))
	err := kctx.Run()
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "tidemark-bench:", err)
		os.Exit(1)
	}
}

// Command tidemark keeps the lifecycle of every customer of a business and
// publishes, the moment it becomes true, what marketing has to know.
//
// Each verb is one file. Machine output goes to stdout, people's to stderr.
// Exit code 0: done, 1: failed, 2: wrong use.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/alecthomas/kong"
)

type cli struct {
	Demo     demoCmd     `cmd:"" help:"Run everything on real data: embedded broker, registry, processor."`
	Dev      devCmd      `cmd:"" help:"The same without data: a broker, a registry and a processor to develop against."`
	Run      runCmd      `cmd:"" help:"Process events from a Kafka cluster."`
	Publish  publishCmd  `cmd:"" help:"Publish events from files: CSV with a mapping, or JSON Lines."`
	Tail     tailCmd     `cmd:"" help:"Read triggers, decoded, as JSON Lines or a table."`
	DLQ      dlqCmd      `cmd:"" name:"dlq" help:"Look at dead letters and put them back."`
	Topics   topicsCmd   `cmd:"" help:"Create or check the topics of an app."`
	Replay   replayCmd   `cmd:"" help:"Files in, triggers out as JSON Lines; needs no Kafka."`
	Fit      fitCmd      `cmd:"" help:"Parameters from a history: churn models, inflection points, tiers, the conversion window."`
	State    stateCmd    `cmd:"" help:"Look at stores and their checkpoints; save, verify and restore them."`
	Pause    pauseCmd    `cmd:"" help:"Hold triggers back: of a rule, a campaign, a channel, or all."`
	Resume   resumeCmd   `cmd:"" help:"Let them go again; send what was held, or discard it."`
	Playbook playbookCmd `cmd:"" help:"Check a playbook; print its JSON Schema."`
	Conf     configCmd   `cmd:"" name:"config" help:"Check or show a configuration; print its JSON Schema or an example."`
	Health   healthCmd   `cmd:"" help:"Ask the process of a configuration on this machine whether it lives; for health checks."`
	Version  versionCmd  `cmd:"" help:"Print version, engine and formats."`
}

// usageError makes exit code 2.
type usageError struct{ err error }

func (u usageError) Error() string { return u.err.Error() }
func (u usageError) Unwrap() error { return u.err }

func main() {
	var c cli
	usage := kong.ShortUsageOnError() // the error stays in sight
	if len(os.Args) == 1 {
		usage = kong.UsageOnError()
	}
	parser := kong.Must(&c, kong.Name("tidemark"),
		kong.Description("The lifecycle of every customer, told the moment it changes."),
		usage, kong.Exit(func(code int) {
			if code != 0 {
				code = 2
			}
			os.Exit(code)
		}))
	kctx, err := parser.Parse(os.Args[1:])
	if err != nil {
		parser.FatalIfErrorf(err)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second signal ends the process at once
	kctx.BindTo(ctx, (*context.Context)(nil))
	err = kctx.Run()
	stop()
	if err == nil {
		return
	}
	fmt.Fprintln(os.Stderr, "tidemark:", err)
	var u usageError
	if errors.As(err, &u) {
		os.Exit(2)
	}
	os.Exit(1)
}

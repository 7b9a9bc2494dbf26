package main

import (
	"cmp"
	"context"
	"errors"
	"os"

	"tidemark/processor/core"
	"tidemark/processor/runtime"
)

// brakeArgs say what is paused or resumed.
type brakeArgs struct {
	connection
	What   string `arg:"" help:"rule, campaign, channel or all." enum:"rule,campaign,channel,all"`
	Name   string `arg:"" optional:"" help:"Which; not with all."`
	Reason string `help:"Why; it stands in the control topic."`
}

type pauseCmd struct{ brakeArgs }

type resumeCmd struct {
	brakeArgs
	Send    bool `help:"Send what was held, as of now." xor:"fate" required:""`
	Discard bool `help:"Tell what was held to suppressed-triggers alone." xor:"fate" required:""`
}

func (c *pauseCmd) Run(ctx context.Context) error {
	return c.brake(ctx, core.ControlPause, false, "paused")
}

func (c *resumeCmd) Run(ctx context.Context) error {
	return c.brake(ctx, core.ControlResume, c.Send, "resumed")
}

func (c *brakeArgs) brake(ctx context.Context, kind string, send bool, done string) error {
	switch {
	case c.What == core.PauseAll && c.Name != "":
		return usageError{errors.New("all takes no name")}
	case c.What != core.PauseAll && c.Name == "":
		return usageError{errors.New(c.What + " needs a name, such as `tidemark pause " + c.What + " NAME`")}
	}
	o, err := c.open(true)
	if err != nil {
		return err
	}
	defer o.close()
	host, _ := os.Hostname()
	rc := runtime.Config{App: o.config.App, Instance: o.config.Instance, Brokers: o.config.Kafka.Brokers, Transport: o.transport, Topics: o.topics, Registry: o.registry}
	b := core.Brake{Scope: c.What, Name: c.Name, Reason: c.Reason, Send: send}
	if err := runtime.Brake(ctx, rc, kind, b, kind+"@"+cmp.Or(host, "unknown")); err != nil {
		return refused(err)
	}
	say("%s: %s %s; it stands in %s, and every task that runs takes it at once", done, c.What, c.Name, o.topics.Control)
	return nil
}

package main

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"strings"
	"time"

	"tidemark/playbook"
	"tidemark/processor/runtime"
)

type playbookApplyCmd struct {
	connection
	DryRun bool          `help:"Only say what would change."`
	Wait   time.Duration `help:"How long to wait until every task has taken it; 0: do not wait." default:"1m"`
	File   string        `arg:"" help:"The playbook."`
}

func (c *playbookApplyCmd) Run(ctx context.Context) error {
	pb, err := playbook.Load(c.File)
	if err != nil {
		return usageError{err}
	}
	o, err := c.open(true)
	if err != nil {
		return err
	}
	defer o.close()
	host, _ := os.Hostname()
	rc := runtime.Config{App: o.config.App, Instance: o.config.Instance, Brokers: o.config.Kafka.Brokers, Transport: o.transport, Topics: o.topics, Registry: o.registry}
	a, err := runtime.ApplyPlaybook(ctx, rc, runtime.ApplyOptions{Playbook: pb, By: "apply@" + cmp.Or(host, "unknown"), DryRun: c.DryRun, Wait: c.Wait, Told: tellDifference})
	switch {
	case err != nil:
		return refused(err)
	case c.DryRun:
		say("nothing was written: --dry-run")
	case c.Wait <= 0:
		say("%s stands in the control topic; each task takes it when it comes to it", a.Now)
	default:
		say("%s is in force in all %d tasks", a.Now, a.Tasks)
	}
	return nil
}

// tellDifference prints what another playbook changes.
func tellDifference(a *runtime.Applied) {
	if a.Was == a.Now {
		fmt.Printf("in force already: %s\n", a.Now)
		return
	}
	fmt.Printf("in force: %s\nnew:      %s\n", a.Was, a.Now)
	d := &a.Difference
	for _, l := range []struct {
		what  string
		rules []string
	}{{"added", d.Added}, {"changed", d.Changed}, {"removed", d.Removed}} {
		if len(l.rules) > 0 {
			fmt.Printf("%-9s %s\n", l.what+":", strings.Join(l.rules, ", "))
		}
	}
	switch {
	case len(d.Missing) > 0:
	case len(d.Added)+len(d.Changed) > 0:
		fmt.Println("who qualifies already is armed by the added and changed rules and gets no trigger; later changes fire")
	default:
		fmt.Println("no rule is added or changed: nobody is armed anew")
	}
}

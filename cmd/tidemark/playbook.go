package main

import (
	"fmt"
	"os"

	"tidemark/playbook"
)

type playbookCmd struct {
	Check  playbookCheckCmd  `cmd:"" help:"Check playbooks; every mistake with line and column."`
	Test   playbookTestCmd   `cmd:"" help:"Run scripts: events in, expected triggers out."`
	Apply  playbookApplyCmd  `cmd:"" help:"Put a playbook in force in an app that runs; say first what it changes."`
	Schema playbookSchemaCmd `cmd:"" help:"Print the JSON Schema of playbooks, for editors."`
}

type playbookCheckCmd struct {
	Format string   `help:"text: errors as a compiler prints them; json: one object a file." enum:"text,json" default:"text"`
	Files  []string `arg:"" help:"The playbooks."`
}

func (c *playbookCheckCmd) Run() error {
	var last error
	for _, file := range c.Files {
		out := checked{File: file}
		pb, err := playbook.Load(file)
		if err == nil {
			out.Version = pb.Version
			if c.Format == "text" {
				fmt.Printf("%s: good: %s, version %s, clock %s, %d tiers, %d rfm, %d churn, %d recall\n",
					file, pb.Name, pb.Version, clockName(pb), len(pb.Tiers), len(pb.RFM), len(pb.Churn), len(pb.Recall))
				for _, name := range pb.Unread() {
					fmt.Printf("%s: note: no rule reads the %s; it is published all the same\n", file, name)
				}
			}
		}
		if err := out.finish(c.Format, err); err != nil {
			if last != nil {
				say("tidemark: %v", last)
			}
			last = err
		}
	}
	return last
}

type playbookSchemaCmd struct {
	File string `arg:"" optional:"" help:"Where to write it; default: standard output."`
}

func (c *playbookSchemaCmd) Run() error {
	if c.File == "" {
		_, err := os.Stdout.Write(playbook.Schema())
		return err
	}
	return os.WriteFile(c.File, playbook.Schema(), 0o644)
}

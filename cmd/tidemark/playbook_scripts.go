package main

import (
	"fmt"
	"os"

	"tidemark/playbook"
	"tidemark/processor/replay/script"
)

type playbookTestCmd struct {
	Rewrite  bool     `help:"Write what the playbook says into the scripts, instead of comparing. Read the difference."`
	Playbook string   `arg:"" help:"The playbook."`
	Scripts  []string `arg:"" help:"Scripts: events in, expected triggers out; see docs/playbook.md."`
}

// errScripts: a script expects something else than the playbook says.
var errScripts = fmt.Errorf("the playbook does not say what the scripts expect")

func (c *playbookTestCmd) Run() error {
	pb, err := playbook.Load(c.Playbook)
	if err != nil {
		return err
	}
	failed := false
	for _, file := range c.Scripts {
		text, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		blocks, err := script.Run(pb, string(text))
		if err != nil {
			return fmt.Errorf("%s: %w", file, err)
		}
		if c.Rewrite {
			if err := os.WriteFile(file, []byte(script.Format(blocks)), 0o644); err != nil {
				return err
			}
			continue
		}
		good := 0
		for i := range blocks {
			b := &blocks[i]
			if b.Same() {
				good++
				continue
			}
			failed = true
			fmt.Printf("%s:%d: differs\n", file, b.Line)
			for _, l := range b.Text {
				fmt.Printf("    %s\n", l)
			}
			fmt.Printf("  expected:\n")
			for _, l := range b.Want {
				fmt.Printf("    %s\n", l)
			}
			fmt.Printf("  the playbook says:\n")
			for _, l := range b.Got {
				fmt.Printf("    %s\n", l)
			}
		}
		fmt.Printf("%s: %d of %d blocks as expected\n", file, good, len(blocks))
	}
	if failed {
		return errScripts
	}
	return nil
}

package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"

	"tidemark/config"
	"tidemark/playbook"
)

type configCmd struct {
	Check   configCheckCmd   `cmd:"" help:"Check a configuration, and the playbook that it names."`
	Show    configShowCmd    `cmd:"" help:"Print every value in force and where it came from; secrets are masked."`
	Schema  configSchemaCmd  `cmd:"" help:"Print the JSON Schema of the file, for editors."`
	Example configExampleCmd `cmd:"" help:"Print a file with every key and its default."`
}

type configCheckCmd struct {
	Format string `help:"text: errors as a compiler prints them; json: one object." enum:"text,json" default:"text"`
	File   string `arg:"" optional:"" help:"The file; without one the environment alone is checked."`
}

// checked is what the check verbs print with --format json; its names never change.
type checked struct {
	File     string         `json:"file"`
	Good     bool           `json:"good"`
	Version  string         `json:"version,omitempty"`
	Problems []checkProblem `json:"problems"`
	Warnings []string       `json:"warnings"`
}

type checkProblem struct {
	File     string `json:"file"`
	Line     int    `json:"line"`   // 1-based; 0 where it has none
	Column   int    `json:"column"` // 1-based; 0 where it has none
	Variable string `json:"variable,omitempty"`
	Field    string `json:"field"`
	Problem  string `json:"problem"`
	Allowed  string `json:"allowed"`
	Cure     string `json:"cure,omitempty"`
}

// problemsOf turns the errors of configurations and playbooks into one form.
func problemsOf(err error, file string) []checkProblem {
	list := []checkProblem{}
	ce, pe := new(config.Errors), new(playbook.Errors)
	switch {
	case err == nil:
	case errors.As(err, &ce):
		for _, p := range ce.Problems {
			list = append(list, checkProblem{p.File, p.Line, p.Column, p.Variable, p.Field, p.Problem, p.Allowed, p.Cure})
		}
	case errors.As(err, &pe):
		for _, p := range pe.Problems {
			list = append(list, checkProblem{File: pe.File, Line: p.Line, Column: p.Column, Field: p.Path, Problem: p.Problem, Allowed: p.Allowed})
		}
	default:
		list = append(list, checkProblem{File: file, Problem: err.Error()})
	}
	return list
}

// finish prints what a check found; wrong files are exit code 2. Problems go to
// stderr as text, since main prints errors there, and to stdout as JSON.
func (c *checked) finish(format string, err error) error {
	c.Good, c.Problems = err == nil, problemsOf(err, c.File)
	if format == "json" {
		if c.Warnings == nil {
			c.Warnings = []string{}
		}
		enc := json.NewEncoder(os.Stdout)
		enc.SetEscapeHTML(false)
		if e := enc.Encode(c); e != nil {
			return e
		}
		if err != nil {
			return usageError{fmt.Errorf("%s: %d problems", c.File, len(c.Problems))}
		}
		return nil
	}
	if err != nil {
		// One problem a line, each with its place first, as editors read it.
		say("%v", err)
		return usageError{fmt.Errorf("%s: %d problems", c.File, len(c.Problems))}
	}
	return nil
}

func (c *configCheckCmd) Run() error {
	out := checked{File: c.File}
	if c.File == "" {
		out.File = "environment"
	}
	conf, err := config.Load(c.File, os.Environ())
	if err == nil {
		out.Warnings = conf.Warnings()
		if conf.Playbook != "" {
			var pb *playbook.Playbook
			if pb, err = playbook.Load(conf.Playbook); err == nil {
				out.Version = pb.Version
				err = conf.CheckClock(clockName(pb))
			}
		}
	}
	if c.Format == "text" {
		for _, w := range out.Warnings {
			say("%s: warning: %s", out.File, w)
		}
		if err == nil {
			fmt.Printf("%s: good\n", out.File)
		}
	}
	return out.finish(c.Format, err)
}

type configShowCmd struct {
	File string `arg:"" optional:"" help:"The file; without one the environment alone is read."`
}

func (c *configShowCmd) Run() error {
	conf, err := config.Load(c.File, os.Environ())
	if err != nil {
		out := checked{File: c.File}
		return out.finish("text", err)
	}
	fmt.Print(conf.Show())
	return nil
}

type configSchemaCmd struct{}

func (configSchemaCmd) Run() error {
	_, err := os.Stdout.Write(config.Schema())
	return err
}

type configExampleCmd struct{}

func (configExampleCmd) Run() error {
	_, err := os.Stdout.Write(config.Example())
	return err
}

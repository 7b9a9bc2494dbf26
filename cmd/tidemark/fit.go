package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"text/tabwriter"
	"time"

	"tidemark/examples"
	"tidemark/fit"
	"tidemark/ingest"
	"tidemark/playbook"
	"tidemark/schemas"
)

type fitCmd struct {
	Churn      fitChurnCmd      `cmd:"" help:"Fit all churn models, measure them on what came after, write a parameters file."`
	Inflection fitInflectionCmd `cmd:"" help:"Propose the two inflection points and the days of dormancy, with their curves."`
	Tiers      fitTiersCmd      `cmd:"" help:"Propose the thresholds of tiers from shares of customers, with what they would have done and cost."`
	Window     fitWindowCmd     `cmd:"" help:"Propose the golden conversion window of leads: until the daily chance falls below half its peak."`
}

// fitSource is where a fit's history comes from: as for replay, or an example.
type fitSource struct {
	Mapping  string   `help:"Mapping of the CSV files; without it the files are JSON Lines." type:"existingfile"`
	Playbook string   `help:"A playbook whose time zone counts days." type:"existingfile"`
	Zone     string   `help:"The time zone that counts days, if there is no playbook." default:"UTC"`
	Problems int      `help:"How many bad lines to pass over and report; -1: all." default:"0"`
	Format   string   `help:"text: tables; json: everything that was found, as one object." enum:"text,json" default:"text"`
	Sources  []string `arg:"" help:"Files of events, - for standard input, or one of the examples cdnow, cdnow-sample, online-retail."`
}

// fitExamples are the data sets that the binary carries.
var fitExamples = map[string][2]string{
	"cdnow":         {examples.CDNOW, examples.CDNOWMapping},
	"cdnow-sample":  {"data/cdnow/CDNOW_sample.txt.gz", "data/cdnow/cdnow-sample.mapping.yaml"},
	"online-retail": {examples.OnlineRetail, examples.OnlineRetailMapping},
}

// read gives every event to each, and says under what name it was read.
func (s *fitSource) read(ctx context.Context, each func(*schemas.Event)) (name string, zone *time.Location, err error) {
	if zone, err = time.LoadLocation(s.Zone); err != nil || s.Zone == "Local" || s.Zone == "" {
		return "", nil, usageError{fmt.Errorf("--zone: unknown time zone %q; want an IANA name such as Asia/Shanghai", s.Zone)}
	}
	if s.Playbook != "" {
		pb, err := playbook.Load(s.Playbook)
		if err != nil {
			return "", nil, usageError{err}
		}
		zone = pb.Zone
	}
	var mapping *ingest.Mapping
	if s.Mapping != "" {
		text, err := os.ReadFile(s.Mapping)
		if err != nil {
			return "", nil, usageError{err}
		}
		if mapping, err = ingest.ParseMapping(s.Mapping, text); err != nil {
			return "", nil, usageError{err}
		}
	}
	var sources []ingest.Source
	for _, f := range s.Sources {
		src := ingest.Source{Path: f, Mapping: mapping}
		if ex, ok := fitExamples[f]; ok && mapping == nil {
			if _, err := os.Stat(f); err != nil { // a file of that name comes first
				m, err := ingest.ReadMapping(examples.Data, ex[1])
				if err != nil {
					return "", nil, err
				}
				src = ingest.Source{Path: ex[0], FS: examples.Data, Mapping: m}
			}
		}
		if f == "-" {
			src.Reader, src.Path = os.Stdin, "stdin"
		} else if src.FS == nil {
			if _, err := os.Stat(f); err != nil {
				return "", nil, usageError{err}
			}
		}
		sources = append(sources, src)
	}
	events, err := ingest.Open(ctx, sources, ingest.Options{Zone: zone, MaxProblems: s.Problems})
	if err != nil {
		return "", nil, err
	}
	defer events.Close()
	for _, p := range events.Report().Problems {
		fmt.Fprintln(os.Stderr, p)
	}
	for {
		e, err := events.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return "", nil, err
		}
		each(e)
	}
	return strings.Join(s.Sources, " "), zone, nil
}

// history reads the orders by local days.
func (s *fitSource) history(ctx context.Context) (*fit.History, string, error) {
	zone, err := time.LoadLocation(s.Zone)
	if err != nil {
		zone = nil // read says so
	}
	if s.Playbook != "" {
		if pb, err := playbook.Load(s.Playbook); err == nil {
			zone = pb.Zone
		}
	}
	b := fit.NewBuilder(zone)
	name, _, err := s.read(ctx, b.Add)
	if err != nil {
		return nil, "", err
	}
	h, err := b.History()
	return h, name, err
}

func (s *fitSource) json(v any) error {
	e := json.NewEncoder(os.Stdout)
	e.SetIndent("", "  ")
	return e.Encode(v)
}

type fitChurnCmd struct {
	fitSource
	Horizon     string `help:"Within which time no order is what you fear, such as 13w; default: a quarter of the history, at most 39w."`
	CalibrateTo string `name:"calibrate-to" help:"Last day that the fits see; default: the last day less the horizon." placeholder:"DATE"`
	Model       string `help:"Whose block to print; default: the recommended one."`
	Out         string `help:"The parameters file to write, which a playbook names." short:"o"`
}

func (c *fitChurnCmd) Run(ctx context.Context) error {
	var o fit.ChurnOptions
	if c.Horizon != "" {
		d, err := playbook.ParseDuration(c.Horizon)
		if err != nil || d%schemas.Day != 0 || d <= 0 {
			return usageError{fmt.Errorf("--horizon: %q is no duration of whole days, such as 13w", c.Horizon)}
		}
		o.Horizon = int(d / schemas.Day)
	}
	if c.CalibrateTo != "" {
		t, err := time.Parse(time.DateOnly, c.CalibrateTo)
		if err != nil {
			return usageError{fmt.Errorf("--calibrate-to: %q is no date such as 2024-01-31", c.CalibrateTo)}
		}
		o.Cut = int(t.Unix() / 86400)
	}
	h, name, err := c.history(ctx)
	if err != nil {
		return err
	}
	r, err := fit.Churn(h, o)
	if err != nil {
		return err
	}
	model := c.Model
	if model == "" {
		model = r.Recommended
	}
	out := c.Out
	if out == "" {
		out = "churn.parameters.yaml"
	}
	block := r.Block(model, filepath.Base(out))
	if block == "" {
		return usageError{fmt.Errorf("--model: there is no usable model %q", model)}
	}
	if c.Out != "" {
		text, err := r.File(h, fit.Source{Name: name, Files: c.Sources})
		if err != nil {
			return err
		}
		if err := os.WriteFile(c.Out, text, 0o644); err != nil {
			return err
		}
	}
	if c.Format == "json" {
		return c.json(struct {
			*fit.ChurnReport
			File  string `json:"file,omitempty"`
			Block string `json:"block"`
		}{r, c.Out, block})
	}
	printChurn(os.Stdout, h, r)
	if c.Out == "" {
		say("\nNothing was written; -o FILE writes the parameters for a playbook to name.")
	} else {
		say("\nwrote %s", c.Out)
	}
	fmt.Printf("\nFor the playbook, beside %s:\n\n%s", out, block)
	return nil
}

func printChurn(out io.Writer, h *fit.History, r *fit.ChurnReport) {
	fmt.Fprintf(out, "%d orders of %d customers, %s to %s. Fitted on what lies up to %s; measured on the %d days after it:\n%d customers, of whom %.1f %% placed no order (base rate).\n\n",
		h.Orders, len(h.Customers), fit.Date(h.First), fit.Date(h.Last), r.Cut, r.HorizonDays, r.Customers, 100*r.BaseRate)
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, "model\tAUC\tlevel\tat\twarned\tright\tof those who left\tmodel expected\t")
	for _, m := range r.Models {
		name, auc := m.Name, fmt.Sprintf("%.3f", m.AUC)
		if !m.Usable {
			name += " (not usable)"
		}
		if len(m.Levels) == 0 || !m.Usable {
			fmt.Fprintf(w, "%s\t%s\t\t\t\t\t\t\t\n", name, auc)
		}
		for _, l := range m.Levels {
			if !m.Usable {
				break
			}
			at, warned, right, found, expected := fmt.Sprintf("%.4g", l.At), "", "", "", ""
			if m.Name == "hiatus-bands" {
				at = "its days"
			}
			if p := l.Point; p != nil {
				warned, right, found = fmt.Sprint(p.Warned), fmt.Sprintf("%.1f %%", 100*p.Precision), fmt.Sprintf("%.1f %%", 100*p.Recall)
				if p.Expected > 0 {
					expected = fmt.Sprintf("%.1f %%", 100*p.Expected)
				}
			}
			fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t\n", name, auc, l.Name, at, warned, right, found, expected)
			name, auc = "", ""
		}
	}
	_ = w.Flush()
	if r.Spend != nil {
		printLikelihood(out, "spend (Gamma-Gamma)", r.Spend)
	}
	for _, m := range r.Models {
		if m.Fit != nil {
			printLikelihood(out, m.Name, m.Fit)
		}
		if m.Weight != nil {
			fmt.Fprintf(out, "\n%s: mean gap %.1f days, which counts like %d gaps of a customer's own\n", m.Name, m.GapDays, *m.Weight)
		}
		for _, n := range m.Notes {
			fmt.Fprintf(out, "\n%s: %s\n", m.Name, n)
		}
		for _, b := range m.Bands {
			fmt.Fprintf(out, "%s from %d: early %dd, late %dd, lost %dd\n", m.Name, b.Orders, b.Early, b.Late, b.Lost)
		}
	}
	if r.SpendNote != "" {
		fmt.Fprintf(out, "\nspend: %s\n", r.SpendNote)
	}
	fmt.Fprintf(out, "\nRecommended: %s. %s.\n", r.Recommended, strings.ToUpper(r.Why[:1])+r.Why[1:])
}

func printLikelihood(out io.Writer, name string, l *fit.Likelihood) {
	fmt.Fprintf(out, "\n%s: log-likelihood %.2f,", name, l.LogLikelihood)
	for _, e := range l.Estimates {
		fmt.Fprintf(out, " %s %.4g", e.Name, e.Value)
		if e.Error != nil {
			fmt.Fprintf(out, " ± %.2g", *e.Error)
		}
	}
	fmt.Fprintf(out, "; %s, %s\n", either(l.Converged, "converged", "NOT converged"), either(l.Identified, "identified", "NOT identified"))
	for _, n := range l.Notes {
		fmt.Fprintf(out, "  %s\n", n)
	}
}

func either(yes bool, a, b string) string {
	if yes {
		return a
	}
	return b
}

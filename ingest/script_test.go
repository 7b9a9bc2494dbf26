package ingest

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/cockroachdb/datadriven"
	"golang.org/x/text/encoding/simplifiedchinese"
)

// TestScripts runs the scripts under testdata, which show in plain text what
// mappings do, what is refused, and in which words. Rewrite them with -rewrite
// and read the difference.
//
//	mapping            parses the YAML that follows; later csv commands use it
//	csv [max=N] [gb18030] [hide-ids]   reads the CSV that follows
//	jsonl [max=N]      reads the JSON Lines that follow
//
// The output is the events as JSON Lines and what the report has to say.
func TestScripts(t *testing.T) {
	datadriven.Walk(t, "testdata/scripts", func(t *testing.T, path string) {
		var mapping *Mapping
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			input := d.Input + "\n"
			if d.Cmd == "mapping" {
				m, err := ParseMapping("shop.mapping.yaml", []byte(input))
				if err != nil {
					return err.Error()
				}
				mapping = m
				return "ok"
			}
			source := Source{Path: "shop." + d.Cmd}
			options := Options{TempDir: t.TempDir()}
			d.MaybeScanArgs(t, "max", &options.MaxProblems)
			if d.Cmd == "csv" {
				source.Mapping = mapping
			}
			if d.HasArg("gb18030") {
				s, err := simplifiedchinese.GB18030.NewEncoder().String(input)
				if err != nil {
					t.Fatal(err)
				}
				input = s
			}
			source.Reader = strings.NewReader(input)
			return show(t, source, options, d.HasArg("hide-ids"))
		})
	})
}

func show(t *testing.T, source Source, options Options, hideIDs bool) string {
	events, err := Open(context.Background(), []Source{source}, options)
	if err != nil {
		return "error: " + err.Error()
	}
	defer events.Close()
	var out bytes.Buffer
	for {
		e, err := events.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if hideIDs {
			c := *e
			if c.OrderID == c.EventID {
				c.OrderID = "(event id)"
			}
			c.EventID = "-"
			e = &c
		}
		if err := WriteJSONL(&out, e); err != nil {
			t.Fatal(err)
		}
	}
	r := events.Report()
	fmt.Fprintf(&out, "lines %d, events %d, orders %d, customers %d\n", r.Lines, r.Events, r.Orders, r.Customers)
	for _, s := range r.Skipped {
		fmt.Fprintf(&out, "skipped %d: %s\n", s.Lines, s.Reason)
	}
	if r.RefundLinesLinked+r.RefundLinesUnlinked > 0 {
		fmt.Fprintf(&out, "refund lines %d linked, %d not; events %d linked, %d not\n",
			r.RefundLinesLinked, r.RefundLinesUnlinked, r.RefundEventsLinked, r.RefundEventsUnlinked)
	}
	if r.Rounded > 0 {
		fmt.Fprintf(&out, "rounded %d\n", r.Rounded)
	}
	for _, p := range r.Problems {
		fmt.Fprintln(&out, p)
	}
	return out.String()
}

package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"tidemark/processor/runtime"
	"tidemark/schemas"
	"tidemark/schemas/avrojson"
	"tidemark/tail"
)

type tailCmd struct {
	connection
	Customer      string   `help:"Only this customer; reads only her partition."`
	Rule          []string `help:"Only triggers of these rules."`
	Status        []string `help:"Only triggers with these statuses: FIRED, CORRECTED, RETRACTED, ENDED."`
	Since         string   `help:"From what was published since: RFC 3339, a date (UTC), epoch milliseconds, or a duration back from now such as 2h or 7d." xor:"from"`
	FromBeginning bool     `help:"From the oldest record that there is." xor:"from"`
	Follow        bool     `help:"Go on with what comes; the default, from now on." xor:"end"`
	ExitAtEnd     bool     `help:"End at what is there now; without --since from the beginning." xor:"end"`
	Format        string   `help:"json: one object a line; table: for people." enum:"json,table" default:"json"`
	Max           int64    `help:"End after so many; 0: no limit." default:"0"`
	Topics        []string `arg:"" optional:"" help:"Out topics without the prefix, control, journal, transfers, or any topic in the wire format; default: all out topics."`
}

func (t *tailCmd) Run(ctx context.Context) error {
	cfg := tail.Config{ExitAtEnd: t.ExitAtEnd, Customer: t.Customer}
	switch {
	case t.Since != "":
		at, err := parseSince(t.Since, time.Now())
		if err != nil {
			return usageError{fmt.Errorf("--since: %w", err)}
		}
		cfg.From, cfg.Since = tail.FromTime, at
	case t.FromBeginning || t.ExitAtEnd:
		cfg.From = tail.FromBeginning
	}
	for _, s := range t.Status {
		if !slices.Contains([]string{schemas.Fired, schemas.Corrected, schemas.Retracted, schemas.Ended}, s) {
			return usageError{fmt.Errorf("--status: %q is none of FIRED, CORRECTED, RETRACTED, ENDED", s)}
		}
	}
	conn, err := t.open(true)
	if err != nil {
		return err
	}
	defer conn.close()
	cfg.Brokers, cfg.Transport, cfg.Schemas = conn.config.Kafka.Brokers, conn.transport, conn.registry
	cfg.Topics = topicNames(t.Topics, conn.topics)
	if err := mayRead(ctx, conn, cfg.Topics); err != nil {
		return err
	}
	r, err := tail.Open(ctx, cfg)
	if missing := new(tail.MissingTopicsError); errors.As(err, &missing) {
		return fmt.Errorf("%w; `tidemark topics check` says what is there", err)
	}
	if err != nil {
		return err
	}
	defer r.Close()

	w := bufio.NewWriterSize(os.Stdout, 1<<16)
	show := (&jsonLines{}).row
	if t.Format == "table" {
		show = (&table{}).row
	}
	for n := int64(0); t.Max == 0 || n < t.Max; {
		if !r.Waiting() {
			if err := w.Flush(); err != nil {
				return err
			}
		}
		rec, err := r.Next(ctx)
		if err == io.EOF || err != nil && ctx.Err() != nil {
			break // ended, or stopped by who watches
		}
		if err != nil {
			return errors.Join(err, w.Flush())
		}
		if !t.wants(rec) {
			continue
		}
		n++
		if err := show(w, rec); err != nil {
			return err
		}
	}
	return w.Flush()
}

// topicNames turns the short names of the contract into full ones.
func topicNames(names []string, topics runtime.Topics) (out []string) {
	if len(names) == 0 {
		for _, t := range schemas.OutTopics {
			out = append(out, topics.Out(t))
		}
		return out
	}
	for _, n := range names {
		switch {
		case n == "control":
			n = topics.Control
		case n == "journal":
			n = topics.Journal
		case n == "transfers":
			n = topics.Transfers
		case slices.Contains(schemas.OutTopics, schemas.Topic(n)):
			n = topics.Out(schemas.Topic(n))
		}
		if !slices.Contains(out, n) {
			out = append(out, n)
		}
	}
	return out
}

// parseSince reads an instant, or a duration back from now.
func parseSince(s string, now time.Time) (schemas.EventTime, error) {
	if days, ok := strings.CutSuffix(s, "d"); ok {
		if n, err := strconv.ParseUint(days, 10, 16); err == nil {
			return schemas.EventTime(now.UnixMilli()) - schemas.EventTime(n)*schemas.Day, nil
		}
	}
	if d, err := time.ParseDuration(s); err == nil {
		return schemas.EventTime(now.Add(-d.Abs()).UnixMilli()), nil
	}
	t, err := parseInstant(s, time.UTC)
	if err != nil {
		return 0, errors.New(err.Error() + ", or a duration such as 2h or 7d")
	}
	return t, nil
}

// triggerHead is what the filters and the table read of a value. Fields of other
// records stay empty.
type triggerHead struct {
	Rule        string `json:"rule"`
	Status      string `json:"status"`
	Kind        string `json:"kind"`
	Level       string `json:"level"`
	From        string `json:"from"`
	To          string `json:"to"`
	FromTier    string `json:"from_tier"`
	ToTier      string `json:"to_tier"`
	Campaign    string `json:"campaign"`
	Group       string `json:"group"`
	Arm         string `json:"arm"`
	Reason      string `json:"reason"`
	Metric      string `json:"metric"`
	EffectiveAt int64  `json:"effective_at"`
}

func (t *tailCmd) wants(r *tail.Record) bool {
	if len(t.Rule) == 0 && len(t.Status) == 0 {
		return true
	}
	var h triggerHead
	if r.Value == nil || json.Unmarshal(r.Value, &h) != nil {
		return false
	}
	return (len(t.Rule) == 0 || slices.Contains(t.Rule, h.Rule)) && (len(t.Status) == 0 || slices.Contains(t.Status, h.Status))
}

// jsonLines writes records as JSON Lines. The names never change:
//
//	{"topic","key","partition","offset","timestamp","value"}
//
// key is null where there is none. Where the value cannot be shown it is null,
// and "problem" and "raw" (base64) follow. Written by hand: an encoder would
// check each value, which is JSON already, two more times.
type jsonLines struct{ line []byte }

func (j *jsonLines) row(w io.Writer, r *tail.Record) error {
	b := avrojson.AppendString(append(j.line[:0], `{"topic":`...), r.Topic)
	b = append(b, `,"key":`...)
	if r.Key == nil {
		b = append(b, "null"...)
	} else {
		b = avrojson.AppendString(b, string(r.Key))
	}
	b = strconv.AppendInt(append(b, `,"partition":`...), int64(r.Partition), 10)
	b = strconv.AppendInt(append(b, `,"offset":`...), r.Offset, 10)
	b = strconv.AppendInt(append(b, `,"timestamp":`...), int64(r.Timestamp), 10)
	b = append(b, `,"value":`...)
	if r.Problem == "" {
		b = append(b, r.Value...)
	} else {
		b = avrojson.AppendString(append(b, `null,"problem":`...), r.Problem)
		b = append(base64.StdEncoding.AppendEncode(append(b, `,"raw":"`...), r.Raw), '"')
	}
	j.line = append(b, "}\n"...)
	_, err := w.Write(j.line)
	return err
}

// table prints rows for people, with a heading now and then.
type table struct{ rows int }

func (t *table) row(w io.Writer, r *tail.Record) error {
	if t.rows++; t.rows == 1 {
		fmt.Fprintf(w, "%-19s  %-20s  %-16s  %-16s  %-9s  %-20s  %s\n", "EFFECTIVE (UTC)", "TOPIC", "CUSTOMER", "RULE", "STATUS", "KIND", "WHAT")
	}
	if r.Problem != "" {
		_, err := fmt.Fprintf(w, "%-19s  %-20s  %-16s  %s\n", "", r.Topic, r.Key, r.Problem)
		return err
	}
	var h triggerHead
	_ = json.Unmarshal(r.Value, &h) // other records have other types under these names
	at := ""
	if h.EffectiveAt != 0 {
		at = time.UnixMilli(h.EffectiveAt).UTC().Format("2006-01-02 15:04:05")
	}
	var line bytes.Buffer
	fmt.Fprintf(&line, "%-19s  %-20s  %-16s  %-16s  %-9s  %-20s  %s", at, r.Topic, r.Key, h.Rule, h.Status, h.Kind, h.what())
	_, err := w.Write(append(bytes.TrimRight(line.Bytes(), " "), '\n'))
	return err
}

// what says in a few words what a trigger tells.
func (h *triggerHead) what() string {
	switch {
	case h.FromTier != "" || h.ToTier != "":
		return h.FromTier + " -> " + h.ToTier
	case h.From != "" || h.To != "":
		return h.From + " -> " + h.To
	case h.Reason != "":
		return h.Reason
	case h.Metric != "":
		return h.Metric
	case h.Campaign != "":
		return strings.TrimRight(h.Campaign+" "+h.Group+" "+h.Arm, " ")
	}
	return h.Level
}

package main

import (
	"bufio"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"sort"
	"time"
	"unicode/utf8"

	"tidemark/deadletters"
	"tidemark/processor/core"
	"tidemark/processor/rights"
	"tidemark/publish"
	"tidemark/schemas"
	"tidemark/spelling"
	"tidemark/tail"
)

type dlqCmd struct {
	List   dlqListCmd   `cmd:"" help:"List dead letters, oldest first within a partition."`
	Show   dlqShowCmd   `cmd:"" help:"Show one dead letter in full."`
	Replay dlqReplayCmd `cmd:"" help:"Put records back into their input topic, each once, after the cause is gone."`
}

// letterSource is where dead letters are read from.
func letterSource(conn *opened, since string) (tail.Config, error) {
	cfg := tail.Config{Brokers: conn.config.Kafka.Brokers, Transport: conn.transport, Schemas: conn.registry,
		Topics: []string{conn.topics.Out(schemas.DeadLetters)}, From: tail.FromBeginning, ExitAtEnd: true}
	if since != "" {
		at, err := parseSince(since, time.Now())
		if err != nil {
			return cfg, usageError{fmt.Errorf("--since: %w", err)}
		}
		cfg.From, cfg.Since = tail.FromTime, at
	}
	return cfg, nil
}

type dlqListCmd struct {
	connection
	Reason []string `help:"Only these reasons, such as unknown_schema."`
	Since  string   `help:"Only what was refused since: RFC 3339, a date (UTC), epoch milliseconds, or a duration back from now such as 2h or 7d."`
	Format string   `help:"table, or json: one object a line." enum:"table,json" default:"table"`
	Max    int      `help:"End after so many; 0: no limit." default:"0"`
}

// dlqLine is one line of `dlq list --format json`; its names never change.
type dlqLine struct {
	ID         string            `json:"dead_letter_id"`
	Place      string            `json:"place"` // TOPIC-PARTITION-OFFSET of the dead letter itself
	Published  schemas.EventTime `json:"published"`
	Topic      string            `json:"topic"`
	Partition  int32             `json:"partition"`
	Offset     int64             `json:"offset"`
	Step       string            `json:"step"`
	Reason     string            `json:"reason"`
	Error      string            `json:"error"`
	EventID    string            `json:"event_id"`
	CustomerID string            `json:"customer_id"`
	ReplayOf   string            `json:"replay_of"` // "" for a record that came by itself
}

func dlqLineOf(l *deadletters.Letter) dlqLine {
	d := &l.DeadLetter
	return dlqLine{d.DeadLetterID, fmt.Sprintf("%s-%d-%d", l.Topic, l.Partition, l.Offset), l.Published,
		d.Topic, d.Partition, d.Offset, d.Step, d.Reason, d.Error, d.EventID, d.CustomerID, l.ReplayOf()}
}

func (c *dlqListCmd) Run(ctx context.Context) error {
	conn, err := c.open(true)
	if err != nil {
		return err
	}
	defer conn.close()
	cfg, err := letterSource(conn, c.Since)
	if err != nil {
		return err
	}
	if err := mayRead(ctx, conn, cfg.Topics); err != nil {
		return err
	}
	w := bufio.NewWriter(os.Stdout)
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	reasons, n := map[string]int{}, 0
	met := map[string]bool{}
	err = deadletters.Read(ctx, cfg, func(l *deadletters.Letter) (bool, error) {
		met[l.Reason] = true
		if len(c.Reason) > 0 && !slices.Contains(c.Reason, l.Reason) {
			return false, nil
		}
		reasons[l.Reason]++
		n++
		line := dlqLineOf(l)
		if c.Format == "json" {
			return n == c.Max, enc.Encode(line)
		}
		if n == 1 {
			fmt.Fprintf(w, "%-19s  %-24s  %-28s  %-20s  %-16s  %s\n", "REFUSED (UTC)", "DEAD LETTER", "RECORD", "REASON", "CUSTOMER", "ERROR")
		}
		_, err := fmt.Fprintf(w, "%-19s  %-24s  %-28s  %-20s  %-16s  %s\n", time.UnixMilli(int64(l.Published)).UTC().Format("2006-01-02 15:04:05"),
			line.Place, fmt.Sprintf("%s-%d-%d", line.Topic, line.Partition, line.Offset), line.Reason, line.CustomerID, line.Error)
		return n == c.Max, err
	})
	if err := errors.Join(err, w.Flush()); err != nil {
		return err
	}
	if err := knownReasons(c.Reason, met); err != nil {
		return err
	}
	say("%d dead letters", n)
	for _, r := range sorted(reasons) {
		say("  %-24s %9d", r, reasons[r])
	}
	return nil
}

// knownReasons says that none of the reasons asked for is misspelt: it stands in some
// dead letter, or this version gives it.
func knownReasons(asked []string, met map[string]bool) error {
	known := slices.Concat(core.Reasons(), slices.Collect(maps.Keys(met)))
	slices.Sort(known)
	for _, r := range asked {
		if slices.Contains(known, r) {
			continue
		}
		text := fmt.Sprintf("--reason %s: no dead letter has it and no version gives it", r)
		if w := spelling.Nearest(r, known); w != "" {
			text += fmt.Sprintf("; did you mean %s?", w)
		}
		return usageError{errors.New(text + "; `tidemark dlq list` says what is there")}
	}
	return nil
}

type dlqShowCmd struct {
	connection
	Format string `help:"text, or json: one object." enum:"text,json" default:"text"`
	Name   string `arg:"" help:"A dead_letter_id, or TOPIC-PARTITION-OFFSET of the dead letter or of the record that it is about."`
}

// dlqDetail is what `dlq show --format json` prints; its names never change.
type dlqDetail struct {
	dlqLine
	Timestamp   schemas.EventTime `json:"timestamp"` // the record's own
	Key         []byte            `json:"key_base64"`
	Headers     []schemas.Header  `json:"headers"`
	Truncated   bool              `json:"truncated"`
	Value       []byte            `json:"value_base64"`
	Decoded     json.RawMessage   `json:"decoded"` // null where it cannot be
	DecodeError string            `json:"decode_error"`
}

func (c *dlqShowCmd) Run(ctx context.Context) error {
	conn, err := c.open(true)
	if err != nil {
		return err
	}
	defer conn.close()
	cfg, err := letterSource(conn, "")
	if err != nil {
		return err
	}
	if err := mayRead(ctx, conn, cfg.Topics); err != nil {
		return err
	}
	var found *deadletters.Letter
	name := deadletters.ParseName(c.Name)
	if err := deadletters.Read(ctx, cfg, func(l *deadletters.Letter) (bool, error) {
		if name.Names(l) {
			found = l
		}
		return found != nil, nil
	}); err != nil {
		return err
	}
	if found == nil {
		return fmt.Errorf("no dead letter %s in %s; `tidemark dlq list` says what is there", c.Name, conn.topics.Out(schemas.DeadLetters))
	}
	d := dlqDetail{dlqLine: dlqLineOf(found), Timestamp: found.Timestamp, Key: found.Key, Headers: found.Headers, Truncated: found.Truncated, Value: found.Value}
	if d.Headers == nil {
		d.Headers = []schemas.Header{}
	}
	d.Decoded, err = tail.NewValues(conn.registry).JSON(ctx, found.Value)
	if unreadable := new(tail.UnreadableError); errors.As(err, &unreadable) {
		d.Decoded, d.DecodeError = json.RawMessage("null"), err.Error()
	} else if err != nil {
		return err
	}
	if c.Format == "json" {
		enc := json.NewEncoder(os.Stdout)
		enc.SetEscapeHTML(false)
		return enc.Encode(d)
	}
	d.print()
	return nil
}

func (d *dlqDetail) print() {
	at := func(t schemas.EventTime) string {
		return time.UnixMilli(int64(t)).UTC().Format("2006-01-02T15:04:05.000Z")
	}
	fmt.Printf("dead letter   %s, %s, refused %s\n", d.ID, d.Place, at(d.Published))
	fmt.Printf("record        %s-%d-%d, from %s\n", d.Topic, d.Partition, d.Offset, at(d.Timestamp))
	fmt.Printf("refused       %s: %s\n", d.Step, d.Reason)
	fmt.Printf("error         %s\n", d.Error)
	if d.ReplayOf != "" {
		fmt.Printf("replay of     %s\n", d.ReplayOf)
	}
	fmt.Printf("event_id      %s\ncustomer_id   %s\nkey           %s\n", d.EventID, d.CustomerID, printable(d.Key))
	for _, h := range d.Headers {
		fmt.Printf("header        %s: %s\n", h.Key, printable(h.Value))
	}
	if d.DecodeError == "" {
		fmt.Printf("value         %s\n", d.Decoded)
		return
	}
	fmt.Printf("value         %d bytes that cannot be shown: %s\n", len(d.Value), d.DecodeError)
	if d.Truncated {
		fmt.Println("              (the record was longer; it was cut off here)")
	}
	const most = 4 << 10
	fmt.Print(hex.Dump(d.Value[:min(len(d.Value), most)]))
	if len(d.Value) > most {
		fmt.Printf("and %d bytes more; --format json has all\n", len(d.Value)-most)
	}
}

// printable is text where bytes are text, else hex.
func printable(b []byte) string {
	switch {
	case b == nil:
		return "(none)"
	case utf8.Valid(b) && !slices.ContainsFunc(b, func(c byte) bool { return c < 0x20 }):
		return string(b)
	}
	return "0x" + hex.EncodeToString(b)
}

type dlqReplayCmd struct {
	connection
	Reason []string `help:"All with these reasons, such as unknown_schema."`
	ID     []string `name:"id" help:"These: a dead_letter_id, or a place as for show."`
	All    bool     `help:"All that there are."`
	Since  string   `help:"Of these, only what was refused since; as for list."`
	Force  bool     `help:"Send also what can only be refused again; never twice for all that."`
	DryRun bool     `help:"Say what would be done."`
	Format string   `help:"table, or json: one object a line." enum:"table,json" default:"table"`
}

// dlqOutcome is one line of `dlq replay --format json`; its names never change.
type dlqOutcome struct {
	ID        string `json:"dead_letter_id"`
	Reason    string `json:"reason"`
	Topic     string `json:"topic"`
	Partition int32  `json:"partition"`
	Sent      bool   `json:"sent"` // in a dry run: would be
	Why       string `json:"why"`  // not
}

func (c *dlqReplayCmd) Run(ctx context.Context) error {
	if len(c.Reason) == 0 && len(c.ID) == 0 && !c.All {
		return usageError{errors.New("dlq replay: say which with --reason, --id or --all")}
	}
	conn, err := c.open(true)
	if err != nil {
		return err
	}
	defer conn.close()
	if c.App == "" && c.Config == "" && os.Getenv("TIDEMARK_APP") == "" {
		return usageError{errors.New("dlq replay: --app is needed: replays of one app exclude each other by its name")}
	}
	cfg, err := letterSource(conn, c.Since)
	if err != nil {
		return err
	}
	access, rn := conn.rights()
	need := rights.Replay(rn)
	if c.DryRun { // nothing is written
		need = rights.Tail(rn.DeadLetters, rn.Orders, rn.Behaviors)
	}
	if err := access.Check(ctx, need); err != nil {
		return err
	}
	target, err := publish.Inspect(ctx, cfg.Brokers, conn.transport, conn.topics.Orders, conn.topics.Behaviors)
	if err != nil {
		return err
	}
	var names []deadletters.Name
	for _, id := range c.ID {
		names = append(names, deadletters.ParseName(id))
	}
	named := make([]bool, len(names))
	met := map[string]bool{}
	var letters []*deadletters.Letter
	if err := deadletters.Read(ctx, cfg, func(l *deadletters.Letter) (bool, error) {
		met[l.Reason] = true
		take := c.All || slices.Contains(c.Reason, l.Reason)
		for i, n := range names {
			if n.Names(l) {
				take, named[i] = true, true
			}
		}
		if take {
			letters = append(letters, l)
		}
		return false, nil
	}); err != nil {
		return err
	}
	if err := knownReasons(c.Reason, met); err != nil {
		return err
	}
	if i := slices.Index(named, false); i >= 0 {
		return fmt.Errorf("no dead letter %s in %s", c.ID[i], cfg.Topics[0])
	}
	r := deadletters.New(deadletters.Config{App: conn.config.App, Brokers: cfg.Brokers, Transport: conn.transport, Schemas: conn.registry, Force: c.Force,
		Inputs: deadletters.Inputs{Orders: conn.topics.Orders, Behaviors: conn.topics.Behaviors, Partitions: target.Partitions}})
	do := r.Replay
	if c.DryRun {
		do = r.Plan
	}
	plan, err := do(ctx, letters)
	if err != nil {
		return access.Explain(ctx, err, need)
	}
	return c.print(plan)
}

func (c *dlqReplayCmd) print(plan []deadletters.Outcome) error {
	w := bufio.NewWriter(os.Stdout)
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	sort.SliceStable(plan, func(i, j int) bool { return plan[i].Letter.Published < plan[j].Letter.Published })
	verb := "sent"
	if c.DryRun {
		verb = "would be sent"
	}
	sent, before, forgotten := 0, 0, 0
	for _, o := range plan {
		if o.Send {
			sent++
			if o.Forgotten {
				forgotten++
			}
		}
		if o.Before {
			before++
		}
		if c.Format == "json" {
			if err := enc.Encode(dlqOutcome{o.Letter.DeadLetterID, o.Letter.Reason, o.Topic, o.To, o.Send, o.Why}); err != nil {
				return err
			}
			continue
		}
		what := verb + fmt.Sprintf(" to %s-%d", o.Topic, o.To)
		if !o.Send {
			what = "not sent: " + o.Why
		}
		fmt.Fprintf(w, "%s  %-20s  %s\n", o.Letter.DeadLetterID, o.Letter.Reason, what)
	}
	if err := w.Flush(); err != nil {
		return err
	}
	refused := len(plan) - sent - before
	say("%d %s, %d put back before, %d not to be put back", sent, verb, before, refused)
	if forgotten > 0 {
		say("for %d of them the input begins after the record: had they been put back long ago, it could not be seen any more; a repeated event_id changes nothing within the playbook's horizon", forgotten)
	}
	if refused > 0 {
		return fmt.Errorf("%d of %d dead letters were not put back", refused, len(plan))
	}
	return nil
}

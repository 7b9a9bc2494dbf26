package script

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"tidemark/playbook"
	"tidemark/processor/core"
	"tidemark/schemas"
)

// Block is one block of a script, run.
type Block struct {
	Line      int      // of its first command, from 1
	Text      []string // remarks and commands, as written
	Want, Got []string
}

// Same says whether the block published what it expects.
func (b *Block) Same() bool {
	if len(b.Want) != len(b.Got) {
		return false
	}
	for i := range b.Want {
		if strings.Join(strings.Fields(b.Want[i]), " ") != strings.Join(strings.Fields(b.Got[i]), " ") {
			return false
		}
	}
	return true
}

// Format writes blocks as a script that expects what was published.
func Format(blocks []Block) string {
	var out strings.Builder
	for i := range blocks {
		b := &blocks[i]
		if i > 0 {
			out.WriteByte('\n')
		}
		for _, l := range b.Text {
			out.WriteString(l + "\n")
		}
		if len(b.Text) == 0 || !commands(b.Text) {
			continue
		}
		out.WriteString("----\n")
		for _, l := range b.Got {
			out.WriteString(l + "\n")
		}
	}
	return out.String()
}

func commands(lines []string) bool {
	for _, l := range lines {
		if !strings.HasPrefix(l, "#") {
			return true
		}
	}
	return false
}

// Error is a mistake in a script.
type Error struct {
	Line    int // from 1
	Problem string
}

func (e *Error) Error() string { return fmt.Sprintf("line %d: %s", e.Line, e.Problem) }

func wrong(line int, format string, args ...any) error {
	return &Error{line, fmt.Sprintf(format, args...)}
}

// Run runs a script against a playbook. The error is an *Error where the script
// can't be read.
func Run(pb *playbook.Playbook, text string) ([]Block, error) {
	r, err := newRunner(pb)
	if err != nil {
		return nil, err
	}
	var blocks []Block
	var b *Block
	expecting := false
	for i, line := range strings.Split(strings.TrimSuffix(text, "\n"), "\n") {
		line = strings.TrimRight(line, " \t\r")
		switch {
		case line == "":
			if b != nil && commands(b.Text) && !expecting {
				return nil, wrong(i+1, "the block has no line ---- and nothing that it expects")
			}
			if b != nil {
				blocks = append(blocks, *b)
			}
			b, expecting = nil, false
		case b == nil:
			b = &Block{Line: i + 1}
			fallthrough
		case !expecting && line != "----":
			b.Text = append(b.Text, line)
			if strings.HasPrefix(line, "#") {
				continue
			}
			if err := r.command(line); err != nil {
				return nil, wrong(i+1, "%v", err)
			}
			if b.Got, err = r.said(b.Got); err != nil {
				return nil, wrong(i+1, "%v", err)
			}
		case line == "----":
			expecting = true
		default:
			b.Want = append(b.Want, line)
		}
	}
	if b != nil {
		if commands(b.Text) && !expecting {
			return nil, wrong(b.Line, "the block has no line ---- and nothing that it expects")
		}
		blocks = append(blocks, *b)
	}
	return blocks, nil
}

// wall is after every event; a script lies in no one's future.
const wall = schemas.EventTime(1) << 50

const app = "script"

type runner struct {
	pb     *playbook.Playbook
	core   *core.Core
	next   [schemas.Inputs]schemas.Offset
	events int
	out    []string
}

func newRunner(pb *playbook.Playbook) (*runner, error) {
	c, err := core.New(core.Config{App: app, Tasks: 1, CacheBytes: -1, Writer: app}, core.Empty{}, core.Zero())
	if err != nil {
		return nil, err
	}
	r := &runner{pb: pb, core: c}
	if err := r.take(core.Record{Input: schemas.ControlInput, Control: core.NewGenesis(core.Genesis{Partitions: 1}, app, 0)}); err != nil {
		return nil, err
	}
	return r, r.take(core.Record{Input: schemas.ControlInput, Control: core.NewPlaybook(pb, app, 0)})
}

// take gives the core one record, and all that it sends to itself.
func (r *runner) take(rec core.Record) error {
	rec.Offset = r.next[rec.Input]
	r.next[rec.Input]++
	for {
		n, err := r.core.Take([]core.Record{rec}, wall)
		if err != nil {
			return err
		}
		moved, err := r.flush()
		if err != nil {
			return err
		}
		if n == 1 {
			return nil
		}
		if !moved {
			return fmt.Errorf("the event can't be taken: %s", r.core.Blocked())
		}
	}
}

func (r *runner) tick(to schemas.EventTime) error {
	for {
		done, err := r.core.Tick(to, wall)
		if err != nil {
			return err
		}
		moved, err := r.flush()
		if err != nil {
			return err
		}
		for r.core.Sweeping() {
			if _, err := r.core.Sweep(0, wall); err != nil {
				return err
			}
			if _, err := r.flush(); err != nil {
				return err
			}
		}
		if done {
			return nil
		}
		if !moved {
			return fmt.Errorf("time can't go on: %s", r.core.Blocked())
		}
	}
}

// flush takes what was decided: to be printed, or to be taken as an input.
func (r *runner) flush() (bool, error) {
	rd := r.core.Ready()
	if rd == nil {
		return false, nil
	}
	for i := range rd.Out {
		r.out = append(r.out, Line(&rd.Out[i], r.pb.Zone))
	}
	r.core.Applied(rd.Sequence)
	for _, m := range rd.Transfers {
		if err := r.take(core.Record{Input: schemas.TransferInput, Transfer: m}); err != nil {
			return true, err
		}
	}
	for _, m := range rd.Controls {
		if err := r.take(core.Record{Input: schemas.ControlInput, Control: m}); err != nil {
			return true, err
		}
	}
	return true, nil
}

func (r *runner) said(got []string) ([]string, error) {
	got = append(got, r.out...)
	r.out = nil
	return got, nil
}

func (r *runner) command(line string) error {
	words, err := split(line)
	if err != nil {
		return err
	}
	switch words[0] {
	case "event":
		return r.event(words[1:])
	case "advance":
		if len(words) != 2 {
			return fmt.Errorf("advance takes a duration such as 30d, or a time")
		}
		to, err := r.time(words[1])
		if err != nil {
			d, bad := playbook.ParseDuration(words[1])
			if bad != nil {
				return err
			}
			to = r.core.Clock() + d
		}
		if to < r.core.Clock() {
			return fmt.Errorf("time does not go back: it is %s already", Instant(r.core.Clock(), r.pb.Zone))
		}
		return r.tick(to)
	}
	return fmt.Errorf("unknown command %q; there are event and advance", words[0])
}

func (r *runner) event(w []string) error {
	if len(w) < 3 {
		return fmt.Errorf("an event is: event CUSTOMER TIME TYPE [ORDER [AMOUNT]] [NAME=VALUE …]")
	}
	at, err := r.time(w[1])
	if err != nil {
		return err
	}
	r.events++
	e := &schemas.Event{CustomerID: w[0], OccurredAt: at, EventID: "e" + strconv.Itoa(r.events), Kind: schemas.Behavior, Type: w[2]}
	rest := w[3:]
	in := schemas.BehaviorEvents
	if o := schemas.ParseOrderType(w[2]); o != schemas.OrderUnknown {
		in = schemas.OrderEvents
		e.Kind, e.Type, e.Order, e.Currency = schemas.Order, "", o, r.pb.Currency
		if len(rest) == 0 || strings.Contains(rest[0], "=") {
			return fmt.Errorf("%s needs the order that it is about", w[2])
		}
		e.OrderID, rest = rest[0], rest[1:]
	}
	amount := ""
	if e.Kind == schemas.Order && len(rest) > 0 && !strings.Contains(rest[0], "=") {
		amount, rest = rest[0], rest[1:]
	}
	for _, x := range rest {
		k, v, ok := strings.Cut(x, "=")
		if !ok {
			return fmt.Errorf("%q is no attribute: write NAME=VALUE", x)
		}
		switch {
		case k == "id":
			e.EventID = v
		case k == "channel":
			e.Channel = v
		case k == "currency" && e.Kind == schemas.Order:
			e.Currency = v
		case k == "items" && e.Kind == schemas.Order:
			for _, it := range strings.Split(v, ",") {
				category, a, _ := strings.Cut(it, ":")
				minor, err := playbook.ParseMoney(a, e.Currency)
				if err != nil {
					return err
				}
				e.Items = append(e.Items, schemas.Item{Category: category, AmountMinor: minor})
			}
		default:
			e.Attributes = append(e.Attributes, schemas.Attribute{Key: k, Value: v})
		}
	}
	if amount != "" {
		if e.AmountMinor, err = playbook.ParseMoney(amount, e.Currency); err != nil {
			return err
		}
	}
	if r.pb.Clock == playbook.Live && at-1 > r.core.Clock() {
		if err := r.tick(at - 1); err != nil {
			return err
		}
	}
	return r.take(core.Record{Input: in, Event: e, Raw: &core.Raw{Topic: in.String(), Key: []byte(e.CustomerID)}})
}

func (r *runner) time(s string) (schemas.EventTime, error) {
	for _, layout := range layouts {
		if t, err := time.ParseInLocation(layout, s, r.pb.Zone); err == nil {
			return schemas.EventTime(t.UnixMilli()), nil
		}
	}
	return 0, fmt.Errorf("%q is no time such as 2024-01-05, 2024-01-05T10:00 or 2024-01-05T10:00:05", s)
}

var layouts = []string{time.DateOnly, "2006-01-02T15:04", "2006-01-02T15:04:05", "2006-01-02T15:04:05.000"}

// split cuts a line at spaces outside double quotes.
func split(line string) ([]string, error) {
	var out []string
	var word strings.Builder
	quoted, any := false, false
	for _, c := range line {
		switch {
		case c == '"':
			quoted, any = !quoted, true
		case c == ' ' && !quoted:
			if any {
				out = append(out, word.String())
			}
			word.Reset()
			any = false
		default:
			word.WriteRune(c)
			any = true
		}
	}
	if quoted {
		return nil, fmt.Errorf("a quote is not closed")
	}
	if any {
		out = append(out, word.String())
	}
	if len(out) == 0 {
		return nil, fmt.Errorf("an empty command")
	}
	return out, nil
}

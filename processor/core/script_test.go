package core

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"sort"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/datadriven"

	"tidemark/playbook"
	"tidemark/processor/history"
	"tidemark/schemas"
)

// TestScripts runs testdata: what the engine does, told by examples. `go test
// -run TestScripts -rewrite` writes what it does now; read the difference
// before you commit it.
//
// A command works on the task chosen last (`task N`), a line printed is a
// record that the command made the core publish.
//
//	playbook                     YAML; goes through the control topic
//	genesis [fire-from=T] [start=T] [tasks=N] [cache=BYTES]
//	budget [triggers=N] [bytes=N] [units=N] [records=N]
//	event [wall=T]               lines: CUSTOMER T TYPE [ORDER AMOUNT] [id=] [currency=] [items=CATEGORY:AMOUNT,…]
//	                             TYPE is PLACED, PAID, CANCELLED, REFUNDED, or a behavior's
//	many C T every=SPAN count=N amount=A [name=C] [type=BEHAVIOR]   orders NAME-1, NAME-2, … with event ids of the same names
//	dead STEP REASON             a record that was refused before the core saw it
//	more                         take what the budget left over
//	tick T [wall=T]              also +90d: from where the clock stands
//	sweep N
//	pause [rule=R | campaign=R | channel=C], resume … send | discard
//	control KIND                 a record of the control topic
//	transfer from=N seq=N kind=K
//	deliver                      every task commits, and takes what others sent, until nothing moves
//	commit ok | unknown landed | unknown lost | fenced
//	crash [unsynced=PERCENT]     kill -9; with less than 100 percent, power loss
//	restore                      from the store, then the journal's tail
//	standby                      a second task that follows the journal, compared with this one
//	state C, timers, journal, position, facts C [T], values C T, books [C]
//
// A behavior takes attributes as NAME=VALUE; trigger_id=$RULE/CUSTOMER/EPISODE is that of a first revision.
func TestScripts(t *testing.T) {
	datadriven.Walk(t, "testdata", func(t *testing.T, path string) {
		if !strings.HasSuffix(path, ".txt") {
			return
		}
		s := &script{zone: time.UTC}
		defer s.close(t)
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			out, err := s.run(d)
			if err != nil {
				out += "error: " + err.Error()
			}
			if strings.Contains(out, "WRONG:") {
				t.Errorf("%s: %s", d.Pos, out)
			}
			if out != "" && !strings.HasSuffix(out, "\n") {
				out += "\n"
			}
			return out
		})
	})
}

type script struct {
	tasks   []*world
	control []Record
	w       *world
	printed int // of the core's pending output
	events  int
	zone    *time.Location
}

func (s *script) close(t *testing.T) {
	for _, w := range s.tasks {
		if err := w.close(); err != nil {
			t.Error(err)
		}
	}
}

func (s *script) parse(v string) schemas.EventTime {
	if v == "beginning" {
		return 0
	}
	if strings.HasPrefix(v, "+") {
		d, err := playbook.ParseDuration(v[1:])
		if err != nil {
			panic(err)
		}
		return s.w.core.Clock() + d
	}
	for _, layout := range []string{"2006-01-02", "2006-01-02T15:04", "2006-01-02T15:04:05", "2006-01-02T15:04:05.000"} {
		if t, err := time.Parse(layout, v); err == nil {
			return schemas.EventTime(t.UnixMilli())
		}
	}
	panic("no instant: " + v)
}

func minor(v string) int64 {
	whole, cents, _ := strings.Cut(v, ".")
	n, err := strconv.ParseInt(whole+(cents + "00")[:2], 10, 64)
	if err != nil {
		panic(err)
	}
	return n
}

func (s *script) run(d *datadriven.TestData) (out string, err error) {
	defer func() {
		if s.w != nil && s.w.core != nil && err == nil {
			out = s.fresh() + out
		}
	}()
	if s.w == nil && d.Cmd != "genesis" && d.Cmd != "playbook" {
		return "", fmt.Errorf("genesis first")
	}
	arg := func(key string) (string, bool) {
		for _, a := range d.CmdArgs {
			if a.Key == key && len(a.Vals) > 0 {
				return a.Vals[0], true
			}
		}
		return "", false
	}
	num := func(key string, dst *int) {
		if v, ok := arg(key); ok {
			*dst, err = strconv.Atoi(v)
		}
	}
	word := func(i int) string {
		if i < len(d.CmdArgs) {
			return d.CmdArgs[i].Key
		}
		return ""
	}
	if v, ok := arg("wall"); ok {
		s.w.wall = s.parse(v)
	}
	switch d.Cmd {
	case "playbook":
		pb, err := playbook.Compile([]byte(d.Input), d.Pos)
		if err != nil {
			return "", err
		}
		s.addControl(NewPlaybook(pb, "script", 0))
		if s.w == nil {
			return "", nil
		}
		return s.takeAll()
	case "genesis":
		n, cache := 1, 1<<20
		num("tasks", &n)
		num("cache", &cache)
		g := Genesis{Partitions: int32(n)}
		if v, ok := arg("fire-from"); ok {
			g.FireFrom = s.parse(v)
		}
		if v, ok := arg("start"); ok {
			g.Start = s.parse(v)
		}
		// A playbook may stand before it.
		s.control = slices.Insert(s.control, 0, Record{Input: schemas.ControlInput, Control: NewGenesis(g, "script", 0)})
		for i := range s.control {
			s.control[i].Offset = schemas.Offset(i)
		}
		for i := range n {
			w, err := newWorld(Config{Task: int32(i), Tasks: int32(n), CacheBytes: int64(cache), Writer: "script", Partition: byDigit}, &s.control)
			if err != nil {
				return "", err
			}
			s.tasks = append(s.tasks, w)
			s.w = w
			if out, err := s.takeAll(); err != nil {
				return out, err
			}
		}
		s.w = s.tasks[0]
		return "", nil
	case "task":
		i, err := strconv.Atoi(word(0))
		if err != nil {
			return "", err
		}
		s.w = s.tasks[i]
		s.printed = len(s.w.core.out)
		if s.w.core.pb == nil {
			return s.takeAll()
		}
		return "", nil
	case "budget":
		b := &s.w.cfg.Budget
		*b = Budget{}
		num("triggers", &b.Triggers)
		num("bytes", &b.Bytes)
		num("units", &b.Units)
		num("records", &b.Records)
		s.w.core.cfg.Budget = *b
		return "", err
	case "event":
		if err := s.addEvents(d.Input); err != nil {
			return "", err
		}
		return s.takeAll()
	case "many":
		count, err := 0, error(nil)
		num("count", &count)
		gap, _ := arg("every")
		amount, _ := arg("amount")
		kind, behavior := arg("type")
		prefix, named := arg("name")
		if !named {
			prefix = word(0)
		}
		d, err := playbook.ParseDuration(gap)
		if err != nil {
			return "", err
		}
		at := s.parse(word(1))
		var b strings.Builder
		for i := range count {
			name := fmt.Sprintf("%s-%d", prefix, i+1)
			if behavior {
				fmt.Fprintf(&b, "%s %s %s id=%s\n", word(0), instant(at), kind, kind+name)
			} else {
				fmt.Fprintf(&b, "%s %s PAID %s %s id=%s\n", word(0), instant(at), name, amount, name)
			}
			at += d
		}
		if err := s.addEvents(b.String()); err != nil {
			return "", err
		}
		return s.takeAll()
	case "dead":
		s.w.topics.add(Record{Input: schemas.OrderEvents, Dead: &Dead{word(0), word(1), "as the script says"},
			Raw: &Raw{Topic: "order-events", Value: []byte("?")}})
		return s.takeAll()
	case "more":
		return s.takeAll()
	case "tick":
		to := s.parse(word(0))
		if _, ok := arg("wall"); !ok {
			s.w.wall = max(s.w.wall, to)
		}
		done, err := s.w.core.Tick(to, s.w.wall)
		return s.stopped(done, "tick"), err
	case "sweep":
		n, _ := strconv.Atoi(word(0))
		done, err := s.w.core.Sweep(n, s.w.wall)
		out := s.fresh()
		if done {
			return out + "no sweep is left", err
		}
		return out + "more customers to sweep", err
	case "control":
		s.addControl(&schemas.Control{ControlID: word(0), Kind: word(0)})
		return s.takeAll()
	case "pause", "resume":
		b := Brake{Scope: PauseAll}
		for _, scope := range []string{PauseRule, PauseCampaign, PauseChannel} {
			if v, ok := arg(scope); ok {
				b.Scope, b.Name = scope, v
			}
		}
		b.Send = slices.ContainsFunc(d.CmdArgs, func(a datadriven.CmdArg) bool { return a.Key == "send" })
		r, err := NewBrake(d.Cmd, b, "script", s.w.wall)
		if err != nil {
			return "", err
		}
		s.addControl(r)
		return s.takeAll()
	case "transfer":
		var from, seq int
		num("from", &from)
		num("seq", &seq)
		kind, _ := arg("kind")
		s.w.topics.add(Record{Input: schemas.TransferInput, Transfer: &schemas.Transfer{FromTask: int32(from), ToTask: s.w.cfg.Task, Sequence: int64(seq), Kind: kind}})
		return s.takeAll()
	case "deliver":
		return s.deliver()
	case "commit":
		return s.commit(word(0), word(1))
	case "crash":
		percent := 100
		num("unsynced", &percent)
		s.printed = 0
		if percent == 100 { // the operating system lives on
			if err := s.w.store.Sync(); err != nil {
				return "", err
			}
		}
		return "", s.w.crash(percent, rand.New(rand.NewPCG(1, 2)))
	case "restore":
		return s.restore()
	case "standby":
		return s.standby()
	}
	return s.look(d.Cmd, word(0), word(1))
}

// look is the commands that change nothing.
func (s *script) look(cmd, id, at string) (string, error) {
	c := s.w.core
	switch cmd {
	case "state":
		e, err := c.customer(id)
		if err != nil {
			return "", err
		}
		return s.w.row(&e.Customer), nil
	case "timers":
		var all []timer
		ids, err := s.w.store.Customers(nil, "", true, 0)
		if err != nil {
			return "", err
		}
		c.cache.unapplied(func(e *entry) { ids = append(ids, e.ID) })
		sort.Strings(ids)
		for _, id := range slices.Compact(ids) {
			e, err := c.customer(id)
			if err != nil {
				return "", err
			}
			if e.Wake != 0 {
				all = append(all, timer{e.Wake, id})
			}
		}
		sort.Slice(all, func(i, j int) bool { return all[i].less(all[j]) })
		var b strings.Builder
		for _, t := range all {
			fmt.Fprintf(&b, "%s %s\n", instant(t.due), t.id)
		}
		return b.String(), nil
	case "journal":
		var b strings.Builder
		for _, raw := range s.w.journal {
			j, err := schemas.DecodeJournal(raw)
			if err != nil {
				return "", err
			}
			var parts []string
			for i := range j.Items {
				parts = append(parts, item(&j.Items[i]))
			}
			for _, d := range j.Dead {
				parts = append(parts, fmt.Sprintf("dead %s %d %s/%s", d.Input, d.Offset, d.Step, d.Reason))
			}
			fmt.Fprintf(&b, "%d: %s; published %d, clock %s\n", j.Sequence, strings.Join(parts, ", "), j.Triggers, instant(j.Clock))
		}
		return b.String(), nil
	case "position":
		p := c.Position()
		return fmt.Sprintf("journal %d, orders %d, behaviors %d, control %d, transfers %d, clock %s, fired %s", p.Sequence,
			p.Inputs[0], p.Inputs[1], p.Inputs[2], p.Inputs[3], instant(p.Clock), instant(p.Fired)), nil
	case "books":
		return s.books(id)
	case "values":
		e, err := c.customer(id)
		if err != nil {
			return "", err
		}
		c.group.serial++
		vals := c.group.values(history.View{C: &e.Customer, Zone: c.zone}, s.parse(at))
		var b strings.Builder
		for i, v := range vals[:c.group.external] {
			fmt.Fprintf(&b, "%s = %s\n", c.group.table.Ref(i), strings.Trim(fmt.Sprintf("%d %s", v.Int, v.Text), " "))
		}
		return b.String(), nil
	case "facts":
		e, err := c.customer(id)
		if err != nil {
			return "", err
		}
		t := max(c.pos.Clock, e.Latest)
		if at != "" {
			t = s.parse(at)
		}
		f := c.facts(e, history.View{C: &e.Customer, Zone: c.zone}, t)
		return fmt.Sprintf("orders %d, spend %s, in 365d %d, %s, aov %s, first %dd ago, last %dd ago, refunds %d\ntiers %v classes %v churn %v",
			f.Orders, money(f.SpendMinor), f.Orders365, money(f.Spend365Minor), money(f.AOVMinor), f.DaysSinceFirst, f.DaysSinceLast, f.Refunds,
			f.Tiers, f.Classes, f.Churn), nil
	}
	return "", fmt.Errorf("unknown command %s", cmd)
}

// books prints what the task's customers hold, or one of them.
func (s *script) books(id string) (string, error) {
	var b strings.Builder
	all := s.w.core.Books()
	for i, k := range s.w.core.ledgers {
		t := all[i].Totals
		if id != "" {
			e, err := s.w.core.customer(id)
			if err != nil {
				return "", err
			}
			a := e.Account(k.rid)
			if a == nil {
				continue
			}
			t = a.Now
		}
		fmt.Fprintf(&b, "%s:", k.pb.Name)
		for i, name := range TotalNames {
			if t[i] != 0 {
				fmt.Fprintf(&b, " %s %d", name, t[i])
			}
		}
		if id == "" && k.pb.Redeem.Points > 0 {
			fmt.Fprintf(&b, ", worth %s", money(all[i].Minor))
		}
		b.WriteByte('\n')
	}
	if id == "" {
		for _, n := range s.w.core.Named() {
			fmt.Fprintf(&b, "%s, %s: %d\n", n.Ledger, n.Name, n.Units)
		}
	}
	return b.String(), nil
}

// byDigit is the partitioner of scripts: by the first byte of a customer, a to task 0.
func byDigit(key []byte, tasks int32) int32 { return int32(key[0]-'a') % tasks }

func (s *script) addControl(r *schemas.Control) {
	s.control = append(s.control, Record{Input: schemas.ControlInput, Offset: schemas.Offset(len(s.control)), Control: r})
}

func (s *script) addEvents(lines string) error {
	for line := range strings.Lines(lines) {
		f := strings.Fields(line)
		if len(f) < 3 {
			continue
		}
		s.events++
		e := &schemas.Event{CustomerID: f[0], OccurredAt: s.parse(f[1]), EventID: "e" + strconv.Itoa(s.events)}
		in := schemas.OrderEvents
		rest := f[3:]
		if e.Order = schemas.ParseOrderType(f[2]); e.Order == schemas.OrderUnknown && f[2] != "UNKNOWN" {
			e.Kind, e.Type, in = schemas.Behavior, f[2], schemas.BehaviorEvents
		} else {
			e.OrderID, e.Currency = rest[0], s.w.core.pb.Currency
			rest = rest[1:]
			if len(rest) > 0 && !strings.Contains(rest[0], "=") {
				e.AmountMinor = minor(rest[0])
				rest = rest[1:]
			}
		}
		for _, o := range rest {
			k, v, _ := strings.Cut(o, "=")
			switch k {
			case "id":
				e.EventID = v
			case "customer":
				e.CustomerID = v
			case "order":
				e.OrderID = v
			case "currency":
				e.Currency = v
			case "minor":
				e.AmountMinor, _ = strconv.ParseInt(v, 10, 64)
			case "items":
				for _, it := range strings.Split(v, ",") {
					cat, a, _ := strings.Cut(it, ":")
					e.Items = append(e.Items, schemas.Item{Category: cat, AmountMinor: minor(a)})
				}
			case "channel":
				if strings.HasPrefix(e.Type, "consent.") || strings.HasPrefix(e.Type, "channel.") {
					e.Attributes = append(e.Attributes, schemas.Attribute{Key: k, Value: v}) // what it is about, not where it was said
					break
				}
				e.Channel = v
			default:
				if rule, rest, ok := strings.Cut(v, "/"); ok && k == "trigger_id" && strings.HasPrefix(rule, "$") {
					id, episode, _ := strings.Cut(rest, "/")
					n, _ := strconv.Atoi(episode)
					v = TriggerID(s.w.cfg.App, id, rule[1:], uint32(n), 0)
				}
				if e.Kind == schemas.Behavior {
					e.Attributes = append(e.Attributes, schemas.Attribute{Key: k, Value: v})
					break
				}
				return fmt.Errorf("unknown option %s", o)
			}
		}
		s.w.wall = max(s.w.wall, e.OccurredAt)
		if s.w.cfg.Epoch == 0 && strings.Contains(line, "wall=") {
			return fmt.Errorf("wall belongs to the command")
		}
		s.w.topics.add(Record{Input: in, Event: e})
	}
	return nil
}

func (s *script) takeAll() (string, error) {
	recs := s.w.waiting(0)
	n, err := s.w.lend(recs, s.w.wall)
	if err != nil {
		return "", err
	}
	out := ""
	if n < len(recs) {
		why := "the budget is spent, a commit is due"
		if b := s.w.core.Blocked(); b != "" {
			why = "waits for " + b
		}
		out = fmt.Sprintf("took %d of %d: %s\n", n, len(recs), why)
	}
	return s.fresh() + out, nil
}

func (s *script) stopped(done bool, what string) string {
	out := s.fresh()
	if done {
		return out
	}
	if b := s.w.core.Blocked(); b != "" {
		return out + what + " waits for " + b
	}
	return out + what + " stopped: the budget is spent, a commit is due"
}

// fresh prints what the core published since the last call.
func (s *script) fresh() string {
	var b strings.Builder
	for ; s.printed < len(s.w.core.out); s.printed++ {
		b.WriteString(s.w.record(&s.w.core.out[s.printed]) + "\n")
	}
	return b.String()
}

func (s *script) send(moves []*schemas.Transfer, controls []*schemas.Control) {
	for _, m := range moves {
		s.tasks[m.ToTask].topics.add(Record{Input: schemas.TransferInput, Transfer: m})
	}
	for _, m := range controls {
		s.addControl(m)
	}
}

func (s *script) commit(how, fate string) (string, error) {
	r := s.w.core.Ready()
	s.printed = 0
	if r == nil {
		return "nothing to commit", nil
	}
	switch {
	case how == "ok":
		s.w.land(r, s.send)
		return "", s.w.apply(r)
	case how == "unknown" && fate == "landed":
		// The transaction went through, and nobody heard of it.
		s.w.land(r, s.send)
	case how == "unknown" && fate == "lost", how == "fenced":
		// Nothing of it can be read.
	default:
		return "", fmt.Errorf("commit ok, unknown landed, unknown lost or fenced")
	}
	s.w.cfg.Epoch++
	return s.restore()
}

func (s *script) restore() (string, error) {
	n, err := s.w.restore()
	s.printed = 0
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("restored: the store was at %d, %d journal records replayed, the same hashes\n", s.w.core.Position().Sequence-int64(n), n), nil
}

func (s *script) deliver() (string, error) {
	now := s.w
	defer func() { s.w = now }()
	var out strings.Builder
	for again := true; again; {
		again = false
		for i, w := range s.tasks {
			s.w, s.printed = w, len(w.core.out)
			text, err := s.takeAll()
			if err != nil {
				return out.String(), err
			}
			for line := range strings.Lines(text) {
				fmt.Fprintf(&out, "task %d: %s", i, line)
			}
			if r := w.core.Ready(); r != nil {
				again = true
				w.land(r, s.send)
				if err := w.apply(r); err != nil {
					return out.String(), err
				}
				for _, m := range r.Transfers {
					fmt.Fprintf(&out, "task %d sends to task %d: %s %s of %s\n", i, m.ToTask, m.Kind, m.Name, instant(m.At))
				}
				for _, m := range r.Controls {
					fmt.Fprintf(&out, "task %d issues: %s %s from %s: %s\n", i, m.Kind, m.Name, instant(m.EffectiveAt), m.Body)
				}
			}
		}
	}
	s.printed = 0
	return out.String(), nil
}

func (s *script) standby() (string, error) {
	if r := s.w.core.Ready(); r != nil {
		s.printed = 0
		s.w.land(r, s.send)
		if err := s.w.apply(r); err != nil {
			return "", err
		}
	}
	other, err := newWorld(Config{Task: s.w.cfg.Task, Tasks: s.w.cfg.Tasks, CacheBytes: 0, Writer: "standby", Partition: byDigit}, &s.control)
	if err != nil {
		return "", err
	}
	defer other.close()
	other.topics, other.journal = s.w.topics, s.w.journal
	n, err := other.restore()
	if err != nil {
		return "", err
	}
	a, err := s.w.dump()
	if err != nil {
		return "", err
	}
	b, err := other.dump()
	if err != nil {
		return "", err
	}
	if d := difference(a, b); d != "" {
		return "", fmt.Errorf("the standby holds something else: %s", d)
	}
	return fmt.Sprintf("followed %d journal records and holds the same %d keys", n, len(a)), nil
}

func difference(a, b map[string]string) string {
	for k, v := range a {
		if w, ok := b[k]; !ok || w != v {
			return fmt.Sprintf("%q is %q there and %q here", k, b[k], v)
		}
	}
	for k := range b {
		if _, ok := a[k]; !ok {
			return fmt.Sprintf("%q is there alone", k)
		}
	}
	return ""
}

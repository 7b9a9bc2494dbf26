package report

import (
	"fmt"
	"io"
	"text/tabwriter"
)

const mib = 1 << 20

// Table prints a record for people, in Markdown, so that it can be put into a page.
func Table(w io.Writer, r *Record) error {
	t := &table{w: w}
	t.line("\n%s, %s, %d cores, %.0f GiB, %s, %s; broker: %s; playbook %s", r.Date, r.Machine.CPU, r.Machine.Cores, float64(r.Machine.MemoryBytes)/(1<<30), r.Machine.Kernel, r.Machine.Go, r.Broker, r.Playbook)
	t.line("load average before: %s; version %s", r.Machine.LoadBefore, r.Version)
	if r.Note != "" {
		t.line("note: %s", r.Note)
	}
	if len(r.Throughput) > 0 {
		t.head("customers", "events", "part", "events/s", "CPU s/M", "triggers/event", "allocs/event", "B alloc/event", "broker CPU s", "others' cores")
		for _, x := range r.Throughput {
			name := fmt.Sprint(x.Customers)
			if len(x.Profiles) > 0 {
				name += " (profiled)"
			}
			for _, p := range [...]struct {
				part string
				Phase
			}{{"whole", x.Whole}, {"steady", x.Steady}} {
				if p.EventsPerSecond == 0 {
					continue // too short to tell
				}
				t.row(name, fmt.Sprintf("%.0f", p.Events), p.part, fmt.Sprintf("%.0f", p.EventsPerSecond), f2(p.CPUSecondsPerMillion), fmt.Sprintf("%.3f", p.TriggersPerEvent),
					f1(p.AllocsPerEvent), fmt.Sprintf("%.0f", p.AllocBytesPerEvent), f1(p.BrokerCPUSeconds), f2(p.OthersCores))
			}
		}
		t.end()
		t.head("customers", "peak RSS MiB", "disk MiB running", "stopped", "goal", "stored orders", "timers", "row B/customer", "journal B/event", "commits", "timers fired", "dead")
		for _, x := range r.Throughput {
			if len(x.Profiles) > 0 {
				continue
			}
			t.row(fmt.Sprint(x.Customers), fmt.Sprintf("%.0f", float64(x.PeakRSSBytes)/mib), fmt.Sprintf("%.0f", float64(x.DiskRunningBytes)/mib), fmt.Sprintf("%.0f", float64(x.DiskStoppedBytes)/mib),
				fmt.Sprintf("%.0f", float64(x.DiskGoalBytes)/mib), fmt.Sprint(x.Orders), fmt.Sprint(x.Timers), fmt.Sprintf("%.0f", float64(x.RowBytes)/float64(max(x.StoredCustomers, 1))),
				fmt.Sprintf("%.3f", x.JournalPerEvent), fmt.Sprintf("%.0f", x.Commits), fmt.Sprintf("%.0f", x.TimersFired), fmt.Sprintf("%.0f", x.DeadLetters))
		}
		t.end()
	}
	if len(r.Latency) > 0 {
		t.head("events/s", "marked", "received", "twice", "p50 ms", "p90", "p99", "p99.9", "max", "publish p50", "publish p99", "cores used", "broker's cores", "journal B/event", "others' cores")
		for _, x := range r.Latency {
			t.row(fmt.Sprint(x.EventsPerSecond), fmt.Sprint(x.Marked), fmt.Sprint(x.Received), fmt.Sprint(x.Twice), f1(x.P50), f1(x.P90), f1(x.P99), f1(x.P999), f1(x.Max), f1(x.PublishP50), f1(x.PublishP99), f2(x.CPUCores), f2(x.BrokerCores), f1(x.JournalBytesPerEvent), f2(x.OthersCores))
		}
		t.end()
	}
	if len(r.Restart) > 0 {
		t.head("restart: customers", "ready s", "first event s", "caught up s", "events behind", "others' cores")
		for _, x := range r.Restart {
			t.row(fmt.Sprint(x.Customers), f2(x.Ready), f2(x.FirstEvent), f2(x.CaughtUp), fmt.Sprintf("%.0f", x.Behind), f2(x.OthersCores))
		}
		t.end()
	}
	if len(r.TakeOver) > 0 {
		t.head("take-over by a standby: customers", "events/s", "session timeout s", "tasks", "all running s", "first commits s", "others' cores")
		for _, x := range r.TakeOver {
			t.row(fmt.Sprint(x.Customers), fmt.Sprint(x.Rate), f2(x.SessionTimeout), fmt.Sprint(x.Tasks), f2(x.Ready), f2(x.FirstCommit), f2(x.OthersCores))
		}
		t.end()
	}
	if len(r.Restore) > 0 {
		t.head("empty disk: customers", "checkpoints at", "checkpoint MiB", "saved after s", "ready s", "others' cores")
		for _, x := range r.Restore {
			at := x.Address
			if at == "" {
				at = "a folder"
			}
			t.row(fmt.Sprint(x.Customers), at, fmt.Sprintf("%.0f", float64(x.Bytes)/mib), f2(x.CheckpointTook), f2(x.Ready), f2(x.OthersCores))
		}
		t.end()
	}
	if len(r.Replay) > 0 {
		t.head("replay: customers", "events", "events/s", "CPU s/M", "peak RSS MiB", "triggers", "others' cores")
		for _, x := range r.Replay {
			t.row(fmt.Sprint(x.Customers), fmt.Sprint(x.Events), fmt.Sprintf("%.0f", x.EventsPerSecond), f2(x.CPUPerMillion), fmt.Sprintf("%.0f", float64(x.PeakRSSBytes)/mib), fmt.Sprintf("%.0f", x.Triggers), f2(x.OthersCores))
		}
		t.end()
	}
	if len(r.Silence) > 0 {
		t.head("timers armed", "due in one second", "received", "twice", "p50 ms", "p99", "max", "others' cores")
		for _, x := range r.Silence {
			t.row(fmt.Sprint(x.Armed), fmt.Sprint(x.Due), fmt.Sprint(x.Received), fmt.Sprint(x.Twice), f1(x.P50), f1(x.P99), f1(x.Max), f2(x.OthersCores))
		}
		t.end()
	}
	if len(r.Scale) > 0 {
		t.head("customers", "partitions", "processes", "whole CPU s/M", "steady CPU s/M", "whole events/s", "steady", "peak RSS MiB", "disk MiB", "others' cores")
		for _, x := range r.Scale {
			t.row(fmt.Sprint(x.Customers), fmt.Sprint(x.Partitions), fmt.Sprint(x.Processes), f1(x.Whole.CPUSecondsPerMillion), f1(x.Steady.CPUSecondsPerMillion),
				fmt.Sprintf("%.0f", x.Whole.EventsPerSecond), fmt.Sprintf("%.0f", x.Steady.EventsPerSecond), fmt.Sprintf("%.0f", float64(x.PeakRSSBytes)/mib), fmt.Sprintf("%.0f", float64(x.DiskBytes)/mib), f2(x.Whole.OthersCores))
		}
		t.end()
	}
	if len(r.Peers) > 0 {
		t.head("customers", "program", "round", "whole CPU s/M", "steady CPU s/M", "second half", "whole events/s", "steady", "triggers", "peak RSS MiB", "disk MiB", "broker CPU s", "others' cores")
		for _, x := range r.Peers {
			t.row(fmt.Sprint(x.Customers), x.Program, fmt.Sprint(x.Round), f1(x.Whole.CPUSecondsPerMillion), f1(x.Steady.CPUSecondsPerMillion), f1(x.Second.CPUSecondsPerMillion),
				fmt.Sprintf("%.0f", x.Whole.EventsPerSecond), fmt.Sprintf("%.0f", x.Steady.EventsPerSecond), fmt.Sprintf("%.0f", x.Triggers),
				fmt.Sprintf("%.0f", float64(x.PeakRSSBytes)/mib), fmt.Sprintf("%.0f", float64(x.DiskBytes)/mib), f1(x.Whole.BrokerCPUSeconds), f2(x.Whole.OthersCores))
		}
		t.end()
		t.ratios(r.Peers)
	}
	return t.err
}

// ratios prints, for each size, how many times the CPU and the time of Tidemark
// another program needs, over the sums of all rounds.
func (t *table) ratios(peers []Peer) {
	type sums struct{ cpu, steady, seconds, rounds float64 }
	type key struct {
		customers int
		program   string
	}
	all := map[key]sums{}
	var order []key
	for _, x := range peers {
		k := key{x.Customers, x.Program}
		s, there := all[k]
		if !there {
			order = append(order, k)
		}
		s.cpu, s.steady, s.seconds, s.rounds = s.cpu+x.Whole.CPUSecondsPerMillion, s.steady+x.Steady.CPUSecondsPerMillion, s.seconds+x.Whole.Seconds, s.rounds+1
		all[k] = s
	}
	t.head("customers", "against tidemark", "CPU whole", "CPU steady", "time whole", "rounds")
	for _, k := range order {
		own, there := all[key{k.customers, "tidemark"}]
		if s := all[k]; there && k.program != "tidemark" && own.cpu > 0 && own.steady > 0 {
			t.row(fmt.Sprint(k.customers), k.program, f1(s.cpu/own.cpu*own.rounds/s.rounds), f1(s.steady/own.steady*own.rounds/s.rounds), f1(s.seconds/own.seconds*own.rounds/s.rounds), fmt.Sprint(s.rounds))
		}
	}
	t.end()
}

func f1(x float64) string { return fmt.Sprintf("%.1f", x) }
func f2(x float64) string { return fmt.Sprintf("%.2f", x) }

type table struct {
	w   io.Writer
	tw  *tabwriter.Writer
	err error
}

func (t *table) line(format string, args ...any) {
	if _, err := fmt.Fprintf(t.w, format+"\n", args...); err != nil && t.err == nil {
		t.err = err
	}
}

func (t *table) head(names ...string) {
	t.line("")
	t.tw = tabwriter.NewWriter(t.w, 0, 0, 1, ' ', 0)
	t.row(names...)
	for range names {
		fmt.Fprint(t.tw, "| ---\t")
	}
	fmt.Fprintln(t.tw, "|")
}

func (t *table) row(cells ...string) {
	for _, c := range cells {
		fmt.Fprintf(t.tw, "| %s\t", c)
	}
	fmt.Fprintln(t.tw, "|")
}

func (t *table) end() {
	if err := t.tw.Flush(); err != nil && t.err == nil {
		t.err = err
	}
}

package core

import (
	"fmt"
	"reflect"
	"slices"

	"tidemark/playbook"
	"tidemark/schemas"
)

// Difference is what a new playbook does to the one in force. Rules are named
// as in the playbook, in its order.
type Difference struct {
	Added, Changed []string // rules by which every customer is armed, without a trigger
	Removed        []string // rules that say nothing from then on
	// Missing names one by one the facts that the new one needs and that the state
	// of the one in force does not hold; with any of them it must not be put in force.
	Missing []string
}

// Compare finds the difference. kept is how far back the state holds history; a
// playbook's horizon, or less if it was put in force a short while ago.
func Compare(was, now *playbook.Playbook, kept schemas.EventTime) Difference {
	var d Difference
	before, after := ruleNames(was), ruleNames(now)
	for _, name := range changed(was, now) {
		if slices.Contains(before, name) {
			d.Changed = append(d.Changed, name)
		} else {
			d.Added = append(d.Added, name)
		}
	}
	for i := range now.Recall {
		r, name := now.Recall[i], now.Recall[i].Name
		k := slices.IndexFunc(was.Recall, func(o playbook.Recall) bool { return o.Name == name })
		switch {
		case k < 0:
			d.Added = append(d.Added, name)
		default:
			o := was.Recall[k]
			same := sourceOf(o.Audience) == sourceOf(r.Audience) && was.Churn[o.Churn].Name == now.Churn[r.Churn].Name
			o.Audience, o.Churn, r.Audience, r.Churn = nil, 0, nil, 0
			if !same || !reflect.DeepEqual(o, r) {
				d.Changed = append(d.Changed, name)
			}
		}
	}
	for _, name := range before {
		if !slices.Contains(after, name) {
			d.Removed = append(d.Removed, name)
		}
	}
	d.Missing = missing(was, now, kept)
	return d
}

func sourceOf(c playbook.Condition) string {
	if c == nil {
		return ""
	}
	return c.Source()
}

func ruleNames(p *playbook.Playbook) (names []string) {
	for i := range p.Tiers {
		names = append(names, p.Tiers[i].Name)
	}
	for i := range p.RFM {
		names = append(names, p.RFM[i].Name)
	}
	for i := range p.Churn {
		names = append(names, p.Churn[i].Name)
	}
	for i := range p.Phases {
		names = append(names, p.Phases[i].Name)
	}
	for i := range p.Recall {
		names = append(names, p.Recall[i].Name)
	}
	for i := range p.Tasks {
		names = append(names, p.Tasks[i].Name)
	}
	return names
}

// missing goes through what decides how events are kept: what was not kept, or
// kept in another way, is not there for a new rule.
func missing(was, now *playbook.Playbook, kept schemas.EventTime) (out []string) {
	say := func(format string, args ...any) { out = append(out, fmt.Sprintf(format, args...)) }
	if was.Clock != now.Clock {
		say("clock: a history (input) and a live app can't become each other")
	}
	if was.Zone.String() != now.Zone.String() {
		say("time_zone: older orders are kept as sums of the local days of %s, not of %s", was.Zone, now.Zone)
	}
	if was.Currency != now.Currency {
		say("currency: amounts are kept in %s, not in %s", was.Currency, now.Currency)
	}
	if was.CountsAtPlaced != now.CountsAtPlaced {
		say("counts_at: orders are kept as they counted, and not by the other event")
	}
	if was.Salt != now.Salt {
		say("salt: ids of events are kept as hashes by the salt in force (default: the playbook's name); a repeat would count again")
	}
	if !slices.Equal(omitted(was), omitted(now)) {
		say("growth omit_categories: what an order earns was fixed by %q when it came, not by %q", omitted(was), omitted(now))
	}
	for i := 1; i < len(now.Streams); i++ {
		s := &now.Streams[i]
		if s.Task || !reads(now, i) { // of a task that is new nothing was done
			continue
		}
		k := slices.IndexFunc(was.Streams, func(o playbook.Stream) bool { return o.Name == s.Name })
		what := "core_behavior"
		if s.Holds {
			what = "gauge"
		}
		switch {
		case k < 1 || !reads(was, k):
			say("%s %q: its events have not been kept", what, s.Name)
		case !sameStream(&was.Streams[k], s):
			say("%s %q: its events were kept by another definition", what, s.Name)
		}
	}
	window := func(what, name string, w schemas.EventTime) {
		if w > kept {
			say("%s %q: looks back %s, and history is kept for %s", what, name, playbook.FormatDuration(w), playbook.FormatDuration(kept))
		}
	}
	for i := range now.Facts {
		f := &now.Facts[i]
		window("value", f.Name, max(f.Window.Rolling, f.OfWindow.Rolling, cycleLength(f.Window), cycleLength(f.OfWindow)))
	}
	for i := range now.Tiers {
		window("tiers", now.Tiers[i].Name, now.Tiers[i].Window)
	}
	for i := range now.RFM {
		window("rfm", now.RFM[i].Name, now.RFM[i].Window)
	}
	return out
}

// cycleLength is the longest that a cycle can be.
func cycleLength(w playbook.Window) schemas.EventTime {
	return map[string]schemas.EventTime{"day": schemas.Day, "week": 7 * schemas.Day, "month": 31 * schemas.Day,
		"quarter": 92 * schemas.Day, "year": 366 * schemas.Day}[w.Cycle]
}

func omitted(p *playbook.Playbook) (all []string) {
	for i := range p.Growth {
		all = append(all, p.Growth[i].OmitCategories...)
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// reads says whether the events of a stream are kept.
func reads(p *playbook.Playbook, i int) bool {
	return slices.ContainsFunc(p.Facts, func(f playbook.Fact) bool { return f.Stream == i || f.Other == i }) ||
		slices.ContainsFunc(p.RFM, func(r playbook.RFM) bool { return r.Stream == i }) ||
		slices.ContainsFunc(p.Churn, func(k playbook.Churn) bool { return k.Stream == i }) ||
		slices.ContainsFunc(p.Tasks, func(t playbook.Task) bool {
			return t.Ever && slices.ContainsFunc(t.Steps, func(s playbook.TaskStep) bool { return s.Stream == i || s.MakeUp == i })
		})
}

func sameStream(a, b *playbook.Stream) bool {
	x, y := *a, *b
	same := (x.When == nil) == (y.When == nil) && (x.When == nil || x.When.Source() == y.When.Source())
	x.When, y.When = nil, nil
	return same && reflect.DeepEqual(x, y)
}

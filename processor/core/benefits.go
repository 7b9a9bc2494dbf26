package core

import (
	"slices"

	"tidemark/playbook"
	"tidemark/processor/history"
	"tidemark/processor/ledger"
	"tidemark/schemas"
	"tidemark/state"
)

// A source is what grants a benefit to whoever stands in some phases of a rule, or
// was sent a campaign. When she came and went follows from the log of that rule, so
// what is corrected there is corrected here.
type source struct {
	pb     *playbook.Source
	key    uint64
	rule   rule
	phases []bool // by phase of the rule
	recall *recallRule
}

func (c *Core) bindSources(k *bookRule) {
	for i := range k.pb.Sources {
		p := &k.pb.Sources[i]
		s := source{pb: p, key: c.hash('g', k.pb.Name+"\x00"+p.Table+"\x00"+p.Name)}
		switch p.Table {
		case "campaign":
			for _, r := range c.recalls {
				if r.pb.Name == p.Name {
					s.recall = r
				}
			}
		default:
			o := c.outerOf(c.group, playbook.Ref{Table: p.Table, Key: p.Name})
			if o.rule == nil {
				break
			}
			s.rule, s.phases = o.rule, make([]bool, phaseCount(o.rule))
			for i := range s.phases {
				switch {
				case p.Table == "tier":
					s.phases[i] = slices.Contains(p.Phases, nameOf(o.rule, int32(i)))
				case o.want >= 0:
					s.phases[i] = int32(i) == o.want
				default:
					s.phases[i] = i == 1
				}
			}
			k.within = min(k.within, o.rule.common().CorrectWithin)
		}
		if s.recall != nil {
			k.within = min(k.within, s.recall.pb.CorrectWithin)
		}
		k.sources = append(k.sources, s)
	}
}

// firstSeen is the first instant of a customer's history.
func firstSeen(c *state.Customer) (first schemas.EventTime) {
	take := func(t schemas.EventTime, there bool) {
		if there && (first == 0 || t < first) {
			first = max(t, 1)
		}
	}
	take(c.Base.First, c.Base.Count > 0)
	for i := range c.MarkBases {
		take(c.MarkBases[i].First, true)
	}
	if len(c.Days) > 0 {
		take(c.Days[0].Last, true)
	}
	if len(c.MarkDays) > 0 {
		take(c.MarkDays[0].Last, true)
	}
	if len(c.Orders) > 0 {
		take(c.Orders[0].At, true)
	}
	if len(c.Marks) > 0 {
		take(c.Marks[0].At, true)
	}
	return first
}

// givenTo lists what a benefit's sources granted after the account was closed, and
// says when time alone grants again; 0: never.
func (c *Core) givenTo(v history.View, k *bookRule, a *state.Account, at schemas.EventTime) (out []ledger.Given, next schemas.EventTime) {
	for slot := range k.sources {
		s := &k.sources[slot]
		if s.recall != nil {
			out = c.sentTo(out, v, s)
			continue
		}
		if s.rule == nil {
			continue
		}
		st := v.C.Rule(s.rule.id())
		if st == nil {
			continue
		}
		in := func(t schemas.EventTime) bool {
			p := phaseAt(v.C, s.rule, t)
			return p >= 0 && int(p) < len(s.phases) && s.phases[p]
		}
		from, was := a.AsOf, false
		var turns []schemas.EventTime
		if first := firstSeen(v.C); first == 0 {
			continue
		} else if from < first {
			from = first - 1
			turns = append(turns, first)
		} else {
			was = in(from)
		}
		add := func(t schemas.EventTime) {
			if t > from && t <= at {
				turns = append(turns, t)
			}
		}
		for i := range st.Log {
			add(st.Log[i].At)
			add(st.Log[i].Ended)
		}
		if s.pb.Every != "" {
			t, _ := c.zone.Cycle(s.pb.Every, from)
			for t <= at {
				add(t)
				t, _ = c.zone.Cycle(s.pb.Every, t)
			}
			if in(at) {
				next = sooner(next, t)
			}
		}
		slices.Sort(turns)
		turns = slices.Compact(turns)
		for _, t := range turns {
			is := in(t)
			g := ledger.Given{At: t, Source: s.key, Units: s.pb.Units, Slot: -1}
			begins := is && !was
			if s.pb.Every != "" {
				g.Slot = slot
				g.Cycle, _ = c.zone.CycleStart(s.pb.Every, t)
				begins = begins || is && t == g.Cycle
				g.Key = mix(s.key, uint64(g.Cycle))
			} else {
				g.Key = mix(s.key, uint64(t))
			}
			switch {
			case begins:
				out = append(out, g)
			case was && !is && k.pb.Revoke:
				g.Revoke, g.Key = true, mix(s.key, ^uint64(t))
				out = append(out, g)
			}
			was = is
		}
	}
	return out, next
}

// sentTo lists the touches of a campaign that grant.
func (c *Core) sentTo(out []ledger.Given, v history.View, s *source) []ledger.Given {
	st := v.C.Rule(s.recall.rd)
	if st == nil {
		return out
	}
	for i := range st.Log {
		f := &st.Log[i]
		if f.To >= 0 && f.Withheld == sent {
			out = append(out, ledger.Given{At: f.At + s.recall.pb.SendAfter, Key: mix(s.key, uint64(f.Episode)), Source: s.key, Units: s.pb.Units, Slot: -1})
		}
	}
	return out
}

// mix makes one key of two (the finaliser of MurmurHash3, by Appleby).
func mix(a, b uint64) uint64 {
	x := a ^ b*0x9e3779b97f4a7c15
	x ^= x >> 33
	x *= 0xff51afd7ed558ccd
	x ^= x >> 33
	x *= 0xc4ceb9fe1a85ec53
	return x ^ x>>33
}

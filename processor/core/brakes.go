package core

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/cespare/xxhash/v2"

	"tidemark/playbook"
	"tidemark/processor/history"
	"tidemark/schemas"
	"tidemark/state"
)

// Kinds of control records that hold triggers back and let them go.
const (
	ControlPause  = "pause"
	ControlResume = "resume"
)

// Scopes of a pause.
const (
	PauseRule     = "rule"
	PauseCampaign = "campaign"
	PauseChannel  = "channel"
	PauseAll      = "all"
)

// Brake is the body of a pause or of a resume, as JSON.
type Brake struct {
	Scope  string `json:"scope"`            // rule, campaign, channel, all
	Name   string `json:"name"`             // "" for all
	Reason string `json:"reason,omitempty"` // for people
	Send   bool   `json:"send,omitempty"`   // of a resume: what was held is sent; else it is discarded
}

// errBrake says what a pause may be.
var errBrake = errors.New("core: a pause is of rule NAME, campaign NAME, channel NAME or all")

// NewBrake makes a control record that pauses or resumes.
func NewBrake(kind string, b Brake, by string, at schemas.EventTime) (*schemas.Control, error) {
	switch b.Scope {
	case PauseRule, PauseCampaign, PauseChannel:
		if b.Name == "" {
			return nil, fmt.Errorf("%w: no name", errBrake)
		}
	case PauseAll:
		b.Name = ""
	default:
		return nil, fmt.Errorf("%w: %q", errBrake, b.Scope)
	}
	body, _ := json.Marshal(b)
	return &schemas.Control{ControlID: fmt.Sprintf("%s-%s-%s-%d", kind, b.Scope, b.Name, at), Kind: kind, Name: b.Name, EffectiveAt: at, Body: body, IssuedBy: by, IssuedAt: at}, nil
}

const sweepResume = "resume"

// untilResume is the due of what waits for a resume.
const untilResume schemas.EventTime = 1 << 61

// brake takes a pause or a resume from the control topic. It is in force from this
// record on, at one journaled position of the task.
func (c *Core) brake(r *schemas.Control) error {
	var b Brake
	if err := json.Unmarshal(r.Body, &b); err != nil {
		return fmt.Errorf("core: %s in the control topic: %w", r.Kind, err)
	}
	same := func(o Brake) bool { return o.Scope == b.Scope && o.Name == b.Name }
	at := slices.IndexFunc(c.ts.Pauses, same)
	c.tsDirty = true
	switch {
	case r.Kind == ControlPause && at < 0:
		c.ts.Pauses = append(c.ts.Pauses, b)
	case r.Kind == ControlResume && at >= 0:
		c.ts.Pauses = append(c.ts.Pauses[:at], c.ts.Pauses[at+1:]...)
		s := sweepState{Kind: sweepResume, Name: r.ControlID, From: max(c.pos.Clock, 1)}
		if b.Send {
			s.Rules = []string{"send"}
		}
		c.beginSweep(s)
	}
	return nil
}

// paused says whether a rule is: by its name, or with all.
func (c *Core) paused(rule string) bool {
	for i := range c.ts.Pauses {
		switch p := &c.ts.Pauses[i]; p.Scope {
		case PauseAll:
			return true
		case PauseRule, PauseCampaign:
			if p.Name == rule {
				return true
			}
		}
	}
	return false
}

func (c *Core) pausedChannel(channel string) bool {
	for i := range c.ts.Pauses {
		if p := &c.ts.Pauses[i]; p.Scope == PauseChannel && p.Name == channel && channel != "" {
			return true
		}
	}
	return false
}

// waits says whether a touch must wait for a resume: its rule is paused, or the only
// channel that it may take.
func (c *Core) waits(rule, channel string) bool {
	return len(c.ts.Pauses) > 0 && (c.paused(rule) || c.pausedChannel(channel))
}

// brakes says whether a trigger of a rule that holds nothing is paused.
func (c *Core) brakes(name string, t schemas.Trigger) bool {
	if strings.HasSuffix(name, "/experiment") {
		return false
	}
	channel := ""
	switch t := t.(type) {
	case *schemas.RecallTrigger:
		channel = t.Channel
	case *schemas.EngagementTrigger:
		channel = t.Channel
	}
	return c.waits(name, channel)
}

// rolledOut says whether a rule touches a customer yet: test customers first, then
// the share of the others that the playbook says, by a hash, so that whoever was in
// stays in when the share grows.
func (c *Core) rolledOut(e *entry, rule string, t *playbook.Touching) bool {
	if t.RolloutPPM >= 1_000_000 || c.pb.TestCustomers[e.ID] {
		return true
	}
	h := xxhash.Sum64String(rule + "\x00rollout\x00" + e.ID)
	return int64(h%1_000_000) < t.RolloutPPM
}

// resumeOne lets go of what a customer's rules held, or discards it.
func (c *Core) resumeOne(e *entry, v history.View, send bool) {
	now := max(c.pos.Clock, e.Latest)
	for _, k := range c.recalls {
		st := e.Rule(k.rd)
		if st.Phase != recallPending || st.Due != untilResume || c.paused(k.pb.Name) {
			continue
		}
		due := st.Since + k.pb.SendAfter
		switch late := k.pb.ExpireAfter > 0 && now >= due+k.pb.ExpireAfter; {
		case send && !late:
			st.Due = now
		default:
			st.Phase, st.Due = recallIdle, 0
			st.Episode++
			f := state.Firing{Episode: st.Episode, At: st.Since, From: int32(st.Aux), To: int32(c.draw(e, k.rd, &k.pb.Touching, due)), Withheld: withheldPaused}
			t := c.recallTrigger(e, v, k, &f, c.facts(e, v, now), c.churn[k.pb.Churn])
			c.discard(e, k.pb.Name, &f, t, late && send)
			st.Log = append(st.Log, f)
		}
	}
	for _, k := range c.moments {
		st := e.Rule(k.rd)
		if c.paused(k.pb.Name) {
			continue
		}
		for i := range st.Log {
			f := &st.Log[i]
			if f.Withheld != momentHeld || f.Ended != untilResume {
				continue
			}
			switch late := k.pb.ExpireAfter > 0 && now >= f.At+k.pb.ExpireAfter; {
			case send && !late:
				f.Ended = now
				if st.Due == 0 || now < st.Due {
					st.Due = now
				}
			default:
				f.Withheld, f.Ended = withheldPaused, 0
				c.discard(e, k.pb.Name, f, c.momentTrigger(e, v, k, f, c.dated(v, k), momentOf(f), nil), late && send)
			}
		}
	}
	for _, k := range c.sops {
		st := e.Rule(k.rd)
		if st.Phase != sopWaiting || st.Due != untilResume || c.paused(k.pb.Name) {
			continue
		}
		if send { // what expired meanwhile is seen when it is due
			st.Due = now
			continue
		}
		p := pending(st)
		version, step, ok := k.place(st, uint32(p.To))
		st.Episode++
		f := state.Firing{Episode: st.Episode, At: p.At, From: p.From, To: p.To, Withheld: withheldPaused}
		c.discard(e, k.pb.Name, &f, c.stepTrigger(e, k, st, &f, nil, ""), false)
		st.Log = append(st.Log, f)
		if !ok {
			st.Phase, st.Due = sopIdle, 0
			continue
		}
		c.next(e, v, k, st, version, leads(step, k.pb.Versions[version].Steps[step].Then), p.From, now)
	}
	if send {
		for _, r := range c.rule {
			c.resendOf(e, v, r)
		}
		if c.group != nil {
			for _, r := range c.group.rules {
				c.resendOf(e, v, r)
			}
		}
	}
}

// discard tells that what was held is not sent.
func (c *Core) discard(e *entry, name string, f *state.Firing, t schemas.Trigger, late bool) {
	c.head(e, name, f, schemas.Fired, "", t)
	if late {
		f.Withheld = withheldStale
		c.suppress(e.ID, t, SuppressedStale, "it expired while its rule was paused", "")
		return
	}
	c.suppress(e.ID, t, SuppressedPaused, "discarded by the resume", "")
}

// resendOf publishes what a rule that holds nothing said while it was paused, and is
// still true: FIRED again, as the next revision of what went to suppressed-triggers.
func (c *Core) resendOf(e *entry, v history.View, r rule) {
	st := e.Rule(r.id())
	if st == nil || c.paused(r.common().Name) {
		return
	}
	for i := range st.Log {
		f := &st.Log[i]
		if f.Withheld != withheldPaused || f.Ended != 0 {
			continue
		}
		t := r.trigger(v, &move{at: f.At, facts: f.At, from: f.From, to: f.To, aux: r.resume(v, f.At)})
		f.Revision++
		f.Withheld, f.Hash = sent, c.valueHash(t)
		c.head(e, r.common().Name, f, schemas.Fired, "", t)
		t.TriggerHead().Evidence = append(t.TriggerHead().Evidence, schemas.Evidence{Fact: "resumed", Value: "true", Comparison: "==", Limit: "true"})
		c.emit(t, t.Topic(), e.ID)
		noteSent(r.common(), st, f.At)
	}
}

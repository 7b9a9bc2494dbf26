package core

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"strconv"
	"strings"

	"github.com/cespare/xxhash/v2"

	"tidemark/playbook"
	"tidemark/schemas"
	"tidemark/state"
)

// Out is one record to publish on an out topic, on the task's own partition.
type Out struct {
	Topic       schemas.Topic
	Key         string
	Body        []byte            // Avro, without the wire header
	Record      schemas.Record    // nil for triggers with Config.BytesOnly
	Rule        string            // of the playbook; "" for dead letters
	Kind        string            // the trigger's; a recall's campaign; why it was withheld or dead-lettered
	ID          string            // trigger_id or dead_letter_id; the CloudEvents id
	EffectiveAt schemas.EventTime // the CloudEvents time
	Status      string            // "" for dead letters
	Trace       []byte            // traceparent of the event that caused it; nil: none
}

// Reasons of suppressed triggers, stable codes.
const (
	SuppressedHistory  = "history"
	SuppressedStale    = "stale"
	SuppressedHoldout  = "holdout"
	SuppressedCoolDown = "cool_down"
	SuppressedOnce     = "once"
	// By the touch policy.
	SuppressedCap           = "cap"
	SuppressedQuietHours    = "quiet_hours"
	SuppressedConsent       = "consent"
	SuppressedPurpose       = "purpose"
	SuppressedExcluded      = "excluded"
	SuppressedUnreachable   = "unreachable"
	SuppressedLowerPriority = "lower_priority"
	SuppressedDistance      = "distance"
	SuppressedBudget        = "budget" // of a ledger, or the stock of a benefit
	// By an operator, or by how far a rule is rolled out.
	SuppressedPaused  = "paused"
	SuppressedRollout = "rollout"
)

// withheld numbers the reasons for rows; the numbers never change. 0: it was sent.
var withheld = [...]string{"", SuppressedHistory, SuppressedStale, SuppressedHoldout, SuppressedCoolDown, SuppressedOnce,
	SuppressedCap, SuppressedQuietHours, SuppressedConsent, SuppressedPurpose, SuppressedExcluded, SuppressedUnreachable, SuppressedLowerPriority, SuppressedDistance, SuppressedPaused, SuppressedRollout}

const (
	sent uint8 = iota
	withheldHistory
	withheldStale
	withheldHoldout
	withheldCoolDown
	withheldOnce
	withheldCap
	withheldQuiet
	withheldConsent
	withheldPurpose
	withheldExcluded
	withheldUnreachable
	withheldPriority
	withheldDistance
	withheldPaused
	withheldRollout
)

// TriggerID is the first 16 bytes, in hex, of the SHA-256 over app, customer,
// rule, episode and revision, joined by NUL bytes, numbers in decimal.
func TriggerID(app, customer, rule string, episode, revision uint32) string {
	b := make([]byte, 0, 128)
	b = append(append(b, app...), 0)
	b = append(append(b, customer...), 0)
	b = append(append(b, rule...), 0)
	b = append(strconv.AppendUint(b, uint64(episode), 10), 0)
	b = strconv.AppendUint(b, uint64(revision), 10)
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:16])
}

// triggerID is the id of a revision of an episode of a customer's.
func (c *Core) triggerID(e *entry, rule string, episode, revision uint32) string {
	return TriggerID(c.cfg.App, e.ID, rule, e.episodes+episode, revision)
}

// publish gives a trigger its head and puts it out, or withholds it. A later
// revision goes where the first went. It returns why it was withheld.
func (c *Core) publish(e *entry, name string, f *state.Firing, status, cause string, maxAge schemas.EventTime, t schemas.Trigger) uint8 {
	c.head(e, name, f, status, cause, t)
	why := f.Withheld
	if status == schemas.Fired && why != withheldCoolDown && why != withheldOnce {
		why = c.withhold(f.At, maxAge, t)
		if why == sent && len(c.ts.Pauses) > 0 && c.brakes(name, t) {
			why = withheldPaused
		}
	}
	if why == sent {
		c.emit(t, t.Topic(), e.ID)
	} else {
		c.suppress(e.ID, t, withheld[why], "", "")
	}
	return why
}

// head fills what every trigger begins with.
func (c *Core) head(e *entry, name string, f *state.Firing, status, cause string, t schemas.Trigger) {
	h := t.TriggerHead()
	h.TriggerID = c.triggerID(e, name, f.Episode, f.Revision)
	if f.Revision > 0 {
		was := c.triggerID(e, name, f.Episode, f.Revision-1)
		h.Corrects = &was
	}
	h.CustomerID = e.ID
	h.Rule = name
	h.PlaybookVersion = c.pb.Version
	h.Episode = int64(e.episodes) + int64(f.Episode)
	h.Status = status
	h.EffectiveAt = f.At
	if cause != "" {
		h.CausedBy = &cause
	}
}

// withhold says why a trigger that would be fired now must not be sent.
func (c *Core) withhold(effective schemas.EventTime, maxAge schemas.EventTime, t schemas.Trigger) uint8 {
	if effective < c.ts.FireFrom {
		return withheldHistory
	}
	if maxAge > 0 && c.pb.Clock == playbook.Live && effective < c.wall-maxAge {
		return withheldStale
	}
	switch t := t.(type) {
	case *schemas.RecallTrigger:
		if t.Group != "treated" {
			return withheldHoldout
		}
	case *schemas.EngagementTrigger:
		if t.Group != "" && t.Group != "treated" {
			return withheldHoldout
		}
	}
	return sent
}

// suppress publishes what would have been sent, and why it was not.
func (c *Core) suppress(customer string, t schemas.Trigger, reason, detail, winner string) {
	s := &schemas.SuppressedTrigger{Head: *t.TriggerHead(), ForTopic: string(t.Topic()), Reason: reason, Detail: detail, Winner: winner}
	switch t := t.(type) {
	case *schemas.TierChange:
		s.Kind = t.Kind
	case *schemas.ChurnWarning:
		s.Kind = t.Kind
	case *schemas.LifecycleChange:
		s.Kind = t.Kind
	case *schemas.EngagementTrigger:
		s.Kind, s.Campaign, s.Group, s.Arm = t.Kind, t.Campaign, t.Group, t.Arm
	case *schemas.RecallTrigger:
		s.Campaign, s.Group, s.Arm = t.Campaign, t.Group, t.Arm
		at := t.SendAt
		s.SendAt = &at
	}
	var w bytes.Buffer
	enc := json.NewEncoder(&w)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(t); err == nil { // structs of plain fields always encode
		s.Withheld = string(bytes.TrimSuffix(w.Bytes(), []byte{'\n'}))
	}
	c.emit(s, schemas.SuppressedTriggers, customer)
}

func (c *Core) emit(t schemas.Trigger, topic schemas.Topic, key string) {
	c.work.body = t.AppendAvro(c.work.body[:0])
	body := c.keep(c.work.body)
	h := t.TriggerHead()
	o := Out{Topic: topic, Key: key, Body: body, Rule: h.Rule, Kind: kindOf(t), ID: h.TriggerID,
		EffectiveAt: h.EffectiveAt, Status: h.Status, Trace: c.trace}
	if !c.cfg.BytesOnly {
		o.Record = t
	}
	if c.out == nil { // about as many as the last time: growing copies each of them twice
		c.out = make([]Out, 0, min(c.work.outs+c.work.outs/8, maxOuts))
	}
	c.out = append(c.out, o)
	c.outBytes += len(body)
}

// maxOuts bounds the room that is made ahead for what one Ready publishes.
const maxOuts = 32 << 10

// bodyPage is the memory that triggers' bytes are cut from, so that each takes
// no more than its length; a page goes when all commits that use it have landed.
const bodyPage = 32 << 10

// keep copies bytes that are to wait for a commit.
func (c *Core) keep(b []byte) []byte {
	if len(b) > cap(c.work.page)-len(c.work.page) {
		if len(b) > bodyPage/4 {
			return append([]byte(nil), b...)
		}
		c.work.page = make([]byte, 0, bodyPage)
	}
	at := len(c.work.page)
	c.work.page = append(c.work.page, b...)
	return c.work.page[at:len(c.work.page):len(c.work.page)]
}

// kindOf is what triggers are counted by.
func kindOf(t schemas.Trigger) string {
	switch t := t.(type) {
	case *schemas.TierChange:
		return t.Kind
	case *schemas.ChurnWarning:
		return t.Kind
	case *schemas.LifecycleChange:
		return t.Kind
	case *schemas.EngagementTrigger:
		return t.Kind
	case *schemas.RecallTrigger:
		return t.Campaign
	case *schemas.SuppressedTrigger:
		return t.Reason
	}
	return ""
}

// deadLetter publishes a record that was refused.
func (c *Core) deadLetter(r *Record, why *Dead) {
	d := &schemas.DeadLetter{Step: why.Step, Reason: why.Reason, Error: why.Detail, Offset: int64(r.Offset)}
	if w := r.Raw; w != nil {
		d.Topic, d.Partition, d.Timestamp = w.Topic, w.Partition, w.Timestamp
		d.Key, d.Value = w.Key, w.Value
		if w.Headers != nil {
			d.Headers = w.Headers()
		}
	}
	room := deadBytes
	if len(d.Key) > deadPart {
		d.Key, d.Truncated = d.Key[:deadPart], true
	}
	room -= 2 * len(d.Key) // it is the published record's key too
	n := 0
	for _, h := range d.Headers {
		n += len(h.Key) + len(h.Value) + 8
	}
	if n > deadPart {
		d.Headers, d.Truncated, n = nil, true, 0
	}
	if room -= n; len(d.Value) > room {
		d.Value, d.Truncated = d.Value[:room], true
	}
	d.Error = clip(d.Error)
	if ev := r.Event; ev != nil {
		d.EventID, d.CustomerID = clip(ev.EventID), clip(ev.CustomerID)
	}
	b := append([]byte(c.cfg.App), 0)
	b = append(append(b, d.Topic...), 0)
	b = binary.BigEndian.AppendUint32(b, uint32(d.Partition))
	b = binary.BigEndian.AppendUint64(b, uint64(d.Offset))
	b = append(b, why.Reason...)
	sum := sha256.Sum256(b)
	d.DeadLetterID = hex.EncodeToString(sum[:16])
	body := d.AppendAvro(nil)
	c.out = append(c.out, Out{Topic: schemas.DeadLetters, Key: string(d.Key), Body: body, Record: d, Kind: d.Reason, ID: d.DeadLetterID, Trace: r.Trace})
	c.outBytes += len(body)
	c.countDead(why.Reason)
}

// A dead letter must fit into one batch of the producer, which stays under a
// broker's default message size, whatever the record was.
const (
	deadBytes = 850_000 // key, headers and value together
	deadPart  = 64 << 10
)

// clip bounds a text of a dead letter at the end of a character.
func clip(s string) string {
	if len(s) <= maxID {
		return s
	}
	return strings.ToValidUTF8(s[:maxID], "")
}

// waited dead-letters a refund that waited for its order. Its record is long
// gone; the letter carries what the state kept of it.
func (c *Core) waited(e *entry, w *state.Waiting, reason, detail string) {
	b := append([]byte(c.cfg.App), 0)
	b = append(append(b, e.ID...), 0)
	b = binary.BigEndian.AppendUint64(b, w.Event)
	b = append(b, reason...)
	sum := sha256.Sum256(b)
	d := &schemas.DeadLetter{DeadLetterID: hex.EncodeToString(sum[:16]), Topic: schemas.OrderEvents.String(), Partition: c.cfg.Task, Offset: -1,
		Timestamp: w.At, Key: []byte(e.ID), Step: StepApply, Reason: reason, CustomerID: e.ID, Error: detail}
	body := d.AppendAvro(nil)
	c.out = append(c.out, Out{Topic: schemas.DeadLetters, Key: e.ID, Body: body, Record: d, Kind: d.Reason, ID: d.DeadLetterID, Trace: c.trace})
	c.outBytes += len(body)
	c.countDead(reason)
}

func (c *Core) countDead(reason string) {
	for i := range c.stats.Dead {
		if c.stats.Dead[i].Reason == reason {
			c.stats.Dead[i].N++
			return
		}
	}
	c.stats.Dead = append(c.stats.Dead, DeadCount{reason, 1})
}

// hashOut is the checksum that the journal keeps of what was published.
func hashOut(out []Out, moves []*schemas.Transfer, controls []*schemas.Control) int64 {
	h := xxhash.New()
	var n [8]byte
	part := func(b []byte) {
		binary.LittleEndian.PutUint64(n[:], uint64(len(b)))
		h.Write(n[:])
		h.Write(b)
	}
	for i := range out {
		part([]byte(out[i].Topic))
		part([]byte(out[i].Key))
		if d, ok := out[i].Record.(*schemas.DeadLetter); ok {
			// Its words are not in the journal, and a replay does not decode again.
			part([]byte(d.DeadLetterID))
			part([]byte(d.Step))
			part([]byte(d.Reason))
			continue
		}
		part(out[i].Body)
	}
	for _, m := range moves {
		part(m.AppendAvro(nil))
	}
	for _, m := range controls {
		part(m.AppendAvro(nil))
	}
	return int64(h.Sum64())
}

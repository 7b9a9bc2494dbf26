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

// Instant prints a time of a zone as short as it goes.
func Instant(t schemas.EventTime, zone *time.Location) string {
	u := time.UnixMilli(int64(t)).In(zone)
	switch {
	case u.Nanosecond() != 0:
		return u.Format(layouts[3])
	case u.Second() != 0:
		return u.Format(layouts[2])
	case u.Hour() != 0 || u.Minute() != 0:
		return u.Format(layouts[1])
	}
	return u.Format(layouts[0])
}

// Line prints what was published in one line.
func Line(o *core.Out, zone *time.Location) string {
	if d, ok := o.Record.(*schemas.DeadLetter); ok {
		return fmt.Sprintf("dead-letters %s %s/%s: %s", orNone(d.CustomerID), d.Step, d.Reason, d.Error)
	}
	if m, ok := o.Record.(*schemas.LifecycleMetric); ok {
		text := string(o.Topic) + " " + m.Metric
		for _, d := range m.Dimensions {
			text += " " + d.Key + "=" + d.Value
		}
		value := ""
		if m.Value != nil {
			value = *m.Value
		}
		return fmt.Sprintf("%s until %s: %s", text, Instant(m.PeriodEnd, zone), value)
	}
	t := o.Record.(schemas.Trigger)
	h := t.TriggerHead()
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s %s %s %d/%d %s", o.Topic, o.Key, h.Status, h.Rule, h.Episode, revision(h), Instant(h.EffectiveAt, zone))
	switch t := t.(type) {
	case *schemas.TierChange:
		fmt.Fprintf(&b, " %s %s→%s", t.Kind, t.FromTier, t.ToTier)
	case *schemas.ChurnWarning:
		fmt.Fprintf(&b, " %s", t.Level)
	case *schemas.LifecycleChange:
		fmt.Fprintf(&b, " %s %s→%s", t.Kind, orNone(t.From), orNone(t.To))
	case *schemas.RecallTrigger:
		fmt.Fprintf(&b, " %s %s %s send %s", t.Group, orNone(t.Arm), t.CustomerType, Instant(t.SendAt, zone))
	case *schemas.EngagementTrigger:
		fmt.Fprintf(&b, " %s %s", t.Kind, orNone(t.Name))
		if t.Group != "" {
			fmt.Fprintf(&b, " %s %s", t.Group, orNone(t.Arm))
		}
		if t.Points != 0 {
			fmt.Fprintf(&b, " %d", t.Points)
		}
	case *schemas.SuppressedTrigger:
		fmt.Fprintf(&b, " %s: %s %s", t.Reason, t.ForTopic, orNone(t.Kind))
	}
	for i, e := range h.Evidence {
		sep := ","
		if i == 0 {
			sep = " |"
		}
		fmt.Fprintf(&b, "%s %s %s %s %s", sep, e.Fact, plain(e.Fact, e.Value), e.Comparison, plain(e.Fact, e.Limit))
	}
	return b.String()
}

// plain prints milliseconds as a duration.
func plain(fact, v string) string {
	if n, err := strconv.ParseInt(v, 10, 64); err == nil && n >= 0 && strings.HasSuffix(fact, "_ms") {
		return playbook.FormatDuration(schemas.EventTime(n))
	}
	return orNone(v)
}

func orNone(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

// revision is found from the id, which is a hash over it.
func revision(h *schemas.Head) int {
	for rev := range uint32(1000) {
		if core.TriggerID(app, h.CustomerID, h.Rule, uint32(h.Episode), rev) == h.TriggerID {
			return int(rev)
		}
	}
	return -1
}

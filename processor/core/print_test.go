package core

import (
	"encoding/binary"
	"fmt"
	"math/big"
	"slices"
	"strings"
	"time"

	"tidemark/schemas"
	"tidemark/state"
)

// instant prints a time in UTC as short as it goes.
func instant(t schemas.EventTime) string {
	u := time.UnixMilli(int64(t)).UTC()
	switch {
	case t%schemas.Day == 0:
		return u.Format("2006-01-02")
	case t%schemas.Minute == 0:
		return u.Format("2006-01-02T15:04")
	case t%schemas.Second == 0:
		return u.Format("2006-01-02T15:04:05")
	}
	return u.Format("2006-01-02T15:04:05.000")
}

func span(d schemas.EventTime) string {
	if d%schemas.Day == 0 {
		return fmt.Sprintf("%dd", d/schemas.Day)
	}
	return strings.TrimSuffix(strings.TrimSuffix((time.Duration(d)*time.Millisecond).String(), "0s"), "0m")
}

func money(minor int64) string {
	sign := ""
	if minor < 0 {
		sign, minor = "-", -minor
	}
	return fmt.Sprintf("%s%d.%02d", sign, minor/100, minor%100)
}

// record prints what was published in one line, and below it, where there are
// any, the complaints of check.
func (w *world) record(o *Out) string {
	if d, ok := o.Record.(*schemas.DeadLetter); ok {
		return fmt.Sprintf("dead-letters %s %s/%s: %s", orNone(d.CustomerID), d.Step, d.Reason, d.Error)
	}
	if m, ok := o.Record.(*schemas.LifecycleMetric); ok {
		text := fmt.Sprintf("lifecycle-metrics %s", m.Metric)
		for _, d := range m.Dimensions {
			text += " " + d.Key + "=" + d.Value
		}
		return text + fmt.Sprintf(" %s to %s: %s", instant(m.PeriodStart), instant(m.PeriodEnd), *m.Value)
	}
	t := o.Record.(schemas.Trigger)
	h := t.TriggerHead()
	rev := revision(w.cfg.App, h)
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s %s %s %d/%s %s", o.Topic, o.Key, h.Status, h.Rule, h.Episode, rev, instant(h.EffectiveAt))
	switch t := t.(type) {
	case *schemas.TierChange:
		fmt.Fprintf(&b, " %s %s→%s growth %d", t.Kind, t.FromTier, t.ToTier, t.GrowthValue)
		if t.NextTier != "" {
			fmt.Fprintf(&b, ", %d to %s", t.MissingToNext, t.NextTier)
		}
		if t.ValidUntil != nil {
			fmt.Fprintf(&b, ", until %s", instant(*t.ValidUntil))
		}
	case *schemas.ChurnWarning:
		fmt.Fprintf(&b, " %s %s last %s", t.Level, t.Model, instant(t.LastCoreAt))
		if t.EndedAt != nil {
			fmt.Fprintf(&b, ", ended %s", instant(*t.EndedAt))
		}
		if t.Kind != "warning" {
			fmt.Fprintf(&b, ", %s", t.Kind)
		}
		if t.ExpectedPrecision != nil && t.BaseRate != nil {
			fmt.Fprintf(&b, ", precision %v, base rate %v", *t.ExpectedPrecision, *t.BaseRate)
		}
	case *schemas.LifecycleChange:
		fmt.Fprintf(&b, " %s→%s by %s", orNone(t.From), orNone(t.To), orNone(t.MovedBy))
		if strings.HasPrefix(t.Kind, "experiment_") {
			fmt.Fprintf(&b, " %s %s of %s", t.Kind, t.Value, t.Track)
		}
		if t.RScore != nil {
			fmt.Fprintf(&b, " %d%d%d of %dd %d %s", *t.RScore, *t.FScore, *t.MScore, *t.RecencyDays, *t.Frequency, money(*t.MonetaryMinor))
		}
	case *schemas.RecallTrigger:
		fmt.Fprintf(&b, " %s %s %s send %s", t.Group, orNone(t.Arm), t.CustomerType, instant(t.SendAt))
		if t.Cause != "unknown" {
			fmt.Fprintf(&b, " cause %s", t.Cause)
		}
	case *schemas.EngagementTrigger:
		fmt.Fprintf(&b, " %s", t.Kind)
		if t.Step != "" {
			fmt.Fprintf(&b, " %s", t.Step)
		}
		if t.Kind == "sop_step" && t.Operator != "" {
			fmt.Fprintf(&b, " to %s until %s", t.Operator, instant(*t.DueAt))
		}
		for _, a := range t.Attributes {
			if a.Key == "outcome" || a.Key == "version" && a.Value != "1" {
				fmt.Fprintf(&b, " %s=%s", a.Key, a.Value)
			}
		}
		if strings.HasPrefix(t.Kind, "task_") && t.Step != "" {
			fmt.Fprintf(&b, ", %d times completed", t.Quantity)
			for _, a := range t.Attributes {
				fmt.Fprintf(&b, ", %s %s", a.Key, a.Value)
			}
		}
		if t.Item != "" {
			fmt.Fprintf(&b, " %s", t.Item)
		}
		if t.Group != "" {
			fmt.Fprintf(&b, " %s %s", t.Group, orNone(t.Arm))
		}
		if t.SendAt != nil {
			fmt.Fprintf(&b, " send %s by %s", instant(*t.SendAt), orNone(t.Channel))
		}
		if strings.HasPrefix(t.Kind, "benefit_") {
			fmt.Fprintf(&b, " ×%d", t.Quantity)
			if t.DueAt != nil {
				fmt.Fprintf(&b, ", until %s", instant(*t.DueAt))
			}
		}
		if t.Balance != nil {
			fmt.Fprintf(&b, " %d, balance %d", t.Points, *t.Balance)
			if t.DueAt != nil {
				fmt.Fprintf(&b, ", until %s", instant(*t.DueAt))
			}
			if t.Operator != "" {
				fmt.Fprintf(&b, ", operator %s", t.Operator)
			}
			for _, a := range t.Attributes {
				fmt.Fprintf(&b, ", %s %s", a.Key, a.Value)
			}
		}
	case *schemas.SuppressedTrigger:
		fmt.Fprintf(&b, " %s: %s %s", t.Reason, t.ForTopic, t.Kind)
		if t.Group == "global_control" {
			b.WriteString(" global_control")
		}
		if t.Detail != "" {
			fmt.Fprintf(&b, " (%s)", t.Detail)
		}
		if t.Winner != "" {
			fmt.Fprintf(&b, " after %.6s", t.Winner)
		}
	}
	for i, e := range h.Evidence {
		sep := " |"
		if i > 0 {
			sep = ","
		}
		fmt.Fprintf(&b, "%s %s %s %s %s", sep, e.Fact, plain(e.Fact, e.Value), e.Comparison, plain(e.Fact, e.Limit))
	}
	if h.CausedBy != nil {
		fmt.Fprintf(&b, " | by %s", *h.CausedBy)
	}
	for _, why := range check(w.cfg.App, o) {
		b.WriteString("\n  WRONG: " + why)
	}
	return b.String()
}

// plain prints milliseconds as a span.
func plain(fact, v string) string {
	if n, ok := new(big.Int).SetString(v, 10); ok && strings.HasSuffix(fact, "_ms") {
		return span(schemas.EventTime(n.Int64()))
	}
	return v
}

func orNone(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

// revision is found from the id, which is a hash over it.
func revision(app string, h *schemas.Head) string {
	for rev := range uint32(100) {
		if TriggerID(app, h.CustomerID, h.Rule, uint32(h.Episode), rev) == h.TriggerID {
			return fmt.Sprint(rev)
		}
	}
	return "?"
}

// check holds what is true of every trigger, whatever happened.
func check(app string, o *Out) (wrong []string) {
	t, ok := o.Record.(schemas.Trigger)
	if !ok {
		return nil
	}
	h := t.TriggerHead()
	bad := func(format string, args ...any) { wrong = append(wrong, fmt.Sprintf(format, args...)) }
	rev := -1
	fmt.Sscan(revision(app, h), &rev)
	switch {
	case rev < 0:
		bad("the trigger_id is no hash of app, customer, rule, episode and a revision")
	case rev == 0 && h.Corrects != nil:
		bad("the first revision corrects %s", *h.Corrects)
	case rev > 0 && h.Corrects == nil:
		bad("revision %d corrects nothing", rev)
	case rev > 0 && *h.Corrects != TriggerID(app, h.CustomerID, h.Rule, uint32(h.Episode), uint32(rev-1)):
		bad("corrects is not the revision before")
	}
	// A warning that became graver is fired again; all else is fired once.
	churn, _ := t.(*schemas.ChurnWarning)
	resumed := slices.ContainsFunc(h.Evidence, func(e schemas.Evidence) bool { return e.Fact == "resumed" })
	if (h.Status == schemas.Fired) != (rev == 0) && !resumed && (churn == nil || h.Status != schemas.Fired || churn.Level == "early") {
		bad("status %s of revision %d", h.Status, rev)
	}
	if h.CustomerID != o.Key || h.Episode <= 0 || h.PlaybookVersion == "" || o.ID != h.TriggerID {
		bad("head %+v, key %s", h, o.Key)
	}
	if len(h.Evidence) == 0 {
		bad("no evidence")
	}
	for _, e := range h.Evidence {
		if !holds(e) {
			bad("evidence %s %s %s %s is not true", e.Fact, e.Value, e.Comparison, e.Limit)
		}
	}
	if c, ok := t.(*schemas.ChurnWarning); ok && h.Status != schemas.Retracted {
		if c.SilenceMillis != int64(h.EffectiveAt-c.LastCoreAt) || c.SilenceMillis <= 0 && h.Status != schemas.Ended {
			bad("silence of %d ms from %d to %d", c.SilenceMillis, c.LastCoreAt, h.EffectiveAt)
		}
		if (c.EndedAt != nil) != (h.Status == schemas.Ended) {
			bad("ended_at of a record that is %s", h.Status)
		}
		if c.EndedAt != nil && *c.EndedAt < h.EffectiveAt {
			bad("it ended before it began")
		}
	}
	// What holds is proved, and not only told truly.
	if h.Status == schemas.Fired || h.Status == schemas.Corrected {
		want := ""
		switch t := t.(type) {
		case *schemas.ChurnWarning:
			want = ">="
		case *schemas.TierChange:
			if want = "<"; t.ToLevel > t.FromLevel || t.Kind == "renewal" {
				want = ">="
			}
			if h.Evidence[0].Fact == "tier_granted" {
				want = "=="
			}
			if (t.ToLevel == t.FromLevel) != (t.Kind == "renewal") {
				bad("a change to the same level")
			}
		}
		if want != "" && h.Evidence[0].Comparison != want {
			bad("evidence %s %s %s %s does not prove it", h.Evidence[0].Fact, h.Evidence[0].Value, h.Evidence[0].Comparison, h.Evidence[0].Limit)
		}
	}
	// In a change of tier that holds, the value belongs to the level.
	if c, ok := t.(*schemas.TierChange); ok && h.Status != schemas.Retracted && c.MissingToNext < 0 {
		bad("%d missing to the next tier", c.MissingToNext)
	}
	return wrong
}

// holds evaluates a line of evidence: as numbers where both are, else as texts.
func holds(e schemas.Evidence) bool {
	order := strings.Compare(e.Value, e.Limit)
	a, okA := new(big.Rat).SetString(e.Value)
	b, okB := new(big.Rat).SetString(e.Limit)
	if okA && okB {
		order = a.Cmp(b)
	} else if e.Comparison != "==" && e.Comparison != "!=" {
		return false
	}
	switch e.Comparison {
	case "<":
		return order < 0
	case "<=":
		return order <= 0
	case ">":
		return order > 0
	case ">=":
		return order >= 0
	case "==":
		return order == 0
	case "!=":
		return order != 0
	}
	return false
}

// row prints a customer's row.
func (w *world) row(c *state.Customer) string {
	var b strings.Builder
	fmt.Fprintf(&b, "latest %s", instant(c.Latest))
	if c.Wake != 0 {
		fmt.Fprintf(&b, ", wakes %s", instant(c.Wake))
	}
	b.WriteByte('\n')
	if c.Base != (state.Base{}) {
		fmt.Fprintf(&b, "base: %d orders on %d days, %s, from %s to %s", c.Base.Count, c.Base.Days, money(c.Base.Sum), instant(c.Base.First), instant(c.Base.Last))
		if c.Base.Omitted != 0 {
			fmt.Fprintf(&b, ", %s without growth", money(c.Base.Omitted))
		}
		b.WriteByte('\n')
	}
	if n := len(c.Days); n > 3 {
		count, sum := int64(0), int64(0)
		for _, d := range c.Days {
			count, sum = count+d.Count, sum+d.Sum
		}
		fmt.Fprintf(&b, "days: %d with %d orders, %s, the last at %s\n", n, count, money(sum), instant(c.Days[n-1].Last))
	} else {
		for _, d := range c.Days {
			fmt.Fprintf(&b, "day: %d orders, %s, the last at %s\n", d.Count, money(d.Sum), instant(d.Last))
		}
	}
	if n := len(c.Orders); n > 8 {
		fmt.Fprintf(&b, "orders: %d from %s to %s\n", n, instant(c.Orders[0].At), instant(c.Orders[n-1].At))
	} else {
		for _, o := range c.Orders {
			fmt.Fprintf(&b, "order %s: paid %s", instant(o.At), money(o.Paid))
			for _, x := range []struct {
				name string
				v    int64
			}{{"refunded", o.Refunded}, {"voided", o.Voided}, {"without growth", o.Omitted}, {"at home", o.Base}} {
				if x.v != 0 {
					fmt.Fprintf(&b, ", %s %s", x.name, money(x.v))
				}
			}
			if o.Cancelled != 0 {
				fmt.Fprintf(&b, ", cancelled %s", instant(o.Cancelled))
			}
			fmt.Fprintf(&b, ", counts %s\n", money(o.Net()))
		}
	}
	for _, x := range c.Wait {
		what := "a cancellation"
		if x.Amount >= 0 {
			what = "a refund of " + money(x.Amount) + " " + string(x.Code[:])
		}
		fmt.Fprintf(&b, "waits until %s for the order of %s of %s\n", instant(x.Until), what, instant(x.At))
	}
	if c.Spilled != 0 {
		fmt.Fprintf(&b, "sub-keys from bucket %d, %d traces in the row\n", c.Spilled-1, len(c.Seen))
	}
	if len(c.Marks)+len(c.MarkDays)+len(c.MarkBases) > 0 {
		fmt.Fprintf(&b, "marks: %d singly, %d days, %d bases\n", len(c.Marks), len(c.MarkDays), len(c.MarkBases))
	}
	for i := range c.Accounts {
		a := &c.Accounts[i]
		fmt.Fprintf(&b, "account %s: closed to %s, owes %d", w.core.RuleName(a.ID), instant(a.AsOf), a.Debt)
		for _, l := range a.Lots {
			fmt.Fprintf(&b, ", %d until %s", l.Units, instant(l.Expires))
		}
		for _, p := range a.Posts {
			fmt.Fprintf(&b, ", post %d of %d at %s", p.Kind, p.Units, instant(p.At))
		}
		b.WriteByte('\n')
	}
	for i := range c.Rules {
		r := &c.Rules[i]
		fmt.Fprintf(&b, "rule %s: phase %d", w.core.RuleName(r.ID), r.Phase)
		if r.Since != 0 {
			fmt.Fprintf(&b, " since %s", instant(r.Since))
		}
		if r.Due != 0 {
			fmt.Fprintf(&b, ", due %s", instant(r.Due))
		}
		if r.Armed != 0 {
			fmt.Fprintf(&b, ", armed %s", instant(r.Armed))
		}
		fmt.Fprintf(&b, ", %d episodes\n", r.Episode)
	}
	return b.String()
}

// item prints a journal item.
func item(it *schemas.JournalItem) string {
	n, _ := binary.Uvarint(it.Place)
	switch it.Kind {
	case schemas.RunItem, schemas.MergeItem:
		return fmt.Sprintf("%s %s %d to %d", map[schemas.ItemKind]string{schemas.RunItem: "run", schemas.MergeItem: "merge"}[it.Kind], it.Input, it.Count, it.End)
	case schemas.TickItem:
		if len(it.Place) > 0 {
			return fmt.Sprintf("tick toward %s, stopped after %d", instant(it.To), n)
		}
		return "tick to " + instant(it.To)
	}
	return fmt.Sprintf("sweep of %d", n)
}

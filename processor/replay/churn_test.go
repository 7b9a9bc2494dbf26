package replay_test

import (
	"slices"
	"strings"
	"testing"

	"tidemark/examples"
	"tidemark/playbook"
	"tidemark/processor/core"
	"tidemark/processor/replay"
	"tidemark/schemas"
)

// TestNoEarlyWarnings replays all of CDNOW under every model, as fitted: no
// warning within 7 days of an order, each proves itself, levels only rise
// within an episode, and an order after `lost` is a win-back.
func TestNoEarlyWarnings(t *testing.T) {
	pb, err := playbook.LoadFS(examples.Data, "playbooks/cdnow-fitted.yaml")
	if err != nil {
		t.Fatal(err)
	}
	next := dataset(t, examples.CDNOW, examples.CDNOWMapping)
	orders := map[string][]schemas.EventTime{}
	observe := func() (*schemas.Event, error) {
		e, err := next()
		if err == nil && e.Order == schemas.Paid {
			orders[e.CustomerID] = append(orders[e.CustomerID], e.OccurredAt)
		}
		return e, err
	}
	type key struct {
		customer, rule string
		episode        int64
	}
	order := []string{"early", "late", "lost"}
	reached := map[key]int{}
	fired := map[string]map[string]int{}
	wins := 0
	run(t, replay.Options{Playbook: pb, Emit: func(_ int32, o *core.Out) error {
		w, ok := o.Record.(*schemas.ChurnWarning)
		if !ok {
			return nil
		}
		evidence(t, o)
		k := key{w.CustomerID, w.Rule, w.Episode}
		level := slices.Index(order, w.Level)
		if w.Status == schemas.Ended {
			if (w.Kind == "win_back") != (w.Level == "lost") {
				t.Errorf("%+v: kind %s at the end of %s", k, w.Kind, w.Level)
			}
			if w.Kind == "win_back" {
				wins++
			}
			if level+1 != reached[k] {
				t.Errorf("%+v: ended at %s, which it had not come to", k, w.Level)
			}
			return nil
		}
		if level+1 <= reached[k] {
			t.Errorf("%+v: %s again or less", k, w.Level)
		}
		reached[k] = level + 1
		if fired[w.Rule] == nil {
			fired[w.Rule] = map[string]int{}
		}
		fired[w.Rule][w.Level]++
		for _, at := range orders[w.CustomerID] {
			if d := w.EffectiveAt - at; d >= 0 && d < 7*schemas.Day {
				t.Errorf("%+v: warned %d hours after an order", k, d/schemas.Hour)
			}
		}
		if w.ExpectedPrecision == nil || w.BaseRate == nil {
			t.Errorf("%+v: no precision or base rate", k)
		}
		// The evidence is the condition under which the rule warns: of a fallback the
		// silence, of a chance that is a chance.
		decided := "silence_ms"
		if w.Risk != nil && !strings.HasSuffix(w.Model, "+fallback") {
			decided = "p_no_order_within_horizon"
		}
		if !slices.ContainsFunc(w.Evidence, func(e schemas.Evidence) bool { return e.Fact == decided && e.Comparison == ">=" }) {
			t.Errorf("%+v: %v does not prove a warning of %s", k, w.Evidence, w.Model)
		}
		return nil
	}}, observe)
	if len(fired) != len(pb.Churn) || wins == 0 {
		t.Errorf("%d of %d rules warned, %d win-backs", len(fired), len(pb.Churn), wins)
	}
	for rule, n := range fired {
		t.Log(rule, n)
	}
}

package main

import (
	"context"
	"testing"

	"tidemark/examples"
	"tidemark/ingest"
	"tidemark/playbook"
	"tidemark/processor/core"
	"tidemark/processor/replay"
	"tidemark/schemas"
)

// Each example playbook of a business says something in each of its blocks about
// the first orders of Online Retail with what is made up around them, and
// refuses nothing that a real program would have got right.
func TestBusinesses(t *testing.T) {
	mapping, err := ingest.ReadMapping(examples.Data, examples.OnlineRetailMapping)
	if err != nil {
		t.Fatal(err)
	}
	events, err := ingest.Open(t.Context(), []ingest.Source{{Path: examples.OnlineRetail, FS: examples.Data, Mapping: mapping}}, ingest.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer events.Close()
	orders, err := firstOrders(events, 2500)
	if err != nil {
		t.Fatal(err)
	}
	for business, want := range map[string][]string{
		"retailer":  {"upgrade", "stage", "rfm_class", "tag_added", "segment_entered", "warning", "sop_step", "member_day", "points_earned", "points_redeemed", "experiment_assigned"},
		"bank":      {"stage", "tag_added", "warning"},
		"carmaker":  {"upgrade", "stage", "tag_added", "segment_entered", "sop_step"},
		"community": {"upgrade", "stage", "tag_added", "warning", "sop_step", "points_earned"},
	} {
		t.Run(business, func(t *testing.T) {
			pb, err := playbook.LoadFS(examples.Data, demoBusinesses[business])
			if err != nil {
				t.Fatal(err)
			}
			next, n, last, err := aroundOrders(business, orders)
			if err != nil {
				t.Fatal(err)
			}
			kinds := map[string]int{}
			res, err := replay.Run(context.Background(), replay.Options{App: "demo", Playbook: pb, Partitions: 1, Partition: func([]byte, int32) int32 { return 0 },
				Until: last + 100*schemas.Day, Wall: last + 200*schemas.Day,
				Emit: func(_ int32, o *core.Out) error { kinds[o.Kind]++; return nil }}, next)
			if err != nil {
				t.Fatal(err)
			}
			if res.Events != n {
				t.Errorf("%d of %d events", res.Events, n)
			}
			for _, kind := range want {
				if kinds[kind] == 0 {
					t.Errorf("no %s; there are %v", kind, kinds)
				}
			}
			// Points that are spent without being there are refused, as they should be.
			if most := res.Events / 100; res.Dead > most {
				t.Errorf("%d dead letters of %d events", res.Dead, res.Events)
			}
		})
	}
	if _, ok := demoBusinesses["circus"]; ok || len(demoBusinesses) != 4 {
		t.Error("a business is missing here")
	}
}

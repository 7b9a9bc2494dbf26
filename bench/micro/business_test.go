package micro

import (
	"context"
	"io"
	"slices"
	"testing"

	"tidemark/examples"
	"tidemark/examples/around"
	"tidemark/ingest"
	"tidemark/playbook"
	"tidemark/processor/core"
	"tidemark/processor/replay"
	"tidemark/schemas"
)

// BenchmarkBusiness replays UCI Online Retail with the behaviors that package
// around makes up, through the example playbooks: what an event costs where many
// blocks are on. An op is an event; triggers/op says how many were made.
func BenchmarkBusiness(b *testing.B) {
	for _, business := range around.Businesses {
		file := business
		if file == "retailer" {
			file = "shop"
		}
		b.Run(business, func(b *testing.B) {
			pb, err := playbook.LoadFS(examples.Data, "playbooks/"+file+".yaml")
			if err != nil {
				b.Fatal(err)
			}
			all, err := around.Events(business, retailOrders(b))
			if err != nil {
				b.Fatal(err)
			}
			triggers := 0
			b.ReportAllocs()
			b.ResetTimer()
			defer cpu(b)()
			for done := 0; done < b.N; {
				n := min(len(all), b.N-done)
				i := 0
				_, err := replay.Run(context.Background(), replay.Options{App: "bench", Playbook: pb, Partitions: 1, Wall: wall, Partition: func([]byte, int32) int32 { return 0 }, Emit: func(int32, *core.Out) error { triggers++; return nil }}, func() (*schemas.Event, error) {
					if i == n {
						return nil, io.EOF
					}
					i++
					return &all[i-1], nil
				})
				if err != nil {
					b.Fatal(err)
				}
				done += n
			}
			b.ReportMetric(float64(triggers)/float64(b.N), "triggers/op")
		})
	}
}

func retailOrders(b *testing.B) []schemas.Event {
	mapping, err := ingest.ReadMapping(examples.Data, examples.OnlineRetailMapping)
	if err != nil {
		b.Fatal(err)
	}
	events, err := ingest.Open(context.Background(), []ingest.Source{{Path: examples.OnlineRetail, FS: examples.Data, Mapping: mapping}}, ingest.Options{})
	if err != nil {
		b.Fatal(err)
	}
	defer events.Close()
	var out []schemas.Event
	for {
		e, err := events.Next()
		if err == io.EOF {
			return out
		}
		if err != nil {
			b.Fatal(err)
		}
		keep := *e
		keep.Items, keep.Attributes = slices.Clone(e.Items), slices.Clone(e.Attributes)
		out = append(out, keep)
	}
}

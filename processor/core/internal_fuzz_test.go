package core

import (
	"encoding/binary"
	"errors"
	"os"
	"testing"

	"tidemark/playbook"
	"tidemark/schemas"
	"tidemark/testkit/soak"
)

// FuzzInternal gives a task control and transfer records, journal items and
// events made of any bytes, in any order. Whatever it refuses it refuses with an
// error; what it takes it can say in a journal record that reads back.
func FuzzInternal(f *testing.F) { fuzzInternal(f) }

func fuzzInternal(f soak.F) {
	text, err := os.ReadFile("../../examples/playbooks/online-retail.yaml")
	if err != nil {
		f.Fatal(err)
	}
	pb, err := playbook.Compile(text, "online-retail.yaml")
	if err != nil {
		f.Fatal(err)
	}
	const start = schemas.EventTime(1_704_448_800_000)
	cuts := []byte(`{"version":2,"end":1704448800000,"from":1704448800000,"r":[1,2,3,4],"f":[1,2],"m":[5],"customers":7}`)
	genesis := NewGenesis(Genesis{Start: start, Partitions: 1}, "fuzz", start)
	name := pb.RFM[0].Name
	f.Add([]byte{0, 1, 2, 3, 4, 5, 6, 7}, []byte(`{"version":1}`), name)
	f.Add([]byte{1, 9, 1, 7, 2, 2, 2, 2}, cuts, name)
	f.Add([]byte{3, 3, 3, 3}, pb.Text, pb.Name)
	f.Add([]byte{4, 4, 4, 4}, genesis.Body, "")
	f.Add([]byte{5, 1, 5, 1}, []byte{3, 0, 0, 0, 3, 0, 0, 0}, name)
	f.Add([]byte{6, 6, 6}, (&schemas.Journal{Items: []schemas.JournalItem{{Kind: schemas.TickItem, To: start}, {Kind: schemas.RunItem, Place: []byte("p"), Count: 1 << 40}}}).AppendAvro(nil), "")
	f.Fuzz(func(t *testing.T, script, body []byte, name string) {
		c, err := New(Config{App: "fuzz", Tasks: 1, CacheBytes: -1, Budget: Budget{Units: 1000, Triggers: 1000, Records: 1000}}, Empty{}, Zero())
		if err != nil {
			t.Fatal(err)
		}
		wall := start
		var offsets [schemas.Inputs]schemas.Offset
		take := func(r Record) bool {
			r.Offset = offsets[r.Input]
			n, err := c.Take([]Record{r}, wall)
			if err == nil && n == 1 {
				offsets[r.Input]++
			}
			return err == nil
		}
		if !take(Record{Input: schemas.ControlInput, Control: genesis}) ||
			!take(Record{Input: schemas.ControlInput, Control: NewPlaybook(pb, "fuzz", start)}) {
			t.Fatal("the first two records are not taken")
		}
		if len(script) > 64 {
			script = script[:64]
		}
		for i, op := range script {
			wall += schemas.EventTime(op) * 3_600_000
			number := int64(i)
			if len(body) >= 8 {
				number = int64(binary.LittleEndian.Uint64(body))
			}
			ok := true
			switch op % 10 {
			case 0:
				if r, err := schemas.DecodeControl(body); err == nil {
					ok = take(Record{Input: schemas.ControlInput, Control: r})
				}
			case 1, 3, 4:
				kind := []string{"", ControlCuts, "", ControlPlaybook, ControlGenesis}[op%10]
				ok = take(Record{Input: schemas.ControlInput, Control: &schemas.Control{Kind: kind, Name: name, Version: int64(op), EffectiveAt: wall, Body: body}})
			case 2:
				if r, err := schemas.DecodeTransfer(body); err == nil {
					ok = take(Record{Input: schemas.TransferInput, Transfer: r})
				}
			case 5:
				ok = take(Record{Input: schemas.TransferInput, Transfer: &schemas.Transfer{Sequence: int64(i), Kind: transferPartial, Name: name,
					At: schemas.EventTime(number), Chunk: int32(op) % 3, Chunks: int32(number), Body: body}})
			case 6:
				if j, err := schemas.DecodeJournal(body); err == nil {
					for k := range j.Items {
						if ok = c.Replay(&j.Items[k]) == nil; !ok {
							break
						}
					}
				}
			case 7:
				_, err := c.Tick(wall, wall)
				ok = err == nil
			case 8:
				e := &schemas.Event{Kind: schemas.Order, EventID: name, CustomerID: string(body), OrderID: name, Order: schemas.OrderType(op) % 5,
					OccurredAt: schemas.EventTime(number), AmountMinor: number, Currency: "GBP"}
				ok = take(Record{Input: schemas.OrderEvents, Event: e, Raw: &Raw{Topic: "order-events", Key: body}})
			case 9:
				e := &schemas.Event{Kind: schemas.Order, EventID: string(op), CustomerID: "c", OrderID: string(rune(i)), Order: schemas.OrderType(op) % 5,
					OccurredAt: wall - 1000, AmountMinor: int64(op), Currency: "GBP"}
				ok = take(Record{Input: schemas.OrderEvents, Event: e, Raw: &Raw{Topic: "order-events", Key: []byte("c")}})
			}
			if !ok {
				return // the task stops
			}
		}
		if r := c.Ready(); r != nil {
			j, err := schemas.DecodeJournal(r.JournalBytes)
			if err != nil || j.Sequence != r.Sequence {
				t.Fatalf("journal %+v, %v", j, err)
			}
		}
	})
}

// FuzzGenesis: the body of the first control record is read or refused.
func FuzzGenesis(f *testing.F) { fuzzGenesis(f) }

func fuzzGenesis(f soak.F) {
	f.Add(NewGenesis(Genesis{FireFrom: 5, Start: 7, Partitions: 3}, "fuzz", 9).Body)
	f.Add([]byte(`{"partitions":-1,"ends":[[1,2],[3]]}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		g, err := ReadGenesis(&schemas.Control{Kind: ControlGenesis, Body: body})
		if err == nil {
			again, err := ReadGenesis(NewGenesis(g, "fuzz", 0))
			if err != nil || again.FireFrom != g.FireFrom || again.Partitions != g.Partitions || again.Start != g.Start {
				t.Fatalf("%+v, then %+v, %v", g, again, err)
			}
		} else if errors.Is(err, ErrInvariant) {
			t.Fatal(err)
		}
	})
}

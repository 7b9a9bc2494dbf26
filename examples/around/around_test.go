package around

import (
	"errors"
	"reflect"
	"testing"

	"tidemark/schemas"
)

func orders() []schemas.Event {
	var out []schemas.Event
	for i := range 300 {
		e := schemas.Event{Kind: schemas.Order, Order: schemas.Paid, EventID: "e" + string(rune('a'+i%26)) + string(rune('a'+i/26)), CustomerID: "c" + string(rune('a'+i%20)),
			OccurredAt: schemas.EventTime(i) * schemas.Day, OrderID: "o" + string(rune('a'+i%26)) + string(rune('a'+i/26)), AmountMinor: int64(1000 + i), Currency: "GBP"}
		if i%17 == 16 {
			e.Order = schemas.Refunded
		}
		out = append(out, e)
	}
	return out
}

func TestEvents(t *testing.T) {
	for _, business := range Businesses {
		in := orders()
		got, err := Events(business, in)
		if err != nil {
			t.Fatal(err)
		}
		again, _ := Events(business, orders())
		if !reflect.DeepEqual(got, again) {
			t.Errorf("%s: another run gave other events", business)
		}
		if !reflect.DeepEqual(in, orders()) {
			t.Errorf("%s: the orders were changed", business)
		}
		ids, kept, types := map[string]bool{}, 0, map[string]int{}
		for i := range got {
			e := &got[i]
			if i > 0 && e.OccurredAt < got[i-1].OccurredAt {
				t.Fatalf("%s: event %d is not sorted", business, i)
			}
			if ids[e.EventID] {
				t.Errorf("%s: %s stands twice", business, e.EventID)
			}
			ids[e.EventID] = true
			types[e.Type]++
			if _, made := e.Attribute("generated"); !made {
				kept++
				if e.Kind != schemas.Order {
					t.Errorf("%s: %+v is made up and not labelled", business, e)
				}
			}
		}
		want := 0
		if business == "retailer" {
			want = len(in)
		}
		if kept != want {
			t.Errorf("%s: %d real orders, want %d", business, kept, want)
		}
		if len(types) < 6 {
			t.Errorf("%s: only %v", business, types)
		}
	}
	if _, err := Events("circus", nil); !errors.Is(err, ErrBusiness) {
		t.Errorf("got %v", err)
	}
}

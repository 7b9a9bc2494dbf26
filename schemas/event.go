package schemas

// EventTime is an instant of the business: milliseconds since 1970-01-01 UTC.
// It is never read from the machine's clock inside the core.
type EventTime int64

// Day and friends are durations on the EventTime axis, in milliseconds.
const (
	Millisecond EventTime = 1
	Second                = 1000 * Millisecond
	Minute                = 60 * Second
	Hour                  = 60 * Minute
	Day                   = 24 * Hour
)

// Kind tells the two inputs apart.
type Kind uint8

const (
	Order Kind = iota
	Behavior
)

// OrderType is the step in an order's life that an order event reports.
type OrderType uint8

// The symbols of the contract's enum, matched by name and never by position:
// a writer may list them in another order.
const (
	OrderUnknown OrderType = iota
	Placed
	Paid
	Cancelled
	Refunded
)

func (t OrderType) String() string {
	switch t {
	case Placed:
		return "PLACED"
	case Paid:
		return "PAID"
	case Cancelled:
		return "CANCELLED"
	case Refunded:
		return "REFUNDED"
	}
	return "UNKNOWN"
}

// ParseOrderType returns OrderUnknown for a symbol that is not in the contract.
func ParseOrderType(s string) OrderType {
	switch s {
	case "PLACED":
		return Placed
	case "PAID":
		return Paid
	case "CANCELLED":
		return Cancelled
	case "REFUNDED":
		return Refunded
	}
	return OrderUnknown
}

// Event is one decoded order event or behavior event.
//
// Its strings may point into the bytes that they were decoded from; those bytes
// must not be changed while the event is in use. Whoever keeps a string past
// the batch clones it.
type Event struct {
	Kind       Kind
	Order      OrderType // Order only
	EventID    string
	CustomerID string
	OccurredAt EventTime
	Channel    string

	OrderID     string // Order only
	AmountMinor int64  // Order only; minor units of Currency, never negative
	Currency    string // Order only; ISO 4217
	Items       []Item // Order only

	Type string // Behavior only

	// Attributes in the order of the wire; where a key stands twice the last one holds.
	Attributes []Attribute
}

// Item is one line of an order; AmountMinor is the line's total after discount.
type Item struct {
	SKU         string
	Category    string
	Quantity    int32
	AmountMinor int64
}

// Attribute is one entry of an Avro map<string>.
type Attribute struct{ Key, Value string }

// Attribute returns the value under key and whether it is there.
func (e *Event) Attribute(key string) (string, bool) {
	for i := len(e.Attributes) - 1; i >= 0; i-- {
		if e.Attributes[i].Key == key {
			return e.Attributes[i].Value, true
		}
	}
	return "", false
}

package ingest

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"tidemark/schemas"
	"tidemark/spelling"
)

// The keys of the contract's records. Others set nothing, and are told of.
const (
	keyEventID = iota
	keyCustomerID
	keyOrderID
	keyType
	keyOccurredAt
	keyAmount
	keyCurrency
	keyChannel
	keyItems
	keyAttributes
	eventKeys
)

const (
	keySKU = iota
	keyCategory
	keyQuantity
	keyItemAmount
	itemKeys
)

var (
	eventNames = []string{"event_id", "customer_id", "order_id", "type", "occurred_at", "amount_minor", "currency", "channel", "items", "attributes"}
	itemNames  = []string{"sku", "category", "quantity", "amount_minor"}
)

// meant is the known key that an unknown one may stand for, "" if there is none: one
// that differs by a slip, or that begins with it, as amount_minor does with amount.
func meant(key string, names []string) string {
	if w := spelling.Nearest(key, names); w != "" {
		return w
	}
	for _, n := range names {
		if strings.HasPrefix(n, strings.ToLower(key)+"_") {
			return n
		}
	}
	return ""
}

// strange are the unknown keys of a file by path, such as items[].skuu, with the
// number of lines (of places, in items) and the first of them.
type strange map[string]*UnknownKey

// moreKeys bounds what is told apart; a file whose keys are data has no end of them.
const moreKeys = 100

func (s strange) add(path string, line int64) {
	if k := s[path]; k != nil {
		k.Times++
	} else if len(s) < moreKeys {
		s[strings.Clone(path)] = &UnknownKey{Line: line, Times: 1}
	}
}

// eventParser reads the contract's records from JSON, one line at a time. Its
// shape is fixed, so it decodes without reflection; what it accepts and what it
// gives is what encoding/json would, but for these rules of its own: keys match
// exactly, null is as good as absent except inside attributes, and the last of
// several equal keys holds as a whole.
type eventParser struct {
	scanner
	event      schemas.Event
	items      []schemas.Item
	attributes []schemas.Attribute
	strict     bool     // an unknown key is a mistake
	unknown    []string // of the line, by path
	fields     [eventKeys]span
	itemFields [itemKeys]span
}

// parse reads one line. The event and its strings are views that hold until the
// next call, and only while line is left alone.
func (p *eventParser) parse(line []byte) (*schemas.Event, error) {
	p.buf, p.pos, p.depth, p.text = line, 0, 0, p.text[:0]
	p.fields, p.unknown = [eventKeys]span{}, p.unknown[:0]
	p.space()
	if p.pos >= len(line) || line[p.pos] != '{' {
		return nil, errors.New("not a JSON object (a CSV file needs a mapping)")
	}
	serr := p.object(func(key, value span) {
		if i := p.eventKey(key); i >= 0 {
			p.fields[i] = value
		} else {
			p.strange("", p.unquote(key))
		}
	})
	if serr == nil {
		if p.space(); p.pos < len(line) {
			serr = p.fail("something stands behind the object")
		}
	}
	if serr != nil {
		return nil, fmt.Errorf("not JSON at byte %d: %s", serr.at, serr.what)
	}
	for i := range p.fields {
		if p.fields[i].kind == '0' {
			p.fields[i] = span{}
		}
	}
	e, err := p.build()
	if len(p.unknown) > 0 && (err != nil || p.strict) {
		key, names := p.unknown[0], eventNames
		if rest, ok := strings.CutPrefix(key, inItems); ok {
			key, names = rest, itemNames
		}
		text := fmt.Sprintf("%.60q is no key of it", p.unknown[0])
		if w := meant(key, names); w != "" {
			text += fmt.Sprintf(", did you mean %q?", w)
		}
		if err == nil {
			return nil, errors.New(text)
		}
		return nil, fmt.Errorf("%w (%s)", err, text)
	}
	return e, err
}

// inItems stands before the unknown keys of items.
const inItems = "items[]."

// strange notes a key that is not known. What one line can hold of them is bounded.
func (p *eventParser) strange(in, key string) {
	if len(p.unknown) < moreKeys {
		p.unknown = append(p.unknown, in+key) // copies nothing where in is empty: a view, as all that is parsed
	}
}

func (p *eventParser) eventKey(key span) int {
	switch p.unquote(key) {
	case "event_id":
		return keyEventID
	case "customer_id":
		return keyCustomerID
	case "order_id":
		return keyOrderID
	case "type":
		return keyType
	case "occurred_at":
		return keyOccurredAt
	case "amount_minor":
		return keyAmount
	case "currency":
		return keyCurrency
	case "channel":
		return keyChannel
	case "items":
		return keyItems
	case "attributes":
		return keyAttributes
	}
	return -1
}

func (p *eventParser) build() (*schemas.Event, error) {
	e := &p.event
	*e = schemas.Event{Kind: schemas.Behavior}
	if p.fields[keyOrderID].kind != 0 {
		e.Kind = schemas.Order
	}
	var err error
	if e.EventID, err = p.textOf(p.fields[keyEventID], "event_id", true); err != nil {
		return nil, err
	}
	if e.CustomerID, err = p.textOf(p.fields[keyCustomerID], "customer_id", true); err != nil {
		return nil, err
	}
	if e.OccurredAt, err = p.instant(p.fields[keyOccurredAt]); err != nil {
		return nil, err
	}
	if e.Channel, err = p.textOf(p.fields[keyChannel], "channel", false); err != nil {
		return nil, err
	}
	kind, err := p.textOf(p.fields[keyType], "type", true)
	if err != nil {
		return nil, err
	}
	if e.Kind == schemas.Behavior {
		e.Type = kind
	} else if err := p.buildOrder(kind); err != nil {
		return nil, err
	}
	if v := p.fields[keyAttributes]; v.kind != 0 {
		if e.Attributes, err = p.attributeMap(v); err != nil {
			return nil, err
		}
	}
	return e, nil
}

func (p *eventParser) buildOrder(kind string) error {
	e := &p.event
	if e.Order = schemas.ParseOrderType(kind); e.Order == schemas.OrderUnknown {
		return fmt.Errorf("type %q is none of PLACED, PAID, CANCELLED, REFUNDED", kind)
	}
	var err error
	if e.OrderID, err = p.textOf(p.fields[keyOrderID], "order_id", true); err != nil {
		return err
	}
	if e.AmountMinor, err = p.integer(p.fields[keyAmount], "amount_minor", 64); err != nil {
		return err
	}
	if e.AmountMinor < 0 {
		return fmt.Errorf("amount_minor is %d; an amount is never negative, a refund is of type REFUNDED", e.AmountMinor)
	}
	if e.Currency, err = p.textOf(p.fields[keyCurrency], "currency", true); err != nil {
		return err
	}
	if !isCurrency(e.Currency) {
		return fmt.Errorf("currency %q is not an ISO 4217 code", e.Currency)
	}
	if v := p.fields[keyItems]; v.kind != 0 {
		e.Items, err = p.itemList(v)
	}
	return err
}

// textOf gives a field's text; one that is needed is there and not empty.
func (p *eventParser) textOf(v span, name string, needed bool) (string, error) {
	switch {
	case v.kind == 's':
		s := p.unquote(v)
		if needed && s == "" {
			return "", fmt.Errorf("%s is empty", name)
		}
		return s, nil
	case v.kind != 0:
		return "", fmt.Errorf("%s must be a string", name)
	case needed:
		return "", fmt.Errorf("%s is missing", name)
	}
	return "", nil
}

func (p *eventParser) integer(v span, name string, bits int) (int64, error) {
	if v.kind == 0 {
		return 0, fmt.Errorf("%s is missing", name)
	}
	if v.kind == 'n' {
		if n, err := strconv.ParseInt(view(p.buf[v.start:v.end]), 10, bits); err == nil {
			return n, nil
		}
	}
	return 0, fmt.Errorf("%s must be a whole number of %d bits, not %.40s", name, bits, p.buf[v.start:v.end])
}

func (p *eventParser) instant(v span) (schemas.EventTime, error) {
	switch v.kind {
	case 's':
		s := p.unquote(v)
		if t, ok := quickRFC3339(s); ok {
			return t, nil
		}
		t, err := time.Parse(time.RFC3339, s)
		if err != nil {
			return 0, fmt.Errorf("occurred_at %.40q is not RFC 3339 (as in 2024-01-05T10:00:00Z)", s)
		}
		return inRange(schemas.EventTime(t.UnixMilli()))
	case 'n':
		n, err := p.integer(v, "occurred_at in epoch milliseconds", 64)
		if err != nil {
			return 0, err
		}
		return inRange(schemas.EventTime(n))
	case 0:
		return 0, errors.New("occurred_at is missing")
	}
	return 0, errors.New("occurred_at must be RFC 3339 text or epoch milliseconds")
}

// Instants are held to the years that RFC 3339 can write, 0000 to 9999.
const (
	minInstant = schemas.EventTime(-62167219200000)
	maxInstant = schemas.EventTime(253402300799999)
)

func inRange(t schemas.EventTime) (schemas.EventTime, error) {
	if t < minInstant || t > maxInstant {
		return 0, fmt.Errorf("occurred_at %d lies outside the years 0000 to 9999", t)
	}
	return t, nil
}

func (p *eventParser) itemList(v span) ([]schemas.Item, error) {
	if v.kind != 'a' {
		return nil, errors.New("items must be an array")
	}
	p.items = p.items[:0]
	var err error
	p.pos = v.start
	p.array(func(el span) {
		if err != nil {
			return
		}
		var it schemas.Item
		if it, err = p.item(el); err != nil {
			err = fmt.Errorf("items[%d]: %w", len(p.items), err)
			return
		}
		p.items = append(p.items, it)
	})
	return p.items, err
}

func (p *eventParser) item(v span) (it schemas.Item, err error) {
	if v.kind != 'o' {
		return it, errors.New("must be an object")
	}
	p.itemFields = [itemKeys]span{}
	back := p.pos
	p.pos = v.start
	p.object(func(key, value span) {
		if value.kind == '0' {
			value = span{}
		}
		switch p.unquote(key) {
		case "sku":
			p.itemFields[keySKU] = value
		case "category":
			p.itemFields[keyCategory] = value
		case "quantity":
			p.itemFields[keyQuantity] = value
		case "amount_minor":
			p.itemFields[keyItemAmount] = value
		default:
			p.strange(inItems, p.unquote(key))
		}
	})
	p.pos = back
	if p.itemFields[keySKU].kind == 0 {
		return it, errors.New("sku is missing")
	}
	if it.SKU, err = p.textOf(p.itemFields[keySKU], "sku", false); err != nil {
		return it, err
	}
	if it.Category, err = p.textOf(p.itemFields[keyCategory], "category", false); err != nil {
		return it, err
	}
	quantity, err := p.integer(p.itemFields[keyQuantity], "quantity", 32)
	if err != nil {
		return it, err
	}
	it.Quantity = int32(quantity)
	it.AmountMinor, err = p.integer(p.itemFields[keyItemAmount], "amount_minor", 64)
	return it, err
}

func (p *eventParser) attributeMap(v span) ([]schemas.Attribute, error) {
	if v.kind != 'o' {
		return nil, errors.New("attributes must be an object")
	}
	p.attributes = p.attributes[:0]
	var wrong string
	bad := false
	p.pos = v.start
	p.object(func(key, value span) {
		if value.kind != 's' {
			if !bad {
				bad, wrong = true, p.unquote(key)
			}
			return
		}
		p.attributes = append(p.attributes, schemas.Attribute{Key: p.unquote(key), Value: p.unquote(value)})
	})
	if bad {
		return nil, fmt.Errorf("attributes: the value of %.40q must be a string", wrong)
	}
	return p.attributes, nil
}

// quickRFC3339 reads the usual forms, whose fixed columns need no layout; what
// it does not know it leaves to time.Parse.
func quickRFC3339(s string) (schemas.EventTime, bool) {
	if len(s) < 20 || s[4] != '-' || s[7] != '-' || s[10] != 'T' || s[13] != ':' || s[16] != ':' {
		return 0, false
	}
	year, ok1 := digits2(s, 0)
	rest, ok2 := digits2(s, 2)
	month, ok3 := digits2(s, 5)
	day, ok4 := digits2(s, 8)
	hour, ok5 := digits2(s, 11)
	minute, ok6 := digits2(s, 14)
	second, ok7 := digits2(s, 17)
	if !(ok1 && ok2 && ok3 && ok4 && ok5 && ok6 && ok7) {
		return 0, false
	}
	year = year*100 + rest
	if month < 1 || month > 12 || day < 1 || day > daysIn(year, month) || hour > 23 || minute > 59 || second > 59 {
		return 0, false
	}
	i, millis := 19, 0
	if s[i] == '.' {
		unit := 100
		for i++; i < len(s) && s[i]-'0' <= 9; i++ {
			millis += int(s[i]-'0') * unit
			unit /= 10
		}
		if s[i-1] == '.' {
			return 0, false
		}
	}
	offset := 0
	switch {
	case i+1 == len(s) && s[i] == 'Z':
	case i+6 == len(s) && (s[i] == '+' || s[i] == '-') && s[i+3] == ':':
		h, ok1 := digits2(s, i+1)
		m, ok2 := digits2(s, i+4)
		if !ok1 || !ok2 || h > 23 || m > 59 {
			return 0, false
		}
		offset = (h*60 + m) * 60
		if s[i] == '-' {
			offset = -offset
		}
	default:
		return 0, false
	}
	seconds := epochDays(year, month, day)*86400 + int64(hour*3600+minute*60+second-offset)
	t := schemas.EventTime(seconds*1000 + int64(millis))
	return t, t >= minInstant && t <= maxInstant
}

func digits2(s string, i int) (int, bool) {
	a, b := s[i]-'0', s[i+1]-'0'
	return int(a)*10 + int(b), a <= 9 && b <= 9
}

func daysIn(year, month int) int {
	switch month {
	case 4, 6, 9, 11:
		return 30
	case 2:
		if year%4 == 0 && (year%100 != 0 || year%400 == 0) {
			return 29
		}
		return 28
	}
	return 31
}

// epochDays counts the days from 1970-01-01 to a Gregorian date with year ≥ 0
// (H. Hinnant, "chrono-Compatible Low-Level Date Algorithms", days_from_civil).
func epochDays(year, month, day int) int64 {
	if month <= 2 {
		year--
		month += 12
	}
	era := int64(year+400)/400 - 1 // year may be -1 here
	yoe := int64(year) - era*400
	doy := int64((153*(month-3)+2)/5 + day - 1)
	return era*146097 + yoe*365 + yoe/4 - yoe/100 + doy - 719468
}

package around

import (
	"fmt"
	"strconv"

	"tidemark/schemas"
)

// money writes minor units of two decimals.
func money(minor int64) string { return fmt.Sprintf("%d.%02d", minor/100, minor%100) }

// retailer: visits, the order placed before it is paid, baskets that are never
// paid, delivery, completion, sharing, surveys, tickets, points.
func (m *maker) retailer(e *schemas.Event, c *customer) {
	d := chance(c.id, e.OrderID, e.EventID)
	m.out = append(m.out, *e)
	if e.Order != schemas.Paid {
		if d.in(30, "complains") {
			m.say(c, e.OccurredAt-hour, "ticket.opened", "ticket", "t-"+e.EventID, "kind", "complaint")
			m.say(c, e.OccurredAt+2*day, "ticket.closed", "ticket", "t-"+e.EventID, "kind", "complaint")
		}
		return
	}
	at := e.OccurredAt
	if c.orders == 0 {
		m.met(c, at-schemas.EventTime(1+c.chance.below(72, "before"))*hour)
	}
	for i := range 1 + d.below(4, "opens") {
		m.say(c, at-schemas.EventTime(1+d.below(70, "open"+strconv.Itoa(i)))*hour, "app.opened")
	}
	placed := *e
	placed.Order, placed.EventID, placed.OccurredAt = schemas.Placed, e.EventID+"-placed", at-schemas.EventTime(1+d.below(9, "pays"))*minute
	placed.Attributes = append(placed.Attributes[:len(placed.Attributes):len(placed.Attributes)], schemas.Attribute{Key: "generated", Value: "true"})
	m.out = append(m.out, placed)
	if d.in(8, "leaves") {
		left := placed
		left.EventID, left.OrderID, left.OccurredAt = e.EventID+"-left", e.OrderID+"-left", at-schemas.EventTime(5+d.below(20, "left"))*hour
		m.out = append(m.out, left)
	}
	delivered := at + schemas.EventTime(1+d.below(4, "delivered"))*day
	m.say(c, delivered, "order.delivered", "order_id", e.OrderID, "promised_at", date(at+3*day))
	m.say(c, delivered+7*day, "order.completed", "order_id", e.OrderID)
	if d.in(10, "shares") {
		m.say(c, delivered+3*hour, "product.shared")
	}
	if d.in(5, "answers") {
		m.say(c, delivered+day, "survey.answered", "survey", "delivery", "question", "how was it", "answer", strconv.Itoa(1+d.below(5, "answer")))
	}
	if c.chance.in(20, "checks in") {
		for i := range 3 + d.below(6, "days") {
			m.say(c, delivered+schemas.EventTime(i)*day+schemas.EventTime(d.below(600, "in"+strconv.Itoa(i)))*minute, "app.checkin")
		}
	}
	if c.orders > 2 && d.in(15, "spends points") {
		m.say(c, delivered+2*day, "points.redeemed", "ledger", "points", "points", "100")
	}
}

// bank: a transaction and a balance in the place of each order, sign-ins before.
func (m *maker) bank(e *schemas.Event, c *customer) {
	d := chance(c.id, e.OrderID, e.EventID)
	at := e.OccurredAt
	if c.orders == 0 {
		m.met(c, at-2*day)
		c.balance = int64(20_000+c.chance.below(3_000_000, "wealth")) * 100
		m.say(c, at-2*day+minute, "balance.changed", "balance", money(c.balance))
	}
	m.say(c, at-minute, "app.login")
	if e.Order == schemas.Paid {
		amount := min(e.AmountMinor*10, c.balance)
		if d.in(5, "leaves") {
			amount = c.balance * 3 / 5
		}
		c.balance -= amount
		m.say(c, at, "account.transaction", "kind", "transfer", "amount", money(amount))
	} else {
		c.balance += e.AmountMinor * 10
		m.say(c, at, "account.transaction", "kind", "deposit", "amount", money(e.AmountMinor*10))
	}
	m.say(c, at, "balance.changed", "balance", money(c.balance))
	if d.in(40, "salary") {
		c.balance += 800_000
		m.say(c, at+5*day, "balance.changed", "balance", money(c.balance))
	}
	m.say(c, at+day, "account.transaction", "kind", "interest", "amount", "1.20")
}

// carmaker: a lead and what becomes of it in the place of the first order,
// services in the place of the others.
func (m *maker) carmaker(e *schemas.Event, c *customer) {
	if e.Order != schemas.Paid {
		return
	}
	d := chance(c.id, e.OrderID)
	at := e.OccurredAt
	if c.orders > 0 {
		m.say(c, at, "service.visited", "mileage", strconv.Itoa(5_000*c.orders+d.below(4_000, "mileage")))
		if d.in(8, "posts") {
			m.say(c, at+day, "post.published", "board", "owners")
		}
		return
	}
	m.met(c, at-day)
	lead := "lead-" + c.id
	m.say(c, at, "lead.created", "lead_id", lead, "product", one([]string{"compact", "saloon", "van"}, d.below(3, "product")))
	m.say(c, at+minute, "lead.assigned", "lead_id", lead, "operator", one([]string{"adviser-1", "adviser-2", "adviser-3"}, c.chance.below(3, "owner")))
	if d.in(15, "forgotten") {
		return
	}
	m.say(c, at+schemas.EventTime(5+d.below(170, "contact"))*minute, "lead.contacted", "lead_id", lead)
	if d.in(35, "lost") {
		m.say(c, at+schemas.EventTime(3+d.below(60, "lost after"))*day, "lead.lost", "lead_id", lead, "reason", one([]string{"price", "competitor", "no need"}, d.below(3, "reason")))
		return
	}
	visit := at + schemas.EventTime(1+d.below(12, "visit"))*day
	m.say(c, visit, "lead.visited", "lead_id", lead)
	if d.in(60, "drives") {
		m.say(c, visit+2*hour, "lead.test_drive", "lead_id", lead)
		if d.in(50, "buys") {
			buy := visit + schemas.EventTime(1+d.below(20, "buy"))*day
			car := *e
			car.EventID, car.OrderID, car.OccurredAt, car.AmountMinor, car.Items = "around-car-"+c.id, "car-"+c.id, buy, int64(15_000+d.below(20_000, "price"))*100, nil
			car.Attributes = []schemas.Attribute{{Key: "generated", Value: "true"}}
			m.out = append(m.out, car)
			m.say(c, buy+30*day, "order.delivered", "order_id", car.OrderID)
			m.say(c, buy+30*day, "car.delivered", "car", "car-"+c.id, "on", date(buy+30*day))
		}
	}
}

// community: posts in the place of orders, and what surrounds them.
func (m *maker) community(e *schemas.Event, c *customer) {
	if e.Order != schemas.Paid {
		return
	}
	d := chance(c.id, e.OrderID)
	at := e.OccurredAt
	if c.orders == 0 {
		m.met(c, at-3*day)
		if c.chance.in(10, "invites") {
			m.say(c, at+10*day, "referral.invited", "referee", "friend-of-"+c.id)
		}
	}
	for i := range 1 + d.below(5, "days") {
		m.say(c, at-schemas.EventTime(i)*day-schemas.EventTime(d.below(500, "in"+strconv.Itoa(i)))*minute, "app.checkin")
	}
	m.say(c, at, "post.published", "board", one([]string{"news", "help", "test"}, d.below(3, "board")), "post", e.OrderID)
	for i := range d.below(4, "comments") {
		m.say(c, at+schemas.EventTime(1+i)*hour, "comment.published", "post", e.OrderID)
	}
	for i := range d.below(12, "likes") {
		m.say(c, at+schemas.EventTime(1+i)*20*minute, "like.received", "post", e.OrderID)
	}
}

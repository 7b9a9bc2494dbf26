package playbook

import (
	"fmt"
	"strings"
	"time"

	"tidemark/schemas"
)

// MomentKind says what the days of a moment are counted from.
type MomentKind uint8

const (
	MemberDay        MomentKind = iota // days of the business: Weekdays, MonthDays, YearDays, Days
	Birthday                           // an attribute of the customer
	FromRegistration                   // the local day of her first customer.registered
	FromFirstOrder                     // the local day of her first order of which something remains
	FromDates                          // named dates keyed by item
)

// Missing says what becomes of a yearly day that a year does not have.
type Missing uint8

const (
	MissingLast Missing = iota // the last day of its month
	MissingNext                // the day after that
	MissingSkip                // not in that year
)

// Moment is one entry of the calendar: instants at which customers are told of
// something, each at a local minute of a local day.
type Moment struct {
	Common
	Kind        MomentKind
	Weekdays    [7]bool // from Sunday
	MonthDays   []int   // 1 to 31; -1: the last
	YearDays    [][2]int
	Days        []int64           // by number, 0 is 1970-01-01
	Stream      int               // Birthday, FromRegistration, FromDates: index into Playbook.Streams
	Dates       string            // FromDates: name of the dates
	Offsets     []int             // days from the day, ascending
	EveryYear   bool              // its anniversaries too, by age; Birthday and the anniversaries always
	Lunar       bool              // by the Chinese calendar
	LeapMonth   bool              // a day of a repeated month comes in the repeated one where the year has it
	Missing     Missing           //
	At          int               // local minute of the day
	Audience    Condition         // nil: everyone
	ExpireAfter schemas.EventTime // after the moment; 0: never
	Touching
}

// Dates is a stream of named dates keyed by item, such as the birthdays of
// children. Text of its marks is the date, a space, and the item.
const DatedItem = "dated item"

const dateForm = "2006-01-02"

func (p *builder) calendar(root *block) {
	v := root.get("calendar")
	if v == nil {
		return
	}
	b := p.c.open(v, "calendar", "calendar", "")
	var dates []string
	for i, item := range b.list("dates", "a list of {name, behavior, removed, item, attribute}") {
		a := p.c.open(item, fmt.Sprintf("%s[%d]", b.at("dates"), i), "calendar.dates[]", "")
		const types = "a type of behavior such as child.added"
		name := a.name("name")
		a.need("behavior", types)
		a.need("item", "the attribute that names the item, such as child_id")
		a.need("attribute", "the attribute that holds the date, such as born_on")
		s := Stream{Name: "dates/" + name, Types: []string{a.text("behavior", "")}, Value: DatedItem, Same: a.text("item", ""), Text: a.text("attribute", "")}
		if removed := a.text("removed", ""); removed != "" {
			s.Types = append(s.Types, removed)
		}
		if contains(dates, name) {
			p.c.problem(a.get("name"), a.at("name"), fmt.Sprintf("there are dates %q already", name), "names that differ")
		}
		dates = append(dates, name)
		p.made(s)
	}
	for i, item := range b.list("moments", "a list of moments") {
		p.out.Moments = append(p.out.Moments, p.moment(item, fmt.Sprintf("%s[%d]", b.at("moments"), i), dates))
	}
}

var momentVerbs = []string{"weekly", "monthly", "yearly", "days", "birthday", "anniversary", "of"}
var dayNames = []string{"sunday", "monday", "tuesday", "wednesday", "thursday", "friday", "saturday"}

func (p *builder) moment(n *node, path string, dates []string) Moment {
	verb := ""
	if n.kind == mapNode {
		for _, e := range n.entries {
			if contains(momentVerbs, e.key.text) {
				verb = e.key.text
				break
			}
		}
	}
	keys := []string{verb}
	for _, k := range vocabulary["calendar.moments[]"] {
		own := contains(momentVerbs, k)
		switch k {
		case "lunar", "missing_day":
			own = verb == "weekly" || verb == "monthly" || verb == "days"
		case "leap_month", "offsets":
			own = verb == "weekly" || verb == "monthly" || verb == "yearly" || verb == "days"
		case "every_year":
			own = verb != "of"
		}
		if !own {
			keys = append(keys, k)
		}
	}
	if verb == "" {
		p.c.open(n, path, "calendar.moments[]", "")
		if n.kind == mapNode {
			p.c.problem(n, path, "it does not say of what day", "one of "+strings.Join(momentVerbs, ", "))
		}
		return Moment{}
	}
	b := p.c.open(n, path, "calendar.moments[]", "with "+verb, keys...)
	m := Moment{Common: p.common(b), Offsets: []int{0}}
	switch verb {
	case "weekly":
		for i, item := range b.list("weekly", "a list of days of the week") {
			at := fmt.Sprintf("%s[%d]", b.at("weekly"), i)
			if s, ok := p.c.scalar(item, at, strings.Join(dayNames, ", ")); ok {
				if !contains(dayNames, s) {
					p.c.problem(item, at, fmt.Sprintf("%q is no day of the week%s", shorten(s), didYouMean(s, dayNames)), strings.Join(dayNames, ", "))
				}
				for d, w := range dayNames {
					m.Weekdays[d] = m.Weekdays[d] || w == s
				}
			}
		}
	case "monthly":
		for i, item := range b.list("monthly", "a list of days of the month") {
			d, _ := p.c.integer(item, fmt.Sprintf("%s[%d]", b.at("monthly"), i), 1, 31)
			m.MonthDays = append(m.MonthDays, int(d))
		}
	case "yearly":
		for i, item := range b.list("yearly", `a list such as ["06-18"]`) {
			at := fmt.Sprintf("%s[%d]", b.at("yearly"), i)
			if s, ok := p.c.scalar(item, at, "MM-DD"); ok {
				month, day, ok := MonthDay(s)
				if !ok {
					p.c.problem(item, at, fmt.Sprintf("%q is no day of a year", shorten(s)), "MM-DD, such as 06-18")
				}
				m.YearDays = append(m.YearDays, [2]int{month, day})
			}
		}
	case "days":
		for i, item := range b.list("days", `a list such as ["2024-11-11"]`) {
			at := fmt.Sprintf("%s[%d]", b.at("days"), i)
			if s, ok := p.c.scalar(item, at, "YYYY-MM-DD"); ok {
				d, ok := DayNumber(s)
				if !ok {
					p.c.problem(item, at, fmt.Sprintf("%q is no day", shorten(s)), "YYYY-MM-DD, such as 2024-11-11")
				}
				m.Days = append(m.Days, d)
			}
		}
	case "birthday":
		m.Kind, m.EveryYear = Birthday, true
		s := Stream{Text: b.text("birthday", ""), Types: []string{"customer.registered", "customer.updated"}}
		s.Name = "text/" + s.Text + "/" + strings.Join(s.Types, "/")
		m.Stream = p.made(s)
	case "anniversary":
		m.Kind, m.EveryYear = FromFirstOrder, true
		if b.choice("anniversary", "first_order", "first_order", "registration") == "registration" {
			m.Kind = FromRegistration
			m.Stream = p.made(Stream{Name: "registered/", Types: []string{"customer.registered"}})
		}
	case "of":
		m.Kind = FromDates
		if i := p.refer(b, "of", "list of dates", dates); i < len(dates) {
			m.Dates = dates[i]
			m.Stream = max(p.streamNamed("dates/"+dates[i]), 0)
		}
		m.EveryYear = b.choice("every_year", "false", "true", "false") == "true"
	}
	if v := b.get("offsets"); v != nil {
		m.Offsets = nil
		for i, item := range b.list("offsets", "a list of days, such as [-7, 0]") {
			at := fmt.Sprintf("%s[%d]", b.at("offsets"), i)
			d, _ := p.c.integer(item, at, -366, 36600)
			if k := len(m.Offsets); k > 0 && m.Offsets[k-1] >= int(d) {
				p.c.problem(item, at, "the days must ascend", "such as [-7, 0, 99]")
			}
			m.Offsets = append(m.Offsets, int(d))
		}
	}
	m.Lunar = b.choice("lunar", "false", "true", "false") == "true"
	m.LeapMonth = b.choice("leap_month", "ordinary", "ordinary", "repeated") == "repeated"
	m.Missing = map[string]Missing{"last": MissingLast, "next": MissingNext, "skip": MissingSkip}[b.choice("missing_day", "last", "last", "next", "skip")]
	m.At = p.timeOfDay(b, "at", 10*60)
	if b.get("audience") != nil {
		m.Audience = p.condition(b, "audience")
	}
	m.ExpireAfter = b.duration("expire_after", 0, schemas.Minute, 366*schemas.Day)
	m.Touching = p.touching(b, m.Name)
	p.needs(31 * schemas.Day)
	if m.Stream > 0 {
		p.madeFact(Fact{Name: "moment/" + p.out.Streams[m.Stream].Name, Kind: FactLast, Stream: m.Stream, Other: -1})
	}
	return m
}

// DayNumber is the number of a day YYYY-MM-DD; 0 is 1970-01-01.
func DayNumber(s string) (int64, bool) {
	t, err := time.Parse(dateForm, s)
	if err != nil || t.Year() < 1 {
		return 0, false
	}
	return t.Unix() / 86400, true
}

// MonthDay reads MM-DD, 30 days in any month and 31 or 29 where a year may have them.
func MonthDay(s string) (month, day int, ok bool) {
	t, err := time.Parse(dateForm, "2000-"+s)
	if err != nil {
		if s == "02-30" { // of the Chinese calendar
			return 2, 30, true
		}
		return 0, 0, false
	}
	return int(t.Month()), t.Day(), true
}

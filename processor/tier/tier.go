// Package tier (会员等级) decides which level of a program a customer holds.
//
// The level at an instant is a function of the growth value at that instant:
// an upgrade comes at once with the order that reaches it, a downgrade at the
// very moment at which the window lets go of the order that held it. The
// package is pure; it may import schemas, playbook and processor/history.
package tier

import (
	"math/bits"

	"tidemark/playbook"
	"tidemark/processor/history"
	"tidemark/schemas"
)

// Standing is where a customer stands in a program at an instant.
type Standing struct {
	Level int32
	Value int64             // growth value
	Until schemas.EventTime // when the window lets go of the level if nothing comes; 0: never
}

// At evaluates program t with growth g at an instant.
func At(t *playbook.Tier, g *playbook.Growth, v history.View, at schemas.EventTime) Standing {
	s := v.Window(t.Window, at)
	st := Standing{Value: growth(g, s.Growing)}
	for i := len(t.Levels) - 1; i > 0; i-- {
		if st.Value >= t.Levels[i].Reach {
			st.Level = int32(i)
			break
		}
	}
	if st.Level > 0 && t.Window != 0 {
		st.Until, _ = v.FallsBelow(t.Window, at, s.Growing, needed(g, t.Levels[st.Level].Reach))
	}
	return st
}

// growth is floor(sum*Numerator/Denominator).
func growth(g *playbook.Growth, sum int64) int64 {
	if sum <= 0 {
		return 0
	}
	hi, lo := bits.Mul64(uint64(sum), uint64(g.Numerator))
	if hi >= uint64(g.Denominator) {
		return 1<<63 - 1
	}
	q, _ := bits.Div64(hi, lo, uint64(g.Denominator))
	return int64(min(q, 1<<63-1))
}

// needed is the smallest sum whose growth value is at least reach.
func needed(g *playbook.Growth, reach int64) int64 {
	if g.Numerator <= 0 {
		return 1<<63 - 1
	}
	hi, lo := bits.Mul64(uint64(reach), uint64(g.Denominator))
	if hi >= uint64(g.Numerator) {
		return 1<<63 - 1
	}
	q, r := bits.Div64(hi, lo, uint64(g.Numerator))
	if r > 0 {
		q++
	}
	return int64(min(q, 1<<63-1))
}

// Change fills the body of the trigger for a move from one level to another.
func Change(t *playbook.Tier, from int32, s Standing) *schemas.TierChange {
	c := &schemas.TierChange{
		Program: t.Name, Kind: "upgrade",
		FromTier: t.Levels[from].Name, ToTier: t.Levels[s.Level].Name,
		FromLevel: from, ToLevel: s.Level,
		GrowthValue: s.Value,
		Benefits:    t.Levels[s.Level].Benefits,
	}
	if s.Level < from {
		c.Kind = "downgrade"
	}
	if next := int(s.Level) + 1; next < len(t.Levels) {
		c.NextTier = t.Levels[next].Name
		c.MissingToNext = t.Levels[next].Reach - s.Value
	}
	if s.Until != 0 {
		u := s.Until
		c.ValidUntil = &u
	}
	return c
}

// Missing is what growth value is missing at an instant to keep the level of s
// when the window lets go of it at s.Until; 0 if nothing ever lets go. Of the
// orders known at that instant those count that the window still holds then.
func Missing(t *playbook.Tier, g *playbook.Growth, v history.View, at schemas.EventTime, s Standing) int64 {
	if s.Until == 0 || s.Level == 0 {
		return 0
	}
	left := int64(0)
	if still := t.Window - (s.Until - at); still > 0 {
		left = growth(g, v.Window(still, at).Growing)
	}
	return max(t.Levels[s.Level].Reach-left, 0)
}

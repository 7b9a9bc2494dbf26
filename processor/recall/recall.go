// Package recall (召回) decides what type of lost customer somebody is.
//
// The package is pure.
package recall

// CustomerType is exactly one of: one order (仅一次完单), more than one
// (大于一次完单), and before both, where a declared signal says so, lost to a
// competitor (流失竞品). "" for who never bought: that is no recall type. Orders are
// net of full refunds.
func CustomerType(orders int64, competitor bool) string {
	switch {
	case orders <= 0:
		return ""
	case competitor:
		return "lost_to_competitor"
	case orders == 1:
		return "one_order"
	}
	return "repeat"
}

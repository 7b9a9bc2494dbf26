// Package recall (召回) decides what type of lost customer somebody is.
//
// The package is pure.
package recall

// CustomerType is the first that holds of: one order (仅一次完单), more than one
// (大于一次完单). "" for who never bought: that is no recall type. Orders are net
// of full refunds. Lost to a competitor (流失竞品) needs a declared signal, which
// the engine does not take yet.
func CustomerType(orders int64) string {
	switch {
	case orders <= 0:
		return ""
	case orders == 1:
		return "one_order"
	}
	return "repeat"
}

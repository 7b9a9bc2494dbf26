// Package seam is where the simulator (processor/sim) reaches into the commit of
// a task: to make the disk slow, and to have the protocol wrong on purpose, so
// that a test can show that the simulator sees it. Nothing else may set one, and
// no configuration can: the package is internal to processor.
//
// It imports core alone and does nothing by itself.
package seam

import "tidemark/processor/core"

// Commit is called in the path of every commit of a process's tasks, from
// several goroutines. Nil funcs are not called.
type Commit struct {
	// Ready may change what is about to be committed. It returns the journal
	// record's new bytes, or nil if it left it alone.
	Ready func(rd *core.Ready) []byte
	// Apply comes before the store is written.
	Apply func()
	// StoreFirst writes the store before the transaction: wrong.
	StoreFirst bool
}

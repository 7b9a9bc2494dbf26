package sim

import "tidemark/processor/internal/seam"

// Mutant is a way to have the commit protocol wrong.
type Mutant string

// Sound is the protocol as it is.
const Sound Mutant = ""

func (m Mutant) commit() *seam.Commit { return &seam.Commit{} }

func (w *world) mutateRequest(*request) bool                            { return false }
func (w *world) mutateInit(*request, *txn) (int64, int16, bool)         { return 0, 0, false }
func (w *world) mutateEnd(_ *request, _ *partition, offset int64) int64 { return offset }

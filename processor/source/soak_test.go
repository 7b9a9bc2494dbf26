package source

import (
	"testing"

	"tidemark/testkit/soak"
)

// TestSoak is for `make fuzz-soak`.
func TestSoak(t *testing.T) {
	soak.Run(t, soak.Targets{"FuzzBatch": fuzzBatch, "FuzzFetchResponse": fuzzFetchResponse, "FuzzListOffsets": fuzzListOffsets, "FuzzWritten": fuzzWritten})
}

package schemas

import (
	"testing"

	"tidemark/testkit/soak"
)

// TestSoak is for `make fuzz-soak`.
func TestSoak(t *testing.T) {
	soak.Run(t, soak.Targets{"FuzzCompileReader": fuzzCompileReader, "FuzzDecodeInternal": fuzzDecodeInternal, "FuzzForeignWriter": fuzzForeignWriter, "FuzzHostile": fuzzHostile, "FuzzReader": fuzzReader, "FuzzWire": fuzzWire})
}

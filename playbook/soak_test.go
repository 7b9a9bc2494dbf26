package playbook

import (
	"testing"

	"tidemark/testkit/soak"
)

// TestSoak is for `make fuzz-soak`.
func TestSoak(t *testing.T) {
	soak.Run(t, soak.Targets{"FuzzCompile": fuzzCompile, "FuzzCondition": fuzzCondition})
}

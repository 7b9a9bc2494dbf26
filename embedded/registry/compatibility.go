package registry

import (
	"fmt"
	"slices"
	"strings"

	"github.com/hamba/avro/v2"
)

// Compatibility levels. Backward: the new schema reads what the earlier one
// wrote. Forward: the earlier one reads what the new one writes. Transitive:
// held against every earlier version, not only the last.
const (
	levelNone               = "NONE"
	levelBackward           = "BACKWARD"
	levelBackwardTransitive = "BACKWARD_TRANSITIVE"
	levelForward            = "FORWARD"
	levelForwardTransitive  = "FORWARD_TRANSITIVE"
	levelFull               = "FULL"
	levelFullTransitive     = "FULL_TRANSITIVE"
)

var levels = []string{levelNone, levelBackward, levelBackwardTransitive, levelForward,
	levelForwardTransitive, levelFull, levelFullTransitive}

func parseLevel(s string) (string, error) {
	if level := strings.ToUpper(s); slices.Contains(levels, level) {
		return level, nil
	}
	return "", refuse(codeInvalidCompatibility, "Invalid compatibility level. Valid values are none, backward, "+
		"forward, full, backward_transitive, forward_transitive, and full_transitive")
}

// earlier is a version that a new schema is held against.
type earlier struct {
	version int
	schema  avro.Schema
}

// conflicts says, for people, why next may not follow before; before is in
// ascending order. Empty: it may.
func conflicts(next avro.Schema, before []earlier, level string) []string {
	if len(before) == 0 || level == levelNone {
		return nil
	}
	if !strings.HasSuffix(level, "_TRANSITIVE") {
		before = before[len(before)-1:]
	}
	backward := !strings.HasPrefix(level, levelForward)
	forward := !strings.HasPrefix(level, levelBackward)
	var why []string
	for _, old := range slices.Backward(before) {
		if backward {
			if err := reads(next, old.schema); err != nil {
				why = append(why, fmt.Sprintf("the new schema can't read what version %d wrote: %v", old.version, err))
			}
		}
		if forward {
			if err := reads(old.schema, next); err != nil {
				why = append(why, fmt.Sprintf("version %d can't read what the new schema writes: %v", old.version, err))
			}
		}
	}
	return why
}

// reads fails if reader can't read what writer wrote, by the Avro
// specification's schema resolution. The checker remembers results by
// fingerprint, which leaves defaults and aliases out, although they decide:
// each pair gets a new one.
func reads(reader, writer avro.Schema) error {
	return avro.NewSchemaCompatibility().Compatible(reader, writer)
}

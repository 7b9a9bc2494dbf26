package sim

import (
	"slices"
	"testing"
	"time"
)

// Shrink gives a shorter script that still fails: it leaves out faults one by
// one, then events and time, for as long as fails says so. It runs the script
// up to most times.
func Shrink(t *testing.T, s Script, wrong Mutant, most int) Script {
	fails := func(s Script) bool {
		most--
		return most >= 0 && Run(t, s, wrong).Err != nil
	}
	for i := len(s.Faults) - 1; i >= 0; i-- {
		shorter := s
		shorter.Faults = slices.Delete(slices.Clone(s.Faults), i, i+1)
		if fails(shorter) {
			s = shorter
		}
	}
	for {
		shorter := s
		if shorter.Events = s.Events / 2; shorter.Events == 0 || !fails(shorter) {
			break
		}
		s = shorter
	}
	for {
		shorter := s
		if shorter.Until = s.Until - time.Second; shorter.Until < time.Second || !fails(shorter) {
			break
		}
		s = shorter
	}
	return s
}

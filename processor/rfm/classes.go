package rfm

import (
	"errors"
	"fmt"
	"slices"
)

// ErrMap is wrapped by what Map.Validate returns.
var ErrMap = errors.New("rfm: map")

// Range is a score from Low to High, both included.
type Range struct {
	Low  int32 `json:"low"`
	High int32 `json:"high"`
}

func (r Range) holds(s int32) bool { return r.Low <= s && s <= r.High }

// Class is a name for a box of scores, or for single combinations of them.
type Class struct {
	Key     string `json:"key"` // what stands in triggers and playbooks
	Name    string `json:"name"`
	Chinese string `json:"zh"`
	R       Range  `json:"r"`
	F       Range  `json:"f"`
	M       Range  `json:"m"`
	// Codes are combinations as three digits, R F M: 543. With them the ranges say
	// nothing; for maps of at most nine scores.
	Codes []int32 `json:"codes,omitempty"`
	// Weighted bounds the weighted sum of the scores too; the zero value: any.
	Weighted Range `json:"weighted,omitzero"`
}

// Map gives each combination of scores a class: the first that holds, else Other.
type Map struct {
	Name    string  `json:"name"`
	Scores  int32   `json:"scores"` // the highest score: one more than the cuts of each dimension
	Classes []Class `json:"classes"`
	Other   Class   `json:"other"` // its ranges say nothing
	// Weights of R, F and M in the sum that Class.Weighted bounds.
	Weights [3]int32 `json:"weights,omitzero"`
}

// Weighted is the weighted sum of scores.
func (m *Map) Weighted(s Scores) int32 {
	return m.Weights[0]*s.R + m.Weights[1]*s.F + m.Weights[2]*s.M
}

func (m *Map) holds(c *Class, s Scores) bool {
	if len(c.Codes) > 0 {
		return slices.Contains(c.Codes, s.R*100+s.F*10+s.M)
	}
	return c.R.holds(s.R) && c.F.holds(s.F) && c.M.holds(s.M) && (c.Weighted == Range{} || c.Weighted.holds(m.Weighted(s)))
}

// Class returns the key of the class of these scores.
func (m *Map) Class(s Scores) string {
	for i := range m.Classes {
		if c := &m.Classes[i]; m.holds(c, s) {
			return c.Key
		}
	}
	return m.Other.Key
}

// Fits tells whether cuts give the scores that the map reads.
func (m *Map) Fits(c *Cuts) error {
	n := int(m.Scores) - 1
	if len(c.R) != n || len(c.F) != n || len(c.M) != n {
		return fmt.Errorf("%w %q reads scores from 1 to %d and needs %d cuts, has %d for r, %d for f, %d for m",
			ErrMap, m.Name, m.Scores, n, len(c.R), len(c.F), len(c.M))
	}
	return nil
}

// Validate reports every class without or with a repeated key, and every range
// that is empty or outside the scores. A class that an earlier one covers is no
// error.
func (m *Map) Validate() error {
	var errs []error
	if m.Scores < 2 || m.Scores > 100 {
		errs = append(errs, fmt.Errorf("%w %q: %d scores, must be from 2 to 100", ErrMap, m.Name, m.Scores))
	}
	if m.Other.Key == "" {
		errs = append(errs, fmt.Errorf("%w %q: no class for the rest", ErrMap, m.Name))
	}
	seen := map[string]bool{m.Other.Key: true}
	for i, c := range m.Classes {
		if c.Key == "" || seen[c.Key] {
			errs = append(errs, fmt.Errorf("%w %q: class %d: key %q is empty or stands twice", ErrMap, m.Name, i+1, c.Key))
		}
		seen[c.Key] = true
		if len(c.Codes) > 0 {
			for _, code := range c.Codes {
				for _, d := range []int32{code / 100, code / 10 % 10, code % 10} {
					if d < 1 || d > min(m.Scores, 9) {
						errs = append(errs, fmt.Errorf("%w %q: class %q: the code %d does not stand for three scores from 1 to %d",
							ErrMap, m.Name, c.Key, code, min(m.Scores, 9)))
						break
					}
				}
			}
			continue
		}
		for _, d := range []struct {
			name string
			r    Range
		}{{"r", c.R}, {"f", c.F}, {"m", c.M}} {
			if d.r.Low < 1 || d.r.High > m.Scores || d.r.Low > d.r.High {
				errs = append(errs, fmt.Errorf("%w %q: class %q: %s from %d to %d, must lie in 1 to %d",
					ErrMap, m.Name, c.Key, d.name, d.r.Low, d.r.High, m.Scores))
			}
		}
	}
	return errors.Join(errs...)
}
